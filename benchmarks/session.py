"""What all tools here share: their options, the peers while they run, a file."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import driver
import environments
import report
from environments import HERE, Who

LEGEND = (
    "In brackets: that peer's time over the first column's, median of the rounds, with "
    "its quartiles."
)
TWINS = " That of {} is divided by the column before it: above 1, it is now faster."


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every tool has."""
    p = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--against",
        type=checkout,
        metavar="CHECKOUT",
        help="another checkout, built and run beside this one",
    )
    p.add_argument(
        "--against-name", metavar="NAME", default="against", help="its column's title"
    )
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--allocator", choices=("default", "tuned"), default="default")
    p.add_argument("--here", action="store_true", help="this Python for every peer")
    p.add_argument("--results", type=Path, default=HERE / "results")
    p.add_argument("--name", help="name of the results file")
    p.add_argument(
        "--hold",
        metavar="COMMAND",
        help="on a shared machine: runs while timing; must echo a line once it is "
        "our turn, and ends with its standard input",
    )
    p.add_argument("--share", metavar="COMMAND", help="the same, while building")
    return p


def parse(p: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Read the command line, and keep it for the header."""
    given = sys.argv[1:] if argv is None else argv
    return argparse.Namespace(given=given, **vars(p.parse_args(given)))


def timed(p: argparse.ArgumentParser, rounds: int, budget: float) -> None:
    """Add the options of a tool that times."""
    p.add_argument("--rounds", type=int, default=rounds)
    p.add_argument("--budget", type=float, default=budget, help="seconds a row")


def checkout(text: str) -> Path:
    """Read the folder of another checkout."""
    folder = Path(text).resolve()
    if not (folder / "src" / "unrolled" / "__init__.py").exists():
        raise argparse.ArgumentTypeError(
            "must be a checkout of this project, a folder with src/unrolled in it. "
            f"Got {text}: clone the project and check out the commit to compare with."
        )
    return folder


def shape(text: str) -> tuple[int, ...]:
    """Read B,T,D,U."""
    sizes = text.split(",")
    if len(sizes) != 4 or not all(n.isdecimal() and int(n) for n in sizes):
        raise argparse.ArgumentTypeError(
            f"must be B,T,D,U, four positive sizes. Got {text}: write 64,100,128,128."
        )
    return tuple(map(int, sizes))


def peer(text: str) -> Who:
    """Read NAME, or ours with how a stream's weights are stored."""
    module, _, option = text.partition(":")
    stored = ("unrolled:bfloat16", "unrolled:int8")
    if text not in (*environments.PEERS, *stored):
        known = ", ".join((*environments.PEERS, *stored))
        raise argparse.ArgumentTypeError(f"must be one of {known}. Got {text}.")
    return Who(text, module, option)


def twins(peers: Sequence[Who], folder: Path, name: str) -> list[Who]:
    """The peers, each of ours followed by the same of another checkout."""
    both = []
    for who in peers:
        both.append(who)
        if who.module in environments.OURS:
            column = ":".join(filter(None, [name, who.option]))
            both.append(replace(who, name=column, checkout=folder, over=who.name))
    names = [who.name for who in both]
    if len(set(names)) < len(names) or not re.fullmatch(r"[\w.-]+", name):
        given = ", ".join(who.name for who in peers)
        raise SystemExit(
            "--against-name must be a word that heads no other column. "
            f"Got {name} beside {given}: choose another, such as before."
        )
    return both


class Session:
    """The peers, up and taking turns, and a file of what they showed."""

    def __init__(
        self, args: argparse.Namespace, tool: str, peers: Sequence[Who], legend: str
    ):
        self.args, self.peers = args, list(peers)
        if args.against:
            self.peers = twins(self.peers, args.against, args.against_name)
            legend += TWINS.format(args.against_name)
        name = args.name or (tool if args.allocator == "default" else f"{tool}-tuned")
        self.path = args.results / f"{name}.md"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.text = ""
        with driver.hold(args.share):
            tuned = args.allocator == "tuned"
            self.running = driver.start(self.peers, args.threads, args.here, tuned)
        self.failed = not all(each.alive for each in self.running)
        command = shlex.join(["python", f"benchmarks/{tool}.py", *args.given])
        command = re.sub(r" --(hold|share|results|name) ('[^']*'|\S+)", "", command)
        settings = f"{args.threads} threads for every peer, {args.allocator} allocator"
        self.say(report.header(self.running, command, settings))
        self.say("\n" + legend)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_) -> None:
        for each in self.running:
            each.stop()

    def find(self, module: str) -> driver.Peer | None:
        """The first of the running peers of a kind."""
        alive = (each for each in self.running if each.alive)
        return next((each for each in alive if each.who.module == module), None)

    def say(self, text: str) -> None:
        """Print something, and add it to the file."""
        print(text, flush=True)
        self.text += text + "\n"
        self.path.write_text(self.text)

    def measure(
        self,
        cases: Sequence,
        beside: Callable[[driver.Row], dict[str, str]],
        gauge: Callable[[], object] = lambda: None,
        turn: float = 0.06,
    ) -> None:
        """Time every case, and say how each peer did.

        Args:
            cases: the rows of the tables.
            beside: what stands right of the peers in a row, by title.
            gauge: is read before and after each case is timed.
            turn: seconds of a peer's turn.
        """
        args, rows, shown = self.args, [], ""
        with tempfile.TemporaryDirectory() as scratch:
            for case in cases:
                started = time.perf_counter()
                with driver.hold(args.share):
                    row = driver.build(self.running, case, Path(scratch))
                with driver.hold(args.hold):
                    row.gauged.append(gauge())
                    driver.take_turns(self.running, row, args.rounds, args.budget, turn)
                    row.gauged.append(gauge())
                rows.append(row)
                took = time.perf_counter() - started
                print(f"{took:5.1f} s  {case.group} {case.label}", flush=True)
                shown = report.tables(self.peers, rows, beside)
                self.path.write_text(f"{self.text}{shown}\n")  # if it is cut short
        self.say(shown)
        self.failed |= any(
            timing.note.startswith("FAILED")
            for row in rows
            for timing in row.timings.values()
        )
