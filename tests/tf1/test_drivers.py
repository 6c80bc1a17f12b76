"""Drivers on arrays, on Keras tensors and inside layers; traces and compilations."""

from unrolled import tf1

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..harness import scatter

B, T, D, U = 2, 5, 3, 4


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.normal(size=(B, T, D)), "float32")


class Counted(tf1.RNNCell):
    """A cell of a user's that counts how often its step is traced."""

    state_size = output_size = D
    traced = 0

    def build(self, inputs_shape):
        self.w = self.add_weight(shape=(inputs_shape[-1], D), name="w")

    def call(self, inputs, state):
        type(self).traced += 1
        output = jnp.tanh(inputs @ self.w.value + state)
        return output, output


def _static(cell, x):
    return tf1.static_rnn(cell, keras.ops.unstack(x, axis=1), dtype="float32")


def _both(cell, x):
    return tf1.bidirectional_dynamic_rnn(cell[0], cell[1], x, dtype="float32")


def _raw(cell, x, most=None):
    def loop_fn(time, output, state, loop_state):
        state = cell.zero_state(B, "float32") if output is None else state
        finished = jnp.full(B, time >= x.shape[1])
        return finished, jnp.take(x, time, axis=1), state, output, loop_state

    emitted, state, _ = tf1.raw_rnn(cell, loop_fn, maximum_iterations=most)
    return emitted.stack(), state


RUNS = {
    "dynamic": (Counted, lambda cell, x: tf1.dynamic_rnn(cell, x, dtype="float32")),
    "static": (Counted, _static),
    "both": (lambda: [Counted(), Counted()], _both),
    "raw": (Counted, _raw),
    "raw bounded": (Counted, lambda cell, x: _raw(cell, x, x.shape[1])),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_step_is_traced_as_often_whatever_t_is(name, rng, compilations):
    make, run = RUNS[name]
    cell = make()
    traced = []
    for steps in (3, 30):
        x = jnp.asarray(rng.normal(size=(B, steps, D)), "float32")
        run(cell, x)
        Counted.traced = 0
        assert compilations  # they are heard
        compilations.clear()
        run(cell, x)
        assert compilations == []
        traced.append(Counted.traced)
    assert traced[0] == traced[1] > 0


@pytest.mark.parametrize("name", RUNS)
def test_drivers_run_under_jit_and_grad_before_anything_is_built(name, x):
    make, run = RUNS[name]
    cell = make()
    if name == "raw":
        with pytest.raises(ValueError, match="maximum_iterations must be given where"):
            jax.jit(lambda x: run(cell, x))(x)
        with pytest.raises(ValueError, match="a loop that stops on data has no grad"):
            jax.grad(lambda x: jnp.sum(run(cell, x)[1]))(x)
        return
    total = lambda x: sum(map(jnp.sum, jax.tree.leaves(run(cell, x))))  # noqa: E731
    slope = jax.jit(jax.grad(total))(x)
    value = total(x)
    step = 1e-2 * np.random.default_rng(0).normal(size=x.shape).astype("float32")
    rise = (total(x + step) - total(x - step)) / 2
    np.testing.assert_allclose(jnp.sum(slope * step), rise, rtol=2e-3, atol=1e-4)
    assert np.isfinite(value)


def test_raw_rnn_stops_where_the_data_say_so():
    """More steps than there is room for at first, and fewer than are allowed."""
    cell = tf1.GRUCell(2)
    limit = jnp.asarray([150, 3])

    def loop_fn(time, output, state, loop_state):
        state = cell.zero_state(B, "float32") if output is None else state
        count = jnp.zeros(B, "int32") if loop_state is None else loop_state + 1
        return time >= limit, jnp.ones((B, 1)), state, output, count

    emitted, state, count = tf1.raw_rnn(cell, loop_fn)
    assert emitted.size() == 150
    assert emitted.stack().shape == (150, B, 2)
    assert emitted.concat().shape == (150 * B, 2)
    assert not np.any(emitted.stack()[3:, 1])
    np.testing.assert_array_equal(emitted.read(2)[1], state[1])
    np.testing.assert_array_equal(count, [150, 150])
    bounded, last, _ = tf1.raw_rnn(cell, loop_fn, maximum_iterations=200)
    assert bounded.size() == 150
    np.testing.assert_allclose(bounded.stack()[:150], emitted.stack(), atol=1e-6)
    assert not np.any(bounded.stack()[150:])
    np.testing.assert_allclose(last, state, atol=1e-6)
    cut, _, _ = tf1.raw_rnn(cell, loop_fn, maximum_iterations=5)
    assert cut.size() == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": lambda x: x[:, :2]}, "next_input must be returned by loop_fn in"),
        ({"state": lambda s: (s, s)}, r"next_cell_state must hold 1 state\(s\), h"),
        ({"emit": lambda e: e[:, :1]}, "emit_output must be returned by loop_fn"),
    ],
)
def test_what_loop_fn_returns_keeps_its_form(change, words, x):
    cell = tf1.GRUCell(U)

    def loop_fn(time, output, state, loop_state):
        first = output is None
        same = lambda a: a  # noqa: E731
        at = {} if first else change
        state = cell.zero_state(B, "float32") if first else state
        read = at.get("x", same)(x[:, 0])
        emit = None if first else at.get("emit", same)(output)
        state = at.get("state", same)(state)
        return jnp.full(B, time > 2), read, state, emit, loop_state

    with pytest.raises(ValueError, match=words):
        tf1.raw_rnn(cell, loop_fn)
    with pytest.raises(ValueError, match="loop_fn must return"):
        tf1.raw_rnn(cell, lambda *_: (1, 2))
    with pytest.raises(ValueError, match="maximum_iterations must be a positive"):
        tf1.raw_rnn(cell, loop_fn, maximum_iterations=0)


@pytest.mark.keras_ranks
def test_a_raw_loop_in_a_models_graph_is_the_models(rng, tmp_path):
    """Its weights are, also of layers that stand in the loop and around it."""
    inputs, lengths = keras.Input((T, D)), keras.Input((), dtype="int32")
    narrow, out = keras.layers.Dense(2, name="narrow"), keras.layers.Dense(D)
    cell, steps = tf1.BasicLSTMCell(U), keras.ops.arange(1.0, 1.0 + D)
    below = keras.layers.Dense(D)(inputs)
    calls = []

    def loop_fn(time, output, state, loop_state):
        calls.append(time)
        read = keras.ops.take(below, keras.ops.minimum(time, T - 1), axis=1)
        emit, total = jnp.zeros(2), keras.ops.zeros_like(read)
        if output is not None:
            emit, total = narrow(output), loop_state[0] + out(output)
            read = read + out(output) * steps
        finished = keras.ops.greater_equal(time, lengths)
        return finished, read, state, emit, [total]

    emitted, state, (total,) = tf1.raw_rnn(cell, loop_fn, maximum_iterations=T)
    top = narrow(state.c)
    results = [emitted.stack(), emitted.size(), state.h, total, top]
    model = keras.Model([inputs, lengths], results)
    assert [tuple(r.shape) for r in results[:3]] == [(T, None, 2), (), (None, U)]
    assert len(calls) == 2  # for the start, and for a step
    assert len(model.trainable_weights) == 2 + 2 + 2 + 3
    scatter(model, rng)
    x, n = rng.normal(size=(B, T, D)).astype("float32"), np.array([T, 2], "int32")
    found = model([x, n])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert len(again.trainable_weights) == 9
    again.save(tmp_path / "again.keras")
    for loaded in (again, keras.models.load_model(tmp_path / "again.keras")):
        for one, other in zip(loaded([x, n]), found, strict=True):
            np.testing.assert_array_equal(one, other)

    # The same loop on arrays, with the same weights.
    below = next(w for w in model.layers if isinstance(w, keras.layers.Dense))(x)
    lengths = jnp.asarray(n)
    emitted, state, (total,) = tf1.raw_rnn(cell, loop_fn, maximum_iterations=T)
    wanted = [emitted.stack(), emitted.size(), state.h, total, narrow(state.c)]
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)

    model = keras.Model(model.inputs, results[3:])
    model.compile("sgd", ["mse", "mse"])
    before = [np.asarray(weight) for weight in model.trainable_weights]
    model.fit([x, n], [np.ones((B, D)), np.ones((B, 2))], verbose=0)
    after = model.trainable_weights
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(moved)


def test_a_raw_loop_in_a_graph_has_a_bound():
    inputs = keras.Input((T, D))

    def loop_fn(time, output, state, loop_state):
        read = keras.ops.take(inputs, time, axis=1)
        return keras.ops.any(read > 3, axis=1), read, state, output, loop_state

    with pytest.raises(ValueError, match="maximum_iterations must be given on Keras"):
        tf1.raw_rnn(tf1.GRUCell(U), loop_fn)
    with pytest.raises(ValueError, match="let the first call read the model's tensors"):
        tf1.raw_rnn(
            tf1.GRUCell(U),
            lambda time, output, state, _: (
                jnp.zeros(B, bool),
                jnp.zeros((B, D)) if output is None else keras.Input((D,)),
                state,
                output,
                None,
            ),
        )


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, jnp.zeros(B + 1, bool), "finished must be one truth value, or one for"),
        (0, None, "finished must be one truth value"),
        (1, None, "next_input must hold arrays of numbers"),
        (1, jnp.ones(()), "next_input must be an array"),
        (1, jnp.ones((B + 1, D)), "next_cell_state.* must have shape"),
        (2, None, r"next_cell_state must hold 1 state\(s\)"),
        (2, jnp.ones((B, U + 1)), "next_cell_state.* must have shape"),
    ],
)
def test_what_loop_fn_returns_first(place, value, words, x):
    cell = tf1.GRUCell(U)
    first = [jnp.zeros(B, bool), x[:, 0], cell.zero_state(B), None, None]
    first[place] = value
    with pytest.raises(ValueError, match=words):
        tf1.raw_rnn(cell, lambda *_: first)


def test_a_decision_of_loop_fn_is_told_with_its_line(x):
    cell = tf1.GRUCell(U)

    def loop_fn(time, output, state, _):
        state = cell.zero_state(B) if output is None else state
        return bool(time > 3), x[:, 0], state, output, None

    with pytest.raises(ValueError, match=r"loop_fn must be the same arithmetic .*bool"):
        tf1.raw_rnn(cell, loop_fn)


def test_a_state_of_whole_numbers_is_one_of_the_cells(x):
    cell = tf1.GRUCell(U)

    def loop_fn(time, output, state, _):
        state = jnp.zeros((B, U), int) if output is None else state
        return time > 1, x[:, 0], state, output, None

    emitted, state, _ = tf1.raw_rnn(cell, loop_fn)
    assert state.dtype == "float32"
    np.testing.assert_array_equal(emitted.stack()[-1], state)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: tf1.dynamic_rnn(tf1.GRUCell(U), None), "inputs must hold arrays"),
        (
            lambda x: tf1.dynamic_rnn(tf1.GRUCell(U), x.astype(object)),
            "inputs must hold arrays of numbers.* Got ndarray of object",
        ),
        (lambda x: tf1.dynamic_rnn(tf1.GRUCell(U), x.tolist()), "must be an array"),
        (
            lambda x: tf1.dynamic_rnn(tf1.GRUCell(U), x, dtype="int32"),
            "dtype must be one of floating point numbers",
        ),
        (
            lambda x: tf1.dynamic_rnn(tf1.GRUCell(U), x, dtype="float64"),
            "dtype can be float64 only where JAX has it",
        ),
        (
            lambda x: tf1.static_rnn(tf1.GRUCell(U), [x[:, 0], x[:, 1, :1]]),
            "inputs must have steps of one shape",
        ),
        (
            lambda x: tf1.dynamic_rnn(
                tf1.AttentionCellWrapper(tf1.GRUCell(U), 2), x, initial_state=(x, x)
            ),
            r"state must be a tuple, \(the cell's, attns, attn_states\)",
        ),
        (lambda x: tf1.GRUCell(U).zero_state(-1), "batch_size must be a whole number"),
        (lambda x: tf1.GRUCell(U).zero_state(2, "str"), "dtype must be one of float"),
        (
            lambda x: tf1.stack_bidirectional_rnn(tf1.GRUCell(U), tf1.GRUCell(U), [x]),
            "must be lists of as many cells",
        ),
    ],
)
def test_what_a_driver_cannot_take(call, words, x):
    with pytest.raises(ValueError, match=words):
        call(np.asarray(x))


def test_weights_are_the_models_and_in_its_file(x, tmp_path):
    inputs, lengths = keras.Input((T, D)), keras.Input((), dtype="int32")
    cell = tf1.MultiRNNCell([tf1.BasicLSTMCell(U), tf1.GRUCell(2)])
    outputs, state = tf1.dynamic_rnn(cell, inputs, lengths, dtype="float32")
    again, _ = tf1.dynamic_rnn(cell, 2 * inputs, dtype="float32")
    start, _ = tf1.dynamic_rnn(cell, inputs, initial_state=state)
    model = keras.Model([inputs, lengths], [outputs, again, start, state[0].c])
    assert len(model.trainable_weights) == len(cell.trainable_weights) == 6
    given = [x, jnp.asarray([T, 2])]
    want = model(given)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(loaded(given), want, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    direct = tf1.dynamic_rnn(cell, x, given[1])[0]
    np.testing.assert_allclose(want[0], direct, atol=1e-6)


def test_zeros_past_the_end_count_in_a_loss(x):
    """As in TensorFlow 1, where a mask is the user's own."""
    inputs, lengths = keras.Input((T, D)), keras.Input((), dtype="int32")
    outputs, _ = tf1.dynamic_rnn(tf1.GRUCell(U), inputs, lengths)
    model = keras.Model([inputs, lengths], outputs)
    model.compile(loss="mse")
    given, target = [x, jnp.asarray([T, 2])], np.ones((B, T, U), "float32")
    loss = model.evaluate(given, target, verbose=0)
    np.testing.assert_allclose(loss, np.mean((model(given) - target) ** 2), rtol=1e-5)


def test_lists_of_keras_tensors(x):
    inputs = keras.Input((T, D))
    steps = keras.ops.unstack(inputs, axis=1)
    cells = [tf1.BasicLSTMCell(U, state_is_tuple=False), tf1.GRUCell(2)]
    outputs, fw, bw = tf1.static_bidirectional_rnn(*cells, steps)
    assert len(outputs) == T
    model = keras.Model(inputs, [outputs[-1], fw, bw])
    want = tf1.static_bidirectional_rnn(*cells, keras.ops.unstack(x, axis=1))
    last, fw, bw = model(x)
    np.testing.assert_allclose(last, want[0][-1], atol=1e-6)
    np.testing.assert_allclose(fw, want[1], atol=1e-6)
    np.testing.assert_allclose(bw, want[2], atol=1e-6)


@keras.saving.register_keras_serializable("tests.tf1")
class Reader(keras.Model):
    """A model of a user's class, whose `call` runs drivers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lower = tf1.MultiRNNCell([tf1.LSTMCell(U, num_proj=3), tf1.GRUCell(D)])
        self.both = [tf1.DropoutWrapper(tf1.GRUCell(2), 0.5), tf1.BasicRNNCell(2)]
        self.raw = Counted()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        below, _ = tf1.dynamic_rnn(self.lower, x, dtype="float32")
        steps = keras.ops.unstack(below, axis=1)
        outputs, _, _ = tf1.static_bidirectional_rnn(*self.both, steps)
        rows = keras.ops.shape(x)[0]

        def loop_fn(time, output, state, loop_state):
            if output is None:
                state = jnp.zeros((rows, D), "float32")
            read = jnp.take(below, time, axis=1)
            return jnp.full(rows, time >= T), read, state, output, loop_state

        emitted, _, _ = tf1.raw_rnn(self.raw, loop_fn, maximum_iterations=T)
        return self.dense(jnp.concatenate([outputs[1], emitted.stack()[-1]], -1))


@pytest.mark.keras_ranks
def test_in_a_model_of_a_users_class_a_second_call_makes_no_weights(rng, tmp_path):
    x = rng.normal(size=(16, T, D)).astype("float32")
    model = Reader()
    model(x)
    count = len(model.weights)
    assert count == (4 + 3) + (3 + 3) + 1 + 2
    layer = model.lower.layer()
    want = model(x)
    assert len(model.weights) == count
    assert model.lower.layer() is layer
    model.compile("adam", "mse")
    before = [np.asarray(weight) for weight in model.trainable_weights]
    model.fit(x, rng.normal(size=(16, 1)), batch_size=8, epochs=2, verbose=0)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, model.trainable_weights, strict=True)
    ]
    assert all(moved)
    assert len(model.weights) == count
    want = model(x)
    model.save_weights(tmp_path / "model.weights.h5")
    other = Reader()
    other(x)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(other(x), want, atol=1e-6)


def test_dropout_is_on_in_training_only(x):
    cell = tf1.DropoutWrapper(tf1.BasicRNNCell(U), output_keep_prob=0.5, seed=3)
    still, _ = tf1.dynamic_rnn(cell, x)
    assert np.all(still != 0)
    drawn, _ = tf1.dynamic_rnn(cell, x, training=True)
    assert 0 < np.mean(np.asarray(drawn) == 0) < 1
    other, _ = tf1.dynamic_rnn(cell, x, training=True)
    assert not np.array_equal(drawn, other)
    once = tf1.DropoutWrapper(
        tf1.BasicRNNCell(U), output_keep_prob=0.5, variational_recurrent=True
    )
    zeros = np.asarray(tf1.dynamic_rnn(once, x, training=True)[0]) == 0
    np.testing.assert_array_equal(zeros, np.broadcast_to(zeros[:, :1], zeros.shape))
    loop = lambda training: _drawing(cell, training)  # noqa: E731
    assert np.any(loop(True) == 0)
    assert not np.any(loop(False) == 0)


def _drawing(cell, training):
    """A raw loop of a cell that draws at each step."""

    def loop_fn(time, output, state, loop_state):
        state = cell.zero_state(B, "float32") if output is None else state
        return jnp.full(B, time >= 6), jnp.ones((B, D)), state, output, loop_state

    return tf1.raw_rnn(cell, loop_fn, training=training)[0].stack()


def test_lists_of_cells_and_states_are_checked(x):
    cells = [tf1.GRUCell(2), tf1.GRUCell(2)]
    run = tf1.stack_bidirectional_dynamic_rnn
    with pytest.raises(ValueError, match="as many cells, one or more"):
        run(cells, cells[:1], x)
    with pytest.raises(ValueError, match="as many cells, one or more"):
        run([], [], x)
    with pytest.raises(ValueError, match=r"as many cells.*Got .'GRUCell', 'list'"):
        tf1.stack_bidirectional_dynamic_rnn(tf1.GRUCell(3), [tf1.GRUCell(3)], x)
    with pytest.raises(ValueError, match="initial_states_bw must be a list of states"):
        run(cells, cells, x, initial_states_bw=[x[:, 0]])
    with pytest.raises(ValueError, match="inputs must be a list with an array"):
        tf1.static_rnn(cells[0], x)
    with pytest.raises(ValueError, match="state_name must have a name for each"):
        tf1.state_saving_rnn(tf1.BasicLSTMCell(2), [x[:, 0]], None, "c")


@pytest.mark.parametrize(
    "read",
    [lambda x, time: x[time], lambda x, time: x[0] if time < 2 else x[1]],
    ids=["an array of NumPy", "if"],
)
def test_what_loop_fn_decides_in_python_is_named_with_its_line(read):
    steps, cell = np.ones((3, B, D), "float32"), tf1.GRUCell(U)

    def loop_fn(time, output, state, _):
        state = cell.zero_state(B, "float32") if output is None else state
        taken = steps[0] if output is None else read(steps, time)
        return time >= 2, taken, state, output, None

    with pytest.raises(ValueError, match=r"loop_fn must be the same arith.*in line"):
        tf1.raw_rnn(cell, loop_fn)


def test_a_cell_made_at_each_call_would_not_be_trained(x):
    class Model(keras.Model):
        def call(self, x):
            return tf1.dynamic_rnn(tf1.GRUCell(U), x, dtype="float32")[0]

    with pytest.raises(ValueError, match=r"kept by Model.*make it once, in __init__"):
        Model()(x)


def test_a_cell_of_a_users_makes_variables_as_in_tensorflow(x):
    class Mine(tf1.RNNCell):
        state_size = output_size = U

        def build(self, shape):
            self.kernel = self.add_variable("kernel", [shape[-1] + U, U])

        def call(self, inputs, state):
            h = jnp.tanh(jnp.concatenate([inputs, state], axis=1) @ self.kernel.value)
            return h, h

    cell = Mine()
    tf1.dynamic_rnn(cell, x, dtype="float32")
    kernel = np.ones((D + U, U), "float32")
    tf1.load(cell, {"rnn/mine/kernel": kernel})
    _, state = tf1.dynamic_rnn(cell, x, dtype="float32")
    h = np.zeros((B, U))
    for t in range(T):
        h = np.tanh(np.concatenate([np.asarray(x[:, t], "float64"), h], 1) @ kernel)
    np.testing.assert_allclose(state, h, rtol=1e-5)
