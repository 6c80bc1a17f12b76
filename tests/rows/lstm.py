"""Rows of `tests/sources/lstm.py` and `normalised.py`: options of three cells."""

from functools import partial

import unrolled

from autograd import numpy as np

from ..sources import lstm, normalised
from . import Formula, joined

LSTM, GRU, RNN = unrolled.LSTMCell, unrolled.GRUCell, unrolled.SimpleRNNCell
# contrib.layers.layer_norm's.
EPSILON = 1e-12


def _turned(array, gates="ifco", into="icfo"):
    """Columns gate by gate in another order: TensorFlow 1's j is Keras's c."""
    parts = dict(zip(gates, np.split(array, len(gates), axis=-1), strict=True))
    return np.concatenate([parts[gate] for gate in into], axis=-1)


def from_ours(weights):
    """An LSTM's weights in TensorFlow 1's names and order."""
    names = ("kernel", "recurrent_kernel", "bias")
    theirs = {name: _turned(weights[name]) for name in names}
    theirs = joined(theirs)
    if "peephole" in weights:
        for row, gate in enumerate("ifo"):
            theirs[f"w_{gate}_diag"] = weights["peephole"][row]
    if "projection_kernel" in weights:
        theirs["projection/kernel"] = weights["projection_kernel"]
    for ours, name in (("kernel", "norm_0"), ("recurrent", "norm_1")):
        if f"{ours}_scale" in weights:
            theirs[name] = _turned(weights[f"{ours}_scale"])
    if "projection_scale" in weights:
        theirs["projection/norm_0"] = weights["projection_scale"]
    return theirs


_SCOPES = {"i": "input", "c": "transform", "f": "forget", "o": "output"}


_PAIR = {"gamma": "gain", "beta": "shift"}


def _normed(weights, gates="ifco"):
    """Gains and shifts in TensorFlow 1's scopes."""
    theirs = {
        "state/gamma": weights["state_gain"],
        "state/beta": weights["state_shift"],
    }
    pairs = (np.split(weights[name], len(gates)) for name in ("gain", "bias"))
    for gate, gain, shift in zip(gates, *pairs, strict=True):
        theirs[f"{_SCOPES[gate]}/gamma"] = gain
        theirs[f"{_SCOPES[gate]}/beta"] = shift
    return theirs


def _layer_norm(weights):
    return {**from_ours(weights), **_normed(weights)}


def _coupled(weights):
    turn = partial(_turned, gates="fco", into="cfo")
    theirs = joined({k: turn(weights[k]) for k in ("kernel", "recurrent_kernel")})
    theirs = {"W_0": theirs["kernel"], "B": turn(weights["bias"])}
    if "peephole" in weights:
        theirs |= {"W_F_diag": weights["peephole"][0]}
        theirs |= {"W_O_diag": weights["peephole"][1]}
    if "projection_kernel" in weights:
        theirs["W_P_0"] = weights["projection_kernel"]
    return {**theirs, **(_normed(weights, "fco") if "gain" in weights else {})}


def _addons_norm(weights):
    theirs = {k: weights[k] for k in ("kernel", "recurrent_kernel", "bias")}
    for ours, name in (("kernel", "kernel_norm"), ("recurrent", "recurrent_norm")):
        theirs[f"{name}/gamma"] = weights[f"{ours}_gain"]
        theirs[f"{name}/beta"] = np.zeros_like(weights[f"{ours}_gain"])
    theirs["state_norm/gamma"] = weights["state_gain"]
    theirs["state_norm/beta"] = weights["state_shift"]
    return theirs


def _addons_peephole(weights):
    theirs = dict(weights)
    rows = theirs.pop("peephole")
    for row, gate in enumerate(("input", "forget", "output")):
        theirs[f"{gate}_gate_peephole_weights"] = rows[row]
    return theirs


def _as_it_is(weights):
    return weights


def _row(name, cell, step, to_source=from_ours, order=(1, 0), brief=True, **options):
    own = {k: v for k, v in options.items() if not k.startswith("source_")}
    theirs = {k[7:]: v for k, v in options.items() if k.startswith("source_")}
    made = partial(cell, **own)
    step = partial(step, **theirs)
    narrow = (2, 4) if "norm" in name else (1, 2)
    return Formula(name, made, step, to_source, order, narrow=narrow, brief=brief)


def _projected(units, **kwargs):
    """P is not U, and half of it."""
    return LSTM(units, projection_size=max(units // 2, 1), **kwargs)


ROWS = [
    _row("lstm_forget_bias", LSTM, lstm.lstm, forget_bias=1.0),
    _row(
        "lstm_peepholes",
        LSTM,
        lstm.lstm,
        brief=False,
        use_peepholes=True,
        forget_bias=1.0,
        source_use_peepholes=True,
    ),
    _row(
        "lstm_projection",
        partial(_projected, forget_bias=0.3, projection_clip=0.2, cell_clip=0.4),
        partial(lstm.lstm, forget_bias=0.3, proj_clip=0.2, cell_clip=0.4),
        brief=False,
    ),
    _row(
        "lstm_everything",
        partial(_projected, use_peepholes=True, cell_clip=0.5, projection_clip=0.4),
        partial(lstm.lstm, use_peepholes=True, cell_clip=0.5, proj_clip=0.4),
        source_forget_bias=0.0,
    ),
    _row(
        "lstm_coupled",
        LSTM,
        lstm.coupled_input_forget_gate_lstm,
        _coupled,
        brief=False,
        couple_gates=True,
        forget_bias=1.0,
    ),
    _row(
        "lstm_coupled_norm",
        partial(_projected, couple_gates=True, use_peepholes=True, layer_norm="gates"),
        partial(lstm.coupled_input_forget_gate_lstm, use_peepholes=True),
        _coupled,
        norm_epsilon=EPSILON,
        source_layer_norm=True,
        source_forget_bias=0.0,
    ),
    _row(
        "lstm_layer_norm",
        LSTM,
        lstm.layer_norm_basic_lstm,
        _layer_norm,
        brief=False,
        layer_norm="gates",
        norm_epsilon=EPSILON,
        source_forget_bias=0.0,
    ),
    _row(
        "lstm_layer_norm_all",
        partial(_projected, use_peepholes=True, cell_clip=0.5, projection_clip=0.4),
        partial(lstm.layer_norm_lstm, use_peepholes=True, cell_clip=0.5, proj_clip=0.4),
        _layer_norm,
        layer_norm="gates",
        norm_epsilon=EPSILON,
        forget_bias=1.0,
    ),
    _row(
        "lstm_product_norm",
        LSTM,
        lstm.addons_layer_norm_lstm,
        _addons_norm,
        (0, 1),
        brief=False,
        layer_norm="products",
    ),
    _row(
        "lstm_peepholes_of_addons",
        LSTM,
        lstm.addons_peephole_lstm,
        _addons_peephole,
        (0, 1),
        use_peepholes=True,
    ),
    _row(
        "lstm_weight_norm",
        LSTM,
        lstm.weight_norm_lstm,
        brief=False,
        weight_norm=True,
        forget_bias=1.0,
    ),
    _row(
        "lstm_weight_norm_all",
        partial(_projected, use_peepholes=True, cell_clip=0.5, projection_clip=0.4),
        partial(
            lstm.weight_norm_lstm, use_peepholes=True, cell_clip=0.5, proj_clip=0.4
        ),
        weight_norm=True,
        source_forget_bias=0.0,
    ),
    _row(
        "rnn_layer_norm",
        RNN,
        lstm.addons_layer_norm_simple_rnn,
        lambda w: {**w, "gamma": w["gain"]},
        None,
        brief=False,
        layer_norm="gates",
        norm_epsilon=1e-5,
    ),
    _row(
        "rnn_product_norm",
        RNN,
        normalised.product_norm_rnn,
        _as_it_is,
        None,
        layer_norm="products",
    ),
    _row(
        "gru_layer_norm",
        GRU,
        normalised.gate_norm_gru,
        _as_it_is,
        None,
        brief=False,
        layer_norm="gates",
    ),
    _row(
        "gru_layer_norm_reset_before",
        partial(GRU, reset_after=False),
        partial(normalised.gate_norm_gru, reset_after=False),
        _as_it_is,
        None,
        layer_norm="gates",
    ),
    _row(
        "gru_product_norm",
        GRU,
        normalised.product_norm_gru,
        _as_it_is,
        None,
        layer_norm="products",
    ),
    _row(
        "gru_weight_norm",
        partial(GRU, reset_after=False),
        normalised.weight_norm_gru,
        _as_it_is,
        None,
        weight_norm=True,
    ),
]
