"""Layers that are one to the user (`num_layers`): each is described by itself.

A layer of its own stands for each, around the very same cell; it reads what the one
below gave. What the uppermost ones give together must be what the user's layer gave.
Letters: B T D U.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

import jax
import numpy as np

from ...layers import merging
from .doubles import with_flags
from .recurrent import Job, mask_of
from .stepping import flat
from .trace import Reading, difference, run_layer, tolerance
from .watch import Call


def apart(jobs: list[Job], calls: dict[int, list[Call]]) -> list[Job]:
    """The same jobs, those of several layers as one for each: the lowest first."""
    found: list[Job] = []
    for _, group in groupby(jobs, key=lambda job: job.place.id):
        own = list(group)
        seen = calls.get(id(own[0].place.layer))
        several = getattr(own[0].layer, "num_layers", 1) > 1
        if several and seen and _can_be_told(seen[0]):
            own = _apart(own, seen[0])
        found += own
    return found


def _can_be_told(call: Call) -> bool:
    """Whether what each of them read can be made again."""
    return not call.traced and call.arguments.get("resets") is None


def _apart(ways: list[Job], call: Call) -> list[Job]:
    """Jobs of one call: of each layer its directions."""
    count = ways[0].layer.num_layers
    major = bool(getattr(ways[0].layer, "time_major", False))
    x = flat(call.arguments["x"])[0]
    x = x.swapaxes(0, 1) if major else x
    mask = mask_of(call.arguments, x.shape[1], major)
    starts = _starts(ways, call, len(x), count)
    found, outputs = [], []
    for place in range(count):
        given = {**call.arguments, "x": x.swapaxes(0, 1) if major else x}
        given.pop("initial_state", None)
        outputs = []
        for way, job in enumerate(ways):
            layer = _alone(job.layer, place, x.shape[-1])
            start = starts[way][place] if starts else None
            outputs.append(run_layer(layer, Reading(x, mask, start))[0])
            own = Call(given, call.output)
            level = (place + 1, count)
            found.append(replace(job, layer=layer, start=start, call=own, level=level))
        x = np.concatenate(outputs, -1)
    gap = _gap(ways, outputs, call, major)
    if gap > tolerance(ways[0].layer.cell.cells[-1], 1.0):
        why = f"one by one its layers give other numbers (they differ by {gap:.3g})"
        found = [replace(job, why=why) for job in found]
    return found


def _alone(layer: Any, place: int, features: int) -> Any:
    """A layer around one of the cells, which begins with the cell's own states."""
    upper = place < layer.num_layers - 1
    return with_flags(
        layer,
        num_layers=1,
        layer_dropout=0.0,
        cell=layer.cell.cells[place],
        step_shape=(features,),
        width_between=None,
        learn_initial_state=False,
        learned=None,
        states=None,
        return_sequences=upper or layer.return_sequences,
    )


def _starts(ways: list[Job], call: Call, rows: int, count: int) -> Any:
    """What each direction's layers start from, where it is not the cell's own."""
    leaves = jax.tree.leaves(call.arguments.get("initial_state"))
    if leaves:
        halves = [leaves]
        if len(ways) > 1:
            halves = merging.halves(leaves, count)
    elif ways[0].start is not None:
        halves = [job.start for job in ways]
    elif ways[0].layer.learn_initial_state:
        halves = [flat(job.layer.get_initial_state(rows)) for job in ways]
    else:
        return None
    return [_cut(flat(half), count) for half in halves]


def _cut(states: list[Any], count: int) -> list[list[Any]]:
    each = len(states) // count
    return [states[at : at + each] for at in range(0, len(states), each)]


def _gap(ways: list[Job], outputs: list[Any], call: Call, major: bool) -> float:
    """How far what the uppermost give is from what the user's layer gave."""
    layer, whole = ways[0].layer, ways[0].place.layer
    if not layer.return_sequences:
        outputs = [
            y[:, 0 if job.layer.go_backwards else -1]
            for y, job in zip(outputs, ways, strict=True)
        ]
    elif major:
        outputs = [y.swapaxes(0, 1) for y in outputs]
    if len(ways) == 1 and layer.go_backwards and layer.return_sequences:
        outputs = [np.flip(outputs[0], 0 if major else 1)]  # in the order of the run
    if len(ways) > 1:
        mode = whole.merge_mode
        outputs = merging.outputs(
            mode, merging.arrays, *map(jax.numpy.asarray, outputs)
        )
    given = flat(call.output)[: len(outputs)]
    return max(difference(a, b) for a, b in zip(outputs, given, strict=True))
