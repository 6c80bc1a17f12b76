"""Forms of a memory, transformations, and Keras-style cells that read one."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from .. import reference
from ..cells_of_users import Attending, Hands, Looks
from ..harness import close, scatter
from ..table import draw_mask

T, D, U, S, M = 5, 3, 4, 6, 2


def _draw(rng, batch=2):
    x = rng.normal(size=(batch, T, D)).astype("float32")
    return x, rng.normal(size=(batch, S, M)).astype("float32")


def _layer(rng):
    layer = unrolled.RNN(Attending(U))
    layer.build((2, None, D), memory_shape=(2, None, M))
    return scatter(layer, rng)


class Two(unrolled.Cell):
    """Adds up what it is given: x, and of each part of the memory what counts."""

    state_size = (1,)
    output_size = 1
    seen = None

    def get_constants(self, batch_size, training, memory, memory_mask):
        """One number a row."""
        del training
        type(self).seen = memory_mask
        masks = memory_mask or dict.fromkeys(memory)
        total = jnp.zeros((batch_size,))
        for name, part in memory.items():
            if part is None:
                continue
            mask = masks[name]
            kept = part if mask is None else jnp.where(mask, part, 0)
            total = total + kept.sum(1) * (1 if name == "a" else 10)
        return total[:, None]

    def step(self, x, states, constants):
        """The sum of all."""
        del x
        y = states[0] + constants
        return y, [y]


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_trees_of_memory(kind, rng):
    x = rng.normal(size=(2, 1, 1)).astype("float32")
    a, b = rng.normal(size=(2, 2, S)).astype("float32")
    tree = {"a": kind(a), "b": kind(b)}
    first, second = rng.random((2, 2, S)) < 0.5
    layer = unrolled.RNN(Two())

    def sum_of(a, b):
        return (a.sum(1) + 10 * b.sum(1))[:, None]

    close(layer(x, memory=tree), sum_of(a, b))
    close(layer(x, memory=tree, memory_mask=first), sum_of(a * first, b * first))
    masks = {"b": kind(second), "a": kind(first)}
    close(layer(x, memory=tree, memory_mask=masks), sum_of(a * first, b * second))
    masks = {"a": None, "b": second}
    close(layer(x, memory=tree, memory_mask=masks), sum_of(a, b * second))
    close(layer(x, memory=tree, memory_mask={"a": None, "b": None}), sum_of(a, b))
    assert Two.seen is None


def test_a_part_of_the_memory_may_be_missing(rng):
    x = np.zeros((2, 1, 1), "float32")
    a, mask = rng.normal(size=(2, S)).astype("float32"), rng.random((2, S)) < 0.5
    layer = unrolled.RNN(Two())
    tree = {"a": a, "b": None}
    close(layer(x, memory=tree), a.sum(1)[:, None])
    masked = (a * mask).sum(1)[:, None]
    close(layer(x, memory=tree, memory_mask=mask), masked)
    close(layer(x, memory=tree, memory_mask={"a": mask, "b": None}), masked)
    with pytest.raises(ValueError, match="must be one mask, or a tree like the memory"):
        layer(x, memory=tree, memory_mask={"a": mask, "c": mask})


def test_numpy_and_jax_arrays_are_one(rng):
    layer = _layer(rng)
    x, memory = _draw(rng)
    close(layer(x, memory=jnp.asarray(memory)), layer(x, memory=memory))


def test_a_longer_memory_than_before(rng):
    layer = _layer(rng)
    x, memory = _draw(rng)
    longer = np.concatenate([memory, memory], 1)
    mask = np.arange(2 * S)[None].repeat(2, 0) < S
    close(layer(x, memory=longer, memory_mask=mask), layer(x, memory=memory))


def test_jit_vmap_and_checkpoint(rng):
    layer = _layer(rng)
    x, memory = _draw(rng)
    call = lambda x, m: layer(x, memory=m)  # noqa: E731
    close(jax.jit(call)(x, memory), call(x, memory))
    many = np.stack([memory, 2 * memory, -memory])
    each = np.stack([call(x, one) for one in many])
    close(jax.vmap(call, (None, 0))(x, many), each)
    close(jax.vmap(call)(np.stack([x] * 3), many), each)

    def gradient(function):
        return jax.grad(lambda m: jnp.sum(function(x, m) ** 2))(jnp.asarray(memory))

    close(gradient(jax.checkpoint(call)), gradient(call))


# --- Keras-style cells ---


class MemoryOnly(Looks):
    """Names the memory, not its mask."""

    def call(self, inputs, states, memory=None):
        """As its base."""
        return super().call(inputs, states, memory)


class Needs(Looks):
    """Names both, without a default."""

    def call(self, inputs, states, memory, memory_mask):
        """As its base."""
        return super().call(inputs, states, memory, memory_mask)


CELLS = {
    "both": Looks,
    "memory": MemoryOnly,
    "needs": Needs,
    "hands_both": lambda units: Hands(Looks(units)),
    "hands_memory": lambda units: Hands(MemoryOnly(units)),
    "hands_needs": lambda units: Hands(Needs(units)),
    "hands_hands": lambda units: Hands(Hands(Looks(units))),
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("kind", CELLS)
def test_keras_style_cells(kind, rng):
    x, memory = _draw(rng)
    mask = draw_mask("right", rng, 2, S)
    layer = unrolled.RNN(CELLS[kind](U), return_sequences=True)
    layer(x, memory=memory)
    (weight,) = scatter(layer, rng).get_weights()
    for given in (None, mask):
        reads = "memory" not in kind and given is not None
        counts = np.ones((2, S, 1)) if not reads else mask[..., None]
        mean = (memory * counts).sum(1) / counts.sum(1)

        def step(x, states, mean=mean):
            h = np.tanh(np.concatenate([x, states[0], mean], -1) @ weight)
            return h, [h], None

        law = reference.unroll(step, x, [np.zeros((2, U))]).outputs
        close(layer(x, memory=memory, memory_mask=given), law)


def test_cells_called_alone_are_built_with_the_memory(rng):
    x, memory = _draw(rng)
    h = np.zeros((2, U), "float32")
    cell = Attending(U)
    y, _ = cell(x[:, 0], [h], memory=memory)
    close(y, unrolled.RNN(cell)(x[:, :1], memory=memory))
    around = unrolled.DropoutWrapper(unrolled.StackedRNNCells([unrolled.GRUCell(U)]))
    assert around(x[:, 0], [[h]])[0].shape == (2, U)


def test_hands_on_ours(rng):
    """A Keras-style cell around one of ours that reads a memory."""
    x, memory = _draw(rng)
    layer = unrolled.RNN(Hands(Attending(U)), return_sequences=True)
    layer(x, memory=memory)
    scatter(layer, rng)
    own = unrolled.RNN(layer.cell.cell, return_sequences=True)
    mask = draw_mask("holes", rng, 2, S)
    given = {"memory": memory, "memory_mask": mask}
    close(layer(x, **given), own(x, **given))


class Visits(keras.layers.Layer):
    """A state as long as the memory: how often each entry was the nearest to x."""

    state_size = [(None,)]  # noqa: RUF012
    output_size = 1

    def get_initial_state(self, batch_size, memory_shape):
        """No visits."""
        return [jnp.zeros((batch_size, memory_shape[1]))]

    def call(self, inputs, states, memory):
        """Count, and say how often at most."""
        nearest = jnp.argmin(jnp.abs(memory[..., 0] - inputs), axis=1)
        counts = states[0] + jax.nn.one_hot(nearest, memory.shape[1])
        return counts.max(1, keepdims=True), [counts]


def test_a_state_as_long_as_the_memory():
    memory = np.array([[[0.0], [5.0], [9.0]]], "float32")
    x = np.array([[[4.0], [8.0], [6.0], [5.0]]], "float32")
    stack = unrolled.StackedRNNCells([Visits(), unrolled.SimpleRNNCell(2)])
    layer = unrolled.RNN(unrolled.DropoutWrapper(Visits()), return_state=True)
    y, counts = layer(x, memory=memory)
    assert counts.tolist() == [[0, 3, 1]]
    assert y.tolist() == [[3]]
    assert layer(x, memory=memory[:, :2])[1].tolist() == [[0, 4]]
    assert layer.compute_output_shape(x.shape, memory_shape=memory.shape) == (
        (1, 1),
        (1, None),
    )
    symbols = keras.Input((4, 1)), keras.Input((3, 1))
    model = keras.Model(symbols, unrolled.RNN(stack)(symbols[0], memory=symbols[1]))
    assert model.predict([x, memory], verbose=0).shape == (1, 2)


# --- signatures of before ---


class OldConstants(unrolled.GRUCell):
    """Writes `get_constants` as it was."""

    def get_constants(self, batch_size, training):
        """Something of its own beside."""
        return {**super().get_constants(batch_size, training), "rows": batch_size}


class OldLayer(unrolled.LSTM):
    """Writes `call` as Keras's own LSTM has it."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """Twice the output."""
        return 2 * super().call(sequences, initial_state, mask, training)


class OldBuild(unrolled.RNN):
    """Writes `build` as Keras has it."""

    def build(self, sequences_shape, initial_state_shape=None):
        """As its base."""
        super().build(sequences_shape, initial_state_shape)


@pytest.mark.keras_ranks
def test_old_signatures_go_on_working(rng):
    x, memory = _draw(rng)
    old, new = unrolled.RNN(OldConstants(U)), unrolled.GRU(U)
    for layer in (old, new):
        layer.build(x.shape)
    old.set_weights(new.get_weights())
    close(old(x), new(x))
    twice, once = OldLayer(U), unrolled.LSTM(U)
    for layer in (twice, once):
        layer.build(x.shape)
    twice.set_weights(once.get_weights())
    close(twice(x), 2 * once(x))
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, twice(inputs))
    close(model.predict(x, verbose=0), 2 * once(x))
    close(unrolled.Bidirectional(OldLayer(U))(x).shape, (2, 2 * U))
    assert OldBuild(unrolled.GRUCell(U))(x).shape == (2, U)
    stack = unrolled.RNN([OldConstants(3), Attending(U)])
    assert stack(x, memory=memory).shape == (2, U)
