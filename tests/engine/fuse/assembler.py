"""Programs for the core, by hand: operands by name, places by offset and strides."""

import itertools
import re

from unrolled._borrowed import ffi
from unrolled.engine import native

import jax
import numpy as np

KINDS = re.findall(r"\w+", "VECTOR ROW SEQUENCE KEPT SUM BLOCK STEP CHUNK CARRY STATES")
WORDS = {
    0: """copy neg abs sign exp exp2 expm1 log log1p tanh logistic sqrt rsqrt cbrt erf
    erfc erf_inv sin cos tan asin acos atan sinh cosh asinh acosh atanh floor ceil
    round_half_even round_half_away is_finite not to_bfloat16 trunc reciprocal lgamma
    digamma""",
    48: "add sub mul div max min pow rem atan2 eq ne lt le gt ge and or xor",
    72: "select clamp muladd",
    80: "reduce_sum reduce_max reduce_min contract",
    96: "product sum_product sum_rows",
}
CODES = {
    number: name
    for first, words in WORDS.items()
    for number, name in enumerate(re.findall(r"\w+", words), first)
}
NUMBER = {name: number for number, name in CODES.items()}


def view(name, strides=(0, 0, 0, 1), offset=0, after=0):
    """Where an operand of an instruction lies."""
    return name, offset, tuple(strides), after


class Program:
    """Collects operands and groups; `numbers` is what the core reads."""

    def __init__(self, inputs, results, slots, carries=()):
        """Take (name, kind, width[, backwards]) for each operand."""
        self.inputs, self.results, self.slots = inputs, results, slots
        self.carries, self.parts = carries, []
        self.at = {o[0]: i for i, o in enumerate([*inputs, *results, *slots])}
        self.at[None] = -1

    def part(self, kind, *groups):
        """Add a part: groups are (kind, [(code, dims, out, *ins), ...])."""
        self.parts.append((["CHUNK", "LOOP"].index(kind), groups))
        return self

    def record(self, code, dims, out, *ins):
        """Forty numbers."""
        numbers = [NUMBER[code], *dims, 0]
        for v in [out, *ins, *[(None, 0, (0, 0, 0, 0), 0)] * (3 - len(ins))]:
            name, offset, strides, after = v
            numbers += [self.at[name], offset, *strides, after]
        return numbers + [0] * (40 - len(numbers))

    @property
    def numbers(self):
        """The program as the core reads it."""
        groups = [g for _, own in self.parts for g in own]
        records = [self.record(*i) for _, own in groups for i in own]
        head = [1, len(self.inputs), len(self.results), len(self.slots)]
        head += [len(self.carries)]
        head += [len(self.parts), len(groups), len(records)]
        for operand in [*self.inputs, *self.results]:
            _, kind, width, *backwards = operand
            head += [KINDS.index(kind), width, int(bool(backwards and backwards[0]))]
        for _, kind, width in self.slots:
            head += [KINDS.index(kind), width]
        for names in self.carries:
            head += [self.at[name] for name in names]
        for kind, own in self.parts:
            head += [kind, len(own)]
        for kind, own in groups:
            head += [["POINTWISE", "PRODUCT", "SUM"].index(kind), len(own)]
        return np.array([*head, *itertools.chain(*records)], np.int64)

    def shapes(self, B, T):
        """Shapes of the results."""
        of = {
            "ROW": lambda w: (B, w),
            "SEQUENCE": lambda w: (B, T, w),
            "KEPT": lambda w: (T, B, w),
            "STATES": lambda w: (T + 1, B, w),
            "SUM": lambda w: (w,),
        }
        return [of[kind](width) for _, kind, width, *_ in self.results]

    def run(self, B, T, *arrays):
        """Call the core; a dict of results by name."""
        return run(
            self.numbers, self.shapes(B, T), arrays, [r[0] for r in self.results], T
        )


def run(numbers, shapes, arrays, names, T):
    """Call the core on any numbers."""
    assert not native.missing()
    specs = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    call = ffi.ffi_call("unrolled_program", specs)
    out = call(
        *[np.asarray(a, np.float32) for a in arrays],
        programs=np.asarray(numbers, np.int64),
        sizes=np.array([len(numbers)], np.int64),
        steps=np.array([T], np.int64),
    )
    return {name: np.asarray(a) for name, a in zip(names, out, strict=True)}
