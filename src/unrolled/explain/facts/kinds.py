"""What a recurrent layer is: its kind, gates, states, weights and formula.

Everything is read from attributes (duck typing), so stock layers, ours and
strangers' all pass through the same few questions. Letters: D features, U units,
G gates.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any

import jax

from ...cells.keras_style import as_cell
from ...cells.states import initial_states, names_of
from ..gates import GATES, SIGMOID, TANH, count_weights
from . import memory
from .activations import activation_name, computed_as

EQUATIONS = {
    "LSTM": [
        "i, f, o = {s}(x_t W + h_(t-1) R + b)",
        "g = {t}(x_t W + h_(t-1) R + b)",
        "c_t = f * c_(t-1) + i * g",
        "h_t = o * {t}(c_t)",
    ],
    "GRU": [
        "z, r = {s}(x_t W + h_(t-1) R + b)",
        "hh = {t}(x_t W + b0 + r * (h_(t-1) R + b1))",
        "h_t = z * h_(t-1) + (1 - z) * hh",
    ],
    "GRU before": [
        "z, r = {s}(x_t W + h_(t-1) R + b)",
        "hh = {t}(x_t W + b + (r * h_(t-1)) R)",
        "h_t = z * h_(t-1) + (1 - z) * hh",
    ],
    "SimpleRNN": ["h_t = {t}(x_t W + h_(t-1) R + b)"],
}


def names(thing: Any) -> list[str]:
    """Names of the classes an object is made of, nearest first."""
    return [c.__name__ for c in type(thing).__mro__]


def is_convolutional(layer: Any) -> bool:
    """A ConvLSTM or ConvGRU: its state is an image; words describe it, no trace."""
    half = getattr(layer, "forward_layer", layer)
    return not {"ConvLSTMCell", "ConvGRUCell"}.isdisjoint(names(half.cell))


def is_bidirectional(layer: Any) -> bool:
    return hasattr(layer, "forward_layer") and hasattr(layer, "backward_layer")


def is_recurrent(layer: Any) -> bool:
    """A layer that walks a cell along time."""
    return hasattr(layer, "cell") and hasattr(layer, "return_sequences")


def kind_of(cell: Any) -> str:
    """LSTM, GRU, SimpleRNN, stack or custom, by class name and weight shapes."""
    if "StackedRNNCells" in names(cell):
        return "stack"
    for kind, gates in GATES.items():
        if f"{kind}Cell" not in names(cell) or getattr(cell, "variant", ""):
            continue
        units, g = getattr(cell, "units", None), len(gates)
        kernel = getattr(cell, "kernel", None)
        recurrent = getattr(cell, "recurrent_kernel", None)
        if units is None or kernel is None or recurrent is None:
            return kind if units is not None and not cell.built else "custom"
        shapes_fit = tuple(recurrent.shape) == (units, g * units)
        return kind if shapes_fit and kernel.shape[-1] == g * units else "custom"
    return "custom"


def state_sizes(cell: Any) -> list[tuple[int, ...]]:
    """One shape (without batch) per state, nested sizes flattened.

    One that is as long as the memory is so as in the call that is remembered; without
    one, of no numbers.
    """
    if not hasattr(cell, "state_size"):
        return []
    view = as_cell(cell)
    sizes = [shape.sizes for shape in jax.tree.leaves(view.state_shapes)]
    given = memory.shapes(cell)
    if not given or not any(None in each for each in sizes):
        return [tuple(n or 0 for n in each) for each in sizes]
    fresh = jax.eval_shape(lambda: initial_states(view, 1, **given))
    return [tuple(state.shape[1:]) for state in jax.tree.leaves(fresh)]


def output_size(cell: Any) -> int:
    """Numbers in the output of a step, of all its arrays together."""
    outputs = jax.tree.leaves(as_cell(cell).output_shapes)
    return sum(prod(shape.sizes) for shape in outputs)


def width(cell: Any) -> int:
    """U: the cell's units, where a state is so wide; else the first state's width.

    They differ where h is projected.
    """
    sizes = state_sizes(cell)
    units = getattr(cell, "units", None)
    widths = [size[-1] for size in sizes if size]
    if not sizes:
        return output_size(cell)
    return int(units if units and units in widths else sizes[0][-1])


def state_name(key: str) -> str:
    """The long name of a state; s0, s1 ... are those that have no short one."""
    number = key.removeprefix("s")
    other = f"state {number if number.isdecimal() else key}"
    return {"h": "hidden state", "c": "cell state"}.get(key, other)


# What the page calls other arrays.
_TAKEN = frozenset("xyzrifgo") | {"hh", "mask", "output"}


def state_keys(cell: Any, kind: str) -> list[str]:
    """Short names of the states: what the cell calls them, or s0, s1 ...

    Of several cells in one, with the place of each: h0, c0, h1 ...
    """
    known = {"LSTM": ["h", "c"], "GRU": ["h"], "SimpleRNN": ["h"]}.get(kind)
    if known:
        return known
    tree = jax.tree_util.tree_leaves_with_path(names_of(as_cell(cell)))
    called = [str(name) for _, name in tree]
    if kind == "stack" or len(set(called)) < len(called):
        paths = [jax.tree_util.keystr(path[:-1]) for path, _ in tree]
        places = ["_".join(re.findall(r"\w+", path)) for path in paths]
        called = [f"{name}{place}" for name, place in zip(called, places, strict=True)]
    says = getattr(as_cell(cell), "state_names", None) is not None
    own = says or not (called == ["h"] or all(map(str.isdecimal, called)))
    short = all(name.isidentifier() and len(name) < 16 for name in called)
    if own and short and len(set(called)) == len(called) and not _TAKEN & set(called):
        return called
    return [f"s{n}" for n in range(len(called))]


def states(cell: Any, kind: str) -> list[dict[str, Any]]:
    """Every state array: key, name, size, and whether the output is this state."""
    sizes = state_sizes(cell)
    keys = state_keys(cell, kind)
    return [
        {
            "key": key,
            "name": state_name(key),
            "shape": list(shape),
            "size": prod(shape),
            "is_output": key == "h" and kind in GATES,
        }
        for key, shape in zip(keys, sizes, strict=True)
    ]


def gates(cell: Any, kind: str) -> list[dict[str, Any]]:
    """The blocks of `units` pre-activations, in weight order."""
    rows = []
    for order, (key, keras_key, name, which) in enumerate(GATES.get(kind, [])):
        columns = [order * cell.units, (order + 1) * cell.units]
        rows.append(
            {
                "key": key,
                "keras_key": keras_key,
                "name": name,
                "order": order,
                "columns": columns,
                "activation": activation_name(getattr(cell, which, None)),
                "computed_as": computed_as(getattr(cell, which, None)),
            }
        )
    return rows


def weights(cell: Any, kind: str) -> list[dict[str, Any]]:
    """Every weight array of the cell, with what its axes mean."""
    axes = {
        "kernel": ["features", "gates x units"],
        "recurrent_kernel": ["units", "gates x units"],
        "bias": ["gates x units"],
    }
    rows = []
    for weight in cell.weights:
        name = weight.name if isinstance(weight.name, str) else str(weight.name)
        shape = [int(n) for n in weight.shape]
        meaning = axes.get(name) if kind in GATES else None
        if meaning and name == "bias" and len(shape) == 2:
            meaning = ["input / recurrent", *meaning]
        if meaning and kind == "SimpleRNN":
            meaning = [m.replace("gates x units", "units") for m in meaning]
        trainable = bool(weight.trainable)
        rows.append(
            {
                "name": name,
                "path": getattr(weight, "path", name),
                "shape": shape,
                "count": prod(shape),
                "trainable": trainable,
                "axes": meaning,
            }
        )
    return rows


def bias_rows(cell: Any, kind: str) -> int:
    if not getattr(cell, "use_bias", False):
        return 0
    return 2 if kind == "GRU" and getattr(cell, "reset_after", False) else 1


def formula(cell: Any, kind: str, d: int, params: int) -> dict[str, Any] | None:
    """The parameter formula with this cell's numbers, or None where none applies."""
    if kind not in GATES:
        return None
    u, g, bias = cell.units, len(GATES[kind]), bias_rows(cell, kind)
    count = count_weights(kind, d, u, bias)
    tail = f" + {bias}" if bias else ""
    lead = [f"{g} × "] if g > 1 else [""]
    return {
        "symbolic": ("G × " if g > 1 else "") + f"U × (D + U{tail})",
        "numeric": f"{lead[0]}{u:,} × ({d:,} + {u:,}{tail}) = {count:,}",
        "G": g,
        "U": u,
        "D": d,
        "bias_rows": bias,
        "total": count,
        "equals_keras": count == params,
    }


def numbers(cell: Any, kind: str, d: int, steps: int | None) -> dict[str, Any]:
    """Counts: weights, per unit, state per example, multiply-adds."""
    params = sum(prod(w.shape) for w in cell.weights)
    state = sum(prod(s) for s in state_sizes(cell))
    result: dict[str, Any] = {
        "params": params,
        "formula": formula(cell, kind, d, params),
        "per_unit": None,
        "state_per_example": state,
        "multiply_adds_step": None,
        "multiply_adds_sequence": None,
    }
    if kind in GATES:
        step = len(GATES[kind]) * cell.units * (d + cell.units)
        result["per_unit"] = params // cell.units if params % cell.units == 0 else None
        result["multiply_adds_step"] = step
        result["multiply_adds_sequence"] = step * steps if steps else None
    return result


def equations(cell: Any, kind: str) -> list[str]:
    """The step in symbols, with this cell's own activations."""
    before = kind == "GRU" and not getattr(cell, "reset_after", False)
    lines = EQUATIONS.get("GRU before" if before else kind, [])
    gate = activation_name(getattr(cell, SIGMOID, None))
    new = activation_name(getattr(cell, TANH, None))
    found = [line.format(s=gate, t=new) for line in lines]
    if more := getattr(cell, "forget_bias", 0.0):
        found.append(f"b of f is the weight + forget_bias = {more:g}")
    return found
