"""Weight gradients taken after the loop equal those taken in it, and are after it."""

import itertools

import unrolled
from unrolled.engine import deferred, loop

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.test_util import check_grads

pytestmark = pytest.mark.usefixtures("float64")

B, T, D, U = 3, 5, 4, 6
RNG = np.random.default_rng(0)


def _normal(*shape, dtype="float64"):
    return jnp.asarray(RNG.normal(size=shape), dtype)


def _weights():
    return {"W": _normal(D, U), "R": _normal(U, U), "b": _normal(U), "p": _normal(U)}


def _run(weights, x, h, deferring, **options):
    """A cell with a weight in each part: two products, and one in the rest."""

    def project(x):
        return x @ weights["W"]

    def multiply(x, states):
        bias = jnp.broadcast_to(weights["b"], x.shape)
        return x, states[0] @ weights["R"] + bias

    def product(x, states):
        return multiply(project(x), states)

    def rest(z, states, none):
        peephole = jnp.broadcast_to(weights["p"], states[0].shape)
        h = jnp.tanh(z[0] + jax.nn.sigmoid(z[1]) * states[1] * peephole)
        return h * states[1], [h, states[1] + h], none

    def whole(x, states, none):
        return rest(product(x, states), states, none)

    parts = {
        False: {"step": whole},
        True: {"step": rest, "product": product},
        "ahead": {"step": rest, "product": multiply, "ahead": project},
    }[deferring]
    return loop.unroll(inputs=x, states=[h, h + 1], **parts, **options)


def _options(masked, reset, reverse, zero=False, sequences=True):
    return {
        "mask": jnp.asarray(RNG.random((B, T)) < 0.6) if masked else None,
        "resets": jnp.asarray(RNG.random((B, T)) < 0.3) if reset else None,
        "fresh": [np.zeros((B, U)), np.ones((B, U))],
        "reverse": reverse,
        "zero_masked": zero,
        "keep_outputs": sequences,
        "keep_states": sequences,
    }


CASES = [_options(*case) for case in itertools.product([False, True], repeat=3)] + [
    _options(True, True, True, True),
    _options(True, True, False, False, False),
]


def _same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def _loss(out):
    leaves = jax.tree.leaves((out.last, out.outputs, out.states, out.all_states))
    return sum(jnp.sum(jnp.sin(leaf + n)) for n, leaf in enumerate(leaves))


@pytest.mark.parametrize("options", CASES)
def test_gradients_are_those_of_the_plain_loop(options):
    given = (_weights(), _normal(B, T, D), _normal(B, U))

    def gradient(deferring):
        whole = jax.checkpoint(lambda *a: _loss(_run(*a, deferring, **options)))
        return jax.jit(jax.grad(whole, (0, 1, 2)))

    want = gradient(False)(*given)
    for got in (gradient(True)(*given), gradient("ahead")(*given)):
        jax.tree.map(_same, got, want)


@pytest.mark.parametrize("options", [CASES[0], CASES[7]])
def test_both_modes_twice(options):
    given = (_weights(), _normal(B, T, D), _normal(B, U))
    whole = jax.jit(lambda *a: _loss(_run(*a, "ahead", **options)))
    check_grads(whole, given, order=2, rtol=1e-4)


def test_a_gradient_of_a_compiled_function():
    """What the parts close over is passed on: the rule runs after their trace."""
    given = (_weights(), _normal(B, T, D), _normal(B, U))
    whole = jax.jit(lambda *a: _loss(_run(*a, True)))
    want = jax.grad(lambda *a: _loss(_run(*a, False)))(*given)
    jax.tree.map(
        _same,
        jax.grad(whole)(*given),
        want,
    )


def test_vmap_over_weights_and_inputs():
    weights, x, h = _weights(), _normal(2, B, T, D), _normal(B, U)
    both = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), weights)

    def gradient(deferring):
        def loss(w, x):
            return _loss(_run(w, x, h, deferring))

        return jax.vmap(jax.grad(loss, (0, 1)))(both, x)

    jax.tree.map(
        _same,
        gradient(True),
        gradient(False),
    )


def _scans(jaxpr):
    """The scans whose results are read."""
    read = {id(v) for equation in jaxpr.eqns for v in equation.invars}
    read |= {id(v) for v in jaxpr.outvars}
    for equation in jaxpr.eqns:
        is_read = any(id(v) in read for v in equation.outvars)
        if equation.primitive.name == "scan" and is_read:
            yield equation
        for inner in jax.tree.leaves(list(equation.params.values())):
            if hasattr(inner, "eqns"):
                yield from _scans(getattr(inner, "jaxpr", inner))


@pytest.mark.usefixtures("scan_path")
@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_no_weight_gradient_travels_with_the_loop(name):
    layer = getattr(unrolled, name)(U, return_sequences=True)
    x = _normal(B, T, D, dtype="float32")
    layer(x)
    weights = [v.value for v in layer.trainable_variables]
    frozen = [v.value for v in layer.non_trainable_variables]

    def loss(weights, x):
        return jnp.sum(layer.stateless_call(weights, frozen, x)[0] ** 2)

    found = list(_scans(jax.make_jaxpr(jax.grad(loss, (0, 1)))(weights, x).jaxpr))
    assert len(found) == 2  # forward and backward
    shapes = {w.shape for w in weights}
    # What a scan carries it also gives; all else that it gives is of T steps.
    assert not any(shape[0] == T for shape in shapes)
    for equation in found:
        assert not shapes & {v.aval.shape for v in equation.outvars}


def test_an_array_known_by_two_names_is_stored_once():
    store = deferred._Distinct()
    one, two = jnp.zeros(3), jnp.ones(3)
    assert len(store.pack({"a": one, "b": (two, one)})) == 2
    assert store.unpack(["first", "second"]) == {"a": "first", "b": ("second", "first")}
