"""Time cells that users write: ours as `plan` has it, the scan, Keras's RNN, torch.

    python benchmarks/fused.py                            # every cell, shape and peer
    python benchmarks/fused.py --cells peephole coupled --shapes 64,100,128,128
    python benchmarks/fused.py --peers unrolled scan LSTM --here
    python benchmarks/fused.py --peers unrolled LSTM --cells "LSTM by its formula"

The cells stand in user_cells.py. `scan` is ours with `unrolled.kernels("off")`;
`keras_rnn` is Keras's `RNN` over the same cell; `torch` a Python loop over its steps,
and `torch.compile` the same with each step compiled; `LSTM` is our plain LSTM of the
same sizes, for scale; of a cell that has a kernel itself, run by its formula, the layer
with that kernel. In brackets: over our time, so that the plain LSTM's should be
near 1 where the products are as many. `error` is the largest difference between ours
and the scan, in outputs and every gradient, over the largest value of each;
`others` that of the other peers.
"""

from __future__ import annotations

import sys

import session
from cases import FORMULAS_OF, USER_CELLS, USER_SHAPES, UserCell
from environments import Who

PEERS = {
    "unrolled": Who("unrolled", "unrolled"),
    "scan": Who("scan", "unrolled", option="scan"),
    "keras_rnn": Who("keras_rnn", "keras_rnn"),
    "torch": Who("torch", "torch"),
    "torch.compile": Who("torch.compile", "torch", option="compile"),
    "LSTM": Who("LSTM", "unrolled", option="LSTM"),
}
MODES = ("forward", "training")
LEGEND = (
    "Milliseconds per call: median, and half the interquartile range. "
    f"{session.LEGEND} Input (B,T,D), all outputs returned; training is forward and "
    "the gradients of input, weights, memory and initial states. `products`: "
    "multiply-adds over those of the plain LSTM."
)


def beside(row) -> dict[str, str]:
    """What stands right of the peers."""
    found = {name: t.difference for name, t in row.timings.items()}
    found = {name: d for name, d in found.items() if d is not None}
    scan = found.pop("scan", None)
    return {
        "products": f"{row.case.products:.2f}",
        "error": "-" if scan is None else f"{scan:.0e}",
        "others": f"{max(found.values()):.0e}" if found else "-",
    }


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the tables; 1 if any peer failed anywhere."""
    p = session.parser(__doc__)
    session.timed(p, rounds=9, budget=15)
    p.add_argument("--mode", nargs="+", choices=MODES, default=MODES)
    known = [*USER_CELLS, *FORMULAS_OF]
    p.add_argument("--cells", nargs="+", choices=known, default=[*USER_CELLS])
    p.add_argument("--shapes", nargs="+", type=session.shape, default=USER_SHAPES)
    p.add_argument("--peers", nargs="+", choices=PEERS, default=[*PEERS])
    args = session.parse(p, argv)
    peers = [PEERS[name] for name in args.peers]
    wanted = [
        UserCell(cell, mode, shape)
        for mode in args.mode
        for shape in args.shapes
        for cell in args.cells
    ]
    with session.Session(args, "fused", peers, LEGEND) as run:
        ours = run.find("unrolled")
        for cell in args.cells if ours else ():
            said = ours.call("user_plan", cell=cell, shape=args.shapes[0])
            run.say(f"- {cell}: {said.get('value') or said['error']}")
        run.measure(wanted, beside)
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
