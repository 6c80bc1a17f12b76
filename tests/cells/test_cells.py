"""Cells by themselves: one step, every activation, dropout masks, the contract."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from .. import record, reference
from ..harness import randomise
from ..table import ACTIVATIONS, CELLS

B, T, D, U = 3, 4, 5, 7
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)


def _cell(row, **kwargs):
    cell = row.cell(U, **row.kwargs, **kwargs)
    cell.build((B, D))
    return cell


def _draw(row, rng):
    x = rng.normal(size=(B, D)).astype("float32")
    states = [rng.normal(size=(B, U)).astype("float32") for _ in range(row.states)]
    return x, states


def _hold(name, actual, expected):
    for ours, law in zip(
        jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
    ):
        record.hold("values", "float32", ours, law, name)


@ROWS
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no_bias"])
def test_call_is_the_papers_step(row, activation, use_bias, rng):
    kwargs = {"activation": activation}
    if row.recurrent_activation:
        kwargs["recurrent_activation"] = ACTIVATIONS[ACTIVATIONS.index(activation) - 1]
    cell = row.cell(U, use_bias=use_bias, **kwargs, **row.kwargs)
    cell.build((B, D))
    params = row.params(rng, D, U, use_bias)
    for variable in cell.trainable_variables:
        variable.assign(params[variable.name])
    params = {v.name: np.asarray(v.value, "float64") for v in cell.trainable_variables}
    assert set(params) == {"kernel", "recurrent_kernel"} | (
        {"bias"} if use_bias else set()
    )
    x, states = _draw(row, rng)
    law = row.reference_step(params, **kwargs)(x, states)
    _hold(f"{row} step {activation}", cell(x, states), law[:2])


@ROWS
def test_parts_compose_to_call(row, rng):
    cell = _cell(row)
    randomise(cell, row, rng, D, U)
    x, states = _draw(row, rng)
    constants = cell.get_constants(B, training=False)
    projected = cell.project_inputs(jnp.asarray(x), constants)
    assert projected.shape == (B, len(row.gates) * U)
    parts = cell.step(projected, [jnp.asarray(s) for s in states], constants)
    for part, whole in zip(
        jax.tree.leaves(parts), jax.tree.leaves(cell(x, states)), strict=True
    ):
        np.testing.assert_array_equal(part, whole)


@ROWS
def test_inputs_project_over_any_leading_axes(row, rng):
    """The loop projects all T steps at once."""
    cell = _cell(row)
    randomise(cell, row, rng, D, U)
    x = rng.normal(size=(2, T, B, D)).astype("float32")
    constants = cell.get_constants(B, training=False)
    whole = cell.project_inputs(jnp.asarray(x), constants)
    assert whole.shape == (2, T, B, len(row.gates) * U)
    single = cell.project_inputs(jnp.asarray(x[1, 2]), constants)
    _hold(f"{row} projection", whole[1, 2], np.asarray(single, "float64"))


@ROWS
def test_dropout_masks_enter_the_two_products_only(row, rng):
    cell = _cell(row, dropout=0.5, recurrent_dropout=0.25, seed=3)
    params = randomise(cell, row, rng, D, U)
    x, states = _draw(row, rng)
    constants = cell.get_constants(B, training=True)
    assert sorted(constants) == ["input_mask", "recurrent_mask"]
    assert constants["input_mask"].shape == (B, D)
    assert constants["recurrent_mask"].shape == (B, U)
    assert set(np.unique(constants["input_mask"])) == {0.0, 2.0}
    kept = np.unique(np.asarray(constants["recurrent_mask"], "float64"))
    np.testing.assert_allclose(kept, [0, 4 / 3], rtol=1e-6)
    masks = {k: np.asarray(v, "float64") for k, v in constants.items()}
    law = row.reference_step(params, **masks)(x, states)
    ours = cell.step(
        cell.project_inputs(jnp.asarray(x), constants),
        [jnp.asarray(s) for s in states],
        constants,
    )
    _hold(f"{row} dropout", ours, law[:2])


@ROWS
def test_no_dropout_means_no_masks(row):
    assert not _cell(row).get_constants(B, training=True)
    assert not _cell(row, dropout=0.5).get_constants(B, training=False)


@ROWS
def test_dropout_is_drawn_anew_each_sequence(row):
    cell = _cell(row, dropout=0.5, seed=3)
    first, second = (cell.get_constants(40, True)["input_mask"] for _ in range(2))
    assert (first != second).any()


@ROWS
def test_the_seed_fixes_the_masks(row):
    draws = [_cell(row, dropout=0.5, seed=3).get_constants(40, True) for _ in range(2)]
    np.testing.assert_array_equal(*[draw["input_mask"] for draw in draws])


@ROWS
def test_a_layer_draws_one_mask_for_all_steps(row, rng):
    """Values of a training call are those of the reference under the same masks."""
    arguments = dict(row.kwargs, dropout=0.5, recurrent_dropout=0.5, seed=3)
    layer = row.layer(U, return_sequences=True, **arguments)
    layer.build((B, T, D))
    params = randomise(layer, row, rng, D, U)
    twin = row.cell(U, **arguments)
    twin.build((B, D))
    masks = twin.get_constants(B, training=True)
    masks = {k: np.asarray(v, "float64") for k, v in masks.items()}
    x = rng.normal(size=(B, T, D)).astype("float32")
    zeros = [np.zeros((B, U))] * row.states
    law = reference.unroll(row.reference_step(params, **masks), x, zeros)
    _hold(f"{row} layer dropout", layer(x, training=True), law.outputs)


@ROWS
def test_gates_shapes_and_names_are_those_of_keras(row):
    cell = _cell(row)
    stock = getattr(keras.layers, row.cell.__name__)(U, **row.kwargs)
    stock.build((B, D))
    assert cell.gates == row.gates
    ours = [(v.name, tuple(v.shape)) for v in cell.trainable_variables]
    assert ours == [(v.name, tuple(v.shape)) for v in stock.trainable_variables]


@ROWS
def test_initial_values_are_those_of_keras(row):
    """Same seed, same initializer, same weights (forget gate at 1 as well)."""
    kwargs = {
        "kernel_initializer": keras.initializers.GlorotUniform(1),
        "recurrent_initializer": keras.initializers.Orthogonal(2),
        **row.kwargs,
    }
    ours, stock = (
        c(U, **kwargs) for c in (row.cell, getattr(keras.layers, row.cell.__name__))
    )
    ours.build((B, D))
    stock.build((B, D))
    for ours_v, stock_v in zip(
        ours.trainable_variables, stock.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(ours_v.value, stock_v.value)


def test_unit_forget_bias():
    for wanted in (True, False):
        cell = unrolled.LSTMCell(3, unit_forget_bias=wanted)
        cell.build((1, 2))
        expected = [0.0] * 3 + [float(wanted)] * 3 + [0.0] * 6
        np.testing.assert_array_equal(cell.bias.value, expected)


@ROWS
def test_initial_state_is_zeros_of_the_states_shapes(row):
    states = _cell(row).get_initial_state(batch_size=B)
    assert [s.shape for s in states] == [(B, U)] * row.states
    assert not any(np.any(s) for s in states)


@ROWS
def test_regularizers_and_constraints_reach_their_weights(row):
    cell = _cell(
        row,
        kernel_regularizer="l1",
        recurrent_regularizer="l2",
        bias_regularizer="l1",
        kernel_constraint="non_neg",
        recurrent_constraint="max_norm",
        bias_constraint="unit_norm",
    )
    assert len(cell.losses) == 3
    kinds = {v.name: type(v.constraint).__name__ for v in cell.trainable_variables}
    assert kinds == {
        "kernel": "NonNeg",
        "recurrent_kernel": "MaxNorm",
        "bias": "UnitNorm",
    }
    kernel = np.abs(np.asarray(cell.kernel.value, "float64")).sum()
    assert float(cell.losses[0]) == pytest.approx(0.01 * kernel, rel=1e-5)


@ROWS
@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None, True])
def test_units_must_be_a_positive_integer(row, units):
    for make in (row.cell, row.layer):
        with pytest.raises(ValueError, match=r"units must be a positive integer.*Got"):
            make(units)


@ROWS
@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_dropout_rates_are_shares(row, name, rate):
    with pytest.raises(ValueError, match=rf"{name} must be between 0 and 1.*Got"):
        row.cell(3, **{name: rate})
