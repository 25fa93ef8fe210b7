"""Codes and what they mean, in one object; and the way back to numbers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from . import _arguments, _arrays, _bson, _code_rows, _codes_decode, _codes_given, _device, _grids
from ._precisions import FLIPS, FLOATS, PRECISIONS
from ._rotated import RotatedGrid
from ._rotation import Rotation
from ._types import (
    Array,
    Coded,
    Layout,
    Precision,
    Progress,
    Residuals,
    Rounding,
    Scope,
    Signedness,
)


@dataclass(frozen=True, eq=False, repr=False)
class Codes(Coded):
    """Codes with the numbers and conventions that give them a meaning; immutable.

    Made by :func:`quantize`, by :meth:`from_data` around codes made elsewhere, or by :meth:`load`
    from a file. Rows are chosen by indexing (slices are views); ``np.asarray(codes)`` and DLPack
    give the stored array.

    Attributes
    ----------
    data : array, (n, width) or (width,)
        The stored codes, in the library of the caller; packed where a code has less than 8 bits.
    dim : int
        Dimensions of a row.
    precision : str
        "int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16", "pca" or "rabitq".
    step, minimum : array of float32 or None
        A code stands for ``place * step + minimum``, place being the code counted from the lowest
        (``code + 128`` of int8 codes with a minimum). Both broadcast against unpacked codes: (d,)
        for scope "dim", (n, 1) for "row", (1,) for "global". `minimum` is None for int8 codes
        around 0: ``code * step``. Of "pca" and "rabitq" codes `step` scales a row's grid points.
    offset : array of float32, (n, 1), or None
        Of "pca" and "rabitq": a row's component along the mean's direction that grid points leave.
    grid : RotatedGrid or None
        Likewise: the rotation, and bits and steps of its coordinates.
    ranges : array of float32, (2, d) or (2, 1), or None
        Minimum and maximum per dimension or of all, to quantize more rows on the same grid.
    scope : {"dim", "row", "global"} or None
        What has a grid of its own.
    rounding : {"floor", "nearest", "truncate", "ratio"}
    bits : int
        Bits of a code; 7 for uint8 codes that end at 127. Of "pca" and "rabitq" see `grid`.
    layout : {"interleaved", "split"}
        Of int4.
    signedness : {"none", "offset", "twos_complement"}
        Of the bytes of binary.
    metadata : dict of str to str
        The caller's own, from :meth:`load`; :meth:`save` keeps them.
    residuals : Residuals or None
        How far codes are from their rows, see :meth:`with_residuals`.

    Examples
    --------
    >>> import numpy as np
    >>> codes = em.quantize(np.float32([[1, -0.5], [0, 2]]), "int8")
    >>> codes
    <embmath.Codes: 2 rows x 2, int8, scope row, 12 bytes>
    >>> codes[1].data
    array([  0, 127], dtype=int8)
    >>> codes.dequantize().round(2)
    array([[ 1. , -0.5],
           [ 0. ,  2. ]], dtype=float32)
    """

    data: Array
    dim: int
    precision: Precision
    step: Array | None = None
    minimum: Array | None = None
    ranges: Array | None = None
    scope: Scope | None = None
    rounding: Rounding = "nearest"
    bits: int = 8
    layout: Layout = "interleaved"
    signedness: Signedness = "none"
    metadata: Mapping[str, str] = field(default_factory=dict)
    residuals: Residuals | None = None
    offset: Array | None = None
    grid: RotatedGrid | None = None

    @classmethod
    def from_data(
        cls,
        data: Array,
        precision: Precision,
        *,
        dim: int | None = None,
        ranges: Array | None = None,
        minimum: Array | None = None,
        step: Array | None = None,
        scope: Scope | None = None,
        rounding: Rounding | None = None,
        bits: int = 8,
        layout: Layout = "interleaved",
        signedness: Signedness | None = None,
        grid: RotatedGrid | None = None,
        offset: Array | None = None,
    ) -> "Codes":
        """Wrap codes that were made elsewhere; nothing is copied.

        Parameters
        ----------
        data : array, (n, width) or (width,)
            int8 for "int8"; uint8 for "uint8", "int4" and "ubinary"; int8 or, with signedness
            "none", uint8 for "binary", "pca" and "rabitq"; float16 or bfloat16 (also as uint16) for
            those.
        precision : str
        dim : int, optional
            Dimensions of a row, where packed codes leave it open; default: all that fit.
        ranges : array, (2, d), (2, 1) or (2,), optional
            Minimum and maximum, from which `minimum` and `step` follow.
        minimum, step : array, optional
            Instead of `ranges`: one number, one per dimension or one per row, as `scope` says. int8
            codes with a step and without a minimum stand for ``code * step``. Without `ranges` and
            `step` codes can be stored and compared, not decoded.
        scope : {"dim", "row", "global"}, optional
            What `step` belongs to; needed where it has more than one element.
        rounding : {"floor", "nearest", "truncate", "ratio"}, optional
            How the codes were rounded; default "nearest" for scope "row" and codes around 0, else
            "floor".
        bits : {8, 7}
            7 for uint8 codes from 0 to 127 (Qdrant).
        layout : {"interleaved", "split"}
            Of int4.
        signedness : {"none", "offset", "twos_complement"}, optional
            Of binary; default "offset" for int8, "none" for uint8.
        grid : RotatedGrid
            Of "pca" and "rabitq", which also need `step` and `offset` of every row.
        offset : array, (n,) or (n, 1)

        Returns
        -------
        Codes

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is allowed.

        Examples
        --------
        >>> import numpy as np
        >>> faiss_codes = np.uint8([[0x21, 0xF3]])
        >>> codes = em.Codes.from_data(faiss_codes, "int4", ranges=[0, 1.5], rounding="ratio")
        >>> codes.dequantize().round(2)
        array([[0.15, 0.25, 0.35, 1.5 ]], dtype=float32)
        """
        name = _arguments.choice("precision", precision, tuple(PRECISIONS))
        kind = PRECISIONS[name]
        if _arrays.is_on_device(data):
            _grids.reject_rotated("data", name)
            given = {"ranges": ranges, "minimum": minimum, "step": step, "scope": scope}
            form = {"bits": bits, "layout": layout, "signedness": signedness}
            found = _device.backend().codes_from_data(
                data, name, dim, given | {"rounding": rounding}, form
            )
            return cast(Codes, found)
        allowed = (*kind.dtypes, "uint16") if name == "bfloat16" else kind.dtypes
        source = _arrays.read("data", data, allowed=allowed)
        width = _arrays.as_rows(source).n_cols
        if kind.kind == "rotated":
            given = {"ranges": ranges, "minimum": minimum, "scope": scope, "rounding": rounding}
            _grids.reject_given(name, given)
            _grids.check_layout(name, layout, 0)
            _grids.check_signedness(name, signedness)
            fields = _codes_given.on_rotated_grid(source, dim, grid, step, offset)
            return cls(data, precision=precision, **fields)
        _grids.reject_given(name, {"grid": grid, "offset": offset})
        columns = kind.dim(width) if dim is None else _arguments.integer("dim", dim, at_least=0)
        if kind.width(columns) != width:
            raise ValueError(
                f"dim: {columns} dimensions of {name} take {kind.width(columns)} columns, "
                f"got data with {width}"
            )
        width = _grids.check_bits(name, bits)
        order = _grids.check_layout(name, layout, columns)
        signs = _grids.check_signedness(name, signedness, source.dtype)
        fields = _codes_given.on_uniform_grid(
            name, width, columns, source, ranges, minimum, step, scope, rounding
        )
        return cls(data, columns, precision, bits=width, layout=order, signedness=signs, **fields)

    @classmethod
    def from_bson(cls, vectors: Any) -> "Codes":
        """Read BSON binary vectors (subtype 9): one, or a sequence of equal kind and length.

        Parameters
        ----------
        vectors : bytes or sequence of bytes
            Of element type INT8 ("int8" codes without a scale) or PACKED_BIT ("ubinary").

        Returns
        -------
        Codes

        Raises
        ------
        TypeError, ValueError
            For other element types, unequal lengths or kinds, and malformed headers.

        Examples
        --------
        >>> em.Codes.from_bson(bytes.fromhex("1004a0")).dim
        4
        """
        data, precision, dim = _bson.read(vectors)
        return cls.from_data(data, precision, dim=dim)

    def to_bson(self) -> "bytes | list[bytes]":
        """BSON binary vectors (subtype 9), one per row: the payload of ``bson.Binary(_, 9)``.

        int8 codes become INT8 (their scale is not part of it), binary and ubinary PACKED_BIT.

        Returns
        -------
        bytes or list of bytes
            bytes for a single row, else a list.

        Raises
        ------
        ValueError
            For a precision that BSON has no element type for.

        Examples
        --------
        >>> import numpy as np
        >>> em.quantize(np.float32([[1, -1, 1, -1]]), "ubinary").to_bson()[0].hex()
        '1004a0'
        """
        array = _arrays.read("data", self.data).array
        if PRECISIONS[self.precision].kind == "bits":
            array = array.view(np.uint8) ^ np.uint8(FLIPS[self.signedness])
        return _bson.write(array, self.precision, self.dim)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        metadata: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Save the codes and all that gives them a meaning as one safetensors file.

        The file replaces an existing one whole or not at all, and carries checksums. Codes of any
        library are saved from their memory, without a copy.

        Parameters
        ----------
        path : path
        metadata : mapping of str to str, optional
            The caller's own strings, besides those that the codes have already.
        progress : callable, optional
            Called with the fraction done, some ten times a second; may raise to cancel.

        Raises
        ------
        TypeError, ValueError
            For fields that contradict each other, and what is not a regular file.
        OSError
            If the file cannot be written; an old one stays as it was.

        Notes
        -----
        Tensors: ``data``, and ``ranges`` (from which minimum and step follow) or ``step`` and
        ``minimum``; of rotated codes ``step``, ``offset``, and the rotation (``mean``, ``basis``,
        ``variance``) with ``widths`` and ``steps`` of its blocks; strings: the other attributes by
        name, the caller's as ``user.<key>``.
        Residuals are not saved: :meth:`with_residuals` makes them again.

        Examples
        --------
        >>> import numpy as np, os, tempfile
        >>> codes = em.quantize(np.float32([[1, -0.5], [0, 2]]), "int8")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "codes.safetensors")
        ...     codes.save(path, metadata={"model": "any"})
        ...     again = em.Codes.load(path, verify="full")
        >>> again
        <embmath.Codes: 2 rows x 2, int8, scope row, 12 bytes>
        >>> again.metadata
        {'model': 'any'}
        """
        from . import _codes_file

        _codes_file.save(self, path, metadata, progress)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        mmap: bool = True,
        verify: Literal["header", "full"] = "header",
    ) -> "Codes":
        """Open codes that :meth:`save` or ``python -m embmath quantize`` wrote.

        Parameters
        ----------
        path : path
        mmap : bool
            Map the file: nothing is copied, rows are read when used, and the mapping lives as long
            as an array of it. False: read it into memory.
        verify : {"header", "full"}
            "header" checks everything but the data; "full" also compares their checksum.

        Returns
        -------
        Codes
            Of NumPy arrays, read-only, whatever library the saved codes were in; bfloat16 as its
            bits (uint16) unless ml_dtypes is imported.

        Raises
        ------
        FileFormatError
            If the file is of another kind, truncated or damaged, or holds what codes cannot be.
        OSError
            If it cannot be opened or read.

        Notes
        -----
        Reads the header and the steps (O(n) of scope "row", else O(d)); "full" all of the file.

        Examples
        --------
        >>> import numpy as np, os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "codes.safetensors")
        ...     em.quantize(np.float32([[1, -0.5], [0, 2]]), "ubinary").save(path)
        ...     codes = em.Codes.load(path)
        >>> codes.dequantize()  # the mapping outlives the file's name
        array([[ 1., -1.],
               [-1.,  1.]], dtype=float32)
        """
        from . import _codes_file

        codes: Codes
        codes, metadata = _codes_file.load(cls.from_data, path, mmap, verify)
        return replace(codes, metadata=metadata)

    def with_residuals(self, rows: Array, *, threads: int | None = None) -> "Codes":
        """The same codes, which know how far they are from the rows that they were made of.

        With that, :func:`search` proves that the best candidates, rescored, are the best rows.

        Parameters
        ----------
        rows : array, (n, d)
            The rows that were quantized: float16, bfloat16, float32 or float64; also memory-mapped.
        threads : int, optional

        Returns
        -------
        Codes
            Sharing everything with these.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is allowed.

        Notes
        -----
        O(n d), four passes over the codes and three over the rows. A row that holds NaN or infinity
        makes the residuals infinite, which proves nothing.

        Examples
        --------
        >>> import numpy as np
        >>> rows = np.float32([[1, -0.5], [0, 2]])
        >>> round(em.quantize(rows, "int8").with_residuals(rows).residuals.euclidean, 4)
        0.0039
        """
        if self.grid is not None:
            raise ValueError(
                f"codes: {self.precision} codes are searched in rounded rotated coordinates, which "
                "have no certificate; search with rescore= alone, or use int8 or int4 codes"
            )
        exact = _arrays.matrix("rows", rows, FLOATS)
        codes = _code_rows.read("codes", self, "euclidean")
        if exact.array.shape != (codes.n_rows, codes.n_cols):
            raise ValueError(
                f"rows: expected shape {(codes.n_rows, codes.n_cols)} like the codes, "
                f"got {exact.array.shape}"
            )
        found = _code_rows.residuals(exact, codes, _arguments.threads(threads))
        return replace(self, residuals=found)

    @property
    def rotation(self) -> Rotation | None:
        """What "pca" and "rabitq" rotated the rows by."""
        return None if self.grid is None else self.grid.rotation

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, dim), or (dim,) of a single row."""
        return (*self.data.shape[:-1], self.dim)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and of the numbers that belong to them, less those of a rotation."""
        arrays = (self.data, self.step, self.minimum, self.offset)
        return sum(_arrays.n_bytes(array) for array in arrays if array is not None)

    def __len__(self) -> int:
        if self.data.ndim == 1:
            raise TypeError("codes: a single row has no length (see dim)")
        return int(self.data.shape[0])

    def __getitem__(self, rows: Any) -> "Codes":
        """Codes of some rows: an index, a slice (a view), an array of indices or a mask."""
        if self.data.ndim == 1:
            raise IndexError("codes: a single row cannot be indexed")
        data = None if isinstance(rows, tuple) or rows is None else self.data[rows]
        if data is None or data.ndim not in (1, 2):
            raise IndexError("codes: expected rows (an index, a slice, a 1-D array)")
        if self.scope != "row":
            return replace(self, data=data)
        names = ("step", "minimum", "offset")
        found = {name: getattr(self, name) for name in names}
        parts: dict[str, Any] = {
            name: None if array is None else array[rows] for name, array in found.items()
        }
        return replace(self, data=data, **parts)

    def __repr__(self) -> str:
        rows = "1 row" if self.data.ndim == 1 else f"{len(self)} rows"
        how, size = "" if self.scope is None else f", scope {self.scope}", _size(self.nbytes)
        if self.grid is not None:
            how = f", {self.grid.bits:.3g} bits"
            size += f", rotation {_size(self.grid.nbytes)}"
        return f"<embmath.Codes: {rows} x {self.dim}, {self.precision}{how}, {size}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        stored = _arrays.as_embeddings(
            _codes_decode.memory(self.data), PRECISIONS[self.precision].dtypes[0]
        )
        result = stored if dtype is None else stored.astype(dtype, copy=False)
        if copy is False and result is not stored:
            raise ValueError(f"copy: codes are {stored.dtype}, {dtype} needs a copy")
        return result.copy() if copy and result is stored else result

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()

    def dequantize(
        self,
        *,
        dtype: Any = "float32",
        out: Array | None = None,
        center: bool = True,
        threads: int | None = None,
    ) -> Array:
        """The numbers that the codes stand for; see :func:`dequantize`."""
        return dequantize(self, dtype=dtype, out=out, center=center, threads=threads)


def dequantize(
    codes: Codes,
    *,
    dtype: Any = "float32",
    out: Array | None = None,
    center: bool = True,
    threads: int | None = None,
) -> Array:
    """The numbers that codes stand for.

    Parameters
    ----------
    codes : Codes
    dtype : {"float16", "bfloat16", "float32", "float64"}
        By name, or as NumPy's or Torch's dtype.
    out : array, (n, d) or (d,), optional
        C-contiguous array of that dtype that receives the result.
    center : bool
        Decode a code that was rounded down to the middle of the values it stands for, which halves
        the largest error. False: to the lowest of them, as sentence-transformers does to rescore.
    threads : int, optional

    Returns
    -------
    array, (n, d) or (d,)
        In the library of the codes. Bits become -1 and 1.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed; for codes without ranges.

    Notes
    -----
    O(n d), limited by memory bandwidth. ``place * step + minimum`` is computed in float64, where
    the product is exact, and rounded to float32; 16-bit results are rounded from that.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.float32([[0.1, -1], [0.7, 1]])
    >>> em.dequantize(em.quantize(x, "uint8", ranges=[-1, 1])).round(3)
    array([[ 0.102, -0.996],
           [ 0.698,  0.996]], dtype=float32)
    """
    if not isinstance(codes, Codes):
        raise TypeError(f"codes: expected Codes, got {type(codes).__name__} (see Codes.from_data)")
    name = _arrays.dtype_name("dtype", dtype, FLOATS)
    is_centered = _arguments.flag("center", center)
    workers = _arguments.threads(threads)
    if _arrays.is_on_device(codes):
        return _device.backend().dequantize(codes, name, is_centered, out)
    return _codes_decode.decode(codes, name, is_centered, workers, out)


def _size(n_bytes: int) -> str:
    return f"{n_bytes} bytes" if n_bytes < 2**16 else f"{n_bytes / 2**20:.1f} MiB"
