"""A loop that ends when all rows have finished: of `raw_rnn`, of `dynamic_decode`."""

from typing import Any

from jax import numpy as jnp

from ..checks import require
from ..engine import stopping

Tree = Any


def run(step: Any, carry: dict[str, Any], most: int | None, what: str) -> tuple:
    """Take steps until all rows have finished, or `most`.

    Args:
        step: as of `stopping`; its ``pure`` takes up what was assigned.
        carry: holds ``finished`` ``[B]`` and the ``variables`` of ``step.pure``.
        most: steps, if that is known.
        what: runs, in the error.

    Returns:
        The last carry; what was emitted, time first; and the number of steps.

    Raises:
        ValueError: if `most` is needed.
    """

    def stop(carry: dict[str, Any]) -> Any:
        return jnp.all(carry["finished"])

    if most is None:
        require(
            not stopping.is_traced(step, carry),
            "maximum_iterations",
            f"must be given where {what} is differentiated or compiled (grad, jit, "
            "vmap, fit): a loop that stops on data has no gradient, and its outputs no "
            "size",
            "None",
            "pass the most steps there can be",
        )
        found = stopping.until(step, stop, carry)
    else:
        found = stopping.at_most(step, stop, carry, most)
    step.pure.finish(found[0]["variables"])
    return found
