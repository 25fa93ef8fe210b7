"""``python -m embmath demo``: a search in real texts on any machine, offline, beside NumPy's."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embmath as em
from embmath._cli.arguments import Commands, add_json_flag, at_least, positive_int
from embmath._cli.compare import Agreement, Hits, compare, median_seconds, search_numpy
from embmath._cli.corpus import MIN_TEXTS, Doc, collect
from embmath._cli.dropins import search_as_faiss, three_lines
from embmath._cli.errors import CliError
from embmath._cli.progress import Bar

QUESTIONS = (
    "how do I read a csv file?",
    "pick a random element from a list",
    "wait until a thread has finished",
)
_TEXT_LENGTH = 500  # the start of a docstring says what it is about
_WIDTH = 79
_RACE_SECONDS = 0.5  # enough for a steady median
_DESCRIPTION = """\
Search the docstrings of Python's standard library for the answers to questions, then do the
same search with NumPy and compare answers and times. Works offline; nothing is downloaded
unless --model names a model that is not on this machine.
"""


@dataclass(frozen=True)
class Stage:
    """The searchable texts and the questions, with what it took to make them."""

    docs: Sequence[Doc]
    corpus: NDArray[np.float32]
    queries: NDArray[np.float32]
    reading_seconds: float
    embedding_seconds: float


@dataclass(frozen=True)
class Race:
    """One search done by both: the sizes, the verdict, the median times."""

    queries: int
    agreement: Agreement
    embmath_seconds: float
    numpy_seconds: float


def add_parser(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="search real texts on this machine, and compare with NumPy",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("question", nargs="*", help="what to look for (default: three examples)")
    parser.add_argument(
        "-k", "--k", type=positive_int, default=5, metavar="K", help="hits per question (default 5)"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="embed with this sentence-transformers model instead"
    )
    parser.add_argument(
        "--limit", type=at_least(MIN_TEXTS), metavar="N", help="use the first N texts only"
    )
    add_json_flag(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prepare the texts, search, compare, print."""
    questions = args.question or list(QUESTIONS)
    for question in questions:
        if not any(map(str.isalnum, question)):
            raise CliError(f"question: has no words, got {question!r}")
    stage = _prepare(args, questions)
    hits = _search(stage.queries, stage.corpus, args.k)
    if not args.json:
        for question, values, indices in zip(questions, *hits, strict=True):
            _print_hits(question, [stage.docs[i] for i in indices], values)
    races = [_race(stage.queries, stage.corpus, args.k), _race(stage.corpus, stage.corpus, args.k)]
    replaced = search_as_faiss(stage.queries, stage.corpus, hits)
    if args.json:
        document = _document(args, questions, stage, hits, races)
        print(json.dumps({**document, "faiss": dataclasses.asdict(replaced)}, indent=2))
    else:
        _print_races(races, len(stage.docs), args.k)
        print()
        for line in three_lines(replaced, stage.corpus.shape[1], args.k):
            print(line)
    if not all(race.agreement.holds for race in races):
        raise CliError("embmath and NumPy disagree: please report this")


def _prepare(args: argparse.Namespace, questions: Sequence[str]) -> Stage:
    """Read and embed, telling of each step when it is over."""
    start = time.perf_counter()
    with Bar("reading the standard library") as bar:
        docs = collect(args.limit, bar.callback)
    reading_seconds = time.perf_counter() - start
    if not args.json:
        version = platform.python_version()
        print(f"texts     {len(docs):,} docstrings of Python {version}, {reading_seconds:.1f} s")
        sys.stdout.flush()
    start = time.perf_counter()
    corpus, queries = _embed(_texts(docs), questions, args.model)
    embedding_seconds = time.perf_counter() - start
    if not args.json:
        info = em.info()
        method = args.model or "hashed n-grams, tf-idf, PCA"
        print(f"vectors   {corpus.shape[1]} dimensions, {method}, {embedding_seconds:.1f} s")
        print(f"search    exact, cosine, {info['isa']}, {info['threads']} threads")
    return Stage(docs, corpus, queries, reading_seconds, embedding_seconds)


def _texts(docs: Sequence[Doc]) -> list[str]:
    # The name twice: what a function is called says more about it than any other word.
    return [f"{doc.name} {doc.name} {doc.text[:_TEXT_LENGTH]}" for doc in docs]


def _embed(
    texts: Sequence[str], questions: Sequence[str], model: str | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # Imported when used, so that --help stays quick.
    from embmath._cli.embed import HashedText, encode_with_model

    if model is None:
        embedding = HashedText()
        return embedding.fit(texts), embedding.encode(questions)
    vectors = encode_with_model(model, [*texts, *questions], sys.stderr.isatty())
    return vectors[: len(texts)], vectors[len(texts) :]


def _search(queries: NDArray[np.float32], corpus: NDArray[np.float32], k: int) -> Hits:
    top = em.search(queries, corpus, k, metric="cosine")
    return np.asarray(top.values), np.asarray(top.indices)


def _race(queries: NDArray[np.float32], corpus: NDArray[np.float32], k: int) -> Race:
    """Let both search; NumPy gets rows of length 1, so that it may skip the division."""
    ours, theirs = _search(queries, corpus, k), search_numpy(queries, corpus, k)
    seconds = median_seconds(
        lambda: _search(queries, corpus, k), lambda: search_numpy(queries, corpus, k), _RACE_SECONDS
    )
    return Race(len(queries), compare(ours, theirs, queries, corpus), *seconds)


def _print_hits(question: str, docs: Sequence[Doc], values: NDArray[np.float32]) -> None:
    print(f"\n{question}")
    width = min(max(len(doc.name) for doc in docs), 34)  # the rest is for the text
    for doc, value in zip(docs, values, strict=True):
        # The end of a long name says more than its beginning.
        name = doc.name if len(doc.name) <= width else f"...{doc.name[3 - width :]}"
        line = f"  {value:6.3f}  {name:<{width}}  {doc.first_line}"
        print(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3].rstrip()}...")


def _print_races(races: Sequence[Race], texts: int, k: int) -> None:
    print(f"\n{f'the same with NumPy, k = {k}':<34}{'embmath':>12}{'NumPy':>12}{'ratio':>10}")
    for race in races:
        label = f"{race.queries:,} x {texts:,} texts"
        ratio = race.numpy_seconds / race.embmath_seconds
        ours, theirs = _duration(race.embmath_seconds), _duration(race.numpy_seconds)
        print(f"  {label:<32}{ours:>12}{theirs:>12}{ratio:>9.1f}x")
    print("NumPy: matrix product of unit rows, argpartition; median times, run in turns.\n")
    for line in textwrap.wrap(_verdict(races[-1].agreement), _WIDTH):
        print(line)


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1.0 else f"{seconds:.2f} s"


def _verdict(agreement: Agreement) -> str:
    """Say in words whether the answers agree, and how that was judged."""
    if not agreement.holds:
        return f"DIFFERENT ANSWERS: scores differ by up to {agreement.largest_gap:.1e}."
    same = f"Same answers: {agreement.identical:,} of {agreement.queries:,} lists are identical"
    gap = (
        f"Scores at the same rank differ by at most {agreement.largest_gap:.0e}; rounding may cost "
        f"NumPy's float32 sums {agreement.tolerance:.0e}."
    )
    if not agreement.reordered:
        return f"{same}. {gap}"
    return (
        f"{same}; in the rest, rows whose scores float32 sums cannot tell apart come in another "
        f"order. {gap} By scores recomputed in float64 and rounded once, embmath's order is right "
        f"in {agreement.better:,} of {agreement.reordered:,}."
    )


def _document(
    args: argparse.Namespace,
    questions: Sequence[str],
    stage: Stage,
    hits: Hits,
    races: Sequence[Race],
) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "python": platform.python_version(),
        "texts": len(stage.docs),
        "dims": stage.corpus.shape[1],
        "model": args.model,
        "seconds": {"reading": stage.reading_seconds, "embedding": stage.embedding_seconds},
        "questions": [
            {
                "question": question,
                "hits": [
                    {"name": stage.docs[i].name, "score": float(v), "text": stage.docs[i].text}
                    for v, i in zip(values, indices, strict=True)
                ],
            }
            for question, values, indices in zip(questions, *hits, strict=True)
        ],
        "numpy": [dataclasses.asdict(race) for race in races],
    }
