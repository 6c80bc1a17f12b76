"""The 26 confusions, each judged by a check that ran on this very model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras

from ..words import listed, plural
from .case import Case, Facts, Judged
from .sentences import stack

NOT_HERE = "does not apply"


def same_weights(rows: list[Facts], case: Case) -> bool:
    return all(row["params"] == case.numbers["params"] for row in rows)


def c1(c: Case) -> Judged:
    rows, text, ran = c.runs("other_steps")
    sizes = [f"{state['size']:,}" for state in c.layer["states"]]
    width = f"{c.u:,} is the width of {c.keys}"
    if len(set(sizes)) > 1:
        width = f"{listed(sizes)} are the widths of {c.keys}"
    truth = f"{width}; T={c.t:,} comes from the input."
    held = ran and same_weights(rows, c)
    return truth, text, held if ran else None, {"T": [r["T"] for r in rows]}


def c2(c: Case) -> Judged:
    wide, text, ran = c.runs("other_features")
    long, more, also = c.runs("other_steps")
    truth = f"x_t has {plural(c.d, 'feature')}; the sequence has {plural(c.t, 'step')}."
    held = all(
        r["params"] != c.numbers["params"] or r["D"] == c.d for r in wide if r["ran"]
    )
    held = held and same_weights([r for r in long if r["ran"]], c)
    return (
        truth,
        f"{text}; {more}",
        held if ran and also else None,
        {"D": c.d, "T": c.t},
    )


def c3(c: Case) -> Judged:
    what = "One stack" if c.kind == "stack" else "One cell"
    truth = f"{what}, called {plural(c.t, 'time')} with the same weights."
    held = True if c.trace["drawn"] else None
    evidence = c.trace["check"] if c.trace["drawn"] else {}
    return truth, c.stepped, held, dict(evidence)


def c4(c: Case) -> Judged:
    count = len(c.layer["states"])
    each = "one number" if count == 1 else f"{count} numbers, one each of {c.keys}"
    truth = f"A unit has {each}, per step and example: never a vector."
    if len({state["size"] for state in c.layer["states"]}) > 1:
        truth = f"Each row of {c.keys} is one number per step and example."
    if not c.trace["drawn"]:
        return truth, c.trace["why"], None, {}
    blobs = [a["blob"]["shape"] for a in c.trace["arrays"] if a["role"] == "state"]
    e, steps = len(c.trace["examples"]["shown"]), c.trace["steps"]["shown"][1]
    held = all(shape[0] == e and shape[-1] == steps for shape in blobs)
    sizes = f"(examples, units, steps) = {tuple(blobs[0])}"
    text = f"stepped the cell: each state is {sizes}"
    return truth, text, held, {"shapes": blobs}


def c5(c: Case) -> Judged:
    truth = f"One cell, {plural(c.u, 'unit')} wide."
    if c.kind == "stack":
        truth = f"{stack(c.layer['cells'])}."
    arrays = listed([f"{w['name']} {tuple(w['shape'])}" for w in c.layer["weights"]])
    text = f"counted its weights: one set, {arrays}"
    return (
        truth,
        text,
        c.numbers["params"] > 0 or None,
        {"arrays": len(c.layer["weights"])},
    )


def c6(c: Case) -> Judged:
    truth = (
        "All units read the whole h of the step before, through the recurrent kernel."
    )
    return c.experiment(
        "units_talk",
        truth,
        lambda r: r["max_change"] > 0,
        "max_change",
        "separate_params",
    )


def c7(c: Case) -> Judged:
    if not c.known or not c.layer["ledgers"]:
        why = "no verified gates to add up"
        return "Each unit has its own share of every weight array.", why, None, {}
    terms = f"{c.d:,} features + {c.u:,} values of h"
    truth = (
        "Each unit has its own gate values"
        f"{' and its own c' if c.kind == 'LSTM' else ''}, "
        f"from {c.numbers['per_unit']:,} weights; each gate reads {terms}."
    )
    gaps = [gate["difference"] for one in c.layer["ledgers"] for gate in one["gates"]]
    if any(isinstance(gap, str) for gap in gaps):
        return truth, "NaN or infinity in the sums leaves no verdict", None, {}
    text = (
        f"added up {len(gaps)} gate sums term by term: they miss the gate by at most "
        f"{max(gaps):.1g}"
    )
    held = max(gaps) <= max(1e-3, c.trace["check"]["tolerance"] * 10)
    return truth, text, held, {"largest_gap": max(gaps)}


def c8(c: Case) -> Judged:
    gates = c.layer["gates"]
    if not c.known:
        return (
            "Each box emits `units` values.",
            f"a {c.kind} cell has no known gates",
            None,
            {},
        )
    truth = (
        f"Each box emits exactly {c.u:,} values; {plural(len(gates), 'box')}".replace(
            "boxs", "boxes"
        )
    )
    truth += f", {len(gates) * c.u:,} in all."
    columns = next(w["shape"][-1] for w in c.layer["weights"] if w["name"] == "kernel")
    text = f"split the kernel's {columns:,} columns: {len(gates)} x {c.u:,}"
    return truth, text, columns == len(gates) * c.u, {"columns": columns}


def c9(c: Case) -> Judged:
    if not c.known:
        wide = {state["key"]: state["size"] for state in c.layer["states"]}
        truth = "This cell decides itself what its output is."
        key = c.tried.get("output_is_h", {}).get("state")
        if key is not None:
            truth = f"The output is {key}: both are {wide[key]:,} wide."
        if "c" in wide and wide.get("h") == c.layer["P"] < wide["c"]:
            truth = (
                f"The output is h, {wide['h']:,} wide: c's {wide['c']:,}, projected."
            )
        return c.experiment("output_is_h", truth, lambda r: True, "equal")
    truth = f"The output is h: both are {c.u:,} wide."
    return c.experiment("output_is_h", truth, lambda r: r["equal"], "equal")


def c10(c: Case) -> Judged:
    table = c.layer["returns"]
    rows = [r for r in table["rows"] if not r["return_state"] and not r["stateful"]]
    steps = table["ran_with"]["T"]
    truth = f"T vectors of {c.layer['P']:,}, one per step; without it one vector."
    if not all(r["ran"] for r in rows):
        return truth, "; ".join(str(r["error"]) for r in rows if r["error"]), None, {}
    one, many = rows[0]["shapes"][0], rows[1]["shapes"][0]
    text = f"ran both: {rows[1]['text'][0]} with it, {rows[0]['text'][0]} without"
    along = 0 if c.layer["config"].get("time_major") else 1
    held = many[along] == steps and one[1:] == many[2:]
    return truth, text, held, {"with": many, "without": one}


def c11(c: Case) -> Judged:
    truth = f"Every unit sees all {plural(c.d, 'feature')} of the step."
    return c.experiment(
        "fan_in", truth, lambda r: r["moved"] > 1 or r["of"] == 1, "moved", "of"
    )


def c12(c: Case) -> Judged:
    rows, text, ran = c.runs("other_features")
    truth = f"The kernel maps any D (here {c.d:,}) to "
    truth += (
        f"{len(c.layer['gates']) * c.u:,} columns." if c.known else "its own width."
    )
    same = ran and all(r["output"][-1] == c.layer["P"] for r in rows)
    if ran and not same and not c.known:
        # Such as a neural Turing machine, unless it is told a width.
        truth = f"It reads any D (here {c.d:,}): its output is as wide."
        same = all(r["output"][-1] == r["D"] for r in rows)
    return truth, text, same if ran else None, {"D": [r["D"] for r in rows if "D" in r]}


def c13(c: Case) -> Judged:
    formula = c.numbers["formula"]
    if not formula:
        return (
            "It depends on the cell.",
            f"a {c.kind} cell has no known formula",
            None,
            {},
        )
    g = formula["G"]
    truth = f"This {c.kind} has {'one such matrix' if g == 1 else f'{g} of them'}: "
    truth += formula["numeric"] + "."
    text = f"counted the built weights: {c.numbers['params']:,}"
    return truth, text, formula["equals_keras"], {"total": formula["total"]}


def c14(c: Case) -> Judged:
    if c.kind != "LSTM":
        why = f"a {c.kind} has no c" if c.known else "this cell names its own states"
        return (
            "c is the gated memory; h is both output and recurrent input.",
            why,
            None,
            {},
        )
    truth = (
        f"c ({c.u:,} numbers) is the gated memory; h ({c.u:,}) is output and "
        "recurrent input."
    )
    if not c.trace["drawn"] or not any(a["key"] == "o" for a in c.trace["arrays"]):
        return truth, c.stepped, None, {}
    text = (
        "rebuilt h_t = o * tanh(c_t) at every step from the gates: it is the layer's h"
    )
    return truth, text, True, dict(c.trace["check"])


def c15(c: Case) -> Judged:
    truth = f"It has h: SimpleRNN({c.u}) carries {plural(c.u, 'number')} per example."
    return c.experiment(
        "simple_rnn", truth, lambda r: r["difference"] > 0, "difference"
    )


def c16(c: Case) -> Judged:
    truth = (
        f"{c.numbers['params']:,} weights persist; the state is "
        f"{plural(c.numbers['state_per_example'], 'number')} per example."
    )
    return c.experiment(
        "weights_changed", truth, lambda r: r["identical"], "identical", "states_apart"
    )


def c17(c: Case) -> Judged:
    truth = (
        "Rows of a batch are independent and parallel; order across calls is "
        "`stateful`."
    )
    return c.experiment(
        "rows_independent",
        truth,
        lambda r: r["max_difference"] < c.allowed,
        "max_difference",
    )


def c18(c: Case) -> Judged:
    truth = (
        "It may have lost it: what an early step still does to the end can be measured."
    )
    return c.experiment("forget", truth, lambda r: True, "most", "least")


def c19(c: Case) -> Judged:
    truth = "A zero input still moves the state; a mask carries it over unchanged."
    return c.experiment(
        "zero_or_mask",
        truth,
        lambda r: r["moved_mask"] < 1e-6 and r["moved_zero"] > r["moved_mask"],
        "moved_zero",
        "moved_mask",
    )


def c20(c: Case) -> Judged:
    blocks = [n for n in c.facts["strip"]["nodes"] if n["role"] == "embedding"]
    truth = "An embedding maps a vocabulary to D; `units` is chosen apart from it."
    if not blocks:
        return truth, "this model has no embedding", None, {}
    _rows, text, ran = c.runs("other_units")
    truth = f"{blocks[0]['name']} has {blocks[0]['params']:,} numbers and makes x_t of "
    truth += f"{plural(c.d, 'feature')}; it does not know `units`."
    text = f"kept its output and changed units: {text}"
    return truth, text, ran or None, {"embedding_params": blocks[0]["params"]}


def c21(c: Case) -> Judged:
    arrows = [e for e in c.facts["strip"]["edges"] if e["kind"] == "state"]
    truth = "The encoder's final state is the decoder's initial state."
    if not arrows:
        return truth, "no layer of this model hands its state to another one", None, {}
    nodes = {n["id"]: n["name"] for n in c.facts["strip"]["nodes"]}
    drawn = [
        layer
        for layer in c.facts["layers"]
        if layer["node"] in {a["to"] for a in arrows} and layer["trace"].get("initial")
    ]
    pairs = listed([f"{nodes[a['from']]} to {nodes[a['to']]}" for a in arrows[:2]])
    text = f"followed the wires ({pairs}) and stepped the receiver from that state"
    return truth, text, True if drawn else None, {"arrows": len(arrows)}


def c22(c: Case) -> Judged:
    rows = [r for r in c.layer["returns"]["rows"] if r["return_state"] and r["ran"]]
    first = c.layer["states"][0]["shape"] if c.layer["states"] else []
    wide = first[-1] if first else c.u  # h, where c is as wide as the units
    truth = f"It is the {wide:,}-wide state at one step; the picture unrolled is time."
    if not rows:
        return truth, "no variant with return_state ran", None, {}
    at = c.layer["returns"]["outputs"]  # the first state comes after the outputs
    shape = rows[0]["shapes"][at]
    text = f"ran it with return_state: the state is {rows[0]['text'][at]}, without T"
    return truth, text, list(shape[1:]) == first, {"state_shape": shape}


def c23(c: Case) -> Judged:
    rows, text, ran = c.runs("other_units")
    truth = f"{c.u:,} is a choice; weights grow about with its square."
    if not ran:
        return truth, text, None, {}
    sizes = [r["params"] for r in rows]
    held = all(
        a != c.numbers["params"] or r["units"] == c.u
        for a, r in zip(sizes, rows, strict=True)
    )
    return truth, text, held, {"units": [r["units"] for r in rows], "params": sizes}


def c24(c: Case) -> Judged:
    truth = (
        "Row i's final state starts row i of the next batch; shapes and weights stay."
    )
    return c.experiment(
        "stateful",
        truth,
        lambda r: r["carries_max_difference"] < c.allowed,
        "carries_max_difference",
        "fresh_difference",
    )


def c25(c: Case) -> Judged:
    truth = "Wrap the cell: your code sees h at every step, inside the compiled loop."
    return c.experiment(
        "every_step",
        truth,
        lambda r: r["max_difference"] < c.allowed,
        "max_difference",
        "code",
    )


def c26(c: Case) -> Judged:
    name = c.layer["config"].get("recurrent_activation")
    truth = "Keras 3's default is sigmoid; hard_sigmoid was Keras 1 and 2."
    if name is None:
        return truth, f"a {c.kind} cell has no recurrent_activation", None, {}
    arguments = inspect.signature(keras.layers.LSTM).parameters
    default = arguments["recurrent_activation"].default
    truth = f"This layer says {name}. {truth}"
    text = f"read the configuration: {name}; read Keras's own of LSTM: {default}"
    return truth, text, default == "sigmoid", {"here": name, "default": default}


CLAIMS: list[tuple[int, str, str, Callable[[Case], Judged]]] = [
    (1, "`units` is the sequence length", "steps_slider", c1),
    (2, '"input size" is the number of elements in the sequence', "axis_chips", c2),
    (3, "n steps need n units, or n cells", "unroll", c3),
    (4, "each unit has a hidden vector", "unit_click", c4),
    (5, '"one block" against "N cells"', "cell_box", c5),
    (6, "`units=n` is n independent RNNs", "cut_off_diagonal", c6),
    (7, "a unit is the whole textbook figure", "figure_row", c7),
    (8, '"size" is not the number of nodes', "strips", c8),
    (9, "output size and hidden size are different settings", "output_colour", c9),
    (10, '`return_sequences` passes "all N outputs" on', "return_toggle", c10),
    (11, "one lagged input per unit", "fan_in", c11),
    (12, "the input must be `units` wide", "kernel_scale", c12),
    (13, "one [state+input, state] matrix", "formula", c13),
    (
        14,
        'an LSTM carries "hidden state = memory" plus "previous output"',
        "rails",
        c14,
    ),
    (15, "a simple RNN stores nothing", "side_by_side", c15),
    (16, "the storage is mainly the weights", "counters", c16),
    (17, "150 characters = batch of 3 x 50 read one after the other", "rows", c17),
    (18, 'the last output "contains all" earlier information', "blank_step", c18),
    (19, "pad with zeros to give input only once", "zero_or_mask", c19),
    (20, "an embedding has to do with the cell size", "upstream", c20),
    (21, "the encoder's output is the decoder's input", "state_arrow", c21),
    (22, '"hidden layer" means the unrolled picture', "two_axes", c22),
    (23, "128 is special; more is better", "units_slider", c23),
    (24, "(asked) what does `stateful` change?", "two_batches", c24),
    (25, "(asked) how do I use h at each step?", "code", c25),
    (26, "`recurrent_activation` is `hard_sigmoid`", "configuration", c26),
]


def judge(facts: Facts) -> list[dict[str, Any]]:
    """All 26 rows of every layer; those of the first that is drawn are the model's."""
    able = [layer for layer in facts["layers"] if layer["kind"] != "convolutional"]
    for layer in able:
        layer["claims"] = _rows(layer, facts)
    drawn = [layer for layer in able if layer["trace"]["drawn"]]
    return (drawn or able)[0]["claims"] if able else []


def _rows(layer: Facts, facts: Facts) -> list[dict[str, Any]]:
    case = Case(layer, facts)
    rows = []
    for number, heard, view, check in CLAIMS:
        truth, executed, held, evidence = check(case)
        verdict = NOT_HERE if held is None else "shown" if held else "failed"
        row = {"id": number, "heard": heard, "truth": truth, "executed": executed}
        row |= {"verdict": verdict, "evidence": evidence, "view": view}
        rows.append(row | {"layer": layer["id"]})
    return rows
