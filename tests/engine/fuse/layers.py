"""Layers over cells that users wrote, as functions of weights and of what they read."""

import functools

import unrolled

import jax
import numpy as np
from jax import numpy as jnp

from ...cells_of_users import Attending, Normalised, Peephole

B, T, D, U, S = 4, 5, 3, 4, 6
CELLS = {"peephole": Peephole, "Keras's layers": Normalised, "attention": Attending}


class Made:
    """A layer that is fused; and the same in plain JAX, differentiated by JAX alone."""

    def __init__(self, kind):
        self.kind, rng = kind, np.random.default_rng(3)

        def drawn(*shape):
            return jnp.asarray(rng.normal(size=shape), "float32")

        self.layer = unrolled.RNN(CELLS[kind](U), return_sequences=True)
        self.given, self.other = (
            {"x": drawn(B, T, D)}
            | ({"memory": drawn(B, S, D)} if kind == "attention" else {})
            for _ in range(2)
        )
        self.layer(**self.called(self.given))
        self.weights = [drawn(*v.shape) for v in self.layer.trainable_variables]
        plan = self.layer.plan()
        assert plan.startswith("the native kernel ")
        assert " products, " in plan

    @staticmethod
    def called(given):
        """The arguments of the layer."""
        given = dict(given)
        arguments = {"sequences": given.pop("x"), **given}
        if given:
            rows, entries = given["memory"].shape[:2]
            at, counts = jnp.arange(entries), 1 + jnp.arange(rows) % 3
            arguments["memory_mask"] = at[None] < counts[:, None]
        return arguments

    def __call__(self, weights, given):
        rest = [v.value for v in self.layer.non_trainable_variables]
        return self.layer.stateless_call(weights, rest, **self.called(given))[0]

    def plain(self, weights, given):
        with unrolled.kernels("off"):
            return self(weights, given)

    def loss(self, weights, given):
        return (self(weights, given) ** 3).sum()

    def plain_loss(self, weights, given):
        return (self.plain(weights, given) ** 3).sum()

    @functools.cached_property
    def gradients(self):
        return jax.grad(self.plain_loss, (0, 1))(self.weights, self.given)


@functools.cache
def made(kind):
    return Made(kind)


def same(got, want, atol=2e-4):
    """All arrays of two trees; none of what is wanted is zero alone."""
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    assert len(got) == len(want) > 0
    for a, b in zip(got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.any(np.asarray(b))
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=atol)
