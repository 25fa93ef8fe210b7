"""What is measured: transforms and searches against Torch and, where importable, FAISS and cuVS.

A case returns its figures; answers are compared before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

import embmath as em

from .device import Call, interleaved, seconds

Case = Callable[[], dict[str, Any]]

D = 768
_GIB = 2**30


def rows(n: int, d: int = D, seed: int = 1) -> torch.Tensor:
    """Unit rows with a decaying spectrum in random directions, like text embeddings."""
    generator = torch.Generator("cuda").manual_seed(seed)
    spectrum = torch.arange(1, d + 1, device="cuda").float().rsqrt()
    basis = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(9)))[0].cuda()
    found = torch.empty(n, d, device="cuda")
    for first in range(0, n, 2**18):
        part = torch.randn(min(2**18, n - first), d, device="cuda", generator=generator)
        found[first : first + len(part)] = torch.nn.functional.normalize((part * spectrum) @ basis)
    return found


def bandwidth() -> dict[str, Any]:
    """Bytes per second of a copy (read and written), the floor of everything bound by memory."""
    a = torch.empty(_GIB // 4, device="cuda")
    b = torch.empty_like(a)
    took = seconds(lambda: b.copy_(a))
    return {"copy_gb_per_s": 2 * a.nbytes / took["min"] / 1e9}


def normalize() -> dict[str, Any]:
    """Against a copy of the same bytes."""
    x = torch.randn(2**20, D, device="cuda")
    out = torch.empty_like(x)
    took = interleaved(
        {
            "embmath": lambda: em.normalize(x, out=out),
            "copy": lambda: out.copy_(x),
            "torch": lambda: torch.nn.functional.normalize(x),
        }
    )
    return {"seconds": took, "share_of_copy": took["copy"]["min"] / took["embmath"]["min"]}


def quantize(dtype: torch.dtype) -> dict[str, Any]:
    """Bytes per second, rows read and codes written once, against a copy's; Torch's usual lines."""
    x = torch.randn(2**20, D, device="cuda").to(dtype)
    out = torch.empty_like(x)
    grids: dict[str, dict[str, Any]] = {
        "int8": {},
        "int4": {"layout": "split"},
        "int8 on ranges": {"ranges": em.fit_ranges(x)},
        "ubinary": {},
    }
    calls: dict[str, Call] = {"copy": lambda: out.copy_(x)}
    moved = {"copy": 2 * x.nbytes}
    for name, options in grids.items():
        precision = name.split()[0]
        codes = em.quantize(x, precision, **options)
        few = {key: each.cpu() if key == "ranges" else each for key, each in options.items()}
        assert torch.equal(
            codes.data[:1000].cpu(), em.quantize(x[:1000].cpu(), precision, **few).data
        )
        calls[name] = lambda p=precision, o=options: em.quantize(x, p, **o)  # type: ignore[misc]
        moved[name] = x.nbytes + codes.data.nbytes

    def by_torch() -> torch.Tensor:
        step = x.abs().amax(1, keepdim=True).float() / 127
        return (x / step).round().to(torch.int8)

    took = interleaved(calls | {"torch int8": by_torch})
    speed = {name: n_bytes / took[name]["min"] for name, n_bytes in moved.items()}
    return {
        "seconds": took,
        "gb_per_s": {name: each / 1e9 for name, each in speed.items()},
        "share_of_copy": {name: speed[name] / speed["copy"] for name in grids},
    }


def _by_torch(q: torch.Tensor, x: torch.Tensor, k: int, step: int = 2**20) -> Call:
    """The usual two lines, in tiles of rows where the scores would not fit."""

    def run() -> Any:
        best = None
        for first in range(0, len(x), step):
            found = torch.topk(q @ x[first : first + step].T, min(k, len(x) - first), dim=1)
            pair = (found.values, found.indices + first)
            if best is not None:
                both = [torch.cat([a, b], 1) for a, b in zip(best, pair, strict=True)]
                order = torch.topk(both[0], k, dim=1).indices
                pair = (both[0].gather(1, order), both[1].gather(1, order))
            best = pair
        return best

    return run


def search(n_queries: int, n_rows: int, k: int) -> dict[str, Any]:
    """Exact search of float32 rows, kept by an index and not; Torch in float32 and in bfloat16."""
    x, q = rows(n_rows), rows(n_queries, seed=2)
    index = em.Index(x)
    x16, q16 = x.bfloat16(), q.bfloat16()
    torch.backends.cuda.matmul.allow_tf32 = False
    wanted = em.search(q[:16].cpu(), x.cpu(), k)
    for found in (em.search(q[:16], x, k), index.search(q[:16], k)):
        assert torch.equal(found.indices.cpu(), torch.as_tensor(wanted.indices))
        assert torch.equal(found.values.cpu(), torch.as_tensor(wanted.values))
    took = interleaved(
        {
            "embmath, index": lambda: index.search(q, k),
            "embmath": lambda: em.search(q, x, k),
            "torch float32": _by_torch(q, x, k),
            "torch bfloat16": _by_torch(q16, x16, k),
            **_others(q, x, k),
        }
    )
    ours = took["embmath, index"]["min"]
    stats: dict[str, Any] = {}
    index.search(q, k, stats=stats)
    return {
        "seconds": took,
        "ratios": {name: each["min"] / ours for name, each in took.items()},
        "tflops": 2 * n_queries * n_rows * D / ours / 1e12,
        "codes_gb_per_s": 2 * n_rows * D / ours / 1e9,
        "stats": stats,
    }


def codes(kind: str, n_queries: int, n_rows: int) -> dict[str, Any]:
    """Rows that are codes as they lie: one read of them is the floor for few queries."""
    x, q = rows(n_rows), rows(n_queries, seed=2)
    if kind == "float16":
        x, q, metric = x.half(), q.half(), "cosine"
    elif kind == "int8":
        x, q = ((each * 127 * 4).clamp(-127, 127).to(torch.int8) for each in (x, q))
        metric = "dot"
    else:
        x, q = (em.quantize(each, "ubinary").data for each in (x, q))
        metric = "hamming"
    wanted = em.search(q[:16].cpu(), x.cpu(), 10, metric)
    found = em.search(q[:16], x, 10, metric)
    assert torch.equal(found.indices.cpu(), torch.as_tensor(wanted.indices))
    took = interleaved({"embmath": lambda: em.search(q, x, 10, metric)})
    return {"seconds": took, "rows_gb_per_s": x.nbytes / took["embmath"]["min"] / 1e9}


def within(n_queries: int, n_rows: int, per_query: int) -> dict[str, Any]:
    """Range search, against the search for as many."""
    x, q = rows(n_rows), rows(n_queries, seed=2)
    threshold = float(em.search(q, x, per_query).values[:, -1].median())
    took = interleaved(
        {
            "range_search": lambda: em.range_search(q, x, threshold),
            "search": lambda: em.search(q, x, per_query),
        }
    )
    return {"seconds": took, "hits": len(em.range_search(q, x, threshold).values)}


def _others(q: torch.Tensor, x: torch.Tensor, k: int) -> dict[str, Call]:
    found: dict[str, Call] = {}
    try:
        import faiss
        import faiss.contrib.torch_utils

        if hasattr(faiss, "StandardGpuResources"):
            flat = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), x.shape[1])
            flat.add(x)
            found["faiss float32"] = lambda: flat.search(q, k)
    except ImportError:
        pass
    try:
        from cuvs.neighbors import brute_force

        built = brute_force.build(x, metric="inner_product")
        found["cuvs"] = lambda: brute_force.search(built, q, k)
    except ImportError:
        pass
    return found


def cases() -> Iterator[tuple[str, Case]]:
    """Most wanted first: a short loan of a GPU should answer the main questions."""
    yield "bandwidth", bandwidth
    yield "normalize", normalize
    for dtype in (torch.float32, torch.float16):
        yield f"quantize {dtype}", lambda a=dtype: quantize(a)  # type: ignore[misc]
    for n_queries, n_rows, k in (
        *((1024, 10**6, 10), (1, 10**6, 10), (32, 10**6, 10), (1024, 10**6, 1000)),
        *((8, 10**6, 10), (1024, 10**5, 100), (1, 10**5, 10), (10240, 10**6, 100)),
        *((1024, 4 * 10**6, 100), (1, 4 * 10**6, 100)),
    ):
        name = f"search nq={n_queries} n={n_rows} k={k}"
        yield name, lambda a=n_queries, b=n_rows, c=k: search(a, b, c)  # type: ignore[misc]
    for kind in ("int8", "float16", "bits"):
        for n_queries in (1, 32, 1024):
            name = f"{kind} nq={n_queries} n=4000000 k=10"
            yield name, lambda a=kind, b=n_queries: codes(a, b, 4 * 10**6)  # type: ignore[misc]
    yield "range_search nq=1024 n=1000000", lambda: within(1024, 10**6, 100)
