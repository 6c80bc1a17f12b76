"""Facts as terminal text: width-aware, colour only where the terminal wants it."""

from __future__ import annotations

import io
import textwrap
from typing import Any

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..blobs import decode
from . import style

Facts = dict[str, Any]
ASCII = str.maketrans("×·–—…", "x*--.")
STRIP_ROWS = 12


def clean(text: Any) -> str:
    """Text without control or direction characters: names come from strangers."""
    hidden = {"\u061c", "\u200e", "\u200f", *map(chr, (*range(0x202A, 0x202F),))}
    hidden |= set(map(chr, range(0x2066, 0x206A)))
    return "".join(
        "�"
        if c in hidden or (ord(c) < 32 and c not in "\n") or 126 < ord(c) < 160
        else c
        for c in str(text)
    )


def render(facts: Facts, *, width: int = 80, ascii_only: bool = False) -> str:
    """The whole explanation as plain text without colour."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, no_color=True, highlight=False)
    show(facts, console, ascii_only=ascii_only)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def show(facts: Facts, console: Console, *, ascii_only: bool | None = None) -> None:
    """Print to a rich console; NO_COLOR and the width are the console's business."""
    plain = (
        console.encoding.lower().find("utf") < 0 if ascii_only is None else ascii_only
    )
    page = _Page(console, plain)
    page.line(clean(facts["title"]), "bold")
    page.gap()
    if not facts["layers"]:
        page.wrapped(" ".join(clean(n) for n in facts["notes"]))
        return
    for stamp in {one["stamp"] for one in facts["inputs"] if one["stamp"]}:
        page.line(f"[{stamp}]", "reverse")
    for note in facts["notes"]:
        page.wrapped("Note: " + clean(note))
    for layer in facts["layers"]:
        _layer(page, layer, facts)
    _claims(page, facts["claims"])


class _Page:
    """Printing in one width, in one character set."""

    def __init__(self, console: Console, ascii_only: bool) -> None:
        self.console, self.ascii_only = console, ascii_only
        self.width = max(20, min(console.width, 100))

    def fit(self, text: str) -> str:
        if not self.ascii_only:
            return text
        return text.translate(ASCII).encode("ascii", "replace").decode()

    def line(self, text: str, look: str = "") -> None:
        self.console.print(Text(self.fit(text), look), soft_wrap=True)

    def wrapped(self, text: str, indent: str = "", look: str = "") -> None:
        for piece in textwrap.wrap(text, self.width - len(indent)) or [""]:
            self.line(indent + piece, look)

    def gap(self) -> None:
        self.console.print()


def _layer(page: _Page, layer: Facts, facts: Facts) -> None:
    name = clean(layer["name"])
    page.line(f"{name}: {clean(layer['code'])}", "bold")
    page.wrapped(clean(layer["sentence"]))
    if layer["wrapper"]:
        pair = layer["wrapper"]
        whole = f"{pair['class']}: two directions, {pair['params']:,} weights together"
        merged = f", merged by {pair['merge_mode']}" if pair["merge_mode"] else ""
        page.wrapped(f"{whole}{merged}.")
    page.gap()
    _chips(page, layer)
    for one in layer["collisions"]:
        page.wrapped("Careful: " + one["text"] + ".", look="yellow")
    page.gap()
    _numbers(page, layer)
    if layer["returns"]:
        page.gap()
        _returns(page, layer["returns"])
    page.gap()
    _strip(page, layer, facts)
    page.gap()


def _chips(page: _Page, layer: Facts) -> None:
    text = Text()
    used = 0
    for chip in layer["axes"]:
        axis = style.AXES[chip["key"]]
        size = "?" if chip["size"] is None else f"{chip['size']:,}"
        mark = axis.letter if page.ascii_only else f"{axis.glyph} {axis.letter}"
        word = f"{mark}={size} {axis.label}"
        if used and used + cell_len(word) + 3 > page.width:
            text.append("\n")
            used = 0
        elif used:
            text.append("   ")
            used += 3
        text.append(word, axis.terminal)
        used += cell_len(word)
    page.console.print(text, soft_wrap=True)


def _numbers(page: _Page, layer: Facts) -> None:
    numbers = layer["numbers"]
    formula = numbers["formula"]
    if formula:
        page.line(f"weights  {formula['symbolic']}")
        page.line(f"         {formula['numeric']}", "bold")
    else:
        page.line(f"weights  {numbers['params']:,}")
    if numbers["per_unit"]:
        page.line(f"         {numbers['per_unit']:,} per unit; no T in the formula")
    page.line(f"state    {numbers['state_per_example']:,} numbers per example")
    if numbers["multiply_adds_step"]:
        line = f"work     {numbers['multiply_adds_step']:,} multiply-adds a step"
        if numbers["multiply_adds_sequence"]:
            line += f", {numbers['multiply_adds_sequence']:,} a sequence"
        page.line(line)


def _returns(page: _Page, table: Facts) -> None:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in ("sequences", "state", "stateful", "returns (executed)"):
        grid.add_column(head, no_wrap=head != "returns (executed)", style="")
    for row in table["rows"]:
        flags = [
            "yes" if row[key] else "no"
            for key in ("return_sequences", "return_state", "stateful")
        ]
        if row["ran"]:
            result = ", ".join(
                f"{m} {s}" for m, s in zip(row["meaning"], row["text"], strict=False)
            )
        else:
            result = "did not run: " + clean(row["error"])
        mark = " <- this layer" if row["current"] else ""
        cells = [page.fit(escape(part)) for part in (*flags, result + mark)]
        grid.add_row(*cells, style="bold" if row["current"] else "")
    page.console.print(grid, width=page.width)


def _strip(page: _Page, layer: Facts, facts: Facts) -> None:
    trace = layer["trace"]
    if not trace["drawn"]:
        page.wrapped("Not drawn: " + clean(trace["why"]))
        return
    stamp = facts["input"]["stamp"]
    row = trace["arrays"][0]
    values = decode(row["blob"])[0]  # (U', T')
    shown = trace["units"]["shown"]
    place = {unit: n for n, unit in enumerate(shown)}
    best = [u for u in trace["best_units"] if u in place][:STRIP_ROWS]
    picked = sorted(best)
    labels = len(f"unit {max(picked, default=0)}") + 1
    width = max(1, min(values.shape[1], page.width - labels - 1))
    head = f"{row['key']} of example 0, steps to the right, units downwards"
    steps = values.shape[1]
    if width < steps:
        head += f", steps 1 to {width} of {trace['steps']['of']:,}"
    elif trace["steps"]["text"]:
        head += f", {trace['steps']['text']}"
    total = layer["states"][0]["size"]  # h may be narrower than c
    if len(picked) < total:
        head += f"; {len(picked)} of {total:,} units, by variance"
    page.wrapped(head + (f" [{stamp}]" if stamp else ""))
    for unit in picked:
        bar = levels(values[place[unit], :width], row["blob"], page.ascii_only)
        page.line(f"{f'unit {unit}':<{labels}}{bar}", style.AXES["units"].terminal)
    low, high = row["blob"]["min"], row["blob"]["max"]
    marks = style.LEVELS_ASCII if page.ascii_only else style.LEVELS
    page.line(f"{'':<{labels}}{marks[0]} {low:.2g} to {marks[-1]} {high:.2g}", "dim")


def levels(values: Any, blob: Facts, ascii_only: bool) -> str:
    """One character of eight levels per step; ? where the value is not finite."""
    marks = style.LEVELS_ASCII if ascii_only else style.LEVELS
    span = (blob["max"] - blob["min"]) or 1.0
    return "".join(
        marks[min(7, max(0, int((v - blob["min"]) / span * 8)))]
        if np.isfinite(v)
        else "?"
        for v in np.asarray(values)
    )


def _claims(page: _Page, claims: list[Facts]) -> None:
    shown = [one for one in claims if one["verdict"] != "does not apply"]
    if not shown:
        return
    page.line(
        f"What people say, checked on this model ({len(shown)} of {len(claims)})",
        "bold",
    )
    for one in shown:
        bad = one["verdict"] == "failed"
        page.wrapped(f"{one['id']:>2}. heard: {one['heard']}")
        mark = "THE CHECK FAILED: " if bad else ""
        page.wrapped(mark + clean(one["truth"]), "    ", "red" if bad else "bold")
        page.wrapped(f"({clean(one['executed'])})", "    ", "dim")
