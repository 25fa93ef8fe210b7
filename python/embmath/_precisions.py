"""What each precision stores: one entry per precision, and nothing about it elsewhere."""

from typing import NamedTuple

# Of what kernels decode to.
FLOATS = ("float16", "bfloat16", "float32", "float64")


class Precision(NamedTuple):
    """How the codes of a precision are stored and which conventions apply to them."""

    kind: str  # "scalar": a uniform grid; "bits": signs; "float": a narrower float; "rotated"
    bits: int  # per dimension; 0: the grid says (_rotated.py)
    dtypes: tuple[str, ...]  # of the stored array; the first is what quantize makes
    signedness: tuple[str, ...] = ("none",)  # of the bytes of packed bits; the first is the default

    def width(self, dim: int) -> int:
        """Elements of the stored array that a row of `dim` dimensions takes."""
        return dim if self.bits >= 8 else -(-dim * self.bits // 8)

    def dim(self, width: int) -> int:
        """Dimensions that a row of stored elements has room for."""
        return width if self.bits >= 8 else width * 8 // self.bits


PRECISIONS = {
    "int8": Precision("scalar", 8, ("int8",)),
    "uint8": Precision("scalar", 8, ("uint8",)),
    "int4": Precision("scalar", 4, ("uint8",)),
    "binary": Precision("bits", 1, ("int8", "uint8"), ("offset", "none", "twos_complement")),
    "ubinary": Precision("bits", 1, ("uint8",)),
    "float16": Precision("float", 16, ("float16",)),
    "bfloat16": Precision("float", 16, ("bfloat16",)),
    "pca": Precision("rotated", 0, ("uint8",)),
    "rabitq": Precision("rotated", 0, ("uint8",)),
}

# Applied to each byte of packed bits by exclusive or; 0x80 is "minus 128".
FLIPS = {"none": 0, "offset": 0x80, "twos_complement": 0}
