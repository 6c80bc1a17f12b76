"""What is said of a recurrent layer: its sentence, its axes, sizes that collide."""

from __future__ import annotations

from typing import Any

from ..gates import GATES
from ..words import listed, plural


def sentences(facts: dict[str, Any]) -> list[str]:
    """The sentence of one recurrent layer, from its facts so far."""
    kind, u, d, t = facts["kind"], facts["U"], facts["D"], facts["T"]["value"]
    noun = kind if kind in GATES else facts["cell_class"]
    backwards = facts["direction"] == "backward"
    times = "once" if t == 1 else f"{t:,} times"
    bare = noun.lower().endswith("cell")
    image = facts.get("image")
    wide = f"{plural(u, 'unit')} wide"
    if image:
        wide = f"with windows of {by(image['kernel_size'])}"
    first = f"One {noun}{'' if bare else ' cell'}, {wide}, "
    if facts.get("cells"):
        first = f"{stack(facts['cells'])}, "
    if t is None:
        first += "applied once per time step, always with the same weights."
    else:
        first += f"applied {times} with the same weights"
        first += ", from the last step to the first." if backwards else "."
    said = [first, f"Each step reads {plural(d, 'feature')}."]
    if image:
        said[1] = f"Each step reads an image of {by(image['reads'])} positions"
        said[1] += f" with {plural(d, 'channel')}."
    if facts.get("beside"):
        more, called = facts["beside"]["size"], facts["beside"]["name"]
        said[1] += f" Beside them it reads {plural(more, 'number')} more"
        said[1] += f": {called}." if called else "."
    if facts.get("attention"):
        wide = facts["attention"]["width"]
        said[1] += f" Beside them it reads the attention of the step before, {wide:,}."
    if facts.get("memory"):
        shapes = [" x ".join(f"{n:,}" for n in shape) for shape in facts["memory"]]
        said[1] += (
            f" It also reads a memory, the same at every step: {listed(shapes)} "
            "numbers per example."
        )
    if facts["T"]["declared"] is None and t is not None:
        said[1] += " The model leaves T open: it comes from the input."
    said.append(images_sentence(facts) if image else state_sentence(facts["states"]))
    said.append(output_sentence(facts))
    if image:
        said.append("At every position and step the same weights are used.")
        return said
    if t is not None and u == t:
        said.append(f"That there are {u:,} units and {t:,} steps is a coincidence.")
    else:
        said.append(f"{u:,} is not the number of steps.")
    return said


def by(sizes: list[int]) -> str:
    """3 x 3; of one size 3."""
    return " x ".join(f"{n:,}" for n in sizes)


def images_sentence(facts: dict[str, Any]) -> str:
    """How large the images are that are carried."""
    both = len(facts["states"]) > 1
    gives, size = facts["image"]["gives"], facts["states"][0]["size"]
    are = "h and c are images" if both else "h is an image"
    return (
        f"{are} of {plural(facts['U'], 'channel')} and {by(gives)} positions: "
        f"{plural(size, 'number')} per example{' each' if both else ''}."
    )


def stack(cells: list[dict[str, Any]]) -> str:
    """What a stack is: how many cells, and how wide they are."""
    widths = list(dict.fromkeys(cell["U"] for cell in cells))
    wide = plural(widths[0], "unit")
    if len(widths) > 1:
        wide = listed([f"{cell['U']:,}" for cell in cells]) + " units"
    return f"One stack of {plural(len(cells), 'cell')}, {wide} wide"


def state_sentence(states: list[dict[str, Any]]) -> str:
    sizes = [state["size"] for state in states]
    keys = [state["key"] for state in states]
    if not states:
        return "It carries no state."
    if keys == ["h", "c"] and sizes[0] != sizes[1]:
        h, c = sizes
        return f"h is {plural(h, 'number')} per example, projected from c's {c:,}."
    if keys == ["h", "c"]:
        each = plural(sizes[0], "number")
        return f"h and c are each {each} per example."
    if keys == ["h"]:
        return f"h is {plural(sizes[0], 'number')} per example."
    named = not any(key[0] == "s" and key[1:].isdecimal() for key in keys)
    called = f", {listed(keys)}," if named else ""
    if len(set(sizes)) == 1 and len(sizes) > 1:
        each = plural(sizes[0], "number")
        return f"Its {len(sizes)} states{called} are each {each} per example."
    words = listed([f"{size:,}" for size in sizes])
    many = f"{len(sizes)} states{called} are" if len(sizes) > 1 else f"state{called} is"
    return f"Its {many} {words} {'number' if sizes == [1] else 'numbers'} per example."


def output_sentence(facts: dict[str, Any]) -> str:
    many = facts["config"].get("return_sequences")
    t = facts["T"]["value"]
    if any(state["is_output"] for state in facts["states"]):
        if not many:
            return "The output is h."
        return (
            f"The output is h at {f'each of the {t:,} steps' if t else 'every step'}."
        )
    each = " at every step" if many else ""
    if facts.get("image"):
        return f"The output is h, and the image that was read behind it{each}."
    return f"The output is {plural(facts['P'], 'number')} per example{each}."


def axes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The four chips."""
    t, b = facts["T"], facts["B"]
    open_steps = (
        "the model leaves it open" if t["declared"] is None else "fixed by the model"
    )
    # Where h is projected, c is as wide as the units.
    wide = [s["key"] for s in facts["states"] if s["shape"][-1:] == [facts["U"]]]
    main = wide[0] if wide else "state"
    reads = "numbers that one step reads"
    width = f"width of the state: one number of {main} per unit, example and step"
    if facts.get("image"):
        reads = "channels of x: numbers that each of its positions has"
        width = "channels of the state: each position has one number of each"
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
            "text": reads,
        },
        {
            "key": "units",
            "letter": "U",
            "size": facts["U"],
            "declared": facts["U"],
            "text": width,
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
