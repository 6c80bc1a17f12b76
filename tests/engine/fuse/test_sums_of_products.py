"""Products of a step that are added up, in any order and of any parts."""

import unrolled

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from ...core import need_core

pytestmark = [pytest.mark.keras_ranks, need_core]
U = 4


class Sum(unrolled.Cell):
    """h = tanh of any sum of products with W (8, 4), R and P (4, 4)."""

    def __init__(self, formula, **kwargs):
        super().__init__(**kwargs)
        self.formula, self.state_size, self.output_size = formula, [U], U

    def build(self, input_shape):
        del input_shape
        for name, rows in (("w", 2 * U), ("r", U), ("p", U)):
            setattr(self, name, self.add_weight(name=name, shape=(rows, U)))

    def step(self, x, states, constants):
        del constants
        weights = (self.w.value, self.r.value, self.p.value)
        h = jnp.tanh(self.formula(x, states[0], *weights))
        return h, [h]


def cat(*parts):
    return jnp.concatenate(parts, axis=-1)


def ones(x, n):
    return jnp.ones((x.shape[0], n), x.dtype)


FORMULAS = {
    "after": lambda x, h, w, r, p: cat(x, jnp.sin(h)) @ w + h @ r,
    "before": lambda x, h, w, r, p: h @ r + cat(x, jnp.sin(h)) @ w,
    "less": lambda x, h, w, r, p: cat(x, h) @ w - h @ r,
    "of a product": lambda x, h, w, r, p: cat(x, h) @ w + jnp.tanh(h @ r) @ p,
    "of both": lambda x, h, w, r, p: cat(x, x * h) @ w + h @ r,
    "turned": lambda x, h, w, r, p: cat(jnp.sin(h), x) @ w + h @ r,
    "reset": lambda x, h, w, r, p: cat(x, jax.nn.sigmoid(x @ p) * h) @ w + h @ r,
    "ones around": lambda x, h, w, r, p: x + cat(ones(x, 2), h, ones(x, 2)) @ w,
    "zeros around": lambda x, h, w, r, p: x + cat(0 * ones(x, 1), h, ones(x, 3)) @ w,
    "padded": lambda x, h, w, r, p: (
        x + jnp.pad(h, ((0, 0), (2, 2)), constant_values=0.5) @ w
    ),
    "a weight around": lambda x, h, w, r, p: (
        x + cat(jnp.broadcast_to(r[0, :2], (x.shape[0], 2)), h, ones(x, 2)) @ w
    ),
    "three": lambda x, h, w, r, p: cat(x, h) @ w + h @ r + cat(h, x) @ w + x @ p,
}


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("name", FORMULAS)
def test_sums_of_products(name, rows, rng):
    layer = unrolled.RNN(Sum(FORMULAS[name]), return_sequences=True)
    x = jnp.asarray(rng.normal(size=(rows, 6, U)), "float32")
    start = jnp.asarray(rng.normal(size=(rows, U)), "float32")
    layer.build(x.shape)
    weights = [jnp.asarray(rng.normal(size=v.shape), "float32") for v in layer.weights]
    assert "product" in layer.plan(x.shape)

    def run(weights, x, start):
        def loss(weights, x, start):
            y, _ = layer.stateless_call(weights, [], x, initial_state=[start])
            return (y * jnp.cos(y)).sum(), y

        return jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(weights, x, start)

    found = jax.jit(run)(weights, x, start)
    with unrolled.kernels("off"):
        expected = jax.jit(run)(weights, x, start)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
