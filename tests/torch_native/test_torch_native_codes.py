"""Codes of tensors on a device, by Torch operations alone: the kernels' bits."""

from __future__ import annotations

import numpy as np
import pytest

import embmath as em
import reference
from reference import FLOAT_METRICS
from strategies import FLOATS, normal

torch = pytest.importorskip("torch", reason="needs Torch")
from torch_helpers import array, same  # noqa: E402


class TestCodes:
    @pytest.mark.parametrize(
        "precision", ["int8", "uint8", "int4", "binary", "float16", "bfloat16"]
    )
    @pytest.mark.parametrize("metric", FLOAT_METRICS)
    def test_search(self, on_device, small_tiles, precision, metric, rng):
        q, x = normal(rng, 6, 33), normal(rng, 150, 33)
        codes = em.quantize(x, precision)
        there = on_device(em.quantize, x, precision)
        assert isinstance(there.data, torch.Tensor)
        found = on_device(em.search, q, there, 7, metric)
        same(found, em.search(q, codes, 7, metric))
        assert not found.is_exact
        same(
            on_device(em.range_search, q, there, 2.0, metric),
            em.range_search(q, codes, 2.0, metric),
        )

    @pytest.mark.parametrize("signedness", ["offset", "twos_complement", "none"])
    @pytest.mark.parametrize("metric", ["hamming", "jaccard"])
    def test_bits(self, on_device, metric, signedness, rng):
        q, x = normal(rng, 6, 43), normal(rng, 150, 43)
        ours = [em.quantize(rows, "binary", signedness=signedness) for rows in (q, x)]
        there = [on_device(em.quantize, r, "binary", signedness=signedness) for r in (q, x)]
        same(on_device(em.search, *there, 9, metric), em.search(*ours, 9, metric))
        assert on_device(em.search, *there, 9, metric).is_exact

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize(
        ("precision", "options"),
        [
            ("int8", {}),
            ("uint8", {}),
            ("uint8", {"bits": 7}),
            ("int4", {}),
            ("int4", {"layout": "split"}),
            ("uint8", {"scope": "dim"}),
            ("uint8", {"scope": "global", "rounding": "ratio"}),
            ("int8", {"scope": "dim", "rounding": "truncate"}),
            ("int8", {"scope": "dim", "quantile": 0.9}),
            ("int8", {"ranges": [-1.0, 1.5]}),
            ("int4", {"ranges": [-1.0, 1.5], "rounding": "ratio"}),
            ("uint8", {"rounding": "floor"}),
            ("binary", {}),
            ("ubinary", {"threshold": "ge"}),
            ("binary", {"signedness": "twos_complement"}),
            ("float16", {}),
            ("bfloat16", {}),
        ],
    )
    def test_are_those_of_the_kernels(self, on_device, precision, options, dtype, rng):
        for x in (normal(rng, 50, 34, dtype), normal(rng, 1, 34, dtype)[0]):
            if x.ndim == 1 and options.get("scope") == "dim":
                continue
            ours, there = (
                em.quantize(x, precision, **options),
                on_device(em.quantize, x, precision, **options),
            )
            for name in ("dim", "scope", "rounding", "bits", "layout", "signedness", "precision"):
                assert getattr(ours, name) == getattr(there, name)
            for name in ("step", "minimum", "ranges"):
                assert (getattr(ours, name) is None) == (getattr(there, name) is None)
                if getattr(ours, name) is not None:
                    reference.assert_same(getattr(there, name).numpy(), getattr(ours, name))
            data = array(there.data)
            assert data.shape == ours.data.shape
            assert data.tobytes() == np.ascontiguousarray(ours.data).tobytes()
            for to in FLOATS:
                for center in (True, False):
                    actual = on_device(em.dequantize, there, dtype=to, center=center)
                    expected = em.dequantize(ours, dtype=to, center=center)
                    assert array(actual).tobytes() == expected.tobytes()

    def test_ranges(self, on_device, rng):
        x = normal(rng, 70, 12)
        for options in ({}, {"quantile": 0.9}, {"scope": "global", "quantile": 0.5}):
            actual = on_device(em.fit_ranges, x, **options)
            reference.assert_same(actual.numpy(), em.fit_ranges(x, **options))
        wanted = em.quantize(x, "int8", calibration=x[:40])
        there = on_device(em.quantize, x, "int8", calibration=x[:40])
        reference.assert_same(there.data.numpy(), wanted.data)

    def test_refused(self, on_device, rng):
        x = normal(rng, 9, 12)
        x[4, 3] = np.inf
        for options in ({}, {"scope": "dim"}):
            with pytest.raises(ValueError, match=r"^x: expected .*finite numbers"):
                on_device(em.quantize, x, "int8", **options)
        with pytest.raises(ValueError, match=r"^ranges: expected minimum <= maximum"):
            on_device(em.quantize, x, "uint8", ranges=[1.0, 0.0])
        codes = on_device(em.quantize, np.abs(x[:4]), "int8")
        with pytest.raises(ValueError, match=r"^rescore: not for tensors on a device"):
            on_device(em.search, x[:1], codes, rescore=torch.from_numpy(x[:4]))

    @pytest.mark.parametrize(
        ("precision", "options"),
        [
            ("uint8", {"ranges": [-1.0, 1.0]}),
            ("int8", {"step": 0.01}),
            ("int8", {"step": np.arange(1, 13, dtype=np.float32), "scope": "dim"}),
            ("int4", {"step": 0.1, "minimum": -1.0, "dim": 23}),
            ("ubinary", {"dim": 91}),
            ("uint8", {}),
        ],
    )
    def test_made_elsewhere(self, on_device, precision, options, rng):
        data = rng.integers(-100, 100, (5, 12)).astype("int8" if precision == "int8" else "uint8")
        ours = em.Codes.from_data(data, precision, **options)
        there = on_device(em.Codes.from_data, data, precision, **options)
        assert on_device(repr, there) == repr(ours)
        assert there.rounding == ours.rounding
        if options:
            same([on_device(em.dequantize, there)], [em.dequantize(ours)])
        else:
            with pytest.raises(ValueError, match=r"^codes: "):
                on_device(em.dequantize, there)
        with pytest.raises(ValueError, match=r"^dim: "):
            on_device(em.Codes.from_data, data, precision, dim=1)

    def test_packing(self, on_device, rng):
        x = normal(rng, 9, 21)
        same([on_device(em.pack_bits, x, threshold=0.3)], [em.pack_bits(x, threshold=0.3)])
        bits = em.pack_bits(x)
        same([on_device(em.unpack_bits, bits, 21)], [em.unpack_bits(bits, 21)])
        for layout in ("interleaved", "split"):
            codes = rng.integers(0, 16, (5, 10)).astype(np.uint8)
            packed = em.pack_int4(codes, layout=layout)
            same([on_device(em.pack_int4, codes, layout=layout)], [packed])
            same([on_device(em.unpack_int4, packed, 10, layout=layout)], [codes])
