"""Drivers give what TensorFlow 1.15.5's gave: outputs, states and every gradient."""

from pathlib import Path

import unrolled
from unrolled import tf1

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..reference import max_relative

RECORDED = Path(unrolled.__file__).parents[2] / "tests/sources/recorded/tf1_drivers"
LIMIT = 1e-11
B, T, D, U = 3, 4, 2, 3
LENGTHS = [4, 2, 0]


def _stack():
    return tf1.MultiRNNCell([tf1.BasicLSTMCell(U), tf1.GRUCell(2)])


def _layers():
    return [tf1.GRUCell(2), tf1.BasicLSTMCell(U)]


def _pair(moved, at=0):
    return tf1.LSTMStateTuple(*moved[at : at + 2])


def _list(x):
    return keras.ops.unstack(x, axis=1)


class Dynamic:
    """Lengths and an initial state."""

    name = "dynamic"

    def __init__(self):
        self.cells = [tf1.BasicLSTMCell(U)]

    def run(self, x, moved):
        return tf1.dynamic_rnn(
            *self.cells, x, sequence_length=LENGTHS, initial_state=_pair(moved)
        )


class TimeMajor:
    name = "dynamic_time_major"

    def __init__(self):
        self.cells = [tf1.GRUCell(U)]

    def run(self, x, moved):
        del moved
        x = jnp.swapaxes(x, 0, 1)
        return tf1.dynamic_rnn(*self.cells, x, dtype="float64", time_major=True)


class Options:
    name = "dynamic_lstm"

    def __init__(self):
        self.cells = [
            tf1.LSTMCell(
                4,
                use_peepholes=True,
                cell_clip=0.4,
                num_proj=2,
                proj_clip=0.3,
                forget_bias=0.7,
                state_is_tuple=False,
            )
        ]

    def run(self, x, moved):
        return tf1.dynamic_rnn(*self.cells, x, LENGTHS, moved[0])


class Wrappers:
    name = "dynamic_wrappers"

    def __init__(self):
        inner = tf1.HighwayWrapper(
            tf1.UGRNNCell(D, forget_bias=0.5), couple_carry_transform_gates=False
        )
        plain = tf1.BasicRNNCell(D, activation="relu")
        self.cells = [tf1.MultiRNNCell([tf1.ResidualWrapper(inner), plain])]

    def run(self, x, moved):
        del moved
        return tf1.dynamic_rnn(*self.cells, x, LENGTHS, dtype="float64")


class Static:
    name = "static"

    def __init__(self):
        self.cells = [_stack()]

    def run(self, x, moved):
        start = (_pair(moved), moved[2])
        return tf1.static_rnn(
            *self.cells, _list(x), sequence_length=LENGTHS, initial_state=start
        )


class Both:
    name = "bidirectional_dynamic"

    def __init__(self):
        self.cells = [tf1.LSTMCell(U), tf1.GRUCell(2)]

    def run(self, x, moved):
        return tf1.bidirectional_dynamic_rnn(
            *self.cells, x, LENGTHS, initial_state_fw=_pair(moved), dtype="float64"
        )


class BothStatic(Both):
    name = "bidirectional_static"

    def run(self, x, moved):
        return tf1.static_bidirectional_rnn(
            *self.cells,
            _list(x),
            initial_state_fw=_pair(moved),
            sequence_length=LENGTHS,
            dtype="float64",
        )


class Stacked:
    name = "stack_dynamic"

    def __init__(self):
        self.both = [_layers(), _layers()]
        self.cells = [cell for cells in self.both for cell in cells]

    def run(self, x, moved):
        return tf1.stack_bidirectional_dynamic_rnn(
            *self.both,
            x,
            initial_states_bw=[moved[0], _pair(moved, 1)],
            sequence_length=LENGTHS,
            dtype="float64",
        )


class StackedStatic(Stacked):
    name = "stack_static"

    def run(self, x, moved):
        return tf1.stack_bidirectional_rnn(
            *self.both,
            _list(x),
            initial_states_fw=[moved[0], _pair(moved, 1)],
            dtype="float64",
        )


class Saver:
    """States by name."""

    def __init__(self, **states):
        self.states, self.saved = states, {}

    def state(self, name):
        return self.states[name]

    def save_state(self, name, value):
        self.saved[name] = value


class Saving:
    name = "state_saving"

    def __init__(self):
        self.cells = [tf1.BasicLSTMCell(U)]

    def run(self, x, moved):
        saver = Saver(c=moved[0], h=moved[1])
        returned = tf1.state_saving_rnn(*self.cells, _list(x), saver, ("c", "h"))
        return returned, [saver.saved[name] for name in "ch"]


class Raw:
    name = "raw_of_lengths"
    most = T

    def __init__(self):
        self.cells = [tf1.BasicLSTMCell(U)]

    def run(self, x, moved):
        def loop_fn(time, output, state, loop_state):
            del loop_state
            after = _pair(moved) if output is None else state
            finished = time >= jnp.asarray(LENGTHS, "int32")
            return finished, jnp.take(x, time, axis=1), after, output, None

        emitted, last, loop_state = tf1.raw_rnn(
            *self.cells, loop_fn, maximum_iterations=self.most
        )
        assert loop_state is None
        return emitted.stack(), last


class RawUnbounded(Raw):
    most = None


class Feedback:
    name = "raw_feedback"
    most = 12

    def __init__(self):
        self.cells = [tf1.GRUCell(U)]

    def run(self, x, moved):
        (cell,) = self.cells

        def loop_fn(time, output, state, loop_state):
            if output is None:
                emit = (jnp.zeros(2, x.dtype), jnp.zeros((), "int32"))
                zeros = cell.zero_state(B, "float64")
                count = (jnp.zeros(B, x.dtype), jnp.zeros((), "int32"))
                return jnp.zeros(B, bool), x[:, 0], zeros, emit, count
            total, steps = loop_state
            total = total + jnp.sum(jnp.abs(output), axis=1)
            emit = (output[:, :2] ** 2, jnp.full(B, time))
            finished = total > jnp.asarray([1.5, 5.0, 2.5], x.dtype)
            return finished, output @ moved[0], state, emit, (total, steps + 1)

        emitted, last, loop_state = tf1.raw_rnn(
            cell, loop_fn, maximum_iterations=self.most
        )
        return [each.stack() for each in emitted], last, loop_state


class FeedbackUnbounded(Feedback):
    most = None


DRIVERS = [
    *(Dynamic, TimeMajor, Options, Wrappers, Static, Both, BothStatic),
    *(Stacked, StackedStatic, Saving, Raw, RawUnbounded, Feedback, FeedbackUnbounded),
]


def _in_order(arrays, kind):
    count = sum(key.startswith(f"{kind}/") for key in arrays)
    return [arrays[f"{kind}/{n}"] for n in range(count)]


def _named(arrays, kind):
    paths = {key: key.removeprefix(f"{kind}/") for key in arrays}
    return {path: arrays[key] for key, path in paths.items() if path != key}


class Network(keras.Model):
    """What `tf1.load` takes: a model whose attributes the cells are."""

    def __init__(self, cells):
        super().__init__()
        self.cells = cells


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", DRIVERS, ids=lambda kind: kind.__name__)
def test_a_driver_gives_what_was_recorded(kind):
    with np.load(RECORDED / f"{kind.name}.npz") as given:
        arrays = dict(given)
    driver = kind()
    x, moved = (
        jnp.asarray(arrays["x"]),
        list(map(jnp.asarray, _in_order(arrays, "moved"))),
    )
    driver.run(x, moved)  # builds the cells, and tells them their scopes
    model = Network(driver.cells)
    tf1.load(model, _named(arrays, "weight"))
    want, cotangents = _in_order(arrays, "returned"), _in_order(arrays, "cotangent")
    bounded = getattr(kind, "most", T) is not None

    values = [variable.value for variable in model.trainable_variables]
    for n, (ours, theirs) in enumerate(
        zip(jax.tree.leaves(driver.run(x, moved)), want, strict=True)
    ):
        # With a bound there are as many rows as that; zeros come after the end.
        assert bounded or ours.shape == theirs.shape
        if ours.ndim:
            assert not np.any(ours[len(theirs) :])
            ours = ours[: len(theirs)]
        assert max_relative(np.asarray(ours), theirs) <= LIMIT, n
    if not bounded:
        return

    def loss(x, moved, values):
        leaves = returned_traced(driver, model, want, x, moved, values)
        pairs = zip(leaves, cotangents, strict=True)
        floating = [
            jnp.sum(leaf * cotangent)
            for leaf, cotangent in pairs
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        return sum(floating)

    got = jax.jit(jax.grad(loss, (0, 1, 2)))(x, moved, values)
    assert max_relative(np.asarray(got[0]), arrays["dx"]) <= LIMIT
    for ours, theirs in zip(got[1], _in_order(arrays, "dmoved"), strict=True):
        assert max_relative(np.asarray(ours), theirs) <= LIMIT
    # Gradients in the form of the checkpoint: read as if they were the weights.
    for variable, gradient in zip(model.trainable_variables, got[2], strict=True):
        variable.assign(gradient)
    theirs = _named(arrays, "dweight")
    found = {
        path: held.read()
        for cell in driver.cells
        for path, held in cell.entries(cell.above).items()
    }
    assert set(found) == set(theirs)
    for path, gradient in found.items():
        assert max_relative(gradient, theirs[path]) <= LIMIT, path


def returned_traced(driver, model, want, x, moved, values):
    """What the driver returns with other values in its weights, cut to `want`."""
    pairs = zip(model.trainable_variables, values, strict=True)
    with keras.StatelessScope(state_mapping=list(pairs)):
        leaves = jax.tree.leaves(driver.run(x, moved))
    return [
        leaf[: len(like)] if leaf.ndim else leaf
        for leaf, like in zip(leaves, want, strict=True)
    ]


def test_every_driver_is_recorded():
    files = {path.stem for path in RECORDED.glob("*.npz")}
    names = {name for name in files if not name.startswith("checkpoint_")}
    assert names == {kind.name for kind in DRIVERS}
