"""Keras layers on the JAX backend, whichever package they come from."""

from __future__ import annotations

import gc
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np

from cases import Case, Images
from peers import Ready, compiled
from peers.given import arrays
from peers.on_keras import make_layer, make_model


def versions() -> dict[str, str]:
    """Keras and JAX."""
    return {"keras": keras.__version__, "jax": jax.__version__}


def prepare(dtype: str) -> None:
    """Set up whatever a dtype needs before the first array is made."""
    jax.config.update("jax_enable_x64", dtype == "float64")


def build(layers, case: Case) -> Ready:
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

    dy = jax.numpy.asarray(given.dy, dtype)
    return compiled.build(case.mode, forward, x, weights, states, dy)


def build_images(layers, case: Images) -> Ready:
    """The same for a convolutional layer, from states of zeros."""
    rng = np.random.default_rng(7)
    channels, filters = case.widths
    draw = lambda *shape: rng.standard_normal(shape).astype("float32")  # noqa: E731
    x = draw(*case.rows, *case.space, channels)
    layer = getattr(layers, case.cell)(
        filters, case.window, padding="same", return_sequences=True
    )
    layer.build(x.shape)
    weights = [
        jax.numpy.asarray(draw(*v.shape) / np.prod(v.shape[:-1]) ** 0.5)
        for v in layer.trainable_variables
    ]
    frozen = [v.value for v in layer.non_trainable_variables]

    def forward(x, weights, states):
        del states
        return layer.stateless_call(weights, frozen, x)[0]

    dy = jax.numpy.asarray(draw(*case.rows, *case.space, filters))
    return compiled.build(case.mode, forward, jax.numpy.asarray(x), weights, [], dy)


def build_fit(layers, case: Case) -> Ready:
    """One epoch of the main job."""
    prepare(case.dtype)
    return make_model(layers, case)


def peak(layers, case: dict) -> dict[str, int]:
    """Bytes that one call takes beside its input: at the most, and when it is over.

    In a fresh process; what compiling took is not counted, pages of code that the call
    is the first to touch are.
    """
    made = Case(**case)
    given = arrays(made)
    layer = make_layer(layers, made, return_sequences=True)
    weights = [v.value for v in layer.trainable_variables]
    frozen = [v.value for v in layer.non_trainable_variables]

    def forward(x, weights):
        return layer.stateless_call(weights, frozen, x)[0]

    def loss(x, weights):
        return (forward(x, weights) ** 2).sum()

    training = made.mode == "training"
    run = jax.value_and_grad(loss, (0, 1)) if training else forward
    x = jax.block_until_ready(jax.numpy.asarray(given.x))
    compiled = jax.jit(run).lower(x, weights).compile()
    del given
    gc.collect()
    before = resident()["VmRSS"]
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
    results = jax.block_until_ready(compiled(x, weights))
    most = resident()["VmHWM"]
    del results
    return {"peak": most - before, "held": resident()["VmRSS"] - before}


def resident() -> dict[str, int]:
    """Bytes of this process in memory, now and at the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: 1024 * int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM")}


def scratch(layers, case: dict) -> int:
    """Bytes of XLA's temporary buffers in a forward pass to the last output alone."""
    made = Case(**case)
    layer = make_layer(layers, made)
    weights = [v.value for v in layer.trainable_variables]
    frozen = [v.value for v in layer.non_trainable_variables]

    def forward(x, weights):
        return layer.stateless_call(weights, frozen, x, training=False)[0]

    x = jax.ShapeDtypeStruct(tuple(made.shape[:3]), "float32")
    compiled = jax.jit(forward).lower(x, weights).compile()
    return compiled.memory_analysis().temp_size_in_bytes
