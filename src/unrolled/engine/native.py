"""The compiled core: finds it, registers its functions with XLA, says what it is."""

import ctypes
import functools
import importlib.metadata
import os
import pathlib
import sys
from typing import Any

import jax

from .._borrowed import ffi


def refused() -> str:
    """Who asks that the library be left alone, or an empty string."""
    asked = os.environ.get("UNROLLED_ISA") == "scan"
    return "UNROLLED_ISA=scan asks for it" if asked else ""


def library() -> tuple[Any, str]:
    """The loaded library, and why there is none (or an empty string).

    Raises:
        ValueError: if UNROLLED_ISA or UNROLLED_THREADS asks for what there is not.
    """
    core, why = _loaded()
    problem = core.unrolled_problem().decode() if core else ""
    if problem:
        raise ValueError(problem)
    return core, why


@functools.cache
def _loaded() -> tuple[Any, str]:
    # An editable install keeps compiled files apart; the package's path has both.
    folders = map(pathlib.Path, sys.modules[__name__.partition(".")[0]].__path__)
    paths = [folder / "_core.so" for folder in folders]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        return None, "the native kernels were not built when unrolled was installed"
    try:
        core = ctypes.CDLL(str(found))
        for name in ("unrolled_variant", "unrolled_problem", "unrolled_supported"):
            getattr(core, name).restype = ctypes.c_char_p
        for symbol in (*_TARGETS.values(), "unrolled_saved"):
            getattr(core, symbol)
    except OSError as error:
        return None, f"the native kernels do not load ({error})"
    except AttributeError:
        return None, "the native kernels were built from another version of unrolled"
    return core, ""


def missing() -> str:
    """Why layers cannot call the library, or an empty string."""
    return library()[1] or _unregistered()


_TARGETS = {
    "unrolled_forward": "UnrolledForward",
    "unrolled_backward": "UnrolledBackward",
    "unrolled_program": "UnrolledProgram",
}


@functools.cache
def _unregistered() -> str:
    """Register the library's functions with XLA; say why it does not take them.

    A function knows the version of XLA's interface that it was built for. XLA takes
    older ones and refuses newer ones: hence the oldest headers, in pyproject.toml.
    """
    core = library()[0]
    try:
        # Before it has a device, XLA would take anything and fail to start later.
        jax.devices("cpu")
        for target, symbol in _TARGETS.items():
            handler = ffi.pycapsule(getattr(core, symbol))
            ffi.register_ffi_target(target, handler, platform="cpu")
    except RuntimeError as error:
        version = importlib.metadata.version("jaxlib")
        return f"jaxlib {version} does not take the native kernels ({error})"
    return ""


def variant() -> str:
    """The instruction set in use; an empty string without a library."""
    core = library()[0]
    return core.unrolled_variant().decode() if core else ""


def supported() -> list[str]:
    """The instruction sets that this processor has, the best last."""
    core = library()[0]
    return core.unrolled_supported().decode().split() if core else []


def threads() -> int:
    """How many threads a call may use, JAX's own limit apart; 0 without a library."""
    core = library()[0]
    return core.unrolled_threads() if core else 0


def self_test() -> bool:
    """Whether a small layer runs and gives numbers."""
    core = library()[0]
    return bool(core) and core.unrolled_self_test() == 0


def has_bfloat16() -> bool:
    """Whether there are instructions for bfloat16 products.

    Without, operands are rounded to bfloat16 and multiplied as float32, at its speed.
    """
    core = library()[0]
    return bool(core and core.unrolled_has_bf16())
