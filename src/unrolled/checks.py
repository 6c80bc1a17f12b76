"""The one form of an error about what the user handed in."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def require(condition: bool, argument: str, rule: str, got: Any, advice: str) -> None:
    """Raise the one form of error this package gives for bad input.

    Args:
        condition: what must hold.
        argument: the argument's name.
        rule: what it must be, with names and numbers.
        got: what came.
        advice: what to do about it.

    Raises:
        ValueError: if `condition` is false.
    """
    if not condition:
        raise ValueError(f"{argument} {rule}. Got {got}: {advice}.")


def is_number(value: Any) -> bool:
    """Whether this is one finite number, and known before anything is compiled."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # it is traced; or rows of several lengths
        return False
    return array.ndim == 0 and array.dtype.kind in "iuf" and bool(np.isfinite(array))


def is_count(value: Any) -> bool:
    """Whether this is a whole number above 0."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return bool(whole and value > 0)


def sizes(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """A shape with None for what is no number, as while JAX traces for any size."""
    return tuple(int(n) if isinstance(n, (int, np.integer)) else None for n in shape)


def fits(have: Sequence[Any], need: Sequence[Any]) -> bool:
    """Whether two shapes agree wherever both are known."""
    return len(have) == len(need) and all(
        n is None or m is None or n == m
        for n, m in zip(sizes(have), sizes(need), strict=True)
    )
