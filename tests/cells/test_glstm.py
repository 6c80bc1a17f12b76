"""The arguments of GLSTMCell; its numbers are in the table."""

import unrolled

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: unrolled.GLSTMCell(4, groups=3),
            r"groups must be a positive integer that divides units = 4\. Got 3",
        ),
        (lambda: unrolled.GLSTMCell(4, groups=0), r"groups must be .*Got 0"),
        (lambda: unrolled.GLSTMCell(4, groups=True), r"groups must be .*Got True"),
        (
            lambda: unrolled.GLSTMCell(4, groups=2, projection_size=3),
            r"groups must be .* divides projection_size = 3\. Got 2",
        ),
        (
            lambda: unrolled.GLSTMCell(4, groups=2).build((None, 5)),
            r"groups must be .* divides features = 5\. Got 2",
        ),
        (
            lambda: unrolled.GLSTMCell(4, projection_size=0),
            r"projection_size must be a positive integer, the width of h, or None",
        ),
    ],
)
def test_what_does_not_divide_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_group_sees_its_own_numbers_alone(rng):
    cell = unrolled.GLSTMCell(6, groups=3)
    layer = unrolled.RNN(cell, return_sequences=True)
    x = rng.normal(size=(2, 4, 9)).astype("float32")
    y = layer(x)
    x[..., 3:6] += 1.0  # what the second group reads
    changed = np.any(np.asarray(layer(x)) != np.asarray(y), axis=(0, 1))
    assert changed.tolist() == [False, False, True, True, False, False]
