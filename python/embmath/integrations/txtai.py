"""txtai: an ANN backend, ``backend: embmath.integrations.txtai.Dense``."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from txtai.ann import ANN

from .._index import Index
from .._runtime import __version__
from .._types import Array


class Dense(ANN):
    """Exact search in place of the ``numpy`` and ``faiss`` backends.

    As there, scores are dot products, or with ``quantize: 1..8`` (whose rows are bits) one minus
    the share of bits that differ. Documents that were deleted are not among the results (there:
    with a score of 0).

    Examples
    --------
    >>> import numpy as np
    >>> from txtai import Embeddings
    >>> rows = np.eye(3, dtype=np.float32)
    >>> embeddings = Embeddings(
    ...     method="external",
    ...     transform=lambda texts: rows[[int(text) for text in texts]],
    ...     backend="embmath.integrations.txtai.Dense",
    ... )
    >>> embeddings.index(["0", "1", "2"])
    >>> embeddings.search("1", 1)
    [(1, 1.0)]
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        quantize = config.get("quantize")
        self._has_bits = isinstance(quantize, int) and not isinstance(quantize, bool) and quantize
        self.backend: Index | None = None

    def index(self, embeddings: Array) -> None:
        """Build from rows, (n, d)."""
        metric = "hamming" if self._has_bits else "dot"
        self.backend = Index(embeddings, metric=metric, rows="copy")  # type: ignore[arg-type]
        self.config["offset"] = embeddings.shape[0]
        self.metadata({"embmath": __version__})

    def append(self, embeddings: Array) -> None:
        """Add rows after the others."""
        offset, n_rows = self.config["offset"], embeddings.shape[0]
        self._opened().add(embeddings, ids=np.arange(offset, offset + n_rows))
        self.config["offset"] += n_rows
        self.metadata()

    def delete(self, ids: Iterable[int]) -> None:
        """Remove rows; ids that are not there are passed over."""
        index = self._opened()
        present = [id for id in dict.fromkeys(ids) if id in index]
        if present:
            index.remove(np.array(present))

    def search(self, queries: Array, limit: int) -> list[list[tuple[int, float]]]:
        """The best (id, score) of each query."""
        index = self._opened()
        values, ids = index.search(queries, limit)
        scores = 1.0 - values / (index.d * 8) if self._has_bits else values
        pairs = zip(ids.tolist(), scores.tolist(), strict=True)
        return [list(zip(*pair, strict=True)) for pair in pairs]

    def count(self) -> int:
        """Number of rows."""
        return self._opened().ntotal

    def save(self, path: str) -> None:
        """Save as one file."""
        self._opened().save(path)

    def load(self, path: str) -> None:
        """Open what :meth:`save` wrote."""
        self.backend = Index.load(path)

    def _opened(self) -> Index:
        if self.backend is None:
            raise ValueError("index: expected rows from index() or load() first")
        return self.backend
