"""An index on a device: rows, and float16 codes of them where kernels search."""

from typing import Any

import torch
from torch import Tensor

from .. import _arguments
from .._types import Array, NanPolicy, Progress, RangeResult, TopK
from . import calls, kernel_device, kernel_search, tensors


class DeviceIndex:
    """Exact search of rows that stay on a device; made by :meth:`embmath.Index.to`, immutable.

    Answers are those of the index that it was made of, bit for bit. Rows stand in the order of
    their ids, which is the order that masks follow.

    Attributes
    ----------
    ids : Tensor of int64, (ntotal,)
        Ascending.
    metric : str
    ntotal, d, nbytes : int
        `nbytes` counts rows and codes.
    device : torch.device
    """

    def __init__(self, rows: Array, ids: Array, metric: str, device: Any) -> None:
        names = torch.as_tensor(ids)
        order = torch.argsort(names)
        self.metric = metric
        self.device = torch.empty(0, device=device).device
        self.ids = names[order].to(self.device)
        self._rows = _tensor(rows)[order].to(self.device)
        self._is_counted = bool((names[order] == torch.arange(len(names))).all())
        shape = len(names), int(self._rows.shape[1])
        is_searched = kernel_search.take({self._rows.dtype}, shape, metric) and len(names) > 0
        has_kernels = is_searched and kernel_device.most_results(self.device) > 0
        self._plane = kernel_search.Plane(self._rows, metric) if has_kernels else None

    @property
    def ntotal(self) -> int:
        """Number of rows."""
        return len(self._rows)

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self._rows.shape[1])

    @property
    def nbytes(self) -> int:
        """Memory on the device."""
        return int(self._rows.nbytes + self.ids.nbytes) + (
            0 if self._plane is None else self._plane.nbytes
        )

    def search(
        self,
        queries: Tensor,
        k: int = 10,
        *,
        dims: int | None = None,
        mask: Tensor | None = None,
        exclude_self: bool = False,
        threshold: float | None = None,
        pad: bool = False,
        nan: NanPolicy = "raise",
        progress: Progress | None = None,
        stats: dict[str, Any] | None = None,
    ) -> TopK:
        """The k best rows for each query, as :meth:`embmath.Index.search` finds them.

        Parameters
        ----------
        queries : Tensor, (nq, d) or (d,)
            On the index's device.
        k, dims, exclude_self, threshold, pad, nan, progress, stats
            As for :meth:`embmath.Index.search`.
        mask : Tensor of bool, (ntotal,) or (nq, ntotal), optional
            In the order of :attr:`ids`.

        Returns
        -------
        TopK
            ``values`` and ``indices`` (ids), Tensors on the device.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is allowed.
        """
        k = _arguments.integer("k", k, at_least=1)
        is_padded = _arguments.flag("pad", pad)
        # Where ids are not simply counted, a query's own row is known by its id afterwards.
        is_dropped = _arguments.flag("exclude_self", exclude_self) and not self._is_counted
        asked = _arguments.Search(
            exclude_self=exclude_self and not is_dropped,
            threshold=threshold,
            nan=nan,
            progress=progress,
            stats=stats,
        )
        columns = k if is_padded else min(k, self.ntotal)
        found = calls.search(
            queries,
            self._rows,
            columns + is_dropped,
            self.metric,
            dims=dims,
            mask=mask,
            is_padded=True,
            asked=asked,
            out=None,
            plane=None if dims is not None else self._plane,
        )
        values, indices = found.values, self._named(found.indices)
        if not is_dropped:
            return TopK(values, indices)
        return _without_own(values, indices, columns)

    def range_search(
        self,
        queries: Tensor,
        threshold: float,
        *,
        dims: int | None = None,
        mask: Tensor | None = None,
        exclude_self: bool = False,
        nan: NanPolicy = "raise",
        progress: Progress | None = None,
    ) -> RangeResult:
        """Every row within `threshold`, as :meth:`embmath.Index.range_search` finds them."""
        if _arguments.flag("exclude_self", exclude_self) and not self._is_counted:
            raise ValueError("exclude_self: expected ids 0, 1, 2, ..., got others")
        asked = _arguments.Search(
            exclude_self=exclude_self,
            threshold=_arguments.number("threshold", threshold),
            nan=nan,
            progress=progress,
        )
        found = calls.range_search(
            queries,
            self._rows,
            self.metric,
            dims=dims,
            mask=mask,
            asked=asked,
            plane=None if dims is not None else self._plane,
        )
        return RangeResult(found.offsets, found.values, self._named(found.indices))

    def reconstruct(self, ids: Any) -> Tensor:
        """The rows with these ids."""
        wanted = torch.as_tensor(ids, device=self.device).reshape(-1)
        place = torch.searchsorted(self.ids, wanted).clamp(max=max(self.ntotal - 1, 0))
        if not len(self.ids) or not bool((self.ids[place] == wanted).all()):
            raise ValueError("ids: some are not in the index")
        return self._rows[place]

    def __len__(self) -> int:
        return self.ntotal

    def __repr__(self) -> str:
        how = "codes" if self._plane is not None else "no codes"
        return (
            f"<embmath index on {self.device}: {self.ntotal} rows x {self.d}, "
            f"{tensors.dtype_name(self._rows.dtype)}, {self.metric}, {how}>"
        )

    def _named(self, places: Tensor) -> Tensor:
        if self._is_counted or not len(self.ids):
            return places
        return torch.where(places >= 0, self.ids[places.clamp(min=0)], -1)


def _tensor(rows: Any) -> Tensor:
    """Of NumPy's rows; Torch does not take bfloat16 from it."""
    if isinstance(rows, Tensor):
        return rows
    if rows.dtype.name in ("bfloat16", "uint16"):
        return torch.from_numpy(rows.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(rows)


def _without_own(values: Tensor, indices: Tensor, columns: int) -> TopK:
    """Results less each query's own row; the last one, where that is not among them."""
    is_own = indices == torch.arange(len(indices), device=indices.device).unsqueeze(1)
    # Stable: what stays keeps its order, a row to leave out comes last.
    order = torch.argsort(is_own.to(torch.int8), dim=1, stable=True)[:, :columns]
    return TopK(values.gather(1, order), indices.gather(1, order))
