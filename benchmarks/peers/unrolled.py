"""Our layers."""

import os
from functools import partial

os.environ["KERAS_BACKEND"] = "jax"

import unrolled

from peers import on_jax

build = partial(on_jax.build, unrolled)
build_fit = partial(on_jax.build_fit, unrolled)


def versions() -> dict[str, str]:
    """Ours first, then what it stands on."""
    return {"unrolled": unrolled.__version__, **on_jax.versions()}
