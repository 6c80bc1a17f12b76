"""Words that both rooms say: lists, counts, the dictionary, and where it was tried.

Beneath both: facts hold them for the model, the page says them of the chosen layer.
"""

from __future__ import annotations

from typing import Any

from .gates import GATES

Facts = dict[str, Any]


def listed(items: list[str]) -> str:
    """a, b and c."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def tried(layer: Facts, facts: Facts, key: str) -> tuple[Facts, str]:
    """An experiment of a layer and, if it ran on another one of the model, where."""
    own = layer["experiments"].get(key) or {"ran": False, "text": "was not run"}
    for other in facts["layers"]:
        if other["id"] == layer["tried_on"] != layer["id"]:
            theirs = other["experiments"].get(key)
            if theirs and not own["ran"]:
                return theirs, f"tried on {other['name']}: "
    return own, ""


def _old(layers: list[Facts], kind: str, units: int) -> Facts:
    """The user's own cell of the old names, and whose it is; else what it would be."""
    for one in layers:
        for cell in one.get("old_cells", []):
            said = f"tf1.{cell['class']}(num_units={cell['num_units']})"
            return {"example": said, "layer": one["id"]}
    return {"example": f"tf.nn.rnn_cell.{kind}(num_units={units})", "layer": None}


def dictionary(layers: list[Facts]) -> Facts:
    """What other libraries call the same number, and the four meanings of cell."""
    real = [one for one in layers if one["kind"] in GATES]
    u = real[0]["U"] if real else 128
    d = real[0]["D"] if real else 28
    kind = real[0]["kind"] if real else "LSTM"
    t = (real[0]["T"]["value"] if real else None) or "T"
    torch = {"SimpleRNN": "RNN"}.get(kind, kind)
    tf1 = {"LSTM": "LSTMCell", "GRU": "GRUCell", "SimpleRNN": "BasicRNNCell"}[kind]
    return {
        "units": [
            {"library": "Keras", "name": "units", "example": f"{kind}({u})"},
            {"library": "TensorFlow 1", "name": "num_units", **_old(layers, tf1, u)},
            {
                "library": "PyTorch",
                "name": "hidden_size",
                "example": f"torch.nn.{torch}(input_size={d}, hidden_size={u})",
            },
        ],
        "cell": [
            {
                "meaning": "the function applied at one step",
                "here": "this is what these pages mean: one per layer",
            },
            {
                "meaning": "its drawn copy at time t",
                "here": f"{t} drawings of the same function, not {t} cells",
            },
            {
                "meaning": "one memory unit (older papers)",
                "here": f"one of the {u} rows; here it is called a unit",
            },
            {
                "meaning": "the cell state c",
                "here": f"{u} numbers per example"
                if kind == "LSTM"
                else f"a {kind} has none: its state is h alone",
            },
        ],
        "words": [
            {"word": "units", "means": "width of the state", "never": "steps or cells"},
            {"word": "cell", "means": "the function of one step", "never": "a copy"},
            {"word": "time step", "means": "one position", "never": "a unit or a cell"},
            {"word": "features", "means": "width of one step's input", "never": "T"},
            {
                "word": "batch",
                "means": "independent sequences",
                "never": "windows of one",
            },
            {
                "word": "state",
                "means": "h, or h and c, carried on",
                "never": "the output",
            },
            {
                "word": "gate",
                "means": "a block of `units` numbers",
                "never": "one number",
            },
        ],
    }
