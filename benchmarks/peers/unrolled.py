"""Our layers, of this checkout or of another."""

import os
from dataclasses import replace
from functools import partial

os.environ["KERAS_BACKEND"] = "jax"

import unrolled

from cases import Case, UserCell
from peers import (
    OPTION,
    Ready,
    UnsupportedError,
    decoder_unrolled,
    formulas,
    on_jax,
    user_cells_jax,
)
from peers.given import arrays
from peers.on_keras import make_layer

peak = partial(on_jax.peak, unrolled)
scratch = partial(on_jax.scratch, unrolled)
user_plan = user_cells_jax.plan
if not OPTION:  # weights in fewer bits are for streams alone
    build = partial(on_jax.build, unrolled)
    build_images = partial(on_jax.build_images, unrolled)
    build_formula = partial(formulas.build, unrolled.RNN)
    build_fit = partial(on_jax.build_fit, unrolled)
    build_decoding = decoder_unrolled.build_decoding


def versions() -> dict[str, str]:
    """Ours first, and which of its kernels run; then what it stands on."""
    kernels = unrolled.LSTM(8).plan((1, 1, 8)).rstrip(".")
    own = {"unrolled": unrolled.__version__, "LSTM(8) in": kernels}
    return {**own, **on_jax.versions()}


def build_user_cell(case: UserCell) -> Ready:
    """The cell; by an option on the scan, or a layer with a kernel in its place."""
    if OPTION == "LSTM":
        plain = replace(case, cell=case.kernel)
        return Ready(user_cells_jax.build(plain, user_cells_jax.run_cell).run)
    native = OPTION != "scan"
    return user_cells_jax.build(case, user_cells_jax.run_cell, native=native)


def build_stream(case: Case) -> Ready:
    """Our stepper, NumPy in and out; the option says how weights are stored."""
    layer = make_layer(unrolled, case)
    stream = unrolled.stream(layer, case.shape[0], weights=OPTION or "float32")
    if "native" not in stream.plan():
        raise UnsupportedError("no compiled core here: see `unrolled doctor`")
    given = arrays(case)
    stream.states = {layer.name: given.states}
    # a function of C: at 3 µs a step one of Python would show
    run = partial(stream.step, given.x[:, 0])
    # numbers of rounded weights are others
    return Ready(run, None if OPTION else lambda y: {"y": y})
