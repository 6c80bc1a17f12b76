"""Our layers."""

import os
from functools import partial

os.environ["KERAS_BACKEND"] = "jax"

import unrolled
from unrolled import _native

from peers import on_jax

build = partial(on_jax.build, unrolled)
build_fit = partial(on_jax.build_fit, unrolled)


def versions() -> dict[str, str]:
    """Ours first, and which of its kernels run; then what it stands on."""
    kernels = _native.variant() or "not built"
    own = {"unrolled": unrolled.__version__, "kernels": kernels}
    return {**own, **on_jax.versions()}
