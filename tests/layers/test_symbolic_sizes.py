"""Sizes that are symbols; and weights for a layer that is not there to take them."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import export
from jax import numpy as jnp

from ..harness import close, scatter

D, U = 3, 4


class WithDense(keras.layers.Layer):
    """A cell of a user's: layers made in `__init__`, and no `build`."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = units
        self.dense = keras.layers.Dense(units)

    def call(self, x, states):
        """One step."""
        joined = keras.ops.concatenate([x, states[0]], -1)
        h = keras.ops.tanh(self.dense(joined))
        return h, [h]


class Inside(keras.layers.Layer):
    """A layer around ours, of which Keras asks the shapes."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, x):
        """Just it."""
        return self.layer(x)


@keras.saving.register_keras_serializable("tests")
class Model(keras.Model):
    """A model in a class, which Keras builds by its shape when it loads one."""

    def __init__(self, layer, spare=None):
        super().__init__()
        self.layer, self.spare = layer, spare
        self.out = keras.layers.Dense(2)

    def call(self, x):
        """Both."""
        return self.out(self.layer(x))


LAYERS = {
    "user": lambda **k: unrolled.RNN(WithDense(U), **k),
    "LSTM": lambda **k: unrolled.LSTM(U, **k),
    "GRU backwards": lambda **k: unrolled.GRU(U, go_backwards=True, **k),
    "both": lambda **k: unrolled.Bidirectional(unrolled.RNN(WithDense(U), **k)),
    "stack": lambda **k: unrolled.RNN([unrolled.LSTMCell(U), WithDense(U)], **k),
    "wrapped": lambda **k: unrolled.RNN(
        unrolled.ResidualWrapper(unrolled.GRUCell(D)), **k
    ),
}
EACH = pytest.mark.parametrize("kind", LAYERS)


@pytest.mark.keras_ranks
@EACH
def test_a_layer_of_unknown_batch_and_steps(kind, rng):
    x = rng.normal(size=(2, 7, D)).astype("float32")
    layer = LAYERS[kind](return_sequences=True)
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, Inside(layer)(inputs))
    assert model.output_shape[:2] == (None, None)
    scatter(model, rng)
    close(model(x), layer(x))


def _saved(kind, rng, path):
    """Inputs, a model whose random weights are in a file, and another of the kind."""
    x = rng.normal(size=(2, 7, D)).astype("float32")
    model = Model(LAYERS[kind]())
    model(x)
    scatter(model, rng)
    model.save_weights(path)
    return x, model, Model(LAYERS[kind]())


@pytest.mark.keras_ranks
@EACH
def test_a_model_that_is_built_by_its_shape(kind, rng, tmp_path):
    """By symbols, as Keras builds one that it loads: then all weights are there."""
    x, model, other = _saved(kind, rng, tmp_path / "it.weights.h5")
    other(keras.Input((None, D)))
    other.load_weights(tmp_path / "it.weights.h5")
    close(other(x), model(x))


@pytest.mark.keras_ranks
@EACH
def test_weights_for_a_layer_that_is_not_built(kind, rng, tmp_path):
    """Keras marks such a model as built, and loads nothing into it."""
    *_, other = _saved(kind, rng, tmp_path / "it.weights.h5")
    with pytest.warns(UserWarning, match="marked as built"):
        other.build((None, None, D))
    with pytest.raises(ValueError, match="needs layers that are built"):
        other.load_weights(tmp_path / "it.weights.h5")


@pytest.mark.filterwarnings("ignore:.*it looks like it has unbuilt state")
@pytest.mark.keras_ranks
def test_a_layer_that_no_file_knows_stays_as_it_is(tmp_path):
    """One that was never called has no weights, in the file or out of it."""
    x = np.ones((2, 7, D), "float32")
    models = [
        Model(unrolled.LSTM(U), spare=unrolled.RNN(WithDense(U))) for _ in range(2)
    ]
    for model in models:
        model(x)
    models[0].save_weights(tmp_path / "it.weights.h5")
    models[1].load_weights(tmp_path / "it.weights.h5")
    close(models[1](x), models[0](x))


@pytest.mark.keras_ranks
@pytest.mark.usefixtures("scan_path")
@pytest.mark.parametrize("sequences", [False, True])
@EACH
def test_exports_hold_for_any_batch_and_number_of_steps(kind, sequences, rng):
    layer = LAYERS[kind](return_sequences=sequences)
    layer.build(
        (None, None, D)
    )  # with the weights it draws: 70 steps of wilder ones drift
    b, t = export.symbolic_shape("b, t")
    for shape in ((2, t, D), (b, 5, D), (b, t, D)):
        one = jax.jit(lambda x: layer(x))
        found = export.export(one)(jax.ShapeDtypeStruct(shape, jnp.float32))
        loaded = export.deserialize(found.serialize())
        x = rng.normal(size=(2, 5, D)).astype("float32")
        close(loaded.call(x), layer(x))
    x = rng.normal(size=(9, 70, D)).astype("float32")
    close(loaded.call(x), layer(x))
