"""Equations of a step as instructions over views of a row's numbers.

What only moves numbers about becomes a view; what is computed of weights alone is left
to JAX, before the loop, and what is made of sums over the rows, after it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jax import numpy as jnp

from . import codes
from .flat import Atom, Equation, NotFusedError, Number, Value, values
from .views import (
    LOCAL,
    VECTOR,
    Buffer,
    Operand,
    View,
    aligned,
    batch_axis,
    dense,
    merged,
    without,
)


class Instruction(NamedTuple):
    """One thing the core does; see native/recipe.h."""

    code: int
    dims: tuple[int, ...]
    out: Operand
    inputs: tuple[Operand | None, ...]

    @property
    def buffers(self) -> list[tuple[Buffer, bool]]:
        """What it reads, and whether it means a carry after the step."""
        return [(each.buffer, each.after) for each in self.inputs if each is not None]


class Parts(NamedTuple):
    """Views side by side along an axis of theirs; None: zeros, so wide."""

    axis: int
    views: tuple[tuple[View | None, int], ...]
    like: View  # of the whole, for its shape; it lies nowhere


class Lowering:
    """Instructions, made equation by equation.

    Attributes:
        views: what each value of the equations is.
        instructions: in an order in which they can run.
        early: equations of weights alone; what is read of their results.
        sums: results that are sums over rows and steps, and the buffers of these.
        late: equations of those.
    """

    def __init__(self, given: dict[Value, View], zeros: frozenset[Value], turned: bool):
        self.views: dict[Value, View | Parts] = dict(given)
        self.zeros, self.turned = {*zeros}, turned
        self.instructions: list[Instruction | None] = []
        self.early: list[Equation] = []
        self.vectors: dict[Value, Buffer] = {
            value: view.buffer
            for value, view in given.items()
            if view.buffer.kind == VECTOR and view.rows is None
        }
        self.sums: dict[Value, Buffer] = {}
        self.late: list[Equation] = []
        self.summed: set[Value] = set()
        self.numbers: list[float] = []
        self.pool = Buffer(VECTOR, 0)
        self._at: dict[bytes, int] = {}
        # Where the product is that made all of a buffer; to some, others were added.
        self.products: dict[Buffer, int] = {}
        self.added: set[Buffer] = set()
        self._laid: dict[Parts, View] = {}
        self.readers: dict[Value, list[Equation | None]] = {}
        self.carried: set[Value] = set()

    def run(
        self,
        equations: Sequence[Equation],
        carried: Sequence[Atom],
        others: Sequence[Atom],
    ) -> None:
        """Lower them all.

        Args:
            equations: in order.
            carried: what of their results goes to the next step.
            others: what else is wanted of them.
        """
        for value in values([*carried, *others]):
            self.readers.setdefault(value, []).append(None)
        for each in equations:
            for value in values(each.inputs):
                self.readers.setdefault(value, []).append(each)
        self.carried = {*values(carried)}
        for each in reversed(equations):
            if not self.carried.isdisjoint(each.outputs):
                self.carried.update(values(each.inputs))
        for each in equations:
            self._one(each)

    # --- what an equation is ---

    def _one(self, each: Equation) -> None:
        given = values(each.inputs)
        if self._of_zeros(each):
            return
        if not self.summed.isdisjoint(given):
            self._of_sums(each)
            return
        fixed = all(v in self.vectors for v in given)
        rows = [batch_axis(v.shape, each.name) for v in each.outputs]
        if fixed and all(r is None for r in rows):
            self._of_weights(each)
            if each.name in _VIEWS and given and each.outputs[0].dtype in TYPES:
                RULES[each.name](
                    self, each
                )  # where the core reads it, it need not move
            return
        for v in each.outputs:
            if v.dtype not in TYPES:
                raise NotFusedError(
                    f"{each.name} of {v.dtype} in the step has no fused form"
                )
        if each.name not in RULES:
            raise NotFusedError(f"{each.name} in the step has no fused form")
        RULES[each.name](self, each)

    def _of_zeros(self, each: Equation) -> bool:
        """Whether zeros leave nothing to do; in a gradient, where a zero is none."""
        zero = [isinstance(a, Value) and a in self.zeros for a in each.inputs]
        name, alone = each.name, each.name in ("div", "pad")
        nothing = (
            (name in ("mul", "dot_general") and any(zero))
            or (name == "select_n" and all(zero[1:]))
            or (alone and zero[0])
            or (bool(zero) and all(zero) and name in _LINEAR)
            or (self.turned and _is_broadcast_nought(each))
        )
        if nothing:
            self._is_zero(each)
        elif (
            name in ("add", "add_any", "sub") and any(zero) and not _negated(name, zero)
        ):
            (left,) = (a for a, z in zip(each.inputs, zero, strict=True) if not z)
            self._is_same(each, left)
        else:
            return False
        return True

    def _is_zero(self, each: Equation) -> None:
        self.zeros.update(each.outputs)
        for value in each.outputs:
            if value.dtype in TYPES:
                rows = batch_axis(value.shape, each.name)
                shape = without(value.shape, rows)
                zero = self.number(Number(0.0, np.dtype("float32")))
                strides = (0,) * len(shape)
                self.views[value] = zero.moved(shape=shape, strides=strides, rows=rows)

    def _is_same(self, each: Equation, atom: Atom) -> None:
        value = each.outputs[0]
        if isinstance(atom, Value) and atom in self.summed:
            self.late.append(each)
            self.summed.add(value)
        else:
            self.views[value] = self.parts(atom) or self.view(atom)
            if isinstance(atom, Value) and atom in self.vectors:
                self._of_weights(each)

    def _of_weights(self, each: Equation) -> None:
        self.early.append(each)
        for value in each.outputs:
            size = int(np.prod(value.shape))
            self.vectors[value] = Buffer(VECTOR, size)
            view = View(self.vectors[value], value.shape, dense(value.shape))
            self.views[value] = view

    def _of_sums(self, each: Equation) -> None:
        """What is linear in sums over rows is the same of all rows at once."""
        moved = [v in self.summed for v in values(each.inputs)]
        known = all(v in self.vectors or v in self.summed for v in values(each.inputs))
        linear = (
            each.name in _LINEAR
            or (each.name in ("mul", "dot_general") and sum(moved) == 1)
            or (
                each.name == "div"
                and isinstance(each.inputs[0], Value)
                and each.inputs[0] in self.summed
                and sum(moved) == 1
            )
        )
        if each.name in ("add", "add_any", "sub", "concatenate", "stack"):
            linear = all(moved) and len(moved) == len(each.inputs)
        if not known or not linear:
            raise NotFusedError(
                f"{each.name} of a sum over the batch has no fused form"
            )
        self.late.append(each)
        self.summed.update(each.outputs)

    # --- views ---

    def view(self, atom: Atom) -> View:
        """Where the numbers of an atom lie."""
        if isinstance(atom, Number):
            return self.number(atom)
        if atom.dtype not in TYPES:
            raise NotFusedError(
                f"numbers of {atom.dtype} in the step have no fused form"
            )
        found = self.views[atom]
        if isinstance(found, Parts):
            found = self.laid_out(found)
            self.views[atom] = found
        return found

    def read_once(self, buffer: Buffer) -> bool:
        """Whether nothing but one chain of equations reads what lies in a buffer."""
        for value, found in self.views.items():
            views = found.views if isinstance(found, Parts) else [(found, 0)]
            here = any(v is not None and v.buffer is buffer for v, _ in views)
            if here and len(self.readers.get(value, [])) > 1:
                return False
        return True

    def number(self, atom: Number) -> View:
        """Where the program holds a number."""
        if np.ndim(atom.value):
            raise NotFusedError("an array in the place of a number has no fused form")
        value = float(np.asarray(atom.value, np.float32))
        key = np.float32(value).tobytes()
        if key not in self._at:
            self._at[key] = self.table([value]).offset
        return View(self.pool, (), (), self._at[key])

    def table(self, numbers: Sequence[float]) -> View:
        """Numbers that the program holds itself."""
        at = len(self.numbers)
        self.numbers.extend(numbers)
        self.pool.width = len(self.numbers)
        return View(self.pool, (len(numbers),), (1,), at)

    def parts(self, atom: Atom) -> Parts | None:
        """What lies side by side in thought only, if the atom is such."""
        found = self.views.get(atom) if isinstance(atom, Value) else None
        return found if isinstance(found, Parts) else None

    def laid_out(self, whole: Parts) -> View:
        """What was side by side in thought, in a buffer of its own."""
        found = self._laid.get(whole)
        if found is None:
            found = self._laid[whole] = self._lay_out(whole)
        return found

    def _lay_out(self, whole: Parts) -> View:
        out = self.fresh(whole.like.shape, whole.like.rows)
        at = 0
        for part, width in whole.views:
            shape = tuple(
                width if a == whole.axis else n for a, n in enumerate(out.shape)
            )
            here = out.moved(shape=shape, offset=at * out.strides[whole.axis])
            if part is None:
                part = self.number(Number(0.0, np.dtype("float32")))
                part = part.moved(shape=shape, strides=(0,) * len(shape))
            self.emit(codes.COPY, here, part)
            at += width
        return out

    def fresh(self, shape: tuple[int, ...], rows: int | None) -> View:
        """A buffer for something new."""
        size = int(np.prod(shape)) if shape else 1
        return View(Buffer(LOCAL, size), shape, dense(shape), 0, rows)

    def copied(self, view: View) -> View:
        """The same numbers, in a buffer of their own and in order."""
        out = self.fresh(view.shape, view.rows)
        self.emit(codes.COPY, out, view)
        return out

    # --- instructions ---

    def emit(self, code: int, out: View, *inputs: View | None) -> None:
        """An instruction for each number of `out`."""
        shape = out.shape
        views = [out, *(v for v in inputs if v is not None)]
        strides = [aligned(v, out) for v in views]
        sizes, steps = merged(shape, strides)
        if 0 in shape:
            return
        if len(sizes) > 4:
            raise NotFusedError(
                f"an array of {len(shape)} axes in the step has no fused form"
            )
        pad = (1,) * (4 - len(sizes))
        found = iter(steps)
        operands = [
            None
            if v is None
            else Operand(v.buffer, v.offset, (*(0,) * len(pad), *next(found)), v.after)
            for v in (out, *inputs)
        ]
        self.add(Instruction(code, (*pad, *sizes), operands[0], tuple(operands[1:])))  # type: ignore[arg-type]

    def add(self, instruction: Instruction) -> None:
        """One more, if it has something to do."""
        if 0 in instruction.dims:
            return
        late = any(buffer.late for buffer, _ in instruction.buffers)
        instruction.out.buffer.late |= late
        self.instructions.append(instruction)

    def result(self, value: Value, code: int, *inputs: View) -> None:
        """`value` is what an instruction makes of each number of the inputs."""
        rows = batch_axis(value.shape, "an operation")
        out = self.fresh(without(value.shape, rows), rows)
        self.emit(code, out, *inputs)
        self.views[value] = self.rounded(out, value)

    def rounded(self, view: View, value: Value) -> View:
        """A value of bfloat16 has no more digits than that."""
        if value.dtype == np.dtype("float32") or value.dtype == np.dtype(bool):
            return view
        out = self.fresh(view.shape, view.rows)
        self.emit(codes.TO_BF16, out, view)
        return out


def _is_broadcast_nought(each: Equation) -> bool:
    """Whether it makes zeros."""
    if each.name != "broadcast_in_dim" or not isinstance(each.inputs[0], Number):
        return False
    return not np.any(np.asarray(each.inputs[0].value, np.float32))


def _negated(name: str, zero: list[bool]) -> bool:
    return name == "sub" and zero[0]


Rule = Callable[[Lowering, Equation], None]
RULES: dict[str, Rule] = {}
TYPES = frozenset(map(np.dtype, (np.float32, bool, jnp.bfloat16)))
_VIEWS = frozenset(["transpose", "squeeze", "slice", "split", "broadcast_in_dim"])
_LINEAR = frozenset(
    [
        *("neg", "reshape", "transpose", "squeeze", "broadcast_in_dim", "slice", "pad"),
        *("convert_element_type", "reduce_sum", "copy", "rev", "split", "unstack"),
        *("add", "add_any", "sub", "concatenate", "stack"),
    ]
)
