"""Keras's own recurrent layers on JAX."""

from functools import partial

import numpy as np

from cases import Case
from peers import Ready, on_jax
from peers.given import arrays

versions = on_jax.versions
build = partial(on_jax.build, on_jax.keras.layers)
build_images = partial(on_jax.build_images, on_jax.keras.layers)
build_fit = partial(on_jax.build_fit, on_jax.keras.layers)
peak = partial(on_jax.peak, on_jax.keras.layers)
scratch = partial(on_jax.scratch, on_jax.keras.layers)


def build_stream(case: Case) -> Ready:
    """A stock cell, jitted, its state kept outside."""
    given = arrays(case)
    cell = getattr(on_jax.keras.layers, f"{case.cell}Cell")(case.shape[3])
    cell.build((case.shape[0], case.shape[2]))
    cell.set_weights(given.weights)
    weights = [v.value for v in cell.trainable_variables]
    frozen = [v.value for v in cell.non_trainable_variables]

    @on_jax.jax.jit
    def step(x, states):
        return cell.stateless_call(weights, frozen, x, states)[0]

    x = given.x[:, 0]
    states = [on_jax.jax.numpy.asarray(s) for s in given.states]

    def run():
        nonlocal states
        y, states = step(x, states)
        return np.asarray(y)

    return Ready(run, lambda y: {"y": y})
