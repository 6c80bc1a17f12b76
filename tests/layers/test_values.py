"""The whole table, values and gradients: masks x resets x direction x dtype."""

import itertools
from functools import cache

import numpy as np
import pytest

from ..harness import Compiled, hold_to_reference
from ..table import CELLS, MASKS, draw_mask, draw_resets

# Held as users run it.
pytestmark = pytest.mark.optimised

B, T, D, U = 5, 17, 3, 17
DIRECTIONS = pytest.mark.parametrize("reverse", [False, True], ids=["fwd", "bwd"])
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)
RESETS = pytest.mark.parametrize("resets", [False, True], ids=["whole", "resets"])


@cache
def _compiled(row_name, dtype, reverse, zero_masked):
    row = next(row for row in CELLS if row.name == row_name)
    return Compiled(
        row, D, U, dtype, go_backwards=reverse, zero_output_for_mask=zero_masked
    )


@pytest.fixture(scope="module", autouse=True)
def _forget_compilations():
    yield
    _compiled.cache_clear()


def _hold(row, kind, resets, reverse, dtype, rng, zero_masked=False, initial=True):
    mask = draw_mask(kind, rng, B, T)
    pattern = draw_resets(resets, rng, B, T)
    case = "-".join(
        [row.name, kind, "resets" if resets else "whole", "bwd" if reverse else "fwd"]
    )
    hold_to_reference(
        _compiled(row.name, dtype, reverse, zero_masked),
        rng,
        B,
        T,
        mask=mask,
        resets=pattern,
        reverse=reverse,
        zero_masked=zero_masked,
        initial=initial,
        name=case,
    )


@pytest.mark.usefixtures("scan_path")
@ROWS
@DIRECTIONS
@pytest.mark.parametrize("kind", MASKS)
def test_the_scan_in_float32_equals_the_reference(row, kind, reverse, rng):
    _compiled.cache_clear()
    _hold(row, kind, True, reverse, "float32", rng)
    _compiled.cache_clear()


@ROWS
@DIRECTIONS
@RESETS
@pytest.mark.parametrize("kind", MASKS)
def test_float32_equals_the_reference(row, kind, resets, reverse, rng):
    _hold(row, kind, resets, reverse, "float32", rng)


@pytest.mark.usefixtures("float64")
@ROWS
@DIRECTIONS
@RESETS
@pytest.mark.parametrize("kind", MASKS)
def test_float64_equals_the_reference(row, kind, resets, reverse, rng):
    _hold(row, kind, resets, reverse, "float64", rng)


@ROWS
@DIRECTIONS
@pytest.mark.parametrize("kind", MASKS[1:])
def test_zero_output_for_mask(row, kind, reverse, rng):
    _hold(row, kind, True, reverse, "float32", rng, zero_masked=True)


@ROWS
def test_without_initial_state(row, rng):
    for kind in MASKS:
        _hold(row, kind, True, False, "float32", rng, initial=False)


SIZES = [  # (B, T, D, U): every size of 1, 3, 17, 129 in every place
    (1, 1, 1, 1),
    (3, 17, 129, 1),
    (17, 1, 3, 129),
    (129, 3, 1, 17),
    (1, 129, 17, 3),
]


@ROWS
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "holes_resets"])
def test_awkward_sizes(row, size, plain, rng):
    batch, steps, features, units = size
    mask = None if plain else draw_mask("holes", rng, batch, steps)
    resets = draw_resets(not plain, rng, batch, steps)
    hold_to_reference(
        Compiled(row, features, units),
        rng,
        batch,
        steps,
        mask=mask,
        resets=resets,
        name=f"{row} {size} {'plain' if plain else 'holes'}",
    )


@ROWS
@DIRECTIONS
@pytest.mark.parametrize(("batch", "steps"), [(3, 1), (17, 17), (3, 64), (3, 129)])
def test_the_last_output_alone(row, reverse, batch, steps, rng):
    """The path that stores nothing per step, also where it walks in chunks."""
    compiled = Compiled(row, D, U, last_only=True, go_backwards=reverse)
    for kind in ("holes", "all_masked_row"):
        hold_to_reference(
            compiled,
            rng,
            batch,
            steps,
            mask=draw_mask(kind, rng, batch, steps),
            resets=draw_resets(True, rng, batch, steps),
            reverse=reverse,
            name=f"{row} last of {steps}, {kind}",
        )


def test_every_size_appears_in_every_place():
    for place in range(4):
        assert {size[place] for size in SIZES} == {1, 3, 17, 129}


def test_the_table_is_whole():
    """The draws do what their names say: no mask kind is another in disguise."""
    rng = np.random.default_rng(0)
    masks = {kind: draw_mask(kind, rng, B, T) for kind in MASKS}
    assert masks["none"] is None
    assert not masks["all_masked_row"].any(axis=1).all()
    for kind in ("right", "left", "holes"):
        assert masks[kind].any(axis=1).all()
        assert not masks[kind].all()
    for first, second in itertools.combinations(MASKS[1:], 2):
        assert (masks[first] != masks[second]).any()
    assert draw_resets(True, rng, B, T).any()
    assert draw_resets(False, rng, B, T) is None
