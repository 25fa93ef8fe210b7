"""Groups of similar rows around centres."""

from typing import Any

import numpy as np
import numpy.typing as npt

import embmath as em

from .inputs import Rows, on_cpu, read_detached

NDArray = npt.NDArray[Any]


def community_detection(
    embeddings: Any,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Groups of rows whose cosine with a centre is at least a threshold, none in two groups.

    Parameters
    ----------
    embeddings : list, array or Tensor, (n, d)
    threshold : float
    min_community_size : int
        At least 1, centre included.
    batch_size : int
        Rows between two steps of the progress bar. Nothing else depends on it.
    show_progress_bar : bool
        Needs tqdm.

    Returns
    -------
    list of list of int
        The largest first; in each the centre first, then the others by (cosine, lowest index).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n^2 d), and memory for the neighbours of all possible centres. A cosine is compared with
    the threshold rounded to float32, as it was itself.

    Examples
    --------
    >>> rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0], [0.0, 2.0]]
    >>> community_detection(rows, min_community_size=2)
    [[1, 4, 3], [0, 2]]
    """
    rows = read_detached(embeddings) if len(embeddings) else np.empty((0, 1), np.float32)
    if min_community_size < 1:
        raise ValueError(f"min_community_size: must be at least 1, got {min_community_size}")
    if len(rows) < min_community_size:
        return []
    limit = float(np.float32(threshold))
    found = _neighbours(rows, limit, min_community_size, batch_size, show_progress_bar)
    found.sort(key=lambda community: -len(community[1]))
    is_taken = np.zeros(len(rows), bool)
    communities = []
    for centre, members in found:
        if is_taken[centre]:
            continue
        left = members[~is_taken[members]]
        if len(left) >= min_community_size:
            is_taken[left] = is_taken[centre] = True
            communities.append([centre, *left[left != centre].tolist()])
    return sorted(communities, key=len, reverse=True)


def _neighbours(
    rows: Rows, limit: float, smallest: int, batch_size: int, is_shown: bool
) -> list[tuple[int, NDArray]]:
    """Every row that has enough neighbours, with them, best first."""
    index = em.Index(rows) if _is_in_memory(rows) else None
    found: list[tuple[int, NDArray]] = []
    for start in _progress(range(0, len(rows), batch_size), is_shown):
        batch = rows[start : start + batch_size]
        hits = (
            em.range_search(batch, rows, limit, nan="rank_last")
            if index is None
            else index.range_search(batch, limit, nan="rank_last")
        )
        offsets, indices = on_cpu(hits.offsets), on_cpu(hits.indices).astype(np.uint32)
        found.extend(
            (start + int(i), indices[offsets[i] : offsets[i + 1]])
            for i in np.flatnonzero(np.diff(offsets) >= smallest)
        )
    return found


def _is_in_memory(rows: Rows) -> bool:
    return isinstance(rows, np.ndarray) or rows.device.type == "cpu"


def _progress(batches: range, is_shown: bool) -> Any:
    if not is_shown:
        return batches
    from tqdm.auto import tqdm

    return tqdm(batches, desc="Finding clusters")
