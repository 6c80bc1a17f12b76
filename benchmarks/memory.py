"""Memory that a call needs: at its peak, and as XLA counts it.

    python benchmarks/memory.py          # ours and stock Keras

Peak: what a call adds to the process, beside its input, for batches from one row to
half a million. Each figure is of a fresh process, which reports its own resident
memory.

Scratch: XLA's own account of a compiled forward pass to the last output alone, which
grows with T only if the T outputs (or T projections of the input) are stored on the
way. What the kernels take for themselves is not in it; the peak has that.
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import driver
import report
import session
from cases import GATES, Case

MIB = 2**20
LEGEND = (
    "MiB. Peak: the most that the first call in a fresh process adds to it, and, after "
    "the stroke, what the process still holds once the results are gone. Scratch: "
    "XLA's temporary buffers with `return_sequences=False`; its last three columns at "
    "the largest T."
)


def peaks(args, run: session.Session) -> str:
    """The table of peaks: a row a cell, mode and batch."""
    t, d, u = args.peak_steps, args.peak_features, args.peak_units

    def figures(who, case: Case) -> str:
        [peer] = driver.start([who], args.threads, args.here, args.allocator == "tuned")
        answer = peer.call("peak", case=asdict(case)) if peer.alive else peer.about
        peer.stop()
        run.failed |= "error" in answer
        if "error" in answer:
            return "FAILED"
        return " / ".join(f"{answer['value'][k] / MIB:.1f}" for k in ("peak", "held"))

    rows = []
    for name in args.cells:
        for mode in ("forward", "training"):
            for b in args.peak_batch:
                case = Case(name, mode, (b, t, d, u))
                each = [figures(peer.who, case) for peer in run.running]
                row = [f"{name} {mode}, {case.label}", *each]
                rows.append([*row, *(f"{4 * b * t * n / MIB:.1f}" for n in (d, u))])
    titles = ["peak / held: B,T,D,U", *(peer.name for peer in run.running)]
    return report.markdown([*titles, "its input", "its T outputs"], rows)


def scratches(args, run: session.Session) -> str:
    """The table of XLA's account: a row a cell and batch."""
    d, u, last = args.features, args.units, max(args.steps)

    def scratch(peer, case: Case) -> str:
        answer = peer.call("scratch", case=asdict(case))
        run.failed |= "error" in answer
        return f"{answer['value'] / MIB:.3f}" if "value" in answer else "FAILED"

    columns, rows = [(peer, t) for peer in run.running for t in args.steps], []
    for name in args.cells:
        for b in args.batch:
            row = [f"{name}, {b},{d},{u}"]
            row += [
                scratch(peer, Case(name, "forward", (b, t, d, u)))
                for peer, t in columns
            ]
            row += [f"{4 * b * last * n / MIB:.1f}" for n in (d, u, GATES[name] * u)]
            rows.append(row)
    titles = ["scratch: B,D,U", *(f"{peer.name}, T={t:,}" for peer, t in columns)]
    titles += ["its input", "its T outputs", "its T projections"]
    return report.markdown(titles, rows)


def main(argv: list[str] | None = None) -> int:
    """Show both tables; 1 if any peer failed anywhere."""
    p = session.parser(__doc__)
    p.add_argument("--cells", nargs="+", choices=GATES, default=[*GATES])
    p.add_argument("--steps", nargs="+", type=int, default=[100, 10_000])
    p.add_argument("--units", type=int, default=128)
    p.add_argument("--features", type=int, default=28)
    p.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    p.add_argument("--peak-steps", type=int, default=2)
    p.add_argument("--peak-units", type=int, default=4)
    p.add_argument("--peak-features", type=int, default=2)
    p.add_argument("--peak-batch", nargs="+", type=int, default=[1, 1000, 500_000])
    args = session.parse(p, argv)
    peers = [session.peer(name) for name in ("unrolled", "keras")]
    with session.Session(args, "memory", peers, LEGEND) as run:
        for table in (peaks, scratches):
            run.say("\n" + table(args, run))
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
