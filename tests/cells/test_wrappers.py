"""Cells around cells: values and gradients, and what is drawn in training."""

from functools import partial

import unrolled

import keras
import numpy as np
import pytest
from jax import numpy as jnp

from .. import record, reference
from .. import reference_wrappers as laws
from ..harness import Compiled, close, hold_to_reference, randomise, scatter
from ..table import BY_NAME, WRAPPED, draw_mask, draw_resets

B, T, U = 5, 6, 3
ROWS = pytest.mark.parametrize("row", WRAPPED, ids=str)
LSTM = BY_NAME["lstm"]


def _hold(row, rng, dtype, reverse, kinds):
    compiled = Compiled(row, U, U, dtype, go_backwards=reverse)
    for kind in kinds:
        hold_to_reference(
            compiled,
            rng,
            B,
            T,
            mask=draw_mask(kind, rng, B, T),
            resets=draw_resets(True, rng, B, T),
            reverse=reverse,
            name=f"{row} {kind} {'bwd' if reverse else 'fwd'}",
        )


@ROWS
@pytest.mark.parametrize("reverse", [False, True], ids=["fwd", "bwd"])
def test_values_and_gradients_equal_the_reference(row, reverse, rng):
    _hold(row, rng, "float32", reverse, ["right", "holes", "all_masked_row"])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("row", WRAPPED[-6:], ids=str)
def test_float64(row, rng):
    _hold(row, rng, "float64", False, ["holes"])


@pytest.mark.parametrize("row", WRAPPED[-6:], ids=str)
def test_one_row_and_one_step(row, rng):
    """The share of a step without state is hoisted at B = 1."""
    compiled = Compiled(row, U, U)
    hold_to_reference(compiled, rng, 1, 1, name=f"{row} B=1 T=1")
    hold_to_reference(compiled, rng, 1, T, name=f"{row} B=1")


def _bfloat16_rows():
    names = ("residual(lstm)", "highway(gru)", "zoneout(lstm)", "zoneout(user)")
    return [row for row in WRAPPED if row.name in names]


@pytest.mark.parametrize("row", _bfloat16_rows(), ids=str)
def test_mixed_bfloat16(row, rng):
    layer = row.layer(U, dtype="mixed_bfloat16", return_sequences=True)
    layer.build((None, None, U))
    params = row.params(rng, U, U)
    compiled = Compiled(row, U, U)
    for variable, name in zip(layer.trainable_variables, compiled.names, strict=True):
        variable.assign(params[name].astype("float32"))
    x = rng.normal(size=(B, T, U))
    start = [np.zeros((B, U))] * row.states
    y = layer(x.astype("float32"))
    assert y.dtype == "bfloat16"
    law = reference.unroll(row.reference_step(params), x, start).outputs
    record.hold("values", "mixed_bfloat16", y, law, str(row))


# --- dropout ---


def _built(cell, rng, **kwargs):
    layer = unrolled.RNN(cell, **kwargs)
    layer.build((None, None, U))
    return layer, randomise(layer, LSTM, rng, U, U)


def _dropped(**kwargs):
    rates = {"input_dropout": 0.4, "state_dropout": 0.5, "output_dropout": 0.3}
    return unrolled.DropoutWrapper(unrolled.LSTMCell(U), seed=3, **{**rates, **kwargs})


@pytest.mark.parametrize("states", [None, ("c",), ("h", "c")], ids=str)
def test_one_mask_a_sequence_equals_the_reference(states, rng):
    """Under the masks that a twin of the same seed draws; c is spared by default."""
    layer, params = _built(
        _dropped(states=states), rng, return_sequences=True, return_state=True
    )
    twin = _dropped(states=states)
    twin.build((None, U))
    masks = twin.get_constants(B, True)["masks"]
    on_states = [1.0 if m is None else np.asarray(m, float) for m in masks["state"]]
    touched = [m is not None for m in masks["state"]]
    assert touched == [n in (states or ("h",)) for n in ("h", "c")]
    for mask, rate in ((masks["input"], 0.4), (masks["output"], 0.3)):
        kept = float(np.float32(1 / (1 - rate)))
        np.testing.assert_allclose(np.unique(mask), [0, kept], rtol=1e-6)
    x = rng.normal(size=(B, T, U)).astype("float32")
    patterns = {
        "mask": draw_mask("holes", rng, B, T),
        "resets": draw_resets(True, rng, B, T),
    }
    out = layer(x, training=True, **patterns)
    step = laws.dropout(
        LSTM.reference_step(params),
        np.asarray(masks["input"], float),
        on_states,
        np.asarray(masks["output"], float),
    )
    run = reference.unroll(step, x, [np.zeros((B, U))] * 2, **patterns)
    for ours, law in zip(out, [run.outputs, *run.states], strict=True):
        record.hold("values", "float32", ours, law, f"dropout {states}")
    plain = reference.unroll(
        LSTM.reference_step(params), x, [np.zeros((B, U))] * 2, **patterns
    )
    close(layer(x, **patterns)[0], plain.outputs)


class Still(unrolled.Cell):
    """Gives ones, and says what it was given; the state is ones too."""

    state_size = (U,)
    output_size = 2 * U

    def step(self, x, states, constants):
        """Ones beside x."""
        del constants
        one = jnp.ones_like(states[0])
        return jnp.concatenate([x, one], -1), [one]


@pytest.mark.parametrize("every_step", [False, True], ids=["sequence", "step"])
def test_what_is_drawn_how_often(every_step):
    """Which numbers are dropped: of the inputs, the output, the state."""
    rows = 400
    rates = {"input_dropout": 0.2, "state_dropout": 0.5, "output_dropout": 0.3}
    cell = unrolled.DropoutWrapper(Still(), every_step=every_step, seed=1, **rates)
    layer = unrolled.RNN(cell, return_sequences=True, return_all_states=True)
    x = np.ones((rows, T, U), "float32")
    y, states = layer(x, training=True)
    both = np.asarray(y[..., :U]), 1 - 0.8 * 0.7  # dropped as input or as output
    for numbers, rate in (both, (np.asarray(y[..., U:]), 0.3), (states, 0.5)):
        dropped = np.asarray(numbers) == 0
        spread = np.sqrt(rate * (1 - rate) / (rows * U * (T if every_step else 1)))
        assert abs(dropped.mean() - rate) < 4 * spread
        alike = (dropped == dropped[:, :1]).all()
        assert alike != every_step
        kept = np.asarray(numbers)[~dropped]
        kept_at = 1 / 0.56 if numbers is both[0] else 1 / (1 - rate)
        np.testing.assert_allclose(kept, kept_at, rtol=1e-6)
    again = layer(x, training=True)[0]
    assert np.any(np.asarray(again) != np.asarray(y))
    np.testing.assert_array_equal(layer(x)[0], 1)


@pytest.mark.parametrize("wrapper", ["step", "zoneout"])
def test_new_masks_in_fit(wrapper, rng):
    """The generator moves on with every batch; all weights are trained."""
    made = {"step": partial(_dropped, every_step=True), "zoneout": _zoned}
    layer = unrolled.RNN(made[wrapper]())
    model = keras.Sequential([keras.Input((T, U)), layer])
    scatter(model, rng)
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(4, T, U)), rng.normal(size=(4, U))
    seeds = [np.array(layer.cell.seed_generator.state.value)]
    before = [np.array(w) for w in model.trainable_weights]
    for _ in range(2):
        model.fit(x, y, batch_size=2, verbose=0)
        seeds.append(np.array(layer.cell.seed_generator.state.value))
    assert len({tuple(seed) for seed in seeds}) == 3
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.any(np.asarray(weight) != old)


# --- zoneout ---


def _zoned(**kwargs):
    rates = {"h": 0.3, "c": 0.6}
    return unrolled.ZoneoutWrapper(unrolled.LSTMCell(U), rates, seed=2, **kwargs)


def test_in_training_every_number_is_old_or_new(rng):
    rows = 300
    layer, params = _built(_zoned(), rng, return_sequences=True, return_all_states=True)
    x = rng.normal(size=(rows, T, U)).astype("float32")
    y, h, c = (np.asarray(a, float) for a in layer(x, training=True))
    np.testing.assert_array_equal(y, h)
    step, old = LSTM.reference_step(params), [np.zeros((rows, U))] * 2
    kept = np.zeros((T, 2, rows, U), bool)
    for t in range(T):
        new, after = step(x[:, t], old)[1], [h[:, t], c[:, t]]
        for place in range(2):
            kept[t, place] = after[place] == old[place]
            close(
                np.where(kept[t, place], old[place], after[place]),
                np.where(kept[t, place], old[place], new[place]),
            )
        old = after
    for place, rate in enumerate((0.3, 0.6)):
        spread = np.sqrt(rate * (1 - rate) / kept[:, place].size)
        assert abs(kept[:, place].mean() - rate) < 4 * spread
    assert np.any(kept[0] != kept[1])
    assert np.any(kept[:, 0] != kept[:, 1])
    assert np.any(np.asarray(layer(x, training=True)[0]) != y)


def test_rates_of_zero_and_one(rng):
    x = rng.normal(size=(2, T, U)).astype("float32")
    for training in (False, True):
        still = unrolled.RNN(unrolled.ZoneoutWrapper(unrolled.LSTMCell(U), 1.0))
        np.testing.assert_array_equal(still(x, training=training), 0)
        layer, _ = _built(unrolled.ZoneoutWrapper(unrolled.LSTMCell(U), 0), rng)
        plain = unrolled.LSTM(U)
        plain.build(x.shape)
        plain.set_weights(layer.get_weights())
        close(layer(x, training=training), plain(x))
    all_gone = unrolled.DropoutWrapper(unrolled.LSTMCell(U), output_dropout=1.0)
    np.testing.assert_array_equal(unrolled.RNN(all_gone)(x, training=True), 0)


class Counts(unrolled.Cell):
    """Beside h, how many steps there were."""

    state_size = (U, 1)
    state_names = ("h", "count")
    output_size = U

    def get_initial_state(self, batch_size):
        """A whole number for a count."""
        return [jnp.zeros((batch_size, U)), jnp.zeros((batch_size, 1), "int32")]

    def step(self, x, states, constants):
        """Adds up."""
        del constants
        h = states[0] + x
        return h, [h, states[1] + 1]


@pytest.mark.parametrize("training", [False, True])
def test_counters_are_left_alone(training):
    """Half of a count is no count."""
    x = np.ones((2, T, U), "float32")
    for cell in (
        unrolled.ZoneoutWrapper(Counts(), 0.5),
        unrolled.DropoutWrapper(Counts(), state_dropout=0.5),
    ):
        _, _, count = unrolled.RNN(cell, return_state=True)(x, training=training)
        assert count.dtype == "int32"
        np.testing.assert_array_equal(count, T)
