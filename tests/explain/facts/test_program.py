"""The code that makes a model runs as it stands, and makes that model."""

import unrolled
from unrolled.explain.facts.code import of_layer
from unrolled.explain.facts.program import of_model

import keras
import numpy as np
import pytest
from tests.harness import program_of

from conftest import Leaky, sequential

pytestmark = [
    pytest.mark.keras_ranks,
    pytest.mark.filterwarnings("ignore:unrolled runs its slower scan path"),
]
L = keras.layers
B, T, D, U, V = 2, 4, 3, 2, 7


def bend(x):
    """An activation of somebody's own."""
    return keras.ops.sin(x)


class Mine(L.LSTM):
    """A layer that hands its arguments on."""

    def __init__(self, units, spice=1, **kwargs):
        super().__init__(units, **kwargs)
        self.spice = spice

    def get_config(self):
        return super().get_config() | {"spice": self.spice}


class Known(keras.Model):
    """A model of somebody's own, whose arguments Keras can record."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.head = L.GRU(units), L.Dense(1)

    def call(self, x):
        return self.head(self.inner(x))

    def get_config(self):
        return super().get_config() | {"units": self.inner.units}


class Unknown(keras.Model):
    """One whose arguments nobody recorded."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        raise NotImplementedError


def deep(*layers, shape=(T, D), **options):
    return lambda: sequential(*(one() for one in layers), shape=shape, **options)


def noisy():
    x = keras.Input((T, D))
    return keras.Model(x, L.GRU(U, dropout=0.5, seed=1)(x, training=True))


def one(make):
    return deep(make)


def stateful():
    inputs = keras.Input(batch_shape=(B, T, D))
    return keras.Sequential([inputs, L.GRU(U, stateful=True), L.Dense(1)])


def translate():
    source, target = keras.Input((5, D), name="source"), keras.Input((T, D))
    _, h, c = L.LSTM(U, return_state=True, name="encoder")(source)
    out = L.LSTM(U, return_sequences=True)(target, initial_state=[h, c])
    inside = keras.Sequential([keras.Input((T, U)), L.SimpleRNN(3)], name="inner")
    return keras.Model([source, target], inside(out), name="translate")


def masked():
    ids = keras.Input((T,), dtype="int32")
    table = L.Embedding(V, D, mask_zero=True, embeddings_initializer="zeros")
    x = L.Bidirectional(L.LSTM(U, return_sequences=True))(table(ids))
    return keras.Model(ids, L.Dense(1)(L.GRU(U)(x)))


def shared():
    one, other = keras.Input((T, D), name="one"), keras.Input((T, D), name="other")
    read = unrolled.GRU(U, name="reader")
    apart = keras.ops.abs(read(one) - read(other) * 2.5)
    merged = L.Concatenate()([apart, L.Lambda(bend)(one[:, -1, 1:])])
    return keras.Model({"one": one, "other": other}, {"near": L.Dense(1)(merged)})


def attending():
    x = keras.Input((T, D))
    h = unrolled.LSTM(U, return_sequences=True)(x)
    y = L.MultiHeadAttention(2, 3)(h, h)
    y = L.Attention(use_scale=True)([h, L.Add()([h, y])])
    return keras.Model(x, L.GlobalAveragePooling1D()(y))


def nested():
    inside = keras.Sequential([keras.Input((D,)), L.Dense(2)], name="each step")
    x = keras.Input((T, D))
    model = keras.Model(x, L.LSTM(U)(L.TimeDistributed(inside)(x)), name="outer")
    return keras.Sequential([keras.Input((T, D)), model, L.Dense(1)])


def with_lengths():
    x, n = keras.Input((T, D)), keras.Input((), dtype="int32", name="n")
    return keras.Model([x, n], unrolled.LSTM(U)(x, lengths=n))


def built(model, shape):
    model.build(shape)
    return model


def called(model):
    model(np.zeros((B, T, D), "float32"))
    return model


def frozen():
    model = sequential(L.LSTM(U), L.Dense(1), shape=(T, D))
    model.layers[0].trainable = False
    return model


MODELS = {
    "lstm": deep(lambda: L.LSTM(128), lambda: L.Dense(10, "softmax"), shape=(28, 28)),
    "gru": one(lambda: L.GRU(U, reset_after=False, dropout=0.25, seed=3)),
    "simple_rnn": one(lambda: L.SimpleRNN(U, return_sequences=True)),
    "ours": one(lambda: unrolled.LSTM(U, go_backwards=True)),
    "both libraries": deep(
        lambda: unrolled.GRU(U, return_sequences=True), lambda: L.GRU(U)
    ),
    "several of a kind": deep(
        *[lambda: L.LSTM(U, return_sequences=True)] * 2,
        lambda: L.LSTM(U, name="last"),
        name="three",
    ),
    "stateful": stateful,
    "embedding": deep(
        lambda: L.Embedding(V, D, embeddings_initializer="glorot_uniform"),
        lambda: L.LSTM(U),
        shape=(None,),
        dtype="int32",
    ),
    "initializers": one(
        lambda: L.LSTM(
            U,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=4),
            kernel_regularizer=keras.regularizers.L2(0.5),
            recurrent_constraint=keras.constraints.MaxNorm(3),
        )
    ),
    "activations": one(lambda: L.LSTM(U, activation=bend)),
    "activation layers": one(lambda: L.LSTM(U, activation=L.LeakyReLU(0.1))),
    "precision": one(lambda: L.LSTM(U, dtype="mixed_bfloat16")),
    "bidirectional": one(lambda: L.Bidirectional(L.GRU(U), merge_mode="sum")),
    "two unlike directions": one(
        lambda: L.Bidirectional(
            L.LSTM(U), backward_layer=L.GRU(U, go_backwards=True), name="both"
        )
    ),
    "our bidirectional": one(lambda: unrolled.Bidirectional(unrolled.LSTM(U))),
    "stack": one(lambda: L.RNN([L.LSTMCell(U), L.GRUCell(3)], return_state=True)),
    "our stack": one(
        lambda: unrolled.RNN(
            unrolled.StackedRNNCells([unrolled.LSTMCell(D), unrolled.GRUCell(U)])
        )
    ),
    "our stack with skip connections": one(
        lambda: unrolled.RNN(
            unrolled.StackedRNNCells(
                [unrolled.LSTMCell(D), unrolled.GRUCell(U)], skip_connections=True
            )
        )
    ),
    "wrapped cells": one(
        lambda: unrolled.RNN(
            unrolled.ResidualWrapper(
                unrolled.DropoutWrapper(unrolled.LSTMCell(D), output_dropout=0.1)
            )
        )
    ),
    "custom cell": one(lambda: L.RNN(Leaky(U), return_sequences=True)),
    "custom layer": one(lambda: Mine(U, spice=3, return_sequences=True)),
    "time distributed": deep(
        lambda: L.TimeDistributed(L.LSTM(U)), lambda: L.GRU(U), shape=(T, 5, D)
    ),
    "convolutions": deep(
        lambda: L.ConvLSTM1D(2, 3, padding="same"), lambda: L.Flatten(), shape=(T, 8, 1)
    ),
    "masking": deep(lambda: L.Masking(-1.0), lambda: L.LSTM(U)),
    "frozen": frozen,
    "training said": noisy,
    "no recurrent layer": deep(lambda: L.Dense(3), shape=(4,)),
    "encoder and decoder": translate,
    "masks in a graph": masked,
    "shared layers and operations": shared,
    "attention": attending,
    "nested": nested,
    "lengths": with_lengths,
    "subclassed": lambda: called(Known(U)),
    "without an input": lambda: built(
        keras.Sequential([L.LSTM(U)], name="late"), (None, T, D)
    ),
}


def summary(model):
    lines = []
    model.summary(print_fn=lambda text, **more: lines.append(text), line_length=120)
    return "\n".join(lines)


def run(text, goal="model"):
    """The program in a process that has named nothing yet."""
    keras.utils.clear_session(free_memory=False)
    space = {"__name__": "program"}
    exec(compile(text, "program", "exec"), space)
    return space[goal]


def sample_of(model):
    rng = np.random.default_rng(2)
    made = {}
    if not hasattr(model, "_inputs_struct") and not isinstance(model, keras.Sequential):
        return np.ones((B, T, D), "float32")
    for tensor in keras.tree.flatten(model.inputs):
        shape = [size or T for size in (tensor.shape[0] or B, *tensor.shape[1:])]
        draw = rng.integers(1, T, shape) if "int" in tensor.dtype else rng.random(shape)
        made[tensor.name] = draw.astype(tensor.dtype)
    if isinstance(getattr(model, "_inputs_struct", None), dict):
        return made
    return next(iter(made.values())) if len(made) == 1 else list(made.values())


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_it_makes_the_model(make):
    keras.utils.clear_session(free_memory=False)
    model = make()
    text = of_model(model)
    assert "..." not in text, text
    again = run(text)
    assert summary(again) == summary(model), text
    assert type(again) is type(model)
    shapes = [[w.shape for w in one.weights] for one in (again, model)]
    assert shapes[0] == shapes[1]
    assert of_model(again) == text  # every argument was written
    x = sample_of(model)
    assert program_of(again, x) == program_of(model, x), text


@pytest.mark.parametrize("library", [L, unrolled], ids=["keras", "unrolled"])
def test_a_layer_alone(library):
    layer = library.LSTM(U, use_bias=False)
    layer.build((None, T, D))
    again = run(of_model(layer), "layer")
    assert again.count_params() == layer.count_params()
    assert of_layer(again) == of_layer(layer) == "LSTM(2, use_bias=False)"


def test_names_of_any_kind_are_names():
    names = ["class", "keras", "a\nb = 1", "x'); import os #", "שלום", "1st", "Input"]
    names += ["LSTM", "Model"]
    x = y = keras.Input((T, D), name="model")
    for name in names:
        y = L.LSTM(D, return_sequences=True, name=name)(y)
    model = keras.Model(x, y, name="\u2028'''\\")
    again = run(of_model(model))
    assert [one.name for one in again.layers] == ["model", *names]
    assert again.name == model.name


def test_what_is_not_recorded_is_said():
    model = called(Unknown(L.LSTM(U)))
    text = of_model(model)
    assert "Unknown (in " in text
    assert "is not recorded" in text
    assert "LSTM(2)" in text
    exec(compile(text, "program", "exec"), {})
    model = sequential(L.LSTM(U), L.Lambda(lambda x: x + 1, name="more"), shape=(T, D))
    assert "stands for what is not recorded: function of more" in of_model(model)


def test_a_class_made_inside_a_function_is_asked_for():
    class Inner(L.Dense):
        pass

    text = of_model(sequential(Inner(3), shape=(4,)))
    assert text.startswith("# bring these classes of your own: Inner")
