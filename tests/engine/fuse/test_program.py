"""The core runs programs: each kind of operand, part and instruction, against NumPy."""

from unrolled._borrowed import ffi

import jax
import ml_dtypes
import numpy as np
import pytest
import scipy.special

from ...core import need_core
from .assembler import CODES, Program, run, view

pytestmark = need_core


def draw(*shape, seed=0):
    return (
        np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)
    )


def simple_rnn(D, U, backwards=False):
    """h = tanh(x @ W + b + h @ R), its history, and a gradient's sums over y."""
    return (
        Program(
            inputs=[
                ("x", "SEQUENCE", D, backwards),
                ("W", "VECTOR", D * U),
                ("R", "VECTOR", U * U),
                ("b", "VECTOR", U),
                ("h0", "ROW", U),
            ],
            results=[
                ("y", "SEQUENCE", U, backwards),
                ("h", "ROW", U),
                ("hs", "STATES", U),
                ("kept", "KEPT", U),
                ("xy", "SUM", D * U),
                ("sum", "SUM", U),
            ],
            slots=[("xp", "CHUNK", U), ("z", "STEP", U), ("c", "CARRY", U)],
            carries=[("c", "h0", "h", "hs")],
        )
        .part(
            "CHUNK",
            (
                "PRODUCT",
                [
                    (
                        "product",
                        (1, 1, D, U),
                        view("xp"),
                        view("x", (0, 0, 1, 0)),
                        view("W", (0, 0, U, 1)),
                        view("b"),
                    )
                ],
            ),
        )
        .part(
            "LOOP",
            (
                "PRODUCT",
                [
                    (
                        "product",
                        (1, 1, U, U),
                        view("z"),
                        view("c", (0, 0, 1, 0)),
                        view("R", (0, 0, U, 1)),
                        view("xp"),
                    )
                ],
            ),
            (
                "POINTWISE",
                [
                    ("tanh", (1, 1, 1, U), view("c", after=1), view("z")),
                    ("copy", (1, 1, 1, U), view("y"), view("c", after=1)),
                    ("mul", (1, 1, 1, U), view("kept"), view("y"), view("b")),
                ],
            ),
        )
        .part(
            "CHUNK",
            (
                "SUM",
                [
                    (
                        "sum_product",
                        (1, 1, D, U),
                        view("xy", (0, 0, U, 1)),
                        view("x", (0, 0, 1, 0)),
                        view("y"),
                    )
                ],
            ),
            ("SUM", [("sum_rows", (1, 1, 1, U), view("sum"), view("c", after=1))]),
        )
    )


@pytest.mark.parametrize(
    ("B", "T", "D", "U", "backwards"),
    [
        (1, 250, 3, 17, False),
        (3, 5, 1, 1, True),
        (70, 4, 5, 33, True),
        (300, 2, 3, 17, False),
        (12, 2, 3, 770, False),
        (1, 7, 64, 400, True),
    ],
)
def test_simple_rnn(B, T, D, U, backwards):
    x, W, b, h0 = draw(B, T, D), draw(D, U), draw(U), draw(B, U)
    R = (draw(U, U) / np.sqrt(U)).astype(np.float32)
    out = simple_rnn(D, U, backwards).run(B, T, x, W, R, b, h0)
    hs = [h0.astype(np.float64)]
    order = range(T)[::-1] if backwards else range(T)
    for t in order:
        hs.append(np.tanh(x[:, t].astype(np.float64) @ W + b + hs[-1] @ R))
    y = np.zeros((B, T, U))
    for s, t in enumerate(order):
        y[:, t] = hs[s + 1]
    close = {"rtol": 2e-5, "atol": 2e-5}
    np.testing.assert_allclose(out["y"], y, **close)
    np.testing.assert_allclose(out["h"], hs[-1], **close)
    np.testing.assert_allclose(out["hs"], hs, **close)
    np.testing.assert_allclose(out["kept"], np.array(hs[1:]) * b, **close)
    xy = np.einsum("btd,btu->du", x, y)
    np.testing.assert_allclose(
        out["xy"].reshape(D, U), xy, rtol=1e-4, atol=2e-6 * B * T
    )
    np.testing.assert_allclose(out["sum"], y.sum((0, 1)), rtol=1e-4, atol=2e-6 * B * T)


@pytest.mark.parametrize(("B", "T"), [(0, 3), (2, 0)])
def test_nothing_to_run(B, T):
    h0 = draw(B, 4)
    out = simple_rnn(3, 4).run(B, T, draw(B, T, 3), draw(3, 4), draw(4, 4), draw(4), h0)
    np.testing.assert_array_equal(out["h"], h0)
    assert not out["xy"].any()
    assert not out["sum"].any()


REFERENCE = {
    "copy": lambda x: x,
    "neg": np.negative,
    "sign": np.sign,
    "logistic": scipy.special.expit,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erf_inv": scipy.special.erfinv,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "round_half_even": np.rint,
    "round_half_away": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "is_finite": np.isfinite,
    "not": lambda x: x == 0,
    "to_bfloat16": lambda x: x.astype(ml_dtypes.bfloat16),
    "lgamma": scipy.special.gammaln,
    "digamma": lambda x: np.where(
        x == 0, np.nan, scipy.special.digamma(x)
    ),  # as in JAX
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "pow": np.power,
    "rem": np.fmod,
    "atan2": np.arctan2,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": lambda a, b: (a != 0) & (b != 0),
    "or": lambda a, b: (a != 0) | (b != 0),
    "xor": lambda a, b: (a != 0) ^ (b != 0),
    "select": lambda a, b, c: np.where(a != 0, b, c),
    "clamp": lambda a, b, c: np.minimum(np.maximum(b, a), c),
    "muladd": lambda a, b, c: a * b + c,
}


@pytest.mark.parametrize("U", [3, 37])
def test_every_elementwise_instruction(U):
    """Rows side by side, one element for all, and a row for all."""
    codes = {n: name for n, name in CODES.items() if n < 80}
    results = [(name, "SEQUENCE", U) for name in codes.values()]
    inputs = [("a", "SEQUENCE", U), ("b", "VECTOR", U), ("c", "ROW", 2)]
    program = Program(inputs, results, [])
    one = view("c", (0, 0, 0, 0), offset=1)
    places = [view("a"), view("b"), one]
    shape = (1, 1, 1, U)
    program.part(
        "CHUNK",
        (
            "POINTWISE",
            [
                (
                    name,
                    shape,
                    view(name),
                    *places[: 1 if n < 48 else 2 if n < 72 else 3],
                )
                for n, name in codes.items()
            ],
        ),
    )
    B, T = 3, 2
    a, b, c = np.round(draw(B, T, U) * 4, 1), np.round(draw(U) * 2, 1), draw(B, 2)
    a[0, 0, 0], b[1] = 0, 0
    got = program.run(B, T, a, b, c)
    a, b, c = (v.astype(np.float64) for v in (a, b, c[:, None, 1:]))
    with np.errstate(all="ignore"):
        for n, name in codes.items():
            reads = [a, np.broadcast_to(b, a.shape), np.broadcast_to(c, a.shape)]
            formula = REFERENCE.get(name) or getattr(np, name)
            want = formula(*reads[: 1 if n < 48 else 2 if n < 72 else 3])
            want = want.astype(np.float64)
            np.testing.assert_allclose(got[name], want, 3e-6, 3e-7, err_msg=name)


def test_axes_in_any_order():
    """Transposed, flipped, cut and scattered views."""
    B, T, n, m = 5, 3, 4, 21
    program = Program(
        [("a", "KEPT", n * m, True)],
        [(name, "SEQUENCE", n * m) for name in ("turned", "flipped", "spread")],
        [("t", "BLOCK", n * m)],
    ).part(
        "CHUNK",
        (
            "POINTWISE",
            [
                (
                    "copy",
                    (1, 1, m, n),
                    view("t", (0, 0, n, 1)),
                    view("a", (0, 0, 1, m)),
                ),
                ("copy", (1, 1, 1, n * m), view("turned"), view("t")),
                (
                    "neg",
                    (1, 1, n, m),
                    view("flipped", (0, 0, m, 1)),
                    view("a", (0, 0, m, -1), m - 1),
                ),
                (
                    "add",
                    (1, 1, n, m),
                    view("spread", (0, 0, 1, n)),
                    view("a", (0, 0, m, 1)),
                    view("a", (0, 0, m, 0), 2),
                ),
            ],
        ),
    )
    a = draw(T, B, n * m)
    got = program.run(B, T, a)
    x = a[::-1].reshape(T, B, n, m).transpose(1, 0, 2, 3)
    swapped = x.transpose(0, 1, 3, 2).reshape(B, T, -1)
    np.testing.assert_array_equal(got["turned"], swapped)
    np.testing.assert_array_equal(got["flipped"], -x[..., ::-1].reshape(B, T, -1))
    spread = (x + x[..., 2:3]).transpose(0, 1, 3, 2).reshape(B, T, -1)
    np.testing.assert_array_equal(got["spread"], spread)


@pytest.mark.parametrize(("S", "M"), [(5, 3), (30, 37), (2, 70)])
def test_sums_within_a_row(S, M):
    """Reductions and products over a row's own memory (S, M), along either axis."""
    B, T, shape, rows = 4, 2, (1, 1, S, M), (0, 0, M, 1)
    program = Program(
        [("m", "ROW", S * M), ("q", "SEQUENCE", M), ("w", "SEQUENCE", S)],
        [
            ("total", "SEQUENCE", S),
            ("most", "SEQUENCE", M),
            ("least", "SEQUENCE", 1),
            ("scores", "SEQUENCE", S),
            ("context", "SEQUENCE", M),
            ("outer", "SEQUENCE", S * M),
            ("columns", "SUM", M),
            ("all", "SUM", 1),
            ("few", "SUM", S),
        ],
        [],
    )
    program.part(
        "CHUNK",
        (
            "POINTWISE",
            [
                (
                    "reduce_sum",
                    (1, 1, S, M),
                    view("total", (0, 0, 1, 0)),
                    view("m", (0, 0, M, 1)),
                ),
                (
                    "reduce_max",
                    (1, 1, M, S),
                    view("most", (0, 0, 1, 0)),
                    view("m", (0, 0, 1, M)),
                ),
                (
                    "reduce_min",
                    (1, 1, 1, S * M),
                    view("least", (0, 0, 0, 0)),
                    view("m"),
                ),
                (
                    "contract",
                    (1, 1, S, M),
                    view("scores", (0, 0, 1, 0)),
                    view("q"),
                    view("m", (0, 0, M, 1)),
                    view("w", (0, 0, 1, 0)),
                ),
                (
                    "contract",
                    (1, 1, M, S),
                    view("context", (0, 0, 1, 0)),
                    view("w"),
                    view("m", (0, 0, 1, M)),
                ),
                (
                    "contract",
                    (1, S, M, 1),
                    view("outer", (0, M, 1, 0)),
                    view("w", (0, 1, 0, 0)),
                    view("q", (0, 0, 1, 0)),
                ),
            ],
        ),
        ("SUM", [("sum_rows", shape, view("columns"), view("outer", rows))]),
        ("SUM", [("sum_rows", shape, view("all", (0,) * 4), view("outer", rows))]),
        ("SUM", [("sum_rows", shape, view("few", (0, 0, 1, 0)), view("m", rows))]),
    )
    m, q, w = draw(B, S * M), draw(B, T, M), draw(B, T, S)
    got = program.run(B, T, m, q, w)
    m, q, w = (v.astype(np.float64) for v in (m.reshape(B, S, M), q, w))
    every = np.broadcast_to(m[:, None], (B, T, S, M))
    outer = np.einsum("bts,btm->btsm", w, q)
    want = {
        "total": every.sum(-1),
        "most": every.max(-2),
        "least": every.min((-2, -1))[..., None],
        "scores": np.einsum("btm,bsm->bts", q, m) + w,
        "context": np.einsum("bts,bsm->btm", w, m),
        "outer": outer.reshape(B, T, -1),
        "columns": outer.sum((0, 1, 2)),
        "all": outer.sum().reshape(1),
        "few": every.sum((0, 1, 3)),
    }
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=2e-5, atol=2e-5, err_msg=name)


def test_products_of_parts():
    """F > 1, a turned weight, one number to add to all columns."""
    B, T, F, K, N = 3, 4, 2, 5, 18
    program = Program(
        [("x", "SEQUENCE", F * K), ("w", "VECTOR", N * K + 1), ("b", "ROW", F)],
        [("y", "SEQUENCE", F * N), ("dw", "SUM", N * K)],
        [],
    ).part(
        "CHUNK",
        (
            "PRODUCT",
            [
                (
                    "product",
                    (1, F, K, N),
                    view("y", (0, N, 0, 1)),
                    view("x", (0, K, 1, 0)),
                    view("w", (0, 0, 1, K), offset=1),
                    view("b", (0, 1, 0, 0)),
                )
            ],
        ),
        (
            "SUM",
            [
                (
                    "sum_product",
                    (1, F, K, N),
                    view("dw", (0, 0, 1, K)),
                    view("x", (0, K, 1, 0)),
                    view("y", (0, N, 0, 1)),
                )
            ],
        ),
    )
    x, w, b = draw(B, T, F * K), draw(N * K + 1), draw(B, F)
    got = program.run(B, T, x, w, b)
    x = x.reshape(B, T, F, K).astype(np.float64)
    y = np.einsum("btfk,nk->btfn", x, w[1:].reshape(N, K)) + b[:, None, :, None]
    np.testing.assert_allclose(got["y"], y.reshape(B, T, -1), rtol=1e-5, atol=1e-5)
    dw = np.einsum("btfk,btfn->nk", x, y)
    np.testing.assert_allclose(got["dw"].reshape(N, K), dw, rtol=1e-5, atol=1e-5)


def side_by_side(U, reads="c", writes="q"):
    """c' = tanh(c @ V), y = c' * (c @ W + x): both products in one group."""

    def product(out, left, weight, *init):
        dims, left = (1, 1, U, U), view(left, (0, 0, 1, 0))
        return "product", dims, view(out), left, view(weight, (0, 0, U, 1)), *init

    return Program(
        inputs=[
            ("x", "SEQUENCE", U),
            ("V", "VECTOR", U * U),
            ("W", "VECTOR", U * U),
            ("c0", "ROW", U),
        ],
        results=[("y", "SEQUENCE", U), ("last", "ROW", U)],
        slots=[("p", "STEP", U), ("q", "STEP", U), ("c", "CARRY", U)],
        carries=[("c", "c0", "last", None)],
    ).part(
        "LOOP",
        (
            "PRODUCT",
            [product("p", "c", "V"), product(writes, reads, "W", view("x"))],
        ),
        (
            "POINTWISE",
            [
                ("tanh", (1, 1, 1, U), view("c", after=1), view("p")),
                ("mul", (1, 1, 1, U), view("y"), view("c", after=1), view(writes)),
            ],
        ),
    )


@pytest.mark.parametrize(("B", "T", "U"), [(1, 60, 200), (2, 5, 17), (70, 4, 33)])
def test_products_side_by_side(B, T, U):
    x, c = draw(B, T, U), draw(B, U)
    V, W = (draw(U, U, seed=n) / np.float32(np.sqrt(U)) for n in (1, 2))
    out = side_by_side(U).run(B, T, x, V, W, c)
    c = c.astype(np.float64)
    for t in range(T):
        q = c @ W + x[:, t]
        c = np.tanh(c @ V)
        np.testing.assert_allclose(out["y"][:, t], c * q, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(out["last"], c, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("given", [{"reads": "p"}, {"writes": "p"}], ids=str)
def test_products_in_each_others_way_are_refused(given):
    arrays = [draw(2, 3, 4), draw(16), draw(16), draw(2, 4)]
    with pytest.raises(Exception, match="what another of its group writes"):
        side_by_side(4, **given).run(2, 3, *arrays)


@pytest.mark.parametrize("sizes", [[], [5], [-1], [1 << 40], [5, 5]], ids=str)
def test_sizes_that_do_not_add_up_are_refused(sizes):
    program = side_by_side(4)
    call = ffi.ffi_call(
        "unrolled_program",
        [jax.ShapeDtypeStruct(shape, np.float32) for shape in program.shapes(2, 3)],
    )
    numbers = {"sizes": np.array(sizes, np.int64), "steps": np.array([3], np.int64)}
    with pytest.raises(Exception, match=r"programs|ends before"):
        call(
            *(draw(2, 3, 4), draw(16), draw(16), draw(2, 4)),
            programs=program.numbers,
            **numbers,
        )


def instruction(program, n):
    """Where instruction n begins among the numbers."""
    return len(program.numbers) - 40 * (program.numbers[7] - n)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda n, at: n[:3], "ends before"),
        (lambda n, at: n[:-1], "must have"),
        (lambda n, at: [2, *n[1:]], "version"),
        (lambda n, at: [*n[:1], 4, *n[2:]], "numbers"),
        (lambda n, at: [*n[:8], 5, *n[9:]], "must be VECTOR, ROW"),
        (lambda n, at: at(0, 0, 47), "no instruction 47"),
        (lambda n, at: at(0, 3, 1 << 20), "elements, and more"),
        (lambda n, at: at(0, 3, 1 << 40), "a dimension"),
        (lambda n, at: at(0, 5, 1), "reserved"),
        (lambda n, at: at(0, 6, 99), "an operand"),
        (lambda n, at: at(0, 6, 1), "result or slot"),
        (lambda n, at: at(0, 7, 1), "elements, and more"),
        (lambda n, at: at(0, 17, -(1 << 30)), "elements, and more"),
        (lambda n, at: at(0, 17, 2), "elements, and more"),
        (lambda n, at: at(0, 20, 9), "must be a VECTOR"),
        (lambda n, at: at(0, 13, 11), "must not write where it reads"),
        (lambda n, at: at(2, 12, 0), "after the step"),
        (lambda n, at: at(2, 13, 9), "must not be read"),
        (lambda n, at: at(0, 6, 12), "a STEP slot"),
        (lambda n, at: at(3, 0, 98), "group of another kind"),
        (lambda n, at: at(0, 19, 1), "only a carry"),
    ],
)
def test_a_malformed_program_is_refused(change, why):
    program = simple_rnn(3, 4)
    numbers = program.numbers.tolist()

    def at(n, place, value):
        changed = list(numbers)
        changed[instruction(program, n) + place] = value
        return changed

    arrays = [draw(2, 5, 3), draw(3, 4), draw(4, 4), draw(4), draw(2, 4)]
    names = [r[0] for r in program.results]
    with pytest.raises(Exception, match=why):
        run(change(numbers, at), program.shapes(2, 5), arrays, names, 5)


@pytest.mark.parametrize(
    ("number", "shape", "why"),
    [
        (0, (2, 5, 4), "a width of 3"),
        (4, (3, 4), "the same B"),
        (0, (2, 6, 3), "the same T"),
        (4, (8,), "the same B"),
        (1, (3, 5), "a width of 12"),
    ],
)
def test_an_array_of_another_shape_is_refused(number, shape, why):
    arrays = [draw(2, 5, 3), draw(3, 4), draw(4, 4), draw(4), draw(2, 4)]
    arrays[number] = draw(*shape)
    with pytest.raises(Exception, match=why):
        simple_rnn(3, 4).run(2, 5, *arrays)
