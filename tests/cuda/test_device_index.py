"""An index on a device against the one that it was made of."""

from __future__ import annotations

import numpy as np
import pytest

import embmath as em
from cuda_devices import METRICS, Emulated, Kernels
from embmath import _device

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath._torch_native import kernel_device  # noqa: E402


@pytest.fixture(params=["kernels", "torch"])
def place(request: pytest.FixtureRequest, kernels: Kernels, monkeypatch) -> str:
    """A device's name; searched by kernels, or by Torch operations."""
    is_emulated = isinstance(kernels.device, Emulated)
    found = kernels.module if request.param == "kernels" else None
    monkeypatch.setattr(_device, "kernels", lambda: found)
    monkeypatch.setattr(kernel_device, "_most_results", {})
    return "cpu" if is_emulated else "cuda"


def same(found, wanted) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), np.asarray(other))


@pytest.mark.parametrize("metric", [*METRICS, "manhattan"])
@pytest.mark.parametrize("has_names", [False, True])
def test_answers_are_those_of_the_index(place, rng, metric, has_names):
    x, q = np.float32(rng.standard_normal((400, 24))), np.float32(rng.standard_normal((5, 24)))
    x[7] = x[300]  # a tie that the lower id wins
    names = rng.permutation(1000)[:400] if has_names else None
    index = em.Index(x, metric=metric, ids=names)
    moved = index.to(place)
    assert (moved.ntotal, moved.d, len(moved)) == (400, 24, 400)
    queries = torch.from_numpy(np.concatenate([q, x[7:8]])).to(place)
    host = queries.cpu().numpy()
    same(moved.search(queries, 6), index.search(host, 6))
    same(moved.search(queries, 6, dims=9), index.search(host, 6, dims=9))
    same(moved.search(queries, 6, exclude_self=True), index.search(host, 6, exclude_self=True))
    same(moved.search(queries, 450, pad=True), index.search(host, 450, pad=True))
    order = np.argsort(index.ids)
    mask = rng.random(400) < 0.1
    permuted = torch.from_numpy(mask[order]).to(place)
    same(moved.search(queries, 6, mask=permuted), index.search(host, 6, mask=mask))
    threshold = float(index.search(host, 6).values[0, 3])
    same(moved.range_search(queries, threshold), index.range_search(host, threshold))
    same([moved.reconstruct(moved.ids[3:5])], [index.reconstruct(np.sort(index.ids)[3:5])])


def test_kernels_use_the_codes_that_are_kept(place, rng):
    x = torch.from_numpy(np.float32(rng.standard_normal((300, 70))))
    moved = em.Index(x.numpy()).to(place)
    stats: dict[str, object] = {}
    moved.search(x[:2].to(place), 3, stats=stats)
    has_codes = "no codes" not in repr(moved)
    assert has_codes == str(stats["plan"]).startswith("kernels")
    assert moved.nbytes >= x.nbytes * (1.5 if has_codes else 1)


def test_refusals(place, rng):
    x = np.float32(rng.standard_normal((30, 8)))
    moved = em.Index(x, ids=np.arange(5, 35)).to(place)
    with pytest.raises(TypeError, match="queries"):
        moved.search(x[:2], 3)
    with pytest.raises(ValueError, match="ids"):
        moved.reconstruct([3])
    with pytest.raises(ValueError, match="exclude_self"):
        moved.range_search(torch.from_numpy(x).to(place), 0.5, exclude_self=True)
    with pytest.raises(ValueError, match="rows to move"):
        em.Index(dim=8).to(place)
