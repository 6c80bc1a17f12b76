"""Cells of ours by the names of benchmarks/cases.py, run by any RNN of Keras's form."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

from functools import partial

import unrolled

import jax
import numpy as np

from cases import Formula
from peers import Ready, compiled

lstm = partial(partial, unrolled.LSTMCell)
CELLS = {
    "LSTM, peepholes": lstm(use_peepholes=True, forget_bias=1.0),
    "LSTM, projection": lstm(projection_size=64, forget_bias=1.0),
    "LSTM, coupled": lstm(couple_gates=True, forget_bias=1.0),
    "LSTM, layer norm": lstm(layer_norm="gates", norm_epsilon=1e-12, forget_bias=1.0),
    "LSTM, weight norm": lstm(weight_norm=True, forget_bias=1.0),
    "UGRNN": unrolled.UGRNNCell,
    "Intersection": unrolled.IntersectionRNNCell,
    "NAS": unrolled.NASCell,
    "IndRNN": unrolled.IndRNNCell,
    "IndyLSTM": unrolled.IndyLSTMCell,
    "IndyGRU": unrolled.IndyGRUCell,
    "SRU": unrolled.SRUCell,
    "CFN": unrolled.CFNCell,
    "MinimalRNN": unrolled.MinimalRNNCell,
    "GLSTM": partial(unrolled.GLSTMCell, groups=4),
    "Phased": unrolled.PhasedLSTMCell,
    "MGU": unrolled.MGUCell,
    "minGRU": unrolled.MinGRUCell,
    "minLSTM": unrolled.MinLSTMCell,
    "sLSTM": partial(unrolled.SLSTMCell, heads=4),
    "ESN": unrolled.ESNCell,
    "Attention": lambda units: unrolled.AttentionCellWrapper(
        unrolled.GRUCell(units, reset_after=False), attn_length=8
    ),
    "Grid2LSTM": unrolled.Grid2LSTMCell,
    "NTM": lambda units: unrolled.NTMCell(
        unrolled.LSTMCell(units), 32, 16, 1, 1, output_dim=units
    ),
}


def build(rnn, case: Formula) -> Ready:
    """Jit the forward pass, or it and its gradients, with random weights."""
    batch, _, _, units = case.shape
    rng = np.random.default_rng(7)
    draw = lambda shape: rng.standard_normal(shape).astype("float32")  # noqa: E731
    cell = CELLS[case.cell](units)
    layer = rnn(cell, return_sequences=True)
    x = draw(case.shape[:3])
    if case.cell == "Phased":  # time is its second input
        x = (np.cumsum(np.abs(x[..., :1]), axis=1), x)
    layer.build(jax.tree.map(np.shape, x))
    weights = [
        jax.numpy.asarray(draw(v.shape) * max(v.shape[0], 16) ** -0.5)
        for v in layer.trainable_variables
    ]
    frozen = [v.value for v in layer.non_trainable_variables]
    states = list(layer.get_initial_state(batch))

    def forward(x, weights, states):
        return layer.stateless_call(weights, frozen, x, initial_state=states)[0]

    y = jax.eval_shape(forward, x, weights, states)
    dy = jax.numpy.asarray(draw(y.shape))
    x = jax.tree.map(jax.numpy.asarray, x)
    ready = compiled.build(case.mode, forward, x, weights, states, dy)
    return Ready(ready.run)
