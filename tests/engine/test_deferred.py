"""Weight gradients taken after the loop equal those taken in it, and are after it."""

import itertools

import unrolled
from unrolled.engine import deferred, loop

import jax
import keras
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
    shapes = {"W": (D, U), "R": (U, U), "b": (U,), "p": (U,), "P": (U, U)}
    return {name: 0.5 * _normal(*shape) for name, shape in shapes.items()}


def _plain(step, carry, xs, *, hoist, **options):
    """What every scan of the loop is held to."""
    del hoist
    return jax.lax.scan(step, carry, xs, **options)


def _run(weights, x, h, deferring, **options):
    """A cell with weights in each part, some of them twice, and a whole number."""

    def step(x, states, count):
        h, c = states
        z = jnp.tanh(x @ weights["W"]) + jnp.broadcast_to(weights["b"], h.shape)
        peephole = jnp.broadcast_to(weights["p"], h.shape)
        z = jnp.tanh(z + jax.nn.sigmoid(h @ weights["R"]) * c * peephole)
        new = jax.jit(jnp.matmul)(z * peephole, weights["P"])  # inside a function
        # inside a branch, where no product is found; twice, where one is
        more = jax.lax.cond(count[0] > 1, lambda z: z @ weights["R"], jnp.sin, z)
        new = new + 0.1 * more + weights["P"][:1] * jnp.ones_like(h)
        return new * c, [new, c + new], [count[0] + 1]

    with pytest.MonkeyPatch.context() as patch:
        if not deferring:
            patch.setattr(deferred, "scan", _plain)
        hoist, count = deferring == "hoist", [jnp.zeros((), "int32")]
        states = [h, h + 1]
        return loop.unroll(step, x, states, variables=count, hoist=hoist, **options)


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


HOW = [(options, False) for options in CASES] + [(CASES[0], True), (CASES[7], True)]


@pytest.mark.parametrize(("options", "hoist"), HOW)
def test_gradients_are_those_of_the_plain_loop(options, hoist):
    given = (_weights(), _normal(B, T, D), _normal(B, U))

    def gradient(deferring):
        whole = jax.checkpoint(lambda *a: _loss(_run(*a, deferring, **options)))
        return jax.jit(jax.grad(whole, (0, 1, 2)))(*given)

    jax.tree.map(_same, gradient("hoist" if hoist else True), gradient(False))


@pytest.mark.parametrize("options", [CASES[0], CASES[7]])
def test_both_modes_twice(options):
    given = (_weights(), _normal(B, T, D), _normal(B, U))
    whole = jax.jit(lambda *a: _loss(_run(*a, "hoist", **options)))
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


class Stranger(keras.layers.Layer):
    """A cell of Keras's form, with a product after what is not linear."""

    state_size = U

    def build(self, _):
        self.first = self.add_weight(shape=(D, U))
        self.second = self.add_weight(shape=(U, U + 1))
        self.third = self.add_weight(shape=(U + 1, U))

    def call(self, inputs, states):
        wide = keras.ops.tanh(keras.ops.matmul(states[0], self.second))
        h = keras.ops.matmul(inputs, self.first) + keras.ops.matmul(wide, self.third)
        return keras.ops.tanh(h), [keras.ops.tanh(h)]


CELLS = [
    unrolled.LSTMCell(U),
    unrolled.LSTMCell(U, projection_size=3),
    unrolled.GRUCell(U),
    unrolled.GRUCell(U, reset_after=False),
    unrolled.SimpleRNNCell(U),
    unrolled.NASCell(U, projection_size=3),
    unrolled.IntersectionRNNCell(U),
    unrolled.GLSTMCell(U, groups=2),
    unrolled.SLSTMCell(U, heads=2),
    Stranger(),
]


@pytest.mark.usefixtures("scan_path")
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_no_weight_gradient_travels_with_the_loop(cell):
    layer = unrolled.RNN(cell, return_sequences=True)
    x = _normal(B, T, D, dtype="float32")
    layer(x)
    weights = [v.value for v in layer.trainable_variables]
    frozen = [v.value for v in layer.non_trainable_variables]

    def loss(weights, x):
        return jnp.sum(layer.stateless_call(weights, frozen, x)[0] ** 2)

    found = list(_scans(jax.make_jaxpr(jax.grad(loss, (0, 1)))(weights, x).jaxpr))
    assert len(found) == 2  # forward and backward
    # A bias may, where it is added to what no product gives.
    shapes = {w.shape for w in weights if w.ndim > 1}
    # What a scan carries it also gives; all else that it gives is of T steps.
    assert not any(shape[0] == T for shape in shapes)
    for equation in found:
        assert not shapes & {v.aval.shape for v in equation.outvars}


def test_what_is_wider_than_what_it_is_made_of_is_not_kept():
    """As one row beside each of many: of the tanh of attention memory has no copy."""
    memory_steps = 50
    keys, v, h = _normal(B, memory_steps, U), _normal(U), _normal(B, U)
    xs = _normal(T, B, U)

    def of(keys, v):
        def step(h, x):
            hidden = jnp.tanh(keys + jnp.broadcast_to(h[:, None], keys.shape))
            found = jnp.einsum("bs,bsu->bu", jnp.tanh(hidden @ v), keys)
            return jnp.tanh(found + x), ()

        return deferred.scan(step, h, xs)[0]

    kept = jax.eval_shape(lambda *given: jax.vjp(of, *given)[1], keys, v)
    assert sum(a.size for a in jax.tree.leaves(kept)) < T * keys.size
    check_grads(of, (keys, v), 1, ("fwd", "rev"))
