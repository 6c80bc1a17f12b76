"""Time the native core alone, without JAX: variants and builds, call by call in turn.

    python benchmarks/core.py                                 # float32, bfloat16
    python benchmarks/core.py --variants avx2 avx512 --cells GRU
    python benchmarks/core.py --against ../other              # two checkouts

A variant is an instruction set, `-` where the processor lacks it; `amx:bfloat16`
multiplies rounded operands. Columns are
timed in one process, a few milliseconds each, in rotating order: on a machine whose
speed wanders, nothing else shows a difference of five per cent. The first column is the
time in which the threads meet, before and after a row: about 90 ns on processors that
share a cache, 350 on others, and a virtual machine moves from one to the other.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import shape
from cases import GATES, SHAPES, Case

HERE = Path(__file__).resolve().parent
KINDS = {"SimpleRNN": 0, "LSTM": 1, "GRU": 2}  # of native/problem.h
TURN = 0.01  # seconds


def build(checkout: Path) -> ctypes.CDLL:
    """Compile a checkout's core with its stopwatch, and load it."""
    folder = checkout / "build" / "core"
    python = f"-DPython3_EXECUTABLE={sys.executable}"
    for command in (
        ["cmake", "-S", checkout, "-B", folder, python],
        ["cmake", "--build", folder, "--target", "core_time", "--parallel"],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    core = ctypes.CDLL(str(folder / "core_time.so"))
    core.core_layer.restype = ctypes.c_void_p
    core.core_time.restype = ctypes.c_long
    core.core_time.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    core.core_free.argtypes = [ctypes.c_void_p]
    return core


@dataclass
class Column:
    """One variant of one build."""

    core: ctypes.CDLL
    variant: str
    name: str

    def layer(self, case: Case, threads: int) -> int | None:
        """The case, ready to run; None if this processor has no such variant."""
        variant, _, dtype = self.variant.partition(":")
        sizes = (ctypes.c_long * 4)(*case.shape)
        kind, rounded = KINDS[case.cell], int(dtype == "bfloat16")
        return self.core.core_layer(variant.encode(), kind, sizes, rounded, threads)


def measure(columns: list[Column], case: Case, args: argparse.Namespace) -> str:
    """One row of the table."""
    layers = {
        column.name: layer
        for column in columns
        if (layer := column.layer(case, args.threads))
    }
    ready = [column for column in columns if column.name in layers]
    meet = columns[-1].core.core_meet  # this checkout's: another may have none
    meet.restype = ctypes.c_double
    before = meet(args.threads)
    training = int(case.mode == "training")

    def once(column: Column, calls: int) -> float:
        return column.core.core_time(layers[column.name], training, calls) * 1e-9

    calls, took = {}, {column.name: [] for column in ready}
    for column in ready:
        once(column, 1)
        calls[column.name] = max(1, round(TURN / once(column, 1)))
    for n in range(args.rounds):
        first = n % max(len(ready), 1)
        for column in ready[first:] + ready[:first]:
            count = calls[column.name]
            once(column, 1)  # brings the caches back; not counted
            took[column.name].append(once(column, count) / count)
    row = [
        f"{case.cell} {case.mode} {case.label}",
        f"{before:.0f}, {meet(args.threads):.0f} ns",
    ]
    for column in columns:
        if column.name not in layers:
            row.append("-")
            continue
        middle = statistics.median(took[column.name])
        pairs = zip(took[ready[0].name], took[column.name], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        rate = case.flops / middle / 1e9
        row.append(f"{middle * 1e3:.3g} ms, {rate:.0f} GFLOP/s [{ratio:.2f}]")
        column.core.core_free(layers[column.name])
    return "| " + " | ".join(row) + " |"


def main() -> None:
    """Print a row a case; in brackets the first time over this one."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--cells", nargs="+", choices=GATES, default=["LSTM"])
    p.add_argument("--shapes", nargs="+", type=shape, default=SHAPES, metavar="B,T,D,U")
    modes = ("forward", "training")
    p.add_argument("--mode", nargs="+", choices=modes, default=modes)
    known = ["avx2", "avx512", "avx512bf16:bfloat16", "amx:bfloat16"]
    p.add_argument("--variants", nargs="+", default=known)
    p.add_argument(
        "--against", type=Path, help="another checkout, timed beside this one"
    )
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["UNROLLED_THREADS"] = str(args.threads)
    builds = {"": build(HERE.parent)}
    if args.against:
        builds = {f" of {args.against}": build(args.against.resolve()), **builds}
    columns = [
        Column(core, variant, variant + name)
        for variant in args.variants
        for name, core in builds.items()
    ]
    print("| case | meeting | " + " | ".join(column.name for column in columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for mode in args.mode:
        for cell in args.cells:
            for sizes in args.shapes:
                print(measure(columns, Case(cell, mode, sizes), args), flush=True)


if __name__ == "__main__":
    main()
