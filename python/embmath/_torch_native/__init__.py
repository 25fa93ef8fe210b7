"""All operations in plain Torch (calls.py), for tensors on a device without kernels of our own.

The answers are those of the kernels, bit for bit where these are canonical: a matrix product with a
proven error bound (bounds.py, estimate.py) rules rows out, canonical scores (canonical.py) decide
among the rest, integer keys (order.py) order them. Nothing is moved to another device.
"""
