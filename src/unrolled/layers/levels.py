"""Layers one above the other that are one layer to the user: `num_layers`.

Each runs over the whole sequence before the one above it begins, as a job of its own
for the engine. In `Bidirectional` each has two directions; the one above reads both.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from ..cells.base import narrowed
from ..cells.built import build_cell
from ..checks import require
from ..engine import loop
from ..engine import run as engine
from ..engine.run import Job
from ..engine.windows import Windows
from . import symbolic

Tree = Any


class Level(NamedTuple):
    """One of several layers, as far as the engine asks."""

    cell: Any
    return_sequences: bool
    return_all_states: bool
    go_backwards: bool
    zero_output_for_mask: bool
    unroll: bool
    windows: Windows
    learn_initial_state: bool


def check(num_layers: Any, layer_dropout: Any) -> None:
    """Check the two arguments.

    Raises:
        ValueError: naming the one that is wrong.
    """
    require(
        type(num_layers) is int and num_layers > 0,
        "num_layers",
        "must be a positive integer, the number of layers one above the other",
        repr(num_layers),
        "pass num_layers=2 for two",
    )
    number = isinstance(layer_dropout, (int, float))
    require(
        number and 0.0 <= layer_dropout <= 1.0,
        "layer_dropout",
        "must be between 0 and 1, the share of numbers dropped between two layers",
        repr(layer_dropout),
        "pass layer_dropout=0.2 to drop a fifth",
    )
    require(
        num_layers > 1 or not layer_dropout,
        "layer_dropout",
        "acts between layers, so that num_layers must be 2 or more",
        f"layer_dropout={layer_dropout} with num_layers=1",
        "pass dropout=... to drop what the layer reads",
    )


def check_pair(forward: Any, backward: Any, runs_here: Callable) -> None:
    """Check that two directions are of as many layers, and can be run layer by layer.

    Args:
        forward: a layer.
        backward: a layer.
        runs_here: whether whoever has both can run such a layer's loop himself.

    Raises:
        ValueError: if not.
    """
    both = (forward, backward)
    counts = [getattr(each, "num_layers", 1) for each in both]
    rates = [getattr(each, "layer_dropout", 0.0) for each in both]
    require(
        counts[0] == counts[1] and rates[0] == rates[1],
        "backward_layer",
        f"must have num_layers={counts[0]} and layer_dropout={rates[0]}, as layer has",
        f"num_layers={counts[1]} and layer_dropout={rates[1]}",
        "make the two agree",
    )
    majors = [getattr(each, "time_major", False) for each in both]
    require(
        counts[0] == 1 or (all(map(runs_here, both)) and majors[0] == majors[1]),
        "num_layers",
        "in Bidirectional goes with layers of unrolled itself, of the dtype of "
        "Bidirectional, without activity_regularizer and both alike in time_major",
        " and ".join(f"{type(each).__name__} of {each.compute_dtype}" for each in both),
        "pass Bidirectional the same dtype, or put Bidirectional layers in a row",
    )


def of(layer: Any) -> list[Any]:
    """What the engine runs one after the other: the layer itself where it is one."""
    if layer.num_layers == 1:
        return [layer]
    top = layer.num_layers - 1
    return [
        Level(
            cell,
            layer.return_sequences or place < top,
            layer.return_all_states,
            layer.go_backwards,
            layer.zero_output_for_mask,
            layer.unroll,
            layer.windows,
            layer.learn_initial_state,
        )
        for place, cell in enumerate(layer.cell.cells)
    ]


def build(layer: Any, step_shape: Tree, memory_shape: Tree) -> None:
    """Build the cell, or each layer's for what it reads."""
    if layer.num_layers == 1:
        build_cell(layer.cell, step_shape, memory_shape)
        return
    for cell in layer.cell.cells:
        build_cell(cell, step_shape)
        step_shape = (None, _read(layer))
    layer.cell.built = True


def step(
    layer: Any, rows: int | None, sequences: Tree, memory: Tree, memory_mask: Tree
) -> tuple[Tree, Tree]:
    """What `symbolic.step` says of the layer's cell, or of all of its layers."""
    if layer.num_layers == 1:
        return symbolic.step(layer.cell, rows, sequences, memory, memory_mask)
    output, states = None, []
    for cell in layer.cell.cells:
        output, after = symbolic.step(cell, rows, sequences, None, None)
        states.append(after)
        shape = (rows, None, _read(layer))
        sequences = keras.KerasTensor(shape, layer.compute_dtype)
    return output, states


def width(layer: Any) -> int:
    """How wide what each of its layers gives is; where h is projected not `units`."""
    return layer.cell.cells[0].output_size


def _read(layer: Any) -> int:
    """How wide what the layers above the first read is."""
    return layer.width_between or width(layer)


def run(layers: Sequence[Any], jobs: Sequence[Job], training: Any) -> list[loop.Result]:
    """Run a layer, or the two directions of one, with all that is in it.

    Args:
        layers: with one number of layers, those of the first; the upper ones read what
            all of them give.
        jobs: theirs.
        training: whether `layer_dropout` is on.
    """
    require(
        len(layers) > 1 or layers[0].width_between is None,
        "layer",
        "is one direction of a Bidirectional, whose upper layers read both",
        f"a call of '{layers[0].name}' alone",
        "call the Bidirectional",
    )
    found = []
    count = getattr(layers[0], "num_layers", 1)
    if count == 1:
        return engine.run(layers, jobs)
    inputs = [job.inputs for job in jobs]
    for place, level in enumerate(zip(*map(of, layers), strict=True)):
        pairs = zip(jobs, inputs, strict=True)
        results = engine.run(level, [_job(job, place, x) for job, x in pairs])
        found.append(results)
        if place + 1 < count:
            inputs = [_between(layers, results, training)] * len(layers)
    return [_one(results) for results in zip(*found, strict=True)]


def _job(job: Job, place: int, inputs: Tree) -> Job:
    return job._replace(
        inputs=inputs,
        states=job.states[place],
        fresh=job.fresh[place],
        constants=job.constants[place],
        constants_of=lambda rows: job.constants_of(rows)[place],
    )


def _between(
    layers: Sequence[Any], results: Sequence[loop.Result], training: Any
) -> jax.Array:
    """What the next layer reads: in the order of the input, directions side by side."""
    outputs = [
        jnp.flip(result.outputs, 1) if layer.go_backwards else result.outputs
        for layer, result in zip(layers, results, strict=True)
    ]
    layer = layers[0]
    x = narrowed(jnp.concatenate(outputs, -1), layer.compute_dtype)
    if not (training and layer.layer_dropout):
        return x
    # New at each step, as torch means it; `dropout` of Keras is one for all steps.
    ones = jnp.ones(x.shape, x.dtype)
    seed = layer.layer_seed_generator
    return x * keras.random.dropout(ones, layer.layer_dropout, seed=seed)


def _one(results: Sequence[loop.Result]) -> loop.Result:
    """What all layers gave, as one layer gives it."""
    top = results[-1]
    each = [result.all_states for result in results]
    return top._replace(
        states=[result.states for result in results],
        all_states=None if top.all_states is None else each,
    )


def in_a_row(layer: Any, states: Tree) -> list[Any]:
    """States as a layer returns them: one after the other; a dict as it is."""
    if getattr(layer, "num_layers", 1) > 1:
        return [each for own in states for each in own]
    return list(states) if isinstance(states, (list, tuple)) else [states]
