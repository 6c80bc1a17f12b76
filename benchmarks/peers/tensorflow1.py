"""Cells of TensorFlow 1.15.5 under `dynamic_rnn`: Python 3.7."""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow.contrib import grid_rnn, rnn
from tensorflow.contrib.rnn.python.ops import rnn_cell as more

from peers import THREADS, Ready, UnsupportedError

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
CELLS = {
    "LSTM, peepholes": lambda u: rnn.LSTMCell(u, use_peepholes=True),
    "LSTM, projection": lambda u: rnn.LSTMCell(u, num_proj=64),
    "LSTM, coupled": rnn.CoupledInputForgetGateLSTMCell,
    "LSTM, layer norm": rnn.LayerNormBasicLSTMCell,
    "LSTM, weight norm": more.WeightNormLSTMCell,
    "UGRNN": rnn.UGRNNCell,
    "Intersection": rnn.IntersectionRNNCell,
    "NAS": lambda u: rnn.NASCell(u, use_bias=True),
    "IndRNN": rnn.IndRNNCell,
    "IndyLSTM": rnn.IndyLSTMCell,
    "IndyGRU": rnn.IndyGRUCell,
    "SRU": rnn.SRUCell,
    "CFN": more.CFNCell,
    "MinimalRNN": more.MinimalRNNCell,
    "GLSTM": lambda u: rnn.GLSTMCell(u, number_of_groups=4),
    "Phased": rnn.PhasedLSTMCell,
    "Attention": lambda u: rnn.AttentionCellWrapper(rnn.GRUCell(u), 8),
    "Grid2LSTM": lambda u: grid_rnn.Grid2LSTMCell(u, output_is_tuple=False),
}


def versions():
    """TensorFlow's."""
    return {"tensorflow": tf.__version__}


def build_formula(case):
    """A session that runs the forward pass, or it and its gradients."""
    if case.cell not in CELLS:
        raise UnsupportedError(f"there is no {case.cell}")
    batch, steps, features, units = case.shape
    rng = np.random.RandomState(7)
    graph = tf.Graph()
    with graph.as_default():
        cell = CELLS[case.cell](units)
        x = tf.compat.v1.placeholder("float32", (batch, steps, features))
        initial = cell.zero_state(batch, "float32")
        given = x
        if case.cell == "Phased":  # time is its first input
            given = (tf.cumsum(tf.abs(x[..., :1]), axis=1), x)
        y, _ = tf.compat.v1.nn.dynamic_rnn(cell, given, initial_state=initial)
        fetched = [y.op]
        if case.mode == "training":
            dy = tf.constant(rng.normal(size=y.shape.as_list()).astype("float32"))
            moved = [x, *tf.compat.v1.trainable_variables(), *tf.nest.flatten(initial)]
            grads = [g for g in tf.gradients(y, moved, dy) if g is not None]
            dense = [g.values if hasattr(g, "values") else g for g in grads]
            fetched += [g.op for g in dense]
        begin = tf.compat.v1.global_variables_initializer()
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=THREADS, inter_op_parallelism_threads=THREADS
    )
    session = tf.compat.v1.Session(graph=graph, config=config)
    session.run(begin)
    call = session.make_callable(fetched, feed_list=[x])
    data = rng.normal(size=(batch, steps, features)).astype("float32")
    return Ready(lambda: call(data))
