"""Time our recurrent layers beside their peers.

Every peer is a process in an environment of its own (`make bench` makes them); their
rounds are interleaved, so that whatever the machine does meets all of them alike.

    python benchmarks/bench.py                      # everything, about 15 minutes
    python benchmarks/bench.py --quick              # under two minutes
    python benchmarks/bench.py --cells LSTM --shapes 64,100,128,128 --mode training
    python benchmarks/bench.py --mask right --recurrent-dropout 0.2
    python benchmarks/bench.py --mode fit --allocator tuned
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path

import driver
import report
from cases import FIT_SHAPES, GATES, MODES, QUICK_SHAPES, SHAPES, Case


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--cells", nargs="+", choices=GATES)
    p.add_argument("--shapes", nargs="+", type=shape, metavar="B,T,D,U")
    p.add_argument("--peers", nargs="+", choices=driver.PEERS, default=driver.PEERS)
    p.add_argument("--mode", nargs="+", choices=MODES, default=MODES)
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--budget", type=float, default=20, help="seconds of rounds a case")
    p.add_argument("--quick", action="store_true", help="few shapes, LSTM, 5 rounds")
    p.add_argument("--allocator", choices=("default", "tuned"), default="default")
    p.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float64"), default="float32"
    )
    p.add_argument("--mask", choices=("none", "right", "random"), default="none")
    p.add_argument("--recurrent-dropout", type=float, default=0.0)
    p.add_argument("--no-bias", action="store_true")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--here", action="store_true", help="this Python for every peer")
    p.add_argument(
        "--source", type=Path, help="import our package from here, not as installed"
    )
    p.add_argument("--results", type=Path, default=driver.HERE / "results")
    p.add_argument("--name", help="name of the results file")
    p.add_argument(
        "--hold",
        metavar="COMMAND",
        help="on a shared machine: runs while timing; must echo a line once it is "
        "our turn, and ends with its standard input",
    )
    p.add_argument("--share", metavar="COMMAND", help="the same, while building")
    p.add_argument("--batch", type=int, default=1, help="cases built, then timed")
    return p.parse_args(argv)


def shape(text: str) -> tuple[int, ...]:
    """Read B,T,D,U."""
    sizes = tuple(int(n) for n in text.split(","))
    if len(sizes) != 4 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"want B,T,D,U, four positive sizes: {text}")
    return sizes


def cases(args: argparse.Namespace) -> list[Case]:
    """The rows asked for, the main job last."""
    options = {
        "dtype": args.dtype,
        "mask": args.mask,
        "recurrent_dropout": args.recurrent_dropout,
        "use_bias": not args.no_bias,
    }
    cells = args.cells or (["LSTM"] if args.quick else list(GATES))
    shapes = args.shapes or (QUICK_SHAPES if args.quick else SHAPES)
    made = [
        Case(cell, mode, sizes, **options)
        for mode in args.mode
        if mode != "fit"
        for cell in cells
        for sizes in shapes
    ]
    if "fit" in args.mode:
        plain = args.shapes is None or args.mode == ["fit"]
        fit_shapes = FIT_SHAPES if plain else ()
        fit_shapes = args.shapes if args.shapes and plain else fit_shapes
        fit_cells = args.cells or ["LSTM"]
        made += [
            Case(cell, "fit", sizes, dtype=args.dtype)
            for cell in fit_cells
            for sizes in fit_shapes
        ]
    return made


def sgemm_rate(peers: list[driver.Peer], holder: str | None) -> float | None:
    """The machine's own rate, as torch reaches it on a 4096 cube."""
    for peer in peers:
        if peer.name == "torch" and "error" not in peer.about:
            with driver.hold(holder):
                return peer.ask("sgemm", size=4096).get("flops")
    return None


def write(path: Path, text: str) -> None:
    """Write a results file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def main(argv: list[str] | None = None) -> int:
    """Run, print and write the table; 1 if any peer failed anywhere."""
    args = arguments(argv)
    plan = driver.Plan(
        rounds=min(args.rounds, 5) if args.quick else args.rounds,
        budget=min(args.budget, 6.0) if args.quick else args.budget,
        alone=args.hold,
        shared=args.share,
    )
    tuned = args.allocator == "tuned"
    peers = driver.start(args.peers, args.threads, args.here, args.source, tuned)
    rows, rate = [], None
    command = shlex.join(["python", "benchmarks/bench.py", *(argv or sys.argv[1:])])
    command = re.sub(r" --(hold|share|source|results|name) ('[^']*'|\S+)", "", command)
    head = report.header(peers, command, args.threads, args.allocator)
    name = args.name or ("quick" if args.quick else f"bench-{args.allocator}")
    path = args.results / f"{name}.md"
    print(head, flush=True)
    try:
        rate = sgemm_rate(peers, args.hold)
        if rate:
            head += f"\n\nsgemm 4096^3 in torch: {rate / 1e9:.0f} GFLOP/s."
        with tempfile.TemporaryDirectory() as scratch:
            wanted = cases(args)
            for n in range(0, len(wanted), args.batch):
                started = time.perf_counter()
                batch = wanted[n : n + args.batch]
                found = driver.measure(peers, batch, Path(scratch), plan)
                rows += zip(batch, found, strict=True)
                took = time.perf_counter() - started
                labels = [f"{c.cell} {c.mode} {c.label}" for c in batch]
                print(f"{took:5.1f} s  {'; '.join(labels)}", flush=True)
                text = head + "\n" + report.table(list(args.peers), rows, rate)
                write(path, text)
    finally:
        for peer in peers:
            peer.stop()
    print(report.table(list(args.peers), rows, rate))
    failed = any("error" in p.about for p in peers) or any(
        t.note.startswith("FAILED") for _, ts in rows for t in ts.values()
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
