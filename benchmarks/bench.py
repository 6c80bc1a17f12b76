"""Time our recurrent layers beside their peers, or beside another build of ours.

Every peer is a process in an environment of its own, made when it is first asked for;
their rounds are interleaved, so that whatever the machine does meets all of them alike.

    python benchmarks/bench.py                      # everything, about 15 minutes
    python benchmarks/bench.py --quick              # under two minutes
    python benchmarks/bench.py --mode stream        # one step at a time
    python benchmarks/bench.py --cells LSTM --shapes 64,100,128,128 --mode training
    python benchmarks/bench.py --mask right --recurrent-dropout 0.2
    python benchmarks/bench.py --against ../before  # ours now, and ours then
    python benchmarks/bench.py --gpu                # on an NVIDIA GPU
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import driver
import report
import session
from cases import GATES, QUICK_SHAPES, SHAPES, Case
from environments import GPU_PEERS, PEERS

STREAMING = ("unrolled", "unrolled:bfloat16", "unrolled:int8")
LEGEND = (
    "Milliseconds per call (`fit`: per step; `stream`: microseconds): median, and half "
    f"the interquartile range. {session.LEGEND} Input (B,T,D), all outputs (B,T,U) "
    "returned; training is forward and the gradients of input, weights and initial "
    "states; a stream goes from NumPy to NumPy and keeps its state."
)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    p = session.parser(__doc__)
    session.timed(p, rounds=11, budget=20)
    p.add_argument("--cells", nargs="+", choices=GATES)
    p.add_argument("--shapes", nargs="+", type=session.shape, metavar="B,T,D,U")
    p.add_argument("--peers", nargs="+", type=session.peer, metavar="PEER")
    p.add_argument("--mode", nargs="+", choices=SHAPES)
    p.add_argument("--gpu", action="store_true", help=f"{', '.join(GPU_PEERS)} there")
    p.add_argument("--quick", action="store_true", help="few shapes, LSTM, 5 rounds")
    p.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float64"), default="float32"
    )
    p.add_argument("--mask", choices=("none", "right", "random"), default="none")
    p.add_argument("--recurrent-dropout", type=float, default=0.0)
    p.add_argument("--no-bias", action="store_true")
    args = session.parse(p, argv)
    if args.quick:
        args.rounds, args.budget = min(args.rounds, 5), min(args.budget, 6.0)
    if args.mode is None:
        args.mode = ["forward", "training", *(() if args.gpu else ("fit",))]
    streams = args.mode == ["stream"]
    args.name = args.name or ("quick" if args.quick else streams and "stream")
    args.name = args.name or (args.gpu and "gpu")
    if args.peers is None:
        others = ("torch", "onnxruntime", "keras") if streams else PEERS[1:]
        others = GPU_PEERS[1:] if args.gpu else others
        names = STREAMING if streams else PEERS[:1]
        names = names if args.against else (*names, *others)
        args.peers = [session.peer(name) for name in names]
    args.wanted = cases(args)
    if args.gpu:
        modes = {"forward", "training"}
        if not modes.issuperset(args.mode) or args.here:
            p.error("--gpu measures forward and training alone, and not --here.")
        if not {who.module for who in args.peers} <= {*GPU_PEERS}:
            p.error(f"--gpu is for {', '.join(GPU_PEERS)}. Leave --peers out.")
        args.peers = [replace(who, gpu=True) for who in args.peers]
    if not args.wanted:
        p.error(
            "--shapes must have T = D = 28 for fit, and T = 1 for stream. "
            "Got none such: leave --shapes out to measure the usual ones."
        )
    return args


def cases(args: argparse.Namespace) -> list[Case]:
    """The rows asked for."""
    options = {
        "mask": args.mask,
        "recurrent_dropout": args.recurrent_dropout,
        "use_bias": not args.no_bias,
    }
    steps = {"fit": (28, 28), "stream": (1,)}  # T, or T and D, of those modes
    made = []
    for mode in args.mode:
        own = steps.get(mode, ())
        short = own or args.quick  # the LSTM stands for all
        usual = QUICK_SHAPES if args.quick and not own else SHAPES[mode]
        made += [
            Case(cell, mode, sizes, dtype=args.dtype, **({} if own else options))
            for cell in args.cells or (["LSTM"] if short else GATES)
            for sizes in args.shapes or usual
            if sizes[1 : 1 + len(own)] == own
        ]
    return made


def main(argv: list[str] | None = None) -> int:
    """Run, print and write the tables; 1 if any peer failed anywhere."""
    args = arguments(argv)
    with session.Session(args, "bench", args.peers, LEGEND) as run:
        rate, torch = None, run.find("torch")
        if torch and args.mode != ["stream"] and not args.gpu:
            # the machine's own rate, as torch reaches it on a large cube
            with driver.hold(args.hold):
                rate = torch.call("sgemm", size=4096).get("value")
        if rate:
            run.say(f"\nsgemm 4096^3 in torch: {rate / 1e9:.0f} GFLOP/s.")

        def beside(row: driver.Row) -> dict[str, str]:
            found = {}
            if rate and row.case.mode in ("forward", "training"):
                took = row.timings[run.peers[0].name].seconds
                share = took and row.case.flops / driver.quartiles(took)[1] / rate
                found["% of sgemm"] = f"{share:.0%}" if share else "-"
            return {**found, "difference": report.difference(row)}

        run.measure(args.wanted, beside)
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
