"""What is searched for, where and how: checked, and handed to the kernels."""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arguments, _arrays, _code_rows, _core
from ._types import Array

METRICS = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan", "hamming", "jaccard")
BIT_METRICS = ("hamming", "jaccard")


class Query:
    """Queries and the rows that they are compared with, either of them numbers or codes."""

    def __init__(
        self,
        queries: Array,
        corpus: Array,
        metric: str,
        dims: int | None,
        names: tuple[str, str] = ("queries", "corpus"),
    ) -> None:
        self.metric = _arguments.choice("metric", metric, METRICS)
        for rows in (queries, corpus):
            _code_rows.check_dims(rows, dims)
        self.queries, self.corpus = _code_rows.read_pair(names, (queries, corpus), self.metric)
        self.n_cols = _arguments.dims(dims, self.queries, self.corpus)
        self.wrap = _arrays.wrapper(self.queries, self.corpus)

    @property
    def views(self) -> tuple[Any, Any, int, str]:
        """What the kernels are given."""
        return self.queries.typed, self.corpus.typed, self.n_cols, self.metric

    @property
    def score_dtype(self) -> np.dtype[Any]:
        """Of the scores."""
        return _core.score_dtype(*self.views)

    def mask(self, mask: object) -> Any:
        """Which rows may be returned, checked."""
        return _arrays.row_mask(mask, self.queries.n_rows, self.corpus.n_rows)

    def outputs(self, out: Any, columns: int, mask: Any = None) -> tuple[Any, Any]:
        """Memory for values and indices."""
        shape, inputs = (self.queries.n_rows, columns), (self.queries, self.corpus)
        return _arrays.top_k_outputs(out, shape, self.score_dtype, inputs, mask)

    def part(self, rows: npt.NDArray[np.intp]) -> "Query":
        """The same for some of the queries."""
        if rows.size == self.queries.n_rows:
            return self
        part: Query = object.__new__(Query)
        part.__dict__ |= self.__dict__
        part.queries = _code_rows.take(self.queries, rows)
        return part
