"""Codes are those of other systems, byte for byte: stored examples, and live peers if present."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest

import embmath as em
from strategies import normal

# Ordinary numbers, both zeros, one outside each range below, and a column without a range.
X = np.float32(
    [
        [0.11, -0.52, 0.93, -0.07, 0.0],
        [-0.94, 0.38, -0.21, 0.66, -0.0],
        [0.5, -1.25, 2.5, 0.02, 1e-30],
    ]
)
RANGES = np.float32([[-1, -1, -1, -0.1, -0.5], [1, 1, 2, 0.7, -0.5]])
WIDE = np.float32([[-2, -2, -1, -0.1, -0.5], [2, 1, 3, 0.7, 0.5]])

needs_sentence_transformers = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None,
    reason="sentence-transformers is not installed",
)


# quantize_embeddings(X, precision, ranges=RANGES) of sentence-transformers 6.2.0.
SENTENCE_TRANSFORMERS_6 = {
    "int8": [[13, -67, 36, -119, -128], [-121, 47, -61, 114, -128], [63, -128, 127, -90, -128]],
    "uint8": [[141, 61, 164, 9, 0], [7, 175, 67, 242, 0], [191, 0, 255, 38, 0]],
    "binary": [[32], [-48], [56]],
    "ubinary": [[160], [80], [184]],
}
# quantize_embeddings(X, precision, ranges=WIDE) of sentence-transformers 5.1.0.
SENTENCE_TRANSFORMERS_5 = {
    "int8": [[6, -2, -4, -118, 0], [-60, 74, -77, 114, 0], [31, -64, 95, -89, 0]],
    "uint8": [[134, 125, 123, 9, 127], [67, 202, 50, 242, 127], [159, 63, 223, 38, 127]],
}
# Codes of X by faiss.ScalarQuantizer(5, type) 1.15.1, trained on WIDE (uniform: on all of it).
FAISS = {
    "QT_8bit": [[134, 125, 123, 9, 127], [67, 202, 50, 242, 127], [159, 63, 223, 38, 127]],
    "QT_4bit": [[119, 7, 7], [179, 226, 7], [57, 45, 7]],
    "QT_8bit_uniform": [[107, 75, 149, 98, 102], [54, 121, 91, 135, 102], [127, 38, 229, 103, 102]],
}


@pytest.mark.parametrize("precision", SENTENCE_TRANSFORMERS_6)
def test_sentence_transformers_6(isa, precision):
    options = {} if "binary" in precision else {"ranges": RANGES}
    codes = em.quantize(X, precision, **options)
    assert codes.data.tolist() == SENTENCE_TRANSFORMERS_6[precision]
    assert codes.data.dtype == ("int8" if precision in ("int8", "binary") else "uint8")


@pytest.mark.parametrize("precision", SENTENCE_TRANSFORMERS_5)
def test_sentence_transformers_5(isa, precision):
    codes = em.quantize(X, precision, ranges=WIDE, rounding="truncate")
    assert codes.data.tolist() == SENTENCE_TRANSFORMERS_5[precision]


@needs_sentence_transformers
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sentence_transformers_itself(rng, dtype):
    from sentence_transformers import quantize_embeddings

    x, sample = normal(rng, 500, 100, dtype), normal(rng, 200, 100, dtype)
    for precision in ("int8", "uint8"):
        for theirs, ours in (
            ({}, {"scope": "dim"}),
            ({"calibration_embeddings": sample}, {"calibration": sample}),
            ({"ranges": em.fit_ranges(sample)}, {"ranges": em.fit_ranges(sample)}),
        ):
            expected = quantize_embeddings(x, precision, **theirs)
            np.testing.assert_array_equal(em.quantize(x, precision, **ours).data, expected)
    for precision in ("binary", "ubinary"):
        expected = quantize_embeddings(x, precision)
        np.testing.assert_array_equal(em.quantize(x, precision).data, expected)


def test_rescoring_decodes_as_sentence_transformers_does():
    """code * step + minimum in float64, at the lower end of the bucket."""
    codes = em.quantize(X, "int8", ranges=RANGES)
    steps = (RANGES[1] - RANGES[0]) / np.float32(255)
    steps[steps == 0] = 1
    expected = (codes.data.astype(np.float64) + 128) * steps + RANGES[0]
    np.testing.assert_array_equal(codes.dequantize(dtype="float64", center=False), expected)


def faiss_options(kind):
    """The precision and options that make the codes of a FAISS type on WIDE."""
    precision = "int4" if "4bit" in kind else "uint8"
    ranges = [-2, 3] if "uniform" in kind else WIDE
    return precision, {"ranges": ranges, "rounding": "ratio"}


@pytest.mark.parametrize("kind", FAISS)
def test_faiss(isa, kind):
    precision, options = faiss_options(kind)
    assert em.quantize(X, precision, **options).data.tolist() == FAISS[kind]


@pytest.mark.parametrize("kind", FAISS)
def test_faiss_itself(rng, kind):
    faiss = pytest.importorskip("faiss")
    x, sample = normal(rng, 5000, 24), normal(rng, 300, 24)
    # Where rounding decides: the borders of every bucket of the first column.
    levels = 15 if "4bit" in kind else 255
    border = sample[:, 0].min() + np.ptp(sample[:, 0]) * np.arange(levels + 1) / levels
    x[: levels + 1, 0] = border
    peer = faiss.ScalarQuantizer(24, getattr(faiss.ScalarQuantizer, kind))
    peer.train(sample)
    scope = "global" if "uniform" in kind else "dim"
    ranges = em.fit_ranges(sample, scope=scope)
    codes = em.quantize(x, faiss_options(kind)[0], ranges=ranges, rounding="ratio")
    np.testing.assert_array_equal(codes.data, peer.compute_codes(x))
    # Values too, but for the last code, which they decode to half a step beyond the range.
    inside = x < ranges[1]
    theirs = peer.decode(codes.data)
    np.testing.assert_allclose(codes.dequantize()[inside], theirs[inside], rtol=1e-4, atol=1e-4)
    # The other way: their codes and what they trained, wrapped.
    low, span = faiss.vector_to_array(peer.trained).reshape(2, -1)
    wrapped = em.Codes.from_data(
        peer.compute_codes(x),
        codes.precision,
        dim=24,
        minimum=low,
        step=span / np.float32(levels),
        scope=scope,
        rounding="ratio",
    )
    np.testing.assert_array_equal(wrapped.dequantize(), codes.dequantize())


def test_faiss_16_bit_floats():
    faiss = pytest.importorskip("faiss")
    for kind, precision in (("QT_fp16", "float16"), ("QT_bf16", "bfloat16")):
        peer = faiss.ScalarQuantizer(5, getattr(faiss.ScalarQuantizer, kind))
        codes = em.quantize(X, precision)
        stored = np.asarray(codes).view(np.uint16)
        theirs = peer.compute_codes(X).view(np.uint16)
        if precision == "float16":
            np.testing.assert_array_equal(stored, theirs)
        else:  # cuts bits off, where we round
            assert (stored - theirs <= 1).all()


def test_qdrant():
    """One range for all, 0 to 127, rounded: ((x - offset) / alpha).clamp(0, 127).round()."""
    codes = em.quantize(X, "uint8", ranges=[-1.25, 1.25], bits=7, rounding="nearest")
    alpha = np.float32(2.5) / np.float32(127)
    expected = np.floor(np.clip((X - np.float32(-1.25)) / alpha, 0, 127) + 0.5)
    assert codes.data.tolist() == expected.tolist()
    assert codes.data.tolist() == [
        [69, 37, 111, 60, 64],
        [16, 83, 53, 97, 64],
        [89, 0, 127, 65, 64],
    ]
    fitted = em.quantize(X, "uint8", scope="global", bits=7, rounding="nearest", quantile=0.9)
    assert fitted.data.max() == 127


def test_lucene_int4():
    """Byte i: dimension i high, dimension i + d / 2 low."""
    levels = np.uint8([[1, 2, 3, 4, 5, 6], [15, 0, 9, 8, 7, 14]])
    packed = em.pack_int4(levels, layout="split")
    assert packed.tolist() == [[0x14, 0x25, 0x36], [0xF8, 0x07, 0x9E]]
    codes = em.quantize(levels.astype(np.float32), "int4", ranges=[0, 15], layout="split")
    assert codes.data.tolist() == packed.tolist()
    assert codes.dequantize(center=False).tolist() == levels.tolist()


def test_pgvector_bit():
    """binary_quantize('[...]')::bit(d): x > 0, first dimension first."""
    codes = em.quantize(X, "ubinary")
    texts = ["".join(map(str, row)) for row in em.unpack_bits(codes.data, 5)]
    assert texts == ["10100", "01010", "10111"]
    assert [int(text.ljust(8, "0"), 2) for text in texts] == codes.data[:, 0].tolist()


def test_vespa_int8_bits():
    """pack_bits: most significant first, the byte as it is."""
    x = np.float32([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1], [1] * 8 + [-1] * 8])
    codes = em.quantize(x, "binary", signedness="twos_complement")
    assert codes.data.tolist() == [[-128, 7], [-1, 0]]


def test_vllm_and_cohere_bits():
    x = np.float32([[0, 1, -1, 0, 0, 1, -1, -1]])
    assert em.quantize(x, "ubinary", threshold="ge").data.tolist() == [[0b11011100]]
    assert em.quantize(x, "binary", threshold="ge").data.tolist() == [[0b11011100 - 128]]


# bytes(bson.binary.Binary.from_vector(...)) of PyMongo 4.20.
BSON = {"int8": "0300807f03", "ubinary": "1005a5e0"}


def test_bson_vectors():
    eight = em.Codes.from_data(np.int8([-128, 127, 3]), "int8")
    assert eight.to_bson().hex() == BSON["int8"]
    bits = em.Codes.from_data(np.uint8([0xA5, 0xE0]), "ubinary", dim=11)
    assert bits.to_bson().hex() == BSON["ubinary"]
    signed = em.Codes.from_data(np.int8([0xA5 - 128, 0xE0 - 128]), "binary", dim=11)
    assert signed.to_bson().hex() == BSON["ubinary"]
    for codes, stored in ((eight, BSON["int8"]), (bits, BSON["ubinary"])):
        back = em.Codes.from_bson(bytes.fromhex(stored))
        assert (back.precision, back.shape) == (codes.precision, codes.shape)
        np.testing.assert_array_equal(back.data, codes.data)
    matrix = em.quantize(X, "ubinary")
    assert em.Codes.from_bson(matrix.to_bson()).data.tolist() == matrix.data.tolist()


def test_bson_itself(rng):
    bson = pytest.importorskip("bson.binary")
    kinds = bson.BinaryVectorDtype
    codes = em.quantize(normal(rng, 4, 29), "int8")
    for row, payload in zip(codes.data, codes.to_bson(), strict=True):
        assert payload == bytes(bson.Binary.from_vector(row.tolist(), kinds.INT8))
        assert bson.Binary(payload, 9).as_vector().data == row.tolist()
    bits = em.quantize(normal(rng, 4, 29), "binary")
    plain = np.uint8(bits.data.view(np.uint8) ^ 0x80)
    for row, payload in zip(plain, bits.to_bson(), strict=True):
        theirs = bson.Binary.from_vector(row.tolist(), kinds.PACKED_BIT, padding=3)
        assert payload == bytes(theirs)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "header"),
        (b"\x03", "header"),
        (b"\x27\x00\x00\x00\x80\x3f", "0x27 .*frombuffer"),
        (b"\x05\x00\x01", "element type INT8 or PACKED_BIT"),
        (b"\x03\x01\x01", "INT8 or PACKED_BIT"),
        (b"\x10\x08\x01", "0 to 7 bits"),
        (b"\x10\x01", "0 to 7 bits|padding"),
        (b"\x10\x03\xff", "zeros in the bits of padding"),
        ([b"\x10\x00\xff", b"\x10\x00"], "one element type and one length"),
        ([b"\x10\x00\xff", b"\x03\x00\xff"], "one element type and one length"),
        ([], "header"),
    ],
)
def test_malformed_bson(payload, message):
    with pytest.raises(ValueError, match=f"^vectors: .*({message})"):
        em.Codes.from_bson(payload)


def test_bson_refusals():
    with pytest.raises(TypeError, match=r"^vectors: .*str"):
        em.Codes.from_bson("0300")
    with pytest.raises(ValueError, match=r"^codes: .*uint8"):
        em.quantize(X, "uint8").to_bson()


def test_codes_survive_pickling():
    for precision in ("int8", "uint8", "int4", "binary", "float16"):
        codes = em.quantize(X, precision)
        back = pickle.loads(pickle.dumps(codes))
        np.testing.assert_array_equal(back.dequantize(), codes.dequantize())
        assert repr(back) == repr(codes)
