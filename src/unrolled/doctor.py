"""What this machine runs, in words: for `unrolled doctor` and for bug reports."""

import importlib.metadata
import os
import platform

import jax
import keras

from .engine import native

ADVICE = (
    "To get the kernels, install a C++ compiler (on Debian: apt install g++), then "
    "install unrolled again: pip install --force-reinstall --no-deps --no-cache-dir "
    "unrolled, or pip install . in a checkout."
)


def examine() -> tuple[list[tuple[str, str]], bool]:
    """Look at versions, processor, kernels and settings.

    Returns:
        Rows of a name and what was found, and whether the kernels work here.

    Example:
        >>> from unrolled.doctor import examine
        >>> dict(examine()[0])["backend of Keras"]
        'jax'
    """
    versions = ("unrolled", "keras", "jax", "jaxlib", "numpy")
    rows = [(name, importlib.metadata.version(name)) for name in versions]
    rows += [
        ("python", platform.python_version()),
        ("backend of Keras", keras.backend.backend()),
        ("device of JAX", jax.default_backend()),
        ("machine", f"{platform.system()} {platform.machine()}"),
        ("processors", str(_processors())),
    ]
    missing = _problem()
    if missing:
        rows += [("kernels", f"none: {missing}.")]
        if "UNROLLED_ISA" not in missing:
            rows += [("advice", ADVICE)]
        return rows, False
    works = native.self_test()
    rows += [
        ("kernels", f"{native.variant()}, {'they work' if works else 'they FAIL'}"),
        ("instruction sets", ", ".join(native.supported())),
        ("bfloat16 products", "yes" if native.has_bfloat16() else "as float32"),
        ("threads of a call", str(native.threads())),
    ]
    settings = ("UNROLLED_ISA", "UNROLLED_THREADS", "OMP_NUM_THREADS", "XLA_FLAGS")
    rows += [(name, os.environ[name]) for name in settings if name in os.environ]
    return rows, works


def _problem() -> str:
    """Why there are no kernels; empty if there are."""
    if native.refused():
        return "UNROLLED_ISA=scan asks for the time loop"
    try:
        return native.library()[1]
    except ValueError as error:
        return str(error).rstrip(".")


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
