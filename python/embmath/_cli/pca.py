"""Principal axes of a sparse matrix, with NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Dense = NDArray[np.float32]

_OVERSAMPLE = 32
_SEED = 0


@dataclass(frozen=True)
class Sparse:
    """
    A sparse matrix, row by row.

    Attributes
    ----------
    starts : int64 array, (rows + 1,)
        Row i holds the entries ``starts[i]:starts[i + 1]``.
    columns, values : arrays, (entries,)
        Column and value of every entry.
    width : int
        Number of columns.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: Dense
    width: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.starts) - 1

    def column_sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sums over each column of `values`, one value per entry."""
        sums = np.bincount(self.columns, weights=values, minlength=self.width)
        return np.asarray(sums, np.float64)

    def row_of_entries(self) -> NDArray[np.int64]:
        """Return the row of every entry."""
        return np.repeat(np.arange(self.height), np.diff(self.starts))

    def dot(self, dense: Dense) -> Dense:
        """Return self @ dense."""
        product = np.zeros((self.height, dense.shape[1]), np.float32)
        bounds = self.starts.tolist()
        # One small product per row is some 20 times faster here than np.add.reduceat; einsum
        # because a BLAS would wake its threads for every one of them.
        for row, (start, stop) in enumerate(pairwise(bounds)):
            if start < stop:
                gathered = dense.take(self.columns[start:stop], axis=0)
                np.einsum("i,ij->j", self.values[start:stop], gathered, out=product[row])
        return product

    def transposed(self) -> Sparse:
        """Return the transpose."""
        order = np.argsort(self.columns, kind="stable")
        counts = np.bincount(self.columns, minlength=self.width)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return Sparse(starts, self.row_of_entries()[order], self.values[order], self.height)


def principal_axes(matrix: Sparse, dims: int) -> tuple[Dense, Dense]:
    """
    Return the mean row and the leading principal axes of `matrix`.

    A randomized range finder with one power iteration (Halko, Martinsson and Tropp 2011) from a
    fixed seed; the centred matrix, which would be dense, is never formed.

    Returns
    -------
    mean : float32 array, (width,)
    axes : float32 array, (width, at most dims)
        Orthonormal columns, that of the largest variance first. Fewer than `dims` where the
        rows do not span more.
    """
    used, columns = np.unique(matrix.columns, return_inverse=True)
    compact = Sparse(matrix.starts, columns, matrix.values, len(used))
    mean = np.zeros(matrix.width, np.float32)
    mean[used] = compact.column_sums(compact.values) / max(compact.height, 1)
    directions = _principal_directions(compact, mean[used], dims)
    axes = np.zeros((matrix.width, directions.shape[1]), np.float32)
    axes[used] = directions
    return mean, axes


def _principal_directions(matrix: Sparse, mean: Dense, dims: int) -> Dense:
    """Return the axes of a matrix in which every column has entries."""
    across = matrix.transposed()
    size = min(dims + _OVERSAMPLE, matrix.height, matrix.width)
    start = np.random.default_rng(_SEED).standard_normal((matrix.width, size), dtype=np.float32)
    # Text spectra fall slowly, so the power iteration needs no orthonormal basis in between.
    power = _across_dot(across, mean, _centred_dot(matrix, mean, start))
    sample = _left_directions(_centred_dot(matrix, mean, power), size)
    return _left_directions(_across_dot(across, mean, sample), dims)


def _centred_dot(matrix: Sparse, mean: Dense, dense: Dense) -> Dense:
    """Return (matrix - mean) @ dense."""
    return matrix.dot(dense) - mean @ dense


def _across_dot(across: Sparse, mean: Dense, dense: Dense) -> Dense:
    """Return (matrix - mean).T @ dense, given the transposed matrix."""
    return across.dot(dense) - np.outer(mean, dense.sum(axis=0))


def _left_directions(dense: Dense, dims: int) -> Dense:
    """
    Return the left singular vectors of a tall matrix, largest singular values first.

    Through the small Gram matrix, in float64: the product is all that costs time, and it is
    what every BLAS does best.
    """
    wide = dense.astype(np.float64)
    energy, vectors = np.linalg.eigh(wide.T @ wide)
    energy, vectors = energy[::-1][:dims], vectors[:, ::-1][:, :dims]
    # What is below the rounding of float32 is noise: few or alike texts span fewer dimensions.
    kept = energy > energy.max(initial=0.0) * 1e-12
    directions: Dense = dense @ (vectors[:, kept] / np.sqrt(energy[kept])).astype(np.float32)
    return directions
