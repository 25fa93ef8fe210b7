"""The CPU's tensors, sent the way of those on a device."""

from __future__ import annotations

import importlib

import pytest

from embmath import _arrays


def torch():
    """Imported by fixtures only: without Torch the tests are skipped, not broken."""
    return pytest.importorskip("torch", reason="needs Torch")


@pytest.fixture
def on_device(monkeypatch):
    """Send the CPU's tensors the way of those on a device."""
    from torch_helpers import tensor

    def call(function, *args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(_arrays, "DEVICES", ("cuda", "cpu"))
            return function(*map(tensor, args), **{k: tensor(v) for k, v in options.items()})

    return call


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors, many operations: threads of Torch's own would mostly wait for each other."""
    before = torch().get_num_threads()
    torch().set_num_threads(1)
    yield
    torch().set_num_threads(before)


@pytest.fixture
def small_tiles(monkeypatch):
    """Many tiles and blocks of queries where there is little data."""
    for module, name, value in (
        ("problem", "_TILE_SCORES", 64),
        ("block", "_LEAST_PENDING", 10),
        ("search", "_MOST_QUERIES", 3),
        ("canonical", "_CHUNK_ELEMENTS", 500),
    ):
        room = importlib.import_module(f"embmath._torch_native.{module}")
        monkeypatch.setattr(room, name, value)
