"""Write the files of Keras 2 in this folder, and what their models gave.

They were written by Keras 2.15.0 on a CPU:

    python3.11 -m venv keras2 && keras2/bin/pip install tensorflow-cpu==2.15.1
    keras2/bin/python tests/data/keras2/make.py

Layers of cuDNN can be made and saved without a GPU, but not run. What their models give
is what Keras 2 gives once it has loaded their weights into `LSTM` and `GRU`.
"""

import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
B, T, D, U, V = 2, 6, 3, 4, 7
keras = tf.keras
layers = keras.layers
cudnn = tf.compat.v1.keras.layers
rng = np.random.default_rng(2)
x = rng.normal(size=(B, T, D)).astype("float32")
ids = np.array([[3, 1, 6, 2, 0, 0], [5, 0, 2, 4, 1, 0]])
EACH = {"return_sequences": True}


class Plain:
    """The layers that run without a GPU, in the places of those of cuDNN."""

    CuDNNLSTM = layers.LSTM
    CuDNNGRU = layers.GRU


def sequential(*parts, **first):
    """One layer after the other; the first has the shape of the inputs."""
    first = first or {"input_shape": (T, D)}
    parts[0]._batch_input_shape = first.get(
        "batch_input_shape", (None, *first.get("input_shape", ()))
    )
    return keras.Sequential(list(parts))


def lstm():
    return sequential(
        layers.LSTM(U, implementation=1, **EACH),
        layers.LSTM(U, unroll=True, go_backwards=True, **EACH),
        layers.LSTM(
            U,
            implementation=2,
            activation="softsign",
            unit_forget_bias=False,
            dropout=0.1,
            recurrent_dropout=0.2,
            kernel_regularizer="l2",
            bias_constraint=keras.constraints.MaxNorm(9.0),
        ),
    )


def gru():
    return sequential(
        layers.GRU(U, reset_after=True, **EACH),
        layers.GRU(U, reset_after=False, implementation=1, **EACH),
        layers.GRU(U, use_bias=False, **EACH),
        layers.SimpleRNN(U),
    )


def hard_sigmoid():
    """What Keras 2 called so is not what Keras 3 calls so."""
    kind = {"recurrent_activation": "hard_sigmoid"}
    return sequential(
        layers.LSTM(U, **kind, **EACH),
        layers.GRU(U, **kind, **EACH),
        layers.Bidirectional(layers.LSTM(U, **kind, **EACH)),
        layers.RNN(layers.GRUCell(U, **kind), **EACH),
        layers.SimpleRNN(U, activation="hard_sigmoid"),
    )


def stateful():
    return sequential(
        layers.LSTM(U, stateful=True, **EACH),
        layers.Bidirectional(layers.GRU(U, stateful=True)),
        batch_input_shape=(B, T, D),
    )


def bidirectional():
    inputs = keras.Input((T, D))
    outputs = [
        layers.Bidirectional(layers.LSTM(U, **EACH), merge_mode=mode)(inputs)
        for mode in ("concat", "sum", "mul", "ave")
    ]
    apart = layers.Bidirectional(layers.GRU(U), merge_mode=None)(inputs)
    pair = layers.Bidirectional(
        layers.LSTM(U), backward_layer=layers.GRU(U, go_backwards=True)
    )(inputs)
    return keras.Model(inputs, [*outputs, *apart, pair])


def masked():
    return keras.Sequential(
        [
            layers.Embedding(V, D, mask_zero=True, input_length=T),
            layers.LSTM(U, **EACH),
            layers.Bidirectional(layers.GRU(U, **EACH)),
            layers.Bidirectional(layers.LSTM(U)),
            layers.Dense(2, activation="softmax"),
        ]
    )


def rnn():
    cells = [layers.LSTMCell(3), layers.GRUCell(U), layers.SimpleRNNCell(U)]
    stack = layers.StackedRNNCells([layers.LSTMCell(U), layers.GRUCell(3)])
    return sequential(
        layers.RNN(cells, **EACH),
        layers.RNN(layers.LSTMCell(U), **EACH),
        layers.Bidirectional(layers.RNN(stack)),
    )


def encoder_decoder():
    """A decoder that starts from the states of an encoder."""
    source, target = keras.Input((T, D)), keras.Input((None, D))
    _, h, c = layers.LSTM(U, return_state=True)(source)
    y, h, c = layers.LSTM(U, return_state=True, **EACH)(target, initial_state=[h, c])
    _, *states = layers.Bidirectional(layers.GRU(U, return_state=True))(source)
    both = layers.Bidirectional(layers.GRU(U))(target, initial_state=states)
    return keras.Model([source, target], [layers.Dense(2)(y), h, c, both])


def time_major():
    return sequential(
        layers.LSTM(U, time_major=True, **EACH),
        layers.GRU(U, time_major=True),
        batch_input_shape=(T, None, D),
    )


def trained():
    """With an optimizer that has made a step."""
    model = sequential(layers.LSTM(U), layers.Dense(1))
    model.compile("adam", "mse", metrics=["mae"])
    return model


def cudnn_lstm(kind=cudnn):
    return sequential(
        kind.CuDNNLSTM(U, **EACH), kind.CuDNNLSTM(U + 1, go_backwards=True)
    )


def cudnn_gru(kind=cudnn):
    return sequential(kind.CuDNNGRU(U, go_backwards=True, **EACH), kind.CuDNNGRU(U + 1))


def cudnn_stateful(kind=cudnn):
    return sequential(
        kind.CuDNNLSTM(U, stateful=True, **EACH),
        kind.CuDNNGRU(U, stateful=True),
        batch_input_shape=(B, T, D),
    )


def cudnn_bidirectional(kind=cudnn):
    return sequential(
        layers.Bidirectional(kind.CuDNNLSTM(U, **EACH)),
        layers.Bidirectional(kind.CuDNNGRU(U), merge_mode="sum"),
    )


def cudnn_functional(kind=cudnn):
    """A layer that starts from the states of another."""
    inputs = keras.Input((T, D))
    _, h, c = kind.CuDNNLSTM(U, return_state=True)(inputs)
    y = kind.CuDNNLSTM(U, **EACH)(inputs, initial_state=[h, c])
    return keras.Model(inputs, [layers.Bidirectional(kind.CuDNNLSTM(U))(y), h])


def cudnn_nested(kind=cudnn):
    """Beside layers that are not of cuDNN, in models in models."""
    inner = sequential(kind.CuDNNGRU(U, **EACH), layers.LSTM(U, **EACH))
    other = sequential(
        layers.Bidirectional(kind.CuDNNLSTM(U)), layers.Dense(2), input_shape=(T, U)
    )
    return keras.Sequential([inner, other])


def cudnn_time_distributed(kind=cudnn):
    """Each window of two steps."""
    windows = layers.Reshape((T // 2, 2, D))
    inner = sequential(kind.CuDNNGRU(U, **EACH), kind.CuDNNLSTM(3), input_shape=(2, D))
    return sequential(
        windows,
        layers.TimeDistributed(inner),
        layers.Dense(2),
    )


MODELS = [
    *(lstm, gru, hard_sigmoid, stateful, bidirectional, masked, rnn),
    *(encoder_decoder, time_major, trained),
]
OF_CUDNN = [
    *(cudnn_lstm, cudnn_gru, cudnn_stateful, cudnn_bidirectional, cudnn_functional),
    *(cudnn_nested, cudnn_time_distributed),
]


def given(make):
    """The inputs of a model."""
    if make is masked:
        return ids
    if make is time_major:
        return x.swapaxes(0, 1)
    return [x, x[:, ::-1]] if make is encoder_decoder else x


def random(model):
    """Random weights: with constant ones, two swapped gates would pass."""
    drawn = [rng.normal(0, 0.5, w.shape) for w in model.get_weights()]
    model.set_weights(drawn)


def main():
    found = {"x": x, "ids": ids}
    for make in [*MODELS, *OF_CUDNN]:
        name, inputs = make.__name__, given(make)
        model = make()
        if not model.built:
            model.build((None, T))
        random(model)
        if make is trained:
            model.fit(x, x[:, 0, :1], verbose=0)
        runs = model
        if make in OF_CUDNN:
            model.save_weights(HERE / f"{name}_weights.h5")
            runs = make(Plain)
            runs.load_weights(HERE / f"{name}_weights.h5")
        elif make in (gru, bidirectional, rnn):
            model.save_weights(HERE / f"{name}_weights.h5")
            model.save_weights(HERE / f"{name}.weights.h5")  # a form of its own
            model.save(HERE / f"{name}.keras")
        model.save(HERE / f"{name}.h5", include_optimizer=make is trained)
        for call in range(2 if "stateful" in name else 1):
            outputs = tf.nest.flatten(runs.predict(inputs, verbose=0))
            for place, each in enumerate(outputs):
                found[f"{name} {call} {place}"] = each
    np.savez(HERE / "outputs.npz", **found)


if __name__ == "__main__":
    main()
