"""Keras layers on the JAX backend, whichever package they come from."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np

from cases import Case, arrays
from peers.on_keras import make_layer, make_model


def versions() -> dict[str, str]:
    """Keras and JAX."""
    return {"keras": keras.__version__, "jax": jax.__version__}


def prepare(dtype: str) -> None:
    """Set up whatever a dtype needs before the first array is made."""
    jax.config.update("jax_enable_x64", dtype == "float64")


def build(layers, case: Case):
    """Jit the forward pass, or the forward pass and all its gradients."""
    prepare(case.dtype)
    given = arrays(case)
    layer = make_layer(layers, case, return_sequences=True)
    training = case.mode == "training"
    frozen = [v.value for v in layer.non_trainable_variables]
    weights = [v.value for v in layer.trainable_variables]
    dtype = layer.compute_dtype
    x = jax.numpy.asarray(given.x, dtype)
    states = [jax.numpy.asarray(s, dtype) for s in given.states]
    mask = None if given.mask is None else jax.numpy.asarray(given.mask)

    def forward(x, weights, states):
        y, _ = layer.stateless_call(
            weights, frozen, x, initial_state=states, mask=mask, training=training
        )
        return y

    if not training:
        compiled = jax.jit(forward)

        def run():
            return jax.block_until_ready(compiled(x, weights, states))

        return run, lambda y: {"y": np.asarray(y, "float32")}

    def forward_and_gradients(x, weights, states, dy):
        y, backward = jax.vjp(forward, x, weights, states)
        return y, backward(dy)

    compiled = jax.jit(forward_and_gradients)
    dy = jax.numpy.asarray(given.dy, dtype)

    def run():
        return jax.block_until_ready(compiled(x, weights, states, dy))

    def results(result):
        y, (dx, dweights, _) = result
        named = {"y": y, "dx": dx, "dkernel": dweights[0], "drecurrent": dweights[1]}
        return {k: np.asarray(v, "float32") for k, v in named.items()}

    return run, results


def build_fit(layers, case: Case):
    """One epoch of the main job."""
    prepare(case.dtype)
    return make_model(layers, case)
