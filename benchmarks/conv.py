"""Time our convolutional layers beside Keras's.

python benchmarks/conv.py                            # three shapes
python benchmarks/conv.py --mode forward --rounds 5
python benchmarks/conv.py --against ../before
"""

from __future__ import annotations

import sys

import report
import session
from cases import Images

# (B, T), the sizes of a step, (C, F)
SHAPES = {
    "ConvLSTM1D": [((16, 20), (64,), (8, 32))],
    "ConvLSTM2D": [((8, 10), (32, 32), (1, 16)), ((2, 10), (24, 24), (32, 32))],
}
LEGEND = (
    "Milliseconds per call: median, and half the interquartile range. "
    f"{session.LEGEND} A row is B, T, the size of a step, channels of the input and "
    "filters; all outputs are returned; training is forward and the gradients of input "
    "and weights."
)


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the tables; 1 if any peer failed anywhere."""
    p = session.parser(__doc__)
    session.timed(p, rounds=11, budget=20)
    modes = ("forward", "training")
    p.add_argument("--mode", nargs="+", choices=modes, default=modes)
    p.add_argument("--cells", nargs="+", choices=SHAPES, default=[*SHAPES])
    args = session.parse(p, argv)
    peers = [session.peer(name) for name in ("unrolled", "keras")]
    cases = [
        Images(cell, mode, *shape)
        for mode in args.mode
        for cell in args.cells
        for shape in SHAPES[cell]
    ]
    with session.Session(args, "conv", peers, LEGEND) as run:
        run.measure(cases, lambda row: {"difference": report.difference(row)})
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
