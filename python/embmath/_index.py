"""A searchable collection that changes."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from . import _arguments, _arrays, _core, _device, _index_codes
from ._rotation import Rotation
from ._search import _METRICS
from ._types import Array, FileFormatError, Metric, NanPolicy, Progress, RangeResult, TopK

_INTEGERS = ("int8", "uint8")


class Index:
    """Exact search over rows that come and go, several times faster than a matrix product.

    Beside the rows the index keeps codes of them and the bounds that go with those. A search reads
    the codes, discards every row that provably cannot be among the best, and scores the few others
    in float64: the answers are those of :func:`search`, bit for bit, whichever codes there are.

    Parameters
    ----------
    corpus : array, (n, d), optional
        First rows to add.
    dim : int, optional
        Number of columns, where there is no corpus yet; else known from the first rows.
    metric : str
        As for :func:`search`.
    codes : {"auto", "int8", "prefix", "int4", None}, or several of these names
        "int8": one byte per element (cosine, dot, euclidean and sqeuclidean). "prefix": the same of
        rotated rows, of which most are judged by the leading coordinates alone: for batches.
        "int4": four bits of fewer coordinates: for one or a few queries. A search takes whichever
        suits it. None keeps none: searches are those of :func:`search`. "auto" chooses from the
        first rows: "prefix" and "int4" for 50,000 rows and more whose principal axes say enough,
        else "int8"; none where codes do not pay. :attr:`stats` tells what was chosen.
    rotation : Rotation, optional
        For "prefix" and "int4"; cosine: of rows of length 1. Default: fitted to the first rows.
        One that fits badly costs time, never a neighbour.
    ids : array of int64, (n,), optional
        Names of the rows in results, not negative, each once. Default: 0, 1, 2, ...
    rows : {"reference", "copy"}
        "reference" reads rows where they lie, which includes memory-mapped files larger than
        memory; they must not change. Rows that are not contiguous and aligned are copied. "copy"
        copies all.
    threads : int, optional
        For building. Default: :func:`get_num_threads`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.
    MemoryError
        If codes or copies do not fit.

    Notes
    -----
    Memory beside the rows: d bytes of codes ("int8", "prefix"), d/4 or less ("int4"), and 40 to 60
    bytes of scalars, ids and places per row. Fitting and applying a rotation takes as long as some
    hundred queries. Any
    number of threads may search at once; one change at a time is made, and a search sees all of it
    or nothing. Equal scores are ordered by id. The bound is that of Cauchy and Schwarz on what the
    codes leave out, with the code's own direction projected out.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> corpus = rng.standard_normal((1000, 64), dtype=np.float32)
    >>> index = em.Index(corpus)
    >>> index.search(corpus[7], k=1).indices
    array([[7]])
    >>> index.add(corpus[:2] + 1)
    array([1000, 1001])
    >>> index.remove([7])
    >>> index.ntotal
    1001
    """

    def __init__(
        self,
        corpus: Array | None = None,
        *,
        dim: int | None = None,
        metric: Metric = "cosine",
        codes: str | Sequence[str] | None = "auto",
        rotation: Rotation | None = None,
        ids: Array | None = None,
        rows: Literal["reference", "copy"] = "reference",
        threads: int | None = None,
    ) -> None:
        self._metric = _arguments.choice("metric", metric, _METRICS)
        self._codes = _index_codes.asked(codes, metric)
        self._rotation = rotation
        self._copies = _arguments.choice("rows", rows, ("reference", "copy")) == "copy"
        self._dim = None if dim is None else _arguments.integer("dim", dim, at_least=1)
        self._dtype: str | None = None
        self._metadata: dict[str, str] = {}
        self._first = threading.RLock()
        self._is_busy = False
        self._core: _core.Index | None = None
        if corpus is not None:
            self.add(corpus, ids, threads=threads)
        elif ids is not None:
            raise ValueError("ids: given without a corpus")

    def add(
        self,
        rows: Array,
        ids: Array | None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Array:
        """Add rows.

        Parameters
        ----------
        rows : array, (n, d) or (d,)
            Of the index' element type.
        ids : array of int64, (n,), optional
            Default: the numbers after the largest id so far.
        threads : int, optional
        progress : callable, optional
            As for :func:`search`.

        Returns
        -------
        array of int64, (n,)
            The ids of the new rows.

        Raises
        ------
        TypeError, ValueError
            Naming the argument; then nothing was added.

        Notes
        -----
        O(n d), whatever the index holds.

        Examples
        --------
        >>> index = em.Index(dim=2)
        >>> index.add([[1.0, 0.0], [0.0, 1.0]], ids=[10, 20])
        array([10, 20])
        """
        n_threads = _arguments.threads(threads)
        source = _arrays.matrix("rows", rows)
        names = None if ids is None else _arrays.id_list("ids", ids, source.n_rows)
        report = _arguments.progress(progress)
        if self._core is None:
            added = self._add_first(source, names, n_threads, report)
        else:
            added = self._core.add(source.typed, ids=names, threads=n_threads, progress=report)
        if report is not None:
            report(1.0)
        return source.wrap(added)

    def _add_first(
        self, rows: _arrays.Input, ids: Any, threads: int, progress: Progress | None
    ) -> Any:
        """The first rows tell what the index holds, once they are in."""
        with self._first:
            if self._core is not None:  # another thread was sooner
                return self._core.add(rows.typed, ids=ids, threads=threads, progress=progress)
            if self._is_busy:
                raise ValueError("index: must not be changed from a callback of its own change")
            if self._dim is not None and rows.n_cols != self._dim:
                raise ValueError(
                    f"rows: expected {self._dim} columns like the index, got {rows.n_cols}"
                )
            self._is_busy = True
            try:
                choice = _index_codes.choose(self._codes, self._rotation, self._metric, rows)
                core = _core.Index(
                    metric=self._metric,
                    dtype=rows.dtype,
                    n_cols=rows.n_cols,
                    codes=choice.kinds,
                    basis=choice.basis,
                    copies_rows=self._copies,
                )
                added = core.add(rows.typed, ids=ids, threads=threads, progress=progress)
            finally:
                self._is_busy = False
            self._rotation = choice.rotation
            self._dim, self._dtype, self._core = rows.n_cols, rows.dtype, core
            return added

    def update(self, ids: Array, rows: Array) -> None:
        """Replace rows; their ids stay.

        Parameters
        ----------
        ids : array of int64, (n,)
            Each in the index.
        rows : array, (n, d) or (d,)

        Raises
        ------
        TypeError, ValueError
            Naming the argument; then nothing was changed.

        Notes
        -----
        Copies the codes of every page (some hundred kilobytes) that it touches.

        Examples
        --------
        >>> index = em.Index([[1.0, 0.0], [0.0, 1.0]])
        >>> index.update([1], [[3.0, 4.0]])
        >>> index.reconstruct([1])
        array([[3., 4.]])
        """
        source = _arrays.matrix("rows", rows)
        names = _arrays.id_list("ids", ids, source.n_rows)
        self._filled("ids").update(names, source.typed)

    def remove(self, ids: Array, *, threads: int | None = None) -> None:
        """Remove rows.

        Parameters
        ----------
        ids : array of int64, (n,), or one id
            Each in the index, given once.
        threads : int, optional

        Raises
        ------
        TypeError, ValueError
            Naming the argument; then nothing was removed.

        Notes
        -----
        One byte per row; once half of the places are empty the others move together.

        Examples
        --------
        >>> index = em.Index([[1.0, 0.0], [0.0, 1.0]])
        >>> index.remove(0)
        >>> index.ids
        array([1])
        """
        names = _arrays.id_list("ids", ids)
        self._filled("ids").remove(names, threads=_arguments.threads(threads))

    def _filled(self, argument: str) -> _core.Index:
        if self._core is None:
            raise ValueError(f"{argument}: the index is empty")
        return self._core

    def search(
        self,
        queries: Array,
        k: int = 10,
        *,
        dims: int | None = None,
        mask: Array | None = None,
        exclude_self: bool = False,
        threshold: float | None = None,
        pad: bool = False,
        nan: NanPolicy = "raise",
        out: tuple[Array, Array] | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
        stats: dict[str, Any] | None = None,
    ) -> TopK:
        """The k best rows for each query, exactly as :func:`search` finds them.

        Parameters
        ----------
        queries, k, threshold, pad, nan, out, threads, progress, stats
            As for :func:`search`.
        dims : int, optional
            Compare the first `dims` columns only. Codes speak of whole rows and are not used then:
            many queries make some on the fly, as :func:`search` does.
        mask : array of bool, (ntotal,) or (nq, ntotal), optional
            True: the row may be returned; in the order of :attr:`ids`.
        exclude_self : bool
            Query i never returns the row with id i.

        Returns
        -------
        TopK
            ``values`` and ``indices`` (the rows' ids), (nq, min(k, ntotal)), ordered by
            (value, lowest id).

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is allowed.
        MemoryError
            If the workspace is not to be had.

        Notes
        -----
        O(nq n d) byte multiplications; with one or a few queries the time in which the codes are
        read.

        Examples
        --------
        >>> import numpy as np
        >>> index = em.Index(np.eye(40, dtype=np.float32))
        >>> index.search(np.eye(40, dtype=np.float32)[[3, 5]], k=1).indices
        array([[3],
               [5]])
        """
        k = _arguments.integer("k", k, at_least=1)
        is_padded = _arguments.flag("pad", pad)
        asked = _arguments.Search(
            exclude_self=exclude_self,
            threshold=threshold,
            nan=nan,
            threads=threads,
            progress=progress,
            stats=stats,
        )
        source, view = self._query(queries), self._view()
        n_cols = self._leading(dims, source)
        n_rows = 0 if view is None else view.n_rows
        rows = _arrays.row_mask(mask, source.n_rows, n_rows)
        shape = (source.n_rows, k if is_padded else min(k, n_rows))
        values, found = _arrays.top_k_outputs(
            out, shape, self._score_dtype(source, n_cols), (source,), rows
        )
        options = asked.options | {"mask": rows, "stats": stats is not None, "values": values}
        if view is None:
            options |= {"exclude_self": False, "indices": found}
            report = _core.search(*self._without_rows(source, n_cols), **options)
        else:
            report = view.search(source.typed, n_cols, **options, ids=found)
        asked.finish(report)
        return TopK(source.wrap(values), source.wrap(found)) if out is None else TopK(*out)

    def range_search(
        self,
        queries: Array,
        threshold: float,
        *,
        dims: int | None = None,
        mask: Array | None = None,
        exclude_self: bool = False,
        nan: NanPolicy = "raise",
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> RangeResult:
        """Every row within `threshold` of each query, exactly as :func:`range_search` finds them.

        Parameters
        ----------
        queries, threshold, nan, threads, progress
            As for :func:`range_search`.
        dims, mask, exclude_self
            As for :meth:`search`.

        Returns
        -------
        RangeResult
            With ids as ``indices``.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is allowed.

        Notes
        -----
        As :meth:`search`, and memory for the hits.

        Examples
        --------
        >>> index = em.Index([[1.0, 0.0], [0.0, 1.0]], metric="euclidean")
        >>> index.range_search([[1.0, 0.1]], 0.5).indices
        array([0])
        """
        asked = _arguments.Search(
            exclude_self=exclude_self,
            threshold=_arguments.number("threshold", threshold),
            nan=nan,
            threads=threads,
            progress=progress,
        )
        source, view = self._query(queries), self._view()
        n_cols = self._leading(dims, source)
        rows = _arrays.row_mask(mask, source.n_rows, 0 if view is None else view.n_rows)
        options = asked.options | {"mask": rows}
        if view is None:
            options["exclude_self"] = False
            found = _core.range_search(*self._without_rows(source, n_cols), **options)
        else:
            like = self._like(source)
            found = view.range_search(
                source.typed, n_cols, metric=self._metric, like=like, **options
            )
        asked.finish()
        return RangeResult(*(source.wrap(part) for part in found))

    def _view(self) -> _core.IndexView | None:
        return None if self._core is None else self._core.view()

    def _query(self, queries: Array) -> _arrays.Input:
        source = _arrays.matrix("queries", queries)
        if self._dim is not None and source.n_cols != self._dim:
            raise ValueError(
                f"queries: expected {self._dim} columns like the index, got {source.n_cols}"
            )
        is_mixed = self._dtype is not None and source.dtype != self._dtype
        if is_mixed and not {source.dtype, self._dtype}.isdisjoint(_INTEGERS):
            raise TypeError(f"queries: expected {self._dtype} like the index, got {source.dtype}")
        return source

    def _like(self, source: _arrays.Input) -> tuple[Any, str]:
        """A row of the index' type, where only types matter."""
        return _arrays.row_of(self._dtype or source.dtype, source.n_cols)

    def _leading(self, dims: int | None, source: _arrays.Input) -> int:
        """How many columns a search compares."""
        if dims is None:
            return source.n_cols
        return _arguments.integer("dims", dims, at_least=1, at_most=source.n_cols)

    def _without_rows(self, source: _arrays.Input, n_cols: int) -> tuple[Any, Any, int, str]:
        """The arguments of a search of no rows at all: for an index that never had any."""
        row, dtype = self._like(source)
        return source.typed, (row[:0], dtype), n_cols, self._metric

    def _score_dtype(self, source: _arrays.Input, n_cols: int) -> np.dtype[Any]:
        return _core.score_dtype(source.typed, self._like(source), n_cols, self._metric)

    def reconstruct(self, ids: Array) -> Array:
        """The rows with these ids.

        Parameters
        ----------
        ids : array of int64, (n,), or one id

        Returns
        -------
        array, (n, d)
            The very bits that were added.

        Raises
        ------
        TypeError, ValueError
            For an id that is not in the index.

        Notes
        -----
        O(n d).

        Examples
        --------
        >>> em.Index([[1.0, 0.0], [0.0, 1.0]]).reconstruct(1)
        array([[0., 1.]])
        """
        names = _arrays.id_list("ids", ids)
        view = self._filled("ids").view()
        out = _arrays.allocate_rows((len(names), self.d), str(self._dtype))
        view.reconstruct(names, out)
        return _arrays.as_embeddings(out, str(self._dtype))

    def to(self, device: Any) -> Any:
        """The same rows on a device, for searches there.

        Parameters
        ----------
        device : str or torch.device
            As Torch names it: "cuda", "cuda:1", "cpu".

        Returns
        -------
        DeviceIndex
            With ``search``, ``range_search`` and ``reconstruct`` for tensors on that device: the
            same answers, bit for bit. It is a copy that does not change with this index.

        Raises
        ------
        ImportError
            Without Torch.

        Notes
        -----
        Rows move once. Where the CUDA module searches (:func:`info`), 12 bytes of scalars are kept
        for each of them, and 2 d bytes of codes for float32 and bfloat16; other rows are codes as
        they are.

        Examples
        --------
        >>> import numpy as np
        >>> em.Index(np.eye(4, dtype=np.float32)).to("cpu")
        <embmath index on cpu: 4 rows x 4, float32, cosine, no codes>
        """
        make = _device.index()
        if self._core is None:
            raise ValueError("index: expected rows to move, got none (see add)")
        ids = self.ids
        return make(self.reconstruct(ids), ids, self._metric, device)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        metadata: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Save everything as one file, which replaces an existing one whole or not at all.

        Parameters
        ----------
        path : path
            A safetensors file with checksums; by custom named ``.safetensors``.
        metadata : mapping of str to str, optional
            Strings of your own, which a loaded index has as :attr:`metadata`. Default: those that
            this index has.
        progress : callable, optional
            Called with the fraction done, some ten times a second; may raise to cancel.

        Raises
        ------
        TypeError, ValueError
            If the metadata are no strings, or `path` is a device or pipe.
        OSError
            If the file cannot be written. An old one stays.

        Notes
        -----
        O(n d), and memory for a few megabytes: rows by reference are read where they lie, also in
        the very file that is replaced. What is saved is one moment; searches and changes go on
        meanwhile. Rows that were removed are in the file until their places are reclaimed.

        Examples
        --------
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "index.safetensors")
        >>> em.Index([[1.0, 0.0], [0.0, 1.0]]).save(path, metadata={"model": "mine"})
        >>> index = em.Index.load(path)
        >>> index.search([[1.0, 0.1]], k=1).indices
        array([[0]])
        >>> index.metadata
        {'model': 'mine'}
        """
        from . import _index_file

        given = self._metadata if metadata is None else metadata
        core = self._core  # before the others, which are complete once it is there
        state = _index_file.State(
            metric=self._metric,
            codes=self._codes,
            rotation=self._rotation,
            copies_rows=self._copies,
            dim=self._dim,
            dtype=self._dtype,
            core=core,
            metadata=_arguments.strings("metadata", given),
        )
        _index_file.save(path, state, _arguments.progress(progress))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        mmap: bool = True,
        verify: Literal["header", "full"] = "header",
        threads: int | None = None,
    ) -> "Index":
        """Open an index that was saved: the same answers to the bit, and it can be changed.

        Parameters
        ----------
        path : path
        mmap : bool
            Read rows and codes from the mapped file, when a search needs them: opens at once, also
            what is larger than memory. The file is never changed; changes are the index' own until
            it is saved. A file that another program cuts short meanwhile ends this process
            (SIGBUS); saving over it is safe. False: read all of it into memory.
        verify : {"header", "full"}
            "header" checks all descriptions, and that everything fits together. "full" also reads
            all data and compares their checksums.
        threads : int, optional
            For making codes anew, should the file hold those of another version of this package.

        Returns
        -------
        Index

        Raises
        ------
        FileFormatError
            If the file is not a whole, undamaged index of a format known here.
        OSError
            If it cannot be read.

        Notes
        -----
        O(n), some 20 bytes of memory and 10 ns per row; ids that do not ascend take 100 ns.

        Examples
        --------
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "index.safetensors")
        >>> em.Index([[1.0, 0.0], [0.0, 1.0]], ids=[10, 20]).save(path)
        >>> index = em.Index.load(path)
        >>> index.add([[1.0, 1.0]])
        array([21])
        """
        from . import _index_file

        state = _index_file.load(
            path,
            mmap=_arguments.flag("mmap", mmap),
            verify=_arguments.choice("verify", verify, ("header", "full")),  # type: ignore[arg-type]
            threads=_arguments.threads(threads),
        )
        try:
            index = cls(
                dim=state.dim,
                metric=state.metric,  # type: ignore[arg-type]
                codes="auto" if state.codes is None else state.codes,
                rotation=state.rotation,
                rows="copy" if state.copies_rows else "reference",
            )
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"{os.fsdecode(path)}: {error}") from None
        index._metadata, index._dtype, index._core = state.metadata, state.dtype, state.core
        return index

    def __contains__(self, id: object) -> bool:
        view = self._view()
        return view is not None and view.contains(
            _arguments.integer("id", id, at_least=-(2**63), at_most=2**63 - 1)
        )

    def __len__(self) -> int:
        return self.ntotal

    @property
    def ntotal(self) -> int:
        """Number of rows."""
        view = self._view()
        return 0 if view is None else view.n_rows

    @property
    def d(self) -> int:
        """Number of columns; 0 until it is known."""
        return self._dim or 0

    @property
    def metric(self) -> str:
        """The metric."""
        return self._metric

    @property
    def dtype(self) -> str | None:
        """Name of the rows' element type; None until rows were added."""
        return self._dtype

    @property
    def metadata(self) -> dict[str, str]:
        """The strings that :meth:`save` was given; a copy."""
        return dict(self._metadata)

    @property
    def ids(self) -> Array:
        """The rows' ids, in the order that masks follow; array of int64, (ntotal,)."""
        view = self._view()
        return np.empty(0, np.int64) if view is None else view.ids()

    @property
    def nbytes(self) -> int:
        """Bytes that the index holds: codes (also in a mapped file), copied rows, ids.

        Rows by reference do not count.
        """
        stats = self.stats
        return int(stats["code_bytes"] + stats["row_bytes"] + stats["table_bytes"])

    @property
    def stats(self) -> dict[str, Any]:
        """What the index holds: rows, places of removed rows, pages, bytes of each kind."""
        view = self._view()
        keys = ("rows", "removed", "pages", "copied_rows", "code_bytes", "row_bytes", "table_bytes")
        codes = () if self._core is None else tuple(self._core.codes)
        return {"codes": codes, **(dict.fromkeys(keys, 0) if view is None else view.stats())}

    def __repr__(self) -> str:
        codes = " + ".join(self.stats["codes"]) or "no"
        return (
            f"<embmath.Index: {self.ntotal} rows x {self.d}, {self._dtype or 'no dtype yet'}, "
            f"{self._metric}, {codes} codes, {self.nbytes / 2**20:.1f} MiB>"
        )
