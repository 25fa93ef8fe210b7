"""A careless process around us: odd floating-point modes, daemon threads, memory that moves."""

from __future__ import annotations

import numpy as np
import pytest

import embmath as em
import reference
from strategies import normal

EXIT_WITH_DAEMON = """
import threading, time
import numpy as np, embmath as em
x = np.random.default_rng(0).standard_normal(({n}, 64)).astype(np.float32)
def forever():
    while True:
        em.search(x[:8], x, 10, threads=2)
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
"""


@pytest.mark.parametrize("n", [200, 50_000])
def test_daemon_threads_may_search_while_the_interpreter_ends(run_python, n):
    for _ in range(5):
        run_python(EXIT_WITH_DAEMON.format(n=n))


def test_flushed_denormals_change_nothing(isa, rng):
    torch = pytest.importorskip("torch")
    x = (normal(rng, 3000, 64) * 1e-40).astype(np.float32)
    halves = (normal(rng, 3000, 64) * 1e-7).astype(np.float16)
    expected = [em.search(a[:20], a, 5, "dot", threads=1) for a in (x, halves)]
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    try:
        found = [em.search(a[:20], a, 5, "dot", threads=n) for a in (x, halves) for n in (1, 4)]
    finally:
        torch.set_flush_denormal(False)
    found += [em.search(a[:20], a, 5, "dot", threads=4) for a in (x, halves)]
    for top, wanted in zip(found, [expected[i] for i in (0, 0, 1, 1, 0, 1)], strict=True):
        np.testing.assert_array_equal(top.indices, wanted.indices)
        np.testing.assert_array_equal(top.values, wanted.values)
    reference.assert_all_same(expected[0], reference.search(x[:20], x, 5, "dot"))


def test_products_beyond_float32_are_infinite_not_nan(isa):
    x = np.float32([[1e38, 0], [0, 1e38]])
    assert em.similarity(x, x, "dot").tolist() == [[np.inf, 0], [0, np.inf]]
    np.testing.assert_allclose(em.similarity(x, x), np.eye(2), rtol=1e-6)


def test_a_lazily_negated_tensor_cannot_receive_a_result():
    torch = pytest.importorskip("torch")
    out = torch.zeros(3, 3, dtype=torch.complex64).conj().imag
    with pytest.raises(ValueError, match=r"^out: .*negated"):
        em.similarity(np.ones((3, 2), np.float32), out=out)


def test_misaligned_candidates():
    x = np.eye(3, dtype=np.float32)
    raw = b"\0" + np.array([[0, 1]], np.int64).tobytes()
    candidates = np.frombuffer(raw, np.int64, offset=1).reshape(1, 2)
    assert em.rescore(x[1], x, candidates, 2).indices.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: em.search(x, x, threads=2**40), "^threads: must be at most"),
        (lambda x: em.search(x, x, 2**70), "^k: must be at most"),
        (lambda x: em.set_num_threads(2**40), "^n: must be at most"),
        (lambda x: em.search(x, x, threshold=10**400), "^threshold: must be a float64"),
        (lambda x: em.unpack_bits(np.zeros((1, 2), np.uint8), 10**15), "^dims: .*1 and 16"),
        (lambda x: em.rescore(x, x[:0], [[0]] * 4, 1), "^candidates: .*below 0"),
    ],
)
def test_numbers_beyond_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.eye(4, dtype=np.float32))


def test_a_result_beyond_any_machine():
    x = np.eye(4, dtype=np.float32)
    with pytest.raises(MemoryError, match="a result of shape"):
        em.search(x, x, 2**60, pad=True)


def test_float64_rows_beyond_their_squares():
    x = np.array([[3e-200, 4e-200], [3e200, 4e200], [0, 0], [5e-324, 0]])
    np.testing.assert_allclose(
        em.normalize(x), [[0.6, 0.8], [0.6, 0.8], [0, 0], [1, 0]], rtol=1e-15
    )
    assert em.normalize(np.zeros((1, 2)), eps=1e-320).tolist() == [[0, 0]]
    assert np.isnan(em.normalize(np.array([[0, np.nan]]))).all()


def test_an_empty_row_packs_to_an_empty_row():
    assert em.pack_bits(np.zeros(0, np.float32)).shape == (0,)


def test_out_may_not_overlap_the_mask():
    x = np.eye(4, dtype=np.float32)
    memory = np.ones(64, np.uint8)
    out = memory[:16].view(np.float32).reshape(4, 1), np.empty((4, 1), np.int64)
    with pytest.raises(ValueError, match=r"^out: .*overlap with mask"):
        em.search(x, x, 1, mask=memory[8:12].view(np.bool_), out=out)
