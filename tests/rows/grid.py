"""Rows of `tests/sources/grid.py`."""

from functools import partial

import unrolled

from autograd import numpy as np

from ..sources import grid
from . import Formula, joined


def _features(count):
    """So many, whatever else a test would take: the windows are cut from them."""
    return lambda rng, rows, _: rng.normal(size=(*rows, count))


# --- LSTMs along frequency ---

# Ours are h and c of each window, theirs c and m.
SWAPPED = {count: tuple(n ^ 1 for n in range(2 * count)) for count in (3, 6)}


def _time_freq_weights(ours):
    """`W` and `B`, and the peepholes one by one."""
    ours = {name.removeprefix("b0_"): value for name, value in ours.items()}
    theirs = {"W_0": joined(ours)["kernel"], "B": ours["bias"]}
    if "peephole" in ours:
        for row, gate in enumerate("IFO"):
            theirs[f"W_{gate}_diag"] = ours["peephole"][0, row, 0]
    return theirs


def _one_state(step):
    """The states of all windows as the one array that the library has."""

    def stepped(weights, x, states):
        output, (after,) = step(weights, x, [np.concatenate(states, axis=1)])
        return output, np.split(after, len(states), axis=1)

    return stepped


def _time_freq(name, brief=True, use_peepholes=False, **options):
    frequencies = (5 - 2) // options.get("frequency_skip", 1) + 1
    cell = partial(
        unrolled.TimeFreqLSTMCell,
        feature_size=2,
        num_frequency_blocks=frequencies,
        use_peepholes=use_peepholes,
        **options,
    )
    return Formula(
        "time_freq_lstm" + name,
        cell,
        _one_state(partial(grid.time_freq_lstm, feature_size=2, **options)),
        _time_freq_weights,
        order=tuple(n ^ 1 for n in range(2 * frequencies)),
        inputs=_features(5),
        brief=brief,
    )


def _grid_lstm_weights(ours, *, shared):
    """Of each block `W_f` and `W_t`, and the peepholes one by one."""
    theirs = {}
    owners = ["freq"] if shared else ["time", "freq"]
    for label in [n.removesuffix("_bias") for n in ours if n.endswith("_bias")]:
        *way, block = label.split("_")
        scope, block = "".join(f"{each}/" for each in way), block.removeprefix("b")
        both = [ours[f"{label}_{each}"] for each in ("kernel", "recurrent_kernel")]
        matrices = np.split(np.concatenate(both, axis=0), len(owners), axis=1)
        biases = np.split(ours[f"{label}_bias"], len(owners))
        for place, own in enumerate(owners):
            theirs[f"{scope}W_{own[0]}_{block}_0"] = matrices[place]
            theirs[f"{scope}B_{own[0]}_{block}"] = biases[place]
            peephole = ours.get(f"{label}_peephole")
            if peephole is None:
                continue
            for row, gate in enumerate("IFO" if peephole.shape[1] == 3 else "IO"):
                for column, seen in enumerate("tf"):
                    vector = peephole[place, row, column]
                    theirs[f"{scope}W_{gate}_diag_{own}{seen}_{block}"] = vector
    return theirs


BLOCKS = {
    "num_frequency_blocks": [2, 1],
    "start_freqindex_list": [0, 2],
    "end_freqindex_list": [3, 4],
}
OURS = {"couple_input_forget_gates": "couple_gates"}


def _grid_lstm(name, brief=True, use_peepholes=False, **options):
    options = {
        "feature_size": 2,
        "frequency_skip": 1,
        "num_frequency_blocks": [3],
        **options,
    }
    both = name.startswith("bidirectional")
    step = grid.bidirectional_grid_lstm if both else grid.grid_lstm
    cell = unrolled.BidirectionalGridLSTMCell if both else unrolled.GridLSTMCell
    ours = {OURS.get(k, k): v for k, v in options.items()}
    theirs = {k: v for k, v in options.items() if k != "end_freqindex_list"}
    shared = options.get("share_time_frequency_weights", False)
    return Formula(
        name,
        partial(cell, use_peepholes=use_peepholes, **ours),
        partial(step, **theirs),
        partial(_grid_lstm_weights, shared=shared),
        order=SWAPPED[6 if both else 3],
        inputs=_features(4),
        brief=brief,
    )


SHARED = {"share_time_frequency_weights": True}
COUPLED = {"couple_input_forget_gates": True}
FREQUENCY = [
    _time_freq("", brief=False),
    _time_freq("_all", use_peepholes=True, cell_clip=0.4, forget_bias=-0.5),
    _time_freq("_skip", frequency_skip=2),
    _grid_lstm("grid_lstm", brief=False),
    _grid_lstm("grid_lstm_peepholes", use_peepholes=True, forget_bias=0.0),
    _grid_lstm("grid_lstm_shared", use_peepholes=True, cell_clip=0.3, **SHARED),
    _grid_lstm("grid_lstm_coupled", use_peepholes=True, **COUPLED),
    _grid_lstm("grid_lstm_blocks", **BLOCKS),
    _grid_lstm("bidirectional_grid_lstm", brief=False, backward_slice_offset=1),
    _grid_lstm(
        "bidirectional_grid_lstm_all",
        use_peepholes=True,
        backward_slice_offset=-1,
        cell_clip=0.3,
        **{**BLOCKS, **SHARED, **COUPLED},
    ),
]

# --- grids of cells ---


def _fully_connected(ours):
    theirs = joined(ours)
    return {"weights": theirs["kernel"], "biases": theirs["bias"]}


def _gru(ours):
    kernel = np.split(joined(ours)["kernel"], 3, axis=1)
    bias = np.split(ours["bias"], 3)
    return {
        "gates/kernel": np.concatenate([kernel[1], kernel[0]], axis=1),
        "gates/bias": np.concatenate([bias[1], bias[0]]),
        "candidate/kernel": kernel[2],
        "candidate/bias": bias[2],
    }


def _lstm(ours):
    i, f, c, o = np.split(joined(ours)["kernel"], 4, axis=1)
    theirs = {"kernel": np.concatenate([i, c, f, o], axis=1)}
    i, f, c, o = np.split(ours["bias"], 4)
    theirs["bias"] = np.concatenate([i, c, f, o])
    if "peephole" in ours:
        for row, gate in enumerate("ifo"):
            theirs[f"w_{gate}_diag"] = ours["peephole"][row]
    return theirs


INNER = {
    "basic_rnn_cell": joined,
    "gru_cell": _gru,
    "basic_lstm_cell": _lstm,
    "lstm_cell": _lstm,
}


def _grid_weights(ours, *, cell, num_dims, non_recurrent_dims, tied):
    theirs = {}
    for name in ours:
        if name.startswith("project"):
            _, state, dim = name.split("_")
            theirs[f"project_{'m' if state == 'h' else state}_{dim}"] = ours[name]
    flat = non_recurrent_dims
    for dim in flat:  # which has no use for it
        theirs[f"project_c_{dim}"] = 0.0 * theirs[f"project_m_{dim}"]
    recurrent = [dim for dim in range(num_dims) if dim not in flat]
    # The cell that was given comes first.
    order = [*recurrent[:1], *(d for d in range(num_dims) if d != recurrent[0])]
    if tied:
        order = [*recurrent[:1], *flat[:1]]
    for place, dim in enumerate(order):
        end = f"_{place}" if place else ""
        names = ("kernel", "recurrent_kernel", "bias", "peephole")
        own = {name: ours[name + end] for name in names if name + end in ours}
        kind = "non_recurrent" if dim in flat else "recurrent"
        scope = f"{kind}/" if tied else f"{kind}/cell_{dim}/"
        scope += "fully_connected/" if dim in flat else f"{cell}/"
        make = _fully_connected if dim in flat else INNER[cell]
        theirs |= {scope + name: value for name, value in make(own).items()}
    return theirs


def _grid(name, cell, inner, num_dims, flat=(), tied=False, brief=True, **options):
    """A row of a grid of LSTMs has c before m, as the library has."""
    count = num_dims - len(flat)
    weights = partial(
        _grid_weights,
        cell=inner,
        num_dims=num_dims,
        non_recurrent_dims=list(flat),
        tied=tied,
    )
    inputs = options.pop("inputs", None)
    return Formula(
        name,
        cell,
        partial(
            grid.grid_rnn,
            cell=inner,
            num_dims=num_dims,
            non_recurrent_dims=flat,
            tied=tied,
            **options,
        ),
        weights,
        order=tuple(n ^ 1 for n in range(2 * count)) if "lstm" in inner else None,
        brief=brief,
        **({"inputs": inputs} if inputs else {}),
    )


def _ready(name, inner, num_dims, brief=True, **given):
    made = getattr(unrolled, name + "Cell")
    called = "_".join([name.lower(), *(k for k in given if k != "brief")])
    flat = (0,) if "non_recurrent_activation" in given else ()
    options = {k: v for k, v in given.items() if k == "forget_bias"}
    tied = given.get("tied", False)
    cell = partial(made, **given)
    return _grid(called, cell, inner, num_dims, flat, tied, brief, **options)


def _of_lstms(units, dtype=None, **kwargs):
    inner = unrolled.LSTMCell(
        units, unit_forget_bias=False, forget_bias=1.0, dtype=dtype
    )
    return unrolled.GridRNNCell(inner, dtype=dtype, **kwargs)


def _general(name, flat=(), **dims):
    ours = {**dims, "non_recurrent_dims": list(flat)}
    cell = partial(_of_lstms, **ours)
    return _grid(name, cell, "lstm_cell", flat=flat, inputs=_features(4), **dims)


RELU = {"non_recurrent_activation": "relu"}
GRIDS = [
    _ready("Grid1BasicRNN", "basic_rnn_cell", 1),
    _ready("Grid2BasicRNN", "basic_rnn_cell", 2),
    _ready("Grid2BasicRNN", "basic_rnn_cell", 2, tied=True),
    _ready("Grid1BasicLSTM", "basic_lstm_cell", 1),
    _ready("Grid2BasicLSTM", "basic_lstm_cell", 2, forget_bias=-0.5),
    _ready("Grid1LSTM", "lstm_cell", 1, use_peepholes=True),
    _ready("Grid2LSTM", "lstm_cell", 2, brief=False),
    _ready("Grid2LSTM", "lstm_cell", 2, use_peepholes=True),
    _ready("Grid2LSTM", "lstm_cell", 2, tied=True, **RELU),
    _ready("Grid3LSTM", "lstm_cell", 3, forget_bias=0.5),
    _ready("Grid3LSTM", "lstm_cell", 3, brief=False, **RELU),
    _ready("Grid2GRU", "gru_cell", 2, brief=False),
    _ready("Grid2GRU", "gru_cell", 2, **RELU),
    _general(
        "grid_rnn_two_inputs",
        (0,),
        num_dims=3,
        input_dims=[0, 1],
        output_dims=[0, 2],
        priority_dims=[],
    ),
    _general(
        "grid_rnn_two_priorities",
        num_dims=4,
        input_dims=[1],
        output_dims=[0, 1, 3],
        priority_dims=[0, 3],
    ),
    _general(
        "grid_rnn_last_non_recurrent",
        (1,),
        num_dims=2,
        input_dims=[1],
        output_dims=[0, 1],
        priority_dims=[1],
    ),
]
ROWS = [*FREQUENCY, *GRIDS]
