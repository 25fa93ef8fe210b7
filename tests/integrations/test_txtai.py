"""The txtai backend gives what the NumPy backend gives, also through Embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("txtai", reason="needs txtai")

from txtai.ann import ANNFactory
from txtai.embeddings import Embeddings

import embmath.integrations.txtai

pytestmark = pytest.mark.filterwarnings("ignore")  # of what txtai imports
NAME = "embmath.integrations.txtai.Dense"
rng = np.random.default_rng(8)
ROWS = rng.standard_normal((70, 16)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1)[:, None]
BITS = rng.integers(0, 256, (70, 16), dtype=np.uint8)


def backends(quantize: Any = None) -> list[Any]:
    config = {"quantize": quantize, "dimensions": 16}
    both = [ANNFactory.create({"backend": name, **config}) for name in (NAME, "numpy")]
    assert type(both[0]) is embmath.integrations.txtai.Dense
    return both


def assert_same(ours: Any, theirs: Any, queries: Any, limit: int) -> None:
    found = ours.search(queries, limit)
    for mine, other, all_ in zip(
        found, theirs.search(queries, limit), theirs.search(queries, 1000), strict=True
    ):
        assert all(type(id) is int and type(score) is float for id, score in mine)
        np.testing.assert_allclose(
            [score for _, score in mine], [score for _, score in other[: len(mine)]], atol=1e-6
        )
        scores = dict(all_)  # of equal scores they take any
        np.testing.assert_allclose(
            [score for _, score in mine], [scores[id] for id, _ in mine], atol=1e-6
        )


@pytest.mark.parametrize(("quantize", "rows"), [(None, ROWS), (1, BITS), (True, ROWS)])
def test_answers_of_the_numpy_backend(tmp_path: Path, quantize: Any, rows: Any) -> None:
    ours, theirs = backends(quantize)
    for backend in (ours, theirs):
        backend.index(rows[:60].copy())
    for limit in (1, 5, 60, 100):
        assert_same(ours, theirs, rows[:4], limit)
    for backend in (ours, theirs):
        backend.append(rows[60:])
        backend.delete([3, 59, -1, 1000, 3])
    assert ours.count() == theirs.count() == 68
    assert ours.config["offset"] == theirs.config["offset"] == 70
    assert_same(ours, theirs, rows[60:], 20)
    ours.save(str(tmp_path / "index"))
    loaded = backends(quantize)[0]
    loaded.load(str(tmp_path / "index"))
    assert loaded.search(rows[:4], 9) == ours.search(rows[:4], 9)
    ours.close()
    with pytest.raises(ValueError, match="expected rows"):
        ours.count()


def transform(texts: list[str]) -> Any:
    return ROWS[[int(text) for text in texts]]


def test_through_embeddings(tmp_path: Path) -> None:
    """With vectors of our own, so that no model is needed."""
    found = []
    for name in (NAME, "numpy"):
        embeddings = Embeddings(method="external", transform=transform, backend=name)
        embeddings.index([(f"id {i}", str(i)) for i in range(50)])
        embeddings.upsert([(f"id {i}", str(i)) for i in (4, 60, 61)])
        embeddings.delete(["id 7", "absent"])
        assert embeddings.count() == 51
        before = embeddings.batchsearch(["7", "60"], 8)
        embeddings.save(str(tmp_path / name / "saved.tar.gz"))
        embeddings.close()
        embeddings.load(str(tmp_path / name / "saved.tar.gz"), config={"transform": transform})
        assert embeddings.batchsearch(["7", "60"], 8) == before
        found.append(before)
    for ours, theirs in zip(*found, strict=True):
        assert [id for id, _ in ours] == [id for id, _ in theirs]
        np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], atol=1e-6)
