"""Cells of gates: products, then pointwise arithmetic."""

from functools import partial

import tensorflow as tf
from tensorflow.contrib import rnn
from tensorflow.contrib.rnn.python.ops import rnn_cell

D, U = 3, 4


def record(case):
    """Record each."""
    case("ugrnn", lambda: rnn.UGRNNCell(U), "gated.ugrnn")
    case(
        "ugrnn_forget_bias",
        lambda: rnn.UGRNNCell(U, forget_bias=-0.5),
        "gated.ugrnn",
        {"forget_bias": -0.5},
    )
    case("intersection", lambda: rnn.IntersectionRNNCell(D), "gated.intersection")
    case(
        "intersection_projected",
        lambda: rnn.IntersectionRNNCell(
            U, num_in_proj=U, forget_bias=0.5, y_activation=tf.tanh
        ),
        "gated.intersection",
        {"forget_bias": 0.5, "y_activation": "tanh"},
    )
    case("nas", lambda: rnn.NASCell(U, use_bias=True), "gated.nas")
    case("nas_no_bias", lambda: rnn.NASCell(U), "gated.nas")
    case("nas_projected", lambda: rnn.NASCell(U, 2, use_bias=True), "gated.nas")
    cells = {
        "indrnn": rnn.IndRNNCell,
        "indygru": rnn.IndyGRUCell,
        "indylstm": partial(rnn.IndyLSTMCell, forget_bias=0.5),
        "sru": rnn_cell.SRUCell,
        "cfn": rnn_cell.CFNCell,
        "minimalrnn": rnn_cell.MinimalRNNCell,
    }
    more = {"indylstm": {"forget_bias": 0.5}}
    for name, cell in cells.items():
        for activation, end in (("tanh", ""), ("relu", "_relu")):
            case(
                name + end,
                partial(cell, U, activation=getattr(tf.nn, activation)),
                "gated." + name,
                dict(more.get(name, {}), activation=activation),
            )
    timed = {
        "input_shape": (1 + D,),
        "inputs": lambda x: (x[..., :1], x[..., 1:]),
        "dtype": "float32",  # what its cycle is computed in, whatever the dtype
    }
    case(
        "phased",
        lambda: rnn.PhasedLSTMCell(U, leak=0.1),
        "gated.phased",
        {"leak": 0.1},
        **timed,
    )
    case(
        "phased_peepholes",
        lambda: rnn.PhasedLSTMCell(
            U, use_peepholes=True, leak=0.01, ratio_on=0.5, trainable_ratio_on=False
        ),
        "gated.phased",
        {"leak": 0.01, "ratio_on": 0.5, "peepholes": True},
        **timed,
    )
