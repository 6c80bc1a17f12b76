"""The time axis in windows: between them gradients are cut, or nothing else is stored.

`truncate` cuts the gradient of the states between two windows; `checkpoint` computes
a window again when its gradient is wanted, from the states before it. Whatever runs a
layer runs a window of it: a fused function, or the time loop.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from ..checks import require
from . import deferred, loop

Tree = Any
Run = Callable[..., loop.Result]


class Windows(NamedTuple):
    """How the time axis is cut, if at all.

    Args:
        truncate: after how many steps the gradient of the states is cut; None: never.
        checkpoint: whether a window is computed again for its gradient, or its length.
    """

    truncate: int | None = None
    checkpoint: bool | int = False

    def checked(self) -> "Windows":
        """These, once the two arguments are checked.

        Raises:
            ValueError: naming the one that is wrong.
        """
        cut, again = self
        require(
            cut is None or (type(cut) is int and cut > 0),
            "truncate",
            "must be a positive number of steps, or None",
            repr(cut),
            "pass truncate=20 to cut the gradient of the states every 20 steps",
        )
        require(
            isinstance(again, bool) or (type(again) is int and again > 0),
            "checkpoint",
            "must be True, False or a positive number of steps",
            repr(again),
            "pass checkpoint=True for windows of about the square root of T",
        )
        require(
            cut is None or isinstance(again, bool) or again == cut,
            "checkpoint",
            "must be True or False beside truncate, whose windows it has",
            f"checkpoint={again} beside truncate={cut}",
            f"pass checkpoint=True to compute the windows of {cut} steps again",
        )
        return self

    def size(self, length: int) -> int:
        """Steps of a window, where there are so many in all."""
        if self.truncate is not None:
            return self.truncate
        if self.checkpoint is True:
            return math.isqrt(length - 1) + 1
        return self.checkpoint or length

    def __str__(self) -> str:
        """What is said of it in a plan; nothing where the time axis is whole."""
        said = []
        if self.truncate is not None:
            said.append(
                f"the gradient of the states is cut every {self.truncate} steps"
            )
        if self.checkpoint:
            size = self.truncate or self.checkpoint
            steps = "about sqrt(T)" if size is True else size
            said.append(f"gradients compute windows of {steps} steps again")
        return "; ".join(said)


def over(
    run: Run,
    windows: Windows,
    *,
    reverse: bool,
    zero_masked: bool,
    keep_outputs: bool,
) -> Run:
    """`run`, one window after the other.

    Args:
        run: the whole layer: ``(inputs, states, mask, resets, fresh, variables)``,
            all by name.
        windows: how the time axis is cut.
        reverse: the last step first.
        zero_masked: masked steps emit zeros, not the last output.
        keep_outputs: the outputs of all steps are wanted.
    """
    if not any(windows):
        return run

    def whole(
        inputs: Tree,
        states: Tree,
        mask: Any = None,
        resets: Any = None,
        fresh: Tree = None,
        variables: Tree = (),
    ) -> loop.Result:
        length = jax.tree.leaves(inputs)[0].shape[1]
        # The last output travels where something may ask for it again.
        hold = not keep_outputs or (mask is not None and not zero_masked)

        def one(at: loop.Steps, states: Tree, variables: Tree) -> loop.Result:
            given = {"fresh": fresh, "variables": variables}
            result = run(states=states, **at._asdict(), **given)
            if not keep_outputs:
                return result._replace(outputs=None)
            at_end = jax.tree.map(lambda a: a[:, -1], result.outputs) if hold else None
            return result._replace(last=at_end)

        def window(carry: _Between, at: loop.Steps) -> tuple[_Between, Tree]:
            last, outputs, states, all_states, variables = one(
                at, carry.start, carry.variables
            )
            if at.mask is not None:
                # Until a step counts, all is as it was before the window: a row that
                # rests through all of it keeps its gradient.
                counts = at.mask if at.resets is None else at.mask | at.resets
                seen = _so_far(counts, reverse)
                states = _choose(seen[:, -1], states, carry.states)
                all_states = _choose(seen, all_states, carry.states)
                if hold and not zero_masked:
                    last = _choose(seen[:, -1], last, carry.held)
                    outputs = _choose(seen, outputs, carry.held)
            start = jax.lax.stop_gradient(states) if windows.truncate else states
            return _Between(states, start, last, variables), (outputs, all_states)

        steps = loop.Steps(inputs, mask, resets)
        # T may be a symbol, that stands for any number.
        if not isinstance(length, int):
            result = one(steps, states, variables)
            return _refuse_gradient(result) if windows.truncate else result
        held = None
        if hold:
            first = jax.tree.map(lambda a: a[:, :1], steps)
            held = jax.eval_shape(one, first, states, variables).last
            held = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), held)
            held = deferred.varying_alike((states, held))[1]
        carry, (outputs, all_states) = loop.in_windows(
            jax.checkpoint(window) if windows.checkpoint else window,
            _Between(states, states, held, variables),
            steps,
            windows.size(length),
            reverse,
        )
        last = None if keep_outputs else carry.held
        return loop.Result(last, outputs, carry.states, all_states, carry.variables)

    return whole


class _Between(NamedTuple):
    """What goes from window to window: `start` is `states`, its gradient perhaps cut.

    `held` is the last emitted output, `variables` the cell's own, as in the loop.
    """

    states: Tree
    start: Tree
    held: Tree
    variables: Tree


def _so_far(some: jax.Array, reverse: bool) -> jax.Array:
    """Whether any step up to each one is so ``(B, k)``, in the order of processing."""
    some = jnp.flip(some, 1) if reverse else some
    return jnp.cumsum(some, axis=1, dtype="int32") > 0


def _choose(which: jax.Array, new: Tree, old: Tree) -> Tree:
    """Choose by row: ``(B,)``, or as `new` ``(B, k)``; `old` ``(B, ...)``."""

    def one(new: jax.Array, old: jax.Array) -> jax.Array:
        old = old[:, None] if which.ndim > 1 else old
        chosen = which.reshape(which.shape + (1,) * (new.ndim - which.ndim))
        shape = new.shape
        return jnp.where(
            jnp.broadcast_to(chosen, shape), new, jnp.broadcast_to(old, shape)
        )

    return None if new is None else jax.tree.map(one, new, old)


@jax.custom_jvp
def _refuse_gradient(result: Tree) -> Tree:
    """The same; whoever differentiates it is told why that cannot be."""
    return result


@_refuse_gradient.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    del primals, tangents
    require(
        False,
        "truncate",
        "needs a known number of time steps, T, where there are gradients",
        "a symbol for T",
        "take gradients for a fixed T; values need none",
    )
