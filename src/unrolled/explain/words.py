"""Sentences: what a recurrent layer is, with this model's own numbers."""

from __future__ import annotations

from typing import Any

from .facts import kinds

# What a state or gate is for, by its key in the trace.
MEANINGS = {
    "h": "what the layer says",
    "c": "what it keeps",
    "i": "how much is let in",
    "f": "how much is kept",
    "g": "what could be written",
    "hh": "what could be written",
    "o": "how much is shown",
    "z": "how much stays as it was",
    "r": "how much of h is read",
    "y": "what the cell returns",
}


def listed(items: list[str]) -> str:
    """a, b and c."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sentences(facts: dict[str, Any]) -> list[str]:
    """The sentence of one recurrent layer, from its facts so far."""
    kind, u, d, t = facts["kind"], facts["U"], facts["D"], facts["T"]["value"]
    if kind == "ConvLSTM":
        return [
            f"A {facts['class']}: one cell, the same weights at every step.",
            "Its h and c are images, not rows of units; words and shapes describe it.",
        ]
    noun = kind if kind in kinds.GATES else facts["cell_class"]
    article = "One" if kind != "stack" else "One stack of cells:"
    backwards = facts["direction"] == "backward"
    times = "once" if t == 1 else f"{t:,} times"
    bare = noun.lower().endswith("cell") or kind == "stack"
    first = f"{article} {noun}{'' if bare else ' cell'}, "
    first += f"{plural(u, 'unit')} wide, "
    if t is None:
        first += "applied once per time step, always with the same weights."
    else:
        first += f"applied {times} with the same weights"
        first += ", from the last step to the first." if backwards else "."
    said = [first, f"Each step reads {plural(d, 'feature')}."]
    if facts["T"]["declared"] is None and t is not None:
        said[1] += " The model leaves T open: it comes from the input."
    said.append(state_sentence(facts["states"]))
    said.append(output_sentence(facts))
    if t is not None and u == t:
        said.append(f"That there are {u:,} units and {t:,} steps is a coincidence.")
    else:
        said.append(f"{u:,} is not the number of steps.")
    return said


def state_sentence(states: list[dict[str, Any]]) -> str:
    sizes = [state["size"] for state in states]
    keys = [state["key"] for state in states]
    if not states:
        return "It carries no state."
    if keys == ["h", "c"]:
        each = plural(sizes[0], "number")
        return f"h and c are each {each} per example."
    if keys == ["h"]:
        return f"h is {plural(sizes[0], 'number')} per example."
    if len(set(sizes)) == 1 and len(sizes) > 1:
        each = plural(sizes[0], "number")
        return f"Its {len(sizes)} states are each {each} per example."
    words = listed([f"{size:,}" for size in sizes])
    many = f"{len(sizes)} states are" if len(sizes) > 1 else "state is"
    return f"Its {many} {words} {'number' if sizes == [1] else 'numbers'} per example."


def output_sentence(facts: dict[str, Any]) -> str:
    many = facts["config"].get("return_sequences")
    t = facts["T"]["value"]
    if facts["kind"] in kinds.GATES:
        if not many:
            return "The output is h."
        return (
            f"The output is h at {f'each of the {t:,} steps' if t else 'every step'}."
        )
    each = " at every step" if many else ""
    return f"The output is {plural(facts['P'], 'number')} per example{each}."


def axes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The four chips."""
    t, b = facts["T"], facts["B"]
    open_steps = (
        "the model leaves it open" if t["declared"] is None else "fixed by the model"
    )
    main = facts["states"][0]["key"] if facts["states"] else "state"
    return [
        {
            "key": "batch",
            "letter": "B",
            "size": b["value"],
            "declared": b["declared"],
            "text": "independent sequences side by side",
        },
        {
            "key": "steps",
            "letter": "T",
            "size": t["value"],
            "declared": t["declared"],
            "text": f"positions in the sequence; {open_steps}",
        },
        {
            "key": "features",
            "letter": "D",
            "size": facts["D"],
            "declared": facts["D"],
            "text": "numbers that one step reads",
        },
        {
            "key": "units",
            "letter": "U",
            "size": facts["U"],
            "declared": facts["U"],
            "text": f"width of the state: one number of {main} per unit, example and "
            "step",
        },
    ]


def collisions(chips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sizes that two axes share, which is how axes get confused."""
    by_size: dict[int, list[str]] = {}
    for chip in chips:
        if chip["size"] is not None and chip["size"] > 1:
            by_size.setdefault(chip["size"], []).append(chip["key"])
    times = {2: "twice", 3: "three times", 4: "four times"}
    return [
        {
            "size": size,
            "axes": keys,
            "text": f"{size:,} appears {times[len(keys)]}: {listed(keys)}",
        }
        for size, keys in by_size.items()
        if len(keys) > 1
    ]


def dictionary(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """What other libraries call the same number, and the four meanings of cell."""
    real = [one for one in layers if one["kind"] in kinds.GATES]
    u = real[0]["U"] if real else 128
    d = real[0]["D"] if real else 28
    kind = real[0]["kind"] if real else "LSTM"
    t = (real[0]["T"]["value"] if real else None) or "T"
    torch = {"SimpleRNN": "RNN"}.get(kind, kind)
    tf1 = {"LSTM": "LSTMCell", "GRU": "GRUCell", "SimpleRNN": "BasicRNNCell"}[kind]
    return {
        "units": [
            {"library": "Keras", "name": "units", "example": f"{kind}({u})"},
            {
                "library": "TensorFlow 1",
                "name": "num_units",
                "example": f"tf.nn.rnn_cell.{tf1}(num_units={u})",
            },
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
