"""Drivers: what runs a cell along time. Recorded into `recorded/tf1_drivers`.

Each recording has inputs, weights by their names in a checkpoint, what TensorFlow
returned, in the order of `tf.nest.flatten`, and the gradients of a random sum of it.
`tests/tf1/test_recorded_drivers.py` calls our driver of the same name.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.contrib import rnn

HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("RECORDED", HERE.parent / "sources" / "recorded"))
B, T, D, U = 3, 4, 2, 3
LENGTHS = [4, 2, 0]
nn, cells = tf.compat.v1.nn, tf.compat.v1.nn.rnn_cell


def drive(name, run, scale=0.5, folder="tf1_drivers"):
    """Write `<name>.npz`.

    Args:
        name: of the recording.
        run: ``(x, draw) -> (returned, moved)``: what the driver returned for x (B, T,
            D), and beside x and the weights what gradients are wanted for; `draw` gives
            a random constant of a shape.
        scale: of the random weights.
        folder: of the recording.
    """
    rng = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    numbers = lambda *shape: rng.normal(size=shape)  # noqa: E731
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.constant(numbers(B, T, D))
        draw = lambda *shape: tf.constant(0.5 * numbers(*shape))  # noqa: E731
        scope = tf.compat.v1.get_variable_scope()
        with tf.compat.v1.variable_scope(scope, dtype=x.dtype):
            returned, moved = run(x, draw)
        weights = tf.compat.v1.trainable_variables()
        session.run(tf.compat.v1.global_variables_initializer())
        for weight in weights:
            session.run(weight.assign(scale * numbers(*weight.shape.as_list())))
        found = [leaf for leaf in tf.nest.flatten(returned) if leaf is not None]
        values = session.run(found)
        integral = [not np.issubdtype(v.dtype, np.floating) for v in values]
        cotangents = [numbers(*v.shape) for v in values]
        loss = tf.add_n(
            [
                tf.reduce_sum(f * c)
                for f, c, w in zip(found, cotangents, integral)
                if not w
            ]
        )
        whole = [x, *moved, *weights]
        grads = tf.gradients(loss, whole)
        # What nothing depends on has no gradient; zeros say so.
        grads = [
            tf.zeros_like(leaf) if grad is None else tf.convert_to_tensor(grad)
            for leaf, grad in zip(whole, grads)
        ]
        arrays = {"x": x, "dx": grads[0]}
        for n, leaf in enumerate(moved):
            arrays["moved/%d" % n] = leaf
            arrays["dmoved/%d" % n] = grads[1 + n]
        for n, (leaf, cotangent) in enumerate(zip(found, cotangents)):
            arrays["returned/%d" % n] = leaf
            arrays["cotangent/%d" % n] = tf.constant(cotangent)
        for weight, grad in zip(weights, grads[1 + len(moved) :]):
            arrays["weight/" + weight.op.name] = weight
            arrays["dweight/" + weight.op.name] = grad
        got = session.run(arrays)
        (OUT / folder).mkdir(parents=True, exist_ok=True)
        np.savez_compressed(str(OUT / folder / (name + ".npz")), **got)
        print(name, "recorded")


def state(draw):
    """A random state of an LSTM."""
    return cells.LSTMStateTuple(draw(B, U), draw(B, U))


def stack():
    """Two cells, one above the other."""
    return cells.MultiRNNCell([cells.BasicLSTMCell(U), cells.GRUCell(2)])


def dynamic(x, draw):
    """Lengths and an initial state."""
    start = state(draw)
    returned = nn.dynamic_rnn(
        cells.BasicLSTMCell(U), x, sequence_length=LENGTHS, initial_state=start
    )
    return returned, list(start)


def dynamic_time_major(x, draw):
    """Time first; no lengths; from zeros."""
    del draw
    x = tf.transpose(x, [1, 0, 2])
    return nn.dynamic_rnn(cells.GRUCell(U), x, dtype=x.dtype, time_major=True), []


def dynamic_lstm(x, draw):
    """Every option of LSTMCell, and one array for both states."""
    start = draw(B, 4 + 2)
    cell = cells.LSTMCell(
        4,
        use_peepholes=True,
        cell_clip=0.4,
        num_proj=2,
        proj_clip=0.3,
        forget_bias=0.7,
        state_is_tuple=False,
    )
    returned = nn.dynamic_rnn(cell, x, sequence_length=LENGTHS, initial_state=start)
    return returned, [start]


def dynamic_wrappers(x, draw):
    """Wrappers that draw nothing, around each other."""
    del draw
    inner = rnn.HighwayWrapper(
        rnn.UGRNNCell(D, forget_bias=0.5), couple_carry_transform_gates=False
    )
    cell = cells.MultiRNNCell(
        [cells.ResidualWrapper(inner), cells.BasicRNNCell(D, activation=tf.nn.relu)]
    )
    return nn.dynamic_rnn(cell, x, sequence_length=LENGTHS, dtype=x.dtype), []


def static(x, draw):
    """A list of T arrays."""
    start = (state(draw), draw(B, 2))
    returned = nn.static_rnn(
        stack(), tf.unstack(x, axis=1), sequence_length=LENGTHS, initial_state=start
    )
    return returned, tf.nest.flatten(start)


def bidirectional_dynamic(x, draw):
    """A cell for each direction."""
    start = state(draw)
    returned = nn.bidirectional_dynamic_rnn(
        cells.LSTMCell(U),
        cells.GRUCell(2),
        x,
        sequence_length=LENGTHS,
        initial_state_fw=start,
        dtype=x.dtype,
    )
    return returned, list(start)


def bidirectional_static(x, draw):
    """The same over a list."""
    start = state(draw)
    returned = nn.static_bidirectional_rnn(
        cells.LSTMCell(U),
        cells.GRUCell(2),
        tf.unstack(x, axis=1),
        initial_state_fw=start,
        sequence_length=LENGTHS,
        dtype=x.dtype,
    )
    return returned, list(start)


def _layers():
    return [cells.GRUCell(2), cells.BasicLSTMCell(U)]


def stack_dynamic(x, draw):
    """Two layers, each in both directions."""
    start = [draw(B, 2), state(draw)]
    returned = rnn.stack_bidirectional_dynamic_rnn(
        _layers(),
        _layers(),
        x,
        initial_states_bw=start,
        sequence_length=LENGTHS,
        dtype=x.dtype,
    )
    return returned, tf.nest.flatten(start)


def stack_static(x, draw):
    """The same over a list."""
    start = [draw(B, 2), state(draw)]
    returned = rnn.stack_bidirectional_rnn(
        _layers(),
        _layers(),
        tf.unstack(x, axis=1),
        initial_states_fw=start,
        dtype=x.dtype,
    )
    return returned, tf.nest.flatten(start)


class Saver:
    """What TensorFlow's batch readers gave: states by name."""

    def __init__(self, **states):
        self.states = states
        self.saved = {}

    def state(self, name):
        """Where to begin."""
        return self.states[name]

    def save_state(self, name, value):
        """Where it ended."""
        self.saved[name] = value
        return tf.no_op()


def state_saving(x, draw):
    """States come from a saver and go back to it."""
    saver = Saver(c=draw(B, U), h=draw(B, U))
    returned = nn.static_state_saving_rnn(
        cells.BasicLSTMCell(U), tf.unstack(x, axis=1), saver, ("c", "h")
    )
    return (returned, [saver.saved[n] for n in "ch"]), [saver.states[n] for n in "ch"]


def raw_of_lengths(x, draw):
    """As `dynamic_rnn`, written with `raw_rnn`; the outputs are emitted."""
    cell, start, lengths = cells.BasicLSTMCell(U), state(draw), tf.constant(LENGTHS)
    steps = tf.TensorArray(x.dtype, T).unstack(tf.transpose(x, [1, 0, 2]))

    def loop_fn(time, output, before, loop_state):
        del loop_state
        after = start if output is None else before
        finished = time >= lengths
        read = tf.cond(
            tf.reduce_all(finished),
            lambda: tf.zeros([B, D], x.dtype),
            lambda: steps.read(time),
        )
        return finished, read, after, output, None

    emitted, last, _ = nn.raw_rnn(cell, loop_fn)
    return (emitted.stack(), last), list(start)


def raw_feedback(x, draw):
    """Reads what it gave, until the sum of it is large; counts, and emits a pair."""
    cell, kernel = cells.GRUCell(U), draw(U, D)

    def loop_fn(time, output, before, loop_state):
        if output is None:
            emit = (tf.zeros([2], x.dtype), tf.zeros([], tf.int32))
            zeros = cell.zero_state(B, x.dtype)
            count = (tf.zeros([B], x.dtype), tf.constant(0))
            return tf.zeros([B], tf.bool), x[:, 0], zeros, emit, count
        total, steps = loop_state
        total += tf.reduce_sum(tf.abs(output), 1)
        emit = (output[:, :2] ** 2, tf.fill([B], time))
        finished = total > tf.constant([1.5, 5.0, 2.5], x.dtype)
        return finished, tf.matmul(output, kernel), before, emit, (total, steps + 1)

    emitted, last, loop_state = nn.raw_rnn(cell, loop_fn)
    returned = ([each.stack() for each in emitted], last, loop_state)
    return returned, [kernel]


def record(case):
    """Record each."""
    del case
    for run in (
        *(dynamic, dynamic_time_major, dynamic_lstm, dynamic_wrappers, static),
        *(bidirectional_dynamic, bidirectional_static, stack_dynamic, stack_static),
        *(state_saving, raw_of_lengths, raw_feedback),
    ):
        drive(run.__name__, run)
