"""Bad input: every function, every argument; the message names the argument and what is allowed."""

from __future__ import annotations

import re

import numpy as np
import pytest

import embmath as em
from strategies import DTYPES

A = np.eye(3, 4, dtype=np.float32)
B = np.ones((5, 4), np.float32)
CODES = np.ones((3, 4), np.uint8)
CANDIDATES = np.zeros((3, 2), np.int64)

# A good call of every function: positional arguments by name.
GOOD = {
    "similarity": {"a": A, "b": B, "metric": "cosine"},
    "distance": {"a": A, "b": B, "metric": "euclidean"},
    "similarity_pairwise": {"a": A, "b": A + 1, "metric": "cosine"},
    "distance_pairwise": {"a": A, "b": A + 1, "metric": "euclidean"},
    "cosine_similarity": {"a": A, "b": B},
    "search": {"queries": A, "corpus": B, "k": 2, "metric": "cosine"},
    "range_search": {"queries": A, "corpus": B, "threshold": 0.5, "metric": "cosine"},
    "rescore": {"queries": A, "corpus": B, "candidates": CANDIDATES, "k": 2, "metric": "cosine"},
    "top_k": {"x": A, "k": 2},
    "normalize": {"x": A},
    "truncate": {"x": A, "dims": 2},
    "pack_bits": {"x": A},
    "unpack_bits": {"codes": CODES, "dims": 30},
    "quantize": {"x": A, "precision": "int8"},
    "fit_ranges": {"x": A},
    "fit_rotation": {"x": A},
    "pack_int4": {"x": CODES & 15},
    "unpack_int4": {"codes": CODES, "dims": 7},
    "set_num_threads": {"n": 2},
}
MATRICES = ("similarity", "distance")
PAIRWISE = ("similarity_pairwise", "distance_pairwise")
SEARCHES = ("search", "range_search", "rescore")
COMPARING = (*MATRICES, *PAIRWISE, *SEARCHES)
ROWS = [(f, a) for f in GOOD for a in ("a", "b", "queries", "corpus", "x", "codes") if a in GOOD[f]]
SECOND = [(f, a) for f, a in ROWS if a in ("b", "corpus")]


def call(function, **changes):
    """The good call with some arguments replaced; what is no positional argument goes by name."""
    arguments = GOOD[function] | {n: v for n, v in changes.items() if n in GOOD[function]}
    options = {n: v for n, v in changes.items() if n not in GOOD[function]}
    return getattr(em, function)(*arguments.values(), **options)


def refused(error, message, function, **changes):
    with pytest.raises(error, match=message):
        call(function, **changes)


@pytest.mark.parametrize("function", GOOD)
def test_the_good_calls_are_good(function):
    call(function)


@pytest.mark.parametrize(("function", "argument"), ROWS)
class TestArrays:
    @pytest.mark.parametrize("shape", [(), (2, 3, 4)])
    def test_dimensions(self, function, argument, shape):
        if function == "top_k" and shape:
            pytest.skip("takes any array that has an axis")
        bad = np.ones(shape, GOOD[function][argument].dtype)
        refused(ValueError, rf"^{argument}: .*{len(shape)}", function, **{argument: bad})

    @pytest.mark.parametrize("dtype", ["c8", "c16", "O", "U3", "S3", "M8[s]", "V4", "g", "?"])
    def test_dtype(self, function, argument, dtype):
        if function == "pack_bits" and dtype == "?":
            pytest.skip("bits may well be given as bool")
        bad = np.zeros((3, 4), dtype)
        refused(TypeError, f"^{argument}: ", function, **{argument: bad})

    @pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "i8"])
    def test_wide_integers(self, function, argument, dtype):
        if function in ("top_k", "pack_bits"):
            pytest.skip("selects and compares, computes nothing")
        bad = np.zeros((3, 4), dtype)
        name = np.dtype(dtype).name
        refused(TypeError, f"^{argument}: .*{name}", function, **{argument: bad})

    @pytest.mark.parametrize("value", [None, "text", 3.5, {}, object()])
    def test_no_array_at_all(self, function, argument, value):
        if value is None and argument == "b" and function not in PAIRWISE:
            pytest.skip("None means: compare a with itself")
        refused((TypeError, ValueError), f"^{argument}: ", function, **{argument: value})


@pytest.mark.parametrize(("function", "argument"), SECOND)
class TestTwoArrays:
    @pytest.mark.parametrize("columns", [0, 3, 5])
    def test_columns_differ(self, function, argument, columns):
        bad = np.ones((3, columns), np.float32)
        refused(ValueError, f"^{argument}: .*4 columns.*got {columns}", function, **{argument: bad})

    @pytest.mark.parametrize("dtype", ["int8", "uint8"])
    def test_integers_with_floats(self, function, argument, dtype):
        bad = np.ones((3, 4), dtype)
        refused(TypeError, f"{dtype}.*float32|float32.*{dtype}", function, **{argument: bad})

    def test_signed_with_unsigned(self, function, argument):
        first = next(iter(GOOD[function]))
        mix = {first: np.ones((3, 4), np.int8), argument: np.ones((3, 4), np.uint8)}
        refused(TypeError, "int8.*uint8|uint8.*int8", function, **mix)


@pytest.mark.parametrize("function", PAIRWISE)
def test_pairwise_rows_differ(function):
    refused(ValueError, "^b: .*3 rows.*got 5", function, b=B)


class TestMetric:
    @pytest.mark.parametrize("function", COMPARING)
    @pytest.mark.parametrize("metric", ["cos", "", "Cosine", "l2"])
    def test_unknown_lists_the_known(self, function, metric):
        message = rf"^metric: unknown {re.escape(repr(metric))}, expected one of: .*cosine"
        refused(ValueError, message, function, metric=metric)

    @pytest.mark.parametrize("function", COMPARING)
    @pytest.mark.parametrize("metric", [None, 3, b"cosine", ["cosine"]])
    def test_no_text(self, function, metric):
        refused(TypeError, "^metric: ", function, metric=metric)

    @pytest.mark.parametrize("function", ["similarity", "similarity_pairwise"])
    @pytest.mark.parametrize("metric", ["hamming", "jaccard"])
    def test_distances_are_no_similarities(self, function, metric):
        refused(ValueError, f"^metric: .*'{metric}'", function, metric=metric)

    @pytest.mark.parametrize("function", ["distance", "distance_pairwise"])
    def test_dot_is_no_distance(self, function):
        refused(ValueError, "^metric: .*'dot'", function, metric="dot")

    @pytest.mark.parametrize("function", ["distance", "distance_pairwise", *SEARCHES])
    @pytest.mark.parametrize("metric", ["hamming", "jaccard"])
    @pytest.mark.parametrize("dtype", sorted(set(DTYPES) - {"uint8"}))
    def test_bits_are_uint8(self, function, metric, dtype):
        first, second, *_ = GOOD[function]
        bad = {first: np.ones((3, 4), DTYPES[dtype]), second: np.ones((3, 4), DTYPES[dtype])}
        refused(TypeError, f"{metric}.*uint8|uint8.*{metric}", function, metric=metric, **bad)


# Arguments that are whole numbers of at least one: who has them, under which name.
COUNTS = [
    *((f, "k") for f in ("search", "rescore", "top_k")),
    *((f, "threads") for f in COMPARING),
    *((f, "dims") for f in (*COMPARING, "truncate", "unpack_bits")),
    ("set_num_threads", "n"),
]


@pytest.mark.parametrize(("function", "argument"), COUNTS)
class TestCounts:
    @pytest.mark.parametrize("value", [0, -1, -(2**70)])
    def test_too_small(self, function, argument, value):
        message = rf"^{argument}: .*(at least 1|1 to \d+|between 1 and).*got {value}"
        refused(ValueError, message, function, **{argument: value})

    @pytest.mark.parametrize("value", [1.0, 2.5, "2", True, np.float32(1), [1], 1j])
    def test_no_whole_number(self, function, argument, value):
        refused(TypeError, f"^{argument}: ", function, **{argument: value})

    def test_numpy_integers_are_whole_numbers(self, function, argument):
        call(function, **{argument: np.int32(2)})


@pytest.mark.parametrize("function", [*COMPARING, "truncate"])
def test_dims_beyond_the_columns(function):
    refused(ValueError, "^dims: .*4.*got 5", function, dims=5)


def test_dims_beyond_the_bits():
    refused(ValueError, "^dims: .*32.*got 33", "unpack_bits", dims=33)


@pytest.mark.parametrize("function", ["search", "top_k", "rescore"])
@pytest.mark.parametrize("k", [5, 6, 2**31, 2**62])
def test_k_beyond_the_rows_is_no_error(function, k):
    call(function, k=k)


def test_pad_to_an_absurd_k_is_an_error():
    refused(MemoryError, "TiB|TB|bytes", "search", k=2**40, pad=True)


@pytest.mark.parametrize("function", ["search", "range_search"])
class TestSearchOptions:
    @pytest.mark.parametrize("shape", [(4,), (6,), (0,), (3, 4), (2, 5), (5, 3), (1, 3, 5), ()])
    def test_mask_shape(self, function, shape):
        refused(ValueError, "^mask: .*5", function, mask=np.ones(shape, np.bool_))

    @pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "O"])
    def test_mask_dtype(self, function, dtype):
        refused(TypeError, "^mask: .*bool", function, mask=np.ones(5, dtype))

    @pytest.mark.parametrize("value", ["0.5", 1j, [0.5], np.ones(3)])
    def test_threshold_type(self, function, value):
        refused(TypeError, "^threshold: ", function, threshold=value)

    def test_threshold_nan(self, function):
        refused(ValueError, "^threshold: .*NaN|^threshold: .*nan", function, threshold=np.nan)

    def test_exclude_self_needs_the_query_among_the_rows(self, function):
        refused(
            ValueError,
            "^exclude_self: ",
            function,
            queries=np.ones((6, 4), np.float32),
            exclude_self=True,
        )

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    @pytest.mark.parametrize("metric", ["cosine", "dot", "manhattan"])
    def test_nan_query(self, function, dtype, metric):
        bad = A.astype(DTYPES[dtype])
        bad[1, 3] = np.nan
        refused(ValueError, "^queries: .*NaN.*rank_last", function, queries=bad, metric=metric)

    def test_nan_policy(self, function):
        refused(
            ValueError,
            "^nan: .*'raise'.*'rank_last'|^nan: .*raise, rank_last",
            function,
            nan="omit",
        )
        refused(TypeError, "^nan: ", function, nan=0)

    @pytest.mark.parametrize("value", [3, "bar", True])
    def test_progress(self, function, value):
        refused(TypeError, "^progress: ", function, progress=value)


class TestCandidates:
    @pytest.mark.parametrize("value", [-2, 5, 2**40, -(2**40)])
    def test_out_of_range(self, value):
        bad = CANDIDATES.copy()
        bad[2, 1] = value
        refused(ValueError, f"^candidates: .*got {value}", "rescore", candidates=bad)

    @pytest.mark.parametrize("dtype", ["float32", "bool", "uint64", "O"])
    def test_dtype(self, dtype):
        refused(TypeError, "^candidates: ", "rescore", candidates=CANDIDATES.astype(dtype))

    @pytest.mark.parametrize("shape", [(2, 2), (4, 2), (3, 2, 1)])
    def test_shape(self, shape):
        refused(ValueError, "^candidates: .*3", "rescore", candidates=np.zeros(shape, np.int64))


class TestTopK:
    def test_mode(self):
        refused(ValueError, "^mode: .*largest.*smallest", "top_k", mode="biggest")
        refused(TypeError, "^mode: ", "top_k", mode=None)

    @pytest.mark.parametrize("axis", [2, -3, 2**40])
    def test_axis(self, axis):
        refused(ValueError, "^axis: ", "top_k", axis=axis)

    @pytest.mark.parametrize("axis", [0.0, "0", None, True, (0,)])
    def test_axis_type(self, axis):
        refused(TypeError, "^axis: ", "top_k", axis=axis)


class TestTransforms:
    @pytest.mark.parametrize("eps", [-1.0, np.nan])
    def test_eps(self, eps):
        refused(ValueError, "^eps: ", "normalize", eps=eps)

    @pytest.mark.parametrize("eps", ["0", None, [0.0], 1j])
    def test_eps_type(self, eps):
        refused(TypeError, "^eps: ", "normalize", eps=eps)

    @pytest.mark.parametrize("value", ["0", None, [0.0], 1j])
    def test_threshold_type(self, value):
        refused(TypeError, "^threshold: ", "pack_bits", threshold=value)

    def test_threshold_nan(self):
        refused(ValueError, "^threshold: ", "pack_bits", threshold=np.nan)

    @pytest.mark.parametrize("dtype", sorted(set(DTYPES) - {"uint8"}))
    def test_codes_are_uint8(self, dtype):
        refused(TypeError, "^codes: .*uint8", "unpack_bits", codes=CODES.astype(DTYPES[dtype]))

    @pytest.mark.parametrize("function", ["normalize", "truncate"])
    @pytest.mark.parametrize("dtype", ["int8", "uint8"])
    def test_integers_have_no_unit_length(self, function, dtype):
        refused(TypeError, f"^x: .*{dtype}", function, x=np.ones((3, 4), dtype))


# What a result of the good call looks like, for the functions that take out=.
OUTS = {
    "similarity": (3, 5),
    "distance": (3, 5),
    "similarity_pairwise": (3,),
    "distance_pairwise": (3,),
    "normalize": (3, 4),
}


@pytest.mark.parametrize("function", OUTS)
class TestOut:
    def test_shape(self, function):
        rows, *columns = OUTS[function]
        for shape in ((rows + 1, *columns), (rows, *columns, 1), (), (0,)):
            refused(ValueError, "^out: .*shape", function, out=np.empty(shape, np.float32))

    @pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "complex64", "O"])
    def test_dtype(self, function, dtype):
        refused(TypeError, "^out: .*float32", function, out=np.empty(OUTS[function], dtype))

    def test_layout(self, function):
        doubled = np.empty([2 * n for n in OUTS[function]], np.float32)
        bad = doubled[tuple(slice(None, None, 2) for _ in OUTS[function])]
        refused(ValueError, "^out: .*contiguous", function, out=bad)

    def test_read_only(self, function):
        bad = np.empty(OUTS[function], np.float32)
        bad.flags.writeable = False
        refused(ValueError, "^out: .*(read-only|writ)", function, out=bad)

    @pytest.mark.parametrize("value", [[[0.0]], "out", 3, (1, 2)])
    def test_no_array(self, function, value):
        refused(TypeError, "^out: ", function, out=value)

    def test_overlap(self, function):
        memory = np.ones(64, np.float32)
        size = int(np.prod(OUTS[function]))
        out = memory[4 : 4 + size].reshape(OUTS[function])
        first = next(iter(GOOD[function]))
        refused(
            ValueError, "^out: .*overlap", function, out=out, **{first: memory[:12].reshape(3, 4)}
        )


class TestOutOfSearch:
    VALUES, INDICES = np.empty((3, 2), np.float32), np.empty((3, 2), np.int64)

    @pytest.mark.parametrize(
        ("error", "out"),
        [
            (ValueError, (VALUES[:2], INDICES)),
            (ValueError, (VALUES, INDICES[:, :1])),
            (TypeError, (VALUES.astype("f8"), INDICES)),
            (TypeError, (VALUES, INDICES.astype("i4"))),
            (ValueError, (VALUES.T.copy().T, INDICES)),
            (TypeError, VALUES),
            ((TypeError, ValueError), (VALUES,)),
            ((TypeError, ValueError), (VALUES, INDICES, INDICES)),
        ],
    )
    def test_refused(self, error, out):
        refused(error, "^out", "search", out=out)

    def test_overlap(self):
        memory = np.ones(64, np.float32)
        out = memory[2:8].reshape(3, 2), self.INDICES
        refused(ValueError, "^out.*overlap", "search", out=out, queries=memory[:12].reshape(3, 4))


@pytest.mark.parametrize("function", MATRICES)
def test_a_result_beyond_the_memory_is_refused_before_it_is_tried(function):
    rows = np.broadcast_to(A[:1], (4_000_000, 4))
    refused(MemoryError, "GB|GiB|TB|TiB|bytes", function, a=rows, b=rows)


@pytest.mark.parametrize("function", GOOD)
def test_unknown_options_are_refused(function):
    refused(TypeError, "colour", function, colour="red")
