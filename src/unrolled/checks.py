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
