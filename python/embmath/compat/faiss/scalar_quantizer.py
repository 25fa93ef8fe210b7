"""An index of codes: 16, 8 or 4 bits per dimension."""

from typing import Any, ClassVar, NamedTuple

import numpy as np

import embmath as em

from .flat import read_bytes
from .index import METRIC_L2, Array, Index, metric_name
from .stores import CodedRows


class _Kind(NamedTuple):
    """What embmath calls a type of codes of FAISS."""

    precision: Any
    scope: Any = None  # what has a range of its own
    ranges: Any = None  # where nothing is trained
    centre: float = 0.0  # where in its step a code's number lies


_KINDS = {
    0: _Kind("uint8", "dim", centre=0.5),
    1: _Kind("int4", "dim", centre=0.5),
    2: _Kind("uint8", "global", centre=0.5),
    3: _Kind("int4", "global", centre=0.5),
    4: _Kind("float16"),
    5: _Kind("uint8", "global", ranges=(0, 255)),
    7: _Kind("bfloat16"),
    8: _Kind("uint8", "global", ranges=(-128, 127)),
}


class ScalarQuantizer:
    """How rows become codes: those of FAISS, byte for byte.

    Parameters
    ----------
    d : int
        Dimensions.
    qtype : int
        One of the constants here, which are all that embmath has codes for.

    Attributes
    ----------
    trained : array of float32
        Minima and widths of the ranges: (2 d,), uniform (2,), else empty.
    code_size : int
        Bytes of a row.
    """

    QT_8bit, QT_4bit, QT_8bit_uniform, QT_4bit_uniform = 0, 1, 2, 3
    QT_fp16, QT_8bit_direct, QT_bf16, QT_8bit_direct_signed = 4, 5, 7, 8

    _bits: ClassVar = {"uint8": 8, "int4": 4, "float16": 16, "bfloat16": 16}

    def __init__(self, d: int, qtype: int) -> None:
        if qtype not in _KINDS:
            raise ValueError(f"qtype: expected one of {sorted(_KINDS)}, got {qtype!r}")
        self.d, self.qtype, self._kind = int(d), int(qtype), _KINDS[qtype]
        self.code_size = -(-self.d * self._bits[self._kind.precision] // 8)
        self._ranges: Array | None = None
        if self._kind.ranges is not None:
            self._ranges = np.asarray(self._kind.ranges, np.float32)[:, np.newaxis]

    @property
    def needs_training(self) -> bool:
        """Whether ranges are still to be found."""
        return self._kind.scope is not None and self._ranges is None

    @property
    def trained(self) -> Array:
        if self._ranges is None or self._kind.ranges is not None:
            return np.empty(0, np.float32)
        return np.concatenate([self._ranges[0], self._ranges[1] - self._ranges[0]])

    @trained.setter
    def trained(self, numbers: Array) -> None:
        lowest, width = np.asarray(numbers, np.float32).reshape(2, -1)
        self._ranges = np.stack([lowest, lowest + width])

    def train(self, x: Array) -> None:
        """Take the ranges of some rows."""
        if self._kind.scope is not None and self._kind.ranges is None:
            self._ranges = np.asarray(em.fit_ranges(x, scope=self._kind.scope))

    def compute_codes(self, rows: Array) -> Array:
        """Codes of rows, (n, code_size) of uint8."""
        given: dict[str, Any] = (
            {} if self._kind.scope is None else {"ranges": self._ranges, "rounding": "ratio"}
        )
        codes = em.quantize(rows, self._kind.precision, **given)
        return np.ascontiguousarray(codes.data).view(np.uint8)

    def decode(self, codes: Array) -> Array:
        """The numbers that codes stand for, (n, d) of float32: the middles of their steps."""
        return np.asarray(em.dequantize(self.wrap(codes)), np.float32)

    def wrap(self, codes: Array) -> em.Codes:
        """Codes with their meaning."""
        precision, scope, _, centre = self._kind
        if scope is None:
            data = codes.view(np.float16 if precision == "float16" else np.uint16)
            return em.Codes.from_data(data, precision)
        assert self._ranges is not None
        lowest, highest = self._ranges
        step = (highest - lowest) / np.float32(255 if precision == "uint8" else 15)
        return em.Codes.from_data(
            codes,
            precision,
            dim=self.d,
            minimum=lowest + np.float32(centre) * step,
            step=step,
            scope=scope,
            rounding="nearest",  # the centre is in the minimum already
        )


class IndexScalarQuantizer(Index):
    """Exact search of codes: of the numbers that they stand for.

    Parameters
    ----------
    d : int
        Dimensions.
    qtype : int
        One of :class:`ScalarQuantizer`. Those with ranges need :meth:`train`.
    metric : {METRIC_L2, METRIC_INNER_PRODUCT, METRIC_L1}

    Notes
    -----
    Holds codes only, a quarter (8 bits) or an eighth (4 bits) of the rows; they are decoded a few
    rows at a time. The codes are FAISS's own; what they stand for is rounded once more.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> rows = np.float32([[0, 0], [1, 1], [0.5, 0.2]])
    >>> index = faiss.IndexScalarQuantizer(2, faiss.ScalarQuantizer.QT_8bit)
    >>> index.train(rows)
    >>> index.add(rows)
    >>> index.search(rows[2:], 1)[1]
    array([[2]])
    """

    _store: CodedRows

    def __init__(
        self, d: int, qtype: int = ScalarQuantizer.QT_8bit, metric: int = METRIC_L2
    ) -> None:
        super().__init__(d, metric)
        self.sq = ScalarQuantizer(d, qtype)
        self.is_trained = not self.sq.needs_training
        self._store = CodedRows(self.sq, metric_name(metric))

    @property
    def code_size(self) -> int:
        """Bytes of a row."""
        return self.sq.code_size

    @property
    def codes(self) -> Array:
        """All codes, (ntotal, code_size) of uint8."""
        return self._store.codes

    def train(self, x: Array) -> None:
        """Take the ranges of some rows, of every dimension or (uniform) of all."""
        self.sq.train(self._read("x", x))
        self.is_trained = True

    def search(self, x: Array, k: int, **options: Any) -> tuple[Array, Array]:
        """As of :class:`Index`."""
        self._require_training()
        return super().search(x, k, **options)

    def sa_code_size(self) -> int:
        """Bytes of an encoded row."""
        return self.code_size

    def sa_encode(self, x: Array) -> Array:
        """Codes of rows, (n, code_size) of uint8."""
        self._require_training()
        return self.sq.compute_codes(self._read("x", x))

    def sa_decode(self, codes: Array) -> Array:
        """What codes stand for, (n, d) of float32."""
        self._require_training()
        return self.sq.decode(self._read_codes(codes))

    def add_sa_codes(self, codes: Array) -> None:
        """Append codes."""
        self._require_training()
        self._store.append_codes(self._read_codes(codes))

    def merge_from(self, otherIndex: Any, add_id: int = 0) -> None:
        """Append the codes of another index with the same ranges, which is empty then."""
        other = otherIndex
        is_alike = type(other) is type(self) and np.array_equal(other.sq.trained, self.sq.trained)
        if not is_alike or (other.sq.qtype, other.metric_type) != (self.sq.qtype, self.metric_type):
            raise RuntimeError(f"otherIndex: expected one like {self!r}, got {other!r}")
        self._store.append_codes(other.codes)
        other.reset()

    def _read_codes(self, codes: Array) -> Array:
        _, width = codes.shape
        assert width == self.code_size, f"codes: expected {self.code_size} columns, got {width}"
        return read_bytes("codes", codes)
