"""Memory that inference with `return_sequences=False` needs beside its input.

    python benchmarks/memory.py          # T = 100 and 10,000, ours and stock Keras

XLA's own account of a compiled call: scratch memory, which grows with T only if the
T outputs (or T projections of the input) are stored on the way to the last one.
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import report
import session
from cases import GATES, Case

MIB = 2**20
LEGEND = "Scratch memory in MiB; the last three columns at the largest T."


def main(argv: list[str] | None = None) -> int:
    """Show one row a cell and batch size; 1 if any peer failed anywhere."""
    p = session.parser(__doc__)
    p.add_argument("--steps", nargs="+", type=int, default=[100, 10_000])
    p.add_argument("--units", type=int, default=128)
    p.add_argument("--features", type=int, default=28)
    p.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    args = session.parse(p, argv)
    peers = [session.peer(name) for name in ("unrolled", "keras")]
    d, u, last = args.features, args.units, max(args.steps)
    rows = []
    with session.Session(args, "memory", peers, LEGEND) as run:

        def scratch(peer, case: Case) -> str:
            answer = peer.call("scratch", case=asdict(case))
            run.failed |= "error" in answer
            return f"{answer['value'] / MIB:.3f}" if "value" in answer else "FAILED"

        columns = [(peer, t) for peer in run.running for t in args.steps]
        for name, gates in GATES.items():
            for b in args.batch:
                row = [f"{name}, {b},{d},{u}"]
                row += [
                    scratch(peer, Case(name, "forward", (b, t, d, u)))
                    for peer, t in columns
                ]
                row += [f"{4 * b * last * n / MIB:.1f}" for n in (d, u, gates * u)]
                rows.append(row)
        titles = ["cell, B,D,U", *(f"{peer.name}, T={t:,}" for peer, t in columns)]
        titles += ["its input", "its T outputs", "its T projections"]
        run.say("\n" + report.markdown(titles, rows))
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
