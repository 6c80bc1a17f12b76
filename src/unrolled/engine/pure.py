"""Make a step that reads and assigns Keras variables a pure function.

Layers inside a cell (Dropout, BatchNormalization, a seed generator) assign
variables of their own at every step. Inside a compiled loop such a value must
travel with the loop; Keras 3.15 leaves it behind and stops with a tracer error.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from .._borrowed import AutocastScope

Tree = Any


class Pure(NamedTuple):
    """A step that takes and returns what it would have assigned.

    `finish` puts the final values where the assignments would have put them; `output`
    has the shapes of the step's output; `losses`: whether it adds some.
    """

    output: Tree
    step: Callable[..., tuple[Tree, Tree, Tree]]
    variables: Tree
    finish: Callable[[Tree], None]
    changed: Sequence[keras.Variable] = ()
    losses: bool = False


def purify(
    step: Callable[..., tuple[Tree, Tree]],
    layer: Any,
    x: Tree,
    states: Tree,
    *more: Tree,
) -> Pure:
    """Find what `step` assigns, by tracing it once, and thread that through.

    Args:
        step: ``(x_t, states, *more) -> (output, states)``, calling into `layer`.
        layer: the cell; only variables of a Keras layer are looked at.
        x: shapes of one step's input, a tree of ``jax.ShapeDtypeStruct``.
        states: the states, a tree of ``(B, ...)``.
        *more: what else the step takes.

    Returns:
        The pure step; with nothing assigned, it carries nothing.
    """
    all_variables = layer.variables if isinstance(layer, keras.layers.Layer) else []
    with AutocastScope(None):
        # As they are stored: narrowed values would wear down moving averages.
        values = [variable.value for variable in all_variables]

    def run(
        present: list, x: Tree, states: Tree, *more: Tree
    ) -> tuple[Tree, list, list]:
        """The step's result, the variables' values after it, and its losses."""
        scope = keras.StatelessScope(collect_losses=True)
        for variable, value in zip(all_variables, present, strict=True):
            # A mapping would be cast to what autocasting makes of the variable.
            scope.add_update((variable, value))
        with scope:
            result = step(x, states, *more)
        return result, [scope.get_current_value(v) for v in all_variables], scope.losses

    changed: list[int] = []
    has_losses = False

    def watch(x: Tree, states: Tree, *more: Tree) -> Tree:
        nonlocal has_losses
        (output, _), after, losses = run(values, x, states, *more)
        has_losses = bool(losses)
        pairs = zip(values, after, strict=True)
        changed.extend(i for i, (old, new) in enumerate(pairs) if new is not old)
        return output

    output = jax.eval_shape(watch, x, states, *more)
    if not changed and not has_losses:
        still = lambda x, s, none, *more: (*step(x, s, *more), none)  # noqa: E731
        return Pure(output, still, (), lambda none: None)

    def threaded(
        x: Tree, states: Tree, carried: Tree, *more: Tree
    ) -> tuple[Tree, Tree, Tree]:
        moving, loss = carried
        present = list(values)
        for index, value in zip(changed, moving, strict=True):
            present[index] = value
        (output, states), after, losses = run(present, x, states, *more)
        moving = [after[index] for index in changed]
        for each in losses:
            loss = loss + jnp.asarray(each, loss.dtype)
        return output, states, (moving, loss)

    def finish(carried: Tree) -> None:
        moving, loss = carried
        for index, value in zip(changed, moving, strict=True):
            all_variables[index].assign(value)
        if has_losses:
            layer.add_loss(loss)

    start = [jnp.asarray(values[index]) for index in changed]
    loss = jnp.zeros((), keras.config.floatx())
    found = [all_variables[index] for index in changed]
    return Pure(output, threaded, (start, loss), finish, found, has_losses)
