"""Options of LSTM, GRU and SimpleRNN where people meet them: layers, files, streams."""

from functools import partial

import unrolled

import keras
import numpy as np
import pytest

from ..core import need_core
from ..harness import Compiled, close, hold_to_reference, scatter
from ..rows import Formula
from ..rows.lstm import from_ours
from ..sources import lstm

B, T, D, U = 2, 5, 3, 4
OPTIONS = [
    (unrolled.LSTM, {"use_peepholes": True}),
    (unrolled.LSTM, {"couple_gates": True}),
    (unrolled.LSTM, {"forget_bias": 1.0}),
    (unrolled.LSTM, {"cell_clip": 0.3}),
    (unrolled.LSTM, {"projection_size": 2, "projection_clip": 0.3}),
    (unrolled.LSTM, {"weight_norm": True}),
    (unrolled.GRU, {"layer_norm": "gates"}),
    (unrolled.SimpleRNN, {"layer_norm": "products"}),
]
EACH = pytest.mark.parametrize(("kind", "options"), OPTIONS)


@need_core
@EACH
def test_a_layer_takes_the_options_of_its_cell(kind, options, rng, tmp_path):
    layer = kind(U, return_sequences=True, **options)
    model = keras.Sequential([keras.Input((T, D)), layer])
    scatter(model, rng)
    assert layer.plan().startswith("the native ")
    with unrolled.kernels("off"):
        assert layer.plan().startswith("the scan: ")
    x = rng.normal(size=(B, T, D)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.layers[0].get_config() == layer.get_config()
    close(again.predict(x, verbose=0), expected)
    stream = unrolled.stream(model, batch_size=B)
    steps = [np.array(stream.step(x[:, t])) for t in range(T)]
    close(np.stack(steps, axis=1), expected)


@need_core
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_forget_bias_is_on_the_native_kernel(use_bias, rng):
    """Added at run time: the weight stays as it is, and need not be there."""
    row = Formula(
        "lstm_forget_bias",
        partial(unrolled.LSTMCell, forget_bias=-0.7, use_bias=use_bias),
        partial(lstm.lstm, forget_bias=-0.7),
        lambda ours: from_ours({"bias": np.zeros(4 * U), **ours}),
        order=(1, 0),
    )
    compiled = Compiled(row, D, U)
    assert "the native lstm kernel" in compiled.layer.plan()
    mask = np.arange(T)[None] < np.array([[T], [2]])
    hold_to_reference(compiled, rng, B, T, mask=mask, name="lstm_forget_bias native")


def test_a_projected_h_is_what_goes_round_and_what_comes_out(rng):
    layer = unrolled.LSTM(U, projection_size=2, return_state=True)
    x = rng.normal(size=(B, T, D)).astype("float32")
    y, h, c = layer(x)
    assert (y.shape, h.shape, c.shape) == ((B, 2), (B, 2), (B, U))
    np.testing.assert_array_equal(y, h)
    both = unrolled.Bidirectional(unrolled.LSTM(U, projection_size=2))
    assert both(x).shape == (B, 4)
    assert layer.cell.recurrent_kernel.shape == (2, 4 * U)


def test_clips_hold(rng):
    layer = unrolled.LSTM(
        U, cell_clip=0.05, return_all_states=True, return_sequences=True
    )
    x = 10 * rng.normal(size=(B, T, D)).astype("float32")
    _, _, c = layer(x)
    assert np.abs(c).max() == np.float32(0.05)


BAD = [
    (unrolled.LSTM, {"cell_clip": -1.0}, "cell_clip must be positive.*Got -1.0"),
    (unrolled.LSTM, {"projection_size": 0}, "projection_size must be a positive"),
    (unrolled.LSTM, {"projection_size": 2.5}, "projection_size must be a positive"),
    (unrolled.LSTM, {"projection_clip": 1.0}, "projection_clip clips a projected h"),
    (unrolled.GRU, {"layer_norm": True}, 'layer_norm must be None, "gates" or'),
    (
        unrolled.GRU,
        {"layer_norm": "products", "reset_after": False},
        "reset_after must be True with layer_norm",
    ),
    (unrolled.LSTM, {"proj_size": 2}, "pass projection_size="),
    (unrolled.LSTM, {"peepholes": True}, "pass use_peepholes=True"),
    (unrolled.LSTM, {"input_forget": 1}, "pass couple_gates=True"),
]


@pytest.mark.parametrize(("kind", "options", "said"), BAD)
def test_a_wrong_option_has_its_sentence(kind, options, said):
    with pytest.raises(ValueError, match=said):
        kind(U, **options)


def test_an_initial_state_of_the_wrong_width_is_named(rng):
    layer = unrolled.LSTM(U, projection_size=2)
    x = rng.normal(size=(B, T, D)).astype("float32")
    with pytest.raises(ValueError, match=r"\(h\) must have shape .*\(2, 2\).*\(2, 4\)"):
        layer(x, initial_state=[np.zeros((B, U), "float32")] * 2)
