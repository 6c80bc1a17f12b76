"""One more cell of the kind that a user named, and those of a decoder."""

from collections.abc import Callable
from typing import Any

from .. import cells
from ..attention import AttentionCell, BahdanauAttention
from ..cells import DropoutWrapper, ResidualWrapper, StackedRNNCells
from ..checks import require


def maker(cell: Any, units: int, dtype: Any) -> Callable[[], Any]:
    """A function that makes one more cell.

    Args:
        cell: the name of one of ours, ``"lstm"`` or ``"LSTMCell"``, or a function of
            the units.
        units: U.
        dtype: of a cell by name.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(cell, str):
        kind = {_short(name): name for name in cells.__all__}.get(_short(cell))
        require(
            kind is not None and kind.endswith("Cell") and kind != "Cell",
            "cell",
            "must be the name of one of our cells, or a function that makes one",
            repr(cell),
            'for example "lstm" or "gru"',
        )
        return lambda: getattr(cells, str(kind))(units, dtype=dtype)
    require(
        callable(cell) and not isinstance(cell, type) and not hasattr(cell, "call"),
        "cell",
        "must be the name of a cell, or a function of the units that makes one",
        repr(cell),
        'pass "lstm", or lambda units: LSTMCell(units): there is one for each layer',
    )
    return lambda: cell(units)


def _short(name: str) -> str:
    return name.replace("_", "").lower().removesuffix("cell")


def attending(
    make: Callable[[], Any],
    num_layers: int,
    residual: bool,
    dropout: float,
    mechanism: Any,
    units: int,
    dtype: Any,
) -> AttentionCell:
    """The decoder's cell: a stack whose output looks into the memory.

    Args:
        make: makes one more cell.
        num_layers: how many there are.
        residual: whether those above the lowest add what they read to what they give.
        dropout: share of numbers dropped of what each reads.
        mechanism: how to look; None for Bahdanau's.
        units: U; the attention is as wide.
        dtype: of all of it.
    """
    stack = []
    for level in range(num_layers):
        cell = make()
        if dropout:
            cell = DropoutWrapper(cell, input_dropout=dropout, dtype=dtype)
        if residual and level:
            cell = ResidualWrapper(cell, dtype=dtype)
        stack.append(cell)
    below = stack[0] if num_layers == 1 else StackedRNNCells(stack, dtype=dtype)
    mechanism = mechanism or BahdanauAttention(units, dtype=dtype)
    return AttentionCell(below, mechanism, attention_layer_size=units, dtype=dtype)
