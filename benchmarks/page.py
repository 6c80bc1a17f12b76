"""What a page of `explain` weighs, and how quickly it opens and moves.

    python benchmarks/page.py                     # LSTM(128) over a handwritten digit
    python benchmarks/page.py PAGE.html           # another
    python benchmarks/page.py --against ../before

Without a page it explains the model of `make demo` before its training. Needs a
Chromium. `peers/page.py` says what a frame is.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import driver
import report
import session
from cases import View
from environments import Who

WEIGHTS = {"page, bytes": 400_000, "script, bytes": 60_000}
BUDGETS = {"": "400, paint 200", "step": "4", "unit": "8"}

# What is brought into view, and what is done there first.
CLICK = "document.getElementById('t-{}').click()".format
VIEWS = {
    "one cell": ("zoom", "unrolled.setZoom(1)"),
    "unrolled over time": ("zoom", "unrolled.setZoom(2)"),
    "inside one step": ("zoom", "unrolled.setZoom(3)"),
    "one unit": ("zoom", "unrolled.setZoom(4)"),
    "heat maps": ("maps", ""),
    "one unit over the input": ("trace", ""),
    "ledger": ("ledger", ""),
    "what changes if": ("whatif", ""),
    "try it: change x": ("tryout", CLICK("change")),
    "try it: silence a unit": ("tryout", CLICK("silence")),
    "try it: zeros, mask": ("tryout", CLICK("mask")),
    "try it: units apart": ("tryout", CLICK("apart")),
}
LEGEND = (
    "Milliseconds of the browser's main thread: median, and half the interquartile "
    "range, of the time until the data is ready, and of the 95th of a round's frames "
    f"with their layout, as the selection moves. {session.LEGEND} Right of them the "
    "first column's first paint, and the script's share of its frames."
)


def beside(row: driver.Row) -> dict[str, str]:
    """What the first column saw beside its times, and the budget."""
    seen = row.timings["page"].beside.items()
    shown = [f"{title} {statistics.median(values):.1f}" for title, values in seen]
    return {"of that": ", ".join(shown), "budget": BUDGETS[row.case.moves]}


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the tables; 1 if anything failed."""
    p = session.parser(__doc__)
    session.timed(p, rounds=9, budget=10)
    p.add_argument("page", nargs="?", type=Path, help="a page, else the demo's")
    p.add_argument("--frames", type=int, default=100, help="a round")
    args = session.parse(p, argv)
    views = [View("open", "")]
    views += [
        View(name, moves, place, first, args.frames)
        for name, (place, first) in VIEWS.items()
        for moves in ("step", "unit")
    ]
    option = str(args.page.resolve()) if args.page else ""
    with session.Session(args, "page", [Who("page", "page", option)], LEGEND) as run:
        rows = []
        found = [peer.call("sizes").get("value", {}) for peer in run.running]
        for name, budget in WEIGHTS.items():
            figures = [f"{sizes[name]:,}" if sizes else "-" for sizes in found]
            rows.append([name, *figures, f"{budget:,}"])
        titles = ["", *(peer.name for peer in run.running), "budget"]
        run.say("\n" + report.markdown(titles, rows))
        run.measure(views, beside)
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
