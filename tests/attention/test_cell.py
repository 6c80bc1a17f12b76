"""`AttentionCell` around any cell, in every layer, against a loop written by hand."""

from functools import partial

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..harness import close, scatter

B, T, S, D, M, U = 2, 4, 5, 3, 3, 4
MASK = np.array([[1, 1, 0, 1, 0], [0] * 5], bool)


def _draw(rng):
    x, memory = rng.normal(size=(B, T, D)), rng.normal(size=(B, S, M))
    return x.astype("float32"), memory.astype("float32")


def _layer(rng, cell, **kwargs):
    layer = unrolled.RNN(cell, return_sequences=True, **kwargs)
    layer.build((B, None, D), memory_shape=(B, S, M))
    return scatter(layer, rng)


def _attending(inside=None, mechanism=None, **kwargs):
    inside = inside or unrolled.GRUCell(U)
    return unrolled.AttentionCell(
        inside, mechanism or unrolled.BahdanauAttention(U), **kwargs
    )


def _by_hand(cell, x, memory, mask):
    """A Python loop over the cell's own call: outputs, and the states at the end."""
    states, outputs = cell.get_initial_state(len(x), memory_shape=memory.shape), []
    for t in range(x.shape[1]):
        y, states = cell(x[:, t], states, memory=memory, memory_mask=mask)
        outputs.append(y)
    return jnp.stack(outputs, 1), states


INSIDE = {
    "gru": lambda: unrolled.GRUCell(U),
    "stack": lambda: unrolled.StackedRNNCells(
        [unrolled.LSTMCell(3), unrolled.GRUCell(U)]
    ),
    "zoneout": lambda: unrolled.ZoneoutWrapper(unrolled.LSTMCell(U), 0.2),
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("inside", INSIDE)
def test_around_any_cell_values_and_gradients_equal_a_loop(inside, rng):
    """The gradients of the memory, of which a row is masked whole, and of weights."""
    layer = _layer(rng, _attending(INSIDE[inside]()))
    x, memory = _draw(rng)
    memory[~MASK] = np.nan  # whatever padding holds

    def total(run, weights, memory):
        with keras.StatelessScope(
            state_mapping=zip(layer.trainable_variables, weights, strict=True)
        ):
            return jnp.sum(run(memory) ** 2)

    def ours(memory):
        return layer(x, memory=memory, memory_mask=MASK)

    def by_hand(memory):
        return _by_hand(layer.cell, x, memory, MASK)[0]

    weights = [v.value for v in layer.trainable_variables]
    found, expected = (
        jax.jit(jax.value_and_grad(partial(total, run), (0, 1)))(weights, memory)
        for run in (ours, by_hand)
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.isfinite(a).all()
        close(a, b)
    d_memory = found[1][1]
    assert np.any(d_memory[0])
    assert not np.any(d_memory[1])


AROUND = {
    "residual": lambda: unrolled.ResidualWrapper(
        _attending(output_attention=True)  # M is D
    ),
    "dropout": lambda: unrolled.DropoutWrapper(_attending(), state_dropout=0.3),
    "stack": lambda: unrolled.StackedRNNCells([_attending(), unrolled.LSTMCell(2)]),
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("around", AROUND)
def test_inside_of_others(around, rng):
    x, memory = _draw(rng)
    layer = _layer(rng, AROUND[around]())
    expected, _ = _by_hand(layer.cell, x, memory, MASK)
    close(layer(x, memory=memory, memory_mask=MASK), expected)
    trained = layer(x, memory=memory, memory_mask=MASK, training=True)
    assert np.allclose(trained, expected, atol=1e-5) == (around != "dropout")


def test_the_history_of_alignments(rng):
    layer = _layer(rng, _attending(), return_all_states=True)
    x, memory = _draw(rng)
    *_, attention, alignments = layer(x, memory=memory, memory_mask=MASK)
    assert layer.state_names == ["h", "attention", "alignments"]
    close(alignments.sum(-1), np.array([[1.0], [0.0]]).repeat(T, 1))
    assert not np.any(alignments[:, :, 2])
    close(attention, np.einsum("bts,bsm->btm", alignments, memory))
    close(layer(x, memory=memory, memory_mask=MASK)[0], attention)


def test_a_list_of_memories_and_masks(rng):
    """Each mechanism looks into its own; alone it would find the same."""
    cell = _attending(
        mechanism=[unrolled.BahdanauAttention(U), unrolled.LuongAttention(U)],
        output_attention=False,
    )
    layer = unrolled.RNN(cell, return_all_states=True)
    x, memory = _draw(rng)
    other = rng.normal(size=(B, 2, 6)).astype("float32")
    layer(x, memory=[memory, other])
    scatter(layer, rng)
    assert cell.width == M + 6
    *_, attention, first, second = layer(
        x, memory=[memory, other], memory_mask=[MASK, None]
    )
    close(attention[..., :M], np.einsum("bts,bsm->btm", first, memory))
    close(attention[..., M:], np.einsum("bts,bsm->btm", second, other))
    assert not np.any(first[1])
    assert np.all(second > 0)


INITIAL = {
    "row": lambda h: [h],
    "name": lambda h: {"h": h},
    "both": lambda h: {"h": h, "attention": np.zeros((B, M), "float32")},
}


@pytest.mark.parametrize("form", INITIAL)
def test_an_initial_state_of_the_cell_alone(form, rng):
    layer = _layer(rng, _attending())
    x, memory = _draw(rng)
    h = rng.normal(size=(B, U)).astype("float32")
    _, attention, alignments = layer.get_initial_state(B, memory.shape)
    whole = layer(x, [h, attention, alignments], memory=memory)
    close(layer(x, INITIAL[form](h), memory=memory), whole)


def test_an_initial_state_in_stack_and_wrapper(rng):
    cells = [unrolled.DropoutWrapper(_attending()), unrolled.LSTMCell(2)]
    layer = _layer(rng, unrolled.StackedRNNCells(cells))
    x, memory = _draw(rng)
    h, *lstm = (rng.normal(size=(B, n)).astype("float32") for n in (U, 2, 2))
    fresh = layer.get_initial_state(B, memory.shape)
    whole = layer(x, [[h, *fresh[0][1:]], lstm], memory=memory)
    close(layer(x, [[h], lstm], memory=memory), whole)
    by_name = {"0": {"h": h}, "1": dict(zip("hc", lstm, strict=True))}
    close(layer(x, by_name, memory=memory), whole)


def test_stateful(rng):
    layer = _layer(rng, _attending())
    x, memory = _draw(rng)
    chunks = unrolled.RNN(_attending(), return_sequences=True, stateful=True)
    chunks.build((B, None, D), memory_shape=(B, S, M))
    chunks.set_weights(layer.get_weights())
    parts = [chunks(part, memory=memory) for part in (x[:, :2], x[:, 2:])]
    close(np.concatenate(parts, 1), layer(x, memory=memory))
    with pytest.raises(ValueError, match=r"carried states\[2\] \(alignments\) must"):
        chunks(x, memory=memory[:, 1:])
    chunks.reset_state()
    close(chunks(x, memory=memory), layer(x, memory=memory))


def test_stream(rng):
    layer = _layer(rng, _attending(attention_layer_size=2))
    x, memory = _draw(rng)
    stream = unrolled.stream(layer, batch_size=B, memory=memory, memory_mask=MASK)
    steps = np.stack([stream.step(x[:, t]) for t in range(T)], 1)
    close(steps, layer(x, memory=memory, memory_mask=MASK))


def test_bidirectional(rng):
    both = unrolled.Bidirectional(
        unrolled.RNN(_attending(attention_layer=jnp.tanh), return_sequences=True)
    )
    x, memory = _draw(rng)
    both(x, memory=memory)
    scatter(both, rng)
    forward, backward = (
        layer(x, memory=memory, memory_mask=MASK) for layer in both._layers_of
    )
    expected = np.concatenate([forward, backward[:, ::-1]], -1)
    close(both(x, memory=memory, memory_mask=MASK), expected)


def test_the_memory_is_projected_once_a_sequence(rng):
    layer = _layer(rng, _attending())
    x, memory = _draw(rng)
    with unrolled.kernels("off"):
        jaxpr = jax.make_jaxpr(lambda x, m: layer(x, memory=m))(x, memory)
    products = [e for e in jaxpr.eqns if e.primitive.name == "dot_general"]
    shapes = [e.outvars[0].aval.shape for e in products]
    assert shapes.count((B, S, U)) == 1
    inside = str(jaxpr).split("scan[")[1]
    assert f"f32[{B},{S},{U}] = dot_general" not in inside


@keras.saving.register_keras_serializable("users")
def _added(x, attention):
    return x + attention[:, :D]


@keras.saving.register_keras_serializable("users")
def _halved(joined):
    return 0.5 * joined[:, :M]


@pytest.mark.keras_ranks
def test_a_model_with_its_file(rng, tmp_path):
    """Functions and layers in place of parts come back, the mask of the memory too."""
    bahdanau = unrolled.BahdanauAttention(
        U, memory_layer=keras.layers.Dense(U, "relu"), probability_fn="hardmax"
    )
    cell = unrolled.AttentionCell(
        unrolled.GRUCell(U),
        [bahdanau, unrolled.GeneralAttention()],
        attention_layer=[_halved, None],
        cell_input_fn=_added,
    )
    ids, target = keras.Input((None,), dtype="int32"), keras.Input((None, D))
    memory = keras.layers.Embedding(9, M, mask_zero=True)(ids)
    y = unrolled.RNN(cell)(target, memory=memory)
    model = keras.Model([ids, target], y)
    scatter(model, rng)
    words = np.array([[1, 4, 0, 0], [2, 3, 8, 1]])
    x, _ = _draw(rng)
    expected = model.predict([words, x], verbose=0)
    padded = np.concatenate([words, np.zeros_like(words)], 1)
    close(model.predict([padded, x], verbose=0), expected)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict([words, x], verbose=0), expected)


@pytest.mark.keras_ranks
@pytest.mark.parametrize("several", [False, True])
def test_inside_a_layer_of_a_model_of_any_sizes(several, rng):
    """Keras traces a call of its own with B, T and S that are no numbers."""
    heads = unrolled.MultiHeadAttention(2, 3)
    mechanism = [heads, unrolled.BahdanauAttention(2)] if several else heads

    class Reader(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            cell = unrolled.AttentionCell(unrolled.GRUCell(3), mechanism)
            self.rnn = unrolled.RNN(cell, return_sequences=True)

        def build(self, x_shape, memory_shape):
            self.rnn.build(x_shape, memory_shape=memory_shape)

        def call(self, x, memory):
            return self.rnn(x, memory=memory)

    reader = Reader()
    x, memory = keras.Input((None, 4)), keras.Input((None, 5))
    model = keras.Model([x, memory], reader(x, memory))
    width = sum(m.output_size for m in reader.rnn.cell.mechanisms)
    assert model.output_shape == (None, None, width)
    given = [rng.normal(size=s).astype("float32") for s in ((2, 3, 4), (2, 6, 5))]
    close(model(given), reader.rnn(given[0], memory=given[1]))


def test_narrow_arithmetic(rng):
    """Alignments stay in float32."""
    layer = _layer(rng, _attending())
    narrow = unrolled.RNN(
        unrolled.AttentionCell(
            unrolled.GRUCell(U, dtype="mixed_bfloat16"),
            unrolled.BahdanauAttention(U, dtype="mixed_bfloat16"),
            dtype="mixed_bfloat16",
        ),
        return_sequences=True,
        dtype="mixed_bfloat16",
    )
    narrow.build((B, None, D), memory_shape=(B, S, M))
    narrow.set_weights(layer.get_weights())
    x, memory = _draw(rng)
    fresh = narrow.get_initial_state(B, memory.shape)
    assert {str(state.dtype) for state in fresh} == {"float32"}
    found = narrow(x, memory=memory).astype("float32")
    np.testing.assert_allclose(found, layer(x, memory=memory), atol=0.05)


def test_other_lengths_of_one_memory(rng):
    """A layer takes memories of any length; padding changes nothing."""
    layer = _layer(rng, _attending(mechanism=unrolled.LuongAttention(U, scale=True)))
    x, memory = _draw(rng)
    short = memory[:, :3]
    mask = (np.arange(S) < 3)[None].repeat(B, 0)
    close(layer(x, memory=memory, memory_mask=mask), layer(x, memory=short))


ERRORS = {
    "no mechanism": (
        lambda: unrolled.AttentionCell(unrolled.GRUCell(U), unrolled.GRUCell(U)),
        "mechanism must look into a memory",
    ),
    "a class": (
        lambda: unrolled.AttentionCell(unrolled.GRUCell(U), unrolled.LuongAttention),
        "mechanism must look into a memory",
    ),
    "a name": (
        lambda: unrolled.AttentionCell(unrolled.GRUCell(U), "luong"),
        "mechanism must look into a memory.* Got 'luong'",
    ),
    "two layers": (
        lambda: _attending(attention_layer_size=2, attention_layer=jnp.tanh),
        "attention_layer stands in place of attention_layer_size",
    ),
    "sizes": (
        lambda: _attending(attention_layer_size=[2]),
        "attention_layer_size must be alone, as the mechanism is",
    ),
    "too few": (
        lambda: _attending(
            mechanism=[unrolled.LuongAttention(U)] * 2, attention_layer=[jnp.tanh]
        ),
        "attention_layer must have one entry for each of 2 mechanisms",
    ),
    "size": (
        lambda: _attending(attention_layer_size=0),
        r"attention_layer_size\[0\] must be a positive integer",
    ),
    "layer": (
        lambda: _attending(attention_layer=jnp.sum).build((B, D), (B, S, M)),
        r"attention_layer must make a row \(batch, A\)",
    ),
    "steps": (
        lambda: _attending().build((B, D, 2), (B, S, M)),
        "cell_input_fn must be given for steps that are no row",
    ),
    "memories": (
        lambda: _attending().build((B, D), [(B, S, M)] * 2),
        r"memory must be one array, or a list with one for each of 1",
    ),
    "none": (
        lambda: unrolled.RNN(_attending())(np.zeros((B, T, D), "float32")),
        "memory must be given",
    ),
    "unknown length": (
        lambda: unrolled.RNN(_attending(), stateful=True).build(
            (B, T, D), memory_shape=(B, None, M)
        ),
        "memory_shape must say how many steps the memory has",
    ),
}


@pytest.mark.parametrize("wrong", ERRORS)
def test_errors(wrong):
    call, message = ERRORS[wrong]
    with pytest.raises(ValueError, match=message):
        call()
