"""The loop of a step's gradient, and what the loop of the step keeps for it.

The step is differentiated as it was traced, with every derivative rule of its own, and
made flat afterwards. Of what the gradient reads, the states are there anyway. What is
cheap to make again of what is there, is made again; the rest is kept, step by step.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from ..._borrowed import eval_jaxpr
from . import keeping
from .flat import Atom, Equation, Flat, Value, flatten, refusing
from .program import Carry, Loop


class Traced(NamedTuple):
    """A step, traced: its inputs are what it closes over, then its arguments.

    `groups` says which of these are shared by all rows and steps, are the same at all
    steps but belong to rows, are carried, or are read step by step; `reverse`, which of
    the last are read from the end. It gives the carry, then y.
    """

    jaxpr: Any
    groups: tuple[tuple[int, ...], ...]
    reverse: tuple[bool, ...]

    @property
    def inputs(self) -> list[Any]:
        """The variables of the inputs."""
        return [*self.jaxpr.constvars, *self.jaxpr.invars]

    @property
    def results(self) -> list[Any]:
        """What a step gives, as shapes."""
        return [v.aval for v in self.jaxpr.outvars]

    def split(self, items: Sequence[Any]) -> list[list[Any]]:
        """Some items, one an input, in the four groups."""
        return [[items[i] for i in group] for group in self.groups]

    def __call__(self, given: Sequence[Any]) -> list[Any]:
        """What a step gives, of all inputs."""
        count = len(self.jaxpr.constvars)
        return eval_jaxpr(self.jaxpr, given[:count], *given[count:])


def forward(step: Traced) -> Loop:
    """The loop without a gradient."""
    flat = flatten(step.jaxpr)
    carries = len(step.groups[2])
    return _loop(step, flat, flat.outputs[:carries], flat.outputs[carries:], [], ())


def _loop(
    step: Traced,
    flat: Flat,
    ends: Sequence[Atom],
    outputs: Sequence[Atom],
    keeps: Sequence[Atom],
    every: Sequence[int],
) -> Loop:
    shared, rows, carry, x = step.split(flat.inputs)
    pairs = zip(carry, ends, strict=True)
    return Loop(
        flat.equations,
        vectors=[*shared, *flat.constants],
        rows=rows,
        sequences=list(zip(x, step.reverse, strict=True)),
        carries=[Carry(b, a, True, i in every) for i, (b, a) in enumerate(pairs)],
        outputs=[(atom, False) for atom in outputs],
        keeps=keeps,
    )


class Joint(NamedTuple):
    """A step and its gradient in one flat program.

    Attributes:
        flat: inputs: those of the step, then the cotangents of what it gives.
        gives: carry and y after the step.
        cotangents: of these; None where what it gives is no floating point.
        gradients: of the step's inputs; likewise.
        kept: values that the first loop keeps for the second.
        every: which carried values are kept at every step.
    """

    step: Traced
    flat: Flat
    gives: list[Atom]
    cotangents: list[Value | None]
    gradients: list[Atom | None]
    kept: list[Value]
    every: list[int]

    @property
    def saving(self) -> Loop:
        """The loop of the step, which keeps what the gradient reads."""
        n = len(self.step.groups[2])
        return _loop(
            self.step, self.flat, self.gives[:n], self.gives[n:], self.kept, self.every
        )

    def backward(self, wanted: Sequence[bool], given: Sequence[bool]) -> Loop:
        """The loop of the gradient.

        Args:
            wanted: of which of the step's inputs.
            given: which cotangents are not zero: of the last carry, then of y.
        """
        n = len(self.step.groups[2])
        flat = self.flat
        shared, rows, carry, x = self.step.split(
            self.flat.inputs[: len(self.gradients)]
        )
        dshared, drows, dcarry, dx = self.step.split(self.gradients)
        want = self.step.split(wanted)
        equations, carries = [*flat.equations], []
        # Carried: the cotangents of the carry; and the gradients of rows, added up.
        for own, gradient in zip(self.cotangents[:n], dcarry, strict=True):
            if own is not None:
                assert gradient is not None
                carries.append(Carry(own, gradient, True, False))
        for value, gradient, asked in zip(rows, drows, want[1], strict=True):
            if asked and gradient is not None:
                total = Value(value.shape, np.float32)
                new = Value(value.shape, np.float32)
                equations.append(Equation("add", [total, gradient], [new], {}, None))
                carries.append(Carry(total, new, True, False))
        asked = self.cotangents[n:]
        zeros = frozenset(
            c for c, there in zip(asked, given[n:], strict=True) if c and not there
        )
        dys = [c for c, there in zip(asked, given[n:], strict=True) if c and there]
        ends = self.gives[:n]
        states = [
            (
                carry[i],
                end
                if isinstance(end := ends[i], Value)
                else Value(carry[i].shape, carry[i].dtype),
            )
            for i in self.every
        ]
        taken = {*self.kept, *(a for _, a in states)}
        # What is kept is not made again.
        equations = [e for e in equations if taken.isdisjoint(e.outputs)]
        back = [not reverse for reverse in self.step.reverse]
        return Loop(
            equations,
            vectors=[*shared, *flat.constants],
            rows=rows,
            sequences=[*zip(x, back, strict=True), *((v, True) for v in dys)],
            kept=self.kept,
            states=states,
            carries=carries,
            outputs=[
                (g, own)
                for g, asked, own in zip(dx, want[3], back, strict=True)
                if asked and g is not None
            ],
            sums=[
                g
                for g, asked in zip(dshared, want[0], strict=True)
                if asked and g is not None
            ],
            zeros=zeros,
            turned=True,
        )


def joint(step: Traced) -> Joint:
    """Differentiate a step."""
    avals, results = [v.aval for v in step.inputs], step.results
    moves = [_floating(a) for a in avals]
    floats = [_floating(a) for a in results]

    def both(given: list[Any], cotangents: list[Any]) -> tuple[list[Any], list[Any]]:
        def of_moving(*moving: Any) -> tuple[list[Any], list[Any]]:
            left = iter(moving)
            whole = [next(left) if m else g for m, g in zip(moves, given, strict=True)]
            out = step(whole)
            return [o for o, f in zip(out, floats, strict=True) if f], out

        moving = [g for g, m in zip(given, moves, strict=True) if m]
        _, pull, out = jax.vjp(of_moving, *moving, has_aux=True)
        return out, list(pull(cotangents))

    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in avals]
    dots = [
        jax.ShapeDtypeStruct(a.shape, a.dtype)
        for a, f in zip(results, floats, strict=True)
        if f
    ]
    with refusing("a step that cannot be differentiated"):
        closed = jax.make_jaxpr(both)(shapes, dots)
    flat = flatten(closed)
    left = iter(flat.inputs[len(avals) :])
    cotangents = [next(left) if f else None for f in floats]
    gives = flat.outputs[: len(results)]
    found = iter(flat.outputs[len(results) :])
    gradients = [next(found) if m else None for m in moves]
    _, rows, carry, x = step.split(flat.inputs[: len(step.inputs)])
    kept, every = keeping.chosen(
        flat.equations,
        [*rows, *x],
        [*zip(carry, gives[: len(carry)], strict=True)],
        [c for c in cotangents if c],
    )
    return Joint(step, flat, gives, cotangents, gradients, kept, every)


def _floating(aval: Any) -> bool:
    return jnp.issubdtype(aval.dtype, jnp.floating)
