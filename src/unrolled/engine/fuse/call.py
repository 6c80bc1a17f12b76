"""A fused loop as a function of arrays: values and gradients by the core.

Programs are known by the arithmetic that was traced, and by nothing else: what changed
in a cell between two calls shows in it, and a second call finds the program made.
"""

import functools
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from ..._borrowed import Tracer, apply, ffi
from .. import deferred, derivatives
from ..foreign import by_rows
from . import gradient
from .flat import Atom, Equation, NotFusedError, Number, Value, flatten
from .gradient import Traced
from .program import Loop, Program, build, sizes
from .views import OTHER_ROWS, ROWS

Tree = Any
_MOST = 128
_LOCK = threading.Lock()
_MADE: OrderedDict[Any, "Made"] = OrderedDict()


class Ready(NamedTuple):
    """A loop, and its program."""

    loop: Loop
    program: Program

    def __call__(
        self,
        vectors: Sequence[Any],
        carry: Sequence[Any],
        rows: Sequence[Any],
        sequences: Sequence[Any],
        kept: Sequence[Any] = (),
        states: Sequence[Any] = (),
    ) -> dict[str, list[Any]]:
        """Run it.

        Returns:
            By name, as in `Loop`: outputs, keeps, last and every of the carries, sums.
        """
        loop, program = self
        known = dict(zip(loop.vectors, vectors, strict=True))
        _evaluate(program.early, known)
        numbers = np.asarray(program.numbers, np.float32)
        fixed = [
            numbers if v is None else known[v].reshape(-1) for v in program.vectors
        ]
        with_rows = [*carry, *rows, *sequences, *kept, *states]
        shapes = [("BT", atom.shape[1:]) for atom, _ in loop.outputs]
        shapes += [("TB", sizes(atom)) for atom in loop.keeps]
        for each in loop.carries:
            own = each.before.shape[1:]
            shapes += [("B", own)] * each.last + [("EB", own)] * each.every
        shapes += [("", v.shape) for v in program.sums]
        axes = [*[0] * (len(with_rows) - len(kept) - len(states))]
        axes += [1] * (len(kept) + len(states)) + [None] * len(fixed)
        first = len(carry) + len(rows)
        call = _call(program.code, first, tuple(axes), tuple(shapes))
        arrays = [jnp.asarray(a).astype(jnp.float32) for a in (*with_rows, *fixed)]
        found = iter(call(*arrays))
        out: dict[str, list[Any]] = {"outputs": [next(found) for _ in loop.outputs]}
        out["keeps"] = [next(found) for _ in loop.keeps]
        out["last"], out["every"] = [], []
        for each in loop.carries:
            if each.last:
                out["last"].append(next(found))
            if each.every:
                out["every"].append(next(found))
        known |= zip(program.sums, found, strict=True)
        _evaluate(program.late, known)
        out["sums"] = [_sum(atom, known) for atom in loop.sums]
        return out


def _evaluate(equations: Sequence[Equation], known: dict[Value, Any]) -> None:
    for each in equations:
        given = [_sum(atom, known) for atom in each.inputs]
        known |= zip(each.outputs, apply(each.of, given), strict=True)


def _sum(atom: Atom, known: dict[Value, Any]) -> Any:
    """What an atom is; of what nothing was summed for, zeros."""
    if isinstance(atom, Number):
        return atom.value
    return known[atom] if atom in known else jnp.zeros(atom.shape, atom.dtype)


@functools.lru_cache(maxsize=512)
def _call(
    code: tuple[int, ...],
    sequence: int,
    axes: tuple[int | None, ...],
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
) -> Any:
    """The foreign call, with its rules for vmap and for sharded arrays.

    Args:
        code: of the program, which holds neither B nor T.
        sequence: which argument is ``(B, T, ...)``.
        axes: the batch axis of each argument.
        shapes: of each result, by the letters of what comes first (E for T + 1).
    """

    def call(*arrays: Any) -> list[Any]:
        B, T = arrays[sequence].shape[:2]
        size = {"B": B, "T": T, "E": T + 1}
        results = [
            jax.ShapeDtypeStruct((*(size[n] for n in first), *own), np.float32)
            for first, own in shapes
        ]
        function = ffi.ffi_call("unrolled_program", results)
        return list(function(*arrays, program=np.array(code, np.int64)))

    ends = [first.index("B") if "B" in first else None for first, _ in shapes]
    return by_rows(call, axes, ends)


class Made:
    """The programs of one step's arithmetic, each made when it is first asked for."""

    def __init__(self, step: Traced):
        self.step = step
        self._lock = threading.RLock()
        self._backward: dict[Any, Ready] = {}
        self.constants = flatten(step.jaxpr).constants
        self.plain = _ready(gradient.forward(step))
        self.joint = gradient.joint(step)
        try:  # whoever asks for gradients later is not to find that there are none
            wanted = tuple(g is not None for g in self.joint.gradients)
            given = tuple(c is not None for c in self.joint.cotangents)
            self.saving = _ready(self.joint.saving)
            self.backward(wanted, given)
        except NotFusedError as error:
            raise NotFusedError(f"the gradient: {error}") from error

    def backward(self, wanted: tuple[bool, ...], given: tuple[bool, ...]) -> Ready:
        """The loop of the gradient."""
        with self._lock:
            found = self._backward.get((wanted, given))
            if found is None:
                found = _ready(self.joint.backward(wanted, given))
                self._backward[wanted, given] = found
        return found


def _ready(loop: Loop) -> Ready:
    return Ready(loop, build(loop))


def made(trace: Callable[[int], Traced]) -> tuple[Any, Made]:
    """The programs of what is traced, and what they are known by.

    Args:
        trace: with so many rows.

    Raises:
        NotFusedError: naming what stands in the way.
    """
    step = trace(ROWS.get())
    key = signature(step)
    with _LOCK:
        found = _MADE.pop(key, None)
    if found is None:
        found = Made(step)
        token = ROWS.set(OTHER_ROWS)
        try:
            other = signature(trace(OTHER_ROWS))
        finally:
            ROWS.reset(token)
        if other != key:
            raise NotFusedError(
                "the size of the batch among its numbers has no fused form"
            )
    with _LOCK:
        _MADE[key] = found
        while len(_MADE) > _MOST:
            _MADE.popitem(last=False)
    return key, found


def signature(step: Traced) -> Any:
    """What tells this arithmetic from any other, its derivatives included."""
    text = str(step.jaxpr)
    flats = [flatten(step.jaxpr)]
    if "custom_" in text:  # a rule of its own decides what the gradient is
        flats.append(gradient.joint(step).flat)
    return (
        step.groups,
        step.reverse,
        *(_of_equations(f.inputs, f.equations, f.outputs) for f in flats),
        *(_of_array(a) for f in flats for a in f.constants.values()),
    )


def _of_array(array: Any) -> tuple[tuple[int, ...], str, bytes]:
    """What tells an array that a program holds itself from any other."""
    if isinstance(array, Tracer):
        raise NotFusedError(
            "what a function inside of the step closes over has no fused form"
        )
    held = np.asarray(array)
    return held.shape, str(held.dtype), held.tobytes()


def _of_equations(
    inputs: list[Value], equations: list[Equation], outputs: list[Atom]
) -> str:
    names: dict[Value, int] = {}

    def name(atom: Atom) -> str:
        if isinstance(atom, Number):
            # As bits: a number may be the size of the batch, and is not to become B.
            return f"n{np.asarray(atom.value).tobytes().hex()}:{atom.dtype}"
        number = names.setdefault(atom, len(names))
        return f"v{number}:{atom.dtype}{atom.shape}"

    said = [*map(name, inputs)]
    for each in equations:
        params = {k: v for k, v in each.params.items() if k not in ("sharding", "ctx")}
        said.append(
            f"{each.name} {params} {[*map(name, [*each.inputs, *each.outputs])]}"
        )
    said += map(name, outputs)
    text = re.sub(r"0x[0-9a-f]+", "", "\n".join(said))
    return re.sub(rf"\b{ROWS.get()}\b", "B", text)


class Fused:
    """One loop over time, and its gradient; see `derivatives.Function`.

    The arguments: what has no rows, what has rows, the carry, all steps. The results:
    the last carry, and the steps' y, in the order of processing. All are flat.
    """

    def __init__(self, key: Any, programs: Made, present: Traced):
        self.programs, self._present = programs, present
        avals = (v.aval for v in present.inputs)
        # Sizes themselves: symbols of two exports may look the same.
        shapes = tuple((a.shape, str(a.dtype)) for a in avals)
        self._key = (key, shapes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fused) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        """The same for the same arithmetic, in programs that are printed."""
        return f"Fused({hashlib.sha256(repr(self._key).encode()).hexdigest()[:12]})"

    def __call__(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The results; differentiable in every way."""
        return derivatives.call(self, args)

    @property
    def step(self) -> Traced:
        """The step, as it was traced for programs."""
        return self.programs.step

    def plain(self, *args: Any) -> tuple[Any, ...]:
        """The results, by a scan."""
        _, _, carry, xs = self.step.split(args)
        n, count = len(carry), len(args) - len(carry) - len(xs)
        present = self._present

        def body(carry: list, x: list) -> tuple[list, list]:
            out = present([*args[:count], *carry, *x])
            return out[:n], out[n:]

        xs = [jnp.swapaxes(x, 0, 1) for x in xs]
        last, ys = deferred.scan(body, carry, xs, reverse=self.step.reverse)
        if self.step.reverse:
            ys = [jnp.flip(y, 0) for y in ys]
        return (*last, *(jnp.swapaxes(y, 0, 1) for y in ys))

    def forward(self, args: tuple[Any, ...], save: bool) -> tuple[Any, Any]:
        """The results, and what the backward loop reads."""
        shared, rows, carry, xs = self.step.split(args)
        run = self.programs.saving if save else self.programs.plain
        found = run([*shared, *self._constants(save)], carry, rows, xs)
        results = [*found["last"], *found["outputs"]]
        pairs = zip(results, self.step.results, strict=True)
        given = tuple(array.astype(aval.dtype) for array, aval in pairs)
        return given, (found["every"], found["keeps"])

    def _constants(self, differentiated: bool) -> list[Any]:
        if differentiated:
            return list(self.programs.joint.flat.constants.values())
        return list(self.programs.constants.values())

    def backward(
        self, wanted: Sequence[bool], args: tuple[Any, ...], saved: Any, cotangents: Any
    ) -> tuple[Any, ...]:
        """The gradients of the arguments that are wanted."""
        shared, rows, carry, xs = self.step.split(args)
        states, kept = saved
        joint, n = self.programs.joint, len(carry)
        there = tuple(c is not None for c in cotangents)
        run = self.programs.backward(tuple(wanted), (*[True] * n, *there[n:]))
        moving = [i for i, c in enumerate(joint.cotangents[:n]) if c is not None]
        starts = [
            jnp.zeros(carry[i].shape, jnp.float32)
            if cotangents[i] is None
            else cotangents[i]
            for i in moving
        ]
        groups = self.step.split(range(len(args)))
        has = lambda i: wanted[i] and joint.gradients[i] is not None  # noqa: E731
        own = [i for i in groups[1] if has(i)]
        starts += [jnp.zeros(args[i].shape, jnp.float32) for i in own]
        dys = [
            c
            for c, asked in zip(cotangents[n:], joint.cotangents[n:], strict=True)
            if c is not None and asked is not None
        ]
        vectors = [*shared, *self._constants(True)]
        found = run(vectors, starts, rows, [*xs, *dys], kept, states)
        places = [groups[2][i] for i in moving] + own
        gradients: dict[int, Any] = dict(zip(places, found["last"], strict=True))
        gradients |= zip(
            [i for i in groups[3] if has(i)], found["outputs"], strict=True
        )
        gradients |= zip([i for i in groups[0] if has(i)], found["sums"], strict=True)
        return tuple(
            gradients[i].astype(arg.dtype) if want and i in gradients else None
            for i, (arg, want) in enumerate(zip(args, wanted, strict=True))
        )
