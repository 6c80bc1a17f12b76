"""The reference is itself held: to central differences, and to stock Keras."""

import keras
import numpy as np
import pytest

from . import reference
from . import reference_wrappers as wrappers
from .table import (
    ACTIVATIONS,
    BY_NAME,
    CELLS,
    MASKS,
    WRAPPED,
    Row,
    assign,
    draw_mask,
    draw_resets,
)

B, T, D, U = 2, 4, 2, 3
STEP = 1e-6
FOUR_POINTS = [(-2, 1), (-1, -8), (1, 8), (2, -1)]  # of fourth order


def _flatten(tree):
    if isinstance(tree, dict):
        tree = [tree[key] for key in sorted(tree)]
    if isinstance(tree, list):
        return np.concatenate([_flatten(each) for each in tree])
    return np.ravel(tree)


def _check(loss_and_grads, arrays):
    """Compare hand-written gradients with central differences, entry by entry."""
    _, grads = loss_and_grads(arrays)
    for name, array in arrays.items():
        numeric = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            for shift, weight in FOUR_POINTS:
                moved = {key: value.copy() for key, value in arrays.items()}
                moved[name][index] += shift * STEP
                numeric[index] += weight * loss_and_grads(moved)[0] / (12 * STEP)
        scale = max(np.max(np.abs(numeric)), 1.0)
        error = np.max(np.abs(numeric - grads[name])) / scale
        assert error < 1e-7, f"{name}: {error}"


def _loss(row, weights, step_kwargs, loop_kwargs):
    def loss_and_grads(arrays):
        states = [arrays[f"state{n}"] for n in range(row.states)]
        step = row.reference_step(arrays, **step_kwargs)
        run = reference.unroll(step, arrays["x"], states, **loop_kwargs)
        parts = [run.outputs, run.last, run.states, run.all_states]
        value = sum(
            float(_flatten(w) @ _flatten(p))
            for w, p in zip(weights, parts, strict=True)
        )
        dx, d_initial, d_params = run.pull(*weights)
        grads = {"x": dx, **d_params}
        grads |= {f"state{n}": d for n, d in enumerate(d_initial)}
        return value, grads

    return loss_and_grads


def _arrays(row, rng, use_bias=True):
    arrays = row.params(rng, D, U, use_bias)
    arrays["x"] = rng.normal(size=(B, T, D))
    arrays |= {f"state{n}": rng.normal(size=(B, U)) for n in range(row.states)}
    return arrays


def _cotangents(row, rng):
    return (
        rng.normal(size=(B, T, U)),
        rng.normal(size=(B, U)),
        [rng.normal(size=(B, U)) for _ in range(row.states)],
        [rng.normal(size=(B, T, U)) for _ in range(row.states)],
    )


@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_step_gradients_equal_central_differences(row, activation, rng):
    kwargs = {"activation": activation}
    if row.recurrent_activation:
        kwargs["recurrent_activation"] = ACTIVATIONS[ACTIVATIONS.index(activation) - 1]
    kwargs["input_mask"] = rng.integers(0, 2, (B, D)) * 2.0
    kwargs["recurrent_mask"] = rng.integers(0, 2, (B, U)) * 2.0
    weights = _cotangents(row, rng)
    for use_bias in (True, False):
        arrays = _arrays(row, rng, use_bias)
        # Small: gates without bounds explode, and differences lose their digits.
        arrays = {name: 0.5 * array for name, array in arrays.items()}
        _check(_loss(row, weights, kwargs, {}), arrays)


@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_loop_gradients_equal_central_differences(row, kind, reverse, rng):
    kwargs = {
        "mask": draw_mask(kind, rng, B, T),
        "resets": draw_resets(True, rng, B, T),
        "reverse": reverse,
        "zero_masked": bool(rng.integers(0, 2)),
        "fresh": [rng.normal(size=(B, U)) for _ in range(row.states)],
    }
    weights = _cotangents(row, rng)
    _check(_loss(row, weights, {}, kwargs), _arrays(row, rng))


def _hold_loop(row, features, rng):
    kwargs = {
        "mask": draw_mask("holes", rng, B, T),
        "resets": draw_resets(True, rng, B, T),
    }
    arrays = row.params(rng, features, U)
    arrays["x"] = rng.normal(size=(B, T, features))
    arrays |= {f"state{n}": rng.normal(size=(B, U)) for n in range(row.states)}
    _check(_loss(row, _cotangents(row, rng), {}, kwargs), arrays)


@pytest.mark.parametrize("row", WRAPPED, ids=str)
def test_wrapped_gradients_equal_central_differences(row, rng):
    _hold_loop(row, U, rng)


class _WithMasks(Row):
    """An LSTM with numbers dropped or kept by random zeros and ones."""

    def params(self, rng, features, units, use_bias=True):
        """Draws the masks too."""
        draw = lambda width: rng.integers(0, 2, (B, width)) * 1.0  # noqa: E731
        self.kwargs["dropout"] = (draw(features), [draw(units), 2.0], draw(units))
        self.kwargs["zoneout"] = ([draw(units), draw(units)], 0)
        return super().params(rng, features, units, use_bias)

    def reference_step(self, params, **overrides):
        """Around the LSTM's."""
        step = super().reference_step(params, **overrides)
        return getattr(wrappers, self.name)(step, *self.kwargs[self.name])


@pytest.mark.parametrize("name", ["dropout", "zoneout"])
def test_gradients_under_masks_equal_central_differences(name, rng):
    lstm = BY_NAME["lstm"]
    _hold_loop(_WithMasks(name, lstm.cell, lstm.layer, lstm.step, "ifco", 2), D, rng)


class _Attending(Row):
    """Its memory is one of its weights."""

    def params(self, rng, features, units, use_bias=True):
        """And the mask of the memory."""
        del use_bias
        shapes = {"W": (features, units), "R": (units, units), "keys": (2, units)}
        self.reference_kwargs["memory_mask"] = np.arange(4)[None] < [[2], [4]]
        shapes["memory"] = (B, 4, 2)
        return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def test_gradients_of_a_memory_equal_central_differences(rng):
    row = _Attending("attending", None, None, reference.attending, "", 1)
    _hold_loop(row, D, rng)


STOCK = {
    "simple_rnn": keras.layers.SimpleRNN,
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "gru_reset_before": keras.layers.GRU,
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("kind", ["none", "right", "holes"])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_stock_keras_agrees_where_it_is_right(name, kind, backward, rng):
    """Keras is right for h = output, when no masked step comes first."""
    row = next(row for row in CELLS if row.name == name)
    layer = STOCK[name](
        U, return_sequences=True, return_state=True, go_backwards=backward, **row.kwargs
    )
    layer.build((B, T, D))
    params = row.params(rng, D, U)
    assign(layer.trainable_variables, params)
    x = rng.normal(size=(B, T, D))
    initial = [rng.normal(size=(B, U)) for _ in range(row.states)]
    mask = draw_mask(kind, rng, B, T)
    if mask is not None:
        mask[:, -1 if backward else 0] = True
    y, *states = layer(
        x.astype("float32"),
        mask=mask,
        initial_state=[s.astype("float32") for s in initial],
    )
    run = reference.unroll(
        row.reference_step(params), x, initial, mask=mask, reverse=backward
    )
    assert reference.max_relative(y, run.outputs) < 2e-6
    for actual, expected in zip(states, run.states, strict=True):
        assert reference.max_relative(actual, expected) < 2e-6


def test_lengths_are_a_right_padding_mask(rng):
    row = CELLS[1]
    step = row.reference_step(row.params(rng, D, U))
    x, zeros = rng.normal(size=(B, T, D)), [np.zeros((B, U))] * 2
    lengths = np.array([4, 2])
    mask = np.arange(T)[None] < lengths[:, None]
    short = reference.unroll(step, x, zeros, lengths=lengths)
    masked = reference.unroll(step, x, zeros, mask=mask)
    np.testing.assert_array_equal(short.outputs, masked.outputs)
    np.testing.assert_array_equal(short.outputs[1, 1:], short.outputs[1, [1] * 3])


def test_resets_equal_the_pieces_apart(rng):
    row = CELLS[1]
    step = row.reference_step(row.params(rng, D, U))
    x, zeros = rng.normal(size=(1, T, D)), [np.zeros((1, U))] * 2
    resets = np.array([[False, False, True, False]])
    whole = reference.unroll(step, x, zeros, resets=resets)
    parts = [reference.unroll(step, part, zeros) for part in (x[:, :2], x[:, 2:])]
    apart = np.concatenate([part.outputs for part in parts], axis=1)
    np.testing.assert_array_equal(whole.outputs, apart)
