"""What is searched for: two sets of rows and a metric."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

from . import canonical, tensors
from .estimate import Bound, bound_for
from .tensors import BIT_METRICS, Rows

SIMILARITIES = ("cosine", "dot")
# A tile of bounds, and the rows it is of: 32 MB and 128 MB of float32; some copies of either exist.
_TILE_SCORES, _TILE_ELEMENTS = 2**23, 2**25


class Asked(NamedTuple):
    """What is searched for; a k of None is all within the threshold."""

    k: int | None
    mask: Tensor | None
    exclude_self: bool
    threshold: float | None
    reject_nan: bool
    progress: Any = None


class Problem:
    """Two sets of rows and a metric: canonical scores of pairs, bounds of tiles."""

    def __init__(self, queries: Rows, corpus: Rows, n_cols: int, metric: str) -> None:
        self.queries, self.corpus, self.metric = queries, corpus, metric
        self.n_cols = n_cols
        self.n_numbers = n_cols * 8 if metric in BIT_METRICS else n_cols
        self.largest = metric in SIMILARITIES
        self.device = corpus.device
        self.score_dtype = tensors.score_dtype(queries.dtype, corpus.dtype, n_cols, metric)
        self.bound: Bound = bound_for(
            metric, self.n_numbers, (queries.dtype, corpus.dtype), self.device
        )

    def rows(self, source: Rows, index: Any) -> Tensor:
        """Numbers of some rows, cut to the columns that are compared."""
        return source.take(index)[..., : self.n_numbers]

    def verify(self, query: Tensor, index: Tensor) -> Tensor:
        """Canonical scores of pairs."""

        def part(some: slice) -> tuple[Tensor, Tensor]:
            return self.rows(self.queries, query[some]), self.rows(self.corpus, index[some])

        found = canonical.pair_scores(len(query), self.n_numbers, part, self.metric, self.device)
        return found.to(self.score_dtype)

    def tiles(self, n_queries: int) -> Iterator[slice]:
        """Parts of the corpus that fit beside so many queries."""
        by_rows = _TILE_ELEMENTS // max(self.n_numbers, 1)
        step = max(1, min(_TILE_SCORES // max(n_queries, 1), by_rows))
        for start in range(0, self.corpus.n_rows, step):
            yield slice(start, min(start + step, self.corpus.n_rows))
