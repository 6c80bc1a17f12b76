"""What this machine runs, in words: for `unrolled doctor` and for bug reports."""

import importlib.metadata
import os
import platform

import jax
import keras

from .cells import LSTMCell
from .engine import kernels, native

_AGAIN = (
    "install unrolled again: pip install --force-reinstall --no-deps --no-cache-dir "
    "unrolled, or pip install . in a checkout."
)
ADVICE = (
    "To get the kernels, which are for Linux and Python 3.11 to 3.14, install a C++ "
    f"compiler (on Debian: apt install g++), then {_AGAIN}"
)
# Where they are built and do not fit: it was with another jaxlib's headers than pip's.
ADVICE_ON_JAXLIB = f"To get the kernels, install another version of jax, or {_AGAIN}"


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
    works = True
    if jax.default_backend() != "cpu":
        says, works = _on_gpu()
        rows += [("LSTM there", says)]
    missing, advice = _problem()
    if missing:
        rows += [("kernels", f"none: {missing}.")]
        rows += [("advice", advice)] if advice else []
        return rows, False
    tested = native.self_test()
    rows += [
        ("kernels", f"{native.variant()}, {'they work' if tested else 'they FAIL'}"),
        ("instruction sets", ", ".join(native.supported())),
        ("bfloat16 products", "yes" if native.has_bfloat16() else "as float32"),
        ("threads of a call", str(native.threads())),
    ]
    settings = ("UNROLLED_ISA", "UNROLLED_THREADS", "OMP_NUM_THREADS", "XLA_FLAGS")
    rows += [(name, os.environ[name]) for name in settings if name in os.environ]
    return rows, works and tested


def _problem() -> tuple[str, str]:
    """Why there are no kernels, and what to do; empty strings if there are."""
    if native.refused():
        return "UNROLLED_ISA=scan asks for the time loop", ""
    try:
        absent = native.library()[1]
    except ValueError as error:
        return str(error).rstrip("."), ""
    return (absent, ADVICE) if absent else (native.missing(), ADVICE_ON_JAXLIB)


def _on_gpu() -> tuple[str, bool]:
    """What runs an LSTM there, and whether that works."""
    plan = kernels.plan(LSTMCell(5))
    if isinstance(plan, str):
        return f"the scan: {plan.rstrip('.')}", True
    try:
        works = kernels.agrees(plan)
    except (jax.errors.JaxRuntimeError, RuntimeError) as error:
        return f"cuDNN FAILS: {str(error).splitlines()[0]}", False
    return f"cuDNN, {'it works' if works else 'it FAILS'}", works


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
