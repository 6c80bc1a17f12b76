"""The one time loop: pure JAX, takes functions, knows no cell and no Keras.

Sequences are trees of ``(B, T, ...)`` arrays; states and outputs, of ``(B, ...)``.
Every path that runs a recurrent layer (this scan, a fused kernel) means exactly
what is written here.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from . import deferred

Tree = Any

# Steps read and projected at once where memory must not grow with T.
CHUNK = 64


class Steps(NamedTuple):
    """What the loop reads, step by step; `mask` and `resets` may be None."""

    inputs: Tree
    mask: jax.Array | None
    resets: jax.Array | None


class Still(NamedTuple):
    """What is the same at all steps, and belongs to rows of the batch as states do."""

    fresh: Tree
    stand_in: Tree
    constants: tuple[Tree, ...]


class Carry(NamedTuple):
    """What the loop carries from step to step.

    `states` and `held`, the last emitted output, belong to rows of the batch; a
    masked row keeps them. `variables` belong to the cell as a whole (moving
    averages, random seeds) and change at every step.
    """

    states: Tree
    held: Tree
    variables: Tree


class Result(NamedTuple):
    """What the loop returns; `outputs` and `all_states` run in processing order."""

    last: Tree  # (B, ...), or None: it is among the outputs
    outputs: Tree  # (B, T, ...), or None
    states: Tree  # (B, ...)
    all_states: Tree  # (B, T, ...), or None
    variables: Tree


class Prepared(NamedTuple):
    """A loop that is ready to run, by a scan or by whoever knows its step.

    Attributes:
        step: ``(still, carry, at) -> (carry, y)``, masks and resets included; `at` and
            y are of one step.
        still: what is the same at all steps.
        carry: before the first step.
        steps: what is read step by step.
        reverse: the last step first.
        keep_outputs: y has the outputs.
        run: by a scan; gives the last carry, and y of all steps ``(B, T, ...)`` in the
            order of processing.
    """

    step: Callable[..., tuple[Carry, tuple[Tree, Tree]]]
    still: Still
    carry: Carry
    steps: Steps
    reverse: bool
    keep_outputs: bool
    run: Callable[[], tuple[Carry, tuple[Tree, Tree]]]

    def result(self, carry: Carry, y: tuple[Tree, Tree]) -> Result:
        """What the loop returns, from what it came to."""
        outputs, all_states = y
        last = None if self.keep_outputs else carry.held
        return Result(last, outputs, carry.states, all_states, carry.variables)


def unroll(*args: Any, **options: Any) -> Result:
    """Apply a step along time.

    Args:
        *args: as `prepare` takes them.
        **options: likewise.

    Returns:
        A `Result`. With neither `keep_outputs` nor `keep_states`, memory does not
        grow with T unless the call is differentiated.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrolled.engine.loop import unroll
        >>> add = lambda x, total, _: (total + x, total + x, ())
        >>> unroll(add, jnp.arange(4.0)[None], jnp.zeros(1)).outputs.tolist()
        [[0.0, 1.0, 3.0, 6.0]]
    """
    loop = prepare(*args, **options)
    return loop.result(*loop.run())


def prepare(
    step: Callable[..., tuple[Tree, Tree, Tree]],
    inputs: Tree,
    states: Tree,
    *,
    constants: tuple[Tree, ...] = (),
    hoist: bool = False,
    variables: Tree = (),
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    fresh: Tree = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    zero_masked: bool = False,
    keep_outputs: bool = True,
    keep_states: bool = False,
    output: Tree = None,
) -> Prepared:
    """The loop that applies `step` along time.

    Args:
        step: ``(x_t, states, variables, *constants) -> (output, states, variables)``.
        inputs: tree of ``(B, T, ...)``.
        states: tree of ``(B, ...)``, the states before the first processed step.
        constants: what else the steps read, the same for all.
        hoist: compute what needs no state for many steps at once, before they run.
            Otherwise step by step; gradients of weights are taken for all steps at
            once either way (`deferred`).
        variables: what the cell as a whole carries from step to step.
        mask: bool ``(B, T)``. Where false, the row's states are carried over and
            its output repeats the last one emitted (zeros before the first). What
            the inputs hold there is read nowhere, not for gradients either.
        resets: bool ``(B, T)``. Where true, the row restarts from `fresh` with
            nothing emitted yet, before that step, masked or not.
        fresh: the states a reset row takes; same tree as `states`.
        reverse: process the last step first.
        unroll: steps per compiled loop iteration, or True for all.
        zero_masked: emit zeros, not the last output, on masked steps.
        keep_outputs: return the outputs of all steps.
        keep_states: return the states after each step.
        output: the shapes of a step's output, if they are known; else one is traced.
    """
    steps = Steps(inputs, mask, resets)
    length = jax.tree.leaves(inputs)[0].shape[1]
    stand_in = None if mask is None else _first_that_counts(inputs, mask)

    def read(part: Steps) -> Steps:
        part = _swap(part)
        if part.mask is not None:
            # A derivative at what padding holds may be NaN, and NaN times 0 is NaN.
            part = part._replace(inputs=_where(part.mask, part.inputs, stand_in))
        return part

    def output_of_first(steps: Steps) -> Tree:
        at = jax.tree.map(lambda a: a[0], read(_slice(steps, 0, 1)).inputs)
        return step(at, states, variables, *constants)[0]

    if output is None:
        output = jax.eval_shape(output_of_first, steps)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), output)
    zeros = deferred.varying_alike((states, zeros))[1]
    # The held output travels only where something may ask for it again.
    hold = mask is not None or not keep_outputs

    def begin(still: Still, carry: Carry, at: Steps) -> Carry:
        if at.resets is None:
            return carry
        held = _where(at.resets, _zeros(carry.held), carry.held) if hold else None
        states = _where(at.resets, still.fresh, carry.states)
        return Carry(states, held, carry.variables)

    def advance(
        still: Still, carry: Carry, at: Steps
    ) -> tuple[Carry, tuple[Tree, Tree]]:
        before, held, variables = begin(still, carry, at)
        output, after, variables = step(at.inputs, before, variables, *still.constants)
        after = jax.tree.map(lambda new, old: new.astype(old.dtype), after, before)
        if at.mask is not None:
            after = _where(at.mask, after, before)
            output = _where(at.mask, output, _zeros(output) if zero_masked else held)
        kept = (output if keep_outputs else None, after if keep_states else None)
        return Carry(after, output if hold else None, variables), kept

    def reading(
        still: Still, carry: Carry, at: Steps
    ) -> tuple[Carry, tuple[Tree, Tree]]:
        if at.mask is not None:
            at = at._replace(inputs=_where(at.mask, at.inputs, still.stand_in))
        return advance(still, carry, at)

    still = Still(fresh if resets is not None else None, stand_in, constants)

    def run(carry: Carry, part: Steps) -> tuple[Carry, tuple[Tree, Tree]]:
        options: dict[str, Any] = {"reverse": reverse, "unroll": unroll}
        step = functools.partial(advance, still)
        return deferred.scan(step, carry, read(part), hoist=hoist, **options)

    carry = Carry(states, zeros if hold else None, variables)

    def scan() -> tuple[Carry, tuple[Tree, Tree]]:
        # T may be a symbol, that stands for any number.
        at_once = not isinstance(length, int) or length <= CHUNK
        if not (keep_outputs or keep_states or unroll is True or at_once):
            return _in_chunks(run, carry, steps, length, reverse), (None, None)
        last, sequences = run(carry, steps)
        if reverse:
            sequences = jax.tree.map(lambda a: jnp.flip(a, 0), sequences)
        return last, _swap(sequences)

    return Prepared(reading, still, carry, steps, reverse, keep_outputs, scan)


def _in_chunks(
    run: Callable, carry: Carry, steps: Steps, length: int, reverse: bool
) -> Carry:
    """Run chunk after chunk, so that no copy of the whole sequence is made."""
    count, rest = divmod(length, CHUNK)

    def chunk(index: Any, carry: Carry) -> Carry:
        index = count - 1 - index if reverse else index
        return run(carry, _slice(steps, index * CHUNK, CHUNK))[0]

    def tail(carry: Carry) -> Carry:
        return run(carry, _slice(steps, count * CHUNK, rest))[0] if rest else carry

    if reverse:
        return lax.fori_loop(0, count, chunk, tail(carry))
    return tail(lax.fori_loop(0, count, chunk, carry))


def in_windows(
    run: Callable[[Tree, Tree], tuple[Tree, Tree]],
    carry: Tree,
    steps: Tree,
    size: int,
    reverse: bool,
) -> tuple[Tree, Tree]:
    """Walk along time by windows: the last one is as long as what is left.

    Args:
        run: ``(carry, steps) -> (carry, sequences)`` of one window: of steps in the
            order of the input, to sequences in the order of processing.
        carry: what goes from window to window.
        steps: tree of ``(B, T, ...)``.
        size: steps of a window.
        reverse: the last steps first.

    Returns:
        The last carry, and the sequences of all windows, ``(B, T, ...)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrolled.engine.loop import in_windows
        >>> run = lambda total, x: (total + x.sum(1), x + total[:, None])
        >>> in_windows(run, jnp.zeros(1), jnp.ones((1, 5)), 2, False)[1].tolist()
        [[1.0, 1.0, 3.0, 3.0, 5.0]]
    """
    length = jax.tree.leaves(steps)[0].shape[1]
    count, rest = divmod(length, size)
    first = rest if reverse else 0

    def apart(a: jax.Array) -> jax.Array:
        part = lax.slice_in_dim(a, first, first + count * size, axis=1)
        return jnp.moveaxis(part.reshape(a.shape[0], count, size, *a.shape[2:]), 1, 0)

    def joined(a: jax.Array) -> jax.Array:
        a = jnp.moveaxis(jnp.flip(a, 0) if reverse else a, 0, 1)
        return a.reshape(a.shape[0], count * size, *a.shape[3:])

    pieces = []
    if count:
        windows = jax.tree.map(apart, steps)
        carry, sequences = lax.scan(run, carry, windows, reverse=reverse)
        pieces.append(jax.tree.map(joined, sequences))
    if rest:
        carry, sequences = run(
            carry, _slice(steps, 0 if reverse else count * size, rest)
        )
        pieces.append(sequences)
    return carry, jax.tree.map(lambda *parts: jnp.concatenate(parts, 1), *pieces)


def _zeros(tree: Tree) -> Tree:
    return jax.tree.map(jnp.zeros_like, tree)


def _slice(steps: Tree, start: Any, size: int) -> Tree:
    return jax.tree.map(
        lambda a: lax.dynamic_slice_in_dim(a, start, size, axis=1), steps
    )


def _swap(sequences: Tree) -> Tree:
    """Exchange the first two axes: ``(B, T, ...)`` to ``(T, B, ...)`` and back."""
    return jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), sequences)


def _first_that_counts(inputs: Tree, mask: jax.Array) -> Tree:
    """Of each row what the cell may be given on masked steps, ``(B, ...)``.

    Its own input at the first step that counts, which the cell is given anyway; a row
    without such a step has ones.
    """
    at = jnp.argmax(mask, axis=1)
    some = jnp.any(mask, axis=1)

    def first(a: jax.Array) -> jax.Array:
        index = at.reshape(at.shape + (1,) * (a.ndim - 1))
        found = jnp.take_along_axis(a, index, axis=1)[:, 0]
        return lax.stop_gradient(_where(some, found, jnp.ones((), a.dtype)))

    return jax.tree.map(first, inputs)


def _where(rows: jax.Array, new: Tree, old: Tree) -> Tree:
    """Choose by row: `rows` is ``(..., B)``; each of the two is so, or for one step."""

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        shape = max(a.shape, b.shape, key=len)
        chosen = rows.reshape(rows.shape + (1,) * (len(shape) - rows.ndim))
        return jnp.where(chosen, jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape))

    return jax.tree.map(choose, new, old)
