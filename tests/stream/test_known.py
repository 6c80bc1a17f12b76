"""A stream reads a layer in place of calling it: whatever may differ is refused."""

import unrolled

import keras
import numpy as np
import pytest
from keras import layers

from .test_stream import B, D, T, check, inputs, randomize, sequence

pytestmark = pytest.mark.keras_ranks


def ids_model(**options):
    start = keras.Input((None,), **options)
    return keras.Sequential(
        [start, layers.Embedding(300, 4, name="e"), layers.Dense(2)]
    )


def functional(layer, *given, **called_with):
    start = keras.Input((T, D), batch_size=B)
    return keras.Model(start, layer(start, *given, **called_with))


def changed(layer, **attributes):
    """A model whose layer, or its cell, had attributes changed after the build."""
    model = sequence(layer)
    for name, value in attributes.items():
        setattr(getattr(layer, "cell", layer), name, value)
    return model


# --- weights that are codes ---

QUANTIZED = {
    "embedding": (ids_model, "Embedding 'e'", ("int8", "int4")),
    "dense": (
        lambda: sequence(unrolled.GRU(4), layers.Dense(2, name="d")),
        "Dense 'd'",
        ("int8", "int4", "float8"),
    ),
    "within": (
        lambda: sequence(layers.TimeDistributed(layers.Dense(2, name="d"))),
        "Dense 'd'",
        ("int8",),
    ),
    "nested": (
        lambda: sequence(keras.Sequential([layers.Dense(2, name="d")])),
        "Dense 'd'",
        ("int4",),
    ),
}


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize(
    ("kind", "mode"), [(k, mode) for k, row in QUANTIZED.items() for mode in row[2]]
)
def test_quantized(kind, mode):
    make, name, _ = QUANTIZED[kind]
    model = make()
    model.quantize(mode)
    with pytest.raises(ValueError, match=f"{name}, which is quantized to {mode}: .*"):
        unrolled.stream(model)


@pytest.mark.parametrize("kind", ["embedding", "dense"])
def test_low_rank_updates_count(kind):
    model = ids_model() if kind == "embedding" else sequence(layers.Dense(4))
    layer = model.layers[0]
    layer.enable_lora(2)
    randomize(model)
    x = inputs(B, T, D)
    if kind == "embedding":
        x = np.random.default_rng(0).integers(0, 300, (B, T))
    check(model, x)


# --- options changed after the build ---

RELU = keras.activations.relu
CHANGED = {
    r"LSTM 'l', which has the kernel \(5, 16\), where 5 features, units=9 .*anew": (
        lambda: changed(unrolled.LSTM(4, name="l"), units=9)
    ),
    r"LSTM 'l', which has the kernel \(5, 16\), where .* units=3 .*\(5, 12\)": (
        lambda: changed(layers.LSTM(4, name="l"), units=3)
    ),
    r"GRU 'g', which has the bias \(2, 12\), where .*use_bias=True mean \(12,\)": (
        lambda: changed(unrolled.GRU(4, name="g"), reset_after=False)
    ),
    r"SimpleRNN 's', which has the kernel \(5, 4\)": (
        lambda: changed(unrolled.SimpleRNN(4, name="s"), units=2**40)
    ),
    r"LSTM 'l', which has the bias \(16,\), where .*use_bias=False mean none": (
        lambda: changed(layers.LSTM(4, name="l"), use_bias=False)
    ),
    r"Dense 'd', which has the bias \(4,\), where .*use_bias=False mean none": (
        lambda: changed(layers.Dense(4, name="d"), use_bias=False)
    ),
    r"Dense 'd', which has no bias, where .*mean \(4,\)": (
        lambda: changed(layers.Dense(4, name="d"), bias=None)
    ),
    r"Dense 'd', which has the kernel \(5, 4\).* units=3": (
        lambda: changed(layers.Dense(4, name="d"), units=3)
    ),
    r"LayerNormalization 'n', which has the gamma \(5,\), where .*scale=False": (
        lambda: changed(layers.LayerNormalization(name="n"), scale=False)
    ),
    r"LayerNormalization 'n', which has no gamma": (
        lambda: changed(layers.LayerNormalization(name="n"), gamma=None)
    ),
    r"LayerNormalization 'n', which has the beta \(5,\), where .*center=False": (
        lambda: changed(layers.LayerNormalization(name="n"), center=False)
    ),
    r"BatchNormalization 'n', which has the gamma \(5,\), where .*scale=False": (
        lambda: changed(layers.BatchNormalization(name="n"), scale=False)
    ),
    r"RMSNormalization 'n', which has the scale \(3,\), where 5 features": (
        lambda: changed(layers.RMSNormalization(name="n"), scale=np.ones(3))
    ),
    r"Embedding 'e', which has the embeddings \(300, 4\), where input_dim=9000": (
        lambda: _changed_embedding(input_dim=9000)
    ),
    r"Embedding 'e', .* where input_dim=300 and output_dim=40 mean \(300, 40\)": (
        lambda: _changed_embedding(output_dim=40)
    ),
}


def _changed_embedding(**attributes):
    model = ids_model()
    for name, value in attributes.items():
        setattr(model.layers[0], name, value)
    return model


@pytest.mark.parametrize("message", CHANGED)
def test_options_changed_after_the_build(message):
    with pytest.raises(ValueError, match=message):
        unrolled.stream(CHANGED[message]())


@pytest.mark.parametrize(
    "make",
    [
        lambda: changed(unrolled.LSTM(4), activation=RELU),
        lambda: changed(layers.GRU(4), recurrent_activation=RELU),
        lambda: changed(layers.Dense(4), activation=RELU),
        lambda: changed(layers.BatchNormalization(), epsilon=0.5),
        lambda: changed(layers.ReLU(), max_value=0.3),
    ],
)
def test_options_that_a_call_reads_anew(make):
    check(make(), inputs(B, T, D))


# --- calls that are not the class's ---


def _shadow(owner, name, method):
    setattr(owner, name, method)


def test_a_call_replaced_on_the_object():
    model = sequence(layers.Dense(3, name="d"))
    _shadow(model.layers[0], "call", lambda x: x[..., :3])
    with pytest.raises(ValueError, match="'d', which has its call replaced on the obj"):
        unrolled.stream(model)
    model = sequence(layers.Dense(3))
    _shadow(model, "call", lambda x: x)
    with pytest.raises(ValueError, match=r"Sequential .*, which has its call replaced"):
        unrolled.stream(model)
    model = sequence(layers.LSTM(3, name="l"))
    _shadow(model.layers[0], "inner_loop", model.layers[0].inner_loop)
    with pytest.raises(ValueError, match="'l', which has its inner_loop replaced"):
        unrolled.stream(model)


def test_a_cell_with_a_method_replaced_is_stepped_by_its_call():
    model = sequence(layers.SimpleRNN(3, name="s"))
    cell = model.layers[0].cell
    whole = cell.call

    def doubled(x, states, training=False):
        y, states = whole(x, states, training=training)
        return 2 * y, states

    _shadow(cell, "call", doubled)
    stream = check(model, inputs(B, 3, D))
    assert stream._program.steps[0].cell is not None


ONES = np.ones((B, T), bool)
CALLED_WITH = {
    "mask": lambda: functional(unrolled.GRU(4, name="g"), mask=ONES),
    "resets": lambda: functional(unrolled.GRU(4, name="g"), resets=ONES),
    "lengths": lambda: functional(unrolled.GRU(4, name="g"), lengths=np.ones(B, int)),
    "initial_state": lambda: functional(
        layers.GRU(4, name="g"), initial_state=[np.ones((B, 4), "float32")]
    ),
    "a second argument": lambda: functional(layers.Softmax(name="s"), np.ones(D, bool)),
    "a memory that is no input of the model": lambda: functional(
        unrolled.RNN(Reads(4), name="r"), memory=np.ones((B, 4), "float32")
    ),
}


class Reads(unrolled.SimpleRNNCell):
    """Adds its memory to the candidate, where there is one."""

    def get_constants(self, batch_size, training, memory=None):
        constants = super().get_constants(batch_size, training)
        return {**constants, "memory": 0.0 if memory is None else memory}

    def step(self, x_proj, states, constants):
        return super().step(x_proj + constants["memory"], states, {})


@pytest.mark.parametrize("what", CALLED_WITH)
def test_arguments_of_a_call_in_a_functional_model(what):
    with pytest.raises(ValueError, match=f"', which is called with {what}: "):
        unrolled.stream(CALLED_WITH[what](), batch_size=B)


# --- numbers that the model would round ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequence(layers.Activation("tanh", dtype="bfloat16", name="n")),
        lambda: sequence(layers.Dropout(0.5, dtype="float16", name="n"), layers.ReLU()),
        lambda: sequence(
            layers.TimeDistributed(layers.ReLU(), dtype="mixed_bfloat16", name="n")
        ),
    ],
)
def test_layers_without_weights_in_another_dtype(make):
    with pytest.raises(
        ValueError, match=r"'n', which computes in .*float16, and a str"
    ):
        unrolled.stream(make())


@pytest.mark.parametrize("dtype", ["bfloat16", "int32", "uint8"])
def test_inputs_that_are_rounded(dtype):
    start = keras.Input((None, D), dtype=dtype)
    model = keras.Sequential([start, layers.Dense(3, name="d")])
    with pytest.raises(ValueError, match=f"'d', which reads an Input of {dtype}, to"):
        unrolled.stream(model)
    with pytest.raises(ValueError, match=f"'d', which reads an Input of {dtype}, to"):
        unrolled.stream(keras.Sequential([keras.Input((None, D)), model]))


@pytest.mark.parametrize(
    ("dtype", "held"),
    [("int32", True), ("float32", True), ("uint8", False), ("bfloat16", False)],
)
def test_ids_that_are_rounded(dtype, held):
    model = ids_model(dtype=dtype)
    if held:
        check(randomize(model), np.random.default_rng(0).integers(0, 300, (B, T)))
        return
    with pytest.raises(ValueError, match=f"'e', .* Input of {dtype}, .*dtype='int32'"):
        unrolled.stream(model)


def test_a_layer_with_the_time_axis_first():
    model = sequence(unrolled.LSTM(4, time_major=True, return_sequences=True))
    x = inputs(T, B, D)
    stream = unrolled.stream(model, batch_size=B)
    got = np.stack([stream.step(x_t) for x_t in x])
    np.testing.assert_allclose(got, model(x), rtol=1e-5, atol=1e-6)
