"""Run a recurrent layer: the native kernels, or the scan with the cell's own step."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import jax

from .._borrowed import varying_alike
from ..cells.checked import checked, in_words
from ..cells.keras_style import as_cell
from . import eager, kernels, loop, windows
from .fuse import run as fuse
from .pure import purify

Tree = Any

# Up to this many rows one large product for all steps beats T small ones; above,
# reading the product back costs more than it saves (measured: 1.0 to 1.9 times
# Keras's speed at B = 1 when hoisted, 0.55 to 1.0 at B >= 32). Images have a row for
# each place (0.7 to 1.0 of Keras's speed when hoisted, 1.0 to 1.2 otherwise).
HOIST_UP_TO_ROWS = 4


_LOSS = "a loss added in the step has no fused form"


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
    native, others = [], []
    for at, (layer, function) in enumerate(zip(layers, functions, strict=True)):
        if isinstance(function, str) or _refuses(function, layer, jobs[at]):
            others.append(at)
        elif any(layer.windows):
            results[at] = _windowed(layer, function, jobs[at])
        else:
            native.append((at, function, _arguments(layer, jobs[at])))
    if native:
        found = kernels.together([each[1:] for each in native])
        results |= zip((at for at, *_ in native), found, strict=True)
    if others:
        found = _by_cell([layers[at] for at in others], [jobs[at] for at in others])
        results |= zip(others, (result for result, _ in found), strict=True)
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

    whole = _along_time(layer, whole)
    return eager.run(lambda arrays: whole(**arrays), varying_alike(_sequences(job, ())))


def _along_time(layer: Any, whole: windows.Run) -> windows.Run:
    """The same in windows, if the layer has some."""
    return windows.over(
        whole,
        layer.windows,
        reverse=layer.go_backwards,
        zero_masked=layer.zero_output_for_mask,
        keep_outputs=layer.return_sequences,
    )


def _sequences(job: Job, variables: Tree) -> dict[str, Tree]:
    """What a loop along time takes, by name."""
    arrays = {"inputs": job.inputs, "states": job.states, "fresh": job.fresh}
    return arrays | {"mask": job.mask, "resets": job.resets, "variables": variables}


def program(layer: Any, job: Job) -> str:
    """What runs a job that no kernel runs, in a sentence; the job may be abstract."""
    ((_, said),) = _by_cell([layer], [job])
    return said


def _by_cell(
    layers: Sequence[Any], jobs: Sequence[Job]
) -> list[tuple[loop.Result, str]]:
    """By the cells' own steps: fused, if they have such a form, or scanned.

    Returns:
        Of each what it came to, and what ran it.
    """
    stepped = [_Stepped(*each) for each in zip(layers, jobs, strict=True)]
    changed = [id(v) for each in stepped for v in each.pure.changed]
    # Windows loop around the time loop, and what one changes the next has to read.
    if len(layers) > 1 and (
        any(any(layer.windows) for layer in layers) or len({*changed}) < len(changed)
    ):
        pairs = zip(layers, jobs, strict=True)
        return [_by_cell([layer], [job])[0] for layer, job in pairs]
    said: list[str] = []

    def together(given: Sequence[dict[str, Tree]]) -> list[loop.Result]:
        pairs = zip(stepped, given, strict=True)
        loops = [each.prepared(arrays) for each, arrays in pairs]
        found = fuse.run(loops, [each.constants_of for each in stepped])
        said[:] = [
            f.said or f"the scan: {(each.pure.losses and _LOSS) or f.why}."
            for each, f in zip(stepped, found, strict=True)
        ]
        return [
            own.result(*((f.carry, f.y) if f.said else own.run()))
            for own, f in zip(loops, found, strict=True)
        ]

    def whole(given: list[dict[str, Tree]]) -> list[loop.Result]:
        if len(given) > 1:
            return together(given)
        along = _along_time(layers[0], lambda **arrays: together([arrays])[0])
        return [along(**arrays) for arrays in given]

    arrays = [
        _sequences(job, each.pure.variables)
        for each, job in zip(stepped, jobs, strict=True)
    ]
    results = eager.run(whole, varying_alike(arrays))
    for each, result in zip(stepped, results, strict=True):
        each.pure.finish(result.variables)
    return [*zip(results, said, strict=True)]


class _Stepped:
    """A layer to be run by its cell's own step, `pure`."""

    def __init__(self, layer: Any, job: Job):
        self._layer = layer
        self._constants, whole = arrays_of(job.constants)
        self.constants_of = lambda rows: whole.arrays(job.constants_of(rows))
        cell = as_cell(layer.cell)

        def step(x: Tree, states: Tree, arrays: list) -> tuple[Tree, Tree]:
            constants = whole(arrays)
            with in_words(layer.cell):
                x = cell.project_inputs(x, constants)
                result = cell.step(x, states, constants)
            return checked(layer.cell, result, states)

        x = one_step(job.inputs)
        with in_words(layer.cell):
            self.pure = purify(step, layer.cell, x, job.states, self._constants)

    def prepared(self, arrays: dict[str, Tree]) -> loop.Prepared:
        """Its loop along time."""
        layer = self._layer
        batch, _, *places = jax.tree.leaves(arrays["inputs"])[0].shape
        rows = prod((batch, *places[:-1]))
        return loop.prepare(
            self.pure.step,
            constants=(self._constants,),
            # B may be a symbol, that stands for any number.
            hoist=isinstance(rows, int) and rows <= HOIST_UP_TO_ROWS,
            reverse=layer.go_backwards,
            unroll=layer.unroll or 1,
            zero_masked=layer.zero_output_for_mask,
            keep_outputs=layer.return_sequences,
            keep_states=layer.return_all_states,
            output=self.pure.output,
            **arrays,
        )


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
