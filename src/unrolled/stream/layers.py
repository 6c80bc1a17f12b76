"""What each layer does at a step, read from its weights and options."""

from typing import Any, NamedTuple

import jax
import keras
import numpy as np

from .. import cells, layers
from ..cells.keras_style import as_cell
from ..engine import carried, foreign
from ..engine.fuse.flat import NotFusedError
from ..layers import RNN, memory, plans
from .fused import fused_step
from .known import check_dtype, own_methods, refuse, weights
from .opened import Opened
from .program import Step
from .traced import CellStep

RECURRENT = (RNN, keras.layers.RNN)


class Start(NamedTuple):
    """What a stream is made for."""

    rows: int = 1
    storage: str = "float32"
    memory: Any = None
    memory_mask: Any = None
    by_jax: str = ""  # why JAX steps cells of any class but a few


# By name in keras.activations: what a step calls it, and its numbers.
_INFINITY = float("inf")
_CELL_ACTIVATIONS: dict[str, Any] = {
    name: (name, (0.0, 0.0, 0.0))
    for name in ("tanh", "sigmoid", "hard_sigmoid", "relu", "linear")
}
_ACTIVATIONS: dict[str, Any] = {
    **_CELL_ACTIVATIONS,
    "silu": ("silu", (0.0, 0.0, 0.0)),
    "softplus": ("softplus", (0.0, 0.0, 0.0)),
    "gelu": ("gelu", (0.0, 0.0, 0.0)),
    "elu": ("elu", (1.0, 0.0, 0.0)),
    "leaky_relu": ("ramp", (0.2, _INFINITY, 0.0)),
    "relu6": ("ramp", (0.0, 6.0, 0.0)),
}


def _activation(layer: Any, owner: Any, role: str, known: dict[str, Any]) -> Any:
    """The step's name for an activation, and its numbers."""
    function = getattr(owner, role)
    for name, what in known.items():
        if function is getattr(keras.activations, name):
            return what
    name = getattr(function, "__name__", type(function).__name__)
    raise refuse(
        layer,
        f"has the {role} {name}, which has no compiled form",
        f"use one of {', '.join(known)}",
    )


def _recurrent(layer: Any, features: int, start: Start) -> list[Step]:
    for option in (
        *("go_backwards", "return_state", "return_all_states"),
        "learn_initial_state",
    ):
        if getattr(layer, option, False):
            advice = {
                "go_backwards": "train a model that reads forwards",
                "learn_initial_state": "leave it out; a stream begins with zeros",
                "return_state": "leave it out; stream.states has them at every step",
            }
            raise refuse(
                layer,
                f"has {option}=True",
                advice.get(option, advice["return_state"]),
            )
    steps = []
    for cell in cells_of(layer.cell):
        steps.append(_cell(layer, cell, features, start))
        features = steps[-1].units
    return _going_on(layer, steps, start.rows)


def _going_on(layer: Any, steps: list[Step], rows: int) -> list[Step]:
    """Steps that begin where a stateful layer would go on at its next call."""
    variables = carried.leaves(layer.states) if layer.stateful else []
    if not variables:
        return steps
    states = [keras.ops.convert_to_numpy(v) for v in variables]
    kept = len(states[0])
    if kept != rows:
        fresh = jax.tree.leaves(layer.get_initial_state(kept))
        pairs = zip(states, fresh, strict=True)
        if all(np.array_equal(s, f, equal_nan=True) for s, f in pairs):
            return steps
        raise refuse(
            layer,
            f"carries the states of {kept} rows, where batch_size={rows}",
            f"pass batch_size={kept} to go on from them, or forget them first with "
            "layer.reset_state()",
        )
    given = iter(states)
    begun = []
    for step in steps:
        own = [(next(given), like) for like in step.fresh(rows)]
        arrays = [np.ascontiguousarray(state, like.dtype) for state, like in own]
        begun.append(step._replace(carried=tuple(arrays)))
    return begun


def cells_of(cell: Any) -> list[Any]:
    """The cells of a stack, lowest first; of another cell, itself.

    So also of a stack with skip connections, which reads more than one cell gives.
    """
    stacks = (cells.StackedRNNCells, keras.layers.StackedRNNCells)
    plain = type(cell) in stacks and not getattr(cell, "skip_connections", False)
    if not plain or own_methods(cell):
        return [cell]
    return [inner for each in cell.cells for inner in cells_of(each)]


def _cell(layer: Any, cell: Any, features: int, start: Start) -> Step:
    kinds = {"SimpleRNNCell": "simple_rnn", "LSTMCell": "lstm", "GRUCell": "gru"}
    name = type(cell).__name__
    stock = getattr(keras.layers, name, None)
    known = name in kinds and type(cell) in (getattr(cells, name), stock)
    if not known or own_methods(cell) or getattr(cell, "variant", ""):
        return _any(layer, cell, features, start)
    check_dtype(cell)
    kind = kinds[name]
    if kind == "gru":
        kind = "gru_after" if cell.reset_after else "gru_before"
    width = foreign.GATES[kind] * cell.units
    bias = (2, width) if kind == "gru_after" else (width,)
    kernel, recurrent, offset = weights(
        layer,
        cell,
        f"{features} features, units={cell.units} and use_bias={cell.use_bias}",
        kernel=(features, width),
        recurrent_kernel=(cell.units, width),
        bias=bias if cell.use_bias else None,
    )
    if getattr(cell, "forget_bias", 0.0):
        offset = np.ascontiguousarray(cell.step_bias, np.float32)
    gates = "linear"
    if kind != "simple_rnn":
        role = "recurrent_activation"
        gates = _activation(layer, cell, role, _CELL_ACTIVATIONS)[0]
    return Step(
        kind,
        layer.name,
        features,
        cell.units,
        _activation(layer, cell, "activation", _CELL_ACTIVATIONS)[0],
        gates,
        kernel,
        recurrent,
        offset,
    )


def _any(layer: Any, cell: Any, features: int, start: Start) -> Step:
    """A cell of another class: its step as data, or else compiled by JAX."""
    name = type(cell).__name__
    if start.storage != "float32":
        raise refuse(
            layer,
            f"has the cell {name}, which has no form to store in {start.storage}",
            "leave weights at float32",
        )
    view = as_cell(cell)
    given = (start.memory, start.memory_mask)
    given = given if view.reads_memory != "no" else (None, None)
    memory.check(given[0], view, None, start.rows)
    changed = plans.changes(cell, (features,), given[0])
    if changed:
        raise refuse(
            layer,
            f"has the cell {name}, whose step changes {', '.join(changed)}",
            "keep in states whatever a step carries to the next",
        )
    output = jax.tree.leaves(view.output_shapes)
    if len(output) != 1 or len(output[0].sizes) != 1:
        raise refuse(
            layer,
            f"has the cell {name}, whose output is not one row of numbers",
            "stream a cell whose output_size is a number",
        )
    opened = Opened(cell, start.rows, features, *given)
    sizes = (features, output[0].sizes[0])
    why = start.by_jax
    if not why:
        try:
            return Step("fused", layer.name, *sizes, cell=fused_step(opened))
        except NotFusedError as error:
            why = str(error)
    return Step("cell", layer.name, *sizes, cell=CellStep(opened), why=why)


def _dense(layer: Any, features: int) -> list[Step]:
    softmax = layer.activation is keras.activations.softmax
    name, numbers = _CELL_ACTIVATIONS["linear"]
    if not softmax:
        name, numbers = _activation(layer, layer, "activation", _ACTIVATIONS)
    units = layer.units
    kernel, bias = weights(
        layer,
        layer,
        f"{features} features, units={units} and use_bias={layer.use_bias}",
        kernel=(features, units),
        bias=(units,) if layer.use_bias else None,
    )
    step = Step(
        "dense",
        layer.name,
        features,
        units,
        name,
        kernel=kernel,
        bias=bias,
        numbers=numbers,
    )
    return [step, Step("softmax", layer.name, units, units)] if softmax else [step]


def _pointwise(layer: Any, n: int, name: str, numbers: Any) -> list[Step]:
    return [Step("pointwise", layer.name, n, n, name, numbers=numbers)]


def _activation_layer(layer: Any, n: int) -> list[Step]:
    if layer.activation is keras.activations.softmax:
        return [Step("softmax", layer.name, n, n)]
    return _pointwise(layer, n, *_activation(layer, layer, "activation", _ACTIVATIONS))


def _relu(layer: Any, n: int) -> list[Step]:
    top = _INFINITY if layer.max_value is None else float(layer.max_value)
    numbers = (float(layer.negative_slope or 0), top, float(layer.threshold or 0))
    return _pointwise(layer, n, "ramp", numbers)


def _leaky_relu(layer: Any, n: int) -> list[Step]:
    return _pointwise(layer, n, "ramp", (float(layer.negative_slope), _INFINITY, 0.0))


def _elu(layer: Any, n: int) -> list[Step]:
    return _pointwise(layer, n, "elu", (float(layer.alpha), 0.0, 0.0))


def _last_axis(layer: Any) -> None:
    axis = layer.axis
    axis = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if axis not in ([-1], [2]):
        raise refuse(layer, f"acts along axis {layer.axis}", "use axis=-1, features")


def _softmax(layer: Any, n: int) -> list[Step]:
    _last_axis(layer)
    return [Step("softmax", layer.name, n, n)]


def _batch_normalization(layer: Any, n: int) -> list[Step]:
    """In inference a factor and an offset for each feature."""
    _last_axis(layer)
    mean, variance, gamma, beta = weights(
        layer,
        layer,
        f"{n} features, scale={layer.scale} and center={layer.center}",
        moving_mean=(n,),
        moving_variance=(n,),
        gamma=(n,) if layer.scale else None,
        beta=(n,) if layer.center else None,
    )
    assert mean is not None
    assert variance is not None
    factor = 1 / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    if gamma is not None:
        factor = factor * gamma
    offset = -mean * factor
    if beta is not None:
        offset = offset + beta
    arrays = [np.ascontiguousarray(a, np.float32) for a in (factor, offset)]
    return [Step("affine", layer.name, n, n, kernel=arrays[0], bias=arrays[1])]


def _layer_normalization(layer: Any, n: int) -> list[Step]:
    _last_axis(layer)
    if getattr(layer, "rms_scaling", False):
        raise refuse(layer, "has rms_scaling=True", "use RMSNormalization")
    gamma, beta = weights(
        layer,
        layer,
        f"{n} features, scale={layer.scale} and center={layer.center}",
        gamma=(n,) if layer.scale else None,
        beta=(n,) if layer.center else None,
    )
    if gamma is None:
        gamma = np.ones(n, np.float32)
    numbers = (float(layer.epsilon), 0.0, 0.0)
    return [
        Step("normalize", layer.name, n, n, kernel=gamma, bias=beta, numbers=numbers)
    ]


def _rms_normalization(layer: Any, n: int) -> list[Step]:
    _last_axis(layer)
    (scale,) = weights(layer, layer, f"{n} features", scale=(n,))
    numbers = (float(layer.epsilon), 1.0, 0.0)
    return [Step("normalize", layer.name, n, n, kernel=scale, numbers=numbers)]


def _embedding(layer: Any, n: int) -> list[Step]:
    del n
    if layer.mask_zero:
        raise refuse(
            layer,
            "has mask_zero=True, which marks steps to pass over",
            "make it with mask_zero=False, and leave those steps out of the stream",
        )
    size = (layer.input_dim, layer.output_dim)
    by = f"input_dim={size[0]} and output_dim={size[1]}"
    (table,) = weights(layer, layer, by, embeddings=size)
    return [Step("embedding", layer.name, *size, kernel=table)]


def _nothing(layer: Any, n: int) -> list[Step]:
    """Layers that do nothing in inference."""
    del layer, n
    return []


READERS: dict[type, Any] = {
    **dict.fromkeys((layers.SimpleRNN, layers.LSTM, layers.GRU, RNN), _recurrent),
    **dict.fromkeys(
        (
            keras.layers.SimpleRNN,
            keras.layers.LSTM,
            keras.layers.GRU,
            keras.layers.RNN,
        ),
        _recurrent,
    ),
    keras.layers.Dense: _dense,
    keras.layers.Activation: _activation_layer,
    keras.layers.ReLU: _relu,
    keras.layers.LeakyReLU: _leaky_relu,
    keras.layers.ELU: _elu,
    keras.layers.Softmax: _softmax,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.LayerNormalization: _layer_normalization,
    keras.layers.RMSNormalization: _rms_normalization,
    keras.layers.Embedding: _embedding,
    **dict.fromkeys(
        (
            keras.layers.Dropout,
            keras.layers.SpatialDropout1D,
            keras.layers.GaussianDropout,
            keras.layers.GaussianNoise,
            keras.layers.ActivityRegularization,
            keras.layers.Identity,
        ),
        _nothing,
    ),
}
