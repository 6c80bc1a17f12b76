"""The figures as Markdown: a header that says on what, then one table a mode."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np

from cases import Case
from driver import Peer, Timing

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
    ]


def header(peers: Iterable[Peer], command: str, threads: int, allocator: str) -> str:
    """What was measured, on what, and how."""
    lines = [f"# Benchmark, {date.today().isoformat()}", "", f"`{command}`", ""]
    lines += [f"- {line}" for line in machine()]
    lines.append(f"- {threads} threads for every peer, {allocator} allocator")
    for peer in peers:
        if "error" in peer.about:
            lines.append(f"- **{peer.name}: FAILED to start: {peer.about['error']}**")
            continue
        named = ", ".join(f"{k} {v}" for k, v in peer.about["versions"].items())
        lines.append(f"- {peer.name}: {named}; Python {peer.about['python']}")
    legend = (
        "Milliseconds per call (`fit`: per step): median, and half the interquartile "
        "range. In brackets: that peer's time over the first column's, median of the "
        "rounds, with its quartiles. Input (B,T,D), all outputs (B,T,U) returned; "
        "training is forward and the gradients of input, weights and initial states."
    )
    return "\n".join([*lines, "", legend])


def cell(timing: Timing, first: Timing) -> str:
    """One peer's figure in one row."""
    if not timing.seconds:
        return "FAILED" if timing.note.startswith("FAILED") else "-"
    low, middle, high = (1e3 * s for s in timing.quartiles())
    text = f"{middle:.3g} ±{(high - low) / 2:.2g}"
    if timing is first or not first.seconds:
        return text
    n = min(len(timing.seconds), len(first.seconds))
    ratios = np.array(timing.seconds[:n]) / np.array(first.seconds[:n])
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return f"{text} [{middle:.2f}; {low:.2f}-{high:.2f}]"


def table(
    names: list[str],
    rows: list[tuple[Case, dict[str, Timing]]],
    sgemm: float | None,
) -> str:
    """A table for each cell and mode, and a line for whatever is not a figure."""
    lines = []
    groups = dict.fromkeys((case.cell, case.mode) for case, _ in rows)
    for name, mode in groups:
        share = ["% of sgemm"] if sgemm and mode != "fit" else []
        titles = [f"{name} {mode}", *names, *share, "difference"]
        lines += ["", "| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
        for case, timings in rows:
            if (case.cell, case.mode) == (name, mode):
                lines.append(_row(case, timings, names, share, sgemm))
    notes = dict.fromkeys(
        f"- {peer}, {case.cell} {case.mode} {case.label}: {timing.note}"
        if timing.note.startswith("FAILED")
        else f"- {peer}: {timing.note}"
        for case, timings in rows
        for peer, timing in timings.items()
        if timing.note
    )
    busy: dict[str, float] = {}
    for _, timings in rows:
        for peer, timing in timings.items():
            busy[peer] = max(busy.get(peer, 0.0), timing.idle_load)
    for peer, load in busy.items():
        if load > 0.05:
            notes[f"- {peer} burnt {load:.0%} of a core while others were timed"] = None
    return "\n".join([*lines, *(["", "Notes:", *notes] if notes else [])])


def _row(case, timings, names, share, sgemm) -> str:
    first = timings[names[0]]
    figures = [cell(timings[name], first) for name in names]
    if share:
        done = first.seconds and case.flops / first.quartiles()[1] / sgemm
        figures.append(f"{done:.0%}" if done else "-")
    differences = [t.difference for t in timings.values() if t.difference is not None]
    figures.append(f"{max(differences):.0e}" if differences else "-")
    return "| " + " | ".join([case.label, *figures]) + " |"
