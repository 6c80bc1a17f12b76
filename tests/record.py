"""The largest error against the reference, kept over a test run.

`python -m tests.record` runs the conformance tests and prints the table that the
terminal summary of every run shows. `python -m tests.record rows` runs those of formula
cells and prints the largest error of each, as the documentation quotes it;
`python -m tests.record peers` those beside live libraries.
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
# The same of each row of a table, the first word of a case.
_rows: dict[str, dict[tuple[str, str], float]] = {}


def hold(kind: str, dtype: str, actual, expected, case: str) -> None:
    """Assert that `actual` is within the limit, and remember its error."""
    error = max_relative(actual, expected)
    worst = _worst.setdefault((kind, dtype), Worst())
    worst.arrays += 1
    if not error <= worst.error:
        worst.error, worst.case = error, case
    row = _rows.setdefault(case.split()[0] if case else "", {})
    row[kind, dtype] = max(error, row.get((kind, dtype), 0.0))
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


def rows() -> list[str]:
    """Of each row met, values and gradients in float32, then in float64."""
    columns = [(k, d) for d in ("float32", "float64") for k in ("values", "gradients")]
    return [
        f"{name:32} " + "  ".join(f"{row.get(c, float('nan')):.1e}" for c in columns)
        for name, row in sorted(_rows.items())
    ]


# What is run for which table.
CHOSEN = {
    "": ["tests/layers/test_values.py"],
    "rows": ["tests/cells/test_formulas.py", "-k", "equals_the_source"],
    "peers": [
        *(f"tests/test_{name}.py" for name in ("flax", "haiku", "torch", "onnx_nodes")),
        *("-m", "parity"),
    ],
}

if __name__ == "__main__":
    import pytest

    from tests import record  # not this file under another name

    table = "".join(sys.argv[1:2])
    code = pytest.main(["-q", "-n", "0", *CHOSEN[table]])
    print("\n".join(record.rows() if table else []))
    sys.exit(code)
