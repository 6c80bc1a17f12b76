"""Keras's own recurrent layers on JAX."""

from functools import partial

from peers import on_jax

versions = on_jax.versions
build = partial(on_jax.build, on_jax.keras.layers)
build_fit = partial(on_jax.build_fit, on_jax.keras.layers)
