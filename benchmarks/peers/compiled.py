"""What any peer on JAX shares: its forward function, jitted and ready to be timed."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from peers import Ready


def build(mode: str, forward: Callable, x, weights, states, dy) -> Ready:
    """Jit forward(x, weights, states), or it and all its gradients."""
    if mode == "forward":
        compiled = jax.jit(forward)

        def run():
            return jax.block_until_ready(compiled(x, weights, states))

        return Ready(run, lambda y: {"y": np.asarray(y, "float32")})

    def forward_and_gradients(x, weights, states, dy):
        y, backward = jax.vjp(forward, x, weights, states)
        return y, backward(dy)

    compiled = jax.jit(forward_and_gradients)

    def run():
        return jax.block_until_ready(compiled(x, weights, states, dy))

    def results(result):
        y, (dx, dweights, _) = result
        named = {"y": y, "dx": dx}
        if isinstance(dweights, list):  # Keras's; flax names each gate's apart
            named |= {"dkernel": dweights[0], "drecurrent": dweights[1]}
        return {k: np.asarray(v, "float32") for k, v in named.items()}

    return Ready(run, results)
