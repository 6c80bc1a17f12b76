"""unrolled.stream: each step equals what the model gives for the sequence up to it."""

import threading

import unrolled
from unrolled.engine import native
from unrolled.stream.interpreted import Interpreted

import keras
import numpy as np
import pytest
from keras import layers

from .. import reference
from ..core import need_core
from ..reference import max_relative
from ..table import ACTIVATIONS, CELLS

pytestmark = pytest.mark.keras_ranks

B, T, D = 3, 6, 5


@pytest.fixture(
    params=[pytest.param("compiled", marks=need_core), "numpy"], autouse=True
)
def engine(request, monkeypatch):
    """Run a test on both ways a stream has."""
    if request.param == "numpy":
        monkeypatch.setenv("UNROLLED_ISA", "scan")
    return request.param


def randomize(model, seed=0):
    """Random weights everywhere: biases, factors and moving averages too."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        if "seed" in v.path:
            continue
        scale = v.shape[0] ** -0.5 if len(v.shape) > 1 else 0.5
        value = rng.normal(0, scale, v.shape)
        if "variance" in v.path:
            value = value**2 + 0.3
        v.assign(value.astype("float32"))
    return model


def sequence(*parts, features=D):
    """A Sequential of `parts` for (B, T, features), with random weights."""
    return randomize(keras.Sequential([keras.Input((None, features)), *parts]))


def inputs(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(stream, x):
    """All steps: (B, T, U)."""
    return np.stack([stream.step(x[:, t]) for t in range(x.shape[1])], axis=1)


def every_step(model, x):
    """What the model gives for the sequence up to each step."""
    y = np.asarray(model(x))
    if y.ndim == 3:
        return y
    steps = range(1, x.shape[1] + 1)
    return np.stack([np.asarray(model(x[:, :t])) for t in steps], axis=1)


def assert_same(got, want, limit=2e-6):
    """NaN and infinity in the same places; beside them as near as elsewhere."""
    for special in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(special(got), special(want))
    finite = np.isfinite(want)
    assert finite.any()
    assert max_relative(got[finite], want[finite]) < limit


def check(model, x, limit=2e-6, **options):
    stream = unrolled.stream(model, batch_size=len(x), **options)
    got = run(stream, x)
    assert got.dtype == np.float32
    assert max_relative(got, every_step(model, x)) < limit
    return stream


# --- cells, against the float64 reference ---


@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 17), (9, 17, 3), (2, 130, 129)])
def test_cells(row, use_bias, sizes):
    rows, features, units = sizes
    rng = np.random.default_rng(units)
    params = row.params(rng, features, units, use_bias)
    layer = row.layer(units, use_bias=use_bias, **row.kwargs)
    layer.build((None, None, features))
    for v in layer.weights:
        v.assign(params[v.name].astype(np.float32))
    wide = {k: np.float32(v).astype(np.float64) for k, v in params.items()}
    x = inputs(rows, T, features)
    states = [np.zeros((rows, units)) for _ in range(row.states)]
    want = reference.unroll(row.reference_step(wide), x.astype(np.float64), states)
    stream = unrolled.stream(layer, batch_size=rows)
    assert max_relative(run(stream, x), want.outputs) < 2e-6
    for got, state in zip(stream.states[layer.name], want.states, strict=True):
        assert max_relative(got, state) < 2e-6


@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_cells(row, activation):
    kwargs = {**row.kwargs, "activation": activation}
    if row.recurrent_activation:
        kwargs["recurrent_activation"] = ACTIVATIONS[ACTIVATIONS.index(activation) - 3]
    model = sequence(row.layer(7, return_sequences=True, **kwargs))
    check(model, inputs(B, T, D), limit=4e-6)


@pytest.mark.parametrize("row", CELLS, ids=str)
def test_stock_layers(row):
    stock = getattr(layers, row.layer.__name__)
    stock_cell = getattr(layers, row.cell.__name__)
    model = sequence(
        stock(6, return_sequences=True, **row.kwargs),
        layers.RNN(stock_cell(4, **row.kwargs), return_sequences=True),
        unrolled.RNN(row.cell(3, **row.kwargs)),
    )
    check(model, inputs(B, 3, D))


def test_stacked_cells():
    cells = [unrolled.LSTMCell(4), unrolled.GRUCell(3), unrolled.SimpleRNNCell(6)]
    model = sequence(unrolled.RNN(cells, return_sequences=True, name="stack"))
    stream = check(model, inputs(B, T, D))
    assert [s.shape for s in stream.states["stack"]] == [(B, n) for n in (4, 4, 3, 6)]
    stock = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])
    check(sequence(stock), inputs(B, T, D))


# --- other layers ---

OTHERS = {
    "dense": [layers.Dense(7), layers.Dense(4, use_bias=False)],
    "batch normalization": [layers.BatchNormalization(), layers.Dense(2)],
    "no center": [layers.BatchNormalization(center=False, scale=False)],
    "layer normalization": [layers.LayerNormalization(epsilon=0.1)],
    "layer normalization of 17": [
        layers.Dense(17),
        layers.LayerNormalization(center=False, scale=False),
    ],
    "rms normalization": [layers.RMSNormalization()],
    "dropout": [
        layers.Dropout(0.5),
        layers.SpatialDropout1D(0.5),
        layers.GaussianNoise(1.0),
        layers.Dense(3),
    ],
    "softmax": [layers.Softmax()],
    "relu": [layers.ReLU(max_value=0.7, negative_slope=0.1, threshold=0.2)],
    "plain relu": [layers.ReLU()],
    "leaky relu": [layers.LeakyReLU(0.3)],
    "elu": [layers.ELU(0.7)],
    "time distributed": [layers.TimeDistributed(layers.Dense(4, activation="relu"))],
    "nested": [keras.Sequential([layers.Dense(4), keras.Sequential([layers.ReLU()])])],
}


@pytest.mark.parametrize("parts", OTHERS.values(), ids=OTHERS)
def test_other_layers(parts):
    fresh = [p.__class__.from_config(p.get_config()) for p in parts]
    model = sequence(unrolled.GRU(7, return_sequences=True), *fresh)
    check(model, inputs(B, T, D), limit=4e-6)
    fresh = [p.__class__.from_config(p.get_config()) for p in parts]
    model = sequence(*fresh, unrolled.LSTM(3, return_sequences=True))
    check(model, inputs(B, T, D), limit=4e-6)


@pytest.mark.parametrize(
    "name",
    [*ACTIVATIONS, "silu", "elu", "softplus", "gelu", "softmax", "leaky_relu", "relu6"],
)
def test_activations(name):
    layer = layers.Dense(17, activation=name)
    model = sequence(layers.Dense(9), layers.Activation(name), layer)
    check(model, 3 * inputs(B, T, D), limit=4e-6)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_embedding(dtype):
    model = keras.Sequential(
        [keras.Input((None,)), layers.Embedding(11, 5), unrolled.LSTM(4)]
    )
    ids = np.random.default_rng(0).integers(0, 11, (B, T)).astype(dtype)
    check(randomize(model), ids)
    stream = unrolled.stream(model, batch_size=B)
    with pytest.raises(ValueError, match=r"ids from 0 to 10.*Got"):
        stream.step(np.array([0, 11, 2], dtype))
    with pytest.raises(ValueError, match=r"whole numbers of shape .* = \(3,\)"):
        stream.step(np.zeros(3, np.float32))
    assert all(not s.any() for s in stream.states["lstm"])


def test_functional_chain():
    start = keras.Input((None, D))
    x = unrolled.GRU(6, return_sequences=True, name="low")(start)
    x = layers.LayerNormalization()(x)
    x = keras.Sequential([layers.Dense(5), layers.ReLU()])(x)
    x = unrolled.LSTM(4, name="high")(x)
    model = randomize(keras.Model(start, layers.Dense(2)(x)))
    stream = check(model, inputs(B, T, D))
    assert list(stream.states) == ["low", "high"]


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
def test_rows_do_not_mix(rows, weights):
    """Each row of a batch is what it is alone."""
    model = sequence(unrolled.LSTM(17, return_sequences=True), layers.Dense(3))
    x = inputs(rows, T, D)
    whole = run(unrolled.stream(model, batch_size=rows, weights=weights), x)
    for r in range(rows):
        alone = run(unrolled.stream(model, weights=weights), x[r : r + 1])
        np.testing.assert_allclose(whole[r : r + 1], alone, rtol=1e-5, atol=1e-6)


# --- states ---


def test_reset():
    model = sequence(unrolled.LSTM(7, return_sequences=True), unrolled.GRU(3))
    x = inputs(4, T, D)
    stream = unrolled.stream(model, batch_size=4)
    first = run(stream, x)
    stream.reset()
    np.testing.assert_array_equal(run(stream, x), first)
    for rows in ([1, -1], np.array([False, True, False, True]), np.array([1, 3])):
        before = stream.states
        stream.reset(rows)
        for name, states in stream.states.items():
            for now, then in zip(states, before[name], strict=True):
                np.testing.assert_array_equal(now[[0, 2]], then[[0, 2]])
                assert not now[[1, 3]].any()
        np.testing.assert_array_equal(run(stream, x)[[1, 3]], first[[1, 3]])
    before = stream.states
    stream.reset([])
    np.testing.assert_array_equal(stream.states["gru"][0], before["gru"][0])
    for wrong in ([4], [0.5], [True], "all"):
        with pytest.raises(ValueError, match="rows must be indices below batch_size"):
            stream.reset(wrong)


def test_states_saved_and_resumed():
    model = sequence(unrolled.LSTM(7, return_sequences=True), unrolled.GRU(3))
    x = inputs(B, T, D)
    stream = unrolled.stream(model, batch_size=B)
    whole = run(stream, x)
    stream.reset()
    run(stream, x[:, :3])
    saved = stream.states
    run(stream, x)  # what was read does not change
    other = unrolled.stream(model, batch_size=B)
    other.states = saved
    np.testing.assert_array_equal(run(other, x[:, 3:]), whole[:, 3:])
    with pytest.raises(ValueError, match=r"states must hold the states of \['gru"):
        stream.states = {"gru": saved["gru"]}
    with pytest.raises(ValueError, match=r"states\['lstm'\] must be arrays of shapes"):
        stream.states = {**saved, "lstm": [s[:1] for s in saved["lstm"]]}


def test_refresh():
    model = sequence(unrolled.LSTM(7), layers.Dense(2))
    x = inputs(B, T, D)
    stream = unrolled.stream(model, batch_size=B)
    before = run(stream, x)
    states = stream.states
    randomize(model, seed=5)
    stream.reset()
    np.testing.assert_array_equal(run(stream, x), before)
    stream.refresh()
    np.testing.assert_array_equal(stream.states["lstm"][1], states["lstm"][1])
    stream.reset()
    assert max_relative(run(stream, x), every_step(model, x)) < 2e-6


# --- what comes in and what goes out ---


def test_outputs_are_the_callers_own():
    stream = unrolled.stream(sequence(unrolled.GRU(3)), batch_size=B)
    x = inputs(B, T, D)
    y = stream.step(x[:, 0])
    kept = y.copy()
    y2 = stream.step(x[:, 1])
    np.testing.assert_array_equal(y, kept)
    y2[:] = 100  # nor does the stream read it again
    assert np.abs(stream.step(x[:, 2])).max() < 1


def test_inputs_of_other_kinds():
    model = sequence(unrolled.GRU(3))
    x = inputs(1, 1, 2 * D)[:, 0, ::2]
    first = unrolled.stream(model).step(np.ascontiguousarray(x))
    reverse = np.ascontiguousarray(x[:, ::-1])[:, ::-1]
    column = np.asfortranarray(np.repeat(x, 2, axis=0))[:1]
    odd = x.astype(np.dtype(np.float32, metadata={"unit": "V"}))
    for same in (x, x.tolist(), x.astype(np.float64), reverse, column, odd):
        np.testing.assert_array_equal(unrolled.stream(model).step(same), first)
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(unrolled.stream(model).step(frozen), first)
    stream = unrolled.stream(model)
    for wrong in (x[0], x[:, :4], x[None], "text", x.astype(complex), None):
        with pytest.raises(ValueError, match=r"x must be numbers of shape .*\(1, 5\)"):
            stream.step(wrong)
    np.testing.assert_array_equal(stream.step(x), first)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(value):
    """They touch their own row only, and pass as in the model."""
    model = sequence(unrolled.LSTM(7, return_sequences=True), layers.Dense(3))
    x = inputs(B, T, D)
    x[1, 2, 0] = value
    stream = unrolled.stream(model, batch_size=B)
    assert_same(run(stream, x), every_step(model, x))
    stream = unrolled.stream(model, batch_size=B, weights="int8")
    y = run(stream, x)
    assert np.isfinite(y[[0, 2]]).all()
    assert np.isfinite(y[1, :2]).all()
    stream.reset([1])
    assert np.isfinite(stream.step(x[:, 0])).all()


# --- storage ---

# Largest error relative to the largest output, over 40 steps with random weights.
# Measured: bfloat16 8.6e-3 (SimpleRNN) and 3.5e-3 (LSTM), int8 3.2e-2 and 1.8e-2.
ERRORS = {"float32": 2e-6, "bfloat16": 1.4e-2, "int8": 5e-2}


@pytest.mark.parametrize("weights", ERRORS)
@pytest.mark.parametrize("row", CELLS, ids=str)
def test_storage(row, weights):
    model = sequence(row.layer(129, return_sequences=True, **row.kwargs), features=64)
    check(model, inputs(2, 40, 64), limit=ERRORS[weights], weights=weights)


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_storage_is_the_same_everywhere(engine, weights):
    """The compiled core and NumPy round alike."""
    if engine == "numpy":
        pytest.skip("compares the two")
    model = sequence(
        unrolled.LSTM(33, return_sequences=True),
        unrolled.GRU(17, reset_after=False, return_sequences=True),
        layers.Dense(5),
    )
    stream = unrolled.stream(model, batch_size=B, weights=weights)
    same = Interpreted(stream._program, B, weights, np.asarray)
    x = inputs(B, T, D)
    limit = 2e-6 if weights == "bfloat16" else 3e-4  # int8 rounds the rows as well
    assert max_relative(run(stream, x), run(same, x)) < limit


# --- threads ---


def test_streams_in_two_threads():
    model = sequence(unrolled.LSTM(300), layers.Dense(3))
    x = inputs(1, 100, D)
    want = run(unrolled.stream(model), x)
    results = [None, None]

    def work(n):
        results[n] = run(unrolled.stream(model), x)

    _together(lambda: work(0), lambda: work(1))
    for got in results:
        np.testing.assert_array_equal(got, want)


def test_one_stream_in_two_threads():
    """Steps take turns: the same input gives the same sequence of outputs."""
    model = sequence(unrolled.LSTM(600))
    x = inputs(1, D)
    whole = unrolled.stream(model)
    want = {whole.step(x).tobytes() for _ in range(40)}
    stream = unrolled.stream(model)
    got = []

    def work():
        got.extend(stream.step(x).tobytes() for _ in range(20))
        stream.states  # noqa: B018

    _together(work, work)
    assert set(got) == want


def _together(*jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- plans ---


def test_plan(engine):
    plan = unrolled.stream(sequence(unrolled.GRU(3)), weights="int8").plan()
    if engine == "numpy":
        assert plan == "plain NumPy, with int8 weights: UNROLLED_ISA=scan asks for it."
    else:
        assert plan == f"the native stepper ({native.variant()}), with int8 weights."
