"""Cells of any class in a stream: by the programs of their layers, step by step."""

import copy
import pickle
import threading

import unrolled
from unrolled.engine import native
from unrolled.stream.compiled import Compiled
from unrolled.stream.program import Program

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp
from keras import layers, ops

from .. import record
from ..core import need_core
from .test_stream import randomize, run

pytestmark = [need_core, pytest.mark.keras_ranks]

T, D, U, S, M = 5, 6, 8, 7, 3
ROWS = (1, 3, 17, 130)


@keras.saving.register_keras_serializable("stream")
class Peephole(unrolled.Cell):
    """An LSTM whose gates see c, with states that begin at their own values."""

    state_names = ("h", "c")

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.output_size, self.state_size = units, [units, units]

    def build(self, input_shape):
        u = self.output_size
        self.kernel = self.add_weight(shape=(input_shape[-1], 4 * u), name="kernel")
        self.recurrent = self.add_weight(shape=(u, 4 * u), name="recurrent")
        self.peephole = self.add_weight(shape=(3, u), name="peephole")

    def get_initial_state(self, batch_size):
        first = jnp.linspace(-0.5, 0.5, self.output_size)
        rows = jnp.arange(1.0, batch_size + 1)[:, None] / 10
        return [jnp.broadcast_to(first, (batch_size, len(first))), rows + first]

    def step(self, x, states, constants):
        del constants
        h, c = states
        z = x @ self.kernel.value + h @ self.recurrent.value
        i, f, g, o = jnp.split(z, 4, axis=-1)
        p = self.peephole.value
        c = jax.nn.sigmoid(f + p[1] * c) * c + jax.nn.sigmoid(i + p[0] * c) * jnp.tanh(
            g
        )
        h = jax.nn.sigmoid(o + p[2] * c) * jnp.tanh(c)
        return h, [h, c]


class Normalised(layers.Layer):
    """A cell of Keras's layers; what leaves it is no state."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = units, 3
        self.dense, self.norm = layers.Dense(units), layers.LayerNormalization()
        self.head = layers.Dense(3, activation="softmax")

    def build(self, input_shape):
        self.dense.build((None, input_shape[-1] + self.state_size))
        self.norm.build((None, self.state_size))
        self.head.build((None, self.state_size))

    def call(self, inputs, states):
        z = self.norm(self.dense(ops.concatenate([inputs, states[0]], axis=-1)))
        h = ops.tanh(z) + 0.5 * states[0]
        return self.head(h), [h]


class Grouped(unrolled.Cell):
    """Two heads, each of which sees itself alone."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.output_size = self.state_size = units

    def build(self, input_shape):
        n = self.output_size // 2
        self.kernel = self.add_weight(shape=(input_shape[-1], 2 * n), name="kernel")
        self.recurrent = self.add_weight(shape=(2, n, n), name="recurrent")

    def step(self, x, states, constants):
        del constants
        h = states[0].reshape(states[0].shape[0], 2, -1)
        z = (x @ self.kernel.value).reshape(h.shape)
        h = jnp.tanh(z + jnp.einsum("bgn,gnm->bgm", h, self.recurrent.value))
        return h.reshape(h.shape[0], -1), [h.reshape(h.shape[0], -1)]


class Sorts(unrolled.Cell):
    """What it does has no fused form."""

    output_size = state_size = U

    def step(self, x, states, constants):
        del constants
        h = jnp.sort(states[0] + x[:, :1], axis=-1)
        return h, [h]


def attention():
    mechanism = unrolled.BahdanauAttention(5)
    return unrolled.AttentionCell(unrolled.GRUCell(U), mechanism)


CELLS = {
    "peephole": lambda: Peephole(U),
    "wide": lambda: Peephole(70),
    "normalised": lambda: Normalised(U),
    "grouped": lambda: Grouped(U),
    "attention": attention,
    "zoneout": lambda: unrolled.ZoneoutWrapper(unrolled.LSTMCell(U), 0.2),
    "residual": lambda: unrolled.ResidualWrapper(unrolled.GRUCell(D)),
}


def draw(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def memory_of(name, rows):
    if name != "attention":
        return {}
    mask = np.arange(S) < 1 + np.arange(rows)[:, None] % S
    return {"memory": draw(rows, S, M, seed=2), "memory_mask": mask}


def built(cell, **options):
    """A layer with random weights."""
    layer = unrolled.RNN(cell, return_sequences=True, **options)
    given = (
        memory_of("attention", 1) if isinstance(cell, unrolled.AttentionCell) else {}
    )
    layer(draw(1, T, D), **given)
    return randomize(layer)


def by_scan(layer, x, **given):
    with unrolled.kernels("off"):
        return jax.tree.map(np.asarray, layer(x, **given))


def hold(got, want, name):
    record.hold("values", "float32", got, np.asarray(want, "float64"), name)


def is_native(stream):
    return stream.plan().startswith("the native stepper")


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", CELLS)
def test_every_step_is_that_of_the_layer(name, rows):
    layer = built(CELLS[name]())
    whole = unrolled.RNN(layer.cell, return_sequences=True, return_all_states=True)
    x, given = draw(rows, T, D), memory_of(name, rows)
    y, *all_states = by_scan(whole, x, **given)
    stream = unrolled.stream(layer, batch_size=rows, **given)
    assert is_native(stream)
    for t in range(T):
        hold(stream.step(x[:, t]), y[:, t], f"stream of {name}")
        states = stream.states[layer.name]
        for state, all_of_it in zip(states, jax.tree.leaves(all_states), strict=True):
            hold(state, all_of_it[:, t], f"states of {name} in a stream")


@pytest.mark.parametrize("rows", ROWS[:3])
def test_among_other_layers(rows):
    parts = [
        layers.Dense(4, activation="gelu"),
        unrolled.RNN(Normalised(U), return_sequences=True),
        unrolled.LSTM(5, return_sequences=True),
        unrolled.RNN([Peephole(U), Grouped(4)], return_sequences=True),
        layers.Dense(2),
    ]
    model = randomize(keras.Sequential([keras.Input((None, D)), *parts]))
    x = draw(rows, T, D)
    stream = unrolled.stream(model, batch_size=rows)
    assert is_native(stream)
    hold(run(stream, x), by_scan(model, x), "fused cells among layers")


def test_marked_rows_begin_at_the_cells_own_states():
    layer = built(Peephole(U))
    x = draw(3, T, D)
    stream = unrolled.stream(layer, batch_size=3)
    first = run(stream, x)
    stream.reset([1])
    again = run(stream, x)
    np.testing.assert_array_equal(again[1], first[1])
    assert not np.array_equal(again[0], first[0])
    stream.reset()
    np.testing.assert_array_equal(run(stream, x), first)
    fresh = layer.get_initial_state(3)
    stream.reset()
    for got, want in zip(stream.states[layer.name], fresh, strict=True):
        np.testing.assert_array_equal(got, want)


def test_refresh_reads_the_weights_again():
    layer = built(Peephole(U))
    x = draw(2, T, D)
    stream = unrolled.stream(layer, batch_size=2)
    before = run(stream, x)
    randomize(layer, seed=9)
    stream.reset()
    np.testing.assert_array_equal(run(stream, x), before)
    stream.refresh()
    stream.reset()
    hold(run(stream, x), by_scan(layer, x), "refreshed")


@pytest.mark.parametrize("name", ["normalised", "attention"])
def test_refresh_keeps_states_and_memory(name):
    layer = built(CELLS[name]())
    x, given = draw(2, T, D), memory_of(name, 2)
    stream = unrolled.stream(layer, batch_size=2, **given)
    other = unrolled.stream(layer, batch_size=2, **given)
    for each in (stream, other):
        each.step(x[:, 0])
    stream.refresh()
    np.testing.assert_array_equal(run(stream, x), run(other, x))


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("name", ["zoneout", "attention"])
def test_a_copy_goes_on_by_itself(copied, name):
    layer = built(CELLS[name]())
    x, given = draw(3, 2 * T, D), memory_of(name, 3)
    stream = unrolled.stream(layer, batch_size=3, **given)
    run(stream, x[:, :T])
    other = copied(stream)
    randomize(layer, seed=9)
    ahead = run(other, x[:, T:])
    np.testing.assert_array_equal(run(stream, x[:, T:]), ahead)
    states = other.states
    other.reset([0])
    assert not np.array_equal(other.states[layer.name][0], states[layer.name][0])
    np.testing.assert_array_equal(stream.states[layer.name][0], states[layer.name][0])


def test_threads_take_turns():
    layer = built(Peephole(300))
    x = draw(1, D)
    whole = unrolled.stream(layer)
    want = {whole.step(x).tobytes() for _ in range(40)}
    stream, got = unrolled.stream(layer), []

    def work():
        got.extend(stream.step(x).tobytes() for _ in range(20))
        stream.states  # noqa: B018

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(got) == want


# --- what has no fused form ---


def test_a_cell_without_a_fused_form_is_stepped_by_jax():
    layer = built(Sorts())
    x = draw(2, T, D)
    stream = unrolled.stream(layer, batch_size=2)
    why = f"'{layer.name}', as sort in the step has no fused form"
    assert stream.plan() == f"NumPy, and JAX for the cell of {why}."
    hold(run(stream, x), by_scan(layer, x), "by JAX")


class Counts(unrolled.Cell):
    """Its arithmetic holds the size of the batch."""

    output_size = state_size = U

    def step(self, x, states, constants):
        del constants
        h = jnp.tanh(states[0] + x[:, :1] / len(x))
        return h, [h]


def test_a_step_that_knows_the_size_of_the_batch_is_stepped_by_jax():
    layer = built(Counts())
    x = draw(3, T, D)
    stream = unrolled.stream(layer, batch_size=3)
    assert "as the size of the batch among its numbers has no fused" in stream.plan()
    hold(run(stream, x), by_scan(layer, x), "by JAX, for a batch of a size")


def test_beside_it_no_program_runs():
    parts = [
        unrolled.RNN(Peephole(U), return_sequences=True, name="p"),
        unrolled.RNN(Sorts(), return_sequences=True, name="s"),
        layers.Dense(2),
    ]
    model = randomize(keras.Sequential([keras.Input((None, D)), *parts]))
    x = draw(2, T, D)
    stream = unrolled.stream(model, batch_size=2)
    plan = stream.plan()
    assert "'p', as beside 's' no program runs" in plan
    assert "'s', as sort in the step has no fused form" in plan
    hold(run(stream, x), by_scan(model, x), "by JAX beside another")


def test_without_the_core(monkeypatch):
    layer = built(Peephole(U))
    x = draw(2, T, D)
    stream = unrolled.stream(layer, batch_size=2)
    kept = pickle.dumps(stream)
    monkeypatch.setenv("UNROLLED_ISA", "scan")
    with pytest.raises(
        ValueError, match="the compiled core must be there to run a str"
    ):
        pickle.loads(kept)
    stream.refresh()
    assert f"'{layer.name}', as UNROLLED_ISA=scan asks for it" in stream.plan()
    hold(run(stream, x), by_scan(layer, x), "by JAX where there is no core")


# --- what the core is told ---


def spoilt(change):
    """The error about a stream whose program was changed."""
    stream = unrolled.stream(built(Peephole(U)), batch_size=2)
    (step,) = stream._program.steps
    code, arrays, step = change(step.cell.code.copy(), list(step.cell.arrays), step)
    cell = step.cell._replace(code=code, arrays=tuple(arrays))
    program = Program([step._replace(cell=cell)])
    with pytest.raises(ValueError, match="program") as caught:
        Compiled(program, 2, "float32", np.asarray)
    return str(caught.value)


def test_a_malformed_program_is_refused():
    def version(code, arrays, step):
        code[0] = 7
        return code, arrays, step

    def end(code, arrays, step):
        return code[:-1], arrays, step

    def operand(code, arrays, step):
        code[-40 + 6] = 1 << 15  # what the last instruction writes
        return code, arrays, step

    assert "malformed: the version of a program must be" in spoilt(version)
    assert "malformed: it must have" in spoilt(end)
    assert "malformed: an operand must be from 0 to" in spoilt(operand)


def test_arrays_that_do_not_fit_a_program_are_refused():
    def fewer(code, arrays, step):
        return code, arrays[:-1], step

    def shorter(code, arrays, step):
        return code, [*arrays[:-1], arrays[-1][:-1]], step

    def rows(code, arrays, step):
        return code, [arrays[0][:1], *arrays[1:]], step

    def width(code, arrays, step):
        return code, arrays, step._replace(units=U + 1)

    count = len(unrolled.stream(built(Peephole(U)))._program.steps[0].cell.arrays)
    words = f"an array for each of its {count} inputs. Got {count - 1}"
    assert words in spoilt(fewer)
    assert "of a step's program must have" in spoilt(shorter)
    assert f"array 0 of a step's program must have {2 * U} numbers. Got {U}" in spoilt(
        rows
    )
    assert f"the width of the layer, {U + 1}, and run forwards. Got {U}" in spoilt(
        width
    )


def test_a_program_that_is_no_step_is_refused():
    """Of its header: inputs, results, slots, carries; then the kinds of operands."""

    def kept(code, arrays, step):
        code[8 + 3 * [a is None for a in arrays].index(True)] = 3
        return code, arrays, step

    def shared(code, arrays, step):
        inputs, results, slots = map(int, code[1:4])
        carry = 8 + 3 * (inputs + results) + 2 * slots
        code[carry + 4 + 1] = code[carry + 1]  # both start from the first
        return code, arrays, step

    assert "VECTOR and ROW arrays and a SEQUENCE" in spoilt(kept)
    assert "must be read by that carry alone" in spoilt(shared)


def test_the_plan_names_the_variant():
    stream = unrolled.stream(built(Peephole(U)))
    assert stream.plan() == (
        f"the native stepper ({native.variant()}), with float32 weights."
    )
