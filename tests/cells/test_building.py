"""What a cell makes and builds inside a layer: as alone, trained, saved and loaded."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from keras import ops

from ..cells_of_users import CellThenHidden, Noisy, Outer, Projected
from ..table import CELLS

B, T, D, U = 4, 3, 3, 3
pytestmark = pytest.mark.keras_ranks
register = keras.saving.register_keras_serializable("building")


@register
class MakesInBuild(keras.layers.Layer):
    """Its layers come with `build`, as in Keras's guide."""

    state_size = output_size = U

    def build(self, input_shape):
        self.dense = keras.layers.Dense(U)
        self.dense.build((input_shape[0], input_shape[-1] + U))

    def call(self, inputs, states):
        h = ops.tanh(self.dense(ops.concatenate([inputs, states[0]], -1)))
        return h, [h]


@register
class MakesInBuildOurs(unrolled.Cell):
    state_size, output_size = [U], U

    def build(self, input_shape):
        self.dense = keras.layers.Dense(U)
        self.dense.build((input_shape[0], input_shape[-1] + U))

    def step(self, x, states, constants):
        del constants
        h = ops.tanh(self.dense(ops.concatenate([x, states[0]], -1)))
        return h, [h]


@register
class MakesTwice(keras.layers.Layer):
    """Layers whose own build makes layers."""

    state_size = output_size = U

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.look = keras.layers.MultiHeadAttention(2, 2)
        self.dense = keras.layers.SpectralNormalization(keras.layers.Dense(U))

    def build(self, input_shape):
        self.look.build((None, 2, U), (None, 2, U))
        self.dense.build((None, input_shape[-1] + U))

    def call(self, inputs, states, training=False):
        joint = ops.concatenate([inputs, states[0]], -1)
        h = ops.tanh(self.dense(joint, training=training))
        both = ops.stack([h, states[0]], 1)
        return self.look(both, both)[:, 0], [h]


@register
class NoBuild(keras.layers.Layer):
    """The commonest way: layers made in `__init__`, no `build`."""

    def __init__(self, units=U, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units
        self.dense = keras.layers.Dense(units, bias_initializer="random_normal")
        self.norm = keras.layers.LayerNormalization()

    def call(self, inputs, states):
        h = self.norm(ops.tanh(self.dense(ops.concatenate([inputs, states[0]], -1))))
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register
class NoBuildMore(NoBuild):
    """Hands further keywords to a layer inside."""

    def __init__(self, units=U, **kwargs):
        super().__init__(units, **kwargs)
        self.drop = keras.layers.Dropout(0.0)

    def call(self, inputs, states, **kwargs):
        h, _ = super().call(inputs, states)
        h = self.drop(h, **kwargs)
        return h, [h]


MAKE = {
    **{row.name: lambda row=row: row.cell(U, **row.kwargs) for row in CELLS},
    "projected": Projected,
    "cell_then_hidden": CellThenHidden,
    "outer": Outer,
    "noisy": Noisy,
    "makes_in_build": MakesInBuild,
    "makes_in_build_ours": MakesInBuildOurs,
    "makes_twice": MakesTwice,
    "no_build": NoBuild,
    "no_build_more": NoBuildMore,
}


def _with_states(cell, rows=1):
    return jax.tree.map(np.asarray, unrolled.RNN(cell).get_initial_state(rows))


def _alone(name):
    """Shapes and names of the variables that the cell has when built alone.

    By Keras, which knows nothing of `unrolled.RNN`.
    """
    cell = MAKE[name]()
    # Keras cannot trace a call with further keywords; what is inside builds itself.
    cell.built = name == "no_build_more"
    cell(np.zeros((1, D), "float32"), _with_states(cell))
    return _variables(cell)


def _variables(cell):
    found = [(v.name, tuple(v.shape), v.trainable) for v in cell.variables]
    return sorted(found)


def _held(name):
    """A layer for each way to hold the cell, and the cells that it holds."""
    make = MAKE[name]
    alone, lower, upper, inner = (make() for _ in range(4))
    yield unrolled.RNN(alone), lambda layer: [layer.cell]
    if name != "outer":  # its start is for its own class's width of outputs
        yield (
            unrolled.RNN([keras.layers.GRUCell(D), lower, upper]),
            lambda layer: layer.cell.cells[1:2],
        )
    both = unrolled.Bidirectional(unrolled.RNN(make()))
    yield both, lambda layer: [layer.forward_layer.cell, layer.backward_layer.cell]
    yield unrolled.RNN(unrolled.CellWrapper(inner)), lambda layer: [layer.cell.cell]


@pytest.mark.parametrize("name", MAKE)
def test_a_layer_has_the_variables_of_its_cell_alone(name):
    want = _alone(name)
    assert any(trainable for *_, trainable in want)
    for layer, cells in _held(name):
        layer.build((B, T, D))
        held = {id(v) for v in layer.variables}
        trained = {id(v) for v in layer.trainable_variables}
        for cell in cells(layer):
            assert _variables(cell) == want
            assert {id(v) for v in cell.variables} <= held
            assert {id(v) for v in cell.trainable_variables} <= trained


@pytest.mark.parametrize("name", MAKE)
def test_fit_moves_every_weight(name, rng):
    """In one model every way to hold the cell, so that one compilation serves all."""
    inputs = keras.Input((T, D))
    layers = [layer for layer, _ in _held(name)]
    outputs = keras.layers.Concatenate()([layer(inputs) for layer in layers])
    model = keras.Model(inputs, outputs)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    before = [np.array(v.value) for v in model.trainable_variables]
    x, y = rng.normal(size=(B, T, D)), rng.normal(size=(B, outputs.shape[-1]))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(x, y, epochs=2, batch_size=B, verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        # Softmax does not see what all keys of an attention share.
        alike = np.array_equal(old, variable.value)
        assert not alike or variable.path.endswith("key/bias"), variable.path


def _saves(model, rng, path, batch=B):
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    x = rng.normal(size=(batch, T, D)).astype("float32")
    model.save(path)
    again = keras.saving.load_model(path)
    np.testing.assert_allclose(
        again.predict_on_batch(x), model.predict_on_batch(x), atol=1e-5
    )
    assert len(again.weights) == len(model.weights)
    return again


@pytest.mark.parametrize("name", list(MAKE)[-5:])
def test_layers_inside_go_through_a_file(name, rng, tmp_path):
    inputs = keras.Input((T, D))
    outputs = [layer(inputs) for layer, _ in _held(name)]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    _saves(model, rng, tmp_path / "model.keras")


# --- no build ---


def _law(cell, x, h):
    """`NoBuild` in float64."""
    weight, bias, gamma, beta = (np.float64(v.value) for v in cell.trainable_variables)
    for t in range(x.shape[1]):
        z = np.tanh(np.concatenate([x[:, t], h], -1) @ weight + bias)
        centred = z - z.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + cell.norm.epsilon)
        h = centred / scale * gamma + beta
    return h


@pytest.mark.parametrize("make", [NoBuild, NoBuildMore])
@pytest.mark.parametrize("batch", [None, B])
def test_no_build_where_the_batch_is_known_and_where_not(make, batch, rng, tmp_path):
    x = rng.normal(size=(B, T, D)).astype("float32")
    on_data = unrolled.RNN(make())
    zeros = np.zeros((B, U))
    np.testing.assert_allclose(on_data(x), _law(on_data.cell, x, zeros), atol=1e-5)
    layer = unrolled.RNN(make(), stateful=batch is not None)
    model = keras.Sequential([keras.Input((T, D), batch_size=batch), layer])
    model.compile("sgd", "mse")
    model.fit(x, x[:, 0, :U], batch_size=B, verbose=0)
    if layer.stateful:
        layer.reset_state()
    law = _law(layer.cell, x, zeros)
    np.testing.assert_allclose(model.predict_on_batch(x), law, atol=1e-5)
    if layer.stateful:
        law = _law(layer.cell, x, law)
        np.testing.assert_allclose(model.predict_on_batch(x), law, atol=1e-5)
        layer.reset_state()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    law = _law(layer.cell, x, zeros)
    np.testing.assert_allclose(again.predict_on_batch(x), law, atol=1e-5)


def test_no_build_in_two_directions(rng):
    layer = unrolled.Bidirectional(unrolled.RNN(NoBuild()))
    x = rng.normal(size=(B, T, D)).astype("float32")
    y = layer(x)
    zeros, (one, other) = np.zeros((B, U)), layer._layers_of
    laws = _law(one.cell, x, zeros), _law(other.cell, x[:, ::-1], zeros)
    np.testing.assert_allclose(y, np.concatenate(laws, -1), atol=1e-5)


# --- building twice ---


@register
class BuildsItsCell(keras.layers.Layer):
    """As people write a wrapper in Keras."""

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.state_size, self.output_size = cell.state_size, cell.output_size

    def build(self, input_shape):
        self.cell.build(input_shape)
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.built = True

    def call(self, inputs, states):
        output, states = self.cell(inputs, states)
        return self.gain * output, states

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": inner}

    @classmethod
    def from_config(cls, config):
        config["cell"] = keras.saving.deserialize_keras_object(config["cell"])
        return cls(**config)


@register
class BuildsItsCellOurs(unrolled.CellWrapper):
    def build(self, input_shape):
        self.cell.build(input_shape)
        super().build(input_shape)


@pytest.mark.parametrize("wrapper", [BuildsItsCell, BuildsItsCellOurs])
@pytest.mark.parametrize("source", [unrolled, keras.layers])
def test_a_wrapper_that_builds_its_cell_goes_through_a_file(
    wrapper, source, rng, tmp_path
):
    """Also around itself and around a stack."""
    stack = unrolled.StackedRNNCells([source.GRUCell(U), wrapper(source.LSTMCell(2))])
    inputs, made = keras.Input((T, D)), [source.LSTMCell(U), stack]
    made.append(wrapper(source.GRUCell(U)))
    outputs = [unrolled.RNN(wrapper(cell))(inputs) for cell in made]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    _saves(model, rng, tmp_path / "model.keras")


@pytest.mark.parametrize("source", [unrolled, keras.layers])
def test_one_cell_in_two_layers_is_one_set_of_weights(source, rng, tmp_path):
    cell, inner = source.LSTMCell(U), source.GRUCell(U)
    inputs = keras.Input((T, D))
    stacked = unrolled.RNN([unrolled.CellWrapper(inner), source.GRUCell(2)])
    outputs = [
        unrolled.RNN(cell, go_backwards=backwards)(inputs) for backwards in (0, 1)
    ]
    outputs += [unrolled.RNN(inner)(inputs), stacked(inputs)]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    assert len(model.weights) == 9
    again = _saves(model, rng, tmp_path / "model.keras")
    one, two, three, four = (m for m in again.layers if isinstance(m, unrolled.RNN))
    assert one.cell is two.cell
    assert three.cell is four.cell.cells[0].cell
    # A second file, of what came out of the first.
    _saves(again, rng, tmp_path / "again.keras")


def test_cells_that_are_not_shared_stay_apart(rng, tmp_path):
    """Two directions made from one layer, and two cells of one configuration."""
    inputs = keras.Input((T, D))
    first = unrolled.RNN(unrolled.GRUCell(U, name="cell"))
    outputs = [first(inputs), unrolled.RNN(unrolled.GRUCell(U, name="cell"))(inputs)]
    outputs.append(unrolled.Bidirectional(first)(inputs))
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    assert len(model.weights) == 12
    _saves(model, rng, tmp_path / "model.keras")


@pytest.mark.parametrize("make", [unrolled.LSTMCell, keras.layers.LSTMCell])
def test_a_cell_built_for_another_width_says_so(make):
    cell = make(U)
    unrolled.RNN(cell)(np.zeros((B, T, D), "float32"))
    rule = rf"cell was built for steps of shape .*{D}\).*Got .*{D + 1}\).*its own"
    with pytest.raises(ValueError, match=rule):
        unrolled.RNN(cell)(np.zeros((B, T, D + 1), "float32"))
    if make is unrolled.LSTMCell:
        cell.build((B, D))
        with pytest.raises(ValueError, match=rule):
            cell.build((B, D + 1))
