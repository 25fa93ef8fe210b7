"""compat.sentence_transformers: score functions against the library's own."""

from __future__ import annotations

import doctest
import importlib
import itertools

import numpy as np
import pytest

import st_helpers

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath.compat import sentence_transformers as ours  # noqa: E402

MATRICES = ("cos_sim", "pytorch_cos_sim", "dot_score", "euclidean_sim", "manhattan_sim")
PAIRS = (
    *("pairwise_cos_sim", "pairwise_dot_score", "pairwise_euclidean_sim"),
    *("pairwise_manhattan_sim", "pairwise_angle_sim"),
)
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


@pytest.fixture(scope="module")
def theirs():
    return st_helpers.util()


@pytest.fixture
def rows(rng):
    return rng.standard_normal((2, 9, 33), dtype=np.float32)


CONVERSIONS = {
    "array": lambda x: x,
    "tensor": torch.from_numpy,
    "lists": lambda x: x.tolist(),
    "list of arrays": list,
    "list of tensors": lambda x: list(torch.from_numpy(x)),
    "one row": lambda x: x[0],
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: torch.from_numpy(x).half(),
    "bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "float8": lambda x: torch.from_numpy(x).to(torch.float8_e4m3fn),
    "sparse": lambda x: torch.from_numpy(x).to_sparse(),
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "no rows": lambda x: x[:0],
}


def assert_close(actual, expected, tolerance=2e-5):
    assert isinstance(actual, torch.Tensor)
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("kind", CONVERSIONS)
def test_matrices(theirs, rows, name, kind):
    a, b = (CONVERSIONS[kind](x) for x in (rows[0][:7], rows[1]))
    wanted = getattr(theirs, name)(a, b)
    # Their Euclidean distances cancel: a product of rows less their squares.
    assert_close(getattr(ours, name)(a, b), wanted, 1e-4 if "euc" in name else 2e-5)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", [k for k in CONVERSIONS if k not in {"sparse", "no rows"}])
def test_pairs(theirs, rows, name, kind):
    a, b = (CONVERSIONS[kind](x) for x in rows)
    if name == "pairwise_angle_sim" and kind == "one row":
        pytest.skip("theirs takes matrices only")
    assert_close(getattr(ours, name)(a, b), getattr(theirs, name)(a, b))


@pytest.mark.parametrize("name", PAIRS[:-1])
@pytest.mark.parametrize("shapes", [((1, 33), (9, 33)), ((9, 33), (33,)), ((2, 1, 33), (9, 33))])
def test_pairs_broadcast(theirs, rng, name, shapes):
    a, b = (torch.from_numpy(rng.standard_normal(s, dtype=np.float32)) for s in shapes)
    assert_close(getattr(ours, name)(a, b), getattr(theirs, name)(a, b))


@pytest.mark.parametrize("name", [*MATRICES, *PAIRS, "normalize_embeddings"])
def test_gradients(theirs, rows, name):
    def gradient(module):
        inputs = [torch.from_numpy(x[:4]).requires_grad_() for x in rows]
        scores = getattr(module, name)(*inputs[: 1 if name.startswith("norm") else 2])
        (scores * torch.linspace(1, 2, scores.numel()).view(scores.shape)).sum().backward()
        return [x.grad for x in inputs if x.grad is not None]

    for mine, wanted in itertools.zip_longest(gradient(ours), gradient(theirs)):
        torch.testing.assert_close(mine, wanted, atol=1e-5, rtol=1e-4)


def test_integers_do_not_wrap(theirs):
    a = torch.full((1, 64), 100, dtype=torch.int8)
    assert theirs.dot_score(a, a).item() == 0  # 640,000 modulo 256
    assert ours.dot_score(a, a).item() == 640_000
    assert ours.pairwise_dot_score(a, a).item() == 640_000
    assert ours.cos_sim(a, a).item() == 1
    wide = torch.tensor([[3, 4]])
    assert ours.dot_score(wide, wide).tolist() == theirs.dot_score(wide, wide).tolist() == [[25]]


def test_extremes():
    tiny, huge = np.float32([[1e-20, 1e-20]]), np.float32([[1e20, 1e20]])
    assert ours.cos_sim(tiny, huge).item() == pytest.approx(1)
    assert ours.cos_sim(np.zeros((1, 2), np.float32), huge).item() == 0
    near = np.float32([[1000.0, 1000.0]])
    assert ours.euclidean_sim(near, near + np.float32(2**-13)).item() == pytest.approx(-(2**-12.5))
    assert ours.euclidean_sim(near, near).item() == 0
    assert ours.cos_sim(np.float32([[np.nan, 1]]), huge).isnan().all()


def test_inputs_are_read_only(rows):
    for x in rows:
        x.flags.writeable = False
    for name in (*MATRICES, *PAIRS):
        getattr(ours, name)(*rows)
    ours.cos_sim(rows[0][::-1], rows[1][:, ::-1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(33,), (5, 33), (2, 3, 33)])
def test_normalize(theirs, dtype, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    x.view(-1, 33)[0] = 0
    # Their zero rows of float16 become NaN: 1e-12, which they divide by, is 0 there.
    wanted = theirs.normalize_embeddings(x).nan_to_num()
    torch.testing.assert_close(ours.normalize_embeddings(x), wanted)


def test_normalize_sparse(theirs, rows):
    x = torch.from_numpy(rows[0] * (rows[0] > 0))
    x[2] = 0
    found = ours.normalize_embeddings(x.to_sparse())
    assert found.is_sparse
    wanted = theirs.normalize_embeddings(x.to_sparse()).to_dense()
    torch.testing.assert_close(found.to_dense(), wanted)


def test_truncate(rows):
    assert ours.truncate_embeddings(rows, 5).shape == (2, 9, 5)
    assert np.shares_memory(ours.truncate_embeddings(rows, 5), rows)
    assert ours.truncate_embeddings(rows, None).shape == rows.shape
    with pytest.raises(TypeError):
        ours.truncate_embeddings(rows.tolist(), 5)
    with pytest.raises(TypeError, match="expected a Tensor, got ndarray"):
        ours.normalize_embeddings(rows)


MODULES = (
    *("code_search", "communities", "corpus_index", "maxsim", "metrics", "mining"),
    *("quantization", "retrieval", "similarity"),
)


@pytest.mark.parametrize("module", ["", *MODULES])
def test_examples_run(module):
    found = importlib.import_module(f"embmath.compat.sentence_transformers.{module}".rstrip("."))
    results = doctest.testmod(found, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0
    assert results.attempted > 0


def test_names_and_signatures(theirs):
    import inspect

    for name in ours.__all__:
        peer = getattr(theirs, name, None)
        if inspect.isfunction(peer):
            mine, wanted = (inspect.signature(f).parameters for f in (getattr(ours, name), peer))
            if name != "information_retrieval":
                assert list(mine) == list(wanted), name
            for key in set(mine) - {"score_function"}:
                assert mine[key].default == wanted[key].default, (name, key)
    assert ours.SimilarityFunction.possible_values() == theirs.SimilarityFunction.possible_values()


def test_nothing_is_imported(run_python):
    run_python(
        "import sys, embmath; assert 'torch' not in sys.modules;"
        "import embmath.compat.sentence_transformers as st;"
        "assert not {'sentence_transformers', 'faiss', 'usearch', 'sklearn'} & set(sys.modules)"
    )
