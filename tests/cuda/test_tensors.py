"""embmath's functions on tensors that kernels take: the CPU's results, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import embmath as em
from cuda_devices import METRICS, Emulated, Kernels
from embmath import _arrays, _device

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath._torch_native import codes as codes_module  # noqa: E402
from embmath._torch_native import kernel_device, kernel_search  # noqa: E402


@pytest.fixture
def on_device(kernels: Kernels, monkeypatch):
    """Calls with tensors where the kernels run; in the emulator that is the CPU."""
    is_emulated = isinstance(kernels.device, Emulated)
    monkeypatch.setattr(_device, "kernels", lambda: kernels.module)
    monkeypatch.setattr(kernel_device, "_most_results", {})

    def call(function, *args, **options):
        def moved(value):
            if isinstance(value, np.ndarray):
                value = torch.from_numpy(value)
            return value.cuda() if isinstance(value, torch.Tensor) and not is_emulated else value

        with monkeypatch.context() as patch:
            if is_emulated:
                patch.setattr(_arrays, "DEVICES", ("cuda", "cpu"))
            return function(*map(moved, args), **{k: moved(v) for k, v in options.items()})

    return call


def same(found, wanted) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), np.asarray(other))


@pytest.mark.parametrize("metric", METRICS)
def test_search(on_device, rng, metric):
    q, x = np.float32(rng.standard_normal((4, 40))), np.float32(rng.standard_normal((600, 40)))
    stats: dict[str, object] = {}
    found = on_device(em.search, q, x, 7, metric, stats=stats)
    same(found, em.search(q, x, 7, metric))
    assert str(stats["plan"]).startswith("kernels")
    mask = rng.random(600) < 0.3
    for options in (
        {"dims": 17},
        {"mask": mask},
        {"mask": rng.random((4, 600)) < 0.3},
        {"exclude_self": True},
        {"threshold": 0.2},
        {"pad": True, "mask": np.arange(600) < 3},
    ):
        same(
            on_device(em.search, q, x, 7, metric, **options), em.search(q, x, 7, metric, **options)
        )


@pytest.mark.parametrize("metric", METRICS)
def test_range_search(on_device, rng, metric):
    q, x = np.float32(rng.standard_normal((4, 40))), np.float32(rng.standard_normal((600, 40)))
    x[7] = x[300]
    threshold = float(em.search(q, x, 30, metric).values[1, 29])
    for options in ({}, {"dims": 17}, {"mask": rng.random(600) < 0.3}, {"exclude_self": True}):
        wanted = em.range_search(q, x, threshold, metric, **options)
        same(on_device(em.range_search, q, x, threshold, metric, **options), wanted)


def test_more_hits_than_expected(on_device, rng, monkeypatch):
    monkeypatch.setattr(kernel_search, "_LEAST_HITS", 64)
    x = np.float32(rng.standard_normal((200, 10)))
    same(on_device(em.range_search, x, x, 0.1), em.range_search(x, x, 0.1))


def test_views_are_read_where_they_lie(on_device, rng):
    wide = np.float32(rng.standard_normal((300, 64)))
    q = np.float32(rng.standard_normal((3, 20)))
    views = torch.from_numpy(wide)[::2, 10:30], torch.from_numpy(wide)[:, ::3][:, :20]
    for view in views:
        same(on_device(em.search, q, view, 5), em.search(q, view.numpy(), 5))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_numbers(on_device, rng, dtype):
    q, x = (
        torch.from_numpy(rng.standard_normal((n, 33))).to(getattr(torch, dtype)) for n in (3, 200)
    )
    same(on_device(em.search, q, x, 5, "dot"), em.search(q, x, 5, "dot"))
    unit = on_device(em.normalize, x)
    assert torch.equal(unit.cpu().view(torch.int16), em.normalize(x).view(torch.int16))


@pytest.mark.parametrize("metric", [*METRICS, "hamming"])
def test_bytes_and_bits(on_device, rng, metric):
    dtype = np.uint8 if metric == "hamming" else np.int8
    q, x = (rng.integers(-128, 128, (n, 48)).astype(dtype) for n in (3, 300))
    for dims in (None, 31):
        stats: dict[str, object] = {}
        found = on_device(em.search, q, x, 7, metric, dims=dims, stats=stats)
        same(found, em.search(q, x, 7, metric, dims=dims))
        assert str(stats["plan"]).startswith("kernels")
    shifted = torch.from_numpy(x)[:, 5:]
    same(
        on_device(em.search, q[:, 5:], shifted, 4, metric), em.search(q[:, 5:], x[:, 5:], 4, metric)
    )


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
@pytest.mark.parametrize("dim", [64, 61])
def test_binary_codes(on_device, rng, precision, dim):
    """Sign bits in whatever convention, padded or not."""
    q, x = np.float32(rng.standard_normal((3, dim))), np.float32(rng.standard_normal((200, dim)))
    host = em.quantize(q, precision), em.quantize(x, precision)
    moved = [on_device(em.quantize, rows, precision) for rows in (q, x)]
    stats: dict[str, object] = {}
    found = on_device(em.search, *moved, 6, "hamming", stats=stats)
    same(found, em.search(*host, 6, "hamming"))
    assert str(stats["plan"]).startswith("kernels")


def test_queries_that_are_no_numbers(on_device, rng):
    q, x = np.float32(rng.standard_normal((3, 8))), np.float32(rng.standard_normal((50, 8)))
    q[1, 2] = np.nan
    with pytest.raises(ValueError, match="queries: row 1 holds NaN"):
        on_device(em.search, q, x, 4)
    same(on_device(em.search, q, x, 4, nan="rank_last"), em.search(q, x, 4, nan="rank_last"))


def test_what_kernels_do_not_take_is_computed_by_torch(on_device, rng):
    q, x = rng.standard_normal((2, 8)), rng.standard_normal((50, 8))
    for args in ((q, x, 4), (np.float32(q), np.float32(x), 4, "manhattan")):
        stats: dict[str, object] = {}
        same(on_device(em.search, *args, stats=stats), em.search(*args))
        assert stats["plan"] == "torch"


def test_normalize_float32(on_device, rng):
    x = np.float32(rng.standard_normal((70, 33)))
    x[3] = 0
    same([on_device(em.normalize, x)], [em.normalize(x)])
    same([on_device(em.truncate, x, 9)], [em.truncate(x, 9)])


def test_info_says_what_computes(on_device):
    assert em.info()["device_backend"].startswith("kernels")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("precision", "options"),
    [
        ("int8", {}),
        ("uint8", {}),
        ("uint8", {"bits": 7, "rounding": "ratio"}),
        ("int4", {}),
        ("int4", {"layout": "split", "scope": "dim"}),
        ("uint8", {"scope": "global"}),
        ("int8", {"scope": "dim", "rounding": "truncate"}),
        ("int8", {"ranges": [-1.0, 1.0], "rounding": "nearest"}),
        ("binary", {}),
        ("binary", {"signedness": "twos_complement", "threshold": "ge"}),
        ("ubinary", {"threshold": "ge"}),
    ],
)
def test_quantize(on_device, monkeypatch, rng, dtype, precision, options):
    x = torch.from_numpy(rng.standard_normal((70, 92))).to(getattr(torch, dtype))
    x[3] = 0
    wanted = [em.quantize(rows, precision, **options) for rows in (x, x[:, 5:39], x[:, ::2])]
    # Kernels do it all: what Torch operations would start with is missing.
    monkeypatch.delattr(codes_module, "_places")
    monkeypatch.delattr(codes_module, "pack")
    for rows, ours in zip((x, x[:, 5:39], x[:, ::2]), wanted, strict=True):
        there = on_device(em.quantize, rows, precision, **options)
        for name in ("data", "step", "minimum", "ranges"):
            found, known = getattr(there, name), getattr(ours, name)
            assert (found is None) == (known is None)
            if known is not None:
                assert found.dtype == known.dtype
                same([found], [known])


def test_one_row_is_quantized_as_one(on_device, rng):
    x = np.float32(rng.standard_normal(33))
    for precision in ("int8", "uint8", "int4", "ubinary"):
        ours, there = em.quantize(x, precision), on_device(em.quantize, x, precision)
        same([there.data], [ours.data])
        if ours.step is not None:
            same([there.step], [ours.step])


def test_rows_without_a_range_are_refused(on_device, rng):
    x = np.float32(rng.standard_normal((9, 12)))
    x[[4, 7], 3] = np.inf
    for precision in ("int8", "uint8", "int4"):
        with pytest.raises(ValueError, match=r"^x: expected rows of finite numbers .* in row 4"):
            on_device(em.quantize, x, precision)


def test_pack_bits(on_device, rng):
    x = np.float32(rng.standard_normal((9, 21)))
    for rows in (x, x[0], np.float64(x)):
        same(
            [on_device(em.pack_bits, rows, threshold=0.3)],
            [em.pack_bits(rows, threshold=0.3)],
        )


def test_no_rows_and_no_columns(on_device):
    for shape in ((0, 12), (4, 0)):
        x = np.zeros(shape, np.float32)
        for precision in ("int8", "uint8", "int4", "ubinary"):
            same([on_device(em.quantize, x, precision).data], [em.quantize(x, precision).data])
