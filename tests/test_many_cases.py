"""A million questions and their answers: every query of many small corpora against the oracle.

A float64 matrix product says which rows can be among the k best, with a margin above all that its
rounding and that of a canonical score can be; canonical scores of the oracle decide among those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import embmath as em
import reference
from embmath import _core
from reference import Array, TopK
from strategies import INTS, cast

# Queries answered in a run, by metric.
CASES = {
    "cosine": 260_000,
    "dot": 260_000,
    "euclidean": 230_000,
    "sqeuclidean": 230_000,
    "manhattan": 30_000,
}
ROTATED_CASES = {"cosine": 280_000, "dot": 280_000, "euclidean": 230_000, "sqeuclidean": 230_000}
CODE_SHARE = 0.75  # of them, where the metric has codes, by a plan that begins with codes
EXTRA = 3  # rows scored beyond the k best; a query for which more come close asks the oracle alone

Rows = Callable[[np.random.Generator, int, int], Array]


def scaled(spread: float) -> Rows:
    return lambda rng, n, d: (
        rng.standard_normal((n, d), np.float32) * 10.0 ** rng.uniform(-spread, spread, (n, 1))
    )


def paired(rng: np.random.Generator, n: int, d: int) -> Array:
    """Every row twice, the second time with other last bits."""
    rows = rng.standard_normal((n - n // 2, d))
    return np.concatenate([rows, rows[: n // 2] * (1 + 1e-7 * rng.standard_normal((n // 2, d)))])


DATA: dict[str, Rows] = {
    "normal": lambda rng, n, d: rng.standard_normal((n, d), np.float32),
    "shared mean": lambda rng, n, d: rng.standard_normal((n, d), np.float32) + 1,
    "near ties": paired,
    "duplicates": lambda rng, n, d: rng.standard_normal((n // 2, d))[rng.integers(0, n // 2, n)],
    # Not for narrow dtypes.
    "cauchy": lambda rng, n, d: rng.standard_cauchy((n, d)),
    "lognormal": lambda rng, n, d: rng.lognormal(0, 2, (n, d)),
    "tiny": lambda rng, n, d: rng.standard_normal((n, d), np.float32) * 1e-15,
    "huge": lambda rng, n, d: rng.standard_normal((n, d), np.float32) * 1e15,
    "mixed norms": scaled(1),
}
NARROW = tuple(DATA)[:4]
# Most scores tie: the oracle alone answers, so these come with few queries.
TIED: dict[str, Rows] = {
    "all equal": lambda rng, n, d: np.tile(rng.standard_normal(d), (n, 1)),
    "signs": lambda rng, n, d: rng.choice([-1.0, 1.0], (n, d)),
    "few rows": lambda rng, n, d: rng.standard_normal((4, d))[rng.integers(0, 4, n)],
    "far norms": scaled(30),
}


class Question(NamedTuple):
    queries: Array
    corpus: Array
    k: int
    metric: str
    options: dict[str, Any]


# --- questions ---------------------------------------------------------------------------------


def shape(rng: np.random.Generator, metric: str) -> tuple[int, int, int, int]:
    """Queries, rows, dimensions and k: mostly what codes serve, a few dimensions otherwise."""
    k = int(rng.choice([1, 2, 3, 5, 10], p=[0.3, 0.25, 0.2, 0.15, 0.1]))
    if metric == "manhattan":
        return 300, int(rng.integers(50, 300)), int(rng.integers(1, 24)), k
    if rng.random() < 0.1:
        n, d = int(rng.integers(50, 600)), int(2 ** rng.uniform(0, 6))
    else:
        n = int(rng.integers(100 * k, 3001 if rng.random() < 0.3 else 110 * k + 200))
        d = int(2 ** rng.uniform(6, 8 if rng.random() < 0.8 else 11))
    return int(np.clip(8e7 / (n * d), 32, 700)), n, d, k


def options_of(rng: np.random.Generator, nq: int, n: int) -> dict[str, Any]:
    return {
        0: {"mask": rng.random(n) < rng.uniform(0.3, 1)},
        1: {"mask": rng.random((nq, n)) < rng.uniform(0.3, 1)},
        2: {"exclude_self": True},
        3: {"exclude_self": True, "mask": rng.random(n) < 0.5},
    }.get(int(rng.integers(0, 10)), {})


def question(rng: np.random.Generator, metric: str) -> Question:
    nq, n, d, k = shape(rng, metric)
    dtype = str(
        rng.choice(["float32", "float16", "bfloat16", "float64", *INTS], p=[0.7] + 5 * [0.06])
    )
    is_tied = rng.random() < 0.1
    kinds = TIED if is_tied else DATA if dtype in ("float32", "float64") else NARROW
    rows = (DATA | TIED)[str(rng.choice(list(kinds)))]
    if is_tied:
        nq, dtype = 32, "float32"
    options = options_of(rng, nq, n)
    x = rows(rng, n, d)
    if options.get("exclude_self"):
        q = x[:nq].copy()
        nq = len(q)
        options = {
            name: part[:nq] if np.ndim(part) == 2 else part for name, part in options.items()
        }
    else:
        q = rows(rng, nq, d)
    return Question(cast(q, dtype), cast(x, dtype), k, metric, options)


# --- answers -----------------------------------------------------------------------------------


def unit(rows: Array) -> Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms)


def plain_scores(q: Array, x: Array, metric: str) -> tuple[Array, Array]:
    """Larger is closer, and by how much each query's may be off."""
    q, x = q.astype(np.float64), x.astype(np.float64)
    if metric == "cosine":
        q, x = (unit(rows) for rows in (q, x))
    scores = q @ x.T
    sq_q, sq_x = (np.einsum("ij,ij->i", rows, rows) for rows in (q, x))
    size = np.sqrt(sq_q * sq_x.max())
    if metric not in ("cosine", "dot"):
        scores *= 2
        scores -= sq_x
        scores -= sq_q[:, None]
        size = sq_q + sq_x.max()
    return scores, 4e-16 * (q.shape[1] + 64) * size


def allowed(question: Question) -> Array | None:
    """Which rows each query may return, where there is a choice."""
    nq, n = len(question.queries), len(question.corpus)
    mask = question.options.get("mask")
    if question.options.get("exclude_self"):
        others = np.arange(n) != np.arange(nq)[:, None]
        mask = others if mask is None else others & mask
    return None if mask is None else np.broadcast_to(mask, (nq, n))


def rows_of(mask: Array | None, rows: Array) -> Array | None:
    return None if mask is None else mask[rows]


def answer(question: Question) -> TopK:
    q, x, k, metric, options = question
    if metric == "manhattan" or len(q) <= 32:
        return reference.search(q, x, k, metric, **options)
    mask = allowed(question)
    scores, error = plain_scores(q, x, metric)
    if mask is not None:
        scores[~mask] = -np.inf
    n_few = min(k + EXTRA, len(x))
    few = np.sort(np.argpartition(scores, len(x) - n_few, axis=1)[:, -n_few:], axis=1)
    best = np.sort(np.take_along_axis(scores, few, axis=1), axis=1)
    last, size = best[:, n_few - k], np.abs(best[:, n_few - k])
    # 2^-21 of a squared distance is more than the roundings of two roots to float32. The worst of
    # the few stands for all rows that are not among them.
    is_clear = (best[:, 0] < last - 2 * error - 2.0**-21 * size) & (size > 1e-35) & (size < 1e35)
    values = np.empty((len(q), k), reference.score_dtype(q, x, metric))
    indices = np.empty((len(q), k), np.int64)

    few, q_few = few[is_clear], q[is_clear, None]
    exact = reference.score(q_few, x[few], metric)
    keys = exact.astype(np.float64) * (-1.0 if metric in ("cosine", "dot") else 1.0)
    if mask is not None:
        keys[~np.take_along_axis(mask[is_clear], few, axis=1)] = np.inf
    order = np.argsort(keys, axis=1, kind="stable")[:, :k]
    values[is_clear] = np.take_along_axis(exact, order, axis=1)
    indices[is_clear] = np.take_along_axis(few, order, axis=1)
    if not is_clear.all():
        top = reference.search(q[~is_clear], x, k, metric, mask=rows_of(mask, ~is_clear))
        values[~is_clear], indices[~is_clear] = top
    return TopK(values, indices)


def cut(top: TopK, limit: float, metric: str) -> TopK:
    wide = top.values.astype(np.float64)
    is_out = wide < limit if metric in ("cosine", "dot") else wide > limit
    missing = reference.missing(top.values.dtype, metric)
    return TopK(np.where(is_out, missing, top.values), np.where(is_out, -1, top.indices))


# --- both --------------------------------------------------------------------------------------


def ask(metric: str, number: int) -> tuple[int, bool]:
    """One corpus: how many queries had the oracle's answer, and whether codes served them (or
    would not have paid)."""
    rng = np.random.default_rng([tuple(CASES).index(metric), number])
    _core.force_isa(em.isas()[number % len(em.isas())])
    asked = question(rng, metric)
    expected = answer(asked)
    if rng.random() < 0.2:
        limit = float(rng.choice(expected.values.ravel()))
        asked.options["threshold"] = limit
        expected = cut(expected, limit, metric)
    stats: dict[str, Any] = {}
    threads = int(rng.integers(1, 4))
    top = em.search(*asked[:4], **asked.options, threads=threads, stats=stats)
    reference.assert_all_same(top, expected)
    is_coded = stats["plan"].startswith("int8") or not _core.multiplies_bytes()
    return len(asked.queries), is_coded


@pytest.mark.slow
@pytest.mark.usefixtures("force_isa")  # which puts the first one back
@pytest.mark.parametrize("metric", CASES)
def test_many_cases(metric: str) -> None:
    total = coded = number = 0
    while total < CASES[metric]:
        count, has_codes = ask(metric, number)
        total += count
        coded += count * has_codes
        number += 1
    assert coded >= CODE_SHARE * total or metric == "manhattan"


def rotated_question(rng: np.random.Generator, metric: str) -> Question:
    """Variances that fall by themselves, or any data: what codes of a prefix serve and what not."""
    k = int(rng.choice([1, 2, 3]))
    n, d = int(rng.integers(100 * k, 110 * k + 200)), int(2 ** rng.uniform(4, 7.3))
    nq = 1500
    rows = DATA[str(rng.choice(list(DATA)))]
    q, x = rows(rng, nq, d), rows(rng, n, d)
    if rng.random() < 0.7:
        fall = (1 + np.arange(d)) ** -rng.uniform(0.3, 1)
        q, x = q * fall, x * fall
    dtype = str(rng.choice(["float32", "float64"], p=[0.8, 0.2]))
    return Question(cast(q, dtype), cast(x, dtype), k, metric, {})


def rotation_of(rng: np.random.Generator, x: Array, metric: str) -> em.Rotation | None:
    if rng.random() < 0.5:
        return None
    d = x.shape[1]
    sample = x if rng.random() < 0.5 else rng.standard_normal((20, d))
    dims = d if rng.random() < 0.5 else int(rng.integers(1, d + 1))
    return em.fit_rotation(
        sample, dims=dims, center=bool(rng.random() < 0.7), normalize=metric == "cosine"
    )


def ask_rotated(metric: str, number: int) -> tuple[int, int]:
    """One index: how many queries had the oracle's answer, and how many rotated codes served."""
    rng = np.random.default_rng([7, tuple(CASES).index(metric), number])
    _core.force_isa(em.isas()[number % len(em.isas())])
    q, x, k, *_ = asked = rotated_question(rng, metric)
    expected = answer(asked)
    codes = ("prefix", "int4")[number % 2]
    index = em.Index(x, metric=metric, codes=codes, rotation=rotation_of(rng, x, metric))
    coded = first = 0
    for nq in (1, 2, 3, 4, 50, len(q)):  # of up to four, queries have codes of two digits
        part = slice(first, first + nq)
        stats: dict[str, Any] = {}
        top = index.search(q[part], k, threads=int(rng.integers(1, 4)), stats=stats)
        reference.assert_all_same(top, TopK(expected.values[part], expected.indices[part]))
        coded += len(top.values) * stats["plan"].startswith(codes)
        first += nq
    return len(q), coded


@pytest.mark.slow
@pytest.mark.usefixtures("force_isa")
@pytest.mark.parametrize("metric", ROTATED_CASES)
def test_many_rotated_cases(metric: str) -> None:
    total = coded = number = 0
    while total < ROTATED_CASES[metric]:
        count, has_codes = ask_rotated(metric, number)
        total += count
        coded += has_codes
        number += 1
    assert coded >= CODE_SHARE * total


@pytest.mark.parametrize("metric", CASES)
def test_the_quick_answer_is_the_plain_one(metric: str) -> None:
    for number in range(30):
        rng = np.random.default_rng([tuple(CASES).index(metric), number])
        q, x, k, *_ = asked = question(rng, metric)
        some = np.arange(0, len(q), len(q) // 10)
        plain = reference.search(q[some], x, k, metric, mask=rows_of(allowed(asked), some))
        quick = TopK(*(part[some] for part in answer(asked)))
        reference.assert_all_same(quick, plain)


def test_a_million() -> None:
    assert sum(CASES.values()) > 1_000_000
    assert sum(ROTATED_CASES.values()) > 1_000_000
