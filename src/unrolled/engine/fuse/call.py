"""Programs made of traced arithmetic, and the foreign call that runs them.

Programs are known by the arithmetic that was traced, and by nothing else: what changed
in a cell between two calls shows in it, and a second call finds the program made.
"""

import functools
import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from ..._borrowed import Tracer, apply, ffi
from ..foreign import by_rows
from . import gradient
from .flat import Atom, Equation, Flat, NotFusedError, Number, Value, flatten
from .gradient import Traced
from .program import Loop, Program, build, sizes
from .trace import Step
from .views import OTHER_ROWS, ROWS

Tree = Any
_MOST = 128
_LOCK = threading.Lock()
_MADE: OrderedDict[Any, "Made"] = OrderedDict()
_SEEN: OrderedDict[Any, Any] = OrderedDict()  # what programs are known by, by steps


class Ready(NamedTuple):
    """A loop, and its program."""

    loop: Loop
    program: Program

    def call(
        self,
        vectors: Sequence[Any],
        carry: Sequence[Any],
        rows: Sequence[Any],
        sequences: Sequence[Any],
        kept: Sequence[Any] = (),
        states: Sequence[Any] = (),
    ) -> "Call":
        """What the core is handed."""
        loop, program = self
        known, fixed = self._fixed(vectors)
        with_rows = [*carry, *rows, *sequences, *kept, *states]
        shapes = [("BT", atom.shape[1:]) for atom, _ in loop.outputs]
        shapes += [("TB", sizes(atom)) for atom in loop.keeps]
        for each in loop.carries:
            own = each.before.shape[1:]
            shapes += [("B", own)] * each.last + [("EB", own)] * each.every
        shapes += [("", v.shape) for v in program.sums]
        axes = [*[0] * (len(with_rows) - len(kept) - len(states))]
        axes += [1] * (len(kept) + len(states)) + [None] * len(fixed)
        arrays = [jnp.asarray(a).astype(jnp.float32) for a in (*with_rows, *fixed)]
        first = len(carry) + len(rows)
        return Call(self, known, first, arrays, tuple(axes), tuple(shapes))

    def fixed(self, vectors: Sequence[Any]) -> list[Any]:
        """The arrays without rows that the core reads, one axis each."""
        return self._fixed(vectors)[1]

    def _fixed(self, vectors: Sequence[Any]) -> tuple[dict[Value, Any], list[Any]]:
        known = dict(zip(self.loop.vectors, vectors, strict=True))
        _evaluate(self.program.early, known)
        numbers = np.asarray(self.program.numbers, np.float32)
        of = self.program.vectors
        return known, [numbers if v is None else known[v].reshape(-1) for v in of]


class Call(NamedTuple):
    """A loop with the arrays that it reads, and `known` of its weights.

    Attributes:
        sequence: which of the arrays is ``(B, T, ...)``.
        axes: of each array where its batch is; None: it has none.
        shapes: of each result, by the letters of what comes first (E for T + 1).
    """

    ready: Ready
    known: dict[Value, Any]
    sequence: int
    arrays: list[Any]
    axes: tuple[int | None, ...]
    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    def results(self, arrays: Sequence[Any]) -> dict[str, list[Any]]:
        """By name, as in `Loop`: outputs, keeps, last and every, sums."""
        (loop, program), known = self.ready, dict(self.known)
        found = iter(arrays)
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


def run(calls: Sequence[Call]) -> list[dict[str, list[Any]]]:
    """Run loops of one batch in one foreign call; what each gives, by name."""
    codes = tuple(each.ready.program.code for each in calls)
    axes = tuple(axis for each in calls for axis in each.axes)
    arrays = [array for each in calls for array in each.arrays]
    ends = itertools.accumulate(len(each.arrays) for each in calls)
    shapes = tuple(
        (end - len(each.arrays) + each.sequence, *shape)
        for each, end in zip(calls, ends, strict=True)
        for shape in each.shapes
    )
    found = iter(_call(codes, axes, shapes)(*arrays))
    return [
        each.results([*itertools.islice(found, len(each.shapes))]) for each in calls
    ]


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
    codes: tuple[tuple[int, ...], ...],
    axes: tuple[int | None, ...],
    shapes: tuple[tuple[int, str, tuple[int, ...]], ...],
) -> Any:
    """The foreign call, with its rules for vmap and for sharded arrays.

    Args:
        codes: of each program, which holds neither B nor T.
        axes: of each array where its batch is; None: it has none.
        shapes: of each result, which array tells its B and T, the letters of what comes
            first (E for T + 1), and the rest.
    """
    attributes = {
        "programs": np.array([n for code in codes for n in code], np.int64),
        "sizes": np.array([len(code) for code in codes], np.int64),
        "steps": np.full(len(codes), -1, np.int64),  # as many as a sequence has
    }

    def call(*arrays: Any) -> list[Any]:
        results = []
        for which, first, own in shapes:
            B, T = arrays[which].shape[:2]
            size = {"B": B, "T": T, "E": T + 1}
            shape = (*(size[n] for n in first), *own)
            results.append(jax.ShapeDtypeStruct(shape, np.float32))
        function = ffi.ffi_call("unrolled_program", results)
        return list(function(*arrays, **attributes))

    ends = [first.index("B") if "B" in first else None for _, first, _ in shapes]
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


def made(traced: Step) -> tuple[Any, Made]:
    """The programs of what was traced, and what they are known by.

    What was seen with the sizes at hand before is known without another trace.

    Raises:
        NotFusedError: naming what stands in the way.
    """
    flat = flatten(traced.present.jaxpr)
    # What rules of their own make of a derivative, the step alone does not tell.
    seen = None if flat.rules else _signature(traced.present, [flat])
    with _LOCK:
        key = _SEEN.get(seen)
        found = _MADE.get(key)
    if found is None:
        step = traced.again(ROWS.get())
        key = signature(step)
        with _LOCK:
            found = _MADE.get(key)
        if found is None:
            found = Made(step)
            _check_rows(traced, key, signature)
        _check_present(traced, step)
    with _LOCK:
        _remember(_MADE, key, found)
        if seen is not None:
            _remember(_SEEN, seen, key)
    return key, found


def _remember(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    """Keep so many, those asked for last."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _MOST:
        kept.popitem(last=False)


def forward(traced: Step) -> tuple[Traced, Ready, list[Any]]:
    """The program of what was traced, where nobody asks for gradients.

    Returns:
        The step, its program, and the arrays that it holds itself.

    Raises:
        NotFusedError: naming what stands in the way.
    """
    step = traced.again(ROWS.get())
    flat = flatten(step.jaxpr)
    ready = _ready(gradient.forward(step))
    alone = lambda s: _signature(s, [flatten(s.jaxpr)])  # noqa: E731
    _check_rows(traced, alone(step), alone)
    _check_present(traced, step)
    return step, ready, list(flat.constants.values())


def _check_rows(traced: Step, key: Any, signature: Callable[[Traced], Any]) -> None:
    """Raise if the arithmetic is another with another number of rows."""
    token = ROWS.set(OTHER_ROWS)
    try:
        other = signature(traced.again(OTHER_ROWS))
    finally:
        ROWS.reset(token)
    if other != key:
        raise NotFusedError("the size of the batch among its numbers has no fused form")


def _check_present(traced: Step, step: Traced) -> None:
    """Raise if the arithmetic is another with the number of rows at hand."""
    present = traced.present
    rows = present.inputs[present.groups[3][0]].aval.shape[0]
    if not isinstance(rows, int):  # a symbol, that stands for any number
        return
    texts = [
        _of_equations(flat, str(rows), bare=True)
        for flat in (flatten(step.jaxpr), flatten(present.jaxpr))
    ]
    if texts[0] != texts[1]:
        raise NotFusedError(
            "a step that computes something else with this size of the batch "
            "has no fused form"
        )


def signature(step: Traced) -> Any:
    """What tells this arithmetic from any other, its derivatives included."""
    flats = [flatten(step.jaxpr)]
    if flats[0].rules:  # they decide what the gradient is
        flats.append(gradient.joint(step).flat)
    return _signature(step, flats)


def _signature(step: Traced, flats: Sequence[Flat]) -> Any:
    return (
        step.groups,
        step.reverse,
        *(_of_equations(flat, "B") for flat in flats),
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


# With one row, JAX does without some of them.
_BROADCASTS = ("broadcast_in_dim", "reshape", "squeeze", "expand_dims")


def _of_equations(flat: Flat, rows: str, bare: bool = False) -> str:
    """Equations as text, of so many rows; `bare`: of numbers, without their shapes."""
    names: dict[Value, str] = {}
    count = itertools.count()

    def name(atom: Atom) -> str:
        if isinstance(atom, Number):
            # As bits: a number may be the size of the batch, and is not to become B.
            return f"n{np.asarray(atom.value).tobytes().hex()}:{atom.dtype}"
        if atom not in names:
            shape = "" if bare else atom.shape
            names[atom] = f"v{next(count)}:{atom.dtype}{shape}"
        return names[atom]

    said = [*map(name, flat.inputs)]
    for each in flat.equations:
        if bare and each.name in _BROADCASTS:
            names[each.outputs[0]] = name(each.inputs[0])
            continue
        params = {k: v for k, v in each.params.items() if k not in ("sharding", "ctx")}
        said.append(
            f"{each.name} {params} {[*map(name, [*each.inputs, *each.outputs])]}"
        )
    said += map(name, flat.outputs)
    text = re.sub(r"0x[0-9a-f]+", "", "\n".join(said))
    return re.sub(rf"\b{ROWS.get()}\b", rows, text)
