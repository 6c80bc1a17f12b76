"""The facts of each recurrent layer: what it is, and what it did on the sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from types import FunctionType
from typing import Any

import jax
import numpy as np

from ...cells.keras_style import as_cell
from ...cells.states import names_of
from ...cells.states import pack as packed
from . import attention, code, images, kinds, pack, sentences, several, shapes, strip
from .activations import activation_name
from .doubles import Doubles
from .experiments import experiments
from .ledger import ledgers
from .memory import remembered
from .stepping import flat, initial_states
from .together import Together, reason
from .trace import NotDrawn, Reading, Trace, trace
from .watch import Call

CONFIG = [
    "return_sequences",
    "return_state",
    "return_all_states",
    "stateful",
    "go_backwards",
    "unroll",
    "zero_output_for_mask",
    "time_major",
    "use_bias",
    "reset_after",
    "activation",
    "recurrent_activation",
    "dropout",
    "recurrent_dropout",
    "implementation",
]


def _carried(layer: Any) -> Any:
    """The states a stateful layer starts from, copied before anything runs."""
    if kinds.is_bidirectional(layer):
        return [_carried(layer.forward_layer), _carried(layer.backward_layer)]
    states = getattr(layer, "states", None)
    if not getattr(layer, "stateful", False) or states is None:
        return None
    return flat([v.value for v in jax.tree.leaves(states)])


@dataclass
class Job:
    """A recurrent layer to describe: its double, as it was before the model ran."""

    place: strip.Place
    layer: Any
    direction: str
    start: list[Any] | None
    moved: set[int] = field(default_factory=set)  # ids of weights a run assigned
    call: Call | None = None
    level: tuple[int, int] | None = None  # which of how many (levels.py)
    why: str | None = None  # it cannot be drawn


def jobs(found: list[strip.Place], doubles: Doubles) -> list[Job]:
    """A job for each recurrent layer: what is tried is tried on its double."""
    made = []
    for place in found:
        layer = doubles.of(place.layer)
        if place.role == "bidirectional":
            forward, backward = _carried(layer) or [None, None]
            made.append(Job(place, layer.forward_layer, "forward", forward))
            made.append(Job(place, layer.backward_layer, "backward", backward))
        elif place.role == "recurrent":
            back = getattr(layer, "go_backwards", False)
            way = "backward" if back else "forward"
            made.append(Job(place, layer, way, _carried(layer)))
    return made


def note_moved(jobs: list[Job], moved: set[int]) -> None:
    """Tell the jobs which weights changed while the model ran."""
    for job in jobs:
        job.moved |= moved & {id(w) for w in job.layer.cell.weights}


def layers(
    jobs: list[Job], calls: dict[int, list[Call]], notes: list[str]
) -> list[dict[str, Any]]:
    budget = pack.TRACE_BYTES // max(len(jobs), 1)
    room = pack.EMBED_WEIGHTS
    result: list[dict[str, Any]] = []
    for number, job in enumerate(jobs):
        job.place.names.append(f"r{number}")
        facts = {"id": f"r{number}", "node": job.place.id, "direction": job.direction}
        drawn = [one["id"] for one in result if one["trace"]["drawn"]]
        facts["tried_on"] = drawn[0] if drawn else facts["id"]
        seen = calls.get(id(job.place.layer)) or []
        first = job.level is None or job.level[0] == 1
        if len(seen) > 1 and job.direction == "forward" and first:
            notes.append(
                f"{job.place.layer.name} is used {len(seen)} times; its first is drawn"
            )
        job.call = job.call or (seen[0] if seen else None)
        room -= _layer(facts, job, budget, room)
        result.append(facts)
    return result


def _layer(facts: dict[str, Any], job: Job, budget: int, room: int) -> int:
    """Fill the facts of one recurrent layer; returns how many weights were kept."""
    call = job.call
    given = call.arguments if call and not call.traced else {}
    with remembered(job.layer.cell, given):
        return _filled(facts, job, budget, room)


def _filled(facts: dict[str, Any], job: Job, budget: int, room: int) -> int:
    place, layer, call = job.place, job.layer, job.call
    cell = layer.cell
    kind = kinds.kind_of(cell)
    image = kind == "convolutional"
    shape = _declared(place.layer, call)
    facts |= {
        "name": str(layer.name),
        "class": type(layer).__name__,
        "kind": kind,
        "cell_class": type(cell).__name__,
        "old_cells": _old_cells(place.layer),
        "wrapper": _wrapper(place, facts, call),
    }
    if job.level:
        facts["level"] = {"number": job.level[0], "of": job.level[1]}
        for named in filter(None, (facts, facts["wrapper"])):
            named["name"] += f", layer {job.level[0]} of {job.level[1]}"
    x_shape = list(several.main(call.arguments["x"]).shape) if call else shape
    steps = x_shape[1] if len(x_shape) > 1 else None
    major = bool(getattr(layer, "time_major", False))
    if major:
        x_shape[0], x_shape[1] = x_shape[1], x_shape[0]
        steps = x_shape[1]
    # Ids (B, T) are one number a step; each position of an image has so many.
    d = cell.kernel.shape[-2] if image else [1, *x_shape[2:]][-1]
    facts |= {
        "U": kinds.width(cell),
        "D": int(d),
        "P": kinds.output_size(cell),
        "T": {"value": steps, "declared": shape[0 if major else 1]},
        "B": {"value": x_shape[0], "declared": shape[1 if major else 0]},
        "reads": "",
        "config": {k: _plain(_setting(layer, k)) for k in CONFIG if _has(layer, k)},
        "code": code.of_layer(place.layer),
        "gates": kinds.gates(cell, kind),
        "states": kinds.states(cell, kind),
        "equations": kinds.equations(cell, kind),
        "weights": kinds.weights(cell, kind),
        "numbers": kinds.numbers(cell, kind, int(d), steps),
        "plan": _plan(layer, x_shape),
    }
    if kind == "stack":
        facts["cells"] = [
            {"class": type(each).__name__, "U": kinds.width(each)}
            for each in cell.cells
        ]
    if image:
        facts["image"] = images.shape(cell, x_shape[2:])
    inner = _one_step(call.arguments["x"] if call else None, x_shape)
    if len(jax.tree.leaves(inner)) > 1:
        each = [prod(one.shape) for one in jax.tree.leaves(inner)]
        more = sum(each) - several.features(inner)
        facts["beside"] = {"size": more, "name": several.name(cell, inner)}
    if call and call.arguments.get("memory") is not None:
        read = jax.tree.leaves(call.arguments["memory"])
        facts["memory"] = [[int(n) for n in array.shape[1:]] for array in read]
        looks = attention.look(facts, cell, call.arguments.get("memory_mask"))
        facts |= {"attention": looks} if looks else {}
    facts["sentences"] = sentences.sentences(facts)
    facts["sentence"] = " ".join(facts["sentences"])
    facts["axes"] = sentences.axes(facts)
    facts["collisions"] = sentences.collisions(facts["axes"])
    facts |= {"returns": None, "experiments": {}, "ledgers": [], "claims": []}
    found, reading = _run(facts, job, kind, steps or 4, inner)
    if found is None or reading is None:
        facts["embedded"] = {"embedded": False, "why": facts["trace"]["why"]}
        return 0
    if "attention" in facts:
        looks = facts["attention"]
        looks["maps"] = attention.recorded(found, looks)
    shown = reading, found
    if image:
        facts["image"] |= images.recorded(cell, reading, found)
        place = images.liveliest(cell, found.states["h"])
        shown = images.of_place(cell, reading, found, place)
    facts["trace"] = pack.pack(layer, kind, *shown, budget)
    limit = facts["trace"]["steps"]["shown"][1]
    best = facts["trace"]["best_units"]
    facts["ledgers"] = ledgers(layer, kind, reading, found, best, limit)
    facts["embedded"] = pack.embed(layer, kind, reading, found, room)
    kept = facts["embedded"]["embedded"]
    return facts["numbers"]["params"] if kept else 0


def _run(
    facts: dict[str, Any], job: Job, kind: str, steps: int, inner: Any
) -> tuple[Trace | None, Reading | None]:
    """Execute what this layer's facts need, all of it in one compilation."""
    layer = job.layer
    together = Together(layer)
    table = shapes.returns(together, layer, kind, steps, inner)
    variants = shapes.variants(together, layer, kind, steps, inner)
    found = reading = drawing = trying = None
    try:
        reading = _reading(facts, job, inner)
        drawing = trace(layer, kind, reading, together)
        tried_on = facts["tried_on"] if facts["tried_on"] != facts["id"] else None
        trying = experiments(together, layer, kind, reading, job.moved, tried_on)
    except NotDrawn as why:
        facts["trace"] = {"drawn": False, "why": str(why)}
    together.run()
    facts["returns"] = table()
    try:
        found = drawing() if drawing else None
    except NotDrawn as why:
        facts["trace"] = {"drawn": False, "why": str(why)}
    facts["experiments"] = variants()
    base = kinds.gated_as(layer.cell, kind)
    facts["experiments"]["sweep"] = shapes.sweep(facts["numbers"]["formula"], base)
    facts["experiments"] |= trying(found) if trying else {}
    return found, reading


def _reading(facts: dict[str, Any], job: Job, inner: Any) -> Reading:
    layer, call, start = job.layer, job.call, job.start
    if job.why:
        raise NotDrawn(job.why)
    if call is None:
        raise NotDrawn("this layer did not run on the sample, so nothing is drawn")
    if call.traced:
        raise NotDrawn("it runs inside a compiled loop, where its steps cannot be seen")
    if isinstance(vars(layer).get("call"), FunctionType):
        raise NotDrawn("its call was replaced on this very layer, by a function")
    if getattr(layer, "width_between", None) is not None:
        raise NotDrawn("its layers above the first read both directions of a pair")
    given = call.arguments
    if given.get("resets") is not None:
        raise NotDrawn("it was called with resets, which this drawing does not follow")
    major = bool(getattr(layer, "time_major", False))
    x = several.joined(given["x"])
    if major:  # everything below is (B, T, ...)
        x = x.swapaxes(0, 1)
    mask = mask_of(given, x.shape[1], major)
    initial = given.get("initial_state")
    leaves = jax.tree.leaves(initial)
    if leaves:
        if facts["wrapper"]:
            half = len(leaves) // 2
            back = facts["direction"] == "backward"
            initial = leaves[half:] if back else leaves[:half]
        start = _started(layer.cell, initial, len(x))
    elif start is None and getattr(layer, "learn_initial_state", False):
        start = flat(layer.get_initial_state(len(x)))
    return Reading(x, mask, start, inner if "beside" in facts else None)


def _started(cell: Any, given: Any, rows: int) -> list[Any]:
    """All states of what was handed in, where some may be left out, or have names."""
    view = as_cell(cell)
    if view is not cell:
        return flat(given)
    fresh = initial_states(cell, rows)
    return flat(packed(view.complete(given, fresh), fresh, names_of(view)))


def _old_cells(layer: Any) -> list[dict[str, Any]]:
    """The user's own cells with a `num_units`, if a driver of old made this layer."""
    driver = getattr(layer, "_driven_by", None)
    parts = driver.cell._flatten_layers() if driver else []
    return [
        {"class": type(part).__name__, "num_units": int(part.num_units)}
        for part in parts
        if hasattr(part, "num_units")
    ]


def mask_of(given: dict[str, Any], steps: int, major: bool) -> np.ndarray | None:
    """The mask (B,T) that a call came with; None where it lets all through."""
    leaves = jax.tree.leaves(given.get("mask"))
    mask = shapes.as_bool(leaves[0]) if leaves else None
    if mask is not None and major:
        mask = mask.swapaxes(0, 1)
    if given.get("lengths") is not None:
        mask = np.arange(steps)[None] < np.asarray(given["lengths"])[:, None]
    return None if mask is None or mask.all() else mask


def _one_step(inputs: Any, shape: list[Any]) -> Any:
    """What one step of one row reads, as a tree of shapes and dtypes."""
    if inputs is None:
        return jax.ShapeDtypeStruct(tuple(shape[2:]), "float32")

    def one(array: Any) -> Any:
        whole = np.issubdtype(array.dtype, np.integer)
        return jax.ShapeDtypeStruct(array.shape[2:], "int32" if whole else "float32")

    return jax.tree.map(one, inputs)


def _declared(layer: Any, call: Call | None) -> list[Any]:
    known = strip.tensor_shapes(layer, "input")
    if known:
        return known[0]
    if call is None:
        return [None, None, int(layer.cell.kernel.shape[0])]
    return [None, None, *[int(n) for n in several.main(call.arguments["x"]).shape[2:]]]


def _wrapper(
    place: strip.Place, facts: dict[str, Any], call: Call | None
) -> dict[str, Any] | None:
    if place.role != "bidirectional":
        return None
    outer, number = place.layer, int(facts["id"][1:])
    other = number + (1 if facts["direction"] == "forward" else -1)
    out = strip.shapes_in(call.output) if call else strip.tensor_shapes(outer, "output")
    return {
        "class": type(outer).__name__,
        "name": str(outer.name),
        "merge_mode": outer.merge_mode,
        "pair": f"r{other}",
        "params": strip.params(outer),
        "output": out[0] if out else None,
    }


def _has(layer: Any, key: str) -> bool:
    return hasattr(layer, key) or hasattr(layer.cell, key)


def _setting(layer: Any, key: str) -> Any:
    return getattr(layer.cell, key) if hasattr(layer.cell, key) else getattr(layer, key)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return activation_name(value)


def _plan(layer: Any, shape: list[Any]) -> str | None:
    ask = getattr(layer, "plan", None)
    if not callable(ask):
        return None
    try:
        return str(ask(tuple(shape)))
    except Exception as error:  # the plan explains; it must not break explaining
        return reason(error)
