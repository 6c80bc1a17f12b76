"""Keras's own RNN layer, over our cells and over one that is written for it."""

from __future__ import annotations

import unrolled

import jax
import keras

from cases import Formula, UserCell
from peers import Ready, UnsupportedError, formulas, user_cells_jax
from peers.decoder_keras import build_decoding

__all__ = ["build_decoding", "build_formula", "build_user_cell", "versions"]


def versions() -> dict[str, str]:
    """Keras and JAX, and ours, whose cells these are."""
    named = {"keras": keras.__version__, "jax": jax.__version__}
    return {**named, "unrolled": unrolled.__version__}


def build_formula(case: Formula) -> Ready:
    """The cell in Keras's layer."""
    if case.cell == "Phased":
        raise UnsupportedError("a step of it reads one array")
    return formulas.build(keras.layers.RNN, case)


def build_user_cell(case: UserCell) -> Ready:
    """A cell that users write, in Keras's layer."""
    ready = user_cells_jax.build(case, user_cells_jax.keras_cell)
    # Masks that are drawn at each step are each layer's own.
    drawn = case.cell == "zoneout" and case.mode == "training"
    return Ready(ready.run) if drawn else ready
