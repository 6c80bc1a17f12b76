"""Hypothesis draws configurations; the reference says what each must give."""

import itertools

import unrolled

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import record, reference
from ..harness import randomise
from ..table import CELLS


@st.composite
def draws(draw, max_steps=6):
    """A row of the table, sizes, patterns bit by bit, and a seed for the numbers."""
    batch, steps = draw(st.integers(1, 3)), draw(st.integers(1, max_steps))
    bits = st.lists(
        st.lists(st.booleans(), min_size=steps, max_size=steps),
        min_size=batch,
        max_size=batch,
    ).map(lambda rows: np.array(rows, bool))
    return {
        "row": draw(st.sampled_from(CELLS)),
        "shape": (batch, steps, draw(st.integers(1, 3))),
        "units": draw(st.integers(1, 4)),
        "mask": draw(st.none() | bits),
        "resets": draw(st.none() | bits),
        "rng": np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
    }


def _build(case, **kwargs):
    row = case["row"]
    layer = row.layer(case["units"], **row.kwargs, **kwargs)
    layer.build(case["shape"])
    params = randomise(layer, row, case["rng"], case["shape"][-1], case["units"])
    return layer, row.reference_step(params)


def _x(case):
    return case["rng"].normal(size=case["shape"]).astype("float32")


def _initial(case):
    shape = (case["shape"][0], case["units"])
    count = case["row"].states
    return [case["rng"].normal(size=shape).astype("float32") for _ in range(count)]


def _hold(actual, expected, case):
    name = f"{case['row']} {case['shape']} U={case['units']} drawn"
    record.hold("values", "float32", actual, expected, name)


@given(
    case=draws(),
    backwards=st.booleans(),
    zero=st.booleans(),
    unroll=st.booleans(),
    sequences=st.booleans(),
)
def test_any_composition_equals_the_naive_loop(
    case, backwards, zero, unroll, sequences
):
    layer, step = _build(
        case,
        return_sequences=sequences,
        return_state=True,
        go_backwards=backwards,
        zero_output_for_mask=zero,
        unroll=unroll,
    )
    x, initial = _x(case), _initial(case)
    law = reference.unroll(
        step,
        x,
        initial,
        mask=case["mask"],
        resets=case["resets"],
        reverse=backwards,
        zero_masked=zero,
    )
    y, *states = layer(
        x, initial_state=initial, mask=case["mask"], resets=case["resets"]
    )
    _hold(y, law.outputs if sequences else law.last, case)
    for ours, theirs in zip(states, law.states, strict=True):
        _hold(ours, theirs, case)


@settings(max_examples=20)
@given(case=draws(), data=st.data())
def test_stateful_chunks_are_one_sequence(case, data):
    """Cut anywhere: states after all chunks, and every step that counts, agree."""
    layer, step = _build(case, stateful=True, return_sequences=True)
    x, (batch, steps, _) = _x(case), case["shape"]
    cut = data.draw(st.integers(0, steps))
    mask = np.ones((batch, steps), bool) if case["mask"] is None else case["mask"]
    zeros = [np.zeros((batch, case["units"]))] * case["row"].states
    law = reference.unroll(step, x, zeros, mask=mask, resets=case["resets"])
    outputs = []
    for part in (slice(0, cut), slice(cut, steps)):
        if part.start < part.stop:
            resets = None if case["resets"] is None else case["resets"][:, part]
            outputs.append(layer(x[:, part], mask=mask[:, part], resets=resets))
    # A held output does not outlive its call: compare the steps that count.
    counts = mask[..., None]
    _hold(
        np.where(counts, np.concatenate(outputs, 1), 0),
        np.where(counts, law.outputs, 0),
        case,
    )
    for ours, theirs in zip(layer.states, law.states, strict=True):
        _hold(ours.value, theirs, case)


@settings(max_examples=20)
@given(case=draws(), backwards=st.booleans())
def test_each_piece_runs_as_if_alone(case, backwards):
    """Row by row, piece by piece: resets equal the pieces apart, masks within."""
    batch, steps, _ = case["shape"]
    resets = case["resets"]
    if resets is None:
        resets = case["rng"].random((batch, steps)) < 0.4
    layer, _ = _build(case, return_sequences=True, go_backwards=backwards)
    x = _x(case)
    mask = np.ones((batch, steps), bool) if case["mask"] is None else case["mask"]
    whole = np.asarray(layer(x, mask=mask, resets=resets))
    for b in range(batch):
        if backwards:  # a reset acts before its own step: it ends the later piece
            edges = sorted({0, steps, *(np.flatnonzero(resets[b]) + 1)})
        else:
            edges = sorted({0, steps, *np.flatnonzero(resets[b])})
        pieces = [
            np.asarray(layer(x[b : b + 1, i:j], mask=mask[b : b + 1, i:j]))[0]
            for i, j in itertools.pairwise(edges)
        ]
        apart = np.concatenate(pieces[::-1] if backwards else pieces)
        np.testing.assert_allclose(whole[b], apart, atol=2e-6)


@settings(max_examples=15)
@given(case=draws(), mode=st.sampled_from(["concat", "sum", "mul", "ave"]))
def test_bidirectional_pieces_run_as_if_alone(case, mode):
    batch, steps, _ = case["shape"]
    row = case["row"]
    layer = unrolled.Bidirectional(
        row.layer(case["units"], return_sequences=True, **row.kwargs), mode
    )
    layer.build(case["shape"])
    for part in (layer.forward_layer, layer.backward_layer):
        randomise(part, row, case["rng"], case["shape"][-1], case["units"])
    x = _x(case)
    resets = case["resets"]
    if resets is None:
        resets = case["rng"].random((batch, steps)) < 0.4
    whole = np.asarray(layer(x, mask=case["mask"], resets=resets))
    mask = np.ones((batch, steps), bool) if case["mask"] is None else case["mask"]
    for b in range(batch):
        edges = sorted({0, steps, *np.flatnonzero(resets[b])})
        apart = [
            np.asarray(layer(x[b : b + 1, i:j], mask=mask[b : b + 1, i:j]))[0]
            for i, j in itertools.pairwise(edges)
        ]
        np.testing.assert_allclose(whole[b], np.concatenate(apart), atol=2e-6)
