"""Every kind of derivative through the native core, and what each costs in calls."""

import functools

from unrolled import LSTM
from unrolled.engine.foreign import Spec
from unrolled.engine.kernels import Fused

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from .. import reference
from ..core import need_core
from .test_kernels import GRADIENTS, KINDS, VALUES, expected, make, scan

pytestmark = need_core


def jvp(f, at, along):
    return jax.jvp(f, (at,), (along,))[1]


# Of a scalar function at a vector, some along another.
MODES = {
    "jvp": jvp,
    "linearize": lambda f, at, along: jax.linearize(f, at)[1](along),
    "jacfwd": lambda f, at, _: jax.jacfwd(f)(at),
    "jvp of grad": lambda f, at, along: jvp(jax.grad(f), at, along),
    "grad of jvp": lambda f, at, along: jax.grad(lambda a: jvp(f, a, along))(at),
    "grad of jvp of both": lambda f, at, _: jax.grad(lambda a: jvp(f, a, a * a))(at),
    "grad of grad": lambda f, at, along: jax.grad(
        lambda a: jnp.vdot(jax.grad(f)(a), along)
    )(at),
    "hessian": lambda f, at, _: jax.hessian(f)(at),
    "jacfwd of jacfwd": lambda f, at, _: jax.jacfwd(jax.jacfwd(f))(at),
    "jacrev of jacfwd": lambda f, at, _: jax.jacrev(jax.jacfwd(f))(at),
    "jacrev of jacrev": lambda f, at, _: jax.jacrev(jax.jacrev(f))(at),
    "grad of jvp of jvp": lambda f, at, along: jax.grad(
        lambda a: jvp(lambda b: jvp(f, b, along), a, along)
    )(at),
    "remat": lambda f, at, along: jax.grad(lambda a: jvp(jax.checkpoint(f), a, along))(
        at
    ),
    "scan": lambda f, at, along: jax.grad(
        lambda a: jvp(
            lambda b: jax.lax.scan(lambda c, _: (c + f(b), None), 0.0, length=2)[0],
            a,
            along,
        )
    )(at),
}


def losses(spec, case):
    """A loss of a vector of all that can move: natively, and by the scan."""
    start, whole = ravel_pytree((case["x"], case["states"], case["weights"]))
    options = {k: case[k] for k in ("mask", "resets", "constants")}

    def loss(layer, vector):
        out = layer(*whole(vector), **options)
        seen = (out.outputs, out.last, out.states, out.all_states)
        return sum((a**3).sum() for a in jax.tree.leaves(seen))

    native = functools.partial(loss, Fused(spec))
    return native, functools.partial(loss, functools.partial(scan, spec)), start


def like(vector, seed=11):
    rng = np.random.default_rng(seed)
    return rng.normal(size=vector.shape).astype(np.float32)


def calls(function, *args):
    """How many calls forward and backward a compiled function makes."""
    text = jax.jit(function).lower(*args).as_text()
    return tuple(text.count(f"@unrolled_{way}(") for way in ("forward", "backward"))


# All for one kind; for the others those that take in every rule.
CASES = [("lstm", mode) for mode in MODES] + [
    (kind, mode)
    for kind in KINDS
    for mode in ("jvp", "jvp of grad", "grad of jvp of both", "jacrev of jacrev")
    if kind != "lstm"
]


@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_modes(kind, mode):
    case = make(kind, 2, 3, 2, 3, mask="holes", resets=True, dropout=True, seed=5)
    native, plain, at = losses(Spec(kind, flip=True, return_all_states=True), case)
    along = like(at)
    derive = MODES[mode]
    want = jax.jit(lambda at: derive(plain, at, along))(at)
    got = jax.jit(lambda at: derive(native, at, along))(at)
    assert reference.max_relative(got, want) < GRADIENTS


@pytest.mark.parametrize("mode", ["jvp", "linearize", "grad of jvp", "jvp of grad"])
def test_modes_without_jit(mode):
    native, plain, at = losses(Spec("lstm", flip=True), make("lstm", 2, 3, 2, 3))
    got, want = (MODES[mode](f, at, like(at)) for f in (native, plain))
    assert reference.max_relative(got, want) < GRADIENTS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_forward_is_the_transpose_of_backward(kind, reverse, sequences):
    """Values of a jvp are the kernel's; its tangent fits the reference's gradients."""
    spec = Spec(
        kind,
        reverse=reverse,
        flip=reverse,
        return_sequences=sequences,
        return_all_states=sequences,
        zero_masked=reverse,
    )
    case = make(kind, 3, 6, 4, 17, mask="holes", resets=True, dropout=True)
    options = {k: case[k] for k in ("mask", "resets", "constants")}

    def run(*at):
        out = Fused(spec)(*at, **options)
        return out.outputs if sequences else out.last, out.states, out.all_states

    at = (case["x"], case["states"], case["weights"])
    along = jax.tree.map(like, at)
    values, rates = jax.jit(lambda a, v: jax.jvp(run, a, v))(at, along)
    for got, want in zip(
        jax.tree.leaves(values), jax.tree.leaves(run(*at)), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    weighs = jax.tree.map(functools.partial(like, seed=12), values)
    want, gradients = expected(spec, case, lambda _: weighs)
    for a, b in zip(jax.tree.leaves(values), jax.tree.leaves(want), strict=True):
        assert reference.max_relative(a, b) < VALUES
    one, other, scale = 0.0, 0.0, 0.0
    for a, b in zip(jax.tree.leaves(rates), jax.tree.leaves(weighs), strict=True):
        one += np.vdot(np.float64(a), b)
        scale += np.linalg.norm(a) * np.linalg.norm(b)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(along), strict=True):
        other += np.vdot(a, b)
    assert abs(one - other) < GRADIENTS * scale


@pytest.mark.parametrize("mode", ["jvp", "jvp of grad", "grad of jvp", "grad of grad"])
@pytest.mark.parametrize("kind", ["lstm", "gru_after"])
def test_vmap_of_modes(kind, mode):
    """Twice, over what the layer computes at and over how that moves."""
    native, plain, at = losses(Spec(kind, flip=True), make(kind, 2, 3, 2, 3))
    ats = np.asarray(at)[None] + np.float32(0.1) * like(np.zeros((2, *at.shape)))
    alongs = like(np.zeros((*at.shape, 3)))

    def of(f):
        derive = functools.partial(MODES[mode], f)
        return jax.jit(jax.vmap(jax.vmap(derive, (None, 1)), (0, None)))(ats, alongs)

    assert reference.max_relative(of(native), of(plain)) < GRADIENTS


@pytest.mark.parametrize("kind", KINDS)
def test_vmap_with_shared_weights(kind):
    case = make(kind, 2, 3, 2, 3)

    def of(layer):
        def grad(x, along):
            def loss(weights):
                return (layer(x, case["states"], weights).outputs ** 3).sum()

            return jvp(jax.grad(loss), case["weights"], along)

        xs = like(np.zeros((3, *case["x"].shape)))
        along = jax.tree.map(like, case["weights"])
        return jax.jit(jax.vmap(grad, (0, None)))(xs, along)

    spec = Spec(kind, flip=True)
    got, want = of(Fused(spec)), of(functools.partial(scan, spec))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert reference.max_relative(a, b) < GRADIENTS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sequences", [False, True])
def test_a_gradient_is_two_calls(kind, sequences):
    """One forward, one backward, which computes and reads only what is asked for."""
    spec = Spec(kind, flip=True, return_sequences=sequences)
    case = make(kind, 3, 4, 7, 5, mask="holes", resets=True)

    def loss(x, states, weights):
        out = Fused(spec)(x, states, weights, mask=case["mask"], resets=case["resets"])
        return ((out.outputs if sequences else out.last) ** 2).sum()

    args = (case["x"], case["states"], case["weights"])
    assert calls(loss, *args) == (1, 0)
    for wanted in [2, (0, 2), (0, 1, 2)]:
        gradient = jax.grad(loss, wanted)
        assert calls(gradient, *args) == (1, 1)
        text = jax.jit(gradient).lower(*args).as_text()
        assert "while" not in text  # no scan
        line = next(s for s in text.splitlines() if "@unrolled_backward(" in s)
        given, found = line.rsplit(") -> ", 1)
        assert ("tensor<3x4x7xf32>" in found) == (wanted != 2)
        # Of the cotangents, the last six arrays, one is there.
        assert given.split(", ")[-6:].count("tensor<0xf32>") == 5


def test_other_modes_use_the_calls_too():
    native, _, at = losses(Spec("lstm", flip=True), make("lstm", 2, 3, 2, 3))
    v = like(at)
    assert calls(lambda at: jvp(native, at, v), at) == (1, 0)
    assert calls(lambda at: jax.jvp(jax.grad(native), (at,), (v,)), at) == (1, 1)
    assert calls(jax.hessian(native), at) == (1, 0)

    def transposed(at):
        _, linear = jax.linearize(native, at)
        return jax.linear_transpose(linear, at)(jnp.float32(1.0))

    assert calls(transposed, at) == (1, 1)
    got, want = jax.jit(transposed)(at), jax.jit(jax.grad(native))(at)
    np.testing.assert_array_equal(got[0], want)


def test_no_derivative_into_dropout_masks():
    case = make("lstm", 3, 4, 3, 5, dropout=True)

    def loss(masks):
        args = (case["x"], case["states"], case["weights"])
        return (Fused(Spec("lstm"))(*args, constants=masks).outputs ** 2).sum()

    masks = case["constants"]
    rate = jax.jvp(loss, (masks,), (masks,))[1]
    assert rate == 0
    for gradient in jax.tree.leaves(jax.grad(loss)(masks)):
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_layer_goes_forward(dtype, monkeypatch):
    """The Hessian of a layer: the same with the kernels and without."""
    layer = LSTM(3, dtype=dtype)
    layer.build((2, 3, 2))
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def loss(x):
        y = layer.stateless_call(weights, rest, x)[0]
        return (y.astype("float32") ** 2).sum()

    x = like(np.zeros((2, 3, 2)))
    assert "native" in layer.plan()
    assert calls(jax.hessian(loss), x) == (1, 0)
    got = jax.hessian(loss)(x)
    monkeypatch.setenv("UNROLLED_ISA", "scan")
    want = jax.hessian(lambda x: loss(x))(x)  # traced anew
    tolerance = GRADIENTS if dtype == "float32" else 3e-2
    assert reference.max_relative(got, want) < tolerance
