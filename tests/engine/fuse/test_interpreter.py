"""The interpreter that lowered programs are tested by is held to loops in NumPy."""

import numpy as np
import pytest

from . import interpreter
from .interpreter import CARRY, KEPT, ROW, SEQUENCE, STATES, STEP, SUM, VECTOR
from .interpreter import CHUNK as CHUNK_SLOT

B, T, D, U = 2, 4, 3, 5
CHUNK, LOOP = 0, 1


def at(ref, *strides, offset=0, after=0):
    """An operand: its last strides, those before them 0."""
    return (ref, offset, *(0,) * (4 - len(strides)), *strides, after)


def record(code, dims, *operands):
    """An instruction: out, then what it reads."""
    dims = (1,) * (4 - len(dims)) + tuple(dims)
    views = [*operands, *[(-1, *(0,) * 6)] * (4 - len(operands))]
    return [code, *dims, 0, *(n for view in views for n in view), *(0,) * 6]


def program(inputs, results, slots, carries, parts):
    """The numbers of a program; parts of (kind, [(kind, [record])])."""
    groups = [group for _, own in parts for group in own]
    records = [each for _, own in groups for each in own]
    tables = [
        [(*ref, 0)[:3] for ref in inputs],
        [(*ref, 0)[:3] for ref in results],
        slots,
        carries,
        [(kind, len(own)) for kind, own in parts],
        [(kind, len(own)) for kind, own in groups],
        records,
    ]
    flat = [n for table in tables for row in table for n in row]
    return np.array([1, *map(len, tables), *flat], np.int64)


ADD, MUL, SUB, TANH, PRODUCT, SUM_PRODUCT, SUM_ROWS = 48, 50, 49, 9, 96, 97, 98


def forward(backwards=0):
    """h' = tanh(x W + b + h R); every h in both orders of axes, and the last."""
    x, w, b, r, start, y, kept, last, every, z, sum_, h = range(12)
    return program(
        [(SEQUENCE, D, backwards), *[(VECTOR, n) for n in (D * U, U, U * U)], (ROW, U)],
        [(SEQUENCE, U, backwards), (KEPT, U), (ROW, U), (STATES, U)],
        [(CHUNK_SLOT, U), (STEP, U), (CARRY, U)],
        [(h, start, last, every)],
        [
            (
                CHUNK,
                [
                    (
                        1,
                        [
                            record(
                                PRODUCT,
                                (D, U),
                                *(at(z, 0, 1), at(x, 1, 0), at(w, U, 1), at(b, 0, 1)),
                            )
                        ],
                    )
                ],
            ),
            (
                LOOP,
                [
                    (
                        1,
                        [
                            record(
                                PRODUCT,
                                (U, U),
                                *(at(sum_, 0, 1), at(h, 1, 0), at(r, U, 1)),
                                at(z, 0, 1),
                            )
                        ],
                    ),
                    (
                        0,
                        [
                            record(TANH, (U,), at(h, 1, after=1), at(sum_, 1)),
                            record(0, (U,), at(y, 1), at(h, 1, after=1)),
                            # the units the other way round
                            record(
                                0,
                                (U,),
                                *(at(kept, -1, offset=U - 1), at(h, 1, after=1)),
                            ),
                        ],
                    ),
                ],
            ),
        ],
    )


def drawn(rng):
    """Inputs of `forward`."""
    shapes = (B, T, D), (D, U), (U,), (U, U), (B, U)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("backwards", [0, 1])
@pytest.mark.parametrize("chunk", [None, 3])
def test_forward(rng, backwards, chunk):
    given = drawn(rng)
    y, kept, last, every = interpreter.run(forward(backwards), given, chunk=chunk)
    x, w, b, r, h = given
    np.testing.assert_array_equal(every[0], h)
    for s in range(T):
        t = T - 1 - s if backwards else s
        h = np.tanh(x[:, t] @ w + b + h @ r)
        np.testing.assert_allclose(y[:, t], h, rtol=1e-13)
        np.testing.assert_array_equal(kept[s], y[:, t, ::-1])
        np.testing.assert_array_equal(every[s + 1], y[:, t])
    np.testing.assert_allclose(last, h, rtol=1e-13)


def test_backward_with_sums(rng):
    """The gradient of sum(y * dy) for h' = tanh(x W + h), held to differences."""
    dy, y, x, w, zero, dx, dw, db, dstart, dz, dh = range(11)
    numbers = program(
        [(SEQUENCE, U, 1), (STATES, U, 1), (SEQUENCE, D, 1), (VECTOR, D * U), (ROW, U)],
        [(SEQUENCE, D, 1), (SUM, D * U), (SUM, U), (ROW, U)],
        [(CHUNK_SLOT, U), (CARRY, U)],
        [(dh, zero, dstart, -1)],
        [
            (
                LOOP,
                [
                    (
                        0,
                        [
                            record(ADD, (U,), at(dz, 1), at(dy, 1), at(dh, 1)),
                            # (1 - y y) dz
                            record(
                                *(MUL, (U,), at(dh, 1, after=1)),
                                *(at(y, 1, after=1), at(y, 1, after=1)),
                            ),
                            record(
                                MUL,
                                (U,),
                                *(at(dh, 1, after=1), at(dh, 1, after=1)),
                                at(dz, 1),
                            ),
                            record(SUB, (U,), at(dz, 1), at(dz, 1), at(dh, 1, after=1)),
                            record(0, (U,), at(dh, 1, after=1), at(dz, 1)),
                        ],
                    )
                ],
            ),
            (
                CHUNK,
                [
                    (
                        1,
                        [
                            record(
                                *(PRODUCT, (U, D), at(dx, 0, 1), at(dz, 1, 0)),
                                at(w, 1, U),  # transposed
                            )
                        ],
                    ),
                    (
                        2,
                        [
                            record(
                                *(SUM_PRODUCT, (D, U), at(dw, U, 1), at(x, 1, 0)),
                                at(dz, 0, 1),
                            )
                        ],
                    ),
                    (2, [record(SUM_ROWS, (U,), at(db, 1), at(dz, 1))]),
                ],
            ),
        ],
    )
    x_, w_ = rng.normal(size=(B, T, D)), rng.normal(size=(D, U))
    b_, h_, dy_ = (
        rng.normal(size=U),
        rng.normal(size=(B, U)),
        rng.normal(size=(B, T, U)),
    )

    def loss(x, w, b, h):
        start, ys = h, []
        for t in range(T):
            h = np.tanh(x[:, t] @ w + b + h)
            ys.append(h)
        return np.stack([start, *ys]), (np.stack(ys, 1) * dy_).sum()

    ys, _ = loss(x_, w_, b_, h_)
    given = [dy_, ys, x_, w_, np.zeros((B, U))]
    found = interpreter.run(numbers, given, chunk=3)
    for n, (array, gradient) in enumerate(zip((x_, w_, b_, h_), found, strict=True)):
        along = rng.normal(size=array.shape)
        sides = []
        for sign in (1, -1):
            moved = [x_, w_, b_, h_]
            moved[n] = array + sign * 1e-6 * along
            sides.append(loss(*moved)[1])
        slope = (sides[0] - sides[1]) / 2e-6
        flat = np.ravel(gradient) @ np.ravel(along)
        np.testing.assert_allclose(flat, slope, rtol=1e-6)


def test_float32(rng):
    given = drawn(rng)
    wide = interpreter.run(forward(), given)
    narrow = interpreter.run(forward(), given, dtype="float32")
    for one, other in zip(wide, narrow, strict=True):
        assert other.dtype == "float32"
        assert 0 < np.abs(one - other).max() < 1e-5


def test_no_steps_and_no_rows(rng):
    x, *weights, start = drawn(rng)
    y, kept, last, _ = interpreter.run(forward(), [x[:, :0], *weights, start])
    assert y.shape == (B, 0, U)
    assert kept.shape == (0, B, U)
    np.testing.assert_array_equal(last, start)
    y, *_ = interpreter.run(forward(), [x[:0], *weights, start[:0]])
    assert y.shape == (0, T, U)


def pointwise(code, dims, *operands):
    """A program of one instruction: rows (B, 6) in, (B, T, 6) out."""
    group = [(0, [record(code, dims, *operands)])]
    return program([(ROW, 6)], [(SEQUENCE, 6)], [(STEP, 6)], [], [(LOOP, group)])


def test_views_reductions_and_products_of_rows(rng):
    x = rng.normal(size=(B, 6))
    # (2, 3): the largest of each three, spread over them in place of all
    group = [
        (0, [record(81, (2, 3), at(2, 1, 0), at(0, 3, 1))]),
        (0, [record(0, (2, 3), at(1, 3, 1), at(2, 1, 0))]),
    ]
    numbers = program([(ROW, 6)], [(SEQUENCE, 6)], [(STEP, 6)], [], [(LOOP, group)])
    [y] = interpreter.run(numbers, [x], steps=1)
    expected = np.repeat(x.reshape(B, 2, 3).max(-1), 3, axis=-1)
    np.testing.assert_array_equal(y[:, 0], expected)
    # (2, 3) by (3, 2), of one row, with an initial value
    group = [
        (0, [record(83, (1, 2, 2, 3), *(at(1, 2, 1, 0), at(0, 3, 0, 1)))]),
    ]
    group[0][1][0][20:27] = at(0, 0, 3, 1)
    group[0][1][0][27:34] = at(0, 0, 0, 0, offset=5)
    numbers = program([(ROW, 6)], [(SEQUENCE, 4)], [], [], [(LOOP, group)])
    [y] = interpreter.run(numbers, [x], steps=1)
    m = x.reshape(B, 2, 3)
    expected = m @ m.transpose(0, 2, 1) + x[:, 5, None, None]
    np.testing.assert_allclose(y[:, 0].reshape(B, 2, 2), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (pointwise(0, (6,), at(1, 1), at(2, 1)), "before it is written"),
        (pointwise(0, (3,), at(1, 1), at(0, 1)), "not all of ref 1 was written"),
        (pointwise(0, (6,), at(1, 1), at(0, 1, offset=1)), "reaches 1 to 6 of 6"),
        (pointwise(0, (6,), at(0, 1), at(0, 1)), "writes an input"),
        (pointwise(0, (6,), at(1, 0), at(0, 1)), "one place more than once"),
        (pointwise(0, (5,), at(1, 1, offset=1), at(1, 1)), "writes over a part"),
        (pointwise(48, (6,), at(1, 1), at(0, 1)), "has operands"),
        (pointwise(47, (6,), at(1, 1), at(0, 1)), "no code is 47"),
        (pointwise(80, (6,), at(1, 1), at(0, 1)), "moves along"),
        (pointwise(PRODUCT, (6, 6), at(1, 0, 1), at(0, 1, 0)), "has operands"),
        (pointwise(0, (6,), at(1, 1, after=1), at(0, 1)), "`after` of no carry"),
        (forward()[:-1], "long"),
    ],
)
def test_what_no_program_may_say_is_refused(numbers, said):
    with pytest.raises(interpreter.MalformedError, match=said):
        interpreter.run(numbers, [np.ones((B, 6))], steps=2)
