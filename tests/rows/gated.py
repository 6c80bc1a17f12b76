"""Rows of `tests/sources/gated.py`."""

from functools import partial

import unrolled

from ..sources import gated
from . import Formula

ROWS = [
    Formula("ugrnn", unrolled.UGRNNCell, gated.ugrnn),
    Formula(
        "ugrnn_forget_bias",
        partial(unrolled.UGRNNCell, forget_bias=-0.5),
        partial(gated.ugrnn, forget_bias=-0.5),
    ),
]
