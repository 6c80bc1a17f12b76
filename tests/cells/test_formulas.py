"""Every formula cell, by one table: what `unrolled.RNN` makes of it is its source.

A row of `tests/rows` is all that a cell needs to be tested here.
"""

import unrolled

import jax
import keras
import numpy as np
import pytest

from ..harness import Compiled, close, hold_to_reference, program_of, scatter
from ..rows import conv, gated, grid, lstm, wrappers
from ..table import MASKS, draw_mask, draw_resets

FAMILIES = (gated, lstm, conv, grid, wrappers)
FORMULAS = [row for family in FAMILIES for row in family.ROWS]
WHOLE = [row for row in FORMULAS if not row.brief]
EACH = pytest.mark.parametrize("row", FORMULAS, ids=str)
CELL = pytest.mark.parametrize("row", WHOLE, ids=str)
B, T, D, U = 3, 6, 3, 4


def _hold(row, rng, batch, steps, features, units, kinds=MASKS, initial=True, **given):
    compiled = Compiled(row, features, units, **given)
    for kind in kinds:
        hold_to_reference(
            compiled,
            rng,
            batch,
            steps,
            mask=draw_mask(kind, rng, batch, steps),
            resets=draw_resets(True, rng, batch, steps),
            reverse=given.get("go_backwards", False),
            zero_masked=given.get("zero_output_for_mask", False),
            initial=initial,
            name=f"{row} {kind}",
        )


def test_no_two_rows_have_one_name():
    assert len({row.name for row in FORMULAS}) == len(FORMULAS)


# Of variants float64 says as much; their figures are for the documentation.
@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=[pytest.mark.parity] * row.brief) for row in FORMULAS],
    ids=str,
)
def test_float32_equals_the_source(row, rng):
    _hold(row, rng, B, T, D, U, MASKS[1:])


@pytest.mark.usefixtures("float64")
@EACH
def test_float64_backwards_equals_the_source(row, rng):
    _hold(row, rng, B, T, D, U, MASKS[1:], dtype="float64", go_backwards=True)


@CELL
def test_the_last_output_from_fresh_states(row, rng):
    _hold(row, rng, 1, 1, D, U, ["none"], initial=False, last_only=True)


@CELL
@pytest.mark.parametrize(
    "wide",
    [False, pytest.param(True, marks=pytest.mark.parity)],
    ids=["narrow", "wide"],
)
def test_odd_sizes(row, wide, rng):
    size = (5, 2, 17, 6) if wide else (1, 3, *row.narrow)
    _hold(row, rng, *size, ["holes"], zero_output_for_mask=True)


def _inputs(row, rng, batch=B, steps=T):
    return row.to_cell(row.draw_inputs(rng, batch, steps, D).astype("float32"))


def _halves(x):
    parts = [lambda a: a[:, : T // 2], lambda a: a[:, T // 2 :]]
    return [jax.tree.map(part, x) for part in parts]


@CELL
def test_stateful_windows_equal_the_whole(row, rng):
    x = _inputs(row, rng)
    whole = row.layer(U, return_sequences=True)
    expected = whole(x)
    scatter(whole, rng)
    expected = whole(x)
    windows = row.layer(U, return_sequences=True, stateful=True)
    halves = _halves(x)
    windows(halves[0])
    for ours, theirs in zip(windows.weights, whole.weights, strict=True):
        ours.assign(theirs)
    windows.reset_state()
    close(np.concatenate([windows(half) for half in halves], axis=1), expected)


@CELL
def test_half_precision_stays_near(row, rng):
    x = _inputs(row, rng)
    exact, narrow = (
        row.layer(U, return_sequences=True, dtype=dtype)
        for dtype in ("float32", "mixed_bfloat16")
    )
    exact(x), narrow(x)
    scatter(exact, rng)
    for ours, theirs in zip(narrow.weights, exact.weights, strict=True):
        ours.assign(theirs)
    got, expected = (np.asarray(layer(x), "float32") for layer in (narrow, exact))
    assert np.abs(got - expected).max() <= 0.05 * max(np.abs(expected).max(), 1.0)


def _model(row, x):
    """The cell in a Bidirectional, and in a wrapper: in a stack, if it fits."""
    inputs = jax.tree.map(lambda a: keras.Input(a.shape[1:], dtype=str(a.dtype)), x)
    both = unrolled.Bidirectional(
        row.layer(U, return_sequences=True), merge_mode="concat"
    )
    wrapped = unrolled.ZoneoutWrapper(row.cell(U), 0.2)
    fits = len(row.output_shape(U)) == 1
    alone = unrolled.RNN([wrapped, unrolled.GRUCell(3)] if fits else wrapped)
    flat = keras.layers.Flatten()
    joined = keras.layers.Concatenate()([flat(both(inputs)), flat(alone(inputs))])
    return keras.Model(inputs, keras.layers.Dense(2)(joined))


@pytest.mark.keras_ranks
@CELL
def test_it_trains_and_is_saved_in_a_model(row, rng, tmp_path):
    rows = 8  # of fewer a relu may be 0 in all
    x = _inputs(row, rng, rows)
    model = _model(row, x)
    scatter(model, rng)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    pairs = zip(loaded.weights, model.weights, strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours.value, theirs.value, theirs.path)
    assert program_of(loaded, x) == program_of(model, x)
    before = [np.asarray(v.value) for v in model.trainable_variables]
    model.compile("sgd", "mse")
    losses = model.fit(x, rng.normal(size=(rows, 2)), epochs=2, verbose=0).history[
        "loss"
    ]
    assert np.isfinite(losses).all()
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.isfinite(variable.value).all(), variable.path
        assert np.any(np.asarray(variable.value) != old), variable.path
