"""What a stream refuses: before any compute, naming the layer, saying what to do."""

import unrolled

import keras
import pytest
from keras import layers

pytestmark = pytest.mark.keras_ranks


def sequence(*parts):
    return keras.Sequential([keras.Input((None, 5)), *parts])


class MyDense(layers.Dense):
    """A layer of a user."""


class MyModel(keras.Model):
    """A model whose call nobody can look into."""

    def __init__(self):
        super().__init__(name="mine")
        self.inner = unrolled.LSTM(3)

    def call(self, x):
        return self.inner(x)


def branches():
    start = keras.Input((None, 5))
    joined = layers.Add(name="join")([layers.Dense(3)(start), layers.Dense(3)(start)])
    return keras.Model(start, joined)


def two_inputs():
    starts = [keras.Input((None, 5)), keras.Input((None, 5))]
    return keras.Model(starts, layers.Add()(starts))


def operation():
    start = keras.Input((None, 5))
    return keras.Model(start, keras.ops.tanh(layers.Dense(3)(start)))


def with_initial_state():
    start = keras.Input((None, 5))
    state = layers.Dense(3)(layers.GlobalAveragePooling1D()(start))
    return keras.Model(start, unrolled.GRU(3, name="g")(start, initial_state=[state]))


def in_training():
    start = keras.Input((None, 5))
    dropped = layers.Dropout(0.5, name="d")(start, training=True)
    return keras.Model(start, unrolled.GRU(3)(dropped))


def called_twice():
    start = keras.Input((None, 5))
    layer = unrolled.GRU(5, return_sequences=True, name="g")
    return keras.Model(start, layer(layer(start)))


def subclassed():
    model = MyModel()
    model(keras.ops.ones((1, 2, 5)))
    return model


def images(layer):
    return keras.Sequential([keras.Input((4, 8, 2)), layer])


LSTM = unrolled.LSTM
REFUSED = {
    r"Bidirectional 'b', which reads the sequence from its end.*only reads forwards": (
        lambda: sequence(unrolled.Bidirectional(LSTM(3), name="b"))
    ),
    r"LSTM 'l', which has go_backwards=True: train a model that reads forwards": (
        lambda: sequence(LSTM(3, go_backwards=True, name="l"))
    ),
    r"LSTM 'l', which has return_state=True: .*stream.states": (
        lambda: _built(LSTM(3, return_state=True, name="l"))
    ),
    r"LSTM 'l', which has return_all_states=True": (
        lambda: _built(LSTM(3, return_all_states=True, name="l"))
    ),
    r"LSTM 'l', which has the activation softsign.*use one of tanh, sigmoid": (
        lambda: sequence(LSTM(3, activation="softsign", name="l"))
    ),
    r"GRU 'g', which has the recurrent_activation silu": (
        lambda: sequence(unrolled.GRU(3, recurrent_activation="silu", name="g"))
    ),
    r"Dense 'd', which has the activation selu": (
        lambda: sequence(layers.Dense(3, activation="selu", name="d"))
    ),
    r"MyDense 'd', which is derived from Dense": (
        lambda: sequence(MyDense(3, name="d"))
    ),
    r"Conv1D 'c', which has no step of its own: known are the recurrent": (
        lambda: sequence(layers.Conv1D(3, 2, name="c"))
    ),
    r"ConvLSTM1D 'c', which reads images step by step": (
        lambda: images(unrolled.ConvLSTM1D(2, 3, name="c"))
    ),
    r"RNN 'r', which reads images step by step.*initial_state": (
        lambda: images(unrolled.RNN(unrolled.ConvGRUCell(1, 2, 3), name="r")).layers[0]
    ),
    r"LSTM 'l', which computes in bfloat16.*dtype='float32'": (
        lambda: sequence(LSTM(3, dtype="mixed_bfloat16", name="l"))
    ),
    r"Masking 'm', which marks steps to pass over": (
        lambda: sequence(layers.Masking(name="m"), LSTM(3))
    ),
    r"Embedding 'e', which has mask_zero=True": (
        lambda: keras.Sequential(
            [keras.Input((None,)), layers.Embedding(5, 3, mask_zero=True, name="e")]
        )
    ),
    r"LayerNormalization 'n', which acts along axis \[?1": (
        lambda: keras.Sequential(
            [keras.Input((4, 5)), layers.LayerNormalization(axis=1, name="n")]
        )
    ),
    r"Dense 'd', which reads inputs of shape \(None, 5\)": (
        lambda: keras.Sequential([keras.Input((5,)), layers.Dense(3, name="d")])
    ),
    r"TimeDistributed 't', which gives a recurrent layer a sequence at each step": (
        lambda: keras.Sequential(
            [keras.Input((None, 4, 5)), layers.TimeDistributed(LSTM(3), name="t")]
        )
    ),
    r"Add 'join', which joins 2 tensors": branches,
    r"must have one input and one output.*Got 2 and 1": two_inputs,
    r"Tanh .*, which is an operation, not a layer": operation,
    r"GRU 'g', which joins 2 tensors": with_initial_state,
    r"Dropout 'd', which is called with training=True": in_training,
    r"GRU 'g', which is called twice": called_twice,
    r"MyModel 'mine', which is a model of your own class.*Sequential": subclassed,
    r"model must be built.*Got 's', which is not: call it on data once": (
        lambda: keras.Sequential([LSTM(3)], name="s")
    ),
    r"model must be a Keras model or layer. Got str": lambda: "model.keras",
    r"must hold a layer that does something": lambda: sequence(layers.Dropout(0.5)),
    r"ReLU 'r', which has an unknown number of features": (
        lambda: _built(layers.ReLU(name="r"))
    ),
}


def _built(layer):
    layer.build((None, None, 5))
    return layer


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    with pytest.raises(ValueError, match=message):
        unrolled.stream(REFUSED[message]())


@pytest.mark.usefixtures("float64")
def test_float64():
    model = sequence(LSTM(3, dtype="float64", name="l"))
    with pytest.raises(ValueError, match="'l', which computes in float64"):
        unrolled.stream(model)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, "1", None])
def test_batch_size(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        unrolled.stream(sequence(LSTM(3)), batch_size=batch_size)


def test_weights():
    with pytest.raises(ValueError, match="weights must be one of float32, bfloat16"):
        unrolled.stream(sequence(LSTM(3)), weights="int4")
