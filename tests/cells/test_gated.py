"""What the table of formulas does not show of the cells of gates."""

import unrolled

import jax
import keras
import numpy as np
import pytest

from ..harness import close, scatter
from ..rows.gated import ROWS

BAD = [
    ("NASCell", {"projection_size": 0}, "projection_size must be a positive integer"),
    ("NASCell", {"projection_size": True}, "projection_size must be a positive"),
    ("NASCell", {"num_proj": 2}, "pass projection_size=..., .* a NASCell's"),
    ("IntersectionRNNCell", {"num_in_proj": 4}, "num_in_proj is no argument .* leave"),
    ("SLSTMCell", {"heads": 3}, "heads must be .* divides units = 4. Got 3"),
    ("SLSTMCell", {"heads": 0}, "heads must be a positive integer"),
    ("PhasedLSTMCell", {"leak": 1.5}, "leak must be from 0 to 1"),
    ("PhasedLSTMCell", {"ratio_on": 0.0}, "ratio_on must be from 1e-06 to 1"),
    ("PhasedLSTMCell", {"period_init_min": 0.0}, "period_init_min must be above 0"),
    (
        "PhasedLSTMCell",
        {"period_init_max": 0.5},
        "at most period_init_max. Got 1.0 and",
    ),
    ("SRUCell", {"recurrent_dropout": 0.1}, "recurrent_dropout must be 0 for SRUCell"),
    ("MinGRUCell", {"recurrent_dropout": 0.1}, "recurrent_dropout must be 0"),
    ("MinLSTMCell", {"recurrent_dropout": 0.1}, "recurrent_dropout must be 0"),
    # What the annotations say, of any class.
    ("LSTMCell", {"forget_bias": float("nan")}, "forget_bias must be a finite number"),
    ("LSTMCell", {"cell_clip": "3"}, "cell_clip must be a finite number. Got '3'"),
    ("LSTMCell", {"norm_epsilon": None}, "norm_epsilon must be a finite number"),
    ("UGRNNCell", {"dropout": True}, "dropout must be a finite number. Got True"),
    ("PhasedLSTMCell", {"period_init_max": float("inf")}, "period_init_max must be a"),
    ("LSTMCell", {"norm_epsilon": 0.0}, "norm_epsilon must be positive"),
    ("GRUCell", {"reset_after": "no"}, "reset_after must be True or False. Got 'no'"),
    ("GRUCell", {"use_bias": None}, "use_bias must be True or False"),
    ("SRUCell", {"seed": -1}, "seed must be None or an integer from 0 to 4294967295"),
    ("SRUCell", {"seed": 1.5}, "seed must be None or an integer from 0"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD)
def test_bad_arguments_are_told_of(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(unrolled, name)(4, **arguments)


@pytest.mark.parametrize(
    ("name", "shapes", "message"),
    [
        ("PhasedLSTMCell", [(3,)], r"must be a pair .* \(time, features\). Got one"),
        ("AUGRUCell", [(3,), (1,), (1,)], "must be a pair .* Got 3 arrays"),
        ("PhasedLSTMCell", [(3,), (1,)], r"in the order \(time, features\)"),
        ("PhasedLSTMCell", [(3,), (3,)], "time must be one number at each step"),
        ("AUGRUCell", [(3,), (3,)], "score must be one number at each step"),
    ],
)
def test_inputs_that_are_no_pair_are_told_of(name, shapes, message):
    inputs = tuple(np.zeros((2, 5, *shape), "float32") for shape in shapes)
    with pytest.raises(ValueError, match=message):
        unrolled.RNN(getattr(unrolled, name)(4))(inputs if inputs[1:] else inputs[0])


def test_weights_of_another_cell_are_told_of_by_this_ones_shapes(tmp_path):
    layers = [unrolled.RNN(c(4)) for c in (unrolled.IndyLSTMCell, unrolled.LSTMCell)]
    models = [keras.Sequential([keras.Input((5, 3)), layer]) for layer in layers]
    models[1].save_weights(tmp_path / "m.weights.h5")
    rule = r"recurrent_kernel must have shape \(4\*units\) = \(16,\). Got \(4, 16\)"
    with pytest.raises(ValueError, match=rule):
        models[0].load_weights(tmp_path / "m.weights.h5")


# --- dropout ---


@pytest.mark.parametrize(
    "make",
    [
        unrolled.IndRNNCell,
        unrolled.IndyGRUCell,
        unrolled.MGUCell,
        lambda *a, **k: unrolled.NASCell(*a, projection_size=3, **k),
        lambda *a, **k: unrolled.SLSTMCell(*a, heads=2, **k),
    ],
)
def test_recurrent_dropout_drops_of_the_state_alone(make, rng):
    # At the first step there is no state to drop of.
    x = rng.normal(size=(2, 3, 3)).astype("float32")
    dropped, whole = (
        unrolled.RNN(make(4, recurrent_dropout=rate), return_sequences=True)
        for rate in (0.999999, 0.0)
    )
    dropped(x), whole(x)
    scatter(whole, rng)
    for ours, theirs in zip(dropped.weights, whole.weights, strict=False):
        ours.assign(theirs)
    close(dropped(x), whole(x))
    got, full = np.asarray(dropped(x, training=True)), np.asarray(whole(x))
    close(got[:, 0], full[:, 0])
    assert np.abs(got[:, 1] - full[:, 1]).max() > 1e-3


@pytest.mark.parametrize("row", [r for r in ROWS if not r.brief], ids=str)
def test_input_dropout_drops_what_the_kernel_multiplies(row, rng):
    # Of a pair it leaves the number, in IntersectionRNN the way past the gates.
    x = row.to_cell(row.draw_inputs(rng, 2, 3, 3).astype("float32"))
    layer = unrolled.RNN(row.cell(4, dropout=0.999999), return_sequences=True)
    layer(x)
    scatter(layer, rng)
    dropped, kept = layer(x, training=True), layer(x)
    assert np.abs(np.asarray(dropped) - kept).max() > 1e-3
    layer.cell.kernel.assign(np.zeros(layer.cell.kernel.shape))
    close(dropped, layer(x))


# --- before training ---


def _built(cell, pair=False):
    layer = unrolled.RNN(cell)
    layer.build(((None, 5, 1), (None, 5, 3)) if pair else (None, 5, 3))
    return {v.name: np.asarray(v.value) for v in cell.weights}


def test_weights_before_training_are_those_of_the_libraries():
    units = 200
    for make, width in [(unrolled.IndRNNCell, 1), (unrolled.IndyLSTMCell, 4)]:
        first, other = (_built(make(units))["recurrent_kernel"] for _ in range(2))
        assert first.shape == (width * units,)
        np.testing.assert_allclose([first.min(), first.max()], [-1, 1], atol=0.1)
        assert np.any(first != other)
    bias = _built(unrolled.IndyGRUCell(units))["bias"]
    np.testing.assert_array_equal(bias, np.repeat([1, 1, 0], units))
    given = unrolled.IndyGRUCell(units, bias_initializer="zeros")
    assert not _built(given)["bias"].any()
    for make in (unrolled.CFNCell, unrolled.MinimalRNNCell):
        assert (_built(make(units))["bias"] == 1).all()


@pytest.mark.parametrize("seed", [None, 3], ids=str)
def test_two_weights_of_one_initializer_are_not_alike(seed):
    given = {"kernel_initializer": keras.initializers.GlorotUniform(seed=seed)}
    cells = [
        unrolled.MinimalRNNCell(3, **given),
        unrolled.NASCell(3, projection_size=24, **given),
        unrolled.HighwayWrapper(unrolled.GRUCell(3), False, **given),
        unrolled.AttentionCellWrapper(unrolled.GRUCell(3), 2, **given),
        unrolled.TimeFreqLSTMCell(
            3,
            feature_size=1,
            num_frequency_blocks=[1, 2],
            start_freqindex_list=[0, 1],
            end_freqindex_list=[1, 3],
            **given,
        ),
        unrolled.LSTM(3, num_layers=3, **given),
    ]
    for cell in cells:
        cell.build((None, None, 3) if isinstance(cell, unrolled.LSTM) else (None, 3))
        kernels = [w for w in cell.weights if "kernel" in w.name and "re" not in w.name]
        # Of another width it is the first numbers that would be the same.
        rows = [np.ravel(w) / np.abs(w).max() for w in kernels]
        for place, row in enumerate(rows):
            for other in rows[:place]:
                assert not np.allclose(row[:3], other[:3], rtol=0.01)


def test_one_seed_draws_the_same_cell_again():
    make = lambda: unrolled.MinimalRNNCell(  # noqa: E731
        3, kernel_initializer=keras.initializers.GlorotUniform(seed=3)
    )
    cells = [make(), make()]
    cells.append(unrolled.MinimalRNNCell.from_config(cells[0].get_config()))
    for cell in cells:
        cell.build((None, 3))
        for ours, first in zip(cell.weights[:1], cells[0].weights[:1], strict=True):
            np.testing.assert_array_equal(ours, first)
        np.testing.assert_array_equal(cell.gate_kernel, cells[0].gate_kernel)


def test_a_cell_on_whose_state_no_weights_act_need_not_be_additive(rng):
    class Mine(unrolled.MinGRUCell):
        additive = False

        def combine(self, x, h, states):
            return super().combine(x + h, h, states)

    x = rng.normal(size=(5, 4, 3)).astype("float32")
    layers = [unrolled.RNN(make(4)) for make in (Mine, unrolled.MinGRUCell)]
    found = []
    for layer in layers:
        layer.build(x.shape)
        layer.set_weights(layers[0].get_weights())
        weights = [w.value for w in layer.trainable_variables]
        rest = [w.value for w in layer.non_trainable_variables]
        run = lambda w, layer=layer, rest=rest: layer.stateless_call(w, rest, x)[0]  # noqa: E731
        found.append((run(weights), jax.grad(lambda w, run=run: run(w).sum())(weights)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *found)


def test_periods_before_training_are_uniform_in_their_logarithm():
    cell = unrolled.PhasedLSTMCell(
        2000,
        period_init_min=2.0,
        period_init_max=200.0,
        recurrent_initializer="zeros",  # orthogonal would take seconds
    )
    found = _built(cell, pair=True)
    logs = np.log(found["period"])
    np.testing.assert_allclose(logs.min(), np.log(2.0), atol=0.02)
    np.testing.assert_allclose(logs.max(), np.log(200.0), atol=0.02)
    np.testing.assert_allclose(logs.mean(), np.log(20.0), atol=0.1)
    shares = found["phase"] / found["period"]
    np.testing.assert_allclose([shares.min(), shares.max()], [0, 1], atol=0.01)
    np.testing.assert_allclose(shares.mean(), 0.5, atol=0.03)
    np.testing.assert_allclose(found["ratio_on"], 0.1)


def test_a_learnt_vector_keeps_its_digits_in_half_precision(rng):
    # A period of bfloat16 would be off by up to one in 256: at these times by cycles.
    time = np.arange(1000, 1005).reshape(1, 5, 1)
    x = rng.normal(size=(1, 5, 3)).astype("float32")
    exact, narrow = (
        unrolled.RNN(
            unrolled.PhasedLSTMCell(4, ratio_on=1.0, dtype=dtype),
            return_sequences=True,
            dtype=dtype,
        )
        for dtype in ("float32", "mixed_bfloat16")
    )
    exact((time, x)), narrow((time, x))
    for ours, theirs in zip(narrow.weights, exact.weights, strict=True):
        ours.assign(theirs)
    got = np.asarray(narrow((time, x)), "float32")
    np.testing.assert_allclose(got, exact((time, x)), atol=0.01)


def test_openness_is_exact_however_late():
    cell = unrolled.PhasedLSTMCell(50, ratio_on=1.0)
    period = _built(cell, pair=True)["period"].astype("float64")
    cell.phase.assign(np.zeros(50))
    late = [0.0, 1.0, 7.0, 1e3, 12345.0, 1e6, 16777215.0, -0.3, -1e6]
    time = np.asarray(late, "float32")[:, None]
    got = jax.jit(cell.openness)(time, np.zeros((len(late), 50), "float32"))
    cycle = np.mod(time.astype("float64"), period) / period
    want = 1 - np.abs(2 * cycle - 1)
    np.testing.assert_allclose(got, want, atol=1e-6)


# --- extremes ---


def _finite(layer, x):
    layer(x)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def total(weights):
        return layer.stateless_call(weights, rest, x)[0].sum()

    value, slopes = jax.value_and_grad(total)(weights)
    assert np.isfinite(value)
    assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("size", [30.0, 1e3, 1e4])
@pytest.mark.parametrize(
    "make",
    [
        unrolled.MinLSTMCell,
        unrolled.SLSTMCell,
        lambda units: unrolled.SLSTMCell(units, exponential_forget=True),
    ],
)
def test_no_gate_is_too_large_or_too_small(make, size, rng):
    _finite(unrolled.RNN(make(8)), size * rng.normal(size=(4, 6, 3)).astype("float32"))


def test_the_stabiliser_changes_nothing_but_itself(rng):
    # c and n relative to e^m, from another m: the same h.
    layer = unrolled.RNN(unrolled.SLSTMCell(4), return_sequences=True)
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layer(x)
    scatter(layer, rng)
    draws = [rng.uniform(0.5, 1.5, (2, 4)).astype("float32") for _ in range(4)]
    h, c, n, m = draws
    there = [h, c * np.exp(-2), n * np.exp(-2), m + 2]
    close(layer(x, initial_state=there), layer(x, initial_state=[h, c, n, m]))
