"""Every way in which Keras and Python copy a layer or a model, for every kind of layer.

A copy computes what the original computes, to the last bit once the weights are the
same, and it stands alone: who changes one leaves the other as it is. Carried states are
not copied, as Keras does not: a copy of a stateful layer starts afresh.
"""

import copy
import json
import pickle
from dataclasses import dataclass
from typing import Any

import unrolled
from unrolled.arguments import forget

import jax
import keras
import numpy as np
import pytest

from ..cells_of_users import Attend, Attending, Looks
from ..harness import scatter

B, T, D, U = 2, 5, 4, 4  # as wide as the units: residual cells are among the rows
S, M = 3, 2  # entries and width of a memory

pytestmark = [
    pytest.mark.keras_ranks,
    # Keras says so of every .h5 file that it writes, and of its absent optimizer.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]


@keras.saving.register_keras_serializable("copies")
class Leaky(keras.layers.Layer):
    """A Keras-style cell of a user's, with a layer inside."""

    def __init__(self, units=4, leak=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units
        self.leak = leak
        self.dense = keras.layers.Dense(units, activation="tanh")

    def call(self, inputs, states):
        h = self.leak * states[0] + self.dense(inputs)
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "leak": self.leak}


@dataclass(frozen=True)
class Row:
    """One kind of layer."""

    name: str
    make: Any
    memory: bool = False
    batch: int | None = None
    outer: tuple = ()  # an axis that TimeDistributed takes off

    def __str__(self) -> str:
        """Name the pytest case."""
        return self.name

    @property
    def as_wide(self) -> bool:
        """Whether inputs must be as wide as the units."""
        return any(word in self.name for word in ("residual", "highway", "same_width"))

    def shapes(self, width: int = D):
        """Of the sequences, and of the memory."""
        return [(*self.outer, T, width), *[(S, M)] * self.memory]

    def inputs(self, rng, width: int = D):
        """Sequences, and a memory."""
        shapes = self.shapes(width)
        return [rng.normal(size=(B, *s)).astype("float32") for s in shapes]

    def symbols(self, width: int = D):
        """Symbols of the inputs."""
        return [keras.Input(shape, self.batch) for shape in self.shapes(width)]

    def call(self, layer, inputs):
        """The layer's outputs."""
        return layer(inputs[0], memory=inputs[1]) if self.memory else layer(*inputs)

    def built(self, rng):
        """The layer, built by a call, with random weights."""
        layer = self.make()
        self.call(layer, self.inputs(rng))
        return _fresh(scatter(layer, rng))

    def model(self, rng):
        """A model of the layer, with random weights."""
        symbols = self.symbols()
        model = keras.Model(symbols, self.call(self.make(), symbols))
        return _fresh(scatter(model, rng))


def _fresh(of):
    for layer in of._flatten_layers():
        if hasattr(layer, "reset_state"):
            layer.reset_state()
    return of


LSTM, GRU, CELL = unrolled.LSTM, unrolled.GRU, unrolled.LSTMCell
EACH = {"return_sequences": True, "return_state": True}
ROWS = [
    Row("simple_rnn", lambda: unrolled.SimpleRNN(U)),
    Row("lstm", lambda: LSTM(U)),
    Row("gru", lambda: GRU(U)),
    Row("gru_reset_before", lambda: GRU(U, reset_after=False, use_bias=False)),
    Row("lstm_states", lambda: LSTM(U, return_all_states=True, **EACH)),
    Row("gru_backwards", lambda: GRU(U, go_backwards=True, return_sequences=True)),
    Row("lstm_time_major", lambda: LSTM(U, time_major=True, return_sequences=True)),
    Row("lstm_unrolled", lambda: LSTM(U, unroll=True, zero_output_for_mask=True)),
    Row(
        "lstm_options",
        lambda: LSTM(
            U,
            activation="relu",
            recurrent_activation=keras.activations.hard_sigmoid,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.3, seed=4),
            kernel_regularizer="l2",
            bias_constraint=keras.constraints.MaxNorm(9.0),
            activity_regularizer=keras.regularizers.L1(0.1),
            dropout=0.2,
            recurrent_dropout=0.3,
            seed=3,
            name="named",
            dtype=keras.DTypePolicy("mixed_bfloat16"),
        ),
    ),
    Row("lstm_frozen", lambda: LSTM(U, trainable=False)),
    Row("lstm_stateful", lambda: LSTM(U, stateful=True, **EACH), batch=B),
    Row("gru_stateful", lambda: GRU(U, stateful=True), batch=B),
    Row("rnn", lambda: unrolled.RNN(CELL(U), return_state=True)),
    Row("rnn_of_users_cell", lambda: unrolled.RNN(Leaky(U, 0.25))),
    Row("rnn_list", lambda: unrolled.RNN([CELL(3), unrolled.GRUCell(U)], **EACH)),
    Row(
        "rnn_stack",
        lambda: unrolled.RNN(
            unrolled.StackedRNNCells([Leaky(3), unrolled.SimpleRNNCell(U)])
        ),
    ),
    Row(
        "rnn_stack_stateful",
        lambda: unrolled.RNN([CELL(3), unrolled.GRUCell(U)], stateful=True),
        batch=B,
    ),
    Row(
        "dropout",
        lambda: unrolled.RNN(
            unrolled.DropoutWrapper(CELL(U), input_dropout=0.5, output_dropout=0.2)
        ),
    ),
    Row(
        "zoneout",
        lambda: unrolled.RNN(
            unrolled.ZoneoutWrapper(CELL(U), zoneout={"c": 0.5, "h": 0.1})
        ),
    ),
    Row("residual", lambda: unrolled.RNN(unrolled.ResidualWrapper(Leaky(U)))),
    Row(
        "highway",
        lambda: unrolled.RNN(
            unrolled.HighwayWrapper(
                unrolled.ResidualWrapper(CELL(U)), couple_carry_transform_gates=False
            )
        ),
    ),
    Row(
        "residual_stack",
        lambda: unrolled.RNN(
            unrolled.ResidualWrapper(
                unrolled.StackedRNNCells(
                    [unrolled.ZoneoutWrapper(CELL(U), 0.2), unrolled.GRUCell(U)]
                )
            )
        ),
    ),
    Row("memory", lambda: unrolled.RNN(Attending(U)), memory=True),
    Row("memory_keras_style", lambda: unrolled.RNN(Looks(U)), memory=True),
    Row("memory_wrapper", lambda: unrolled.RNN(Attend(CELL(U)), **EACH), memory=True),
    Row(
        "memory_stack",
        lambda: unrolled.RNN([unrolled.GRUCell(U), Attending(U)]),
        memory=True,
    ),
    Row("bidirectional", lambda: unrolled.Bidirectional(LSTM(U, **EACH))),
    Row(
        "bidirectional_pair",
        lambda: unrolled.Bidirectional(
            LSTM(U, return_sequences=True),
            backward_layer=GRU(3, go_backwards=True, return_sequences=True),
        ),
    ),
    Row(
        "bidirectional_backwards",
        lambda: unrolled.Bidirectional(GRU(U, go_backwards=True), merge_mode="ave"),
    ),
    Row(
        "bidirectional_stack",
        lambda: unrolled.Bidirectional(
            unrolled.RNN([CELL(3), Leaky(U)]), merge_mode=None
        ),
    ),
    Row(
        "bidirectional_stateful",
        lambda: unrolled.Bidirectional(LSTM(U, stateful=True), merge_mode="sum"),
        batch=B,
    ),
    Row(
        "bidirectional_memory",
        lambda: unrolled.Bidirectional(unrolled.RNN(Attending(U))),
        memory=True,
    ),
    Row(
        "bidirectional_of_cells_of_users",
        lambda: unrolled.Bidirectional(unrolled.RNN(Leaky(U)), merge_mode="mul"),
    ),
    Row("wrapped", lambda: keras.layers.TimeDistributed(LSTM(U)), outer=(2,)),
    Row(
        "nested",
        lambda: keras.Sequential(
            [unrolled.Bidirectional(GRU(U, return_sequences=True)), LSTM(3)]
        ),
    ),
]
EACH_ROW = pytest.mark.parametrize("row", ROWS, ids=str)


def _config(of):
    """Its configuration; Keras's own containers add for what their parts were built."""
    config = of.get_config()
    if not isinstance(of, (keras.layers.Wrapper, keras.Sequential)):
        assert "build_config" not in json.dumps(config, default=str)
    forget(config, "build_config")
    return config


def _equal(one, other):
    leaves = [jax.tree.leaves(each) for each in (one, other)]
    assert len(leaves[0]) == len(leaves[1])
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_array_equal(a, b)


def _is_a_copy(made, of, call, weights_too):
    """`made` computes what `of` does, and stands alone."""
    assert made is not of
    assert _classes(made) == _classes(of)
    before = call(of)
    _fresh(of)
    if not weights_too:
        made.set_weights(of.get_weights())
    assert [w.trainable for w in made.weights] == [w.trainable for w in of.weights]
    _equal(call(made), before)
    assert not {id(v) for v in made.variables} & {id(v) for v in of.variables}
    held = [np.asarray(v) for v in of.variables]
    made.set_weights([w + 1 for w in made.get_weights()])
    _equal([v.value for v in of.variables], held)
    changed = jax.tree.leaves(call(_fresh(made)))[0]
    assert np.any(np.asarray(changed) != np.asarray(jax.tree.leaves(before)[0]))


def _classes(of):
    return [type(each) for each in of._flatten_layers()]


OF_A_LAYER = {
    "from_config": (lambda layer: type(layer).from_config(layer.get_config()), False),
    "serialized": (
        lambda layer: keras.saving.deserialize_keras_object(
            json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
        ),
        False,
    ),
    "pickle": (lambda layer: pickle.loads(pickle.dumps(layer)), True),
    "deepcopy": (copy.deepcopy, True),
    "copy": (copy.copy, True),
}


@EACH_ROW
@pytest.mark.parametrize("way", OF_A_LAYER)
def test_a_layer(row, way, rng):
    layer, given = row.built(rng), row.inputs(rng)
    make, weights_too = OF_A_LAYER[way]
    made = make(layer)
    assert _config(made) == _config(layer)
    if not weights_too:
        row.call(made, given)
        _fresh(made)
    _is_a_copy(made, layer, lambda each: row.call(each, given), weights_too)


@EACH_ROW
@pytest.mark.parametrize("way", OF_A_LAYER)
def test_a_layer_before_it_is_built(row, way, rng):
    """The copy can be built for inputs of another width."""
    layer = row.make()
    made = OF_A_LAYER[way][0](layer)
    assert _config(made) == _config(layer)
    assert not made.built
    assert not made.weights
    row.call(made, row.inputs(rng, D if row.as_wide else D + 3))
    assert not layer.built
    assert not layer.weights


@EACH_ROW
def test_a_layer_built_from_its_configurations(row, rng):
    """What a `.keras` file does."""
    layer = row.built(rng)
    made = type(layer).from_config(layer.get_config())
    made.build_from_config(layer.get_build_config())
    assert [w.shape for w in made.weights] == [w.shape for w in layer.weights]
    given = row.inputs(rng)
    _is_a_copy(made, layer, lambda each: row.call(each, given), weights_too=False)


def _through_json(model):
    return keras.models.model_from_json(model.to_json())


def _through(suffix):
    def copied(model, folder):
        model.save(folder / f"model{suffix}")
        return keras.models.load_model(folder / f"model{suffix}")

    return copied


def _through_weights(model, folder):
    model.save_weights(folder / "model.weights.h5")
    made = keras.models.clone_model(model)
    made.load_weights(folder / "model.weights.h5")
    return made


OF_A_MODEL = {
    "from_config": (lambda m, _: type(m).from_config(m.get_config()), False),
    "clone_model": (lambda m, _: keras.models.clone_model(m), False),
    "json": (lambda m, _: _through_json(m), False),
    "pickle": (lambda m, _: pickle.loads(pickle.dumps(m)), True),
    "deepcopy": (lambda m, _: copy.deepcopy(m), True),
    "copy": (lambda m, _: copy.copy(m), True),
    "keras": (_through(".keras"), True),
    "h5": (_through(".h5"), True),
    "weights_h5": (_through_weights, True),
}


@EACH_ROW
@pytest.mark.parametrize("way", OF_A_MODEL)
def test_a_model(row, way, rng, tmp_path):
    model = row.model(rng)
    given = row.inputs(rng)
    make, weights_too = OF_A_MODEL[way]
    made = make(model, tmp_path)
    _is_a_copy(made, model, lambda m: m(given), weights_too)


@EACH_ROW
def test_a_model_cloned_for_another_width(row, rng):
    """Nothing of the width for which the original was built is in the copy."""
    if row.as_wide:
        pytest.skip("inputs of these cells are as wide as their outputs")
    if row.name in ("wrapped", "nested"):
        pytest.skip("Keras's own containers keep the width for which they were built")
    model = row.model(rng)
    made = keras.models.clone_model(model, input_tensors=row.symbols(D + 3))
    fresh = row.make()
    row.call(fresh, row.inputs(rng, D + 3))
    shapes = [w.shape for w in made.weights]
    assert shapes == [w.shape for w in fresh.weights]
    assert shapes != [w.shape for w in model.weights]
    scatter(made, rng)
    fresh.set_weights(made.get_weights())
    _fresh(fresh)
    given = row.inputs(rng, D + 3)
    _equal(made(given), row.call(fresh, given))


CELLS = [
    lambda: unrolled.SimpleRNNCell(U),
    lambda: CELL(U, activation="relu", dropout=0.1, name="named"),
    lambda: unrolled.GRUCell(U, reset_after=False),
    lambda: unrolled.StackedRNNCells([CELL(3), Leaky(U)]),
    lambda: unrolled.ZoneoutWrapper(CELL(U), {"c": 0.5}),
    lambda: unrolled.HighwayWrapper(unrolled.GRUCell(U)),
]


@pytest.mark.parametrize("way", OF_A_LAYER)
@pytest.mark.parametrize("cell", CELLS, ids=lambda make: make().name)
def test_a_cell_alone(way, cell, rng):
    make, weights_too = OF_A_LAYER[way]
    cell = cell()
    assert not make(cell).built
    x = rng.normal(size=(B, D)).astype("float32")
    step = lambda each: each(x, each.get_initial_state(B))  # noqa: E731
    step(cell)
    scatter(cell, rng)
    made = make(cell)
    if not weights_too:
        step(made)
    _is_a_copy(made, cell, step, weights_too)


def test_one_cell_in_two_layers_stays_one_in_a_file_and_in_a_copy(rng, tmp_path):
    cell = CELL(U)
    inputs = keras.Input((T, D))
    twice = [unrolled.RNN(cell)(inputs), unrolled.RNN(cell, go_backwards=True)(inputs)]
    model = scatter(keras.Model(inputs, twice), rng)
    x = rng.normal(size=(B, T, D)).astype("float32")
    for way in ("keras", "pickle", "deepcopy"):
        made = OF_A_MODEL[way][0](model, tmp_path)
        assert made.layers[1].cell is made.layers[2].cell
        _equal(made(x), model(x))


def test_weights_for_a_cell_that_is_not_built_are_refused():
    """As for a layer."""
    layer = LSTM(U)
    built = LSTM(U)
    built.build((B, T, D))
    store = {}
    built.cell.save_own_variables(store)
    with pytest.raises(ValueError, match=r"'lstm_cell' was never built"):
        layer.cell.load_own_variables(store)


# --- functions of the user's: identity decides, not a name ---


def relu(x):
    """Called like one of Keras's."""
    return 0.5 * x


def mine(x):
    return keras.ops.tanh(x) + 0.1


FUNCTIONS = {
    "layer": lambda: LSTM(U, activation=relu, recurrent_activation=mine),
    "cell": lambda: unrolled.RNN(CELL(U, activation=relu)),
    "lambdas": lambda: unrolled.RNN(
        [
            unrolled.GRUCell(U, activation=lambda x: 0.5 * x),
            unrolled.ResidualWrapper(CELL(U, activation=lambda x: 0.7 * x)),
        ]
    ),
    "of Keras": lambda: keras.layers.LSTM(U, activation=mine),
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_both_directions_have_the_functions_of_the_layer(kind, rng):
    layer = FUNCTIONS[kind]()
    both = unrolled.Bidirectional(layer)
    x = rng.normal(size=(B, T, D)).astype("float32")
    both(x)
    scatter(both, rng)
    layer(x)
    halves = []
    weights = both.get_weights()
    for place in range(2):
        half = len(weights) // 2
        layer.set_weights(weights[place * half : (place + 1) * half])
        halves.append(layer(np.flip(x, 1) if place else x))
    np.testing.assert_allclose(both(x), np.concatenate(halves, -1), atol=1e-6)


def test_a_function_called_like_one_of_keras_is_not_taken_for_it():
    layer = LSTM(U, activation=relu)
    config = json.loads(json.dumps(layer.get_config()))
    with pytest.raises(TypeError, match="Could not locate function 'relu'"):
        LSTM.from_config(config)
    assert LSTM.from_config(config, {"relu": relu}).activation is relu
    with keras.saving.custom_object_scope({"relu": relu}):
        assert LSTM.from_config(config).cell.activation is relu


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("wrap", [lambda layer: layer, unrolled.Bidirectional])
def test_functions_of_a_file_are_taken_by_their_names(wrap, suffix, rng, tmp_path):
    layer = wrap(LSTM(U, activation=relu, recurrent_activation=mine))
    model = scatter(keras.Sequential([keras.Input((T, D)), layer]), rng)
    model.save(tmp_path / f"model{suffix}")
    again = keras.models.load_model(
        tmp_path / f"model{suffix}", custom_objects={"relu": relu, "mine": mine}
    )
    x = rng.normal(size=(B, T, D)).astype("float32")
    _equal(again(x), model(x))


@keras.saving.register_keras_serializable("copies")
class Peephole(unrolled.LSTMCell):
    """Has a weight beside those of the class it derives from, made before them."""

    def build(self, input_shape):
        self.peep = self.add_weight(name="peep", shape=(self.units,))
        super().build(input_shape)

    def combine(self, x, h, states):
        h, (_, c) = super().combine(x, h, states)
        return h + c * self.peep.value[None], [h, c]


@pytest.mark.parametrize("way", ["pickle", "keras", "h5", "weights_h5"])
def test_a_cell_with_more_weights_than_the_class_it_derives_from(way, rng, tmp_path):
    row = Row("peephole", lambda: unrolled.RNN(Peephole(U)))
    model = row.model(rng)
    made = OF_A_MODEL[way][0](model, tmp_path)
    given = row.inputs(rng)
    _is_a_copy(made, model, lambda m: m(given), weights_too=True)


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_an_operation_of_keras_for_an_activation(name):
    """As in Keras: it is written down as the activation of its name."""
    layer = unrolled.GRU(U, activation=getattr(keras.ops, name))
    assert layer.get_config()["activation"] == name
    again = pickle.loads(pickle.dumps(layer))
    assert again.activation is getattr(keras.activations, name)
