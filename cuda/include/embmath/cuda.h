/* The CUDA half as other languages see it: pointers into a device's memory, a stream, a status.
 *
 * Every call enqueues on the stream that it is given and returns; nothing is allocated, nothing waits,
 * nothing is read back, so that all of it can be captured into a graph once embmath_cuda_prepare() has
 * been called for the device. Workspaces belong to the caller, aligned to 256 bytes, and are free for
 * other use in stream order. Nothing is thrown.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EMBMATH_CUDA_API __attribute__((visibility("default")))
#else
#define EMBMATH_CUDA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* 0: done. Negative: an argument is not allowed. Positive: the CUDA runtime's own error. */
typedef int embmath_cuda_status;
enum {
    EMBMATH_CUDA_OK = 0,
    EMBMATH_CUDA_BAD_DTYPE = -1,
    EMBMATH_CUDA_BAD_METRIC = -2,
    EMBMATH_CUDA_BAD_SIZE = -3,
    EMBMATH_CUDA_SMALL_WORKSPACE = -4,
    EMBMATH_CUDA_BAD_PLAN = -5,
    EMBMATH_CUDA_BAD_FORMAT = -6,
    EMBMATH_CUDA_BAD_THRESHOLD = -7
};
EMBMATH_CUDA_API int embmath_cuda_is_emulated(void);
EMBMATH_CUDA_API const char* embmath_cuda_message(embmath_cuda_status status);

/* Numbered as embmath::Dtype and embmath::Metric are. Rows for hamming are packed bits, n_cols bytes of them. */
typedef enum { EMBMATH_F16 = 0, EMBMATH_BF16 = 1, EMBMATH_F32 = 2, EMBMATH_I8 = 4, EMBMATH_U8 = 5 } embmath_dtype;
typedef enum { EMBMATH_COSINE = 0, EMBMATH_DOT = 1, EMBMATH_EUCLIDEAN = 2, EMBMATH_SQEUCLIDEAN = 3, EMBMATH_HAMMING = 5 } embmath_metric;

/* Elements of a row follow each other; row_stride is in bytes. */
typedef struct {
    const void* data;
    int64_t n_rows, n_cols, row_stride;
    int32_t dtype;
} embmath_rows;

/* Loads every kernel and allows it the shared memory that it needs. */
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_prepare(int device);

/* The largest k that a device sorts: 16384, 8192 where shared memory is short. */
EMBMATH_CUDA_API int64_t embmath_cuda_most_results(int device);

/* Rows as codes with what their certificate needs, kept for many searches by one metric: float16, made of
 * float32 and bfloat16; float16, int8, uint8 and bits are codes as they lie, where rows start on 16 bytes
 * and have a multiple of them, and the plane then holds their lengths only. */
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_plane_bytes(const embmath_rows* rows, embmath_metric metric, size_t* bytes);
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_make_plane(const embmath_rows* rows, embmath_metric metric, void* plane,
                                                             size_t bytes, int device, void* stream);

/* How candidates are found; the results are the same. */
typedef enum {
    EMBMATH_PLAN_AUTO = 0,
    EMBMATH_PLAN_EXACT = 1,  /* every score canonical */
    EMBMATH_PLAN_MATCH = 2,  /* products of codes on the matrix unit, compared as they are summed */
    EMBMATH_PLAN_TILES = 3   /* the caller multiplies: embmath_cuda_tiles_* */
} embmath_plan;

typedef struct {
    embmath_rows queries; /* float32; of a corpus of bytes or bits the same */
    embmath_rows corpus;  /* fewer than 2^32 - 1 rows */
    const void* plane;    /* of the corpus, by the same metric; NULL: made block by block */
    int32_t metric;
    int32_t plan;
    int64_t k;           /* 1 to embmath_cuda_most_results() */
    const uint8_t* mask; /* 1: the row may be returned; NULL: all may */
    int64_t mask_stride; /* bytes from one query's mask to the next; 0: one for all */
    int64_t self;        /* query i does not return row self + i; -1: none is excluded */
    double threshold;    /* similarities >=, distances <=; NaN: none */
    void* values;        /* [n_queries][k], best first: float32, NaN where there is no row; int32, the worst one
                            there, for hamming, and for dot and sqeuclidean of bytes */
    int64_t* indices;    /* [n_queries][k]; -1 where there is no row */
    uint64_t* counters;  /* [2], added to: rows scored canonically after a filter, and in scans of all rows; or NULL */
} embmath_search;

EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_search_bytes(const embmath_search* search, int device, size_t* bytes);
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_search(const embmath_search* search, void* workspace, size_t bytes, int device,
                                                         void* stream);

/* Every row within search->threshold. Of `search`, k, values, indices and the tiles' plan are not looked at. */
typedef struct {
    uint64_t* pairs;  /* [capacity], in no particular order: query << 32 | row; all ones: no hit after all */
    void* values;     /* [capacity]: scores of the pairs, as embmath_search.values */
    int64_t capacity;
    uint64_t* count;  /* one, 0 before: how many there are. More than capacity: call again with room for as many */
} embmath_hits;

EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_range_bytes(const embmath_search* search, int device, size_t* bytes);
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_range_search(const embmath_search* search, const embmath_hits* hits,
                                                               void* workspace, size_t bytes, int device, void* stream);

/* The same search of float rows, without a plane, where the caller multiplies codes with a matrix product of its own, float32 sums:
 *
 *   tiles_open(...)
 *   for each tile of up to max_rows rows:  tiles_encode(..., first, n)
 *                                          products[n_queries][n] = query_codes row_codes^T
 *                                          tiles_select(..., products, ld, first, n)
 *   tiles_close(...)
 *
 * Codes are float16, `ld` elements from row to row, zero beyond the columns of the rows. */
typedef struct {
    uint16_t *query_codes, *row_codes; /* into the workspace */
    int64_t ld, max_rows;
} embmath_tiles;

EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_tiles_open(const embmath_search* search, void* workspace, size_t bytes,
                                                             int device, void* stream, embmath_tiles* tiles);
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_tiles_encode(const embmath_search* search, void* workspace, size_t bytes,
                                                               int64_t first, int64_t n, int device, void* stream);
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_tiles_select(const embmath_search* search, void* workspace, size_t bytes,
                                                               const float* products, int64_t ld, int64_t first, int64_t n,
                                                               int device, void* stream);
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_tiles_close(const embmath_search* search, void* workspace, size_t bytes,
                                                              int device, void* stream);

/* Rows at unit length, as the library's normalize() makes them; out has n_cols elements to a row. */
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_normalize(const embmath_rows* rows, double eps, void* out, int device,
                                                            void* stream);

/* Scalar codes, as the library's quantize() makes them; numbered as embmath::Rounding is. */
typedef enum { EMBMATH_FLOOR = 0, EMBMATH_NEAREST = 1, EMBMATH_TRUNCATE = 2, EMBMATH_RATIO = 3 } embmath_rounding;
typedef enum {
    EMBMATH_BYTES = 0,       /* a code each */
    EMBMATH_INTERLEAVED = 1, /* two codes, the even column's in the low half; levels at most 15 */
    EMBMATH_SPLIT = 2        /* column i in the high half, i + n_cols / 2 in the low half; likewise */
} embmath_code_bytes;
typedef struct {
    int32_t levels;       /* the largest code, counted from 0; on either side of 0 where they are symmetric */
    int32_t is_signed;    /* int8: the code minus 128 */
    int32_t is_symmetric; /* int8: x / step without a minimum, to nearest; of rows on ranges of their own */
    int32_t rounding, bytes;
} embmath_code_format;

/* Codes on given ranges, finite: n_ranges is n_cols, or 1 for all columns. Rows of codes follow each other. */
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_quantize(const embmath_rows* rows, const embmath_code_format* format,
                                                           const float* low, const float* high, int64_t n_ranges, void* codes,
                                                           int device, void* stream);

/* Codes of rows on ranges of their own. minimum[row] (NULL where codes are symmetric) and step[row] are
 * written; *before_bad, 0 at first, becomes 2^32 - 1 minus the first row whose range is not finite. */
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_quantize_rows(const embmath_rows* rows, const embmath_code_format* format,
                                                                void* codes, float* minimum, float* step,
                                                                uint32_t* before_bad, int device, void* stream);

/* A bit for each column, set where it is above the threshold, most significant first; every byte is changed
 * by exclusive or with `flip`. */
EMBMATH_CUDA_API embmath_cuda_status embmath_cuda_pack_bits(const embmath_rows* rows, double threshold, uint8_t flip,
                                                            void* codes, int device, void* stream);

#ifdef __cplusplus
}
#endif
