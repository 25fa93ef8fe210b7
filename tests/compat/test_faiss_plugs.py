"""Where other libraries take a FAISS index, they take ours, and answer the same."""

from __future__ import annotations

import subprocess
import sys
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embmath.compat import faiss as ours

peer = pytest.importorskip("faiss", reason="needs faiss-cpu")

# Of the libraries' own making, at import and in use.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal((80, 64)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rescore", [False, True])
@pytest.mark.parametrize("precision", ["float32", "uint8", "ubinary"])
def test_sentence_transformers_corpus_index(
    precision: str, rescore: bool, rows: np.ndarray
) -> None:
    library = pytest.importorskip(
        "sentence_transformers.quantization", reason="needs sentence-transformers"
    )
    codes = library.quantize_embeddings(rows, precision) if precision != "float32" else rows
    found = []
    for lib in (ours, peer):
        is_binary = precision == "ubinary"
        index = lib.IndexBinaryFlat(64) if is_binary else lib.IndexFlatIP(64)
        index.add(codes)
        hits, _ = library.semantic_search_faiss(
            rows[:9],
            corpus_index=index,
            corpus_precision=precision,
            top_k=5,
            rescore=rescore,
            calibration_embeddings=rows,
        )
        found.append(hits)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(*([h["score"] for h in hits] for hits in (a, b)), rtol=1e-5)
        assert a[0]["corpus_id"] == b[0]["corpus_id"]


def test_datasets_custom_index(rows: np.ndarray) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    found = []
    for lib in (ours, peer):
        data = datasets.Dataset.from_dict(
            {"name": [f"row {i}" for i in range(80)], "x": list(rows)}
        )
        data.add_faiss_index("x", custom_index=lib.IndexFlatIP(64), batch_size=7)
        scores, examples = data.get_nearest_examples("x", rows[11], k=4)
        batch = data.search_batch("x", rows[:5], k=3)
        found.append((scores, examples["name"], batch.total_indices))
    (scores, names, indices), (wanted, wanted_names, wanted_indices) = found
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)
    assert names == wanted_names
    np.testing.assert_array_equal(indices, wanted_indices)


def test_datasets_external_arrays(rows: np.ndarray) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    found = []
    for lib in (ours, peer):
        data = datasets.Dataset.from_dict({"name": [f"row {i}" for i in range(80)]})
        index = lib.IndexScalarQuantizer(64, lib.ScalarQuantizer.QT_8bit)
        data.add_faiss_index_from_external_arrays(rows, "x", custom_index=index, train_size=50)
        found.append(data.get_nearest_examples_batch("x", rows[:5], k=3))
    (scores, examples), (wanted, wanted_examples) = found
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-6)
    assert examples == wanted_examples


@pytest.mark.parametrize("saves_ours", [True, False])
def test_datasets_files(rows: np.ndarray, saves_ours: bool, tmp_path: Path) -> None:
    """Each reads what the other saved."""
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    data = datasets.Dataset.from_dict({"x": list(rows)})
    lib = ours if saves_ours else peer
    data.add_faiss_index("x", custom_index=lib.IndexFlatIP(64))
    wanted = data.search_batch("x", rows[:5], k=3)
    path = tmp_path / "x.faiss"
    with ours.patched() if saves_ours else nullcontext():
        data.save_faiss_index("x", path)
    data.drop_index("x")
    with nullcontext() if saves_ours else ours.patched():
        data.load_faiss_index("x", path)
    found = data.search_batch("x", rows[:5], k=3)
    assert isinstance(data.get_index("x").faiss_index, (peer if saves_ours else ours).IndexFlat)
    np.testing.assert_allclose(found.total_scores, wanted.total_scores, rtol=1e-5)
    np.testing.assert_array_equal(found.total_indices, wanted.total_indices)


_WITHOUT_FAISS = """
import sys
from embmath.compat import faiss
faiss.install()
faiss.install()
import datasets
import numpy as np
rows = np.eye(8, dtype=np.float32)
data = datasets.Dataset.from_dict({"x": list(rows)})
data.add_faiss_index("x", metric_type=faiss.METRIC_INNER_PRODUCT)
data.save_faiss_index("x", sys.argv[1])
data.drop_index("x")
data.load_faiss_index("x", sys.argv[1])
assert isinstance(data.get_index("x").faiss_index, faiss.IndexFlatIP)
assert data.search("x", rows[3], k=2).indices.tolist() == [3, 0]
assert sys.modules["faiss"] is faiss
"""


def test_datasets_without_faiss(tmp_path: Path) -> None:
    """As its ``faiss``, in a process that never imports the other."""
    pytest.importorskip("datasets", reason="needs datasets")
    command = [sys.executable, "-c", _WITHOUT_FAISS, str(tmp_path / "x.faiss")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_install_is_refused_after_the_other() -> None:
    with pytest.raises(RuntimeError, match="FAISS has been imported already"):
        ours.install()
    with ours.patched():
        import faiss

        assert faiss is ours
        ours.install()
    assert sys.modules["faiss"] is peer


def langchain_store(lib: Any, rows: np.ndarray) -> Any:
    vectorstores = pytest.importorskip(
        "langchain_community.vectorstores.faiss", reason="needs langchain-community"
    )
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_core.embeddings import Embeddings

    class Numbered(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [rows[int(text)].tolist() for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return [float(number) for number in rows[int(text)]]

    store = vectorstores.FAISS(Numbered(), lib.IndexFlatL2(64), InMemoryDocstore(), {})
    ids = [str(uuid.UUID(int=i)) for i in range(40)]
    store.add_texts([str(i) for i in range(40)], [{"odd": i % 2} for i in range(40)], ids=ids)
    store.delete(ids[3:5])
    return store


def test_langchain_store(rows: np.ndarray) -> None:
    found = [_answers(langchain_store(lib, rows)) for lib in (ours, peer)]
    assert found[0][0] == found[1][0]
    assert found[0][0]["plain"][0] == "7"
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-5)


def test_langchain_files(rows: np.ndarray, tmp_path: Path) -> None:
    store = langchain_store(ours, rows)
    with ours.patched():
        store.save_local(str(tmp_path))
    found = type(store).load_local(
        str(tmp_path), store.embedding_function, allow_dangerous_deserialization=True
    )
    assert isinstance(found.index, peer.IndexFlatL2)
    assert _answers(found)[0] == _answers(store)[0]


def _answers(store: Any) -> tuple[dict[str, list[str]], list[float]]:
    plain = store.similarity_search_with_score("7", k=5)
    near = store.similarity_search("3", k=5, filter={"odd": 1})
    diverse = store.max_marginal_relevance_search("7", k=5, fetch_k=20)
    answers = {"near": near, "diverse": diverse, "plain": [document for document, _ in plain]}
    texts = {name: [d.page_content for d in documents] for name, documents in answers.items()}
    return texts, [score for _, score in plain]
