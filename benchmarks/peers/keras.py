"""Keras's own recurrent layers on JAX."""

from functools import partial

from peers import on_jax

import keras  # after on_jax, which selects the backend

versions = on_jax.versions
build = partial(on_jax.build, keras.layers)
build_fit = partial(on_jax.build_fit, keras.layers)
