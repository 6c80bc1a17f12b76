"""Time a decoder with attention: taught, greedy, and in beam search.

    python benchmarks/decode.py                          # all peers
    python benchmarks/decode.py --peers unrolled torch products --mode greedy
    python benchmarks/decode.py --rows 8,10,12 --widths 500,64,2

A vocabulary of 8,000, embeddings of 512, two LSTMs of 512, Bahdanau's attention over a
memory of 30 entries, 64 rows, 30 steps. `peers/decoder.py` says what it is, and has
weights that all peers share; their losses, gradients, tokens and scores are compared.
The column `products` is no decoder: the matrix products that there must be, alone, in
torch. In its brackets stands which share of our time they are.
"""

from __future__ import annotations

import argparse
import sys

import report
import session
from cases import Decoding
from environments import Who

PEERS = {
    "unrolled": Who("unrolled", "unrolled"),
    "torch": Who("torch", "torch"),
    "keras_rnn": Who("keras_rnn", "keras_rnn"),
    "addons": Who("addons", "addons"),
    "products": Who("products", "torch", option="products"),
}
MODES = ("training", "greedy", "beam")
LEGEND = (
    "Milliseconds per call: median, and half the interquartile range. "
    f"{session.LEGEND} Training is the loss of all steps, each given its token, and "
    "the gradients of all weights and of the memory; greedy and beam search start from "
    "given states and take all steps."
)


def sizes(text: str) -> tuple[int, ...]:
    """Read three sizes."""
    found = text.split(",")
    if len(found) != 3 or not all(n.isdecimal() and int(n) for n in found):
        raise argparse.ArgumentTypeError(
            f"must be three positive sizes. Got {text}: write 64,30,30."
        )
    return tuple(map(int, found))


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the table; 1 if any peer failed anywhere."""
    p = session.parser(__doc__)
    session.timed(p, rounds=7, budget=60)
    p.add_argument("--mode", nargs="+", choices=MODES, default=MODES)
    p.add_argument("--rows", type=sizes, default=Decoding("").rows, metavar="B,T,S")
    p.add_argument(
        "--widths", type=sizes, default=Decoding("").widths, metavar="V,U,LAYERS"
    )
    p.add_argument("--beam", type=int, default=Decoding("").beam, help="K")
    p.add_argument("--peers", nargs="+", choices=PEERS, default=[*PEERS])
    args = session.parse(p, argv)
    peers = [PEERS[name] for name in args.peers]
    b, t, s = args.rows
    v, u, n = args.widths
    title = f"decoder, B={b} T={t} S={s} V={v:,} U={u} layers={n}"
    wanted = [
        Decoding(mode, args.rows, args.widths, args.beam, title) for mode in args.mode
    ]

    def beside(row):
        return {"difference": report.difference(row)}

    with session.Session(args, "decode", peers, LEGEND) as run:
        run.measure(wanted, beside)
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
