"""All drop-ins, by the library whose lines they take."""

from __future__ import annotations

from embmath._cli.bench.dropins import faiss, scientific, sentence_transformers, stores
from embmath._cli.bench.dropins.dropin import DropIn

PEERS = {
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "faiss": "faiss",
    "langchain_core": "langchain",
    "llama_index": "llama-index",
    "haystack": "haystack",
}  # as people call them

DROPINS: dict[str, DropIn] = {
    each.name: each
    for module in (sentence_transformers, scientific, faiss, stores)
    for each in module.DROPINS
}
