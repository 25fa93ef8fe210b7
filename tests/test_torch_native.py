"""Tensors on a device, by Torch operations alone: the kernels' bits. Tried on the CPU's tensors."""

from __future__ import annotations

import logging

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _arrays, _device
from reference import FLOAT_METRICS
from strategies import DATA, FLOATS, INTS, make, metrics_of, normal, problems

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath._torch_native import (  # noqa: E402
    block,
    bounds,
    canonical,
    estimate,
    order,
    problem,
    rounding,
    search,
)

MATRICES = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")


@pytest.fixture
def on_device(monkeypatch):
    """Send the CPU's tensors the way of those on a device."""

    def call(function, *args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(_arrays, "DEVICES", ("cuda", "cpu"))
            return function(*map(tensor, args), **{k: tensor(v) for k, v in options.items()})

    return call


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors, many operations: threads of Torch's own would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_tiles(monkeypatch):
    """Many tiles and blocks of queries where there is little data."""
    monkeypatch.setattr(problem, "_TILE_SCORES", 64)
    monkeypatch.setattr(block, "_LEAST_PENDING", 10)
    monkeypatch.setattr(search, "_MOST_QUERIES", 3)
    monkeypatch.setattr(canonical, "_CHUNK_ELEMENTS", 500)


def tensor(x):
    """A tensor of the same values; Torch takes neither bfloat16 nor negative strides from NumPy."""
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(np.array(x).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.array(x))


def array(t):
    if t.dtype == torch.bfloat16:
        return t.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return t.numpy()


def same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        reference.assert_same(array(one), other)


def numbers(x):
    return np.where(np.isnan(x), 0, x).astype(x.dtype)


class TestSearch:
    @given(
        case=problems(),
        k=st.sampled_from([1, 3, 10, 200]),
        chosen=st.sets(st.sampled_from(["mask", "masks", "pad", "exclude_self", "threshold"])),
        data=st.data(),
    )
    def test_is_that_of_the_kernels(self, on_device, case, k, chosen, data):
        q, x, metric = case
        rng = np.random.default_rng(3)
        options = {"pad": "pad" in chosen}
        options["exclude_self"] = "exclude_self" in chosen and len(q) <= len(x)
        if "mask" in chosen:
            options["mask"] = rng.random(len(x)) < 0.5
        elif "masks" in chosen:
            options["mask"] = rng.random((len(q), len(x))) < 0.5
        if "threshold" in chosen and len(q) and len(x):
            scores = reference.matrix(q, x, metric, "search").ravel()
            threshold = float(data.draw(st.sampled_from(scores.tolist())))
            options["threshold"] = 0.0 if np.isnan(threshold) else threshold
        same(
            on_device(em.search, q, x, k, metric, **options), em.search(q, x, k, metric, **options)
        )
        if "threshold" in options:
            del options["pad"]
            limit = options.pop("threshold")
            same(
                on_device(em.range_search, q, x, limit, metric, **options),
                em.range_search(q, x, limit, metric, **options),
            )

    @pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
    @pytest.mark.parametrize("data", DATA)
    def test_hard_data_in_many_tiles(self, on_device, small_tiles, data, dtype):
        if data == "specials" and dtype in INTS:
            pytest.skip("integers have no specials")
        q, x = make(data, 4, 70, 33, dtype)
        q = numbers(q)
        for k, metric in zip((1, 12, 3, 1, 7, 2, 12), metrics_of(dtype), strict=False):
            same(on_device(em.search, q, x, k, metric), em.search(q, x, k, metric))

    @pytest.mark.parametrize("precision", ["highest", "high", "medium"])
    def test_the_caller_chooses_the_speed_of_products_not_the_results(self, on_device, precision):
        q, x = make("near_ties", 40, 2000, 129)
        expected = em.search(q, x, 10, "dot")
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        try:
            same(on_device(em.search, q, x, 10, "dot"), expected)
        finally:
            torch.set_float32_matmul_precision(before)

    def test_products_of_chopped_inputs_change_nothing(self, on_device, monkeypatch):
        """TF32 as tensor cores do it: ten bits of mantissa, the others cut off."""

        class Chopped(estimate.ProductBound):
            def prepare(self, rows):
                scaled = super().prepare(rows)
                chopped = (scaled.unit.view(torch.int32) & ~0x1FFF).view(torch.float32)
                return scaled._replace(unit=chopped)

        monkeypatch.setattr(estimate, "ProductBound", Chopped)
        monkeypatch.setattr(bounds, "matmul_precision", lambda device: "tf32")
        for data in ("normal", "near_ties", "cancelling", "mixed_scales"):
            q, x = make(data, 20, 500, 65)
            for metric in ("cosine", "dot", "euclidean"):
                same(on_device(em.search, q, x, 7, metric), em.search(q, x, 7, metric))

    def test_autocast_changes_nothing(self, on_device, monkeypatch):
        q, x = make("near_ties", 9, 300, 100)
        products = []
        best = estimate.ProductBound.best
        monkeypatch.setattr(
            estimate.ProductBound,
            "best",
            lambda *args: products.append(torch.ones(2, 2) @ torch.ones(2, 2)) or best(*args),
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            same(on_device(em.search, q, x, 7), em.search(q, x, 7))
        assert products[0].dtype == torch.float32

    def test_is_not_compiled(self, monkeypatch, rng):
        """A compiler may fuse what must be rounded twice."""
        monkeypatch.setattr(_arrays, "DEVICES", ("cpu",))
        q, x = (tensor(normal(rng, n, 33)) for n in (4, 50))
        compiled = torch.compile(lambda a, b: em.search(a, b, 3, "euclidean"), backend="eager")
        same(compiled(q, x), em.search(q.numpy(), x.numpy(), 3, "euclidean"))
        with pytest.raises(torch._dynamo.exc.Unsupported):
            torch.compile(em.normalize, backend="eager", fullgraph=True)(x)

    def test_few_rows_are_verified(self, on_device, rng):
        q, x = normal(rng, 64, 64), normal(rng, 20000, 64)
        stats = {}
        on_device(em.search, q, x, 10, stats=stats)
        assert stats["plan"] == "torch"
        assert stats["verified"] < 64 * 20000 / 100

    @pytest.mark.parametrize("data", ["ascending", "all_equal"])
    def test_worst_order(self, on_device, small_tiles, data):
        q, x = make(data, 4, 600, 17)
        same(on_device(em.search, q, x, 5, "dot"), em.search(q, x, 5, "dot"))

    def test_nan_queries(self, on_device, rng):
        q, x = normal(rng, 5, 9), normal(rng, 30, 9)
        q[3, 2] = np.nan
        with pytest.raises(ValueError, match=r"^queries: row 3 holds NaN"):
            on_device(em.search, q, x)
        same(on_device(em.search, q, x, nan="rank_last"), em.search(q, x, nan="rank_last"))

    def test_dims_and_empty(self, on_device, rng):
        q, x = normal(rng, 5, 40), normal(rng, 30, 50)
        same(on_device(em.search, q, x, 4, dims=20), em.search(q, x, 4, dims=20))
        same(on_device(em.search, q[:0], x[:, :40]), em.search(q[:0], x[:, :40]))
        same(on_device(em.search, q, x[:0, :40]), em.search(q, x[:0, :40]))

    def test_progress_and_out(self, on_device, small_tiles, rng):
        q, x = normal(rng, 5, 40), normal(rng, 300, 40)
        seen = []
        out = torch.empty(5, 4), torch.empty(5, 4, dtype=torch.int64)
        found = on_device(em.search, q, x, 4, out=out, progress=seen.append)
        assert found.values is out[0]
        same(out, em.search(q, x, 4))
        assert seen == sorted(seen)
        assert seen[-1] == 1.0

    def test_views(self, on_device, rng):
        x = torch.from_numpy(normal(rng, 200, 64))
        for view in (x[::2], x[:, ::3], x[:, 5:30], x[:1].expand(50, -1), x.t().contiguous().t()):
            q = view[:3]
            same(on_device(em.search, q, view, 5), em.search(q.numpy(), view.numpy(), 5))

    def test_rescore(self, on_device, rng):
        q, x = normal(rng, 6, 33), normal(rng, 80, 33)
        candidates = rng.integers(-1, 80, (6, 30))
        for metric in FLOAT_METRICS:
            same(
                on_device(em.rescore, q, x, candidates, 12, metric),
                em.rescore(q, x, candidates, 12, metric),
            )
        with pytest.raises(ValueError, match=r"^candidates: .* 80"):
            on_device(em.rescore, q, x, candidates + 1 + 80 * (candidates == 79), 3)


class TestCodes:
    @pytest.mark.parametrize(
        "precision", ["int8", "uint8", "int4", "binary", "float16", "bfloat16"]
    )
    @pytest.mark.parametrize("metric", FLOAT_METRICS)
    def test_search(self, on_device, small_tiles, precision, metric, rng):
        q, x = normal(rng, 6, 33), normal(rng, 150, 33)
        codes = em.quantize(x, precision)
        there = on_device(em.quantize, x, precision)
        assert isinstance(there.data, torch.Tensor)
        found = on_device(em.search, q, there, 7, metric)
        same(found, em.search(q, codes, 7, metric))
        assert not found.is_exact
        same(
            on_device(em.range_search, q, there, 2.0, metric),
            em.range_search(q, codes, 2.0, metric),
        )

    @pytest.mark.parametrize("signedness", ["offset", "twos_complement", "none"])
    @pytest.mark.parametrize("metric", ["hamming", "jaccard"])
    def test_bits(self, on_device, metric, signedness, rng):
        q, x = normal(rng, 6, 43), normal(rng, 150, 43)
        ours = [em.quantize(rows, "binary", signedness=signedness) for rows in (q, x)]
        there = [on_device(em.quantize, r, "binary", signedness=signedness) for r in (q, x)]
        same(on_device(em.search, *there, 9, metric), em.search(*ours, 9, metric))
        assert on_device(em.search, *there, 9, metric).is_exact

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize(
        ("precision", "options"),
        [
            ("int8", {}),
            ("uint8", {}),
            ("uint8", {"bits": 7}),
            ("int4", {}),
            ("int4", {"layout": "split"}),
            ("uint8", {"scope": "dim"}),
            ("uint8", {"scope": "global", "rounding": "ratio"}),
            ("int8", {"scope": "dim", "rounding": "truncate"}),
            ("int8", {"scope": "dim", "quantile": 0.9}),
            ("int8", {"ranges": [-1.0, 1.5]}),
            ("int4", {"ranges": [-1.0, 1.5], "rounding": "ratio"}),
            ("uint8", {"rounding": "floor"}),
            ("binary", {}),
            ("ubinary", {"threshold": "ge"}),
            ("binary", {"signedness": "twos_complement"}),
            ("float16", {}),
            ("bfloat16", {}),
        ],
    )
    def test_are_those_of_the_kernels(self, on_device, precision, options, dtype, rng):
        for x in (normal(rng, 50, 34, dtype), normal(rng, 1, 34, dtype)[0]):
            if x.ndim == 1 and options.get("scope") == "dim":
                continue
            ours, there = (
                em.quantize(x, precision, **options),
                on_device(em.quantize, x, precision, **options),
            )
            for name in ("dim", "scope", "rounding", "bits", "layout", "signedness", "precision"):
                assert getattr(ours, name) == getattr(there, name)
            for name in ("step", "minimum", "ranges"):
                assert (getattr(ours, name) is None) == (getattr(there, name) is None)
                if getattr(ours, name) is not None:
                    reference.assert_same(getattr(there, name).numpy(), getattr(ours, name))
            data = array(there.data)
            assert data.shape == ours.data.shape
            assert data.tobytes() == np.ascontiguousarray(ours.data).tobytes()
            for to in FLOATS:
                for center in (True, False):
                    actual = on_device(em.dequantize, there, dtype=to, center=center)
                    expected = em.dequantize(ours, dtype=to, center=center)
                    assert array(actual).tobytes() == expected.tobytes()

    def test_ranges(self, on_device, rng):
        x = normal(rng, 70, 12)
        for options in ({}, {"quantile": 0.9}, {"scope": "global", "quantile": 0.5}):
            actual = on_device(em.fit_ranges, x, **options)
            reference.assert_same(actual.numpy(), em.fit_ranges(x, **options))
        wanted = em.quantize(x, "int8", calibration=x[:40])
        there = on_device(em.quantize, x, "int8", calibration=x[:40])
        reference.assert_same(there.data.numpy(), wanted.data)

    def test_refused(self, on_device, rng):
        x = normal(rng, 9, 12)
        x[4, 3] = np.inf
        for options in ({}, {"scope": "dim"}):
            with pytest.raises(ValueError, match=r"^x: expected .*finite numbers"):
                on_device(em.quantize, x, "int8", **options)
        with pytest.raises(ValueError, match=r"^ranges: expected minimum <= maximum"):
            on_device(em.quantize, x, "uint8", ranges=[1.0, 0.0])
        codes = on_device(em.quantize, np.abs(x[:4]), "int8")
        with pytest.raises(ValueError, match=r"^rescore: not for tensors on a device"):
            on_device(em.search, x[:1], codes, rescore=torch.from_numpy(x[:4]))

    @pytest.mark.parametrize(
        ("precision", "options"),
        [
            ("uint8", {"ranges": [-1.0, 1.0]}),
            ("int8", {"step": 0.01}),
            ("int8", {"step": np.arange(1, 13, dtype=np.float32), "scope": "dim"}),
            ("int4", {"step": 0.1, "minimum": -1.0, "dim": 23}),
            ("ubinary", {"dim": 91}),
            ("uint8", {}),
        ],
    )
    def test_made_elsewhere(self, on_device, precision, options, rng):
        data = rng.integers(-100, 100, (5, 12)).astype("int8" if precision == "int8" else "uint8")
        ours = em.Codes.from_data(data, precision, **options)
        there = on_device(em.Codes.from_data, data, precision, **options)
        assert on_device(repr, there) == repr(ours)
        assert there.rounding == ours.rounding
        if options:
            same([on_device(em.dequantize, there)], [em.dequantize(ours)])
        else:
            with pytest.raises(ValueError, match=r"^codes: "):
                on_device(em.dequantize, there)
        with pytest.raises(ValueError, match=r"^dim: "):
            on_device(em.Codes.from_data, data, precision, dim=1)

    def test_packing(self, on_device, rng):
        x = normal(rng, 9, 21)
        same([on_device(em.pack_bits, x, threshold=0.3)], [em.pack_bits(x, threshold=0.3)])
        bits = em.pack_bits(x)
        same([on_device(em.unpack_bits, bits, 21)], [em.unpack_bits(bits, 21)])
        for layout in ("interleaved", "split"):
            codes = rng.integers(0, 16, (5, 10)).astype(np.uint8)
            packed = em.pack_int4(codes, layout=layout)
            same([on_device(em.pack_int4, codes, layout=layout)], [packed])
            same([on_device(em.unpack_int4, packed, 10, layout=layout)], [codes])


class TestMatrices:
    @given(case=problems())
    def test_agree_with_the_oracle(self, on_device, case):
        q, x, metric = case
        functions = [em.distance] if metric != "dot" else []
        functions += [em.similarity] if metric in MATRICES else []
        for function in functions:
            actual = array(on_device(function, q, x, metric))
            expected = getattr(reference, function.__name__)(q, x, metric)
            if expected.dtype == np.float32 and q.dtype.name in FLOATS:
                reference.assert_within_bound(actual, expected, q, x, metric)
            else:
                reference.assert_same(actual, expected)

    @given(case=problems())
    def test_pairs_are_canonical(self, on_device, case):
        q, x, metric = case
        n = min(len(q), len(x))
        functions = [em.distance_pairwise] if metric != "dot" else []
        functions += [em.similarity_pairwise] if metric in MATRICES else []
        for function in functions:
            expected = function(q[:n], x[:n], metric)
            reference.assert_same(
                array(on_device(function, np.array(q[:n]), np.array(x[:n]), metric)), expected
            )

    def test_precision_of_products_is_no_matter(self, on_device, monkeypatch, rng):
        monkeypatch.setattr(bounds, "matmul_precision", lambda device: "tf32")
        q, x = normal(rng, 5, 70), normal(rng, 9, 70)
        expected = reference.similarity(q, x)
        reference.assert_within_bound(
            array(on_device(em.similarity, q, x)), expected, q, x, "cosine"
        )

    def test_out_and_self(self, on_device, rng):
        x = normal(rng, 9, 20)
        out = torch.empty(9, 9)
        assert on_device(em.similarity, x, out=out) is out
        assert torch.equal(out, on_device(em.cosine_similarity, x))
        with pytest.raises(ValueError, match=r"^out: expected shape \(9, 9\)"):
            on_device(em.similarity, x, out=torch.empty(3, 9))
        shared = torch.zeros(9, 20)
        with pytest.raises(ValueError, match=r"^out: .*overlap"):
            on_device(em.normalize, shared, out=shared)


class TestTransforms:
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("data", DATA)
    def test_normalize(self, on_device, data, dtype):
        _, x = make(data, 1, 60, 33, dtype)
        for eps in (0.0, 1e-3):
            same([on_device(em.normalize, x, eps=eps)], [em.normalize(x, eps=eps)])
        same([on_device(em.truncate, x, 7)], [em.truncate(x, 7)])
        same([on_device(em.truncate, x[0], 7, normalize=False)], [x[0, :7]])

    @pytest.mark.parametrize("dtype", [*FLOATS, *INTS, "int32", "int64"])
    @pytest.mark.parametrize("mode", ["largest", "smallest"])
    def test_top_k(self, on_device, dtype, mode, rng):
        x = rng.integers(-5, 5, (7, 40, 3))
        x = x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        if dtype in FLOATS:
            x[rng.random(x.shape) < 0.1] = np.nan
            x[rng.random(x.shape) < 0.1] = -np.inf
            x[rng.random(x.shape) < 0.1] *= -1.0
        for axis in (0, 1, -1):
            for k in (1, 5, 100):
                same(
                    on_device(em.top_k, x, k, axis=axis, mode=mode),
                    em.top_k(x, k, axis=axis, mode=mode),
                )


class TestPieces:
    def test_root_is_the_nearest(self, rng):
        x = np.concatenate(
            [rng.random(200_000) * 10.0 ** rng.integers(-300, 300, 200_000), [0.0, np.inf, 5e-324]]
        )
        actual = rounding.sqrt(torch.from_numpy(x)).numpy()
        np.testing.assert_array_equal(actual, np.sqrt(x))
        assert rounding.sqrt(torch.tensor([-1.0, torch.nan]).double()).isnan().all()

    def test_one_rounding_to_16_bits(self, rng):
        x = torch.from_numpy(rng.standard_normal(100_000) * 10.0 ** rng.integers(-9, 6, 100_000))
        for dtype, name in ((torch.float16, np.float16), (torch.bfloat16, ml_dtypes.bfloat16)):
            expected = em.quantize(x.numpy(), str(dtype).removeprefix("torch.")).data
            actual = array(rounding.round_once(x, dtype))
            assert actual.tobytes() == np.asarray(expected).astype(name).tobytes()

    def test_keys_order_as_numbers_do(self):
        values = torch.tensor([0.0, -0.0, 1.0, -1.0, torch.inf, -torch.inf, torch.nan, 2.0**-149])
        for largest in (True, False):
            keys = order.keys(values, largest)
            assert keys[0] == keys[1]
            assert keys.argmax() == 6
            finite = values[~values.isnan()]
            assert torch.equal(
                finite[keys[~values.isnan()].argsort(stable=True)],
                finite.sort(descending=largest, stable=True).values,
            )

    def test_precision_is_read_never_set(self):
        before = torch.get_float32_matmul_precision()
        cpu = torch.device("cpu")
        torch.set_float32_matmul_precision("medium")
        try:
            assert bounds.matmul_precision(cpu) == "bf16"
            assert torch.get_float32_matmul_precision() == "medium"
        finally:
            torch.set_float32_matmul_precision(before)
        coarse, fine = (bounds.dot_error(100, torch.float32, mode) for mode in ("bf16", "ieee"))
        assert coarse > 1000 * fine > 0

    @pytest.mark.parametrize("data", ["normal", "cancelling", "mixed_scales", "huge", "denormal"])
    @pytest.mark.parametrize("metric", FLOAT_METRICS)
    def test_bounds_hold_for_every_pair(self, data, metric):
        q, x = make(data, 10, 200, 129)
        scores = reference.matrix(q, x, metric, "search").astype(np.float64)
        bound = estimate.bound_for(metric, 129, (torch.float32,) * 2, torch.device("cpu"))
        prepared = [bound.prepare(tensor(rows)) for rows in (q, x)]
        best = bound.best(*prepared).float().double().numpy()
        signed = scores if metric in ("cosine", "dot") else -scores
        assert (best >= signed).all()


class TestDispatch:
    def test_is_announced_once_and_shown(self, on_device, monkeypatch, caplog, rng):
        monkeypatch.setitem(_device._state, "backend", None)
        assert "not used" in em.info()["device_backend"]
        with caplog.at_level(logging.WARNING, "embmath"):
            for _ in range(3):
                on_device(em.normalize, normal(rng, 2, 3))
        assert len(caplog.records) == 1
        assert "CUDA module absent" in caplog.text
        assert "in use" in em.info()["device_backend"]
        assert em.info()["cuda_module"].startswith("absent: ")
        assert em.info()["torch"] == torch.__version__

    def test_nothing_is_moved(self, monkeypatch, rng):
        """The meta device stands for another device: its tensors cannot be read at all."""
        monkeypatch.setattr(_arrays, "DEVICES", ("meta",))
        there, here = torch.ones(3, 4, device="meta"), torch.ones(3, 4)
        with pytest.raises(TypeError, match=r"^corpus: .*meta like queries, got one on cpu"):
            em.search(there, here)
        with pytest.raises(TypeError, match=r"^corpus: .*cpu like queries, got one on meta"):
            em.search(here, there)
        with pytest.raises(TypeError, match=r"^queries: .*meta like corpus, got list"):
            em.search([[1.0] * 4], there)
        with pytest.raises(TypeError, match=r"^b: expected a tensor on meta like a, got ndarray"):
            em.similarity(there, np.ones((3, 4), np.float32))
        with pytest.raises(TypeError, match=r"^mask: .*meta"):
            em.search(there, there, mask=torch.ones(3, dtype=torch.bool))
        with pytest.raises(TypeError, match=r"^rows: .*CPU tensor, got one on meta"):
            em.Index(there)

    @pytest.mark.parametrize(
        ("call", "error", "text"),
        [
            (lambda x: em.search(x, x, metric="cosin"), ValueError, "^metric: "),
            (lambda x: em.search(x, x[:, :3]), ValueError, "^corpus: expected 4 columns"),
            (lambda x: em.search(x, x, dims=5), ValueError, "^dims: "),
            (lambda x: em.search(x, x.to(torch.int8)), TypeError, "^(corpus|b): integers go with"),
            (lambda x: em.search(x, x, metric="hamming"), TypeError, "^metric: 'hamming' takes"),
            (lambda x: em.search(x, x.to(torch.int64)), TypeError, "^corpus: expected dtype"),
            (lambda x: em.search(x[None], x), ValueError, "^queries: expected 1 or 2 dim"),
            (lambda x: em.search(x, x.to_sparse()), TypeError, "^corpus: expected a dense"),
            (lambda x: em.search(x.requires_grad_(), x), TypeError, "^queries: gradients"),
            (lambda x: em.search(x, x[:1], exclude_self=True), ValueError, "^exclude_self: "),
            (lambda x: em.search(x, x, mask=torch.ones(9).bool()), ValueError, "^mask: "),
            (lambda x: em.distance_pairwise(x, x[:1]), ValueError, "^b: expected 3 rows"),
            (lambda x: em.top_k(x, 1, axis=2), ValueError, "^axis: "),
            (lambda x: em.truncate(x, 5), ValueError, "^dims: "),
            (lambda x: em.normalize(x.to(torch.int8)), TypeError, "^x: expected dtype"),
        ],
    )
    def test_refusals_name_the_argument(self, monkeypatch, call, error, text):
        x = torch.ones(3, 4)
        with pytest.raises(error, match=text):  # as the kernels do
            call(x.clone())
        monkeypatch.setattr(_arrays, "DEVICES", ("cpu",))
        with pytest.raises(error, match=text):
            call(x)


class TestForeignArrays:
    """CuPy's and JAX's arrays, in the shape of a library whose arrays lie in this memory."""

    @pytest.fixture
    def xp(self, monkeypatch):
        monkeypatch.setattr(_arrays, "DLPACK_DEVICES", (1,))
        return pytest.importorskip("array_api_strict")

    def test_come_back_to_their_library(self, xp, rng):
        x = normal(rng, 50, 8)
        found = em.search(xp.asarray(x[:3]), xp.asarray(x), 4)
        wanted = em.search(x[:3], x, 4)
        for part, other in zip(found, wanted, strict=True):
            assert type(part) is type(xp.asarray(x))
            np.testing.assert_array_equal(np.asarray(part), other)
        unit = em.normalize(xp.asarray(x))
        assert type(unit) is type(xp.asarray(x))
        np.testing.assert_array_equal(np.asarray(unit), em.normalize(x))

    def test_mix_with_tensors_of_the_same_device(self, xp, rng):
        x = normal(rng, 20, 5)
        found = em.range_search(xp.asarray(x), torch.from_numpy(x), 0.3)
        for part, other in zip(found, em.range_search(x, x, 0.3), strict=True):
            np.testing.assert_array_equal(np.asarray(part), other)

    def test_of_no_device_at_all_are_read_as_before(self, xp, rng, monkeypatch):
        monkeypatch.setattr(_arrays, "DLPACK_DEVICES", (2,))
        x = normal(rng, 20, 5)
        found = em.search(xp.asarray(x), xp.asarray(x), 2)
        assert type(found.indices) is type(xp.asarray(x))
