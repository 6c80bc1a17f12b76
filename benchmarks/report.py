"""The figures as Markdown: a header that says on what, then the tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

from driver import Peer, Row, Timing, quartiles
from environments import OURS, Who, commit

FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd")


def machine() -> list[str]:
    """Processor, cores, instruction sets, system."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    fields = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    kind = fields.get("model name", platform.processor() or platform.machine())
    family = [fields.get(k, "?") for k in ("cpu family", "model")]
    libc = " ".join(platform.libc_ver())
    return [
        f"{kind} (family {family[0]}, model {family[1]}), {os.cpu_count()} cores",
        "instruction sets: " + ", ".join(f for f in FEATURES if f in flags),
        f"{platform.system()} {platform.machine()}, {libc}",
        f"load at the start: {os.getloadavg()[0]:.1f}",
    ]


def header(peers: Iterable[Peer], command: str, settings: str) -> str:
    """What was measured, on what, and how."""
    lines = [f"# Benchmark, {date.today().isoformat()}", "", f"`{command}`", ""]
    lines += [f"- {line}" for line in [*machine(), settings]]
    for peer in peers:
        if not peer.alive:
            lines.append(f"- **{peer.name}: FAILED to start: {peer.about['error']}**")
            continue
        named = [f"{k} {v}" for k, v in peer.about["versions"].items()]
        at = commit(peer.who.checkout) if peer.who.module in OURS else ""
        named[:0] = [f"commit {at}"] if at else []
        named = ", ".join(named)
        lines.append(f"- {peer.name}: {named}; Python {peer.about['python']}")
    return "\n".join(lines)


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One table."""
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def figure(timing: Timing, base: Timing, scale: float) -> str:
    """One peer's figure in one row, and its ratios to another's, round by round."""
    if not timing.seconds:
        return "FAILED" if timing.note.startswith("FAILED") else "-"
    low, middle, high = (scale * s for s in quartiles(timing.seconds))
    text = f"{middle:.3g} ±{(high - low) / 2:.2g}"
    if timing is base or not base.seconds:
        return text
    pairs = zip(timing.seconds, base.seconds, strict=False)
    low, middle, high = quartiles([a / b for a, b in pairs])
    return f"{text} [{middle:.2f}; {low:.2f}-{high:.2f}]"


def tables(
    peers: Sequence[Who], rows: Sequence[Row], beside: Callable[[Row], dict[str, str]]
) -> str:
    """A table for each group of cases, and a line for whatever is not a figure."""
    made = []
    for group in dict.fromkeys(row.case.group for row in rows):
        mine = [row for row in rows if row.case.group == group]
        titles = [group, *(peer.name for peer in peers), *beside(mine[0])]
        lines = []
        for row in mine:
            named = row.timings
            figures = [
                figure(
                    named[peer.name], named[peer.over or peers[0].name], row.case.scale
                )
                for peer in peers
            ]
            lines.append([row.case.label, *figures, *beside(row).values()])
        made += ["", markdown(titles, lines)]
    found = notes(rows)
    return "\n".join([*made, *(["", "Notes:", *found] if found else [])])


def difference(row: Row) -> str:
    """The largest difference of any peer from the first."""
    found = [t.difference for t in row.timings.values() if t.difference is not None]
    return f"{max(found):.0e}" if found else "-"


def notes(rows: Iterable[Row]) -> list[str]:
    """Who failed or has no such thing, and who was busy out of turn."""
    found = {}
    busy: dict[str, float] = {}
    for row in rows:
        for peer, timing in row.timings.items():
            busy[peer] = max(busy.get(peer, 0.0), timing.idle_load)
            if timing.note.startswith("FAILED"):
                label = f"{row.case.group} {row.case.label}"
                found[f"- {peer}, {label}: {timing.note}"] = None
            elif timing.note:
                found[f"- {peer}: {timing.note}"] = None
    for peer, load in busy.items():
        if load > 0.05:
            found[f"- {peer} burnt {load:.0%} of a core while others were timed"] = None
    return list(found)
