"""Multi-vector embeddings without padding: the tokens of all items, one after another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .inputs import is_wide, read, to_tensor


@dataclass(frozen=True)
class Tokens:
    """Tokens of several queries or documents.

    Attributes
    ----------
    rows : Tensor, (tokens, d)
    lengths : Tensor of int64, (n,)
    weights : Tensor of float32, (tokens,), or None
    counts : Tensor of int64, (n,)
        Tokens that an average is taken over.
    """

    rows: Tensor
    lengths: Tensor
    weights: Tensor | None
    counts: Tensor

    @classmethod
    def read(cls, name: str, value: Any, mask: Any) -> "Tokens":
        """A list of token matrices, a padded batch or one token matrix, less what is masked."""
        whole = cls._of_list(value) if isinstance(value, list) else cls._of_batch(name, value)
        if mask is not None and len(whole):
            return whole._masked(_flat_mask(name, mask, whole.lengths.cpu()))
        return whole if isinstance(value, list) else whole._masked(whole.rows.any(dim=-1))

    @classmethod
    def _of_list(cls, items: list[Any]) -> "Tokens":
        tensors = [to_tensor(read(item)) for item in items]
        lengths = torch.tensor([len(each) for each in tensors], dtype=torch.int64)
        filled = [each for each in tensors if len(each)] or tensors[:1] or [torch.empty(0, 0)]
        return cls._of_rows(torch.cat(filled), lengths)

    @classmethod
    def _of_batch(cls, name: str, value: Any) -> "Tokens":
        """A padded batch; one token matrix is a batch of one."""
        batch = to_tensor(read(value))
        if batch.dim() not in (2, 3):
            raise ValueError(f"{name}: expected 2 or 3 dimensions, got {batch.dim()}")
        n_items = 1 if batch.dim() == 2 else len(batch)
        lengths = torch.full((n_items,), batch.shape[-2], dtype=torch.int64)
        return cls._of_rows(batch.reshape(-1, batch.shape[-1]), lengths)

    @classmethod
    def _of_rows(cls, rows: Tensor, lengths: Tensor) -> "Tokens":
        rows = rows.float() if is_wide(rows) else rows
        return cls(rows, lengths.to(rows.device), None, lengths)

    def _masked(self, mask: Tensor) -> "Tokens":
        mask = mask.to(self.rows.device)
        keep = mask.bool()
        if bool(keep.all()) and not mask.is_floating_point():
            return self
        item = torch.repeat_interleave(self.lengths)
        lengths = torch.bincount(item[keep], minlength=len(self))
        weights = mask[keep].float() if mask.is_floating_point() else None
        return Tokens(self.rows[keep], lengths, weights, lengths)

    def to(self, device: torch.device) -> "Tokens":
        """The same elsewhere."""
        weights = None if self.weights is None else self.weights.to(device)
        return replace(
            self, rows=self.rows.to(device), lengths=self.lengths.to(device), weights=weights
        )

    def to_float(self) -> "Tokens":
        """The same in float32, unless these are floats."""
        return self if self.rows.is_floating_point() else replace(self, rows=self.rows.float())

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *self.lengths.cumsum(0).tolist()]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, items: slice) -> "Tokens":
        part = slice(self._starts[items.start], self._starts[items.stop])
        weights = None if self.weights is None else self.weights[part]
        return Tokens(self.rows[part], self.lengths[items], weights, self.counts[items])

    @property
    def widest(self) -> int:
        """Tokens of the longest item."""
        return int(self.lengths.max()) if len(self) else 0


def blocks(lengths: Tensor, size: int) -> Iterator[slice]:
    """Consecutive items of at most `size` tokens together, at least one at a time."""
    start = n_tokens = 0
    for i, length in enumerate(lengths.tolist()):
        if i > start and n_tokens + length > size:
            yield slice(start, i)
            start, n_tokens = i, 0
        n_tokens += length
    if len(lengths):
        yield slice(start, len(lengths))


def _flat_mask(name: str, mask: Any, lengths: Tensor) -> Tensor:
    """What a mask, padded to the longest item, says of every token there is."""
    if isinstance(mask, (list, tuple)):
        parts = [to_tensor(read(part)) for part in mask]
        mask = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    try:
        wide = to_tensor(read(mask))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name}_mask: expected a tensor, an array or a list, got {mask!r}"
        ) from error
    width = int(lengths.max())
    if wide.shape[-1] != width:
        raise ValueError(f"{name}_mask: expected {width} tokens like {name}, got {wide.shape[-1]}")
    places = torch.arange(width) < lengths[:, None]
    return wide.expand(len(lengths), width)[places.to(wide.device)]
