"""Peers side by side: same data, same threads, answers checked first, rounds interleaved."""
