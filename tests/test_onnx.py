"""Models written as ONNX files by Keras, run in onnxruntime.

Keras writes them through jax2onnx. What of Keras's own layers that does not take, it
does not take of ours: a scan that runs backwards (`go_backwards`, `Bidirectional`).
"""

import os

import unrolled

import jax
import keras
import numpy as np
import pytest

pytestmark = [
    pytest.mark.parity,
    # Of jax2onnx and what it loads.
    pytest.mark.filterwarnings("default"),
    pytest.mark.keras_ranks,
]

B, T, D, U = 2, 5, 3, 4
K = keras.layers


def layers(m):
    """Models that stock layers and ours make, by the module of either."""
    return {
        "SimpleRNN": [m.SimpleRNN(U)],
        "LSTM": [m.LSTM(U)],
        "LSTM, all outputs": [m.LSTM(U, return_sequences=True)],
        "GRU": [m.GRU(U)],
        "GRU, not reset_after": [m.GRU(U, reset_after=False)],
        "masked": [K.Masking(), m.LSTM(U)],
        "masked, all outputs": [K.Masking(), m.GRU(U, return_sequences=True)],
        "other activations": [
            m.LSTM(U, activation="relu", recurrent_activation="hard_sigmoid")
        ],
        "no kernel": [m.LSTM(U, activation="gelu")],
        "a cell": [m.RNN(m.LSTMCell(U), return_sequences=True)],
        "stacked cells": [m.RNN([m.LSTMCell(U), m.GRUCell(3)])],
        "unrolled": [m.LSTM(U, unroll=True)],
        "two layers": [m.LSTM(U, return_sequences=True), m.GRU(3), K.Dense(2)],
        "in TimeDistributed": [K.Reshape((1, T, D)), K.TimeDistributed(m.LSTM(U))],
    }


def ours():
    """Those, and what stock Keras has not."""
    return {
        **layers(unrolled),
        "residual": [unrolled.RNN(unrolled.ResidualWrapper(unrolled.LSTMCell(D)))],
        "zoneout": [unrolled.RNN(unrolled.ZoneoutWrapper(unrolled.LSTMCell(D)))],
        "dropout": [unrolled.LSTM(U, dropout=0.2, recurrent_dropout=0.1)],
        "all states": [unrolled.LSTM(U, return_all_states=True)],
    }


@pytest.fixture
def runtime():
    if os.environ.get("CI") != "true":
        pytest.importorskip("jax2onnx")
    import jax2onnx  # noqa: F401
    import onnxruntime

    return onnxruntime


def written(made, length, path, runtime):
    """What a model gives, and what its file does."""
    rng = np.random.default_rng(5)
    tensor = inputs = keras.Input((length, D))
    for layer in made:
        tensor = layer(tensor)
    model = keras.Model(inputs, tensor)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    x = rng.normal(size=(B, T, D)).astype("float32")
    x[1, 3:] = 0
    want = jax.tree.leaves(model(x))
    model.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path)
    return want, session.run(None, {session.get_inputs()[0].name: x})


@pytest.mark.parametrize("length", [T, None])
@pytest.mark.parametrize("name", ours())
def test_ours_as_onnx(name, length, tmp_path, runtime):
    if name in ("unrolled", "in TimeDistributed") and length is None:
        pytest.skip("needs a length")
    want, got = written(ours()[name], length, str(tmp_path / "m.onnx"), runtime)
    assert len(want) == len(got)
    for a, b in zip(want, got, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


BACKWARDS = {
    "go_backwards": lambda m: m.LSTM(U, go_backwards=True),
    "Bidirectional": lambda m: m.Bidirectional(m.LSTM(U)),
}


@pytest.mark.parametrize("name", BACKWARDS)
@pytest.mark.parametrize("module", [K, unrolled], ids=["Keras", "unrolled"])
def test_what_jax2onnx_takes_of_neither(module, name, tmp_path, runtime):
    layer = BACKWARDS[name](module)
    with pytest.raises(NotImplementedError, match="Reverse scan"):
        written([layer], T, str(tmp_path / "m.onnx"), runtime)
