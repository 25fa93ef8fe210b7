"""compat.sentence_transformers: late interaction against the library's own, and installing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import st_helpers

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath.compat import sentence_transformers as ours  # noqa: E402

FUNCTIONS = ("maxsim", "maxsim_pairwise", "mean_maxsim", "mean_maxsim_pairwise")
LENGTHS = ((3, 1, 7, 4, 2), (9, 5, 1, 12, 3))


@pytest.fixture(scope="module")
def theirs():
    return st_helpers.util()


@pytest.fixture
def sides():
    generator = torch.Generator().manual_seed(3)
    return [[torch.randn(n, 20, generator=generator) for n in side] for side in LENGTHS]


def padded(tensors):
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)


def masks(tensors, dtype=torch.bool):
    return padded([torch.ones(len(t), dtype=dtype) for t in tensors])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("length_normalize", [True, False])
@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: [t.numpy() for t in x],
        lambda x: [t.bfloat16() for t in x],
        lambda x: [t.double() for t in x],
        lambda x: [(20 * t).to(torch.int8) for t in x],
        padded,
        lambda x: padded(x).numpy(),
        lambda x: x[0],
        lambda x: x[0].numpy(),
    ],
)
def test_inputs(theirs, sides, name, length_normalize, convert):
    a, b = map(convert, sides)
    wanted = getattr(theirs, name)(a, b, length_normalize=length_normalize)
    found = getattr(ours, name)(a, b, length_normalize=length_normalize)
    assert found.dtype == torch.float32
    # bfloat16 products are rounded to bfloat16 there.
    tolerance = 0.1 if isinstance(a, list) and a[0].dtype == torch.bfloat16 else 2e-5
    torch.testing.assert_close(found, wanted.float(), atol=tolerance, rtol=1e-3)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", ["bool", "float", "list", "array", "weights"])
def test_masks(theirs, sides, name, kind):
    a, b = sides
    a_mask, b_mask = masks(a), masks(b)
    a_mask[2, 1:4], b_mask[3, ::2] = False, False
    if kind in {"float", "weights"}:
        a_mask, b_mask = a_mask.float(), b_mask.float()
    if kind == "weights":
        a_mask[:, 0] = 0.5
    if kind == "array":
        a_mask, b_mask = a_mask.numpy(), b_mask.numpy()
    if kind == "list":
        a_mask, b_mask = (
            [m[: len(t)] for m, t in zip(mask, side, strict=True)]
            for mask, side in ((a_mask, a), (b_mask, b))
        )
    for convert in (padded, lambda x: x):
        wanted = getattr(theirs, name)(convert(a), convert(b), a_mask, b_mask)
        found = getattr(ours, name)(convert(a), convert(b), a_mask, b_mask)
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 50, 200, 1000])
def test_blocks_change_nothing(sides, chunk):
    assert torch.equal(ours.maxsim(*sides, chunk_elements=chunk), ours.maxsim(*sides))


@pytest.mark.parametrize("name", FUNCTIONS[:2])
def test_gradients(theirs, sides, name):
    found = []
    for module in (ours, theirs):
        leaves = [[t.clone().requires_grad_() for t in side] for side in sides]
        getattr(module, name)(*leaves).square().sum().backward()
        found.append([t.grad for t in itertools.chain(*leaves)])
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing(theirs, sides, name):
    a, b = sides
    b[1] = b[1][:0]  # a document without tokens
    for module in (ours, theirs):
        f = getattr(module, name)
        assert f([], []).shape == ((0,) if "pair" in name else (0, 0))
    torch.testing.assert_close(getattr(ours, name)(a, b), getattr(theirs, name)(a, b))
    empty = [t[:0] for t in b]
    torch.testing.assert_close(getattr(ours, name)(a, empty), getattr(theirs, name)(a, empty))
    if "pair" not in name:
        assert ours.maxsim(a, []).shape == (5, 0)
        assert ours.maxsim([], b).shape == (0, 5)


def test_refusals(sides):
    a, b = sides
    with pytest.raises(ValueError, match="b: expected 5 items like a, got 4"):
        ours.maxsim_pairwise(a, b[:4])
    with pytest.raises(ValueError, match="a_mask: expected 7 tokens like a, got 3"):
        ours.maxsim(a, b, a_mask=torch.ones(5, 3))
    with pytest.raises(ValueError, match="a: expected 2 or 3 dimensions, got 1"):
        ours.maxsim(a[0][0], b)


def model_of(library, name):
    return library.SentenceTransformer(
        modules=[torch.nn.Identity()], similarity_fn_name=name, device="cpu"
    )


@pytest.mark.parametrize("name", [None, "cosine", "dot", "euclidean", "manhattan"])
def test_install(theirs, sides, name):
    import sentence_transformers

    model = model_of(sentence_transformers, name)
    x, y = sides[0][2], sides[1][0]
    wanted, pairs = model.similarity(x, y), model.similarity_pairwise(x, y[:7])
    assert ours.install(model) is model
    assert model._similarity.__module__.startswith("embmath")
    torch.testing.assert_close(model.similarity(x, y), wanted)
    torch.testing.assert_close(model.similarity_pairwise(x, y[:7]), pairs)
    with pytest.raises(TypeError, match="model: expected a SentenceTransformer, got int"):
        ours.install(3)


def test_patched(theirs):
    import sentence_transformers
    from sentence_transformers.util import retrieval

    before = (theirs.cos_sim, retrieval.semantic_search, sentence_transformers.quantize_embeddings)
    other = type(np)("somewhere")
    other.score = theirs.dot_score
    with ours.patched(other):
        assert theirs.cos_sim is retrieval.cos_sim is ours.cos_sim
        assert retrieval.semantic_search is ours.semantic_search
        assert sentence_transformers.quantize_embeddings is ours.quantize_embeddings
        assert other.score is ours.dot_score
        model = model_of(sentence_transformers, "dot")
        codes = np.full((1, 64), 100, np.int8)
        assert model.similarity(codes, codes).item() == 640_000
    after = (theirs.cos_sim, retrieval.semantic_search, sentence_transformers.quantize_embeddings)
    assert after == before
    assert other.score is theirs.dot_score
