"""Grids of codes in rotated coordinates: which axes get how many bits, and where everything lies.

A row x of the mean m becomes y = V (x - m). Blocks of sixteen coordinates share a number of bits
and a step, and y is laid over the grid as if it had length 1. What the codes stand for is

    x̂ = s Vᵀ g + b u,  u = m / |m|,

g being the grid points, and the row's own two numbers s and b such that |x̂| = |x| and
<x̂, u> = <x, u>. Keeping the component along the mean exactly costs four bytes and is worth 0.02 of
recall at one bit per dimension; keeping the length makes dot product, cosine and distance agree.
"""

import heapq
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arguments, _core
from ._rotation import Rotation, hadamard

Floats = npt.NDArray[np.float32]

BLOCK = 16
# Of the uniform grid of 2^b points that loses least of a normal distribution of variance 1: its
# step, and the share of the variance lost (J. Max, "Quantizing for minimum distortion", 1960).
_STEPS = (0.0, 1.59577, 0.99569, 0.58602, 0.33520, 0.18814, 0.10406, 0.05687, 0.03076)
_LOST = (1.0, 0.36338, 0.118846, 0.03744, 0.011543, 0.0034952, 0.00104, 0.0003043, 0.00008769)
_MOST_BITS = 8
_LEAST_STEP = 2.0**-100  # its reciprocal is a float32, too
_MOST_DEFECT = 1e-3  # beyond, axes are not rounded orthonormal ones but something else
_LEAST_REST = 2.0**-20  # of a unit vector: less is rounding


class RotatedGrid:
    """What codes of precision "pca" and "rabitq" are laid over, the same for all rows.

    Made by :func:`quantize`; ``codes.grid`` of some codes serves to make, or wrap, more like them.

    Attributes
    ----------
    rotation : Rotation
        Where coordinates come from. Those of a whole block of 16 are then mixed by a Hadamard
        matrix, for they share a step.
    widths : array of uint8, (ceil(dims / 16),)
        Bits per coordinate of each block; 0: the block is left out.
    steps : array of float32, (ceil(dims / 16),)
        Distance of neighbouring grid points, for rows whose coded coordinates have length 1.
    """

    def __init__(self, rotation: Rotation, widths: Any, steps: Any) -> None:
        if not isinstance(rotation, Rotation):
            raise TypeError(f"rotation: expected a Rotation, got {type(rotation).__name__}")
        self.rotation = rotation
        self.widths = np.array(widths, np.uint8)
        self.steps = np.array(steps, np.float32)
        n_blocks = -(-rotation.dims // BLOCK)
        if self.widths.shape != (n_blocks,) or self.steps.shape != (n_blocks,):
            raise ValueError(
                f"grid: expected widths and steps of {n_blocks} blocks of {BLOCK} coordinates, "
                f"got {self.widths.shape} and {self.steps.shape}"
            )
        used = self.widths > 0
        if not used.any() or (self.widths > _MOST_BITS).any():
            raise ValueError("grid: expected widths up to 8, at least one of them above 0")
        if not (np.isfinite(self.steps).all() and (self.steps[used] >= _LEAST_STEP).all()):
            raise ValueError("grid: expected finite steps above 0")
        coded = _mixed(rotation.basis)[np.repeat(used, BLOCK)[: rotation.dims]]
        self.axes, self.direction = _with_mean(coded, _unit(rotation.mean))
        self.coding = (self.widths[used], self.steps[used], self.direction, len(coded))
        for part in (self.widths, self.steps, self.axes, self.direction):
            part.setflags(write=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return RotatedGrid, (self.rotation, self.widths, self.steps)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's codes."""
        return 2 * int(self.widths.sum())

    @property
    def bits(self) -> float:
        """Bits per dimension, without what fills up a last block of less than 16."""
        sizes = _block_sizes(self.rotation.dims)
        pairs = zip(self.widths.tolist(), sizes, strict=True)
        return float(sum(width * size for width, size in pairs) / self.rotation.d)

    @property
    def n_coords(self) -> int:
        """Coordinates of what codes stand for; the last is the length of what no axis spans."""
        n_axes = len(self.axes)
        return n_axes + (n_axes < self.rotation.d)

    @property
    def nbytes(self) -> int:
        """Bytes of the rotation and of the axes taken from it."""
        arrays = (self.rotation.mean, self.rotation.basis, self.rotation.variance, self.axes)
        return sum(array.nbytes for array in arrays)

    def rotate(self, rows: Any, threads: int = 0) -> Floats:
        """Numbers on these axes, as kernels compare them with codes."""
        out = np.empty((rows[0].shape[0], self.n_coords), np.float32)
        with_rest = self.n_coords > len(self.axes)
        _core.rotate(rows, self.axes, None, with_rest, threads, None, out)
        return out

    def restore(self, codes: Any, out: Floats, threads: int = 0) -> None:
        """Codes as numbers of as many columns as there were."""
        axes = np.ascontiguousarray(self.axes.T)
        _core.rotate(codes, axes, None, False, threads, None, out)


def fitted_grid(rotation: Rotation, bits: object) -> RotatedGrid:
    """Bits where they save most of the scores' error."""
    wanted = 2.0 if bits is None else _arguments.number("bits", bits)
    if not 0 < wanted <= _MOST_BITS:
        raise ValueError(f"bits: must be above 0 and at most {_MOST_BITS}, got {wanted}")
    variances = _block_variances(rotation)
    sizes = _block_sizes(rotation.dims)
    widths = _allocated(variances, sizes, wanted * rotation.d)
    total = math.fsum(v * n for v, n, w in zip(variances, sizes, widths, strict=True) if w)
    scale = 1 / math.sqrt(total)
    steps = [
        max(_STEPS[w] * math.sqrt(v) * scale, _LEAST_STEP) if w else 0.0
        for v, w in zip(variances, widths, strict=True)
    ]
    return RotatedGrid(rotation, widths, steps)


def even_grid(rotation: Rotation, bits: object) -> RotatedGrid:
    """The same bits everywhere: for coordinates that no axis distinguishes."""
    width = 1 if bits is None else _arguments.integer("bits", bits, at_least=1, at_most=_MOST_BITS)
    n_blocks = -(-rotation.dims // BLOCK)
    step = _STEPS[width] / math.sqrt(rotation.dims)
    return RotatedGrid(rotation, [width] * n_blocks, [step] * n_blocks)


def _block_sizes(dims: int) -> list[int]:
    return [min(BLOCK, dims - first) for first in range(0, dims, BLOCK)]


def _block_variances(rotation: Rotation) -> list[float]:
    """Mean variance of each block, on a scale where the largest is 1; all 1 without any."""
    values = rotation.variance.tolist()
    means = [
        math.fsum(values[i * BLOCK : (i + 1) * BLOCK]) / n
        for i, n in enumerate(_block_sizes(rotation.dims))
    ]
    largest = max(means)
    return [mean / largest for mean in means] if largest > 0 else [1.0] * len(means)


def _allocated(variances: list[float], sizes: list[int], n_bits: float) -> list[int]:
    """Bits of each block's coordinates, one more for the block that it helps most; none is useless.

    The error of a score is <q, e>: of a variance v of rows and w of queries, a block adds
    w v lost(bits). Queries spread like rows in general (w = v), like none of the axes next to one
    row; v ** 1.5 found the most neighbours (measured: +0.01 recall@10 at 1 and 2 bits over v).
    Greedy is optimal, for every further bit of a block saves less.
    """
    widths = [0] * len(variances)
    weights = [v * math.sqrt(v) for v in variances]  # a power might differ between machines
    heap = [(-w * (_LOST[0] - _LOST[1]), i) for i, w in enumerate(weights)]
    heapq.heapify(heap)
    left = n_bits + 1e-6
    while heap and heap[0][0]:
        i = heap[0][1]
        if left < sizes[i] and any(widths):
            heapq.heappop(heap)
            continue
        left -= sizes[i]
        widths[i] = b = widths[i] + 1
        if b == _MOST_BITS:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (-weights[i] * (_LOST[b] - _LOST[b + 1]), i))
    return widths


def _mixed(basis: Floats) -> Floats:
    """Axes of whole blocks times the Hadamard matrix of order 16, which is symmetric."""
    n_whole = len(basis) // BLOCK * BLOCK
    mixed = basis.astype(np.float64)
    parts = mixed[:n_whole].reshape(-1, BLOCK, basis.shape[1])
    hadamard(parts)
    return mixed.astype(np.float32)


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A vector of length 1, the same to the bit on every machine; zeros stay."""
    largest = float(np.abs(vector).max(initial=0.0))
    if largest == 0:
        return vector
    scaled = vector / math.ldexp(1.0, math.frexp(largest)[1] - 1)
    return np.asarray(scaled / math.sqrt(math.fsum((scaled * scaled).tolist())))


def _with_mean(coded: Floats, mean: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Axes that also span the mean's direction, and that direction in their coordinates."""
    _check_orthonormal(coded)
    direction = mean.astype(np.float32)
    axes, rest = coded, direction
    for _ in range(2):  # the second time for what rounding left of the first
        rest64 = rest.astype(np.float64) - _product(_product(rest, coded), coded.T)
        length = math.sqrt(math.fsum((rest64 * rest64).tolist()))
        if len(coded) == coded.shape[1] or length < _LEAST_REST:
            break
        rest = _unit(rest64).astype(np.float32)
    else:
        axes = np.vstack([coded, rest])
    return np.ascontiguousarray(axes), _product(direction, axes)


def _check_orthonormal(axes: Floats) -> None:
    """By one vector that all axes take part in: V Vᵀ y = y."""
    y = np.ones(len(axes), np.float32)
    y[1::3] = -1
    found = _product(_product(y, axes.T), axes)
    if not np.abs(found - y).max() < _MOST_DEFECT * math.sqrt(len(y)):
        raise ValueError("rotation: expected orthonormal axes, got others")


def _product(x: Floats, axes: Floats) -> Floats:
    out = np.empty((1, len(axes)), np.float32)
    rows = np.ascontiguousarray(x)[np.newaxis], "float32"
    _core.rotate(rows, np.ascontiguousarray(axes), None, False, 1, None, out)
    return np.asarray(out[0])
