"""Rows of `tests/sources/conv.py`."""

from . import Formula

ROWS: list[Formula] = []
