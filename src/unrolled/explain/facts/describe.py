"""describe(model, sample) -> facts: plain data that every renderer reads.

The fields are written down in schema.md. Numbers come from Keras itself or from
something that was run on this model; where something could not be run, the facts
say why in its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._borrowed import no_names_taken
from .. import words
from ..blobs import encode
from . import code, kinds, levels, pack, program, recurrent, returned, strip, tokens
from .claims import judge
from .doubles import Doubles
from .sample import Sample, fit, synthetic
from .together import variables
from .watch import Call, build, promoting, run, watched

SCHEMA = "unrolled.explain/1"


def describe(model: Any, sample: Any = None, *, seed: int = 0) -> dict[str, Any]:
    """Everything that can be said about the recurrent layers of a model.

    Args:
        model: any Keras model or layer, stock recurrent layers included.
        sample: one example (T, D), a batch (B, T, D), token ids (T,) or (B, T), or
            a list or dict of arrays for a model with several inputs. Without it a
            synthetic input is made from `seed`, and every panel says so.
        seed: of the synthetic input.

    Returns:
        Plain data (schema.md): dicts, lists, strings, numbers, booleans, None.
    """
    if not hasattr(model, "_flatten_layers"):
        raise TypeError(
            "explain wants a Keras model or layer. Got an object of type "
            f"{type(model).__name__}."
        )
    data = synthetic(model, seed) if sample is None else fit(model, sample)
    found = strip.places(model)
    with promoting():
        build(model, data)
        with no_names_taken():
            return _describe(model, data, found, seed)


def _describe(
    model: Any,
    data: Sample,
    found: list[strip.Place],
    seed: int,
) -> dict[str, Any]:
    import keras

    doubles = Doubles()
    jobs = recurrent.jobs(found, doubles)
    # The model runs with the doubles' numbers, and what it assigns is thrown away.
    numbers = [(v, doubles.of(v).value) for v in variables(model)]
    aside = keras.StatelessScope(numbers, collect_losses=True)
    with watched([p.layer for p in found]) as calls, aside as scope:
        run(model, data)
    moved = [v for v, n in numbers if _moved(scope.get_current_value(v), n)]
    recurrent.note_moved(jobs, {id(doubles.of(v)) for v in moved})
    facts: dict[str, Any] = {"schema": SCHEMA, "title": str(model.name)}
    facts |= {"sentence": None, "model": _model(model), "notes": list(data.notes)}
    lookups = tokens.lookups(found, calls)
    facts |= _inputs(data, seed, lookups)
    for array in data.arrays:
        facts["notes"] += tokens.note(array, lookups)
    for layer in (place.layer for place in found):
        cell = getattr(layer, "cell", None)  # its failure is the layer's too
        said = (cell and code.unsaid(cell)) or code.unsaid(layer)
        facts["notes"] += [said] if said else []
    jobs = levels.apart(jobs, calls)
    layers = recurrent.layers(jobs, calls, facts["notes"])
    for job, layer in zip(jobs, layers, strict=True):
        x = job.call.arguments["x"] if job.call and not job.call.traced else None
        layer["tokens"] = tokens.read_by(x, data.arrays, lookups)
    facts["strip"] = {
        "nodes": [_node(place, calls) for place in found],
        "edges": strip.edges(model, found),
    }
    facts["layers"] = layers
    if layers:
        facts["sentence"] = layers[0]["sentence"]
    else:
        facts["notes"].insert(0, "This model has no recurrent layer.")
    facts["claims"] = judge(facts)
    facts["dictionary"] = words.dictionary(layers)
    facts["limits"] = pack.LIMITS
    return facts


def _moved(now: Any, before: Any) -> bool:
    return now is not before and not np.array_equal(now, before, equal_nan=True)


def _model(model: Any) -> dict[str, Any]:
    import keras

    return {
        "name": str(model.name),
        "class": type(model).__name__,
        "params": int(model.count_params()),
        "trainable_params": sum(strip.count(w) for w in model.trainable_weights),
        "code": program.of_model(model),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }


def _inputs(data: Sample, seed: int, lookups: list[dict[str, Any]]) -> dict[str, Any]:
    stamp = f"synthetic input, seed {seed}" if data.synthetic else None
    rows = []
    for name, array, declared in zip(
        data.names, data.arrays, data.declared, strict=True
    ):
        whole = array[: pack.MAX_EXAMPLES]
        small = whole.size <= pack.INPUT_NUMBERS
        whole_numbers = array.dtype.kind in "iu"
        code = "f32" if whole.size <= 20_000 else "q16"
        kind, known = "other", tokens.vocabulary(array, lookups)
        if array.ndim == 3:
            kind = "series" if array.shape[2] == 1 else "rows"
        elif known or (array.ndim == 2 and whole_numbers):
            kind = "tokens"
        rows.append(
            {
                "synthetic": data.synthetic,
                "stamp": stamp,
                "name": name,
                "shape": list(array.shape),
                "declared": declared,
                "dtype": str(array.dtype),
                "kind": kind,
                "vocabulary": known,
                "values": encode(whole, "i32" if whole_numbers else code)
                if small
                else None,
                "text": None if small else f"not kept: {whole.size:,} numbers",
            }
        )
    return {"input": rows[0], "inputs": rows}


def _node(place: strip.Place, calls: dict[int, list[Call]]) -> dict[str, Any]:
    layer = place.layer
    seen = calls.get(id(layer)) or []
    ran_in = ran_out = None
    if seen:
        ran_in = strip.shapes_in(seen[0].arguments.get("x"))
        ran_out = strip.shapes_in(seen[0].output)
    node: dict[str, Any] = {
        "id": place.id,
        "parent": place.parent,
        "depth": place.depth,
        "name": str(layer.name),
        "class": type(layer).__name__,
        "role": place.role,
        "params": strip.params(layer),
        "in": strip.tensor_shapes(layer, "input"),
        "out": strip.tensor_shapes(layer, "output"),
        "ran_in": ran_in,
        "ran_out": ran_out,
        "returns": "",
        "layers": place.names,
        "code": code.of_layer(layer) if place.role != "model" else type(layer).__name__,
    }
    if place.role == "embedding" and getattr(layer, "input_dim", None):
        node["vocabulary"] = int(layer.input_dim)
    node |= _axes(place, ran_in or node["in"], ran_out or node["out"])
    outs = [s for s in ran_out or node["out"] if s]
    texts = [returned.text(s, a) for s, a in zip(outs, node["axes_out"], strict=True)]
    called = _called(place, ran_in, len(texts))
    named = [f"{one} {text}" for one, text in zip(called, texts, strict=False)]
    node["returns"] = words.listed(named or texts)
    return node


def _axes(place: strip.Place, ins: list[Any], outs: list[Any]) -> dict[str, Any]:
    """What lies along each axis of what a node reads and returns."""
    outs = [one for one in outs if one]
    if place.role not in ("recurrent", "bidirectional"):
        plain = [
            ["batch", *[None] * (len(one) - 1)] for one in (*ins[:1], *outs) if one
        ]
        first = plain[:1] if ins and ins[0] else []
        return {"axes_in": first, "axes_out": plain[len(first) :]}
    read = [returned.axes_in(place.layer, len(ins[0]))] if ins and ins[0] else []
    ranks = [len(one) for one in outs]
    return {"axes_in": read, "axes_out": returned.axes_out(place.layer, ranks)}


def _called(place: strip.Place, ran_in: Any, many: int) -> list[str]:
    """What each returned array is, where it is known: h_28, c_28."""
    layer = place.layer
    if place.role not in ("recurrent", "bidirectional") or not ran_in or not ran_in[0]:
        return []
    half = layer.forward_layer if place.role == "bidirectional" else layer
    kind, major = kinds.kind_of(half.cell), bool(getattr(layer, "time_major", False))
    if place.role == "bidirectional":
        found = returned.of_pair(layer, kind)
    else:
        steps = ran_in[0][0 if major else 1]
        found = returned.meanings(layer, kind, returned.flags_of(layer), steps)
    return found if len(found) == many else []
