"""What the check of a claim is given: one layer's facts, and what was tried on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..gates import GATES
from ..words import listed, plural, tried

Facts = dict[str, Any]
# (truth, executed, held, evidence); held None = does not apply.
Judged = tuple[str, str, bool | None, dict[str, Any]]


class Case:
    """The facts of one layer with short names for the checks."""

    def __init__(self, layer: Facts, facts: Facts) -> None:
        self.layer, self.facts = layer, facts
        self.u, self.d = layer["U"], layer["D"]
        self.t = layer["T"]["value"] or 1
        self.kind, self.numbers = layer["kind"], layer["numbers"]
        self.known = self.kind in GATES
        self.keys = listed([state["key"] for state in layer["states"]])
        self.tried = layer["experiments"]
        self.trace = layer["trace"]

    @property
    def allowed(self) -> float:
        """How far two ways to the same number may be apart, in this precision."""
        check = self.trace["check"] if self.trace["drawn"] else {"tolerance": 0.0}
        return max(1e-3, 2 * check["tolerance"])

    def experiment(
        self, key: str, truth: str, held: Callable[[Facts], bool], *wanted: str
    ) -> Judged:
        result, where = tried(self.layer, self.facts, key)
        if not result["ran"]:
            return truth, where + result["text"], None, {}
        evidence = {name: result[name] for name in wanted}
        if any(
            isinstance(v, str) and v[-2:] in ("aN", "ty") for v in evidence.values()
        ):
            text = f"{result['text']}; NaN or infinity in the numbers leaves no verdict"
            return truth, where + text, None, evidence
        return truth, where + result["text"], bool(held(result)), evidence

    def runs(self, *keys: str) -> tuple[list[Facts], str, bool]:
        rows = [row for key in keys for row in self.tried.get(key, [])]
        return rows, "; ".join(r["text"] for r in rows), all(r["ran"] for r in rows)

    @property
    def stepped(self) -> str:
        if self.trace["drawn"]:
            times = plural(self.t, "time")
            what = "stack" if self.kind == "stack" else "one cell"
            return f"called the {what} {times}: {self.trace['check']['text']}"
        return self.trace["why"]
