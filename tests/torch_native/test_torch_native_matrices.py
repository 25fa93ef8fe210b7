"""Score matrices, transforms and their pieces by Torch operations alone."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

import embmath as em
import reference
from reference import FLOAT_METRICS
from strategies import DATA, FLOATS, INTS, make, normal, problems

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath._torch_native import (  # noqa: E402
    bounds,
    estimate,
    order,
    rounding,
)
from torch_helpers import MATRICES, array, same, tensor  # noqa: E402


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
