"""What a recurrent layer's time loop starts from, and what runs it: kernels or scan."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from ..cells.keras_style import as_cell
from ..layers import checks
from . import kernels, loop
from .parts import parts_of
from .pure import purify

Tree = Any


class Ready(NamedTuple):
    """What a layer's time loop starts from; batch-major but for `given_mask`."""

    inputs: Tree
    states: Tree
    fresh: Tree
    given_mask: Any
    mask: Any
    resets: Any
    constants: Tree


def fused(layer: Any) -> kernels.Fused | str:
    """The fused function for a layer, or one sentence saying why there is none."""
    return kernels.plan(
        layer.cell,
        return_sequences=layer.return_sequences,
        return_all_states=layer.return_all_states,
        reverse=layer.go_backwards,
        zero_masked=layer.zero_output_for_mask,
    )


def run(layers: Sequence[Any], ready: Sequence[Ready]) -> list[loop.Result]:
    """Run layers that do not wait for each other, those with kernels at once."""
    functions = [fused(layer) for layer in layers]
    results: dict[int, loop.Result] = {}
    native = []
    for at, (layer, function) in enumerate(zip(layers, functions, strict=True)):
        if isinstance(function, str):
            results[at] = _unroll(layer, ready[at])
        else:
            native.append((at, function, _arguments(layer, ready[at])))
    if native:
        found = kernels.together([each[1:] for each in native])
        results |= zip((at for at, *_ in native), found, strict=True)
    return [results[at] for at in range(len(layers))]


def _arguments(layer: Any, ready: Ready) -> tuple[Any, ...]:
    weights = kernels.weights_of(layer.cell)
    sequences = (ready.mask, ready.resets, ready.constants)
    return (ready.inputs, ready.states, weights, *sequences)


def _unroll(layer: Any, ready: Ready) -> loop.Result:
    cell = as_cell(layer.cell, layer.step_shape)
    inputs, states, constants = ready.inputs, ready.states, ready.constants
    rows = jax.tree.leaves(inputs)[0].shape[0]

    def project(x: Tree) -> Tree:
        return cell.project_inputs(x, constants)

    def step(x: Tree, states: Tree) -> tuple[Tree, Tree]:
        output, after = cell.step(project(x), states, constants)
        return output, checks.pack_states(after, states, "the cell's new states")

    one = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((a.shape[0], *a.shape[2:]), a.dtype), inputs
    )
    pure = purify(step, layer.cell, one, states)
    parts: dict[str, Any] = {"step": pure.step}
    if not jax.tree.leaves(pure.variables):
        parts = parts_of(cell, constants, rows)
    result = loop.unroll(
        inputs=inputs,
        states=states,
        **parts,
        variables=pure.variables,
        mask=ready.mask,
        resets=ready.resets,
        fresh=ready.fresh,
        reverse=layer.go_backwards,
        unroll=layer.unroll or 1,
        zero_masked=layer.zero_output_for_mask,
        keep_outputs=layer.return_sequences,
        keep_states=layer.return_all_states,
    )
    pure.finish(result.variables)
    return result
