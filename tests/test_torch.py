"""Torch tensors: in without a copy, out as tensors, refused where an answer would mislead."""

from __future__ import annotations

import numpy as np
import pytest

import embmath as em
import reference
from reference import FLOAT_METRICS
from strategies import normal

torch = pytest.importorskip("torch")

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int8": torch.int8,
    "uint8": torch.uint8,
}


def tensor(x):
    """A tensor of the same values; Torch does not take bfloat16 from NumPy."""
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(x.copy())


def same(actual, expected):
    assert isinstance(actual, torch.Tensor)
    reference.assert_same(actual.numpy(), expected)


@pytest.fixture(params=DTYPES)
def rows(request, rng):
    """Queries and corpus as arrays, then as tensors."""
    q, x = normal(rng, 6, 33, request.param), normal(rng, 80, 33, request.param)
    assert tensor(q).dtype == DTYPES[request.param]
    return q, x, tensor(q), tensor(x)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_results_are_those_of_numpy(rows, metric):
    q, x, tq, tx = rows
    same(em.similarity(tq, tx, metric), em.similarity(q, x, metric))
    same(em.similarity_pairwise(tq, tx[:6], metric), em.similarity_pairwise(q, x[:6], metric))
    for one, other in zip(em.search(tq, tx, 5, metric), em.search(q, x, 5, metric), strict=True):
        same(one, other)
    candidates = np.tile(np.arange(20), (6, 1))
    ours = em.rescore(tq, tx, torch.from_numpy(candidates), 5, metric)
    for one, other in zip(ours, em.rescore(q, x, candidates, 5, metric), strict=True):
        same(one, other)


def test_range_search_and_distances(rng):
    q, x = normal(rng, 6, 33), normal(rng, 80, 33)
    tq, tx = tensor(q), tensor(x)
    for one, other in zip(em.range_search(tq, tx, 0.1), em.range_search(q, x, 0.1), strict=True):
        same(one, other)
    same(em.distance(tq, tx), em.distance(q, x))
    same(em.distance_pairwise(tq, tx[:6]), em.distance_pairwise(q, x[:6]))
    same(em.cosine_similarity(tq), em.cosine_similarity(q))


def test_transforms_keep_dtype(rows):
    q, _, tq, _ = rows
    assert em.top_k(tq, 3).values.dtype == tq.dtype
    same(em.top_k(tq, 3).indices, em.top_k(q, 3).indices)
    codes = em.pack_bits(tq)
    same(codes, em.pack_bits(q))
    same(em.unpack_bits(codes, 33), em.unpack_bits(em.pack_bits(q), 33))
    if tq.dtype.is_floating_point:
        for ours in (em.normalize(tq), em.truncate(tq, 9)):
            assert isinstance(ours, torch.Tensor)
            assert ours.dtype == tq.dtype
        assert torch.equal(em.normalize(tq), tensor(em.normalize(q)))


@pytest.mark.parametrize("mixed", [0, 1])
def test_any_tensor_makes_tensors(rng, mixed):
    q, x = normal(rng, 6, 33), normal(rng, 80, 33)
    arguments = [tensor(q), x] if mixed else [q, tensor(x)]
    same(em.similarity(*arguments), em.similarity(q, x))
    same(em.search(*arguments, 5).indices, em.search(q, x, 5).indices)


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.t().contiguous().t(),
        lambda t: t[::2],
        lambda t: t[:, ::3],
        lambda t: t[:, 3:20],
        lambda t: t[:1].expand(50, -1),
        lambda t: torch.as_strided(t, (40, 20), (1, 1)),
    ],
)
def test_views(rows, view):
    _, _, tq, tx = rows
    strided = view(tx)
    plain = strided.contiguous()
    q = tq[:, : strided.shape[1]]
    for one, other in zip(
        em.search(q, strided, 5, "dot"), em.search(q, plain, 5, "dot"), strict=True
    ):
        assert torch.equal(one, other)


def test_mask_and_out(rng):
    q, x = normal(rng, 6, 33), normal(rng, 80, 33)
    mask = rng.random(80) < 0.5
    expected = em.search(q, x, 5, mask=mask)
    same(em.search(tensor(q), tensor(x), 5, mask=torch.from_numpy(mask)).indices, expected.indices)
    out = torch.empty(6, 80)
    assert em.similarity(tensor(q), tensor(x), out=out) is out
    same(out, em.similarity(q, x))


class TestGradients:
    def test_are_refused_naming_the_way_out(self, rng):
        wanted, plain = tensor(normal(rng, 6, 33)).requires_grad_(), tensor(normal(rng, 6, 33))
        for bad in ((wanted, plain), (plain, wanted)):
            with pytest.raises(TypeError, match=r"^[ab]: .*detach\(\)"):
                em.similarity(*bad)
            with pytest.raises(TypeError, match=r"^(queries|corpus): .*detach\(\)"):
                em.search(*bad)
        with pytest.raises(TypeError, match=r"^x: .*detach\(\)"):
            em.normalize(wanted)

    def test_are_no_matter_where_none_are_recorded(self, rng):
        wanted = tensor(normal(rng, 6, 33)).requires_grad_()
        expected = em.similarity(wanted.detach())
        with torch.no_grad():
            assert torch.equal(em.similarity(wanted), expected)
        with torch.inference_mode():
            assert torch.equal(em.similarity(wanted), expected)
        assert not em.similarity(wanted.detach()).requires_grad


class TestRefused:
    def test_other_devices(self, rng):
        with pytest.raises(TypeError, match=r"^a: .*(device|meta)"):
            em.similarity(torch.ones(2, 3, device="meta"))

    @pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool, torch.complex64])
    def test_dtypes(self, dtype):
        with pytest.raises(TypeError, match=r"^corpus: "):
            em.search(torch.ones(2, 3), torch.ones(2, 3).to(dtype), 1)

    def test_sparse(self):
        with pytest.raises(TypeError, match=r"^a: "):
            em.similarity(torch.eye(3).to_sparse())

    @pytest.mark.parametrize("shape", [(), (2, 3, 4)])
    def test_dimensions(self, shape):
        with pytest.raises(ValueError, match=r"^queries: "):
            em.search(torch.ones(shape), torch.ones(2, 3), 1)


def test_inputs_share_memory_with_the_caller():
    """Zero-copy: a corpus larger than the memory limit allows to copy is searched in place."""
    x = torch.zeros(1, 64).expand(2**33, 64)[: 2**20]
    assert em.search(torch.ones(1, 64), x, 2, "dot").indices.tolist() == [[0, 1]]


def test_empty():
    assert em.similarity(torch.ones(0, 3), torch.ones(2, 3)).shape == (0, 2)
    assert em.search(torch.ones(2, 3), torch.ones(0, 3)).indices.shape == (2, 0)


def test_codes(rng):
    x = torch.from_numpy(normal(rng, 60, 16))
    for precision in ("int8", "int4", "binary", "bfloat16"):
        codes = em.quantize(x, precision).with_residuals(x)
        for options in ({}, {"rescore": x}):
            found = em.search(x[:3], codes, 4, **options)
            expected = em.search(x[:3], x if options else codes.dequantize(), 4)
            assert isinstance(found.values, torch.Tensor)
            assert torch.equal(found.values, expected.values)
            assert torch.equal(found.indices, expected.indices)
