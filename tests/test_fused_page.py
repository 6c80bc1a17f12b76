"""The tables of docs/fused.md: every cell is there, with what `plan` says of it."""

import importlib.util
import re
from pathlib import Path

import unrolled
from unrolled import tf1

import pytest

from .core import need_core

pytestmark = [pytest.mark.keras_ranks, need_core]
DOCS = Path(__file__).parent.parent / "docs"
SPEC = importlib.util.spec_from_file_location("make_fused", DOCS / "make_fused.py")
make_fused = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_fused)
ROWS = list(make_fused.ROW.finditer(make_fused.PAGE.read_text()))
# What others are made of; what runs cells of its own; what leaves a cell as it is.
NONE = {"Cell", "CellWrapper", "AttentionMechanism", "RNNCell", "FusedRNNCell"}
NONE |= {"LSTMBlockFusedCell", "DeviceWrapper"}


@pytest.mark.parametrize("found", ROWS, ids=lambda found: found[1])
def test_a_row_is_what_plan_says(found):
    assert make_fused.row(found[1]) == found[0]


@pytest.mark.parametrize("module", [unrolled, tf1], ids=["unrolled", "tf1"])
def test_every_cell_has_a_row(module):
    kinds = ("Cell", "Wrapper", "Attention", "RNNCells")
    cells = {name for name in module.__all__ if name.endswith(kinds)}
    before = r"\btf1\." if module is tf1 else r"(?<![.\w])"
    text = "\n".join(found[1] for found in ROWS)
    assert len(cells) > 30
    assert cells - NONE - {*re.findall(rf"{before}(\w+)\(", text)} == set()
