"""Searches of tensors on a device, by Torch operations alone: the kernels' bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _arrays
from reference import FLOAT_METRICS
from strategies import DATA, FLOATS, INTS, make, metrics_of, normal, problems

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath._torch_native import (  # noqa: E402
    bounds,
    estimate,
)
from torch_helpers import numbers, same, tensor  # noqa: E402


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
