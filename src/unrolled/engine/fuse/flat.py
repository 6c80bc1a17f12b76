"""A traced program as a flat list of equations: what is called in it is taken in.

What holds a program, whatever its name, is replaced by that program: compiled
functions, functions with derivatives of their own, rematerialised ones.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from ..._borrowed import Literal


class NotFusedError(Exception):
    """Why a step has no fused form, in words that can follow "the scan:"."""


# What a step, or a derivative's rule, raises at sizes and types that do not suit it;
# beside errors of JAX's own.
_UNSUITED = (
    *(TypeError, ValueError, LookupError, ArithmeticError, AssertionError),
    RuntimeError,
)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Where what users wrote is tried at what they did not ask of it.

    Args:
        what: does not suit it, if it fails here; that has no fused form.

    Raises:
        NotFusedError: with the error's own words. One of another kind, an error of the
            system or a class of the user's, comes out as it is.
    """
    try:
        yield
    except Exception as error:
        of_jax = type(error).__module__.partition(".")[0] == "jax"
        if not (of_jax or isinstance(error, _UNSUITED)):
            raise
        why = re.split(r"\.?(?:\s*\n|\s*$|\.\s)", str(error).strip())[0]
        named = ": ".join(filter(None, (type(error).__name__, why)))
        raise NotFusedError(f"{what} ({named}) has no fused form") from error


class Value:
    """A variable. Two are the same only if they are one."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        extended = jnp.issubdtype(dtype, jax.dtypes.extended)  # random keys
        self.shape, self.dtype = tuple(shape), dtype if extended else np.dtype(dtype)


class Number(NamedTuple):
    """A number in the place of a variable."""

    value: Any
    dtype: Any
    shape: tuple[int, ...] = ()


Atom = Value | Number


class Equation(NamedTuple):
    """`outputs` are what a primitive makes of `inputs`."""

    name: str
    inputs: list[Atom]
    outputs: list[Value]
    params: dict[str, Any]
    of: Any  # the equation of the jaxpr, for `apply`


class Flat(NamedTuple):
    """Equations in order.

    Attributes:
        constants: arrays that the program holds itself.
        rules: whether derivative rules of its own were in it.
    """

    inputs: list[Value]
    outputs: list[Atom]
    equations: list[Equation]
    constants: dict[Value, Any]
    rules: bool


# These hold programs, but do not just call them.
_LOOPS = frozenset(["scan", "while", "cond", "unrolled_call", "custom_linear_solve"])


def flatten(jaxpr: Any) -> Flat:
    """The program of a jaxpr; what it closes over comes first among the inputs.

    Raises:
        NotFusedError: if an equation does something beside computing.
    """
    equations: list[Equation] = []
    constants: dict[Value, Any] = {}
    called: set[str] = set()
    variables = [*jaxpr.constvars, *jaxpr.invars]
    inputs = [_value(v) for v in variables]
    known: dict[Any, Atom] = dict(zip(variables, inputs, strict=True))
    outputs = _take_in(jaxpr, known, equations, constants, called)
    rules = any(name.startswith("custom_") for name in called)
    return _once(Flat(inputs, outputs, equations, constants, rules))


def _once(flat: Flat) -> Flat:
    """The same, with what is computed twice computed once."""
    found: dict[Any, list[Value]] = {}
    same: dict[Value, Value] = {}
    equations = []

    def first(atom: Atom) -> Atom:
        return same.get(atom, atom) if isinstance(atom, Value) else atom

    for each in flat.equations:
        inputs = [*map(first, each.inputs)]
        own = each._replace(inputs=inputs)
        params = tuple(
            sorted((k, v) for k, v in each.params.items() if k != "sharding")
        )
        try:
            key = (each.name, params, *map(_known_by, inputs))
            outputs = found.setdefault(key, each.outputs)
        except TypeError:  # parameters that nobody can compare
            outputs = each.outputs
        if outputs is each.outputs:
            equations.append(own)
        else:
            same |= zip(each.outputs, outputs, strict=True)
    return flat._replace(outputs=[*map(first, flat.outputs)], equations=equations)


def _known_by(atom: Atom) -> Any:
    if isinstance(atom, Value):
        return atom
    return np.asarray(atom.value).tobytes(), str(atom.dtype), atom.shape


def _take_in(
    jaxpr: Any,
    known: dict[Any, Atom],
    equations: list[Equation],
    constants: dict[Value, Any],
    called: set[str],
) -> list[Atom]:
    for each in jaxpr.eqns:
        inputs = [_atom(v, known) for v in each.invars]
        inner = _inner(each)
        if inner is not None:
            program = getattr(inner, "jaxpr", inner)
            given = inputs[len(inputs) - len(program.invars) :]
            within: dict[Any, Atom] = dict(zip(program.invars, given, strict=True))
            arrays = getattr(inner, "consts", ())
            for variable, array in zip(program.constvars, arrays, strict=True):
                within[variable] = value = _value(variable)
                constants[value] = array
            called.add(each.primitive.name)
            outputs = _take_in(program, within, equations, constants, called)
            known |= zip(each.outvars, outputs, strict=True)
            continue
        if each.effects:
            raise NotFusedError(f"{each.primitive.name} in the step has an effect")
        made = [_value(v) for v in each.outvars]
        known |= zip(each.outvars, made, strict=True)
        equations.append(Equation(each.primitive.name, inputs, made, each.params, each))
    return [_atom(v, known) for v in jaxpr.outvars]


def _inner(equation: Any) -> Any:
    """The program that an equation calls and does nothing else with, or None."""
    if equation.primitive.name in _LOOPS:
        return None
    found = [
        value
        for value in equation.params.values()
        if hasattr(getattr(value, "jaxpr", value), "eqns")
    ]
    fits = len(found) == 1 and len(getattr(found[0], "jaxpr", found[0]).invars) <= len(
        equation.invars
    )
    return found[0] if fits else None


def _value(variable: Any) -> Value:
    return Value(variable.aval.shape, variable.aval.dtype)


def _atom(variable: Any, known: dict[Any, Atom]) -> Atom:
    if isinstance(variable, Literal):
        array = np.asarray(variable.val)
        return Number(variable.val, array.dtype, array.shape)
    return known[variable]


def values(atoms: Sequence[Atom]) -> list[Value]:
    """Those that are no numbers."""
    return [each for each in atoms if isinstance(each, Value)]


def needed(equations: list[Equation], outputs: Sequence[Atom]) -> list[Equation]:
    """Those equations that the outputs come from, in order."""
    wanted = set(values(outputs))
    found = []
    for each in reversed(equations):
        if not wanted.isdisjoint(each.outputs):
            found.append(each)
            wanted.update(values(each.inputs))
    return found[::-1]


def after(equations: list[Equation], sources: Sequence[Value]) -> set[Value]:
    """What depends on the sources, these among it."""
    found = set(sources)
    for each in equations:
        if not found.isdisjoint(values(each.inputs)):
            found.update(each.outputs)
    return found
