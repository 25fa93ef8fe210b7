"""Stores and backends for other libraries, over :class:`embmath.Index`.

One module a library, imported by name: ``from embmath.integrations.langchain import ...``. Each
needs its library (``pip install 'embmath[langchain]'``); importing embmath needs none of them.
"""
