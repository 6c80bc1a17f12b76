"""Models of contrib.legacy_seq2seq give what TensorFlow 1.15.5's gave."""

from unrolled import tf1

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..reference import max_relative
from .test_recorded_drivers import RECORDED as DRIVERS
from .test_recorded_drivers import _in_order, _named

RECORDED = DRIVERS.parent / "tf1_legacy"
legacy = tf1.legacy_seq2seq
# The softmax of attention is in float32 there, whatever all else is in.
FINE, COARSE = 1e-11, 2e-6
B, U = 3, 3
READ = np.array([[3, 1, 4], [1, 5, 2], [0, 3, 5]])
WRITTEN = np.array([[1, 2, 0, 4], [1, 3, 3, 2], [1, 0, 4, 4]])
IDS = (6, 5, 2)
F64 = {"dtype": "float64"}


def _steps(x):
    return keras.ops.unstack(x, axis=1)


def _ids(array):
    return [jnp.asarray(step) for step in array.T]


def _pair(moved):
    return tf1.LSTMStateTuple(*moved[:2])


def plain_decoder(cell, x, moved):
    return legacy.rnn_decoder(_steps(x), _pair(moved), cell)


def looped_decoder(cell, x, moved):
    again = lambda last, place: last @ moved[1] + float(place)  # noqa: E731
    return legacy.rnn_decoder(_steps(x), moved[0], cell, again)


def basic(cell, x, moved):
    del moved
    return legacy.basic_rnn_seq2seq(_steps(x)[:2], _steps(x), cell, "float64")


def tied(cell, x, moved):
    del moved
    return legacy.tied_rnn_seq2seq(_steps(x), _steps(x)[1:], cell, **F64)


def embedding(cell, x, moved, feed_previous=False):
    del x, moved
    return legacy.embedding_rnn_seq2seq(
        _ids(READ), _ids(WRITTEN), cell, *IDS, feed_previous=feed_previous, **F64
    )


def embedding_fed(cell, x, moved):
    return embedding(cell, x, moved, True)


def embedding_told(cell, x, moved):
    return embedding(cell, x, moved, jnp.asarray(True))


def embedding_projected(cell, x, moved):
    del x
    return legacy.embedding_rnn_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        *IDS,
        output_projection=tuple(moved),
        feed_previous=True,
        **F64,
    )


def embedding_decoder(cell, x, moved):
    del x
    return legacy.embedding_rnn_decoder(
        _ids(WRITTEN),
        moved[0],
        cell,
        U,
        2,
        feed_previous=True,
        update_embedding_for_previous=False,
        scope="writer",
    )


def embedding_tied(cell, x, moved, feed_previous=True):
    del x, moved
    return legacy.embedding_tied_rnn_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        6,
        2,
        num_decoder_symbols=5,
        feed_previous=feed_previous,
        **F64,
    )


def embedding_tied_told(cell, x, moved):
    return embedding_tied(cell, x, moved, jnp.asarray(False))


def attention(cell, x, moved):
    return legacy.attention_decoder(
        _steps(x),
        _pair(moved),
        moved[2],
        cell,
        output_size=2,
        num_heads=2,
        initial_state_attention=True,
        **F64,
    )


def attention_looped(cell, x, moved):
    start, memory, kernel = moved
    again = lambda last, place: jnp.tanh(last @ kernel) * float(place)  # noqa: E731
    return legacy.attention_decoder(
        _steps(x), start, memory, cell, loop_function=again, **F64
    )


def embedding_attention(cell, x, moved, feed_previous=False):
    del x, moved
    return legacy.embedding_attention_seq2seq(
        _ids(READ), _ids(WRITTEN), cell, *IDS, feed_previous=feed_previous, **F64
    )


def embedding_attention_told(cell, x, moved):
    return embedding_attention(cell, x, moved, jnp.asarray(True))


def embedding_attention_projected(cell, x, moved):
    del x
    return legacy.embedding_attention_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        *IDS,
        num_heads=2,
        output_projection=tuple(moved),
        feed_previous=True,
        initial_state_attention=True,
        **F64,
    )


def one_to_many(cells, x, moved):
    del x, moved
    first, a, b = cells
    return legacy.one2many_rnn_seq2seq(
        _ids(READ),
        {"a": _ids(WRITTEN), "b": _ids(WRITTEN[:, :2])},
        first,
        {"a": a, "b": b},
        6,
        {"a": 5, "b": 7},
        2,
        **F64,
    )


def buckets(cell, x, moved):
    del x
    run = lambda read, written: legacy.embedding_attention_seq2seq(  # noqa: E731
        read, written, cell, *IDS, **F64
    )
    steps = (_ids(READ), _ids(WRITTEN), _ids(WRITTEN), moved)
    return legacy.model_with_buckets(*steps, [(2, 2), (3, 4)], run)


def _lstm():
    return tf1.BasicLSTMCell(U)


def _gru():
    return tf1.GRUCell(U)


MODELS = {
    plain_decoder: _lstm,
    looped_decoder: _gru,
    basic: _lstm,
    tied: _gru,
    embedding: _lstm,
    embedding_fed: _lstm,
    embedding_told: _lstm,
    embedding_projected: lambda: tf1.MultiRNNCell([_gru(), _lstm()]),
    embedding_decoder: _gru,
    embedding_tied: _gru,
    embedding_tied_told: _gru,
    attention: _lstm,
    attention_looped: _gru,
    embedding_attention: _lstm,
    embedding_attention_told: _lstm,
    embedding_attention_projected: lambda: tf1.MultiRNNCell([_gru(), _gru()]),
    one_to_many: lambda: [_gru(), _gru(), _gru()],
    buckets: _gru,
}


def _parts(cell):
    """The cell, what it keeps, and what that keeps."""
    for each in cell if isinstance(cell, list) else [cell]:
        yield each
        for made in each.kept.made.values():
            yield from _parts(made) if isinstance(made, tf1.RNNCell) else [made]


class Network(keras.Model):
    """What `tf1.load` takes."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("run", MODELS, ids=lambda run: run.__name__)
def test_a_model_gives_what_was_recorded(run):
    with np.load(RECORDED / f"{run.__name__}.npz") as given:
        arrays = dict(given)
    cell, limit = MODELS[run](), FINE
    if any("Attn" in key for key in arrays):
        limit = COARSE
    x = jnp.asarray(arrays["x"])
    moved = [jnp.asarray(each) for each in _in_order(arrays, "moved")]
    run(cell, x, moved)  # makes the weights
    model = Network(list(_parts(cell)))
    tf1.load(model, _named(arrays, "weight"))
    want, cotangents = _in_order(arrays, "returned"), _in_order(arrays, "cotangent")

    def loss(x, moved, values):
        pairs = zip(model.trainable_variables, values, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            leaves = jax.tree.leaves(run(cell, x, moved))
        pairs = zip(leaves, cotangents, strict=True)
        return sum(jnp.sum(leaf * c) for leaf, c in pairs), leaves

    values = [variable.value for variable in model.trainable_variables]
    graded = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    (_, leaves), got = graded(x, moved, values)
    for n, (ours, theirs) in enumerate(zip(leaves, want, strict=True)):
        assert max_relative(ours, theirs) <= limit, n
    assert max_relative(got[0], arrays["dx"]) <= limit
    for ours, theirs in zip(got[1], _in_order(arrays, "dmoved"), strict=True):
        assert max_relative(ours, theirs) <= limit
    for variable, gradient in zip(model.trainable_variables, got[2], strict=True):
        variable.assign(gradient)
    theirs = _named(arrays, "dweight")
    found = {}
    for part in model.parts:
        found |= part.entries(part.above)
    # What small gradients are the difference of was large, and rounded by float32.
    largest = max(np.abs(gradient).max() for gradient in theirs.values())
    for path, gradient in theirs.items():
        scale = np.abs(gradient).max() if limit == FINE else largest
        error = np.abs(found[path].read() - gradient).max()
        assert error <= limit * scale, path


def test_every_model_is_recorded():
    files = {path.stem for path in RECORDED.glob("*.npz")}
    assert files == {run.__name__ for run in MODELS}


def test_a_model_of_placeholders_is_trained_and_saved(tmp_path):
    """An input for each step, as there were; then it writes by itself."""
    read = [keras.Input((), dtype="int32") for _ in range(3)]
    written = [keras.Input((), dtype="int32") for _ in range(4)]
    cell = tf1.GRUCell(U)
    given = (read, written, cell, *IDS)
    outputs, _ = legacy.embedding_attention_seq2seq(*given)
    model = keras.Model([*read, *written], keras.ops.stack(outputs, axis=1))
    # Two GRUs, two tables, a projection, and eight of one head.
    assert len(model.trainable_variables) == 2 * 3 + 2 + 2 + 8
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    steps = [*READ.T, *WRITTEN.T]
    before = model.predict(steps, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(steps, verbose=0), before, rtol=1e-5)
    model.train_on_batch(steps, WRITTEN)
    assert np.abs(model.predict(steps, verbose=0) - before).max() > 0
    alone, _ = legacy.embedding_attention_seq2seq(*given, feed_previous=True)
    writer = keras.Model([*read, *written], keras.ops.stack(alone, axis=1))
    logits = writer.predict([*READ.T, *np.zeros_like(WRITTEN.T)], verbose=0)
    fed = np.concatenate([np.zeros((B, 1), int), logits.argmax(-1)[:, :-1]], axis=1)
    want = model.predict([*READ.T, *fed.T], verbose=0)
    np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-5)


def test_errors():
    cell, x = tf1.GRUCell(U), [np.ones((2, 3), "float32")]
    state, memory = np.zeros((2, U), "float32"), np.ones((2, 4, 2), "float32")
    with pytest.raises(ValueError, match=r"cell must be a cell of unrolled\.tf1"):
        legacy.rnn_decoder(x, state, keras.layers.GRUCell(3))
    with pytest.raises(ValueError, match="decoder_inputs must be a list"):
        legacy.rnn_decoder([], state, cell)
    with pytest.raises(ValueError, match="num_heads must be at least 1"):
        legacy.attention_decoder(x, state, memory, cell, num_heads=0)
    with pytest.raises(ValueError, match="attention_states must have shape"):
        legacy.attention_decoder(x, state, memory[0], cell)
    pair = (np.ones((U, 4)), np.ones(4))
    with pytest.raises(ValueError, match=r"output_projection must be arrays \(n, 5\)"):
        legacy.embedding_rnn_decoder(x, state, cell, 5, 2, pair)
    with pytest.raises(ValueError, match="must have the same names"):
        legacy.one2many_rnn_seq2seq([], {"a": []}, cell, {"b": cell}, 3, {"a": 3}, 2)
    with pytest.raises(ValueError, match="targets must have as many steps"):
        legacy.model_with_buckets(x, x, [], [], [(1, 1)], None)


def test_weights_that_nobody_would_keep():
    class Mine(keras.layers.Layer):
        def call(self, x):
            cell = tf1.GRUCell(U)
            return legacy.basic_rnn_seq2seq([x], [x], cell)[0][0]

    with pytest.raises(ValueError, match="has weights that no layer would keep"):
        Mine()(np.ones((2, 3), "float32"))
