"""What holds for all integrations: examples run, imports stay away, threads may share a store."""

import doctest
import importlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import embmath as em
import reference
from embmath.integrations._named_index import NamedIndex

PEERS = {
    "haystack": "haystack",
    "langchain": "langchain_core",
    "llama_index": "llama_index.core",
    "mteb": "mteb",
    "txtai": "txtai",
    "vicinity": "vicinity",
}
rng = np.random.default_rng(9)


@pytest.mark.filterwarnings("ignore")  # of what the libraries import
@pytest.mark.parametrize("module", PEERS)
def test_examples_run(module: str) -> None:
    pytest.importorskip(PEERS[module], reason=f"needs {module}")
    tried = doctest.testmod(importlib.import_module(f"embmath.integrations.{module}"))
    assert tried.failed == 0
    assert tried.attempted > 3


@pytest.mark.parametrize("module", ["embmath", "embmath.integrations", "embmath.integrations.mteb"])
def test_import_needs_no_peer(module: str) -> None:
    refused = "; ".join(f"sys.modules[{peer!r}] = None" for peer in (*PEERS.values(), "torch"))
    subprocess.run([sys.executable, "-c", f"import sys; {refused}; import {module}"], check=True)


def test_threads_share_a_store() -> None:
    store = NamedIndex()
    rows = rng.standard_normal((400, 40)).astype(np.float32)
    store.put([f"stays {i}" for i in range(100)], rows[:100])

    def change(start: int) -> None:
        names = [f"comes {i}" for i in range(start, start + 100)]
        for name, row in zip(names, rows[start : start + 100], strict=True):
            store.put([name], [row])
        store.drop(names)

    def search(i: int) -> Any:
        found = store.search(rows[i], 5, keep=lambda name: name.startswith("stays"))
        assert len(found) == 5
        return found[0][0]

    with ThreadPoolExecutor(4) as pool:
        changes = [pool.submit(change, start) for start in (100, 200, 300)]
        assert list(pool.map(search, range(100))) == [f"stays {i}" for i in range(100)]
        for future in changes:
            future.result()
    assert store.names() == [f"stays {i}" for i in range(100)]


names = st.lists(st.sampled_from("abcdefgh"), max_size=6)
changes = st.lists(st.tuples(st.sampled_from(["put", "drop", "save"]), names), max_size=12)


@settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(changes=changes, metric=st.sampled_from(["cosine", "dot", "euclidean"]), seed=st.integers(0))
def test_a_store_is_a_dict_of_rows(
    tmp_path: Path, changes: list[tuple[str, list[str]]], metric: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    store, model = NamedIndex(metric), dict[str, Any]()
    for kind, chosen in changes:
        if kind == "put":
            rows = rng.integers(-3, 4, (len(chosen), 5)).astype(np.float32)
            store.put(chosen, rows)
            model.update(zip(chosen, rows, strict=True))
        elif kind == "drop":
            store.drop(chosen)
            model = {name: row for name, row in model.items() if name not in chosen}
        else:
            store.save(tmp_path / "store", None)
            store = NamedIndex.load(tmp_path / "store")[0]
        assert store.names() == list(model)
        query = rng.standard_normal(5).astype(np.float32)
        for keep in (None, "aceg".__contains__):
            kept = [name for name in model if keep is None or keep(name)]
            found = store.search(query, 4, keep)
            assert len(found) == min(4, len(kept))
            scores = {name: score(query, model[name], metric) for name in kept}
            best = sorted(scores, key=lambda name: -scores[name])[:4]
            np.testing.assert_allclose([s for _, s in found], [scores[n] for n in best], atol=1e-5)
            np.testing.assert_allclose(
                [s for _, s in found], [scores[n] for n, _ in found], atol=1e-5
            )


def score(query: Any, row: Any, metric: str) -> float:
    if metric == "euclidean":
        return -float(reference.distance(query[None], row[None], metric)[0, 0])
    return float(reference.similarity(query[None], row[None], metric)[0, 0])


def test_what_is_saved_belongs_together(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = NamedIndex("dot")
    store.put(["a", "b", "a"], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # the last "a" counts
    assert store.vectors(["a", "b"]).tolist() == [[5.0, 6.0], [3.0, 4.0]]
    store.save(path, {"x": 1})
    loaded, data = NamedIndex.load(path)
    assert data == {"x": 1}
    assert loaded.search([1.0, 0.0], 5) == [("a", 5.0), ("b", 3.0)]
    beside = next(p for p in tmp_path.iterdir() if p.suffix == ".json")
    beside.write_text(json.dumps({"ids": {"a": 0}, "data": None}))
    with pytest.raises(em.FileFormatError, match="names beside it are those of other rows"):
        NamedIndex.load(path)
    beside.unlink()
    with pytest.raises(FileNotFoundError):
        NamedIndex.load(path)
    em.Index([[1.0]]).save(path, metadata={"data": "../../elsewhere"})
    with pytest.raises(em.FileFormatError, match="a store saved"):
        NamedIndex.load(path)
    store.save(path, None)  # over what is no store
    assert len(NamedIndex.load(path)[0]) == 2


def test_an_empty_store(tmp_path: Path) -> None:
    store = NamedIndex()
    store.put([], [])
    store.drop(["absent"])
    assert store.search([1.0], 3) == store.diverse([1.0], [], 3, 0.5) == []
    store.save(tmp_path / "store", [])
    assert len(NamedIndex.load(tmp_path / "store")[0]) == 0
