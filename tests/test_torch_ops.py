"""torch.ops.embmath: gradients, compilation, vmap, autocast, and what a call costs."""

from __future__ import annotations

import doctest
import time

import numpy as np
import pytest

import embmath as em
import reference
from strategies import normal

torch = pytest.importorskip("torch", reason="needs Torch")
from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402

import embmath.torch as emt  # noqa: E402
from embmath.torch import functions, gradients, modules  # noqa: E402

METRICS = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")
PRECISIONS = ("int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16")
ops = torch.ops.embmath
# Torch warns of its own internals while it compiles and checks.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def rows(rng):
    def make(n, d=9, dtype=torch.float32, requires_grad=False):
        found = torch.from_numpy(normal(rng, n, d)).to(dtype)
        return found.requires_grad_(requires_grad)

    return make


class TestOperators:
    @pytest.mark.parametrize("metric", METRICS)
    def test_scores_pass_all_checks(self, rows, metric):
        a, b, c = (rows(n, requires_grad=True) for n in (4, 6, 4))
        torch.library.opcheck(ops.similarity, (a, b, metric))
        torch.library.opcheck(ops.similarity_pairwise, (a, c, metric))
        torch.library.opcheck(ops.search, (a, b, 3, metric))

    def test_options_of_search_pass_all_checks(self, rows):
        a, b = rows(4), rows(6)
        mask = torch.ones(6, dtype=torch.bool)
        for options in (
            {"k": 5, "pad": True},
            {"k": 30},
            {"exclude_self": True, "mask": mask},
            {"threshold": -1.0},
        ):
            torch.library.opcheck(ops.search, (a, b), options)
        torch.library.opcheck(ops.search, (a.to(torch.int8), b.to(torch.int8), 2, "dot"))

    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_codes_pass_all_checks(self, rows, precision):
        x = rows(4)
        torch.library.opcheck(ops.quantize, (x, precision))
        codes = emt.quantize(x, precision)
        scope = "row" if codes.step.numel() else None
        torch.library.opcheck(ops.dequantize, (codes.data, precision, 9, *codes[1:], scope))
        if precision in ("int8", "uint8", "int4"):
            for ranges in (torch.tensor([-2.0, 2.0]), em.fit_ranges(x)):
                torch.library.opcheck(ops.quantize, (x, precision, ranges))

    def test_normalize_passes_all_checks(self, rows):
        for x in (rows(4, requires_grad=True), rows(1)[0]):
            torch.library.opcheck(ops.normalize, (x,))
            torch.library.opcheck(ops.normalize, (x, 0.5))

    def test_results_are_those_of_the_functions(self, rows):
        a, b = rows(4), rows(30)
        for one, other in zip(emt.search(a, b, 3), em.search(a, b, 3), strict=True):
            assert torch.equal(one, other)
        assert torch.equal(emt.similarity(a, b), em.similarity(a, b))
        assert torch.equal(emt.similarity(a), em.similarity(a))
        assert torch.equal(emt.normalize(a), em.normalize(a))

    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_codes_mean_what_they_meant(self, rows, precision):
        for x in (rows(5), rows(1)[0]):
            codes = emt.quantize(x, precision)
            expected = em.quantize(x, precision).dequantize()
            assert torch.equal(emt.dequantize(codes, precision, 9), expected)
        if precision in ("int8", "uint8", "int4"):
            x, ranges = rows(5), torch.tensor([[-2.0], [2.0]])
            codes = emt.quantize(x, precision, ranges)
            expected = em.quantize(x, precision, ranges=ranges).dequantize()
            assert torch.equal(emt.dequantize(codes, precision, 9), expected)

    def test_errors_are_those_of_the_functions(self, rows):
        with pytest.raises(ValueError, match=r"^metric: unknown"):
            emt.similarity(rows(2), rows(2), "cosin")
        with pytest.raises(ValueError, match=r"^corpus: expected 9 columns"):
            emt.search(rows(2), rows(2, 8))


class TestGradients:
    @pytest.mark.parametrize("metric", METRICS)
    def test_first_and_second(self, rows, metric):
        a, b = (rows(n, 5, torch.float64, True) for n in (3, 6))
        for call in (
            lambda x, y: emt.similarity(x, y, metric),
            lambda x, y: emt.similarity_pairwise(x, y[:3], metric),
            lambda x, y: emt.search(x, y, 4, metric).values,
        ):
            assert torch.autograd.gradcheck(call, (a, b))
            assert torch.autograd.gradgradcheck(call, (a, b))

    def test_of_unit_rows(self, rows):
        x = rows(4, 5, torch.float64, True)
        for eps in (0.0, 2.0):
            assert torch.autograd.gradcheck(lambda y, eps=eps: emt.normalize(y, eps), (x,))
            assert torch.autograd.gradgradcheck(lambda y, eps=eps: emt.normalize(y, eps), (x,))

    @pytest.mark.parametrize("metric", METRICS)
    def test_are_finite_where_there_is_no_derivative(self, metric):
        x = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]], requires_grad=True)
        emt.similarity(x, x, metric).sum().backward()
        assert x.grad.isfinite().all()
        x.grad = None
        emt.search(x, x, 2, metric).values.sum().backward()
        assert x.grad.isfinite().all()
        emt.normalize(x).sum().backward()
        assert x.grad.isfinite().all()

    def test_flow_to_the_rows_that_were_found(self, rows):
        q, x = rows(3, requires_grad=True), rows(20, requires_grad=True)
        found = emt.search(q, x, 2, "dot")
        assert not found.indices.requires_grad
        found.values.sum().backward()
        touched = x.grad.abs().sum(1) > 0
        assert set(touched.nonzero().flatten().tolist()) == set(found.indices.flatten().tolist())
        assert torch.allclose(q.grad, x.detach()[found.indices].sum(1))

    def test_of_what_is_missing_are_zero(self, rows):
        q, x = rows(2, requires_grad=True), rows(3, requires_grad=True)
        found = emt.search(q, x, 5, pad=True)
        found.values.nan_to_num().sum().backward()
        assert q.grad.isfinite().all()
        assert x.grad.isfinite().all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_have_the_dtype_of_the_rows(self, rows, dtype):
        a, b = rows(3, dtype=dtype, requires_grad=True), rows(4, requires_grad=True)
        emt.similarity(a, b).sum().backward()
        assert (a.grad.dtype, b.grad.dtype) == (dtype, torch.float32)
        wide = a.detach().float().requires_grad_()
        emt.similarity(wide, b).sum().backward()
        assert torch.allclose(a.grad.float(), wide.grad, rtol=1e-2, atol=1e-3)

    def test_of_manhattan_matrices_need_little_memory(self, rows, monkeypatch):
        a, b = rows(7, dtype=torch.float64), rows(5, dtype=torch.float64)
        grad = torch.ones(7, 5, dtype=torch.float64)
        whole = gradients.of_matrix(grad, a, b, "manhattan")
        monkeypatch.setattr(gradients, "_TILE_ELEMENTS", 2 * b.numel())
        for one, other in zip(whole, gradients.of_matrix(grad, a, b, "manhattan"), strict=True):
            assert torch.allclose(one, other)

    def test_of_integers_are_refused(self):
        a = torch.ones(2, 3, dtype=torch.int8)
        with pytest.raises(TypeError, match="integers go with"):
            emt.search(torch.ones(2, 3, requires_grad=True), a, 1)

    def test_are_not_recorded_where_none_are_wanted(self, rows):
        x = rows(3, requires_grad=True)
        with torch.no_grad():
            assert not emt.similarity(x).requires_grad
        with torch.inference_mode():
            assert emt.search(x, x, 1).indices.shape == (3, 1)


class TestCompile:
    """With the graph whole, eager's results and no second compilation for another size."""

    def test_dynamic_shapes(self, rows):
        def model(q, x, k):
            values, indices = emt.search(emt.normalize(q), x, k)
            codes = emt.quantize(x, "int8")
            near = emt.dequantize(codes, "int8", x.shape[1])
            return emt.similarity(q, near).sum() + values.sum(), indices

        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counter)
        compilations = []
        for n, m, k in ((4, 30, 3), (5, 41, 4), (7, 33, 6)):
            q, x = rows(n), rows(m)
            for one, other in zip(compiled(q, x, k), model(q, x, k), strict=True):
                assert torch.allclose(one, other)
            compilations.append(counter.frame_count)
        assert compilations[0] == compilations[-1]

    @pytest.mark.slow
    def test_inductor_forwards_and_backwards(self, rows):
        def model(q, x):
            return emt.search(q, x, 3).values.sum() + emt.similarity(q, x, "euclidean").sum()

        torch._dynamo.reset()
        grads = []
        for call in (model, torch.compile(model, fullgraph=True)):
            q, x = (rows(n).detach().requires_grad_() for n in (4, 20))
            q.data.fill_(0.5).add_(torch.arange(9))
            x.data.copy_(torch.arange(180).reshape(20, 9).sin())
            call(q, x).backward()
            grads.append((q.grad, x.grad))
        for one, other in zip(*grads, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)

    def test_modules(self, rows):
        torch._dynamo.reset()
        x = rows(20)
        module = torch.nn.Sequential(emt.Normalize(), emt.Search(x, k=3))
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x[:4]).indices, em.search(x[:4], x, 3).indices)


class TestVmap:
    @pytest.mark.parametrize("metric", METRICS)
    def test_scores(self, rows, metric):
        a, b = rows(30).reshape(5, 6, 9), rows(20).reshape(5, 4, 9)
        call = lambda x, y: emt.similarity(x, y, metric)  # noqa: E731
        assert torch.equal(torch.vmap(call)(a, b), torch.stack([*map(call, a, b)]))
        one = torch.vmap(call, (0, None))(a, b[0])
        assert torch.equal(one, torch.stack([call(x, b[0]) for x in a]))
        other = torch.vmap(call, (None, 0))(a[0], b)
        assert torch.equal(other, torch.stack([call(a[0], y) for y in b]))
        pairs = torch.vmap(lambda x, y: emt.similarity_pairwise(x, y, metric), (0, None))
        expected = torch.stack([em.similarity_pairwise(x[:4], b[0], metric) for x in a])
        assert torch.equal(pairs(a[:, :4], b[0]), expected)

    def test_other_axes_and_single_rows(self, rows):
        a, b = rows(30).reshape(6, 5, 9), rows(4)
        found = torch.vmap(emt.similarity, (1, None))(a, b)
        assert torch.equal(found, torch.stack([em.similarity(a[:, i], b) for i in range(5)]))
        single = torch.vmap(lambda x: emt.search(x, b, 2).indices)(a[:, 0])
        assert torch.equal(single, em.search(a[:, 0], b, 2).indices.unsqueeze(1))
        assert torch.equal(torch.vmap(emt.normalize)(b), em.normalize(b))

    def test_search(self, rows):
        q, x = rows(30).reshape(5, 6, 9), rows(60).reshape(5, 12, 9)
        mask = torch.arange(60).reshape(5, 12) % 3 > 0
        found = torch.vmap(lambda a, b, m: tuple(emt.search(a, b, 3, mask=m)))(q, x, mask)
        for i in range(5):
            expected = em.search(q[i], x[i], 3, mask=mask[i])
            assert torch.equal(found[0][i], expected.values)
            assert torch.equal(found[1][i], expected.indices)
        shared = torch.vmap(lambda a: emt.search(a, x[0], 3).indices)(q)
        assert torch.equal(shared, torch.stack([em.search(a, x[0], 3).indices for a in q]))

    def test_codes(self, rows):
        x = rows(12).reshape(3, 4, 9)
        data = torch.vmap(lambda y: emt.quantize(y, "int8").data)(x)
        assert torch.equal(data, torch.stack([em.quantize(y, "int8").data for y in x]))


class TestAutocast:
    def test_scores_are_float32(self, rows):
        a, b = rows(4, dtype=torch.bfloat16), rows(6)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = emt.search(a @ torch.eye(9), b, 3)
            assert found.values.dtype == torch.float32
            assert emt.normalize(a).dtype == torch.float32
            assert torch.equal(found.values, em.search(a, b, 3).values)


class TestModules:
    def test_search_moves_and_saves_its_corpus(self, rows):
        x = rows(8)
        module = emt.Search(x, k=2, metric="dot")
        assert torch.equal(module(x).indices, em.search(x, x, 2, "dot").indices)
        assert torch.equal(module.state_dict()["corpus"], x)
        assert module.double().corpus.dtype == torch.float64
        assert repr(module) == "Search(8 rows x 9, k=2, metric='dot')"

    def test_scores(self, rows):
        a, b = rows(4), rows(4)
        a[1] = 0
        found = emt.CosineSimilarity()(a, b)
        assert torch.allclose(found, torch.nn.CosineSimilarity(dim=-1)(a, b), atol=1e-6)
        assert torch.equal(emt.Similarity("dot")(a, b), em.similarity(a, b, "dot"))
        assert torch.equal(emt.Similarity()(a), em.similarity(a))

    def test_train(self, rows):
        """A tower that learns to find its own rows."""
        torch.manual_seed(0)
        x = rows(40, 16)
        tower = torch.nn.Linear(16, 16)
        optimizer = torch.optim.Adam(tower.parameters(), 1e-2)
        first = last = 0.0
        for step in range(60):
            scores = emt.similarity(tower(x), x) * 10
            loss = torch.nn.functional.cross_entropy(scores, torch.arange(40))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            first, last = (loss.item() if step == 0 else first), loss.item()
        assert last < first / 2
        indices = emt.search(tower(x), x, 1).indices.flatten()
        assert (indices == torch.arange(40)).float().mean() > 0.9


@pytest.mark.parametrize("module", [emt, functions, modules])
def test_examples(module):
    results = doctest.testmod(module, extraglobs={"torch": torch})
    assert results.failed == 0
    assert results.attempted > 0


def test_importing_embmath_imports_no_torch(run_python):
    run_python("import sys, embmath; em = embmath; em.info(); assert 'torch' not in sys.modules")
    run_python("import embmath.torch, torch; torch.ops.embmath.normalize(torch.ones(2, 3))")


@pytest.mark.slow
def test_a_call_costs_little_more_than_with_numpy():
    x = np.ones((2, 8), np.float32)
    t = torch.from_numpy(x)
    calls = {
        "normalize": (lambda: em.normalize(x), lambda: em.normalize(t), lambda: ops.normalize(t)),
        "similarity": (
            lambda: em.similarity(x, x),
            lambda: em.similarity(t, t),
            lambda: ops.similarity(t, t),
        ),
    }
    for name, ways in calls.items():
        best = [np.inf] * len(ways)
        for _ in range(30):
            for i, way in enumerate(ways):
                start = time.perf_counter()
                for _ in range(200):
                    way()
                best[i] = min(best[i], (time.perf_counter() - start) / 200)
        extra = [1e6 * (each - best[0]) for each in best[1:]]
        assert max(extra) < 30, f"{name}: {extra} microseconds"  # 15 on an idle machine


def test_reference_agrees(rows):
    a, b = rows(5, 33), rows(40, 33)
    reference.assert_all_same(emt.search(a, b, 6), reference.search(a.numpy(), b.numpy(), 6))
