"""The largest error against the reference, kept over a test run.

`python -m tests.record` runs the conformance tests and prints the table that the
terminal summary of every run shows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from .reference import max_relative

# Relative to the largest magnitude of the expected array.
LIMITS = {
    ("values", "float32"): 2e-6,
    ("gradients", "float32"): 1e-5,
    ("values", "float64"): 1e-13,
    ("gradients", "float64"): 1e-12,
    ("values", "mixed_bfloat16"): 2e-2,
}


@dataclass
class Worst:
    """The largest error of one kind, where it was met, and of how many arrays."""

    error: float = 0.0
    case: str = ""
    arrays: int = 0


_worst: dict[tuple[str, str], Worst] = {}


def hold(kind: str, dtype: str, actual, expected, case: str) -> None:
    """Assert that `actual` is within the limit, and remember its error."""
    error = max_relative(actual, expected)
    worst = _worst.setdefault((kind, dtype), Worst())
    worst.arrays += 1
    if not error <= worst.error:
        worst.error, worst.case = error, case
    limit = LIMITS[kind, dtype]
    assert error <= limit, f"{case}: {kind} off by {error:.3g} of {limit:.3g}"


def dump() -> list[list]:
    """The record as plain lists, to be sent from one process to another."""
    return [
        [kind, dtype, worst.error, worst.case, worst.arrays]
        for (kind, dtype), worst in _worst.items()
    ]


def merge(record: list[list]) -> None:
    """Add what another process met."""
    for kind, dtype, error, case, arrays in record:
        worst = _worst.setdefault((kind, dtype), Worst())
        worst.arrays += arrays
        if error > worst.error:
            worst.error, worst.case = error, case


def lines() -> list[str]:
    """One line for each kind and dtype met so far."""
    return [
        f"{dtype:15} {kind:10} {worst.error:.2e} (limit {LIMITS[kind, dtype]:.0e}, "
        f"{worst.arrays} arrays): {worst.case}"
        for (kind, dtype), worst in sorted(_worst.items(), key=lambda kv: kv[0][::-1])
    ]


if __name__ == "__main__":
    import pytest

    sys.exit(pytest.main(["-q", "tests/layers/test_values.py"]))
