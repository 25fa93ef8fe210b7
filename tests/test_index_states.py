"""em.Index through any sequence of changes and searches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import embmath as em
import reference
from embmath import _core
from index_helpers import (
    CODE_METRICS,
    Twin,
    by_id,
    codes_of,
)
from reference import Array
from strategies import DATA, DTYPES, FLOATS, INTS, make, metrics_of

ROTATED = ("prefix", "int4", ("prefix", "int4"), ("int8", "int4"))


def some_axes(d: int, seed: int) -> em.Rotation:
    """A rotation that has nothing to do with the rows; of a few axes only, where many take long."""
    rng = np.random.default_rng(seed)
    dims = int(rng.integers(1, min(d, 64) + 1))
    axes = np.linalg.qr(rng.standard_normal((d, dims)))[0].T
    mean = rng.standard_normal(d) * rng.choice([0, 1e-40, 0.3, 1e20])
    return em.Rotation(mean, axes, 1 / (1 + np.arange(dims)))


SHARES = st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.7])


class Changes(RuleBasedStateMachine):
    """Any sequence of changes and searches, against rows in a dict and the oracle."""

    SIZES = st.sampled_from([700, 300, 130, 130, 40, 17, 16, 15, 2, 1, 0])
    SEEDS = st.integers(0, 2**16)

    @initialize(
        dtype=st.sampled_from(tuple(DTYPES)),
        d=st.sampled_from([1, 33, 64, 2400]),
        rows=st.sampled_from(["reference", "copy"]),
        isa=st.sampled_from(_core.available_isas()),
        data=st.data(),
    )
    def start(self, dtype, d, rows, isa, data):
        self.before = _core.active_isa()
        _core.force_isa(isa)
        metric = data.draw(st.sampled_from(metrics_of(dtype)), label="metric")
        kinds = codes_of(metric, d)
        if metric in CODE_METRICS and dtype in FLOATS:
            kinds += ROTATED
        codes = data.draw(st.sampled_from(kinds), label="codes")
        self.dtype, self.d = dtype, d
        rotation = some_axes(d, data.draw(self.SEEDS, label="axes"))
        self.twin = Twin(metric, codes=codes, rows=rows, dim=d, rotation=rotation)

    def teardown(self):
        if hasattr(self, "before"):
            _core.force_isa(self.before)

    def make(self, data: str, nq: int, n: int, seed: int) -> tuple[Array, Array]:
        if self.dtype in INTS and data == "specials":  # which integers cannot hold
            data = "signs"
        q, x = make(data, nq, n, self.d, self.dtype, seed)
        if self.dtype in FLOATS:
            q = np.where(np.isnan(q), 0, q).astype(q.dtype)
        return q, x

    @property
    def room(self) -> int:
        """Rows that the oracle has time for: three pages of 2400 columns, or any number."""
        return max(0, min(3000, 432 * 2400 // self.d) - len(self.twin.rows))

    def some_ids(self, data, share: float = 0.0) -> Array:
        """One or more of those held, in any order."""
        ids = np.array(sorted(self.twin.rows), np.int64)
        rng = np.random.default_rng(data.draw(self.SEEDS))
        return rng.permutation(ids)[: max(1, int(len(ids) * share))]

    @rule(n=SIZES, kind=st.sampled_from(tuple(DATA)), seed=SEEDS, threads=st.integers(1, 3))
    def add(self, n, kind, seed, threads):
        n = min(n, self.room)
        self.twin.add(self.make(kind, 1, n, seed)[1], threads=threads)

    @rule(n=SIZES, kind=st.sampled_from(tuple(DATA)), seed=SEEDS, spread=st.sampled_from([1, 9]))
    def add_with_ids(self, n, kind, seed, spread):
        n = min(n, self.room)
        free = np.setdiff1d(np.arange(spread * (len(self.twin.rows) + n)), list(self.twin.rows))
        ids = np.random.default_rng(seed).permutation(free)[:n]
        self.twin.add(self.make(kind, 1, n, seed)[1], ids)

    @precondition(lambda self: self.twin.rows)
    @rule(seed=SEEDS, data=st.data())
    def repeat_rows(self, seed, data):
        row = self.twin.rows[int(self.some_ids(data)[0])]
        self.twin.add(np.tile(row, (20, 1)))

    @precondition(lambda self: self.twin.rows)
    @rule(data=st.data(), kind=st.sampled_from(tuple(DATA)), seed=SEEDS)
    def update(self, data, kind, seed):
        ids = self.some_ids(data, data.draw(SHARES))
        self.twin.update(ids, self.make(kind, 1, len(ids), seed)[1])

    @precondition(lambda self: self.twin.rows)
    @rule(data=st.data())
    def remove(self, data):
        self.twin.remove(self.some_ids(data, data.draw(SHARES)))

    @precondition(lambda self: self.twin.rows)
    @rule()
    def remove_all(self):
        self.twin.remove(list(self.twin.rows))

    @precondition(lambda self: self.twin.rows)
    @rule(data=st.data())
    def be_refused(self, data):
        known = self.some_ids(data, 0.01)
        unknown = np.append(known, max(self.twin.rows) + 1)
        x = np.zeros((len(unknown), self.d), DTYPES[self.dtype])
        for change in (
            lambda: self.twin.index.add(x, unknown),
            lambda: self.twin.index.update(unknown, x),
            lambda: self.twin.index.remove(unknown),
            lambda: self.twin.index.reconstruct(unknown),
        ):
            with pytest.raises(ValueError, match=r"^ids: "):
                change()

    @precondition(lambda self: self.twin.rows)
    @rule(
        nq=st.sampled_from([1, 2, 3, 6]),
        kind=st.sampled_from(tuple(DATA)),
        seed=SEEDS,
        k=st.sampled_from([1, 1, 5, 2000]),
        masks=st.sampled_from([None, "shared", "own"]),
        exclude_self=st.booleans(),
        has_threshold=st.booleans(),
        pad=st.booleans(),
        threads=st.integers(1, 3),
    )
    def search(self, nq, kind, seed, k, masks, exclude_self, has_threshold, pad, threads):
        twin, rng = self.twin, np.random.default_rng(seed)
        ids, x = twin.held()
        q = self.make(kind, nq, 1, seed)[0]
        if rng.random() < 0.5:
            near = x[rng.integers(0, len(x), nq)]
            q = np.where(np.isnan(near.astype(np.float64)), q, near)
        options: dict = {"exclude_self": exclude_self}
        if masks is not None:
            shape = (nq, len(ids)) if masks == "own" else len(ids)
            options["mask"] = rng.random(shape) < rng.choice([0.02, 0.5])
        own = reference.search(q[:1], x, 6, twin.metric).values[0, -1]
        cut = 0.5 if np.isnan(float(own)) else float(own)
        wanted = by_id("range_search", q, x, ids, cut, twin.metric, **options)
        found = twin.index.range_search(q, cut, threads=threads, **options)
        reference.assert_all_same(found, wanted)
        if has_threshold:
            options["threshold"] = cut
        wanted = by_id("search", q, x, ids, k, twin.metric, pad=pad, **options)
        found = twin.index.search(q, k, pad=pad, threads=threads, **options)
        reference.assert_all_same(found, wanted)

    @invariant()
    def holds_what_it_should(self):
        if not hasattr(self, "twin"):
            return
        index, rows = self.twin.index, self.twin.rows
        assert len(index) == index.ntotal == index.stats["rows"] == len(rows)
        assert index.d == self.d
        ids = index.ids
        assert sorted(ids.tolist()) == sorted(rows)
        if rows:
            x = np.stack([rows[int(i)] for i in ids])
            assert index.reconstruct(ids).tobytes() == x.tobytes()
            q = self.make("normal", 4, 1, len(rows))[0]
            for nq in (1, 4):  # in codes of two digits, then with a float stage behind
                wanted = by_id("search", q[:nq], x, ids, 1, self.twin.metric)
                reference.assert_all_same(index.search(q[:nq], 1), wanted)
            assert int(ids[0]) in index
        assert self.twin.next_id not in index


TestChanges = Changes.TestCase


TestChanges.settings = settings(stateful_step_count=20)
