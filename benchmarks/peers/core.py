"""The native core of a checkout, called without JAX; the option names its variant."""

from __future__ import annotations

import ctypes
from pathlib import Path

from cases import Case
from peers import CHECKOUT, OPTION, THREADS, Ready, UnsupportedError

KINDS = {"SimpleRNN": 0, "LSTM": 1, "GRU": 2}  # of native/problem.h
VARIANT, _, DTYPE = OPTION.partition(":")

library = ctypes.CDLL(str(Path(CHECKOUT) / "build" / "core" / "core_time.so"))
library.core_layer.restype = ctypes.c_void_p
library.core_time.restype = ctypes.c_long
library.core_time.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
library.core_free.argtypes = [ctypes.c_void_p]


def versions() -> dict[str, str]:
    """None but the checkout's."""
    return {}


def meet() -> float:
    """Nanoseconds in which the threads meet."""
    library.core_meet.restype = ctypes.c_double  # older checkouts have none
    return library.core_meet(THREADS)


class Layer:
    """A case with its arrays, which are freed with it."""

    def __init__(self, case: Case):
        sizes = (ctypes.c_long * 4)(*case.shape)
        kind, rounded = KINDS[case.cell], int(DTYPE == "bfloat16")
        self.training = int(case.mode == "training")
        self.made = library.core_layer(VARIANT.encode(), kind, sizes, rounded, THREADS)
        if not self.made:
            raise UnsupportedError("this processor has no such instructions")

    def __call__(self):
        """Run it once."""
        return library.core_time(self.made, self.training, 1)

    def __del__(self):
        if self.made:
            library.core_free(self.made)


def build(case: Case) -> Ready:
    """Forward, or forward and backward."""
    return Ready(Layer(case))
