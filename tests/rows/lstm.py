"""Rows of `tests/sources/lstm.py`."""

from . import Formula

ROWS: list[Formula] = []
