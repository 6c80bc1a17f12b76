"""Where the variables of a TensorFlow 1 checkpoint lie in weights of ours."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import numpy as jnp

from ..checks import require


class Held(NamedTuple):
    """A variable of TensorFlow's, and the weights of ours that hold it.

    Args:
        name: within the scope of its cell.
        weights: one above the other, x before h.
        columns: of these weights, in TensorFlow's order; all where None; in a tuple of
            each weight its own.
        row: of the one weight, where it is a row; or rows, in TensorFlow's order; in a
            tuple a place on each of its first axes.
        lead: how many axes of one TensorFlow's has in front.
    """

    name: str
    weights: Sequence[Any]
    columns: Any = None
    row: Any = None
    lead: int = 0

    @property
    def parts(self) -> list[tuple[Any, Any]]:
        """Of each weight the place that is TensorFlow's."""
        given = self.columns
        each = given if isinstance(given, tuple) else [given] * len(self.weights)
        whole = [slice(None) if own is None else own for own in each]
        one = self.row if isinstance(self.row, tuple) else (self.row,)
        row = () if self.row is None else one
        return [
            (weight, row or (..., own))
            for weight, own in zip(self.weights, whole, strict=True)
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """In TensorFlow."""
        return self.read().shape

    def read(self) -> np.ndarray:
        """The array as TensorFlow has it."""
        parts = [np.asarray(weight)[place] for weight, place in self.parts]
        whole = np.concatenate(parts, axis=-2) if len(parts) > 1 else parts[0]
        return whole[(None,) * self.lead]

    def write(self, array: Any) -> None:
        """Put TensorFlow's array where it belongs."""
        array, first = np.asarray(array), 0
        array = array[(0,) * self.lead]
        for weight, place in self.parts:
            value = np.array(weight)
            if len(self.weights) > 1:
                rows = value.shape[-2]
                value[place] = array[..., first : first + rows, :]
                first += rows
            else:
                value[place] = array
            weight.assign(value)


class Unread(NamedTuple):
    """A variable that TensorFlow made and nothing read, nor does anything here.

    Args:
        name: within the scope of its cell.
        shape: in TensorFlow.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def weights(self) -> tuple[()]:
        """None of ours."""
        return ()

    def read(self) -> np.ndarray:
        """Zeros."""
        return np.zeros(self.shape)

    def write(self, array: Any) -> None:
        """Nowhere."""


def columns(held: str, wanted: str, units: int) -> np.ndarray:
    """Columns of weights whose gates are `held`, in the order `wanted`.

    Example:
        >>> from unrolled.tf1.checkpoint import columns
        >>> columns("ifco", "icfo", 1).tolist()
        [0, 2, 1, 3]
    """
    each = [np.arange(units) + units * held.index(gate) for gate in wanted]
    return np.concatenate(each)


def start(
    drawn: Sequence[tuple[Any, str]], held: str, units: int, rows: int, first: int = 0
) -> Callable[..., Any]:
    """An initializer of some rows of the matrices that TensorFlow draws as one.

    Args:
        drawn: the initializers of TensorFlow's variables and the gates of each.
        held: our order of gates.
        units: U.
        rows: of each variable; 0 for a bias.
        first: the first of the rows.
    """
    order = np.argsort(columns(held, "".join(gates for _, gates in drawn), units))

    def initializer(shape: Any, dtype: Any = None) -> Any:
        if shape[-1] != len(order):  # peepholes, a projection
            return drawn[0][0](shape, dtype=dtype)
        leading = (rows,) if rows else ()
        parts = [
            draw((*leading, len(gates) * units), dtype=dtype) for draw, gates in drawn
        ]
        whole = jnp.concatenate(parts, axis=-1)[..., order]
        return whole[first : first + shape[0]] if rows else whole

    return initializer


# What optimizers and averages add to a checkpoint, at the end of a name.
_SLOTS = re.compile(
    r"(?:Adam|AdaMax|Momentum|RMSProp|Adagrad|AdagradDA|Adadelta|Ftrl|ProximalAdagrad|"
    r"ExponentialMovingAverage|beta[12]_power|global_step|learning_rate|"
    r"_CHECKPOINTABLE_OBJECT_GRAPH)(?:_\d+)?"
)


def is_slot(name: str) -> bool:
    """Whether a variable belongs to an optimizer.

    Example:
        >>> from unrolled.tf1.checkpoint import is_slot
        >>> is_slot("rnn/gru_cell/gates/kernel/Adam_1"), is_slot("rnn/gru_cell/kernel")
        (True, False)
    """
    return _SLOTS.fullmatch(name.rpartition("/")[2]) is not None


def put(
    entries: Mapping[str, Held | Unread],
    arrays: Mapping[str, Any],
    left: Sequence[str],
    argument: str = "arrays",
) -> None:
    """Write arrays by name, all or none.

    Args:
        entries: what there is to fill.
        arrays: by the same names.
        left: names of arrays that belong to nothing.
        argument: what came, for the error.

    Raises:
        ValueError: listing all that is missing, left over, of another shape or of no
            numbers that the weights could hold.
    """
    given = {name: numbers_of(arrays[name]) for name in entries if name in arrays}
    missing = [name for name in entries if name not in arrays]
    fit = {name: array for name, array in given.items() if array is not None}
    wrong = [
        f"{name} {array.shape}, not {entries[name].shape}"
        for name, array in fit.items()
        if array.shape != entries[name].shape
    ]
    found = [
        ("missing", missing),
        ("left over", sorted(left)),
        ("of another shape", wrong),
        ("of no real numbers", [name for name, a in given.items() if a is None]),
        ("of numbers too large", _too_large(entries, fit)),
    ]
    got = "; ".join(f"{label}: {', '.join(names)}" for label, names in found if names)
    require(
        not got,
        argument,
        "must have one array for each variable, by TensorFlow's name",
        got,
        "name the driver's scope=..., the cells and layers (name=...) as the old "
        "program did, or pass what lies below one scope, scope=...; layers of now take "
        "the weights of an old cell, see 'Coming from TensorFlow 1'",
    )
    for name, held in entries.items():
        held.write(fit[name])


def numbers_of(array: Any) -> np.ndarray | None:
    """An array of real numbers, or None if it is another one, or ragged."""
    try:
        array = np.asarray(array)
    except ValueError:
        return None
    real = (np.floating, np.integer)
    return array if any(jnp.issubdtype(array.dtype, kind) for kind in real) else None


def _too_large(
    entries: Mapping[str, Held | Unread], given: Mapping[str, np.ndarray]
) -> list[str]:
    """Names of finite arrays that would be infinite in the dtype of their weights."""
    found = []
    for name, array in given.items():
        for dtype in {str(weight.dtype) for weight in entries[name].weights}:
            with np.errstate(over="ignore"):
                held = array.astype(dtype)
            if (~np.isfinite(held) & np.isfinite(array)).any():
                found.append(f"{name} for {dtype}")
    return found
