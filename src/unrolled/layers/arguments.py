"""Arguments that layers have in common."""

from typing import Any

from ..arguments import KW_ONLY, Declared


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


class LayersArguments(Declared):
    """Arguments of layers that may be several, one above the other."""

    _: KW_ONLY
    num_layers: int = 1
    layer_dropout: float = 0.0
