"""Both directions at once: merging, masks, resets, states, own backward layer."""

import unrolled

import keras
import numpy as np
import pytest

from .. import record, reference
from ..harness import randomise
from ..table import CELLS, MASKS, draw_mask, draw_resets

B, T, D, U = 3, 6, 4, 5
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)
MERGE = {
    "concat": lambda f, b: np.concatenate([f, b], axis=-1),
    "sum": lambda f, b: f + b,
    "mul": lambda f, b: f * b,
    "ave": lambda f, b: (f + b) / 2,
}


def _x(rng, *shape):
    return rng.normal(size=shape or (B, T, D)).astype("float32")


def _build(row, rng, merge_mode="concat", layer_kwargs=None, **kwargs):
    layer = unrolled.Bidirectional(
        row.layer(U, **row.kwargs, **(layer_kwargs or {})), merge_mode, **kwargs
    )
    layer.build((B, T, D))
    both = [
        randomise(part, row, rng, D, U)
        for part in (layer.forward_layer, layer.backward_layer)
    ]
    return layer, both


def _ends(resets):
    """Where pieces begin, read backwards: the step before (in time) a reset."""
    return np.pad(resets[:, 1:], [(0, 0), (0, 1)])


def _laws(row, both, x, initial=None, mask=None, resets=None, zero=False):
    zeros = [np.zeros((x.shape[0], U))] * row.states
    initial = initial or [*zeros, *zeros]
    forward = reference.unroll(
        row.reference_step(both[0]),
        x,
        initial[: row.states],
        mask=mask,
        resets=resets,
        zero_masked=zero,
    )
    backward = reference.unroll(
        row.reference_step(both[1]),
        x,
        initial[row.states :],
        mask=mask,
        resets=None if resets is None else _ends(resets),
        reverse=True,
        zero_masked=zero,
    )
    return forward, backward


def _hold(actual, expected, name):
    record.hold("values", "float32", actual, expected, f"bidirectional {name}")


@ROWS
@pytest.mark.parametrize("mode", [*MERGE, None])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
def test_merge_modes(row, mode, sequences, rng):
    layer, both = _build(row, rng, mode, {"return_sequences": sequences})
    x, mask = _x(rng), draw_mask("holes", rng, B, T)
    resets = draw_resets(True, rng, B, T)
    runs = _laws(row, both, x, mask=mask, resets=resets, zero=sequences)
    parts = (
        [runs[0].outputs, runs[1].outputs[:, ::-1]]
        if sequences
        else [run.last for run in runs]
    )
    y = layer(x, mask=mask, resets=resets)
    if mode is None:
        assert len(y) == 2
        for ours, law in zip(y, parts, strict=True):
            _hold(ours, law, f"{row} apart")
    else:
        _hold(y, MERGE[mode](*parts), f"{row} {mode}")


@ROWS
@pytest.mark.parametrize("kind", MASKS)
def test_masks_states_and_all_states(row, kind, rng):
    layer, both = _build(
        row,
        rng,
        layer_kwargs={
            "return_sequences": True,
            "return_state": True,
            "return_all_states": True,
        },
    )
    x, mask = _x(rng), draw_mask(kind, rng, B, T)
    initial = [_x(rng, B, U) for _ in range(2 * row.states)]
    forward, backward = _laws(row, both, x, initial, mask=mask, zero=True)
    out = layer(x, mask=mask, initial_state=initial)
    expected = [
        MERGE["concat"](forward.outputs, backward.outputs[:, ::-1]),
        *forward.states,
        *backward.states,
        *forward.all_states,
        *[s[:, ::-1] for s in backward.all_states],
    ]
    assert len(out) == len(expected)
    for ours, law in zip(out, expected, strict=True):
        _hold(ours, law, f"{row} {kind}")


@ROWS
def test_resets_equal_the_pieces_apart(row, rng):
    """Neither direction sees past a piece's edge."""
    layer, _ = _build(row, rng, layer_kwargs={"return_sequences": True})
    x = _x(rng, 1, T, D)
    resets = np.zeros((1, T), bool)
    resets[0, [2, 5]] = True
    whole = layer(x, resets=resets)
    apart = [layer(x[:, a:b]) for a, b in ((0, 2), (2, 5), (5, T))]
    np.testing.assert_allclose(whole, np.concatenate(apart, 1), atol=1e-6)


@ROWS
def test_lengths(row, rng):
    layer, both = _build(row, rng, layer_kwargs={"return_sequences": True})
    x, lengths = _x(rng), np.array([T, 1, 4])
    mask = np.arange(T)[None] < lengths[:, None]
    forward, backward = _laws(row, both, x, mask=mask, zero=True)
    law = MERGE["concat"](forward.outputs, backward.outputs[:, ::-1])
    _hold(layer(x, lengths=lengths), law, f"{row} lengths")


def test_own_backward_layer(rng):
    """Another kind and another width for the way back."""
    forward, backward = CELLS[1], CELLS[0]
    layer = unrolled.Bidirectional(
        unrolled.LSTM(U, return_sequences=True),
        backward_layer=unrolled.SimpleRNN(
            U + 2, return_sequences=True, go_backwards=True
        ),
    )
    layer.build((B, T, D))
    params = [
        randomise(layer.forward_layer, forward, rng, D, U),
        randomise(layer.backward_layer, backward, rng, D, U + 2),
    ]
    x = _x(rng)
    there = reference.unroll(
        forward.reference_step(params[0]), x, [np.zeros((B, U))] * 2
    )
    back = reference.unroll(
        backward.reference_step(params[1]), x, [np.zeros((B, U + 2))], reverse=True
    )
    law = np.concatenate([there.outputs, back.outputs[:, ::-1]], -1)
    _hold(layer(x), law, "own backward layer")
    assert layer.compute_output_shape((B, T, D)) == (B, T, 2 * U + 2)


@ROWS
def test_time_major(row, rng):
    kwargs = {"return_sequences": True, "time_major": True}
    layer, both = _build(row, rng, layer_kwargs=kwargs)
    x, mask = _x(rng), draw_mask("holes", rng, B, T)
    resets = draw_resets(True, rng, B, T)
    forward, backward = _laws(row, both, x, mask=mask, resets=resets, zero=True)
    law = MERGE["concat"](forward.outputs, backward.outputs[:, ::-1])
    y = layer(x.swapaxes(0, 1), mask=mask.T, resets=resets.T)
    _hold(np.swapaxes(y, 0, 1), law, f"{row} time major")


@ROWS
def test_stateful(row, rng):
    layer, both = _build(row, rng, layer_kwargs={"stateful": True})
    initial = None
    for _ in range(2):
        x = _x(rng)
        runs = _laws(row, both, x, initial)
        initial = [*runs[0].states, *runs[1].states]
        _hold(layer(x), MERGE["concat"](*[run.last for run in runs]), f"{row} stateful")
    layer.reset_state()
    assert not any(
        np.any(v.value)
        for part in (layer.forward_layer, layer.backward_layer)
        for v in part.states
    )


def test_weights_are_those_of_keras(rng):
    ours, _ = _build(CELLS[1], rng)
    stock = keras.layers.Bidirectional(keras.layers.LSTM(U))
    stock.build((B, T, D))
    assert [(v.name, tuple(v.shape)) for v in ours.weights] == [
        (v.name, tuple(v.shape)) for v in stock.weights
    ]


def test_config_round_trip(rng):
    layer, _ = _build(CELLS[2], rng, "ave", {"return_sequences": True})
    again = unrolled.Bidirectional.from_config(layer.get_config())
    assert again.merge_mode == "ave"
    assert again.get_config() == layer.get_config()
    again.build((B, T, D))
    again.set_weights(layer.get_weights())
    x = _x(rng)
    np.testing.assert_array_equal(again(x), layer(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "lstm"}, "layer must be a recurrent layer.*Got 'lstm'"),
        (
            {"layer": unrolled.LSTM(2), "merge_mode": "add"},
            "merge_mode must be one of.*concat.*Got 'add'",
        ),
        (
            {"layer": unrolled.LSTM(2), "backward_layer": unrolled.LSTM(2)},
            "backward_layer must differ from layer in go_backwards.*Got",
        ),
        (
            {
                "layer": unrolled.LSTM(2),
                "backward_layer": unrolled.LSTM(
                    2, go_backwards=True, return_sequences=True
                ),
            },
            "backward_layer must have the same value for return_sequences.*Got True",
        ),
    ],
    ids=["no_layer", "merge_mode", "direction", "mismatch"],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        unrolled.Bidirectional(**arguments)


def test_an_odd_number_of_initial_states(rng):
    layer, _ = _build(CELLS[1], rng)
    with pytest.raises(ValueError, match=r"initial_state must hold.*Got 3 states"):
        layer(_x(rng), initial_state=[_x(rng, B, U)] * 3)
