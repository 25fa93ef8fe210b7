"""Benchmarks of embmath: peers side by side, machine floors, peak memory, history."""
