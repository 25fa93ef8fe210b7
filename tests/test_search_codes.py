"""Search on codes: what they decode to, bit for bit; and rescoring, with and without a proof."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _two_pass
from reference import FLOAT_METRICS
from strategies import DATA, DTYPES, LAYOUTS, make, normal

SIGNS = ("offset", "none", "twos_complement")


def grid(rng: np.random.Generator, d: int) -> np.ndarray:
    """Ranges that do not hold all rows."""
    low = rng.uniform(-2, -1, d)
    return np.float32([low, low + rng.uniform(1, 4, d)])


def kinds(d: int, x: np.ndarray, rng: np.random.Generator) -> dict[str, em.Codes]:
    """Codes of every precision, scope, rounding, layout and signedness."""
    found = {}
    for precision in ("int8", "uint8", "int4"):
        found[f"{precision} row"] = em.quantize(x, precision)
        found[f"{precision} dim"] = em.quantize(x, precision, ranges=grid(rng, d))
        found[f"{precision} global"] = em.quantize(x, precision, ranges=[-2, 1.5], rounding="ratio")
    found["int8 truncate"] = em.quantize(x, "int8", ranges=grid(rng, d), rounding="truncate")
    data = rng.integers(-128, 128, x.shape, np.int8)
    found["int8 around 0, dim"] = em.Codes.from_data(
        data, "int8", step=rng.random(d) + 0.1, scope="dim"
    )
    found["int8 around 0, global"] = em.Codes.from_data(data, "int8", step=0.25)
    found["uint8 7 bits"] = em.quantize(x, "uint8", bits=7)
    if d % 2 == 0:
        found["int4 split"] = em.quantize(x, "int4", layout="split")
        found["int4 split dim"] = em.quantize(x, "int4", layout="split", ranges=grid(rng, d))
    for signedness in SIGNS:
        found[f"binary {signedness}"] = em.quantize(x, "binary", signedness=signedness)
    for precision in ("ubinary", "float16", "bfloat16"):
        found[precision] = em.quantize(x, precision)
    return found


NAMES = tuple(kinds(2, np.ones((2, 2), np.float32), np.random.default_rng(0)))


@pytest.fixture(params=NAMES)
def make_codes(request):
    def make_one(n, d, seed=0):
        rng = np.random.default_rng(seed)
        x = normal(rng, n, d)
        x[n // 2 :] = x[: n - n // 2]  # ties
        return kinds(d, x, rng)[request.param], x

    return make_one


@pytest.mark.usefixtures("isa")
class TestDecoded:
    @pytest.mark.parametrize("metric", FLOAT_METRICS)
    @pytest.mark.parametrize(("nq", "n", "d"), [(1, 33, 18), (5, 130, 34), (3, 17, 2)])
    def test_against_the_definition(self, make_codes, rng, nq, n, d, metric):
        codes, _ = make_codes(n, d)
        q = normal(rng, nq, d)
        found = em.search(q, codes, 7, metric)
        reference.assert_all_same(found, reference.search(q, codes.dequantize(), 7, metric))
        assert not found.is_exact
        assert isinstance(found, em.ApproximateTopK)

    @pytest.mark.parametrize("metric", ["cosine", "sqeuclidean", "manhattan"])
    @pytest.mark.parametrize("nq", [1, 20, 70])
    def test_every_plan(self, make_codes, rng, nq, metric):
        """Few queries scan, more filter by float32, many by int8."""
        codes, _ = make_codes(3000, 80)
        q = normal(rng, nq, 80)
        expected = em.search(q, codes.dequantize(), 5, metric)
        for threads in (1, 2):
            reference.assert_all_same(em.search(q, codes, 5, metric, threads=threads), expected)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_all_other_functions(make_codes, rng, metric):
    codes, _ = make_codes(70, 20)
    q, x = normal(rng, 4, 20), codes.dequantize()
    candidates = rng.integers(-1, 70, (4, 9))
    for name, args in {
        "range_search": (0.1 if metric in ("cosine", "dot") else 5.0, metric),
        "rescore": (candidates, 3, metric),
    }.items():
        function = getattr(em, name)
        found = function(q, codes, *args)
        reference.assert_all_same(found, function(q, x, *args))
        assert not found.is_exact
    for function in (em.distance, em.similarity):
        if metric != "dot" or function is em.similarity:
            reference.assert_same(function(q, codes, metric), function(q, x, metric))
            reference.assert_same(function(codes, q, metric), function(x, q, metric))
    reference.assert_same(em.similarity(codes, metric=metric), em.similarity(x, metric=metric))
    reference.assert_same(
        em.similarity_pairwise(codes, codes[::-1], metric),
        em.similarity_pairwise(x, x[::-1], metric),
    )


def test_options(make_codes, rng):
    codes, _ = make_codes(300, 20)
    x = codes.dequantize()
    mask = rng.random((300, 300)) < 0.5
    for options in (
        {"mask": mask[0]},
        {"mask": mask},
        {"exclude_self": True},
        {"threshold": 0.3},
        {"dims": 9},
        {"pad": True},
    ):
        for queries in (x, codes):
            found = em.search(queries, codes, 5, **options)
            reference.assert_all_same(found, em.search(x, x, 5, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(make_codes, rng, layout):
    codes, _ = make_codes(50, 20)
    if codes.precision == "bfloat16" and layout == "memmap":
        pytest.skip("as float16")
    other = dataclasses.replace(codes, data=LAYOUTS[layout](codes.data))
    q = normal(rng, 3, 20)
    reference.assert_all_same(em.search(q, other, 5), em.search(q, codes, 5))
    part, rows = codes[10:40:3], codes.dequantize()[10:40:3]
    reference.assert_all_same(em.search(q, part, 5), em.search(q, rows, 5))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_queries_of_other_types(make_codes, rng, dtype):
    codes, _ = make_codes(90, 20)
    q = normal(rng, 4, 20, dtype)
    reference.assert_all_same(em.search(q, codes, 5), em.search(q, codes.dequantize(), 5))


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (0, 0)])
def test_empty(shape):
    for precision in ("int8", "int4", "binary", "float16"):
        codes = em.quantize(np.zeros(shape, np.float32), precision)
        q = np.zeros((2, shape[1]), np.float32)
        reference.assert_all_same(em.search(q, codes, 3), em.search(q, codes.dequantize(), 3))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("d", [8, 12, 64, 100])
@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("query_signs", SIGNS)
def test_bits_with_bits(rng, d, metric, signs, query_signs):
    q, x = normal(rng, 12, d), normal(rng, 200, d)
    queries = em.quantize(q, "binary", signedness=query_signs)
    codes = em.quantize(x, "binary", signedness=signs)
    q_bits, bits = em.pack_bits(q), em.pack_bits(x)
    expected = reference.search(q_bits, bits, 9, metric)
    for one in (queries, q_bits):
        found = em.search(one, codes, 9, metric)
        reference.assert_all_same(found, expected)
        assert found.is_exact
    reference.assert_all_same(em.search(queries, bits, 9, metric), expected)
    expected = em.distance(q_bits, bits, metric)
    reference.assert_same(em.distance(queries, codes, metric), expected)
    limit = float(np.median(expected))
    hits = em.range_search(queries, codes, limit, metric)
    reference.assert_all_same(hits, em.range_search(q_bits, bits, limit, metric))
    assert hits.is_exact


def test_bits_behind_the_last_dimension_do_not_count(rng):
    data = rng.integers(0, 256, (40, 2), np.uint8)
    clean = data & np.uint8([0xFF, 0xF0])
    codes = em.Codes.from_data(data, "ubinary", dim=12)
    for metric in ("hamming", "jaccard"):
        found = em.search(codes, codes, 5, metric)
        reference.assert_all_same(found, em.search(clean, clean, 5, metric))


@given(st.data())
def test_any_codes(data):
    d, n, nq = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 70)), 3
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    name = data.draw(st.sampled_from(NAMES))
    codes = kinds(d, normal(rng, n, d), rng).get(name)
    if codes is None:
        return
    metric = data.draw(st.sampled_from(FLOAT_METRICS))
    k, dims = data.draw(st.integers(1, 9)), data.draw(st.integers(1, d))
    q = normal(rng, nq, d)
    expected = reference.search(q, codes.dequantize(), k, metric, dims=dims)
    reference.assert_all_same(em.search(q, codes, k, metric, dims=dims), expected)


# --- candidates and exact rows -------------------------------------------------------------------


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_rescored_without_a_proof(make_codes, rng, metric):
    codes, x = make_codes(400, 40)
    q, stats = normal(rng, 6, 40), {}
    found = em.search(q, codes, 5, metric, rescore=x, oversample=3.1, stats=stats)
    candidates = em.search(q, codes, 16, metric).indices
    reference.assert_all_same(found, em.rescore(q, x, candidates, 5, metric))
    assert not found.is_exact
    assert stats["rescored"] == 96
    assert stats["searched"] == 0


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_proven(make_codes, rng, metric):
    codes, x = make_codes(2000, 40)
    q = normal(rng, 9, 40)
    known = codes.with_residuals(x)
    found = em.search(q, known, 5, metric, rescore=x)
    reference.assert_all_same(found, em.search(q, x, 5, metric))
    assert found.is_exact
    unproven = em.search(q, known, 5, metric, rescore=x, exact=False, oversample=1)
    same = np.array_equal(unproven.indices, found.indices)
    assert same or not unproven.is_exact


def test_all_rows_as_candidates_are_exact(rng):
    x, q = normal(rng, 30, 8), normal(rng, 2, 8)
    codes = em.quantize(x, "binary")
    for options in ({"k": 30}, {"k": 3, "oversample": 10}, {"k": 3, "mask": np.arange(30) < 5}):
        found = em.search(q, codes, **options, rescore=x)
        options.pop("oversample", None)
        reference.assert_all_same(found, em.search(q, x, **options))
        assert found.is_exact


@pytest.mark.parametrize("few", [1, 16])
@pytest.mark.parametrize("precision", ["int8", "int4", "binary", "bfloat16"])
def test_proven_with_options(monkeypatch, rng, precision, few):
    """More and more candidates, or the rows at once; for some of the queries only."""
    monkeypatch.setattr(_two_pass, "_FEW", few)
    x = normal(rng, 500, 24)
    x[250:] = x[:250]
    q = np.concatenate([x[:40], np.zeros((2, 24), np.float32)])
    codes = em.quantize(x, precision).with_residuals(x)
    mask = rng.random((42, 500)) < 0.3
    for metric in FLOAT_METRICS:
        for options in (
            {},
            {"mask": mask},
            {"mask": mask[0]},
            {"exclude_self": True},
            {"exclude_self": True, "mask": mask},
            {"threshold": {"cosine": 0.5, "dot": 0.5}.get(metric, 4.0)},
            {"pad": True, "mask": np.zeros(500, np.bool_)},
            {"k": 600, "pad": True},
            {"dims": 11},
            {"threads": 2},
        ):
            given = {"k": 3} | options
            found = em.search(q, codes, metric=metric, **given, rescore=x)
            reference.assert_all_same(found, em.search(q, x, metric=metric, **given))
            assert found.is_exact


def test_queries_and_rows_of_other_types(rng):
    x, q = normal(rng, 300, 16), normal(rng, 5, 16)
    for dtype in ("float16", "bfloat16", "float64"):
        rows = x.astype(DTYPES[dtype])
        codes = em.quantize(rows, "int8").with_residuals(rows)
        for queries in (q, q.astype(DTYPES[dtype]), em.quantize(q, "int8"), em.quantize(q, "int4")):
            plain = queries.dequantize() if isinstance(queries, em.Codes) else queries
            found = em.search(queries, codes, 4, rescore=rows)
            reference.assert_all_same(found, em.search(plain, rows, 4))


def test_out_and_nan_queries(rng):
    x, q = normal(rng, 100, 8), normal(rng, 3, 8)
    codes = em.quantize(x, "int8").with_residuals(x)
    q[1, 1] = np.nan
    with pytest.raises(ValueError, match="queries: row 1 holds NaN"):
        em.search(q, codes, 3, rescore=x)
    expected = em.search(q, x, 3, nan="rank_last")
    out = np.zeros((3, 3), np.float32), np.zeros((3, 3), np.int64)
    found = em.search(q, codes, 3, nan="rank_last", rescore=x, out=out)
    assert found.values is out[0]
    reference.assert_all_same(found, expected)
    assert found.is_exact


def test_nan_and_infinite_rows_prove_nothing(rng):
    x, q = normal(rng, 100, 8), normal(rng, 3, 8)
    x[7, 3], x[9, 0] = np.nan, np.inf
    codes = em.quantize(x, "uint8", ranges=[-3, 3]).with_residuals(x)
    assert codes.residuals[:3] == (np.inf,) * 3
    for metric in FLOAT_METRICS:
        for k in (3, 99, 100):
            found = em.search(q, codes, k, metric, rescore=x)
            reference.assert_all_same(found, em.search(q, x, k, metric))


class TestCertificate:
    @pytest.mark.parametrize("metric", FLOAT_METRICS)
    def test_bounds_hold_and_are_needed(self, monkeypatch, metric):
        """Rows that lie as far from their codes as they may, towards the query or away."""
        misled = 0
        for seed in range(30):
            rng = np.random.default_rng(seed)
            q = normal(rng, 1, 12)
            data = rng.integers(-100, 101, (60, 12), np.int8)
            codes = em.Codes.from_data(data, "int8", step=0.02)
            towards = np.sign(q) if metric == "manhattan" else q / np.linalg.norm(q)
            if metric not in ("cosine", "dot"):
                towards = q - codes.dequantize()
                towards /= np.linalg.norm(towards, axis=1, keepdims=True)
            size = 10.0 ** -rng.integers(0, 5)
            x = codes.dequantize() + np.float32(size) * rng.uniform(-1, 1, (60, 1)) * towards
            x = x.astype(np.float32)
            codes = codes.with_residuals(x)
            expected = em.search(q, x, 2, metric)
            found = em.search(q, codes, 2, metric, rescore=x, oversample=1)
            reference.assert_all_same(found, expected)
            small = em.Residuals(*(r * 1e-3 for r in codes.residuals))
            wrong = dataclasses.replace(codes, residuals=small)
            with monkeypatch.context() as unchecked:
                unchecked.setattr(_two_pass.TwoPass, "_check_rows", lambda *_: None)
                found = em.search(q, wrong, 2, metric, rescore=x, oversample=1)
            misled += not np.array_equal(found.indices, expected.indices)
        assert misled > 0

    def test_it_proves_what_it_should(self, rng):
        """Few queries need more than the candidates where codes are good."""
        x, q, stats = normal(rng, 3000, 64), normal(rng, 50, 64), {}
        for precision, searched in (("float16", 0), ("int8", 10), ("bfloat16", 5), ("binary", 50)):
            codes = em.quantize(x, precision).with_residuals(x)
            em.search(q, codes, 3, rescore=x, oversample=6, stats=stats)
            assert stats["searched"] <= searched

    @given(st.data())
    def test_any_data(self, data):
        kind = data.draw(st.sampled_from([k for k in DATA if k not in ("specials", "extreme")]))
        precision = data.draw(st.sampled_from(["int8", "uint8", "int4", "float16", "bfloat16"]))
        metric = data.draw(st.sampled_from(FLOAT_METRICS))
        d = data.draw(st.sampled_from([1, 2, 16, 33]))
        q, x = make(kind, 3, 90, d, seed=data.draw(st.integers(0, 2**16)))
        q = np.nan_to_num(q)
        try:
            codes = em.quantize(x, precision)
        except ValueError:  # no finite range
            return
        k = data.draw(st.integers(1, 5))
        options = {"oversample": data.draw(st.sampled_from([1, 1.5, 4]))}
        found = em.search(q, codes.with_residuals(x), k, metric, rescore=x, **options)
        reference.assert_all_same(found, em.search(q, x, k, metric))

    @pytest.mark.parametrize("metric", FLOAT_METRICS)
    def test_other_rows_than_were_measured_are_noticed(self, rng, metric):
        x, q = normal(rng, 200, 16), normal(rng, 4, 16)
        codes = em.quantize(x, "int8").with_residuals(x)
        for other in (x[::-1], -x, normal(rng, 200, 16)):
            with pytest.raises(ValueError, match=r"^rescore: row \d+ is further from its codes"):
                em.search(q, codes, 5, metric, rescore=other, oversample=40)

    @pytest.mark.parametrize("scale", [1e-45, 1e-42, 1e-38, 1e-30, 1e30, 3e38])
    def test_residuals_at_the_ends_of_float32(self, rng, scale):
        """Above the true ones, computed without float32."""
        with np.errstate(over="ignore"):
            x = (rng.uniform(-1, 1, (40, 9)) * scale).astype(np.float32)
        codes = em.quantize(x, "float16" if scale < 1 else "bfloat16").with_residuals(x)
        a, b = x.astype(np.longdouble), codes.dequantize().astype(np.longdouble)
        norms = [np.sqrt((m**2).sum(axis=1, keepdims=True)) for m in (a, b)]
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = (np.where(r > 0, m / r, 0) for m, r in zip((a, b), norms, strict=True))
        known = codes.residuals
        assert known.euclidean >= np.sqrt(((a - b) ** 2).sum(axis=1)).max()
        assert known.manhattan >= np.abs(a - b).sum(axis=1).max()
        assert known.cosine >= np.sqrt(((u - v) ** 2).sum(axis=1)).max()
        assert known.norm >= max(r.max() for r in norms)

    def test_residuals_of_zero_rows(self):
        x = np.float32([[0, 0], [1, 1]])
        codes = em.Codes.from_data(np.int8([[1, 0], [0, 0]]), "int8", step=1)
        assert 1 <= codes.with_residuals(x).residuals.cosine < 1.001
        assert 1.41 < codes.with_residuals(x).residuals.euclidean < 1.42
        same = em.quantize(np.zeros((3, 2), np.float32), "int8")
        assert same.with_residuals(np.zeros((3, 2))).residuals.cosine < 1e-9


# --- what is refused -----------------------------------------------------------------------------

X = np.float32([[1, -0.5], [0, 2]])
CODES = em.quantize(X, "int8")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: em.search(X[:, :1], CODES),
            ValueError,
            "^corpus: expected 1 columns like queries",
        ),
        (lambda: em.search(X, CODES, metric="hamming"), TypeError, "^corpus: metric 'hamming'"),
        (
            lambda: em.search(X, em.quantize(X, "binary"), metric="hamming"),
            TypeError,
            "takes packed bits",
        ),
        (lambda: em.search(np.int8([[1, 2]]), CODES), TypeError, "integers go with the same"),
        (lambda: em.search(X, X, rescore=X), TypeError, "^corpus: rescore, oversample and exact"),
        (lambda: em.search(X, CODES, oversample=2), ValueError, "^oversample: needs the rows"),
        (lambda: em.search(X, CODES, exact=True), ValueError, "^exact: needs the rows"),
        (
            lambda: em.search(X, CODES, rescore=X, exact=True),
            ValueError,
            "^exact: needs codes.with",
        ),
        (lambda: em.search(X, CODES, rescore=X, exact=1), TypeError, "^exact: expected a bool"),
        (
            lambda: em.search(X, CODES, rescore=X, oversample=0.5),
            ValueError,
            "^oversample: must be",
        ),
        (
            lambda: em.search(X, CODES, rescore=X, oversample=np.inf),
            ValueError,
            "^oversample: must",
        ),
        (lambda: em.search(X, CODES, rescore=X[:1]), ValueError, "^rescore: expected 2 rows"),
        (lambda: em.search(X, CODES, rescore=X[:, :1]), ValueError, "^rescore: expected 2 columns"),
        (
            lambda: em.search(
                em.pack_bits(X), em.quantize(X, "binary"), metric="hamming", rescore=X
            ),
            ValueError,
            "^rescore: metric 'hamming' is exact on codes",
        ),
        (
            lambda: em.search(X, em.Codes.from_data(np.int8(X), "int8")),
            ValueError,
            "^corpus: codes w",
        ),
        (lambda: CODES.with_residuals(X[:1]), ValueError, "^rows: expected shape"),
        (lambda: CODES.with_residuals(np.int8(X)), TypeError, "^rows: expected dtype"),
        (lambda: em.normalize(CODES), TypeError, "^x: expected an array, got Codes"),
        (lambda: em.Index(CODES), TypeError, "expected an array, got Codes"),
        (lambda: em.Index(X).search(CODES), TypeError, "^queries: expected an array, got Codes"),
        (lambda: em.quantize(CODES, "int4"), TypeError, "^x: expected an array, got Codes"),
        (lambda: em.search(X, CODES, rescore=CODES), TypeError, "^rescore: expected an array"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 3},
        {"dim": 10**6},
        {"step": np.float32([1])},
        {"step": np.ones((5, 1), np.float32)},
        {"minimum": np.float32([[1]])},
        {"scope": "dim", "step": np.ones(3, np.float32)},
        {"data": np.int8([[1, 2, 3], [1, 2, 3]])},
    ],
    ids=str,
)
def test_codes_that_do_not_fit_together(change):
    broken = dataclasses.replace(CODES, **change)
    with pytest.raises(ValueError, match=r"^(codes|corpus): expected"):
        em.search(np.zeros((1, broken.dim), np.float32), broken)
