"""Memory: nothing read beside an array, nothing large allocated, nothing lost beyond 2**31."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import embmath as em
import embmath._arrays
import reference
from reference import BIT_METRICS, FLOAT_METRICS, Array
from strategies import DTYPES, FLOATS, normal

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc and libc")
PRECISIONS = ("int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16")
PAGE, PROT_NONE = mmap.PAGESIZE, 0
Guard = Callable[[Array, str], Array]


@pytest.fixture(scope="session")
def guard() -> Guard:
    """Copy an array between two pages that crash the process when touched.

    The copy starts right after the first one or ends right before the second one, so a single
    byte read outside of it is a segmentation fault. The memory goes with the last view of it.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def place(x: Array, side: str) -> Array:
        inner = -(-max(x.nbytes, 1) // PAGE) * PAGE
        memory = mmap.mmap(-1, inner + 2 * PAGE)
        offset = PAGE if side == "start" else PAGE + inner - x.nbytes
        copy: Array = np.ndarray(x.shape, x.dtype, memory, offset)
        copy[...] = x
        first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for page in (first, first + PAGE + inner):
            done = libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), PROT_NONE)
            assert done == 0, ctypes.get_errno()
        return copy

    return place


@LINUX
@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("side", ["start", "end"])
class TestGuardPages:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("d", [1, 7, 15, 16, 17, 33, 100])
    def test_scores(self, agree, guard, rng, d, dtype, side):
        for nq, n in ((1, 1), (3, 15), (5, 16), (7, 33)):
            q, x = guard(normal(rng, nq, d, dtype), side), guard(normal(rng, n, d, dtype), side)
            for metric in FLOAT_METRICS:
                agree("search", q, x, 3, metric)
                agree("similarity", q, x, metric)
                agree("similarity_pairwise", q[: min(nq, n)], x[: min(nq, n)], metric)
            agree("rescore", q, x, np.full((nq, 2), n - 1), 2)
            agree("range_search", q, x, 0.0, "dot")

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("step", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2, ::3], np.s_[:, 1:]])
    def test_views(self, agree, guard, rng, dtype, step, side):
        q, x = guard(normal(rng, 5, 34, dtype), side), guard(normal(rng, 37, 34, dtype), side)
        for metric in ("cosine", "manhattan"):
            agree("search", q[step], x[step], 3, metric)
            agree("similarity", q[step], x[step], metric)
        agree("search", q, x, 3, "dot", dims=17)

    @pytest.mark.parametrize("metric", BIT_METRICS)
    @pytest.mark.parametrize("n_bytes", [1, 7, 8, 9, 31, 33, 63, 65, 96])
    def test_bits(self, agree, guard, rng, n_bytes, metric, side):
        q, x = (guard(rng.integers(0, 256, (n, n_bytes), np.uint8), side) for n in (5, 37))
        agree("search", q, x, 3, metric)
        agree("distance", q, x, metric)
        agree("distance_pairwise", q, x[-5:], metric)

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("d", [1, 7, 8, 9, 15, 16, 17, 33, 100])
    def test_transforms_and_selection(self, agree, agree_closely, guard, rng, d, dtype, side):
        x = guard(normal(rng, 5, d, dtype), side)
        agree_closely("normalize", x)
        agree_closely("truncate", x, max(1, d - 1))
        agree("unpack_bits", guard(agree("pack_bits", x), side), d)
        agree("top_k", x, 3)
        agree("top_k", x[0], 3, mode="smallest")

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("d", [1, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 100])
    def test_codecs(self, monkeypatch, guard, rng, d, dtype, side):
        """Results between such pages too."""
        plain = normal(rng, 5, d, dtype)
        expected = [em.quantize(plain, precision) for precision in PRECISIONS]
        expected += [em.quantize(plain, name, scope="dim") for name in PRECISIONS[:3]]
        values = [codes.dequantize(dtype=dtype) for codes in expected]
        bits = em.unpack_bits(expected[4].data, d)
        monkeypatch.setattr(
            embmath._arrays, "allocate", lambda shape, kind: guard(np.empty(shape, kind), side)
        )
        x = guard(plain, side)
        found = [em.quantize(x, precision) for precision in PRECISIONS]
        found += [em.quantize(x, name, scope="dim") for name in PRECISIONS[:3]]
        for codes, wanted, value in zip(found, expected, values, strict=True):
            reference.assert_same(np.asarray(codes), np.asarray(wanted))
            reference.assert_same(codes.dequantize(dtype=dtype), value)
            if dtype == "float32":
                top = em.search(plain[:2], codes, 3)
                reference.assert_all_same(top, em.search(plain[:2], value, 3))
        reference.assert_same(em.unpack_bits(found[4].data, d), bits)
        reference.assert_same(em.fit_ranges(x, quantile=0.5), em.fit_ranges(plain, quantile=0.5))

    def test_masks_candidates_and_out(self, agree, guard, rng, side):
        q, x = normal(rng, 5, 9), normal(rng, 77, 9)
        agree("search", q, x, 3, mask=guard(rng.random(77) < 0.5, side))
        agree("search", q, x, 3, mask=guard(rng.random((5, 77)) < 0.5, side))
        agree("rescore", q, x, guard(rng.integers(-1, 77, (5, 9)), side), 3)
        for function in ("similarity", "distance"):
            expected = getattr(em, function)(q, x, "cosine")
            out = guard(np.zeros_like(expected), side)
            reference.assert_same(getattr(em, function)(q, x, "cosine", out=out), expected)
        top = em.search(q, x, 3)
        out = tuple(guard(np.zeros_like(a), side) for a in top)
        reference.assert_all_same(em.search(q, x, 3, out=out), reference.TopK(*top))
        reference.assert_same(em.normalize(x, out=guard(x, side)), em.normalize(x))


PEAK = """
import numpy as np, embmath as em
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(l for l in lines if l.startswith("VmHWM")).split()[1]) / 1024
rng = np.random.default_rng(0)
x = rng.standard_normal((300_000, 16), dtype=np.float32)
q = x[:1000]
em.search(q[:1], x[:1000], 1)
before = peak()
{call}
print(peak() - before)
"""


@LINUX
@pytest.mark.parametrize(
    "call",
    [
        "em.search(q, x, 100)",
        "em.search(q, x, 100, 'manhattan', threads=2)",
        "em.search(q, x[::-1, ::-1], 100, exclude_self=True)",
        "em.search(q[:, :4], np.asfortranarray(x[:, :4]), 100)",
        "em.search(np.tile(x[:1], (1000, 1)), np.broadcast_to(x[0], x.shape), 100)",
        "em.range_search(q, x, 0.99)",
        "em.search(q, em.quantize(x, 'int8'), 100)",
    ],
)
def test_search_never_holds_the_score_matrix(run_python, call):
    """1000 queries by 300k rows are 1.2 GB of scores; results and workspace are a tenth of it."""
    assert float(run_python(PEAK.format(call=call)).stdout) < 128


CODES_PEAK = """
import numpy as np, embmath as em
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(l for l in lines if l.startswith("VmHWM")).split()[1]) / 1024
rng = np.random.default_rng(0)
q = rng.standard_normal((20, 768), dtype=np.float32)
few = em.quantize(rng.standard_normal((100, 768), dtype=np.float32), "{precision}")
codes = few[np.arange(100_000) % 100]
rows = np.broadcast_to(q[0], codes.shape)
em.search(q[:1], few, 1)
before = peak()
{call}
print(peak() - before)
"""


@LINUX
@pytest.mark.parametrize("precision", ["int8", "int4", "binary"])
@pytest.mark.parametrize(
    "call",
    [
        "em.search(q[:1], codes, 10)",
        "em.search(q, codes, 10, 'manhattan')",
        "em.search(q, codes, 10, rescore=rows, oversample=50)",
        "em.similarity(q[:2], codes)",
        "codes.with_residuals(rows)",
    ],
)
def test_codes_are_never_decoded_whole(run_python, precision, call):
    """100k rows x 768 are 307 MB as float32; what searches take besides is a fraction of it."""
    code = CODES_PEAK.format(call=call, precision=precision)
    assert float(run_python(code).stdout) < 100


@pytest.mark.parametrize(
    ("limit", "call", "error", "message"),
    [
        ("1M", "em.similarity(x)", "MemoryError", r"a result of shape (1000, 1000) needs 4000000"),
        ("100000", "em.search(x, x, 5)", "MemoryError", "search: workspace needs"),
        ("1000", "em.normalize(x)", "MemoryError", "a result of shape (1000, 8) needs 32000"),
        ("1G", "em.similarity(x)", None, ""),
        ("plenty", "em.similarity(x)", "ValueError", "EMBMATH_MAX_MEMORY: expected bytes"),
        ("3X", "em.similarity(x)", "ValueError", "EMBMATH_MAX_MEMORY: expected bytes"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_taken(run_python, limit, call, error, message):
    code = (
        "import numpy as np, embmath as em\n"
        "x = np.ones((1000, 8), np.float32)\n"
        f"try: {call}\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    out = run_python(code, EMBMATH_MAX_MEMORY=limit).stdout
    assert out == "" if error is None else out.startswith(f"{error} {message}")


@pytest.fixture
def sparse_file(tmp_path: Path) -> Iterator[Path]:
    """4.4 GB of zeros that take no space on disk."""
    path = tmp_path / "zeros.bin"
    with path.open("wb") as file:
        file.truncate(4_400_000_000)
    yield path
    path.unlink()


@pytest.mark.slow
class TestBeyondTwoToTheThirtyOne:
    """Corpora whose last rows lie beyond 2**31 elements (and 2**32 bytes); mostly zero rows."""

    @staticmethod
    def plant(path: Path, dtype: str, n: int, d: int) -> tuple[Array, Array]:
        """The corpus with three rows that stand out, two of them behind the 2**31st element."""
        x: Array = np.memmap(path, DTYPES[dtype], "r+", shape=(n, d))
        planted = np.array([n // 2 - 1, 2**31 // d + 1, n - 1])
        assert planted[1] * d > 2**31
        for i, row in enumerate(planted):
            x[row, : d - i] = 1
        return x, planted

    def test_packed_bits(self, sparse_file):
        x, planted = self.plant(sparse_file, "uint8", 34_000_000, 64)
        query = np.ones((1, 64), np.uint8)
        values, indices = em.search(query, x, 5, "hamming")
        assert indices.tolist() == [[*planted, 0, 1]]
        assert values.tolist() == [[0, 1, 2, 64, 64]]
        hits = em.range_search(query, x, 2, "hamming")
        assert hits.indices.tolist() == planted.tolist()
        top = em.rescore(query, x, planted[None, ::-1], 3, "hamming")
        assert top.indices.tolist() == [planted.tolist()]
        mask = np.ones(len(x), np.bool_)
        mask[planted[:2]] = False
        assert em.search(query, x, 1, "jaccard", mask=mask).indices == planted[2]

    def test_int8_matrix_and_top_k(self, sparse_file):
        x, planted = self.plant(sparse_file, "int8", 34_000_000, 64)
        scores = em.similarity(np.ones(64, np.int8), x, "dot")
        assert scores.shape == (1, 34_000_000)
        assert np.flatnonzero(scores).tolist() == planted.tolist()
        assert em.top_k(scores, 3).indices.tolist() == [planted.tolist()]

    def test_float16(self, sparse_file):
        x, planted = self.plant(sparse_file, "float16", 34_375_000, 64)
        query = np.ones((1, 64), np.float16)
        for metric in ("dot", "euclidean"):
            assert em.search(query, x, 3, metric).indices.tolist() == [planted.tolist()]

    def test_top_k_of_a_long_row(self, sparse_file):
        x = np.memmap(sparse_file, np.uint8, "r+", shape=(2**31 + 100,))
        x[[7, 2**31 + 50]] = 1, 2
        assert em.top_k(x, 3).indices.tolist() == [2**31 + 50, 7, 0]
