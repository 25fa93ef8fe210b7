"""em.Index without rows, and what it refuses: by the name of the argument, changing nothing."""

from __future__ import annotations

import numpy as np
import pytest

import embmath as em
import reference
from index_helpers import (
    LARGEST,
    questions,
)
from strategies import DTYPES, metrics_of, normal


class TestEmpty:
    @pytest.mark.parametrize(("dtype", "metric"), [(d, m) for d in DTYPES for m in metrics_of(d)])
    @pytest.mark.parametrize("how", ["no dim", "dim", "no rows", "removed"])
    def test_finds_nothing(self, rng, how, dtype, metric):
        q = normal(rng, 3, 40, dtype)
        index = em.Index(metric=metric, dim=None if how == "no dim" else 40)
        if how == "no rows":
            assert index.add(q[:0]).shape == (0,)
        if how == "removed":
            index.add(q)
            index.remove([2, 0, 1])
        for options in ({}, {"pad": True}, {"pad": True, "threshold": 0.5}):
            wanted = reference.search(q, q[:0], 4, metric, **options)
            reference.assert_all_same(index.search(q, 4, **options), wanted)
        wanted = reference.range_search(q, q[:0], 0.5, metric)
        reference.assert_all_same(index.range_search(q, 0.5), wanted)
        mask = np.ones(0, np.bool_)
        assert index.search(q, 4, mask=mask, exclude_self=True).indices.shape == (3, 0)
        assert (index.ntotal, len(index), index.d) == (0, 0, 0 if how == "no dim" else 40)
        assert index.ids.tolist() == []
        assert index.ids.dtype == np.int64
        assert 0 not in index
        assert "0 rows" in repr(index)

    def test_before_the_first_rows(self):
        index = em.Index()
        assert (index.dtype, index.d, index.nbytes) == (None, 0, 0)
        assert index.stats["rows"] == 0
        for call in (index.remove, index.reconstruct, lambda ids: index.update(ids, [1.0])):
            with pytest.raises(ValueError, match=r"^ids: .*empty"):
                call([0])

    def test_fills_out(self, rng):
        out = np.ones((2, 3), np.float32), np.ones((2, 3), np.int64)
        top = em.Index(dim=4).search(normal(rng, 2, 4), 3, pad=True, out=out)
        assert top.indices is out[1]
        assert (out[1] == -1).all()
        assert np.isnan(out[0]).all()

    def test_checks_its_arguments_all_the_same(self, rng):
        q = normal(rng, 3, 40)
        for index in (em.Index(dim=40), em.Index(q[:0])):
            with pytest.raises(ValueError, match=r"^mask: "):
                index.search(q, mask=np.ones(1, np.bool_))
            with pytest.raises(ValueError, match=r"^queries: .*40 columns"):
                index.search(q[:, :39])
            with pytest.raises(ValueError, match=r"^k: "):
                index.search(q, 0)

    @pytest.mark.parametrize("kind", ["dim", "no rows"])
    def test_refuses_nan_like_any_search(self, rng, kind):
        q = normal(rng, 3, 40)
        index = em.Index(dim=40) if kind == "dim" else em.Index(q[:0])
        q[1, 1] = np.nan
        with pytest.raises(ValueError, match=r"^queries: .*NaN"):
            index.search(q)
        with pytest.raises(ValueError, match=r"^queries: .*NaN"):
            index.range_search(q, 0.5)
        assert index.search(q, 2, nan="rank_last", pad=True).indices.tolist() == [[-1, -1]] * 3

    def test_search_says_what_it_did(self, rng):
        stats: dict = {}
        em.Index(dim=40).search(normal(rng, 3, 40), stats=stats)
        assert {"plan", "stages", "verified", "seconds"} <= set(stats)


class TestRefused:
    @pytest.mark.parametrize(
        ("error", "message", "options"),
        [
            (ValueError, "^metric: unknown 'l2'", {"metric": "l2"}),
            (TypeError, "^metric: ", {"metric": None}),
            (ValueError, "^codes: unknown 'int5'", {"codes": "int5"}),
            (ValueError, "^codes: unknown 'auto'", {"codes": ("auto", "int8")}),
            (TypeError, "^codes: expected a name", {"codes": 8}),
            (TypeError, "^codes: ", {"codes": True}),
            (ValueError, "^rows: unknown 'view'", {"rows": "view"}),
            (ValueError, "^dim: .*at least 1", {"dim": 0}),
            (TypeError, "^dim: ", {"dim": 4.0}),
            (ValueError, "^threads: ", {"threads": 0}),
            (ValueError, "3 columns.*got 4", {"dim": 3}),
            (ValueError, r"^ids: .*shape \(5,\)", {"ids": [1, 2]}),
            (ValueError, "^ids: 3 ", {"ids": [1, 2, 3, 3, 4]}),
            (ValueError, "^ids: .*-1", {"ids": [1, 2, 3, -1, 4]}),
            (ValueError, f"^ids: .*{2**63 - 1}", {"ids": [1, 2, 3, 4, 2**63 - 1]}),
            (TypeError, "^ids: .*float64", {"ids": [1.0, 2.0, 3.0, 4.0, 5.0]}),
            (TypeError, "^ids: .*bool", {"ids": np.ones(5, np.bool_)}),
            (TypeError, "^ids: .*uint64", {"ids": np.arange(5, dtype=np.uint64)}),
            (ValueError, "^codes: .*manhattan", {"metric": "manhattan", "codes": "int8"}),
            (TypeError, "^metric: 'hamming' .*uint8", {"metric": "hamming"}),
        ],
    )
    def test_at_construction(self, error, message, options):
        with pytest.raises(error, match=message):
            em.Index(np.ones((5, 4), np.float32), **options)

    def test_ids_without_rows(self):
        with pytest.raises(ValueError, match=r"^ids: "):
            em.Index(ids=[1])

    def test_codes_that_a_metric_cannot_have_before_any_rows(self):
        with pytest.raises(ValueError, match=r"^codes: .*manhattan"):
            em.Index(dim=40, metric="manhattan", codes="int8")

    @pytest.mark.parametrize(
        ("error", "message", "options"),
        [
            (ValueError, "^queries: .*4 columns.*got 3", {"queries": np.ones((2, 3), np.float32)}),
            (ValueError, "^queries: .*dimensions", {"queries": np.ones((2, 3, 4), np.float32)}),
            (TypeError, "^queries: .*int8", {"queries": np.ones((2, 4), np.int8)}),
            (TypeError, "^queries: ", {"queries": None}),
            (ValueError, "^k: ", {"k": 0}),
            (TypeError, "^k: ", {"k": 1.5}),
            (ValueError, "^mask: .*5", {"mask": np.ones(4, np.bool_)}),
            (ValueError, "^mask: .*5", {"mask": np.ones((3, 5), np.bool_)}),
            (TypeError, "^mask: .*bool", {"mask": np.ones(5, np.uint8)}),
            (TypeError, "^exclude_self: ", {"exclude_self": 1}),
            (TypeError, "^pad: ", {"pad": None}),
            (ValueError, "^threshold: ", {"threshold": np.nan}),
            (ValueError, "^nan: ", {"nan": "omit"}),
            (ValueError, "^threads: ", {"threads": -1}),
            (TypeError, "^progress: ", {"progress": 3}),
            (TypeError, "^stats: ", {"stats": []}),
        ],
    )
    def test_at_search(self, error, message, options):
        index = em.Index(np.ones((5, 4), np.float32))
        call = {"queries": np.ones((2, 4), np.float32), "k": 2} | options
        with pytest.raises(error, match=message):
            index.search(**call)
        if not set(options) & {"k", "pad", "stats"}:
            del call["k"]
            with pytest.raises(error, match=message):
                index.range_search(**({"threshold": 0.5} | call))


# What a change must not leave behind when it is refused.
HELD = ("ntotal", "d", "dtype", "nbytes", "stats")


class TestRefusedChanges:
    @pytest.fixture(params=[False, True])
    def index(self, rng, request):
        """Twenty rows; with ids 0, 1, 2, ... or in no order."""
        index = em.Index(normal(rng, 30, 40), ids=rng.permutation(30) if request.param else None)
        index.remove([25, 27])
        return index

    @staticmethod
    def refused(index, error, message, change):
        q = questions(40)
        before = [getattr(index, name) for name in HELD]
        results, ids = index.search(q, 30), index.ids
        rows = None if index.dtype is None else index.reconstruct(ids).tobytes()
        with pytest.raises(error, match=message):
            change()
        assert [getattr(index, name) for name in HELD] == before
        assert index.ids.tolist() == ids.tolist()
        assert rows is None or index.reconstruct(ids).tobytes() == rows
        reference.assert_all_same(index.search(q, 30), reference.TopK(*results))

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([40, 41, 40], "^ids: 40 "),
            ([40, 29, 41], "^ids: 29 "),
            ([40, 41, 0], "^ids: 0 "),
            ([40, -1, 41], "^ids: .*-1"),
            ([40, LARGEST + 1, 41], f"^ids: .*{LARGEST + 1}"),
            ([40, 41], r"^ids: .*\(3,\)"),
            ([[40, 41, 42]], r"^ids: .*\(3,\)"),
            ([], r"^ids: .*\(3,\)"),
        ],
    )
    def test_add_ids(self, index, rng, ids, message):
        x = normal(rng, 3, 40)
        self.refused(index, ValueError, message, lambda: index.add(x, ids))
        if isinstance(ids, list) and ids and not isinstance(ids[0], list):
            assert index.add(x[0], ids[0]).tolist() == [40]  # not known from the refused call
            index.add(x[1], ids=25)

    @pytest.mark.parametrize(
        ("error", "message", "rows"),
        [
            (TypeError, "^rows: .*float32.*float64", np.ones((2, 40))),
            (TypeError, "^rows: .*float32.*int8", np.ones((2, 40), np.int8)),
            (TypeError, "^rows: .*int64", np.ones((2, 40), np.int64)),
            (ValueError, "^rows: .*40 columns.*39", np.ones((2, 39), np.float32)),
            (ValueError, "^rows: .*dimensions", np.ones((2, 40, 1), np.float32)),
            (TypeError, "^rows: ", None),
        ],
    )
    def test_rows(self, index, error, message, rows):
        self.refused(index, error, message, lambda: index.add(rows))
        self.refused(index, error, message, lambda: index.update([1, 2], rows))

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([1, 2, 1], "^ids: 1 .*twice"),
            ([1, 2, 30], "^ids: 30 is not in the index"),
            ([1, 2, 25], "^ids: 25 is not in the index"),
            ([1, 2, -1], "^ids: -1 is not in the index"),
            ([1, 2, -(2**63)], r"^ids: -\d+ is not in the index"),
            ([[1, 2, 3]], "^ids: .*shape"),
        ],
    )
    def test_update_and_remove_ids(self, index, rng, ids, message):
        x = normal(rng, 3, 40)
        self.refused(index, ValueError, message, lambda: index.update(ids, x))
        self.refused(index, ValueError, message, lambda: index.remove(ids))

    def test_as_many_rows_as_ids(self, index, rng):
        x = normal(rng, 3, 40)
        self.refused(index, ValueError, r"^ids: .*\(3,\)", lambda: index.update([1, 2], x))

    @pytest.mark.parametrize("ids", [[1.0], [True], "1", None, np.ones(1, np.uint64)])
    def test_ids_that_are_no_integers(self, index, rng, ids):
        x = normal(rng, 1, 40)
        changes = [lambda: index.update(ids, x), lambda: index.remove(ids)]
        if ids is not None:
            changes.append(lambda: index.add(x, ids))
        for change in (*changes, lambda: index.reconstruct(ids)):
            self.refused(index, TypeError, "^ids: ", change)

    @pytest.mark.parametrize("picked", [30, -1, 25, [1, 2, 30]])
    def test_reconstruct(self, index, picked):
        with pytest.raises(ValueError, match=r"^ids: .* is not in the index"):
            index.reconstruct(picked)

    def test_the_first_rows(self, rng):
        """They fix the type of an index only if they are taken."""
        index = em.Index()
        x = normal(rng, 2, 40)
        self.refused(index, ValueError, "^ids: 1 ", lambda: index.add(x, [1, 1]))
        self.refused(index, ValueError, "^ids: ", lambda: index.add(x, [-1, 1]))
        self.refused(index, ValueError, "^dim: ", lambda: index.add(x[:, :0]))
        assert index.add(normal(rng, 2, 9, "int8")).tolist() == [0, 1]
        assert (index.d, index.dtype) == (9, "int8")

    def test_no_rows_to_fit_a_rotation_to(self):
        index, x = em.Index(codes="prefix"), np.ones((3, 40), np.float32)
        with pytest.raises(ValueError, match=r"^rows: expected some to fit a rotation to"):
            index.add(x[:0])
        assert index.add(x).tolist() == [0, 1, 2]

    def test_too_many_columns_for_codes(self):
        index = em.Index(codes="int8")
        x = np.ones((2, 2**16 + 1), np.int8)
        with pytest.raises(ValueError, match=r"^codes: .*65536.*65537"):
            index.add(x)
        assert em.Index(x).stats["codes"] == ()

    def test_what_does_not_fit(self, run_python):
        code = (
            "import numpy as np, embmath as em\n"
            "x = np.random.default_rng(0).standard_normal((50_000, 64)).astype('f4')\n"
            "index = em.Index(x[:1000])\n"
            "before = index.search(x[:3], 5)\n"
            "for more in (x, np.asfortranarray(x)):\n"
            "    try: index.add(more)\n"
            "    except MemoryError as error: print(str(error).split(' needs')[0])\n"
            "print(index.ntotal, (index.search(x[:3], 5).indices == before.indices).all())\n"
            "print(index.add(x[:5]))\n"
        )
        out = run_python(code, EMBMATH_MAX_MEMORY="1M").stdout.splitlines()
        assert out == [
            "Index: codes",
            "Index: rows",
            "1000 True",
            "[1000 1001 1002 1003 1004]",
        ]
