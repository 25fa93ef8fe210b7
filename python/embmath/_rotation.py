"""Principal axes: coordinates in which a few leading ones say most."""

import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _arguments, _arrays
from ._similarity import similarity
from ._types import Array, FileFormatError

_PARTS = {"mean": "F64", "basis": "F32", "variance": "F64"}  # with safetensors' names of types
_FLOATS = ("float16", "bfloat16", "float32", "float64")
# A sample of fewer than about 13 d rows fits noise (measured: 2.3 times the survivors at 1.3 d).
_ROWS_PER_DIM = 20
_LEAST_SAMPLE = 10_000
_CHUNK = 4096
_MOST_SQUARE = 1e290  # of a row's length: all their sums are finite
_LEADING_SHARE = 0.75  # isotropic rows: 0.5
_MIXED = 64  # coordinates that codes share a step over
_ROUNDS = 4  # of a random rotation
_HALF_ROOT = np.sqrt(0.5)


class Rotation:
    """Orthonormal axes sorted by variance: ``y = (x - mean) @ basis.T``.

    Made by :func:`fit_rotation` and :func:`random_rotation`.

    Attributes
    ----------
    mean : array of float64, (d,)
        What is subtracted first; zeros for a rotation fitted with ``center=False``.
    basis : array of float32, (dims, d)
        One axis per row, that of the largest variance first.
    variance : array of float64, (dims,)
        Of the coordinates, over the rows it was fitted to.
    """

    def __init__(self, mean: Array, basis: Array, variance: Array) -> None:
        self.mean = np.array(mean, np.float64)
        self.basis = np.array(basis, np.float32, order="C")
        self.variance = np.array(variance, np.float64)
        dims, d = self.basis.shape if self.basis.ndim == 2 else (0, 0)
        if self.mean.shape != (d,) or self.variance.shape != (dims,) or not 1 <= dims <= d:
            raise ValueError(
                "rotation: expected mean (d,), basis (dims, d) and variance (dims,), got "
                f"{self.mean.shape}, {self.basis.shape} and {self.variance.shape}"
            )
        is_finite = all(np.isfinite(part).all() for part in (self.mean, self.basis, self.variance))
        if not is_finite or (self.variance < 0).any():
            raise ValueError("rotation: expected finite numbers, and no variance below zero")
        for part in (self.mean, self.basis, self.variance):
            part.setflags(write=False)

    @property
    def d(self) -> int:
        """Columns of what is rotated."""
        return int(self.basis.shape[1])

    @property
    def dims(self) -> int:
        """Coordinates of the result."""
        return int(self.basis.shape[0])

    def apply(self, x: Array, dims: int | None = None, *, threads: int | None = None) -> Array:
        """Rotated coordinates of rows.

        Parameters
        ----------
        x : array, (n, d) or (d,)
            float16, bfloat16, float32 or float64.
        dims : int, optional
            How many leading coordinates; default: all.
        threads : int, optional

        Returns
        -------
        array of float32, (n, dims) or (dims,)

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is allowed.

        Notes
        -----
        O(n d dims) float32 multiplications. All coordinates together keep distances; they keep dot
        products and cosines, too, where the rotation was fitted with ``center=False``.

        Examples
        --------
        >>> import numpy as np
        >>> x = np.random.default_rng(0).standard_normal((1000, 8), dtype=np.float32)
        >>> rotation = em.fit_rotation(x)
        >>> rotation.apply(x, dims=3).shape
        (1000, 3)
        """
        n_dims = (
            self.dims
            if dims is None
            else _arguments.integer("dims", dims, at_least=1, at_most=self.dims)
        )
        source = _arrays.read("x", x, allowed=_FLOATS)
        rows = _arrays.as_rows(source)
        if rows.n_cols != self.d:
            raise ValueError(f"x: expected {self.d} columns like the rotation, got {rows.n_cols}")
        axes = self.basis[:n_dims]
        values = similarity(
            _arrays.as_embeddings(rows.array, rows.dtype), axes, "dot", threads=threads
        )
        values = np.asarray(values, np.float32)
        values -= (axes.astype(np.float64) @ self.mean).astype(np.float32)
        return source.wrap(values[0] if source.array.ndim == 1 else values)

    def _leading_share(self) -> float:
        total = self.variance.sum()
        return float(self.variance[: (self.dims + 1) // 2].sum() / total) if total > 0 else 0.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save as one file, which replaces an existing one whole or not at all.

        Parameters
        ----------
        path : path
            A safetensors file with checksums.

        Raises
        ------
        OSError
            If the file cannot be written. An old one stays.

        Notes
        -----
        O(d dims).

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> path = os.path.join(tempfile.mkdtemp(), "rotation.safetensors")
        >>> em.fit_rotation(np.eye(4), dims=2).save(path)
        >>> em.Rotation.load(path)
        <embmath.Rotation: 4 -> 2, the first half holds 50% of the variance>
        """
        from . import _files

        _files.write(path, {part: getattr(self, part) for part in _PARTS}, {}, kind="rotation")

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, verify: Literal["header", "full"] = "full"
    ) -> "Rotation":
        """Read a rotation that was saved, the same to the bit.

        Parameters
        ----------
        path : path
        verify : {"header", "full"}
            "full" compares the checksums of all data, "header" checks their description only.

        Returns
        -------
        Rotation

        Raises
        ------
        FileFormatError
            If the file is not a whole, undamaged rotation of a format known here.
        OSError
            If it cannot be read.

        Notes
        -----
        O(d dims).

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> path = os.path.join(tempfile.mkdtemp(), "rotation.safetensors")
        >>> em.fit_rotation(np.eye(4)).save(path)
        >>> em.Rotation.load(path).d
        4
        """
        from . import _files

        file = _files.read(path, kind="rotation", mmap=False, verify=verify)
        try:
            if file.dtypes != _PARTS:
                raise ValueError(f"tensors: expected {_PARTS}, got {file.dtypes}")
            for part, array in file.tensors.items():
                if not np.isfinite(array).all():
                    raise ValueError(f"{part}: expected finite numbers, got others")
            return cls(**file.tensors)
        except ValueError as error:
            raise FileFormatError(f"{os.fsdecode(path)}: {error}") from None

    def leads(self) -> bool:
        """Whether the first half of the coordinates says enough to judge most rows by."""
        return self._leading_share() >= _LEADING_SHARE

    def coding_basis(self) -> tuple[Any, Any, Any]:
        """Mean, axes and standard deviations for codes: blocks of coordinates mixed at random.

        Codes of one step each lose least where coordinates have like variances. A fixed random
        rotation inside blocks makes them so and leaves every block's span as it is.
        """
        axes = self.basis.astype(np.float64)
        spread = np.empty(self.dims)
        rng = np.random.default_rng(0)
        for first in range(0, self.dims, _MIXED):
            block = slice(first, min(first + _MIXED, self.dims))
            n = block.stop - first
            axes[block] = np.linalg.qr(rng.standard_normal((n, n)))[0] @ axes[block]
            spread[block] = np.sqrt(max(self.variance[block].mean(), 0.0))
        return self.mean, axes.astype(np.float32), spread

    def __repr__(self) -> str:
        return (
            f"<embmath.Rotation: {self.d} -> {self.dims}, "
            f"the first half holds {self._leading_share():.0%} of the variance>"
        )


def fit_rotation(
    x: Array,
    *,
    dims: int | None = None,
    axes: Literal["principal", "given"] = "principal",
    center: bool = True,
    normalize: bool = False,
    sample: int | None = None,
    seed: int = 0,
) -> Rotation:
    """Principal axes of rows: a rotation after which leading coordinates matter most.

    Parameters
    ----------
    x : array, (n, d)
        float16, bfloat16, float32 or float64. Rows that are not finite, or longer than 1e145, do
        not count.
    dims : int, optional
        How many axes to keep; default: all d.
    axes : {"principal", "given"}
        "given" keeps the coordinates as they are and only measures them: for Matryoshka models,
        whose leading dimensions matter most already.
    center : bool
        Subtract the mean first. Distances are kept either way; dot products and cosines of rotated
        rows equal those of the rows themselves only without.
    normalize : bool
        Fit to rows of unit length.
    sample : int, optional
        How many rows to fit to, chosen at random; default: max(20 d, 10,000).
    seed : int
        Of the choice.

    Returns
    -------
    Rotation

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(sample d^2 + d^3): mean, covariance and its eigenvectors in float64 [1]_. About 0.2 s for 768
    columns. A sample of fewer than 13 d rows fits noise.

    References
    ----------
    .. [1] K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((2000, 16)) * 0.7 ** np.arange(16)
    >>> em.fit_rotation(x).variance[:4].sum() > 0.7
    np.True_
    """
    rows = _arrays.as_rows(_arrays.read("x", x, allowed=_FLOATS))
    d = rows.n_cols
    n_dims = d if dims is None else _arguments.integer("dims", dims, at_least=1, at_most=max(d, 1))
    kind = _arguments.choice("axes", axes, ("principal", "given"))
    wanted = (
        max(_ROWS_PER_DIM * d, _LEAST_SAMPLE)
        if sample is None
        else _arguments.integer("sample", sample, at_least=1)
    )
    total, mean, scatter = 0, np.zeros(d), np.zeros((d, d))
    for part in _sampled(rows, wanted, seed, normalize):
        total += len(part)
        mean += part.sum(axis=0)
        scatter += part.T @ part
    if total == 0:
        raise ValueError(
            f"x: expected at least one row of finite numbers, of squares below {_MOST_SQUARE}"
        )
    mean /= total
    scatter /= total
    if center:
        scatter -= np.outer(mean, mean)
    else:
        mean[:] = 0.0
    if kind == "given":
        variance, vectors = np.diag(scatter), np.eye(d)
    else:
        variance, vectors = (part[..., ::-1] for part in np.linalg.eigh(scatter))
    return Rotation(mean, vectors.T[:n_dims], np.maximum(variance[:n_dims], 0.0))


def random_rotation(dim: int, *, seed: int = 0, mean: Array | None = None) -> Rotation:
    """A random rotation: no coordinate says more than another, whatever the rows are.

    Parameters
    ----------
    dim : int
        Columns of what is rotated.
    seed : int
    mean : array, (dim,), optional
        What is subtracted first; default: zeros.

    Returns
    -------
    Rotation
        The same to the bit on every machine.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(dim^2 log dim). Four rounds of random signs, a Hadamard matrix on as many leading, then
    trailing, coordinates as it fits, and one turn by 45 degrees of the first half into the second.

    Examples
    --------
    >>> import numpy as np
    >>> rotation = em.random_rotation(6)
    >>> np.abs(rotation.basis @ rotation.basis.T - np.eye(6)).max() < 1e-6
    np.True_
    """
    d = _arguments.integer("dim", dim, at_least=1)
    raw = np.random.PCG64(_arguments.integer("seed", seed, at_least=0)).random_raw(_ROUNDS * d)
    signs = np.where(raw >> np.uint64(63), -1.0, 1.0).reshape(_ROUNDS, d)
    columns = np.eye(d)
    size = 1 << (d.bit_length() - 1)
    for step in range(_ROUNDS):
        columns *= signs[step][:, np.newaxis]
        part = columns[:size] if step % 2 == 0 else columns[d - size :]
        hadamard(part)
        half = d // 2
        low, high = columns[:half].copy(), columns[d - half :].copy()
        columns[:half] = (low + high) * _HALF_ROOT
        columns[d - half :] = (low - high) * _HALF_ROOT
    shift = np.zeros(d)
    if mean is not None:
        given = _arrays.read("mean", mean, allowed=_FLOATS)
        if given.array.shape != (d,):
            raise ValueError(f"mean: expected shape ({d},), got {given.array.shape}")
        shift = _arrays.as_float64(given, np.arange(d))
    return Rotation(shift, columns, np.ones(d))


def hadamard(rows: npt.NDArray[np.float64]) -> None:
    """The rows, a power of two of them, times the orthonormal Hadamard matrix, in place."""
    n, width = rows.shape[-2:]
    half = 1
    while half < n:
        pairs = rows.reshape(-1, n // (2 * half), 2, half, width)
        low, high = pairs[:, :, 0].copy(), pairs[:, :, 1].copy()
        pairs[:, :, 0], pairs[:, :, 1] = low + high, low - high
        half *= 2
    rows /= np.sqrt(np.float64(n))


def sample_mean(x: Array, normalize: bool = False) -> npt.NDArray[np.float64]:
    """About the mean of rows: that of some of them; zeros of none."""
    rows = _arrays.as_rows(_arrays.read("x", x, allowed=_FLOATS))
    total, mean = 0, np.zeros(rows.n_cols)
    for part in _sampled(rows, _LEAST_SAMPLE, 0, normalize):
        total += len(part)
        mean += part.sum(axis=0)
    return mean / max(total, 1)


def _sampled(
    rows: _arrays.Input, wanted: int, seed: int, normalize: bool
) -> Iterator[npt.NDArray[np.float64]]:
    """Rows chosen at random, those that are finite and not too long, some at a time."""
    chosen = np.arange(rows.n_rows)
    if wanted < rows.n_rows:
        rng = np.random.default_rng(_arguments.integer("seed", seed, at_least=0))
        chosen = np.sort(rng.choice(rows.n_rows, wanted, replace=False))
    for first in range(0, len(chosen), _CHUNK):
        part = _arrays.as_float64(rows, chosen[first : first + _CHUNK])
        with np.errstate(over="ignore", invalid="ignore"):
            part = part[np.einsum("ij,ij->i", part, part) < _MOST_SQUARE]
        if normalize:
            lengths = np.linalg.norm(part, axis=1, keepdims=True)
            part /= np.where(lengths > 0, lengths, 1.0)
        yield part
