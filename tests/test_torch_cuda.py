"""CUDA tensors: the bits of the CPU, on their device. Without a GPU see tests/torch_native."""

from __future__ import annotations

import numpy as np
import pytest

import embmath as em
import reference
from reference import FLOAT_METRICS
from strategies import DATA, FLOATS, INTS, make, metrics_of, normal

torch = pytest.importorskip("torch", reason="needs Torch")
import embmath.torch as emt  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def there(x):
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(np.array(x).view(np.int16)).view(torch.bfloat16).cuda()
    return torch.from_numpy(np.array(x)).cuda()


def same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert one.is_cuda
        wide = one.cpu().float() if one.dtype == torch.bfloat16 else one.cpu()
        other = other.astype(np.float32) if other.dtype.name == "bfloat16" else other  # noqa: PLW2901
        reference.assert_same(wide.numpy(), other)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
@pytest.mark.parametrize("data", DATA)
def test_search(data, dtype):
    if data == "specials" and dtype in INTS:
        pytest.skip("integers have no specials")
    q, x = make(data, 40, 5000, 129, dtype)
    q = np.where(np.isnan(q), 0, q).astype(q.dtype)
    for metric in metrics_of(dtype):
        for k in (1, 20):
            same(em.search(there(q), there(x), k, metric), em.search(q, x, k, metric))


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_precision_of_products_changes_nothing(precision, metric, rng):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        for data in ("normal", "near_ties", "cancelling", "mixed_scales"):
            q, x = make(data, 200, 20000, 384)
            same(em.search(there(q), there(x), 10, metric), em.search(q, x, 10, metric))
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("dtype", FLOATS)
def test_other_operations(dtype, rng):
    q, x = normal(rng, 30, 70, dtype), normal(rng, 30, 70, dtype)
    for metric in FLOAT_METRICS:
        same(
            [em.similarity_pairwise(there(q), there(x), metric)],
            [em.similarity_pairwise(q, x, metric)],
        )
    same([em.normalize(there(x))], [em.normalize(x)])
    same(em.top_k(there(x), 7), em.top_k(x, 7))
    for precision in ("int8", "uint8", "int4", "binary"):
        ours, codes = em.quantize(x, precision), em.quantize(there(x), precision)
        same([codes.data, codes.dequantize()], [ours.data, ours.dequantize()])
        same(em.search(there(q), codes, 5), em.search(q, ours, 5))
    actual = em.similarity(there(q), there(x)).cpu().numpy()
    if dtype != "float64":
        reference.assert_within_bound(actual, reference.similarity(q, x), q, x, "cosine")


def test_devices_do_not_mix(rng):
    x = normal(rng, 5, 4)
    with pytest.raises(TypeError, match=r"^corpus: expected a tensor on cuda:0 like queries"):
        em.search(there(x), torch.from_numpy(x))
    with pytest.raises(TypeError, match=r"^queries: expected a tensor on cuda:0 like corpus"):
        em.search(x, there(x))


def test_streams(rng):
    """Work is queued behind what the caller queued on the current stream."""
    q, x = there(normal(rng, 8, 64)), there(normal(rng, 4000, 64))
    expected = em.search(q, x, 5).indices
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late = x * 1.0
        found = em.search(q, late, 5).indices
    stream.synchronize()
    assert torch.equal(found, expected)


def test_operators(rng):
    a, b = (there(normal(rng, n, 9)).requires_grad_() for n in (4, 20))
    for metric in FLOAT_METRICS:
        torch.library.opcheck(torch.ops.embmath.search, (a, b, 3, metric))
        torch.library.opcheck(torch.ops.embmath.similarity, (a, b, metric))
    with torch.autocast("cuda", dtype=torch.float16):
        assert emt.similarity(a.half(), b.half()).dtype == torch.float32
    compiled = torch.compile(lambda q, x: emt.search(emt.normalize(q), x, 3), fullgraph=True)
    assert torch.equal(
        compiled(a.detach(), b.detach()).indices, em.search(a.detach(), b.detach(), 3).indices
    )
