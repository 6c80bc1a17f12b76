"""Convolutional layers beside Keras's, and what only they have."""

import inspect

import unrolled

import jax
import keras
import numpy as np
import pytest

from ..harness import close, scatter

B, T, C, F = 2, 3, 2, 3
SPACE = {1: (6,), 2: (5, 4), 3: (3, 4, 3)}
KINDS = ["ConvLSTM", "ConvGRU"]
EACH = pytest.mark.parametrize("rank", SPACE)


def _images(rng, rank, channels_first=False):
    x = rng.normal(size=(B, T, *SPACE[rank], C)).astype("float32")
    return np.moveaxis(x, -1, 2) if channels_first else x


def _layer(module, rank, kind="ConvLSTM", **kwargs):
    return getattr(module, f"{kind}{rank}D")(F, 2, **kwargs)


@EACH
def test_arguments_are_those_of_keras(rank):
    ours, theirs = (
        inspect.signature(getattr(module, f"ConvLSTM{rank}D").__init__).parameters
        for module in (unrolled, keras.layers)
    )
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default, name
    positional = [n for n, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [*theirs][: len(positional)]


@pytest.mark.keras_ranks
@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (1, {}),
        (2, {"padding": "SAME", "go_backwards": True}),
        (3, {"use_bias": False, "recurrent_activation": "hard_sigmoid"}),
        (2, {"strides": (2, 1), "padding": "same", "activation": "relu"}),
        (1, {"dilation_rate": 3, "data_format": "channels_first"}),
        (2, {"data_format": "channels_first", "unit_forget_bias": False}),
    ],
    ids=str,
)
def test_numbers_and_gradients_are_those_of_keras(rank, options, rng):
    x = _images(rng, rank, "data_format" in options)
    returned = {"return_sequences": True, "return_state": True}
    layers = [_layer(m, rank, **returned, **options) for m in (unrolled, keras.layers)]
    found = []
    for layer in layers:
        layer.build(x.shape)
    scatter(layers[0], rng)
    layers[1].set_weights(layers[0].get_weights())
    for layer in layers:
        frozen = [v.value for v in layer.non_trainable_variables]

        def loss(weights, x, layer=layer, frozen=frozen):
            outputs, _ = layer.stateless_call(weights, frozen, x)
            return sum((n + 1) * (y**2).sum() for n, y in enumerate(outputs)), outputs

        weights = [v.value for v in layer.trainable_variables]
        grads, outputs = jax.grad(loss, (0, 1), has_aux=True)(weights, x)
        found.append((list(outputs), grads))
        shapes = [tuple(y.shape) for y in outputs]
        assert shapes == [(B, *s[1:]) for s in layer.compute_output_shape(x.shape)]
    for ours, theirs in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.keras_ranks
@EACH
def test_files_of_stock_layers_load(rank, rng, tmp_path):
    def model(module):
        layer = _layer(module, rank, padding="same")
        return keras.Sequential([keras.Input((T, *SPACE[rank], C)), layer])

    stock, ours = model(keras.layers), model(unrolled)
    scatter(stock, rng)
    stock.save(tmp_path / "stock.keras")
    stock.save_weights(tmp_path / "stock.weights.h5")
    x = _images(rng, rank)
    expected = stock.predict(x, verbose=0)
    ours.load_weights(tmp_path / "stock.weights.h5")
    close(ours.predict(x, verbose=0), expected)
    name = f"ConvLSTM{rank}D"
    kinds = {name: getattr(unrolled, name)}
    loaded = keras.models.load_model(tmp_path / "stock.keras", custom_objects=kinds)
    assert type(loaded.layers[0]) is kinds[name]
    close(loaded.predict(x, verbose=0), expected)


@pytest.mark.parametrize("kind", KINDS)
@EACH
def test_a_layer_is_its_cell_along_time(kind, rank, rng):
    """Also where it is made anew from its configuration, as in a Bidirectional."""
    x = _images(rng, rank)
    more = {"return_sequences": True, "return_state": True, "return_all_states": True}
    layer = _layer(unrolled, rank, kind, padding="same", **more)
    cell = getattr(unrolled, f"{kind}Cell")(rank, F, 2, padding="same")
    plain = unrolled.RNN(cell, **more)
    layer(x), plain(x)
    scatter(layer, rng)
    plain.set_weights(layer.get_weights())
    names = ["c", "h"] if kind == "ConvLSTM" else ["h"]
    shape = (B, *SPACE[rank], F)
    initial = {n: rng.normal(size=shape).astype("float32") for n in names}
    given = {"lengths": np.array([3, 1]), "initial_state": initial}
    given["resets"] = np.array([[False, True, False], [False, False, True]])
    expected = layer(x, **given)
    close(plain(x, **given), expected)
    in_order = [initial[name] for name in reversed(names)]
    close(layer(x, **{**given, "initial_state": in_order}), expected)
    twin = type(layer).from_config(layer.get_config())
    twin(x)
    twin.set_weights(layer.get_weights())
    close(twin(x, **given), expected)
    both = unrolled.Bidirectional(_layer(unrolled, rank, kind, padding="same"))
    assert both(x).shape == (B, *SPACE[rank], 2 * F)


@pytest.mark.parametrize("kind", KINDS)
@EACH
def test_channels_first_is_the_same_turned_round(kind, rank, rng):
    x = _images(rng, rank)
    first = np.moveaxis(x, -1, 2)
    options = {"padding": "same", "strides": 2, "return_sequences": True}
    last, turned = (
        _layer(unrolled, rank, kind, data_format=f"channels_{end}", **options)
        for end in ("last", "first")
    )
    last(x), turned(first)
    scatter(last, rng)
    turned.set_weights(last.get_weights())
    y = turned(first)
    close(np.moveaxis(y, 2, -1), last(x))
    assert turned.compute_output_shape((None, *first.shape[1:])) == (None, *y.shape[1:])


@EACH
def test_a_skip_connection_may_have_channels_first(rank, rng):
    first = _images(rng, rank, channels_first=True)
    cell = unrolled.ConvLSTMCell(
        *(rank, F, 2),
        padding="same",
        data_format="channels_first",
        skip_connection=True,
    )
    y, h, _ = unrolled.RNN(cell, return_sequences=True, return_state=True)(first)
    close(y[:, :, F:], first)
    close(y[:, -1, :F], h)


def test_sizes_are_known_once_it_is_built():
    layer = unrolled.ConvLSTM2D(F, 3, strides=2)
    assert layer.compute_output_shape((None, T, 9, 9, C)) == (None, None, None, F)
    layer.build((None, T, 9, 9, C))
    assert layer.compute_output_shape((None, T, 9, 9, C)) == (None, 4, 4, F)
    assert layer.cell.state_size == [(4, 4, F), (4, 4, F)]


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_drops_the_same_at_every_step(kind, rng):
    cell = getattr(unrolled, f"{kind}Cell")(
        *(2, F, 2), dropout=0.5, recurrent_dropout=0.25, seed=3, padding="same"
    )
    cell.build((B, 4, 4, C))
    assert cell.get_constants(B, False) == {}
    constants = cell.get_constants(B, True)
    kept = {0.0, 2.0}, {0.0, np.float32(4 / 3)}
    for name, channels, values in zip(constants, (C, F), kept, strict=True):
        assert constants[name].shape == (B, 4, 4, channels)
        assert set(np.unique(constants[name])) == values
    x = rng.normal(size=(T, B, 4, 4, C)).astype("float32")
    masked = x * np.asarray(constants["input_mask"])
    close(cell.project_inputs(x, constants), cell.project_inputs(masked, {}))
    layer = unrolled.RNN(cell, return_sequences=True)
    sequences = rng.normal(size=(B, T, 4, 4, C)).astype("float32")
    assert np.abs(layer(sequences, training=True) - layer(sequences)).max() > 0.01


def test_narrow_products_are_summed_in_float32(rng):
    layer = _layer(unrolled, 2, padding="same", dtype="mixed_bfloat16")
    x = _images(rng, 2)
    assert layer(x).dtype == "bfloat16"
    one = layer.cell.project_inputs(x[:, 0], {})
    assert one.dtype == "float32"
    rounded = [np.asarray(jax.numpy.bfloat16(a), "float32") for a in (x[:, 0],)]
    kernel = np.asarray(jax.numpy.asarray(layer.cell.kernel.value, "bfloat16"))
    wide = _layer(unrolled, 2, padding="same")
    wide(x)
    wide.cell.kernel.assign(kernel.astype("float32"))
    close(one, wide.cell.project_inputs(rounded[0], {}))


def test_ours_cannot_be_taken_for_weights_of_cudnn(tmp_path):
    """Two windows of 2 and 4 filters have a bias as long as two rows of cuDNN's."""
    for layer in (unrolled.ConvLSTM1D(4, 2), unrolled.LSTM(4, projection_size=2)):
        shape = (T, 4, C) if isinstance(layer, unrolled.ConvLSTM1D) else (T, C)
        model = keras.Sequential([keras.Input(shape), layer])
        model.save(tmp_path / "m.keras")
        x = np.ones((B, *shape), "float32")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        close(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: unrolled.ConvLSTM2D(0, 3), r"filters must be a positive integer"),
        (lambda: unrolled.ConvGRUCell(4, 2, 3), r"rank must be 1, 2 or 3\. Got 4"),
        (
            lambda: unrolled.ConvLSTM2D(2, (3, 3, 3)),
            r"kernel_size must be a positive integer, or 2 of them, .*Got \(3, 3, 3\)",
        ),
        (lambda: unrolled.ConvGRU1D(2, 0), r"kernel_size must be .*Got 0: .*\(3,\)"),
        (lambda: unrolled.ConvLSTM1D(2, 3, strides=1.5), r"strides must be .*Got 1.5"),
        (
            lambda: unrolled.ConvLSTM2D(2, 3, strides=2, dilation_rate=(1, 2)),
            r"strides must be 1 where dilation_rate is not.*Got strides=\(2, 2\)",
        ),
        (
            lambda: unrolled.ConvLSTM2D(2, 3, padding="causal"),
            r"padding must be 'valid' or 'same'\. Got 'causal'",
        ),
        (
            lambda: unrolled.ConvLSTM2D(2, 3, data_format="NCHW"),
            r"data_format must be 'channels_last' or 'channels_first'\. Got 'NCHW'",
        ),
        (lambda: unrolled.ConvLSTM2D(units=2, kernel_size=3), "pass filters="),
        (
            lambda: unrolled.ConvLSTM2D(2, 3).build((None, T, 9, C)),
            r"sequences must have rank 5, \(batch, time steps, \.\.\., channels\)",
        ),
        (
            lambda: unrolled.ConvLSTM1D(2, 3).build((None, T, None, C)),
            r"sequences must have rank 4.*all but the first two known.*None",
        ),
        (
            lambda: unrolled.ConvGRU2D(2, (5, 2)).build((None, T, 4, 4, C)),
            r"kernel_size \(5, 2\) must fit into a step where padding='valid'",
        ),
        (
            lambda: unrolled.ConvLSTM2D(2, 3).get_initial_state(B),
            r"get_initial_state needs a cell that is built",
        ),
        (
            lambda: unrolled.ConvLSTM2D(2, 3)(np.ones((B, T, 4, 4, C), "complex64")),
            r"sequences must hold real numbers",
        ),
        (
            lambda: unrolled.ConvLSTM1D(2, 3, skip_connection=True).build((1, T, 5, C)),
            r"skip_connection needs inputs as large as h.*pass padding='same'",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_weights_of_another_kernel_are_refused(tmp_path):
    for size in (3, 2):
        layer = unrolled.ConvLSTM1D(F, size)
        model = keras.Sequential([keras.Input((T, 6, C)), layer])
        if size == 3:
            model.save_weights(tmp_path / "w.weights.h5")
    rule = (
        r"kernel must have shape \(\*kernel_size, channels, 4\*filters\) = \(2, 2, 12\)"
    )
    with pytest.raises(ValueError, match=rule):
        model.load_weights(tmp_path / "w.weights.h5")
