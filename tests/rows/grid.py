"""Rows of `tests/sources/grid.py`."""

from . import Formula

ROWS: list[Formula] = []
