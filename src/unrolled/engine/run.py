"""Run a recurrent layer: the native kernels, or the scan with the cell's own step."""

import functools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import jax

from .._borrowed import varying_alike
from ..cells.checked import checked, in_words
from ..cells.keras_style import as_cell
from . import eager, kernels, loop, windows
from .fuse.run import Fuser
from .pure import purify

Tree = Any

# Up to this many rows one large product for all steps beats T small ones; above,
# reading the product back costs more than it saves (measured: 1.0 to 1.9 times
# Keras's speed at B = 1 when hoisted, 0.55 to 1.0 at B >= 32). Images have a row for
# each place (0.7 to 1.0 of Keras's speed when hoisted, 1.0 to 1.2 otherwise).
HOIST_UP_TO_ROWS = 4


class Job(NamedTuple):
    """What a layer's time loop starts from; batch-major but for `given_mask`."""

    inputs: Tree
    states: Tree
    fresh: Tree
    given_mask: Any
    mask: Any
    resets: Any
    constants: Tree
    constants_of: Callable[[int], Tree]  # their shapes, with so many rows


def fused(layer: Any) -> kernels.Fused | str:
    """The fused function for a layer, or one sentence saying why there is none."""
    return kernels.plan(
        layer.cell,
        return_sequences=layer.return_sequences,
        return_all_states=layer.return_all_states,
        reverse=layer.go_backwards,
        zero_masked=layer.zero_output_for_mask,
    )


def run(layers: Sequence[Any], jobs: Sequence[Job]) -> list[loop.Result]:
    """Run layers that do not wait for each other, those with kernels at once."""
    functions = [fused(layer) for layer in layers]
    results: dict[int, loop.Result] = {}
    native = []
    for at, (layer, function) in enumerate(zip(layers, functions, strict=True)):
        if isinstance(function, str) or _refuses(function, layer, jobs[at]):
            results[at] = _by_cell(layer, jobs[at])[0]
        elif any(layer.windows):
            results[at] = _windowed(layer, function, jobs[at])
        else:
            native.append((at, function, _arguments(layer, jobs[at])))
    if native:
        found = kernels.together([each[1:] for each in native])
        results |= zip((at for at, *_ in native), found, strict=True)
    return [results[at] for at in range(len(layers))]


def _refuses(function: kernels.Fused, layer: Any, job: Job) -> str:
    """Why this job goes to the scan after all, or an empty string."""
    if layer.learn_initial_state and job.resets is not None:
        return "a fused function begins afresh with zeros"
    rows, steps = job.inputs.shape[:2]
    dropped = "recurrent_mask" in (job.constants or {})
    steps = layer.windows.size(steps) if isinstance(steps, int) else steps
    return function.refuses(rows, steps, job.resets is not None, dropped)


def _arguments(layer: Any, job: Job) -> tuple[Any, ...]:
    weights = kernels.weights_of(layer.cell)
    return (job.inputs, job.states, weights, job.mask, job.resets, job.constants)


def _windowed(layer: Any, function: kernels.Fused, job: Job) -> loop.Result:
    """By a fused function, window after window."""
    weights, constants = kernels.weights_of(layer.cell), job.constants

    def whole(inputs: Tree, states: Tree, mask: Any, resets: Any, **_: Any) -> Any:
        given = {"mask": mask, "resets": resets, "constants": constants}
        return function(inputs, states, weights, **given)

    return _along_time(layer, job, whole, ())


def _along_time(
    layer: Any, job: Job, whole: windows.Run, variables: Tree
) -> loop.Result:
    """Compiled, in windows if the layer has some."""
    whole = windows.over(
        whole,
        layer.windows,
        reverse=layer.go_backwards,
        zero_masked=layer.zero_output_for_mask,
        keep_outputs=layer.return_sequences,
    )
    arrays = {"inputs": job.inputs, "states": job.states, "fresh": job.fresh}
    arrays |= {"mask": job.mask, "resets": job.resets, "variables": variables}
    return eager.run(lambda arrays: whole(**arrays), varying_alike(arrays))


def program(layer: Any, job: Job) -> str:
    """What runs a job that no kernel runs, in a sentence; the job may be abstract."""
    fuser = _by_cell(layer, job)[1]
    return f"the scan: {fuser.why}." if fuser.why else fuser.said


def _by_cell(layer: Any, job: Job) -> tuple[loop.Result, Fuser]:
    """By the cell's own step: fused, if it has such a form, or scanned."""
    cell = as_cell(layer.cell)
    arrays, of_arrays = arrays_of(job.constants)
    fuser = Fuser(lambda rows: of_arrays.arrays(job.constants_of(rows)))

    def step(x: Tree, states: Tree, arrays: list) -> tuple[Tree, Tree]:
        constants = of_arrays(arrays)
        result = cell.step(cell.project_inputs(x, constants), states, constants)
        return checked(layer.cell, result, states)

    with in_words(layer.cell):
        pure = purify(step, layer.cell, one_step(job.inputs), job.states, arrays)
        batch, _, *places = jax.tree.leaves(job.inputs)[0].shape
        rows = prod((batch, *places[:-1]))
        whole = functools.partial(
            loop.unroll,
            pure.step,
            constants=(arrays,),
            # B may be a symbol, that stands for any number.
            hoist=isinstance(rows, int) and rows <= HOIST_UP_TO_ROWS,
            reverse=layer.go_backwards,
            unroll=layer.unroll or 1,
            zero_masked=layer.zero_output_for_mask,
            keep_outputs=layer.return_sequences,
            keep_states=layer.return_all_states,
            fused=fuser,
        )
        result = _along_time(layer, job, whole, pure.variables)
    pure.finish(result.variables)
    return result, fuser


class Whole(NamedTuple):
    """Makes a tree of its arrays; what else it holds, such as `training`, stays."""

    leaves: list[Any]
    chosen: list[int]
    structure: Any

    def __call__(self, arrays: Sequence[Any]) -> Tree:
        """The tree, of other arrays."""
        leaves = dict(enumerate(self.leaves)) | dict(
            zip(self.chosen, arrays, strict=True)
        )
        return self.structure.unflatten([leaves[i] for i in range(len(leaves))])

    def arrays(self, like: Tree) -> list[Any]:
        """What stands in another tree where this one has arrays."""
        leaves = jax.tree.leaves(like)
        return [leaves[i] for i in self.chosen]


def arrays_of(tree: Tree) -> tuple[list[Any], Whole]:
    """The arrays of a tree, and what makes the tree of such."""
    leaves, structure = jax.tree.flatten(tree)
    chosen = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]
    return [leaves[i] for i in chosen], Whole(leaves, chosen, structure)


def one_step(sequences: Tree) -> Tree:
    """The shapes of one step's inputs, from those of all ``(B, T, ...)``."""
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((a.shape[0], *a.shape[2:]), a.dtype), sequences
    )
