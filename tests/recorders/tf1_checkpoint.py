"""Checkpoints as `tf.train.Saver` writes them, and what their networks gave.

Each is one file of `recorded/tf1_drivers`: ``checkpoint/<name>`` for all that the
checkpoint holds, slots of the optimizer among it; inputs ``x``; ``returned/0`` and on.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.contrib import rnn

HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("RECORDED", HERE.parent / "sources" / "recorded"))
B, T, D, U = 3, 4, 2, 3
LENGTHS = [4, 2, 3]
nn, cells = tf.compat.v1.nn, tf.compat.v1.nn.rnn_cell
train = tf.compat.v1.train


def save(name, run, optimizer):
    """Train a network for three steps; write its checkpoint and what it gives.

    Args:
        name: of the recording.
        run: x (B, T, D) -> what the network returns.
        optimizer: () -> the optimizer.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(1)
        x = np.random.RandomState(5).normal(size=(B, T, D)).astype("float32")
        returned = tf.nest.flatten(run(tf.constant(x)))
        loss = tf.add_n([tf.reduce_sum(tf.square(each - 0.3)) for each in returned])
        step = train.get_or_create_global_step()
        learn = optimizer().minimize(loss, global_step=step)
        session.run(tf.compat.v1.global_variables_initializer())
        for _ in range(3):
            session.run(learn)
        arrays = {"x": x}
        for n, each in enumerate(session.run(returned)):
            arrays["returned/%d" % n] = each
        path = train.Saver().save(session, str(Path(tempfile.mkdtemp()) / "model"))
        reader = train.load_checkpoint(path)
        for key in reader.get_variable_to_shape_map():
            arrays["checkpoint/" + key] = reader.get_tensor(key)
        folder = OUT / "tf1_drivers"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(str(folder / ("checkpoint_%s.npz" % name)), **arrays)
        print("checkpoint", name, "recorded")


def classifier(x):
    """Two LSTMs and a layer of classes."""
    cell = cells.MultiRNNCell([cells.BasicLSTMCell(U), cells.BasicLSTMCell(2)])
    outputs, _ = nn.dynamic_rnn(cell, x, sequence_length=LENGTHS, dtype=x.dtype)
    return tf.compat.v1.layers.dense(outputs[:, -1], 4)


def both_ways(x):
    """LSTM with peepholes and projection, GRU for the other direction."""
    forward = cells.LSTMCell(U, use_peepholes=True, num_proj=2)
    return nn.bidirectional_dynamic_rnn(
        forward, cells.GRUCell(2), x, sequence_length=LENGTHS, dtype=x.dtype
    )


def stacked_both_ways(x):
    """Two layers, each in both directions, in a scope."""
    layers = [[cells.LSTMCell(U), cells.BasicRNNCell(2)] for _ in range(2)]
    with tf.compat.v1.variable_scope("Model"):
        return rnn.stack_bidirectional_dynamic_rnn(*layers, x, dtype=x.dtype)


def stacked_lists(x):
    """The same over lists."""
    layers = [[cells.GRUCell(U), cells.BasicRNNCell(2)] for _ in range(2)]
    return rnn.stack_bidirectional_rnn(*layers, tf.unstack(x, axis=1), dtype=x.dtype)


def wrapped(x):
    """Wrappers, a cell with a name of its own, under a scope of the user's."""
    inner = rnn.HighwayWrapper(cells.GRUCell(D, name="reader"))
    cell = cells.DropoutWrapper(cells.ResidualWrapper(inner), output_keep_prob=1.0)
    return nn.dynamic_rnn(cell, x, dtype=x.dtype, scope="encoder")


def record(case):
    """Record each."""
    del case
    adam = lambda: train.AdamOptimizer(0.05)  # noqa: E731
    momentum = lambda: train.MomentumOptimizer(0.01, 0.9)  # noqa: E731
    save("classifier", classifier, adam)
    save("both_ways", both_ways, momentum)
    save("stacked_both_ways", stacked_both_ways, adam)
    save("stacked_lists", stacked_lists, lambda: train.RMSPropOptimizer(0.01))
    save("wrapped", wrapped, lambda: train.AdagradOptimizer(0.01))
