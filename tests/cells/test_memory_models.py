"""A memory in models: functional, subclassed, saved, fitted; and errors."""

import re

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..cells_of_users import Attend, Attending, Hands, Looks
from ..harness import close, scatter

B, T, D, U, S, M = 2, 5, 3, 4, 6, 2
LSTM = unrolled.LSTMCell


def _draw(rng, batch=B):
    x = rng.normal(size=(batch, T, D)).astype("float32")
    return x, rng.normal(size=(batch, S, M)).astype("float32")


def _padded(rng):
    """A memory whose last entries are zeros, and its mask."""
    x, memory = _draw(rng)
    mask = np.arange(S)[None] < np.array([[2], [4]])
    return x, memory * mask[..., None], mask


def _model(rng, layer, between=None, mask=False):
    """A functional model of (x, memory[, mask]) and `layer`, with random weights."""
    x, memory = keras.Input((None, D)), keras.Input((None, M))
    read = between(memory) if between else memory
    masks = [keras.Input((None,), dtype="bool")] if mask else []
    given = {"memory_mask": masks[0]} if mask else {}
    model = keras.Model([x, memory, *masks], layer(x, memory=read, **given))
    scatter(model, rng)
    return model


def test_a_functional_model_takes_keras_mask_of_the_memory(rng):
    x, memory, mask = _padded(rng)
    layer = unrolled.RNN(Attend(LSTM(U)))
    model = _model(rng, layer, keras.layers.Masking())
    close(
        model.predict([x, memory], verbose=0),
        layer(x, memory=memory, memory_mask=mask),
    )
    assert np.abs(model([x, memory]) - layer(x, memory=memory)).max() > 1e-3
    assert model.output_shape == (None, U)


def test_masks_of_an_embedding_and_of_both_inputs(rng):
    """Keras attaches one to the sequences too; each goes its own way."""
    ids = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    words, read = keras.Input((None,), dtype="int32"), keras.Input((None, M))
    embedded = keras.layers.Embedding(4, D, mask_zero=True)(words)
    layer = unrolled.RNN(Attending(U), return_sequences=True)
    outputs = layer(embedded, memory=keras.layers.Masking()(read))
    model = keras.Model([words, read], outputs)
    scatter(model, rng)
    _, memory, mask = _padded(rng)
    table = next(w for w in model.weights if w.shape == (4, D))
    x = np.asarray(table)[ids]
    given = {"memory": memory, "memory_mask": mask}
    close(model([ids, memory]), layer(x, mask=ids > 0, **given))


def test_an_explicit_mask_wins(rng):
    x, memory, _ = _padded(rng)
    other = rng.random((B, S)) < 0.5
    layer = unrolled.RNN(Attending(U))
    model = _model(rng, layer, keras.layers.Masking(), mask=True)
    expected = layer(x, memory=memory, memory_mask=other)
    close(model.predict([x, memory, other], verbose=0), expected)
    masked = keras.layers.Masking()(memory)
    close(layer(x, memory=masked, memory_mask=other), expected)
    assert np.abs(layer(x, memory=masked) - expected).max() > 1e-3


def test_a_mask_may_know_a_size_that_the_memory_does_not(rng):
    x, memory, mask = _padded(rng)
    layer = unrolled.RNN(Attending(U))
    symbols = keras.Input((None, D)), keras.Input((None, M))
    read = keras.Input((S,), dtype="bool")
    y = layer(symbols[0], memory=symbols[1], memory_mask=read)
    model = keras.Model([*symbols, read], y)
    fixed = keras.Model(symbols, layer(symbols[0], memory=symbols[1], memory_mask=mask))
    expected = layer(x, memory=memory, memory_mask=mask)
    close(model([x, memory, mask]), expected)
    close(fixed([x, memory]), expected)
    match = "memory_mask must have the first axes of the memory"
    wrong = keras.Input((S + 1,), dtype="bool")
    _raises(match, layer, x, memory=keras.Input((S, M)), memory_mask=wrong)


class Subclassed(keras.Model):
    """Encodes the memory itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.masking = keras.layers.Masking()
        self.encoder = unrolled.GRU(M, return_sequences=True)
        self.decoder = unrolled.RNN(Attend(LSTM(U)))

    def call(self, inputs):
        x, memory = inputs
        return self.decoder(x, memory=self.encoder(self.masking(memory)))


def test_a_subclassed_model(rng, tmp_path):
    x, memory, mask = _padded(rng)
    model = Subclassed()
    y = model([x, memory])
    scatter(model, rng)
    encoded = model.encoder(memory, mask=mask)
    y = model([x, memory])
    close(y, model.decoder(x, memory=encoded, memory_mask=mask))
    model.save_weights(tmp_path / "m.weights.h5")
    again = Subclassed()
    again([x, memory])
    again.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(again([x, memory]), y)
    weights = model.trainable_weights
    before = [np.array(w) for w in weights]
    model.compile("adam", "mse")
    model.fit([x, memory], rng.normal(size=(B, U)), verbose=0)
    moved = [np.any(w != b) for w, b in zip(weights, before, strict=True)]
    assert len(moved) == 7
    assert all(moved)


LAYERS = {
    "cell": lambda: unrolled.RNN(Attending(U)),
    "wrapper": lambda: unrolled.RNN(Attend(LSTM(U))),
    "keras_style": lambda: unrolled.RNN(Looks(U)),
    "stack": lambda: unrolled.RNN([unrolled.GRUCell(D), Attend(LSTM(U)), Attending(U)]),
    "bidirectional": lambda: unrolled.Bidirectional(unrolled.RNN(Attend(LSTM(U)))),
    "wrapped": lambda: unrolled.RNN(
        unrolled.ZoneoutWrapper(
            unrolled.ResidualWrapper(unrolled.HighwayWrapper(Attending(D))), {"h": 0.2}
        )
    ),
}
COUNTS = {
    "cell": 3,
    "wrapper": 4,
    "keras_style": 1,
    "stack": 10,
    "bidirectional": 8,
    "wrapped": 5,
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("kind", LAYERS)
def test_saved_loaded_and_fitted(kind, rng, tmp_path):
    """Every weight moves, those that act on the memory alone too."""
    x, memory, _ = _padded(rng)
    model = _model(rng, LAYERS[kind](), keras.layers.Masking())
    y = model([x, memory])
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded([x, memory]), y)
    scatter(loaded, rng)
    loaded.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(loaded([x, memory]), y)
    before = [np.array(w) for w in loaded.trainable_weights]
    loaded.compile("sgd", "mse")
    loaded.fit([x, memory], np.asarray(y) + 1, verbose=0)
    assert len(before) == COUNTS[kind]
    for weight, old in zip(loaded.trainable_weights, before, strict=True):
        assert np.any(np.asarray(weight) != old), weight.path


def test_trees_of_memory_in_a_functional_model(rng, tmp_path):
    x, memory = _draw(rng)
    symbols = {"a": keras.Input((None, M)), "b": keras.Input((None, M))}
    inputs = keras.Input((None, D))
    masked = {**symbols, "b": keras.layers.Masking()(symbols["b"])}
    layer = unrolled.RNN(Joined(Attending(U)))
    model = keras.Model([inputs, symbols], layer(inputs, memory=masked))
    scatter(model, rng)
    memory[:, 4:] = 0
    y = model([x, {"a": 2 * memory, "b": memory}])
    both = np.concatenate([2 * memory, memory], 1)
    mask = np.concatenate([np.ones((B, S)), np.any(memory, -1)], 1) > 0
    own = unrolled.RNN(layer.cell.cell)
    close(y, own(x, memory=both, memory_mask=mask))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again([x, {"a": 2 * memory, "b": memory}]), y)


@keras.saving.register_keras_serializable("users")
class Joined(unrolled.CellWrapper):
    """Reads a dict of memories as one."""

    def build(self, input_shape, memory_shape):
        super().build(input_shape, memory_shape["a"])

    def get_constants(self, batch_size, training, memory, memory_mask):
        ones = {k: jnp.ones(m.shape[:2], bool) for k, m in memory.items()}
        masks = {k: m for k, m in (memory_mask or {}).items() if m is not None}
        join = lambda tree: jnp.concatenate([tree["a"], tree["b"]], 1)  # noqa: E731
        given = {"memory": join(memory), "memory_mask": join({**ones, **masks})}
        return super().get_constants(batch_size, training, **given)


@pytest.mark.keras_ranks
def test_accelerate_beside_a_stock_layer(rng):
    x, memory, _ = _padded(rng)
    inputs, read = keras.Input((None, D)), keras.Input((None, M))
    below = keras.layers.LSTM(D, return_sequences=True)(inputs)
    encoded = keras.layers.GRU(M, return_sequences=True)(keras.layers.Masking()(read))
    y = unrolled.RNN(Attend(LSTM(U)))(below, memory=encoded)
    model = keras.Model([inputs, read], y)
    scatter(model, rng)
    fast = unrolled.accelerate(model)
    assert {unrolled.LSTM, unrolled.GRU, unrolled.RNN} <= set(map(type, fast.layers))
    close(fast([x, memory]), model([x, memory]))
    assert np.abs(fast([x, memory + 1]) - model([x, memory])).max() > 1e-4


def test_gradients_flow_into_an_encoder(rng):
    x, memory = _draw(rng)
    encoder = unrolled.GRU(M, return_sequences=True)
    layer = unrolled.RNN(Attending(U))
    layer(x, memory=encoder(memory))

    def loss(weights):
        rest = [v.value for v in encoder.non_trainable_variables]
        encoded, _ = encoder.stateless_call(weights, rest, memory)
        return jnp.sum(layer(x, memory=encoded) ** 2)

    found = jax.grad(loss)([v.value for v in encoder.trainable_variables])
    assert all(np.any(g) for g in found)


# --- errors, before compute ---


def _raises(match, call, *args, **kwargs):
    with pytest.raises(ValueError, match=re.escape(match)):
        call(*args, **kwargs)


DEAF = {
    "lstm": lambda: unrolled.LSTM(U),
    "subclass": lambda: type("Mine", (unrolled.LSTM,), {})(U),
    "stack": lambda: unrolled.RNN([LSTM(U), unrolled.GRUCell(U)]),
    "wrapper": lambda: unrolled.RNN(unrolled.ZoneoutWrapper(LSTM(U))),
    "wrappers": lambda: unrolled.RNN(
        unrolled.DropoutWrapper(unrolled.StackedRNNCells([LSTM(U)]))
    ),
    "bidirectional": lambda: unrolled.Bidirectional(unrolled.LSTM(U)),
    "hands": lambda: unrolled.RNN(Hands(LSTM(U))),
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("kind", DEAF)
def test_a_memory_for_none_that_reads_it(kind, rng):
    x, memory = _draw(rng)
    match = "memory can only go to a cell that reads one"
    _raises(match, DEAF[kind](), x, memory=memory)
    symbols = keras.Input((None, D)), keras.Input((S, M))
    _raises(match, DEAF[kind](), symbols[0], memory=symbols[1])
    layer = DEAF[kind]()
    layer(x)
    _raises(match, layer, x, memory=memory)


@pytest.mark.parametrize("kind", sorted(set(LAYERS) - {"keras_style"}))
def test_no_memory_where_there_must_be_one(kind, rng):
    """Looks says that its memory may be missing."""
    x, memory = _draw(rng)
    match = "memory must be given"
    _raises(match, LAYERS[kind](), x)
    _raises(match, LAYERS[kind](), keras.Input((None, D)))
    _raises(match, LAYERS[kind]().build, (None, None, D))
    layer = LAYERS[kind]()
    layer(x, memory=memory)
    _raises(match, layer, x)
    _raises(match, layer, keras.Input((None, D)))


@pytest.mark.parametrize("layer", ["cell", "stack", "bidirectional", "wrapped"])
def test_memories_that_do_not_fit(layer, rng):
    x, memory = _draw(rng)
    make, layer = LAYERS[layer], LAYERS[layer]()
    layer(x, memory=memory)

    def both(match, memory=memory, **given):
        _raises(match, layer, x, memory=memory, **given)
        _raises(match, make(), x, memory=memory, **given)

    batch = "with the batch size of sequences, 2. Got shapes [(3, 6, 2)]"
    both(batch, np.ones((3, S, M), "float32"))
    both("must hold arrays (batch, ...)", np.float32(1))
    both("must hold arrays (batch, ...)", {"a": 1.0})
    match = "memory_mask must have the first axes of the memory"
    both(match, memory_mask=np.ones((B, S + 1), bool))
    both(match, memory_mask=np.bool_(True))
    both(match, memory_mask=np.ones((B, S, M, 1), bool))
    built = "memory must have the shapes that the layer was built for"
    _raises(built, layer, x, memory=np.ones((B, S, M + 1), "float32"))
    _raises(built, layer, x, memory=np.ones((B, M), "float32"))
    _raises(built, layer, x, memory=[memory, memory])
    _raises(built, layer, x, memory={"a": memory})
    symbol = keras.Input((None, D))
    _raises(built, layer, symbol, memory=keras.Input((S, M + 1)))


@pytest.mark.keras_ranks
def test_a_stock_layer_beside_one_that_reads(rng):
    """It is not handed what it does not know."""
    x, memory = _draw(rng)
    backward = keras.layers.GRU(U, go_backwards=True)
    layer = unrolled.Bidirectional(
        unrolled.RNN(Attending(U)), backward_layer=backward, merge_mode="sum"
    )
    expected = layer.backward_layer(x)
    y = layer(x, memory=memory)
    close(y, layer.forward_layer(x, memory=memory) + expected)
    _raises("memory must be given", layer, x)


class Conditioned(unrolled.CellWrapper):
    """Adds a memory without an axis of its own, (B, D), to the inputs."""

    def get_constants(self, batch_size, training, memory):
        return {"cell": super().get_constants(batch_size, training), "who": memory}

    def step(self, x, states, constants):
        return super().step(x + constants["who"], states, constants["cell"])


def test_a_memory_of_two_axes_takes_any_batch_size(rng):
    """The batch is never compared with that of the first call."""
    x = rng.normal(size=(5, 3, 4)).astype("float32")
    who = rng.normal(size=(5, 4)).astype("float32")
    layer = unrolled.RNN(Conditioned(unrolled.GRUCell(3)))
    y = np.asarray(layer(x, memory=who))
    np.testing.assert_allclose(layer(x[:3], memory=who[:3]), y[:3], atol=1e-6)
    plain = unrolled.RNN(layer.cell.cell)
    np.testing.assert_allclose(plain(x + who[:, None]), y, atol=1e-6)

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = unrolled.RNN(Conditioned(unrolled.GRUCell(3)))

        def call(self, inputs):
            return self.layer(inputs[0], memory=inputs[1])

    model = Model()
    model.compile("sgd", "mse")
    model.fit([x, who], np.zeros((5, 3)), batch_size=2, verbose=0)  # 2, 2 and 1 rows


def test_plain_numbers_are_no_memory(rng):
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    layer = unrolled.RNN(Conditioned(unrolled.GRUCell(3)))
    with pytest.raises(
        ValueError, match=r"memory must hold arrays.*8 single.*np\.asarray"
    ):
        layer(x, memory=[[0.0] * 4] * 2)
