"""Time cells that are formulas, in the time loop: ours, Keras's RNN, TensorFlow 1's.

    python benchmarks/formulas.py                        # every cell
    python benchmarks/formulas.py --cells NAS SRU --mode training
    python benchmarks/formulas.py --peers unrolled keras_rnn

Keras's RNN runs the same cell, ours, as any Keras-style cell; TensorFlow 1.15.5 runs
its own under `dynamic_rnn`, on Python 3.7.
"""

from __future__ import annotations

import sys

import session
from cases import FORMULAS, Formula
from environments import Who

SHAPE = (64, 100, 128, 128)
PEERS = ("unrolled", "keras_rnn", "tensorflow1")
LEGEND = (
    "Milliseconds per call: median, and half the interquartile range. "
    f"{session.LEGEND} Input (B,T,D), all outputs returned; training is forward and "
    "the gradients of input, weights and initial states."
)


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the tables; 1 if any peer failed anywhere."""
    p = session.parser(__doc__)
    session.timed(p, rounds=7, budget=12)
    modes = ("forward", "training")
    p.add_argument("--mode", nargs="+", choices=modes, default=modes)
    p.add_argument("--cells", nargs="+", choices=FORMULAS, default=[*FORMULAS])
    p.add_argument("--shapes", nargs="+", type=session.shape, default=[SHAPE])
    p.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    args = session.parse(p, argv)
    peers = [Who(name, name) for name in args.peers]
    wanted = [
        Formula(cell, mode, shape)
        for mode in args.mode
        for shape in args.shapes
        for cell in args.cells
    ]
    with session.Session(args, "formulas", peers, LEGEND) as run:
        run.measure(wanted, lambda row: {})
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
