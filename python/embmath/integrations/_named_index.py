"""What every document store keeps: rows with names, and beside the index a file of its own."""

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .._index import Index
from .._mmr import mmr
from .._types import Array, FileFormatError, Metric

_TOKEN = "data"  # the index' metadata under this name tells which data belong to it
_DISTANCES = ("euclidean", "sqeuclidean", "manhattan")


class NamedIndex:
    """An :class:`Index` of float32 rows with strings for names.

    One lock guards rows, names and what a store keeps of its own: a search uses all threads anyway.
    """

    def __init__(self, metric: Metric = "cosine") -> None:
        self.lock = threading.RLock()
        self._metric = metric
        self._sign = -1.0 if metric in _DISTANCES else 1.0
        self._index = Index(metric=metric, rows="copy")
        self._id_of: dict[str, int] = {}
        self._name_of: dict[int, str] = {}

    def put(self, names: Sequence[str], vectors: Any) -> None:
        """Add rows, or replace those of known names; of a name given twice the last row counts."""
        if len(names) == 0:
            return
        last = {name: i for i, name in enumerate(names)}
        rows = as_rows(vectors, names)[list(last.values())]
        is_known = np.array([name in self._id_of for name in last])
        with self.lock:
            if is_known.any():
                known = [self._id_of[name] for name in last if name in self._id_of]
                self._index.update(np.array(known), rows[is_known])
            if not is_known.all():
                new = [name for name in last if name not in self._id_of]
                ids = self._index.add(rows[~is_known]).tolist()
                self._id_of.update(zip(new, ids, strict=True))
                self._name_of.update(zip(ids, new, strict=True))

    def drop(self, names: Iterable[str]) -> None:
        """Remove rows; names that are not there are passed over."""
        with self.lock:
            ids = [self._id_of[name] for name in dict.fromkeys(names) if name in self._id_of]
            if ids:
                self._index.remove(np.array(ids))
            for id in ids:
                del self._id_of[self._name_of.pop(id)]
            if not self._id_of:  # what comes next may be of another model
                self._index = Index(metric=self._metric, rows="copy")

    def search(
        self, query: Any, k: int, keep: Callable[[str], bool] | None = None
    ) -> list[tuple[str, float]]:
        """The k best (name, similarity); a distance counts negative."""
        with self.lock:
            mask = None if keep is None else self._mask(keep)
            if k < 1 or not self._id_of or (mask is not None and not mask.any()):
                return []
            row = as_rows([query], ["the query"])
            values, ids = self._index.search(row, k, mask=mask)
            pairs = zip(values[0].tolist(), ids[0].tolist(), strict=True)
            return [(self._name_of[id], self._sign * value) for value, id in pairs if id >= 0]

    def diverse(
        self, query: Any, names: Sequence[str], k: int, lambda_mult: float
    ) -> list[tuple[str, float]]:
        """k of these rows by marginal relevance of cosines: (name, marginal relevance)."""
        if k < 1 or not names:
            return []
        row = as_rows([query], ["the query"])[0]
        best = mmr(row, self.vectors(names), min(k, len(names)), lambda_mult=lambda_mult)
        scores = best.values.tolist()
        return [(names[i], score) for i, score in zip(best.indices.tolist(), scores, strict=True)]

    def _mask(self, keep: Callable[[str], bool]) -> Array:
        ids = self._index.ids.tolist()
        return np.fromiter((keep(self._name_of[id]) for id in ids), bool, len(ids))

    def vectors(self, names: Iterable[str]) -> Array:
        """The rows of these names, (n, d) float32."""
        with self.lock:
            return self._index.reconstruct(np.array([self._id_of[name] for name in names]))

    @property
    def index(self) -> Index:
        """The index itself."""
        return self._index

    def __len__(self) -> int:
        return len(self._id_of)

    def __contains__(self, name: object) -> bool:
        return name in self._id_of

    def names(self) -> list[str]:
        """All names, oldest first."""
        return list(self._id_of)

    def save(self, path: str | os.PathLike[str], data: Any) -> None:
        """Write the index to `path`, names and `data` (of JSON) to another file beside it.

        The index is replaced at once and names the file that belongs to it, so that a crash leaves
        the old pair or the new one.
        """
        path, token = os.fspath(path), uuid.uuid4().hex
        with self.lock:
            text = json.dumps({"ids": self._id_of, "data": data})
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            before = _token(path)
            try:
                _write(_data_path(path, token), text)
                self._index.save(path, metadata={_TOKEN: token})
            except BaseException:
                _unlink(_data_path(path, token))
                raise
        if before is not None:
            _unlink(_data_path(path, before))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> tuple["NamedIndex", Any]:
        """The index and the data that :meth:`save` was given."""
        path = os.fspath(path)
        index = Index.load(path)
        token = index.metadata.get(_TOKEN, "")
        if not token.isalnum():
            raise FileFormatError(f"{path}: expected an index that a store saved, got another one")
        with open(_data_path(path, token), encoding="utf-8") as file:
            saved = json.load(file)
        named = cls(index.metric)  # type: ignore[arg-type]
        named._index, named._id_of = index, saved["ids"]
        named._name_of = {id: name for name, id in named._id_of.items()}
        if sorted(named._id_of.values()) != sorted(index.ids.tolist()):
            raise FileFormatError(f"{path}: the names beside it are those of other rows")
        return named, saved["data"]


def as_rows(vectors: Any, names: Sequence[str]) -> Array:
    """Vectors as float32, (n, d), finite: one NaN among the rows would spoil every search."""
    if len(vectors) != len(names):
        raise ValueError(f"embeddings: expected {len(names)}, one a document, got {len(vectors)}")
    widths = {len(vector) for vector in vectors}
    if len(widths) > 1:
        raise ValueError(f"embeddings: expected one length, got {sorted(widths)}")
    rows = np.asarray(vectors, dtype=np.float32)
    if not np.isfinite(rows).all():
        first = names[int(np.argmin(np.isfinite(rows).all(axis=1)))]
        raise ValueError(f"embeddings: expected finite numbers, got NaN or infinity in {first!r}")
    return rows


def _data_path(path: str, token: str) -> str:
    return f"{path}.{token}.json"


def _token(path: str) -> str | None:
    """Which data belong to the store that is at `path` already."""
    try:
        token = Index.load(path).metadata.get(_TOKEN, "")
    except (FileNotFoundError, FileFormatError):
        return None
    return token if token.isalnum() else None


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
