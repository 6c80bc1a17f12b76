"""The native core in tests: whether it must be there, and a process of its own."""

import functools
import os
import pathlib
import platform
import subprocess
import sys
import textwrap

from unrolled.engine import native

import pytest

X86 = ("sse2", "avx2", "avx512", "avx512bf16", "amx")
VARIANTS = X86 if platform.machine() in ("x86_64", "AMD64") else ("generic",)


def _is_missing():
    missing = native.missing()
    if missing and os.environ.get("CI") == "true":
        raise RuntimeError(f"{missing}, and CI must have them")
    return bool(missing)


need_core = pytest.mark.skipif(_is_missing(), reason="the native core is not built")


def _start(code, environment):
    # Programs of this size run once: compiled as in the tests themselves.
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    flags = " ".join(each.get("XLA_FLAGS", "") for each in (os.environ, environment))
    # Of a blank alone XLA thinks that it names a file.
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **quick, **environment, "XLA_FLAGS": flags.strip()},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=pathlib.Path(__file__).parent.parent,
        check=False,
    )


@functools.cache
def run(code, **environment):
    """Run code in a fresh interpreter, once; returns what it printed."""
    result = _start(code, environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@functools.cache
def _is_known(isa):
    code = "from unrolled.engine import native; native.library()"
    result = _start(code, {"UNROLLED_ISA": isa})
    assert not result.returncode or f'Got "{isa}"' in result.stderr
    return not result.returncode


def run_on(isa, code):
    """Run code on one instruction set; skip where the processor has no such."""
    if not _is_known(isa):
        pytest.skip(f"this processor has no {isa}")
    return run(code, UNROLLED_ISA=isa)
