"""Time the native core alone, without JAX: variants, and builds of two checkouts.

    python benchmarks/core.py                                 # float32, bfloat16
    python benchmarks/core.py --variants avx2 avx512 --cells GRU
    python benchmarks/core.py --against ../before

A variant is an instruction set, `-` where the processor lacks it; `amx:bfloat16`
multiplies rounded operands. Columns take turns of a few milliseconds: on a machine
whose speed wanders, nothing else shows a difference of five per cent. Meeting is the
time in which the threads meet, before and after a row: about 90 ns on processors that
share a cache, 350 on others, and a virtual machine moves from one to the other.
"""

from __future__ import annotations

import sys

import driver
import session
from cases import GATES, SHAPES, Case
from environments import Who

KNOWN = ("avx2", "avx512", "avx512bf16:bfloat16", "amx:bfloat16")
LEGEND = (
    "Milliseconds per call: median, and half the interquartile range; the GFLOP/s of "
    f"the columns in their order. {session.LEGEND}"
)


def rates(row: driver.Row) -> str:
    """The GFLOP/s of each column."""
    timings = row.timings.values()
    middles = [t.seconds and driver.quartiles(t.seconds)[1] for t in timings]
    return ", ".join(f"{row.case.flops / m / 1e9:.0f}" if m else "-" for m in middles)


def main(argv: list[str] | None = None) -> int:
    """Run, print and write the tables; 1 if any column failed anywhere."""
    p = session.parser(__doc__)
    session.timed(p, rounds=15, budget=20)
    p.add_argument("--cells", nargs="+", choices=GATES, default=["LSTM"])
    shapes = SHAPES["forward"]
    p.add_argument(
        "--shapes", nargs="+", type=session.shape, default=shapes, metavar="B,T,D,U"
    )
    modes = ("forward", "training")
    p.add_argument("--mode", nargs="+", choices=modes, default=modes)
    p.add_argument("--variants", nargs="+", default=KNOWN)
    args = session.parse(p, argv)
    wanted = [
        Case(cell, mode, sizes)
        for mode in args.mode
        for cell in args.cells
        for sizes in args.shapes
    ]
    peers = [Who(variant, "core", variant) for variant in args.variants]
    with session.Session(args, "core", peers, LEGEND) as run:
        core = run.find("core")

        def meeting() -> float:
            return core.call("meet").get("value", 0) if core else 0

        def beside(row: driver.Row) -> dict[str, str]:
            before, after = row.gauged
            return {"GFLOP/s": rates(row), "meeting": f"{before:.0f}, {after:.0f} ns"}

        run.measure(wanted, beside, meeting, turn=0.01)
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
