"""What an argument's annotation says of its value."""

import math
from dataclasses import Field
from typing import Any

from .checks import require

_SEEDS = 2**32


def check(name: str, value: Any, declared: Field) -> None:
    """Check a value that is annotated as a truth value or a number, or is a seed.

    What is annotated otherwise is the class's own to check, and so are limits.

    Args:
        name: of the argument.
        value: what came, converted.
        declared: its declaration.

    Raises:
        ValueError: if it is something else.
    """
    if value is declared.default:
        return
    if name.rpartition("_")[2] == "seed":
        require(
            value is None or (type(value) is int and 0 <= value < _SEEDS),
            name,
            f"must be None or an integer from 0 to {_SEEDS - 1}",
            repr(value),
            f"pass {name}=0 for the same numbers at each run",
        )
    elif declared.type is bool:
        require(
            isinstance(value, int) and value in (0, 1),
            name,
            "must be True or False",
            repr(value),
            f"leave it out for {declared.default}",
        )
    elif declared.type is float or (
        declared.type == float | None and value is not None
    ):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        require(
            number and math.isfinite(value),
            name,
            "must be a finite number",
            repr(value),
            f"leave it out for {declared.default}",
        )
