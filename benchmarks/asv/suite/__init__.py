"""The history of our own speed: one class per function, axes in axes.py."""
