"""The functions of ``sentence_transformers.util``, exact and several times faster.

Change the import, or have a model or a block of code use them:

>>> from embmath.compat.sentence_transformers import semantic_search
>>> import torch
>>> semantic_search(torch.tensor([[2.0, 1.0]]), torch.eye(2), top_k=1)[0][0]["corpus_id"]
0

Arguments, defaults and results are those of sentence-transformers 6, except where it errs: int8 dot
products do not wrap, distances do not cancel, tiny and huge rows have a direction, float16 rows are
compared exactly, and equal scores come in the order of their indices.
"""

from .code_search import semantic_search_faiss, semantic_search_usearch
from .communities import community_detection
from .corpus_index import CorpusIndex
from .maxsim import maxsim, maxsim_pairwise, mean_maxsim, mean_maxsim_pairwise
from .metrics import SimilarityFunction
from .mining import paraphrase_mining, paraphrase_mining_embeddings
from .patching import install, patched
from .quantization import normalize_embeddings, quantize_embeddings, truncate_embeddings
from .retrieval import information_retrieval, semantic_search
from .similarity import (
    cos_sim,
    dot_score,
    euclidean_sim,
    manhattan_sim,
    pairwise_angle_sim,
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
    pytorch_cos_sim,
)

__all__ = [
    "CorpusIndex",
    "SimilarityFunction",
    "community_detection",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "information_retrieval",
    "install",
    "manhattan_sim",
    "maxsim",
    "maxsim_pairwise",
    "mean_maxsim",
    "mean_maxsim_pairwise",
    "normalize_embeddings",
    "pairwise_angle_sim",
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "pairwise_euclidean_sim",
    "pairwise_manhattan_sim",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "patched",
    "pytorch_cos_sim",
    "quantize_embeddings",
    "semantic_search",
    "semantic_search_faiss",
    "semantic_search_usearch",
    "truncate_embeddings",
]
