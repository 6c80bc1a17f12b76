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
    "convolved LSTM": [
        "i, f, o = {s}(conv(x_t, W) + conv(h_(t-1), R) + b)",
        "g = {t}(conv(x_t, W) + conv(h_(t-1), R) + b)",
        "c_t = f * c_(t-1) + i * g",
        "h_t = o * {t}(c_t)",
    ],
    "convolved GRU": [
        "z, r = {s}(conv(x_t, W) + conv(h_(t-1), R) + b)",
        "hh = {t}(conv(x_t, W) + b + conv(r * h_(t-1), R))",
        "h_t = z * h_(t-1) + (1 - z) * hh",
    ],
}
CONVOLVED = {"ConvLSTMCell": "LSTM", "ConvGRUCell": "GRU"}


def names(thing: Any) -> list[str]:
    """Names of the classes an object is made of, nearest first."""
    return [c.__name__ for c in type(thing).__mro__]


def convolved(cell: Any) -> str | None:
    """LSTM or GRU where the products of a cell are convolutions: its states are images.

    None for any other cell.
    """
    found = [kind for name, kind in CONVOLVED.items() if name in names(cell)]
    ours = all(hasattr(cell, key) for key in ("rank", "filters", "kernel_size"))
    return found[0] if found and ours else None


def gated_as(cell: Any, kind: str) -> str | None:
    """Which of the three has the gates of a cell; None: its gates are not known."""
    return (
        convolved(cell) if kind == "convolutional" else kind if kind in GATES else None
    )


def window(cell: Any, kind: str) -> int:
    """How many positions of an image one number of a gate reads; else 1."""
    return prod(cell.kernel_size) if kind == "convolutional" else 1


def positions(cell: Any) -> int:
    """How many positions an image of the state has; 1 where it is none."""
    sizes = state_sizes(cell) if convolved(cell) else []
    return prod(sizes[0]) // cell.filters if sizes else 1


def is_bidirectional(layer: Any) -> bool:
    return hasattr(layer, "forward_layer") and hasattr(layer, "backward_layer")


def is_recurrent(layer: Any) -> bool:
    """A layer that walks a cell along time."""
    return hasattr(layer, "cell") and hasattr(layer, "return_sequences")


def kind_of(cell: Any) -> str:
    """LSTM, GRU, SimpleRNN, stack, convolutional or custom.

    By class name and weight shapes.
    """
    if "StackedRNNCells" in names(cell):
        return "stack"
    if convolved(cell):
        return "convolutional"
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
    if convolved(cell) and cell.built:
        fresh = jax.eval_shape(lambda: cell.get_initial_state(batch_size=1))
        return [tuple(state.shape[1:]) for state in fresh]
    view = as_cell(cell)
    sizes = [shape.sizes for shape in jax.tree.leaves(view.state_shapes)]
    given = memory.shapes(cell)
    if not given or not any(None in each for each in sizes):
        return [tuple(n or 0 for n in each) for each in sizes]
    fresh = jax.eval_shape(lambda: initial_states(view, 1, **given))
    return [tuple(state.shape[1:]) for state in jax.tree.leaves(fresh)]


def output_size(cell: Any) -> int:
    """Numbers in the output of a step, of all its arrays together.

    Of an image, those of one position.
    """
    if convolved(cell):
        many = cell.kernel.shape[-2] if getattr(cell, "skip_connection", False) else 0
        return int(cell.filters + many)
    outputs = jax.tree.leaves(as_cell(cell).output_shapes)
    return sum(prod(shape.sizes) for shape in outputs)


def width(cell: Any) -> int:
    """U: the cell's units, where a state is so wide; else the first state's width.

    They differ where h is projected. Of an image, its channels.
    """
    if convolved(cell):
        return int(cell.filters)
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
    carried = {"LSTM": ["h", "c"], "GRU": ["h"], "SimpleRNN": ["h"]}
    known = carried.get(gated_as(cell, kind) or "")
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
            "is_output": key == "h" and _gives_h(cell, kind),
        }
        for key, shape in zip(keys, sizes, strict=True)
    ]


def _gives_h(cell: Any, kind: str) -> bool:
    """Whether what a step returns is h."""
    known = gated_as(cell, kind) is not None
    return known and not getattr(cell, "skip_connection", False)


def gates(cell: Any, kind: str) -> list[dict[str, Any]]:
    """The blocks of `units` pre-activations, in weight order."""
    rows = []
    known, wide = GATES.get(gated_as(cell, kind) or "", []), width(cell)
    for order, (key, keras_key, name, which) in enumerate(known):
        columns = [order * wide, (order + 1) * wide]
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
    if kind == "convolutional":
        around = ["window"] * cell.rank
        axes = {key: ["gates x channels"] for key in axes}
        axes["kernel"] = [*around, "channels of x", *axes["kernel"]]
        axes["recurrent_kernel"] = [*around, "channels of h", *axes["recurrent_kernel"]]
    rows = []
    for weight in cell.weights:
        name = weight.name if isinstance(weight.name, str) else str(weight.name)
        shape = [int(n) for n in weight.shape]
        meaning = axes.get(name) if gated_as(cell, kind) else None
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
    base = gated_as(cell, kind)
    if base is None:
        return None
    u, g, bias = width(cell), len(GATES[base]), bias_rows(cell, kind)
    around = window(cell, kind)
    count = count_weights(base, d, u, bias, around)
    tail = f" + {bias}" if bias else ""
    lead = [f"{g} × "] if g > 1 else [""]
    symbolic, numeric = f"D + U{tail}", f"{d:,} + {u:,}{tail}"
    if kind == "convolutional":
        taps = " × ".join(map(str, cell.kernel_size))
        symbolic = f"window × (D + U){tail}"
        numeric = f"{taps} × ({d:,} + {u:,}){tail}"
    return {
        "symbolic": ("G × " if g > 1 else "") + f"U × ({symbolic})",
        "numeric": f"{lead[0]}{u:,} × ({numeric}) = {count:,}",
        "G": g,
        "U": u,
        "D": d,
        "window": around,
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
    base = gated_as(cell, kind)
    if base:
        u = width(cell)
        step = len(GATES[base]) * u * (d + u) * window(cell, kind) * positions(cell)
        result["per_unit"] = params // u if params % u == 0 else None
        result["multiply_adds_step"] = step
        result["multiply_adds_sequence"] = step * steps if steps else None
    return result


def equations(cell: Any, kind: str) -> list[str]:
    """The step in symbols, with this cell's own activations."""
    before = kind == "GRU" and not getattr(cell, "reset_after", False)
    which = f"convolved {convolved(cell)}" if kind == "convolutional" else kind
    lines = EQUATIONS.get("GRU before" if before else which, [])
    gate = activation_name(getattr(cell, SIGMOID, None))
    new = activation_name(getattr(cell, TANH, None))
    found = [line.format(s=gate, t=new) for line in lines]
    if more := getattr(cell, "forget_bias", 0.0):
        found.append(f"b of f is the weight + forget_bias = {more:g}")
    return found
