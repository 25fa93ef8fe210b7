"""Candidates by codes, results by the rows that the codes were made of."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _arguments, _certificate, _code_rows, _core
from ._query import Query
from ._types import Coded, Residuals

# Candidates per result that find nearly all of them (recall 0.99 and more at k = 10 of sentence
# embeddings; bits need most, and gain little beyond).
OVERSAMPLE = {
    "binary": 4.0,
    "ubinary": 4.0,
    "int4": 2.0,
    "int8": 1.5,
    "uint8": 1.5,
    "float16": 1.25,
    "bfloat16": 1.25,
}
# Likewise of rotated codes, by bits per dimension: from so many on.
_OVERSAMPLE_BITS = ((2.5, 1.5), (1.5, 3.0), (0.9, 7.0), (0.0, 10.0))

# A query that needs more than one row in so many as candidates searches the rows; and all that are
# left do, where they need more than a quarter as many candidates together as there are rows.
_FEW = 64

Numbers = npt.NDArray[Any]


class Asked(NamedTuple):
    """What the two passes are to find."""

    k: int
    oversample: float
    is_proven: bool  # go on until every result is proven
    mask: Any
    options: dict[str, Any]  # of _arguments.Search


class TwoPass:
    """One search; the queries left to prove get more candidates, and at last all rows."""

    def __init__(
        self, codes: Query, rows: Query, asked: Asked, residuals: Residuals | None, out: Any
    ) -> None:
        self.codes, self.rows, self.asked = codes, rows, asked
        self.values, self.indices = out
        self.available = max(rows.corpus.n_rows - asked.options["exclude_self"], 0)
        self.certificate = self._certificate(residuals)
        self.is_exact = True
        self.report: dict[str, Any] = {}

    def run(self) -> None:
        """Fill in the results."""
        asked, n_queries = self.asked, self.rows.queries.n_rows
        left: npt.NDArray[np.intp] = np.arange(n_queries)
        wanted = min(asked.k, self.available)
        count = min(math.ceil(wanted * asked.oversample), self.available)
        n_rescored = 0
        hopeless: npt.NDArray[np.intp] = left[:0]
        while wanted and left.size:
            n_rescored += left.size * count
            is_left, forecast = self._rescore_best(left, count)
            left, forecast = left[is_left], forecast[is_left]
            if not asked.is_proven or not left.size:
                break
            is_few = forecast <= self.available / _FEW
            hopeless = np.append(hopeless, left[~is_few])
            left = left[is_few]
            count = int(forecast[is_few].max(initial=count))
            if count * left.size * _FEW > 16 * self.available:
                break
        left = np.sort(np.append(left, hopeless))
        is_searched = asked.is_proven or not wanted
        if is_searched and left.size:
            self._search_rows(left)
        self.is_exact = is_searched or not left.size
        self.report |= {"rescored": n_rescored, "searched": left.size if is_searched else 0}

    def _certificate(self, residuals: Residuals | None) -> _certificate.Certificate | None:
        rows, threads = self.rows, self.asked.options["threads"]
        if residuals is None or not _certificate.applies(rows.queries, rows.corpus):
            return None
        lengths = _code_rows.norms(rows.queries, rows.n_cols, threads)
        is_prefix = rows.n_cols < self.codes.corpus.n_cols
        return _certificate.Certificate(rows.metric, residuals, rows.n_cols, lengths, is_prefix)

    def _rescore_best(
        self, part: npt.NDArray[np.intp], count: int
    ) -> tuple[npt.NDArray[np.bool_], Numbers]:
        """The results of some queries from their best candidates.

        Which of them are not proven, and how many candidates may prove them.
        """
        shape = part.size, count
        worst = np.empty(shape, self.codes.score_dtype)
        candidates = np.empty(shape, np.int64)
        self._search(self.codes, part, worst, candidates, threshold=None)
        found = self._results(part)
        self._rescore(part, candidates, self.asked.options["threshold"], found)
        self._keep(part, found)
        if self.certificate is not None:
            self._check_rows(part, worst[:, :1], candidates[:, :1].copy())
        forecast = np.full(part.size, np.inf)
        if count >= self.available:
            return np.zeros(part.size, np.bool_), forecast
        is_left = candidates[:, -1] >= 0  # else no more rows are allowed
        if self.certificate is not None:
            best = self._to_beat(found[0])
            is_left &= ~self.certificate.proves(part, worst[:, -1], best)
            lacking = self.certificate.distance(part, worst[:, -1], best)
            forecast = _forecast(worst[:, count // 4], worst[:, -1], lacking, count)
        return is_left, forecast

    def _rescore(
        self,
        part: npt.NDArray[np.intp],
        candidates: Numbers,
        threshold: float | None,
        found: tuple[Numbers, Numbers],
    ) -> None:
        _core.rescore(
            *self.rows.part(part).views,
            candidates=candidates,
            threshold=threshold,
            reject_nan=False,
            threads=self.asked.options["threads"],
            values=found[0],
            indices=found[1],
        )

    def _check_rows(self, part: npt.NDArray[np.intp], by_codes: Numbers, best: Numbers) -> None:
        """The best rows by codes must be where the residuals say, or others were measured."""
        exact, _ = found = np.empty_like(by_codes), np.empty_like(best)
        self._rescore(part, best, None, found)
        is_wrong = self.certificate.contradicts(part, by_codes[:, 0], exact[:, 0])  # type: ignore[union-attr]
        if is_wrong.any():
            raise ValueError(
                f"rescore: row {best[is_wrong][0, 0]} is further from its codes than their "
                "residuals; expected the rows that with_residuals was given"
            )

    def _to_beat(self, values: Numbers) -> Numbers:
        """The score that a row must reach to belong to the results; NaN where any would do."""
        last = values[:, min(self.asked.k, self.available) - 1]
        if self.asked.options["threshold"] is None:
            return last
        # The first float32 that the threshold lets pass; it stands for hits that are missing.
        threshold = np.float64(self.asked.options["threshold"])
        is_similarity = self.rows.metric in ("cosine", "dot")
        with np.errstate(over="ignore"):
            least = threshold.astype(values.dtype)
        if (least < threshold) if is_similarity else (least > threshold):
            least = np.nextafter(least, values.dtype.type(np.inf if is_similarity else -np.inf))
        reached = np.fmax(last, least) if is_similarity else np.fmin(last, least)
        return np.asarray(reached)

    def _search_rows(self, part: npt.NDArray[np.intp]) -> None:
        found = self._results(part)
        self._search(self.rows, part, *found, threshold=self.asked.options["threshold"])
        self._keep(part, found)

    def _search(
        self,
        query: Query,
        part: npt.NDArray[np.intp],
        values: Numbers,
        indices: Numbers,
        threshold: float | None,
    ) -> None:
        mask, is_part = self.asked.mask, part.size < query.queries.n_rows
        report = _core.search(
            *query.part(part).views,
            mask=mask[part] if is_part and mask is not None and mask.ndim == 2 else mask,
            **(self.asked.options | {"threshold": threshold}),
            stats=True,
            values=values,
            indices=indices,
            own_rows=part.astype(np.int64) if is_part else None,
        )
        self.report = self.report or report

    def _results(self, part: npt.NDArray[np.intp]) -> tuple[Numbers, Numbers]:
        """Memory for the results of some queries: that of all, if it is for all."""
        if part.size == len(self.indices):
            return self.values, self.indices
        shape = part.size, self.indices.shape[1]
        return np.empty(shape, self.values.dtype), np.empty(shape, np.int64)

    def _keep(self, part: npt.NDArray[np.intp], found: tuple[Numbers, Numbers]) -> None:
        if found[1] is not self.indices:
            self.values[part], self.indices[part] = found


def _forecast(early: Numbers, late: Numbers, lacking: Numbers, count: int) -> Numbers:
    """Candidates after which the scores have fallen by what is lacking, at least twice as many.

    Scores fall about as much with every fourfold number of candidates.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        times = 1.1 * lacking / np.abs(early.astype(np.float64) - late)
        wanted = np.nan_to_num(np.ceil(count * 4.0**times), nan=np.inf, posinf=np.inf)
    return np.asarray(np.maximum(wanted, 2.0 * count))


def oversampling(value: object, codes: Coded) -> float:
    """Candidates per result: given, or what suits the precision."""
    if value is None:
        if codes.grid is None:
            return OVERSAMPLE[codes.precision]
        return next(factor for bits, factor in _OVERSAMPLE_BITS if codes.grid.bits >= bits)
    factor = _arguments.number("oversample", value)
    if not 1 <= factor <= 2**20:
        raise ValueError(f"oversample: must be between 1 and 2**20, got {factor}")
    return factor
