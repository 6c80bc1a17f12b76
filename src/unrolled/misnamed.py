"""Arguments of other libraries, and misspelt ones: which of ours is meant."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from .checks import require

_WIDTH = "pass units=..., the width of the state"
_READ = "leave it out: it is read from the data"
_STACK = (
    "pass num_layers=... to LSTM, GRU or SimpleRNN, also inside Bidirectional, or a "
    "list of cells to unrolled.RNN"
)
_TRUNCATE = "pass truncate=..., after how many steps the states' gradient is cut"
_CHECKPOINT = "pass checkpoint=True"
_LEARN = "pass learn_initial_state=True"
_OF_LSTM = "it is an argument of LSTM and LSTMCell"
_OF_LAYERS = "pass it to the layer that runs the cell, such as unrolled.RNN(cell, ...)"
# Of torch, TensorFlow 1, flax, haste, and of what people say.
_MEANT = {
    **dict.fromkeys(
        ("hidden_size", "num_units", "n_units", "hidden_dim", "hidden_units"), _WIDTH
    ),
    **dict.fromkeys(("hidden", "num_hidden", "size", "features", "state_size"), _WIDTH),
    **dict.fromkeys(("input_size", "input_length", "timesteps"), _READ),
    **dict.fromkeys(("seq_len", "seq_length", "sequence_length", "time_steps"), _READ),
    **dict.fromkeys(
        ("proj_size", "num_proj"), "pass projection_size=..., an LSTM's or a NASCell's"
    ),
    "num_in_proj": "leave it out: inputs that are not as wide as the state are widened",
    "proj_clip": "pass projection_clip=..., an LSTM's",
    **dict.fromkeys(("peepholes", "peephole"), "pass use_peepholes=True, an LSTM's"),
    **dict.fromkeys(
        ("input_forget", "coupled", "couple_input_forget_gates"),
        "pass couple_gates=True, an LSTM's",
    ),
    "non_recurrent_fn": "pass non_recurrent_activation=..., a GridRNNCell's",
    "cell_fn": "pass a cell, such as LSTMCell(64)",
    "clip": "pass cell_clip=..., an LSTM's",
    **dict.fromkeys(
        ("layer_normalization", "layernorm", "use_layer_norm"),
        'pass layer_norm="gates" or "products"',
    ),
    "zoneout": "put the cell into unrolled.ZoneoutWrapper(...)",
    **dict.fromkeys(
        ("units", "out_channels", "output_channels"), "pass filters=..., the channels"
    ),
    "kernel_shape": "pass kernel_size=...",
    **dict.fromkeys(("num_layers", "n_layers", "layers", "depth"), _STACK),
    **dict.fromkeys(("truncate_gradient", "gradient_steps", "bptt_steps"), _TRUNCATE),
    **dict.fromkeys(("truncated_bptt_steps", "bptt", "tbptt", "k2"), _TRUNCATE),
    **dict.fromkeys(("remat", "checkpointing", "gradient_checkpointing"), _CHECKPOINT),
    **dict.fromkeys(("recompute", "rematerialize", "swap_memory"), _CHECKPOINT),
    **dict.fromkeys(("learn_init", "learn_initial_states", "learn_h0"), _LEARN),
    **dict.fromkeys(("trainable_initial_state", "train_initial_state"), _LEARN),
    **dict.fromkeys(
        ("inter_layer_dropout", "interlayer_dropout", "dropout_between_layers"),
        "pass layer_dropout=..., beside num_layers=...",
    ),
    # Ours, where the class that was called has none.
    **dict.fromkeys(("use_peepholes", "couple_gates", "cell_clip"), _OF_LSTM),
    **dict.fromkeys(("projection_size", "projection_clip"), _OF_LSTM),
    **dict.fromkeys(("forget_bias", "unit_forget_bias"), _OF_LSTM),
    "reset_after": "it is an argument of GRU and GRUCell",
    **dict.fromkeys(
        ("return_sequences", "return_state", "return_all_states", "go_backwards"),
        _OF_LAYERS,
    ),
    **dict.fromkeys(
        ("stateful", "unroll", "zero_output_for_mask", "time_major"), _OF_LAYERS
    ),
    **dict.fromkeys(("truncate", "checkpoint", "learn_initial_state"), _OF_LAYERS),
    "batch_first": "leave it out: sequences are (batch, time steps, features), or with "
    "time_major=True (time steps, batch, features)",
    "bidirectional": "put the layer into unrolled.Bidirectional(...)",
    "bias": "pass use_bias=...",
    "nonlinearity": "pass activation=...",
    "recurrent_dropout_rate": "pass recurrent_dropout=...",
    "dropout_rate": "pass dropout=...",
    "keep_prob": "pass dropout=..., the share of numbers dropped, not kept",
    "reverse": "pass go_backwards=True",
    "return_all_outputs": "pass return_sequences=True",
    "return_states": "pass return_state=True",
}
# Keras's own layer takes these; it says itself what it does not take.
_OF_KERAS = (
    *("input_shape", "input_dim", "batch_input_shape", "input_dtype"),
    *("batch_size", "weights"),
)


def check(
    kind: str,
    given: Mapping[str, Any],
    known: Iterable[str],
    meant: Mapping[str, str] = _MEANT,
) -> None:
    """Check the names of arguments.

    Args:
        kind: the name of the class.
        given: arguments by name.
        known: the names that it takes.
        meant: what to do in place of other names. Default: of layers and cells.

    Raises:
        ValueError: naming the argument that is meant.
    """
    known = [name for name in known if name not in ("self", "kwargs")]
    for name, value in given.items():
        if name in known or name in _OF_KERAS:
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        advice = meant.get(name) or (f"pass {close[0]}=..." if close else None)
        require(
            advice is None,
            name,
            f"is no argument of {kind}",
            f"{name}={value!r}",
            str(advice),
        )
