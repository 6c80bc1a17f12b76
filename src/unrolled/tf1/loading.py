"""Load the variables of a TensorFlow 1 checkpoint by their names."""

from collections.abc import Mapping
from typing import Any

import keras

from ..checks import require
from .base import RNNCell, driven_by
from .checkpoint import Held, is_slot, put


def load(model_or_cell: Any, arrays: Mapping[str, Any], scope: str = "") -> None:
    """Put a checkpoint's arrays into a cell, or into a model that old cells run in.

    TensorFlow reads a checkpoint so, once and for all::

        reader = tf.train.load_checkpoint("model.ckpt")
        names = reader.get_variable_to_shape_map()
        numpy.savez("model.npz", **{name: reader.get_tensor(name) for name in names})

    An array is found by the path that TensorFlow gave the variable: the driver's scope
    (``rnn``, ``bidirectional_rnn/fw``, ``stack_bidirectional_rnn/cell_0/...``, or the
    one that it was called with), the cells' (``multi_rnn_cell/cell_0``,
    ``basic_lstm_cell``, or a cell's `name`), and the variable's own. Of a model's other
    layers by their names, ``dense/kernel``. Slots of optimizers are not looked at.

    Args:
        model_or_cell: built; a model, or an old cell, whose driver's scope may be
            missing in the names.
        arrays: by the names of the checkpoint.
        scope: only what lies below it is looked at, and by its name below it.

    Raises:
        ValueError: if `arrays` is no mapping, or listing all that is missing, left over
            or of another shape; then nothing is changed.

    Example:
        >>> import numpy as np
        >>> from unrolled import tf1
        >>> cell = tf1.BasicLSTMCell(2)
        >>> cell.build((None, 3))
        >>> kernel, bias = np.ones((5, 8), "float32"), np.zeros(8, "float32")
        >>> saved = {"rnn/basic_lstm_cell/kernel": kernel}
        >>> saved |= {"rnn/basic_lstm_cell/bias": bias, "beta1_power": np.ones(())}
        >>> tf1.load(cell, saved)
        >>> [array.shape for array in cell.get_weights()]
        [(5, 8), (8,)]
    """
    given = _below(arrays, scope.strip("/") + "/" if scope else "")
    require(
        isinstance(model_or_cell, keras.layers.Layer),
        "model_or_cell",
        "must be a cell of unrolled.tf1, or a model",
        type(model_or_cell).__name__,
        "pass what was called, not what it gave",
    )
    if isinstance(model_or_cell, RNNCell):
        entries, given = _of_cell(model_or_cell, given)
    else:
        entries = _of_model(model_or_cell, given)
    require(
        bool(entries),
        "model_or_cell",
        "must have its weights",
        f"{type(model_or_cell).__name__}, not built",
        "call it once, or build it, before loading",
    )
    put(entries, given, [name for name in given if name not in entries])


def _below(arrays: Any, below: str) -> dict[str, Any]:
    """The arrays whose names begin so, but for slots, by the rest of their names."""
    named = isinstance(arrays, Mapping)
    others = [name for name in arrays if not isinstance(name, str)] if named else []
    require(
        named and not others,
        "arrays",
        "must be a dict by name, or what numpy.load opens",
        f"names {others[:3]}" if others else _shown(arrays),
        'pass np.load("model.npz"), or {"rnn/gru_cell/gates/kernel": array, ...}',
    )
    given: dict[str, Any] = {}
    for name, array in arrays.items():
        if name.startswith(below) and not is_slot(name):
            short = name.removesuffix(":0").removeprefix(below)
            require(
                short not in given,
                "arrays",
                "must have one array for each variable",
                f"two for {short}, of which one is called {short}:0",
                "leave one of them out",
            )
            given[short] = array
    return given


def _shown(given: Any) -> str:
    return repr(given) if isinstance(given, str) else type(given).__name__


def _of_cell(
    cell: RNNCell, given: dict[str, Any]
) -> tuple[dict[str, Held], dict[str, Any]]:
    """Below the driver's scope, or, if nothing is there, without it."""
    for prefix in (cell.above, ""):
        entries = cell.entries(prefix)
        if any(name in given for name in entries):
            own = {n: a for n, a in given.items() if n.startswith(prefix)}
            return entries, own
    return cell.entries(cell.above), given


def _of_model(model: Any, given: dict[str, Any]) -> dict[str, Held]:
    cells = [driven_by(part) for part in model._flatten_layers()]
    cells = [cell for cell in cells if cell is not None]
    # A cell inside another is found by way of that.
    inside = {
        id(each) for cell in cells for each in cell._flatten_layers(include_self=False)
    }
    entries: dict[str, Held] = {}
    for cell in {id(cell): cell for cell in cells if id(cell) not in inside}.values():
        own = cell.entries(cell.above)
        both = sorted({*own} & {*entries})
        require(
            not both,
            "model_or_cell",
            "must have no two cells whose variables are called alike",
            both,
            "give each its own name=..., or each driver its own scope=..., and name "
            "the arrays so, where TensorFlow added _1",
        )
        entries |= own
    held = {id(weight) for each in entries.values() for weight in each.weights}
    for weight in model.weights:
        if id(weight) not in held:
            # Keras begins a path with the name of a model of the user's own class.
            short = weight.path.removeprefix(f"{model.name}/")
            name = weight.path if weight.path in given else short
            entries[name] = Held(name, [weight])
    return entries
