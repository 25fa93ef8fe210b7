"""Which tensors and arrays go where, and what is said of it."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import embmath as em
from embmath import _arrays, _device
from strategies import normal

torch = pytest.importorskip("torch", reason="needs Torch")


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
