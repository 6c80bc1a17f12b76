"""A loop that stops on data: how many steps it takes is known when it has run.

Beside the time loop (`loop`), which takes as many steps as there are inputs. A step is
``carry -> (carry, emitted)``; ``stop(carry)`` says whether there is no more to do.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from .._borrowed import Tracer
from . import eager

Tree = Any
Step = Callable[[Tree], tuple[Tree, Tree]]
Stop = Callable[[Tree], Any]

# Steps for which there is room before it is known that there are more.
ROOM = 64


def at_most(step: Step, stop: Stop, carry: Tree, most: int) -> tuple[Tree, Tree, Any]:
    """Take `most` steps or fewer; every derivative is there.

    Returns:
        The last carry; what was emitted, a tree of ``(most, ...)``, zeros after the
        end; and the number of steps.

    Example:
        >>> from unrolled.engine.stopping import at_most
        >>> double = lambda n: (2 * n, n)
        >>> last, emitted, count = at_most(double, lambda n: n > 5, 1, 6)
        >>> int(last), emitted.tolist(), int(count)
        (8, [1, 2, 4, 0, 0, 0], 3)
    """
    carry = jax.tree.map(jnp.asarray, carry)
    nothing = _nothing(step, carry)

    def rest(state: tuple) -> tuple[tuple, Tree]:
        return state, nothing

    def go(state: tuple) -> tuple[tuple, Tree]:
        count, carry = state
        carry, emitted = step(carry)
        return (count + 1, carry), emitted

    def one(state: tuple, _: None) -> tuple[tuple, Tree]:
        return lax.cond(stop(state[1]), rest, go, state)

    def whole(carry: Tree) -> tuple[tuple, Tree]:
        return lax.scan(one, (jnp.zeros((), "int32"), carry), None, length=most)

    (count, carry), emitted = eager.run(whole, carry)
    return carry, emitted, count


def until(step: Step, stop: Stop, carry: Tree) -> tuple[Tree, Tree, int]:
    """Take as many steps as it takes; not differentiable, and not inside ``jit``.

    What is emitted has room for some steps, then for twice as many, and so on.

    Returns:
        The last carry; what was emitted, a tree of ``(steps, ...)``; and their number.

    Example:
        >>> from unrolled.engine.stopping import until
        >>> last, emitted, count = until(lambda n: (2 * n, n), lambda n: n > 5, 1)
        >>> int(last), emitted.tolist(), count
        (8, [1, 2, 4], 3)
    """
    carry, room, parts, total = jax.tree.map(jnp.asarray, carry), ROOM, [], 0
    nothing = _nothing(step, carry)
    while True:
        fill = lambda carry, room=room: _fill(step, stop, carry, nothing, room)  # noqa: E731
        carry, emitted, count = eager.run(fill, carry)
        taken = int(count)
        parts.append(jax.tree.map(lambda a, n=taken: a[:n], emitted))
        total += taken
        if taken < room:
            break
        room *= 2
    emitted = jax.tree.map(lambda *each: jnp.concatenate(each), *parts)
    return carry, emitted, total


def _fill(step: Step, stop: Stop, carry: Tree, nothing: Tree, room: int) -> tuple:
    """Steps until the end, or until there is no room."""
    rows = jax.tree.map(lambda a: jnp.zeros((room, *a.shape), a.dtype), nothing)

    def more(state: tuple) -> Any:
        count, carry, _ = state
        return jnp.logical_and(count < room, jnp.logical_not(stop(carry)))

    def one(state: tuple) -> tuple:
        count, carry, rows = state
        carry, emitted = step(carry)
        rows = jax.tree.map(lambda kept, row: kept.at[count].set(row), rows, emitted)
        return count + 1, carry, rows

    count, carry, rows = lax.while_loop(
        more, one, (jnp.zeros((), "int32"), carry, rows)
    )
    return carry, rows, count


def _nothing(step: Step, carry: Tree) -> Tree:
    """Zeros like what a step emits."""
    emitted = jax.eval_shape(step, carry)[1]
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), emitted)


def is_traced(step: Step, carry: Tree) -> bool:
    """Whether what the loop reads is being traced, so that `until` cannot run it."""
    held = jax.make_jaxpr(step)(carry).consts
    return any(isinstance(a, Tracer) for a in [*held, *jax.tree.leaves(carry)])
