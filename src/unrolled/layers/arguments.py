"""Arguments that layers have in common."""

from typing import Any

from ..arguments import KW_ONLY, Declared
from . import changed


class SequenceArguments(Declared):
    """Arguments about sequences, shared by all recurrent layers."""

    _: KW_ONLY
    return_sequences: bool = False
    return_state: bool = False
    return_all_states: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False
    time_major: bool = False
    truncate: int | None = None
    checkpoint: bool | int = False
    learn_initial_state: bool = False
    activity_regularizer: Any = None

    def __setattr__(self, name: str, value: Any) -> None:
        """As of any object; but what the cell was made with stays what it is."""
        changed.check(self, name, value)
        super().__setattr__(name, value)


class LayersArguments(Declared):
    """Arguments of layers that may be several, one above the other."""

    _: KW_ONLY
    num_layers: int = 1
    layer_dropout: float = 0.0
