"""Keras's own RNN layer, over our cells and over one that is written for it."""

from __future__ import annotations

import unrolled

import jax
import keras

from cases import Formula
from peers import Ready, UnsupportedError, formulas
from peers.decoder_keras import build_decoding

__all__ = ["build_decoding", "build_formula", "versions"]


def versions() -> dict[str, str]:
    """Keras and JAX, and ours, whose cells these are."""
    named = {"keras": keras.__version__, "jax": jax.__version__}
    return {**named, "unrolled": unrolled.__version__}


def build_formula(case: Formula) -> Ready:
    """The cell in Keras's layer."""
    if case.cell == "Phased":
        raise UnsupportedError("a step of it reads one array")
    return formulas.build(keras.layers.RNN, case)
