"""The one form of an error about what the user handed in."""

from typing import Any


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


def fits(have: tuple, need: tuple) -> bool:
    """Whether two shapes agree wherever both are known."""
    return len(have) == len(need) and all(
        n is None or m is None or n == m for n, m in zip(have, need, strict=True)
    )
