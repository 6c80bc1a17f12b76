"""Fused loops as a function of arrays: values and gradients by the core."""

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jax import numpy as jnp

from .. import deferred, derivatives
from . import call
from .gradient import Traced


class Bound:
    """One loop over time, and its gradient, for arguments of such shapes.

    The arguments: what has no rows, what has rows, the carry, all steps. The results:
    the last carry, and the steps' y, in the order of processing. All are flat.
    """

    def __init__(self, key: Any, programs: call.Made, present: Traced):
        self.programs, self._present = programs, present
        avals = (v.aval for v in present.inputs)
        # Sizes themselves: symbols of two exports may look the same.
        shapes = tuple((a.shape, str(a.dtype)) for a in avals)
        self.key = (key, shapes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def step(self) -> Traced:
        """The step, as it was traced for programs."""
        return self.programs.step

    def plain(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The results, by a scan."""
        _, _, carry, xs = self.step.split(args)
        n, count = len(carry), len(args) - len(carry) - len(xs)
        present = self._present

        def body(carry: list, x: list) -> tuple[list, list]:
            out = present([*args[:count], *carry, *x])
            return out[:n], out[n:]

        xs = [
            jnp.swapaxes(jnp.flip(x, 1) if back else x, 0, 1)
            for x, back in zip(xs, self.step.reverse, strict=True)
        ]
        last, ys = deferred.scan(body, carry, xs)
        return (*last, *(jnp.swapaxes(y, 0, 1) for y in ys))

    def forward(self, args: Sequence[Any], save: bool) -> call.Call:
        """What gives the results."""
        shared, rows, carry, xs = self.step.split(args)
        ready = self.programs.saving if save else self.programs.plain
        return ready.call([*shared, *self._constants(save)], carry, rows, xs)

    def results(self, found: dict[str, list[Any]]) -> list[Any]:
        """The results, from what `forward` gave."""
        given = [*found["last"], *found["outputs"]]
        pairs = zip(given, self.step.results, strict=True)
        return [array.astype(aval.dtype) for array, aval in pairs]

    def _constants(self, differentiated: bool) -> list[Any]:
        if differentiated:
            return list(self.programs.joint.flat.constants.values())
        return list(self.programs.constants.values())

    def _moving(self) -> list[int]:
        """Which of what is carried has a cotangent."""
        cotangents = self.programs.joint.cotangents[: len(self.step.groups[2])]
        return [i for i, c in enumerate(cotangents) if c is not None]

    def _has(self, wanted: Sequence[bool], group: int) -> list[int]:
        """Which arguments of a group have a gradient that is wanted."""
        gradients = self.programs.joint.gradients
        own = self.step.groups[group]
        return [i for i in own if wanted[i] and gradients[i] is not None]

    def backward(
        self,
        wanted: Sequence[bool],
        args: Sequence[Any],
        saved: Any,
        cotangents: Sequence[Any],
    ) -> call.Call:
        """What gives the gradients of the arguments that are wanted."""
        shared, rows, carry, xs = self.step.split(args)
        states, kept = saved
        joint, n = self.programs.joint, len(carry)
        there = tuple(c is not None for c in cotangents)
        ready = self.programs.backward(tuple(wanted), (*[True] * n, *there[n:]))
        starts = [
            jnp.zeros(carry[i].shape, jnp.float32)
            if cotangents[i] is None
            else cotangents[i]
            for i in self._moving()
        ]
        starts += [jnp.zeros(args[i].shape, jnp.float32) for i in self._has(wanted, 1)]
        dys = [
            c
            for c, asked in zip(cotangents[n:], joint.cotangents[n:], strict=True)
            if c is not None and asked is not None
        ]
        vectors = [*shared, *self._constants(True)]
        return ready.call(vectors, starts, rows, [*xs, *dys], kept, states)

    def gradients(
        self, wanted: Sequence[bool], args: Sequence[Any], found: dict[str, list[Any]]
    ) -> list[Any]:
        """The gradients of the arguments that are wanted, from what `backward` gave."""
        carried = [self.step.groups[2][i] for i in self._moving()]
        of: dict[int, Any] = {}
        for name, places in (
            ("last", carried + self._has(wanted, 1)),
            ("outputs", self._has(wanted, 3)),
            ("sums", self._has(wanted, 0)),
        ):
            of |= zip(places, found[name], strict=True)
        return [
            of[i].astype(arg.dtype) if want and i in of else None
            for i, (arg, want) in enumerate(zip(args, wanted, strict=True))
        ]


class Fused(NamedTuple):
    """Loops of one batch that do not wait for each other; see `derivatives.Function`.

    Arguments and results of one come after those of another.
    """

    loops: tuple[Bound, ...]

    def __repr__(self) -> str:
        """The same for the same arithmetic, in programs that are printed."""
        keys = repr([each.key for each in self.loops])
        return f"Fused({hashlib.sha256(keys.encode()).hexdigest()[:12]})"

    def __call__(self, args: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The results of each, from its arguments; differentiable in every way."""
        flat = derivatives.call(self, tuple(a for own in args for a in own))
        return self._each(flat, [len(own.step.results) for own in self.loops])

    def plain(self, *args: Any) -> tuple[Any, ...]:
        """The results, by scans."""
        each = zip(self.loops, self._of_args(args), strict=True)
        return tuple(a for loop, own in each for a in loop.plain(own))

    def forward(self, args: tuple[Any, ...], save: bool) -> tuple[Any, Any]:
        """The results, and what the backward loops read."""
        each = zip(self.loops, self._of_args(args), strict=True)
        found = call.run([loop.forward(own, save) for loop, own in each])
        pairs = zip(self.loops, found, strict=True)
        results = tuple(a for loop, own in pairs for a in loop.results(own))
        return results, [(own["every"], own["keeps"]) for own in found]

    def backward(
        self, wanted: Sequence[bool], args: tuple[Any, ...], saved: Any, cotangents: Any
    ) -> tuple[Any, ...]:
        """The gradients of the arguments that are wanted."""
        asked, given = self._of_args(wanted), self._of_args(args)
        dots = self._each(cotangents, [len(own.step.results) for own in self.loops])
        each = zip(self.loops, asked, given, saved, dots, strict=True)
        found = call.run([loop.backward(*own) for loop, *own in each])
        return tuple(
            gradient
            for loop, want, own, got in zip(
                self.loops, asked, given, found, strict=True
            )
            for gradient in loop.gradients(want, own, got)
        )

    def _of_args(self, flat: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._each(flat, [len(own.step.inputs) for own in self.loops])

    @staticmethod
    def _each(flat: Sequence[Any], counts: Sequence[int]) -> list[tuple[Any, ...]]:
        left = iter(flat)
        return [tuple(itertools.islice(left, n)) for n in counts]
