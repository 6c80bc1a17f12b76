"""Rows of `tests/sources/wrappers.py`."""

from . import Formula

ROWS: list[Formula] = []
