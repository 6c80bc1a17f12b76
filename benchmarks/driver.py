"""Runs the peers: one process each, rounds taken in turn, nothing beside them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import environments
from cases import Case, View
from environments import Who

# glibc keeps freed memory instead of returning it to the kernel page by page
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
TUNED["MALLOC_TOP_PAD_"] = "67108864"
THREAD_LIMITS = (
    "BENCH_THREADS",
    "UNROLLED_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "NPROC",  # XLA's pool on the CPU
)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


@dataclass
class Timing:
    """What became of one peer in one case."""

    seconds: list[float] = field(default_factory=list)
    # what it saw in the same rounds
    beside: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""  # why there is no figure
    difference: float | None = None  # from the first peer's results
    idle_load: float = 0.0  # largest share of a core burnt while others were timed


@dataclass
class Row:
    """A case, what became of each peer in it, and the gauge before and after."""

    case: Case | View
    timings: dict[str, Timing]
    gauged: list = field(default_factory=list)


class Peer:
    """The far end of a worker process; a dead worker answers with an error."""

    def __init__(self, who: Who, threads: int, here: bool, tuned: bool):
        self.who, self.name = who, who.name
        self.process, self.about = None, {}
        try:
            python = environments.python(who, here)
        except environments.SetupError as error:
            self.about = {"error": str(error)}
            return
        environment = {key: str(threads) for key in THREAD_LIMITS}
        device = "cuda" if who.gpu else "cpu"
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": device}
        environment |= {
            "BENCH_DEVICE": device,
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        environment |= {"BENCH_OPTION": who.option, "BENCH_CHECKOUT": str(who.checkout)}
        environment = {**os.environ, **environment, **(TUNED if tuned else {})}
        environment.pop("PYTHONPATH", None)
        who.log.parent.mkdir(exist_ok=True)
        with who.log.open("w") as log:
            self.process = subprocess.Popen(
                [python, str(environments.HERE / "worker.py"), who.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it could be set up and started."""
        return "error" not in self.about

    def send(self, do: str, **request) -> None:
        """Ask for something; the answer is read by `answer`."""
        if self.process:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
                self.process.stdin.flush()

    def answer(self) -> dict:
        """Wait for what was asked for."""
        if self.process is None:
            return self.about
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        return {"error": f"worker ended with status {code} (see {self.who.log})"}

    def ask(self, do: str, **request) -> dict:
        """Send and wait."""
        self.send(do, **request)
        return self.answer()

    def call(self, name: str, **arguments) -> dict:
        """Ask for any other figure that the peer has."""
        return self.ask("call", name=name, arguments=arguments)

    def stop(self) -> None:
        """Close its input, upon which it ends."""
        if self.process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextlib.contextmanager
def hold(command: str | None):
    """Have the machine to ourselves: COMMAND must echo a line when it is our turn."""
    if not command:
        yield
        return
    holder = subprocess.Popen(
        shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        holder.stdin.write("ready\n")
        holder.stdin.flush()
        holder.stdout.readline()
        yield
    finally:
        holder.stdin.close()
        holder.wait()


def start(wanted: list[Who], threads: int, here: bool, tuned: bool) -> list[Peer]:
    """Start every peer; those that cannot say hello carry the reason."""
    peers = [Peer(who, threads, here, tuned) for who in wanted]
    for peer in peers:
        peer.send("hello")
    for peer in peers:
        peer.about = peer.answer()
    return peers


def build(peers: list[Peer], case: Case | View, scratch: Path) -> Row:
    """Build a case in every peer at once, then compare their results."""
    timings = {peer.name: Timing() for peer in peers}
    paths = {peer.name: scratch / f"{n}.npz" for n, peer in enumerate(peers)}
    for peer in peers:
        path = paths[peer.name]
        path.unlink(missing_ok=True)
        if peer.alive:
            kind = type(case).__name__
            peer.send("build", kind=kind, case=asdict(case), save=str(path))
    for peer in peers:
        answer = peer.answer() if peer.alive else peer.about
        timings[peer.name].note = answer.get("unsupported") or failure(answer)
    saved = [peer for peer in peers if paths[peer.name].exists()]
    if case.compared and len(saved) > 1:
        files = [str(paths[peer.name]) for peer in saved]
        found = saved[0].ask("compare", paths=files).get("differences", ())
        for peer, difference in zip(saved[1:], found, strict=False):
            timings[peer.name].difference = difference
    return Row(case, timings)


def take_turns(
    peers: list[Peer], row: Row, rounds: int, budget: float, turn: float
) -> None:
    """Time what was built last: each peer once a round, the order rotated.

    Args:
        peers: all of them.
        row: where the times go.
        rounds: how many at most.
        budget: seconds after which no round begins, but for the first three.
        turn: seconds of a peer's turn.
    """
    timings = row.timings
    iterations = {}
    for peer in peers:
        if not timings[peer.name].note:
            answer = peer.ask("calibrate", target=turn)
            timings[peer.name].note = failure(answer)
            iterations[peer.name] = answer.get("iterations")
    started = time.perf_counter()
    for n in range(rounds):
        if n >= 3 and time.perf_counter() - started > budget:
            break
        ready = [peer for peer in peers if not timings[peer.name].note]
        first = n % max(len(ready), 1)
        for peer in ready[first:] + ready[:first]:
            timing = timings[peer.name]
            answer = peer.ask("time", iterations=iterations[peer.name])
            timing.note = failure(answer)
            if timing.note:
                timing.seconds = []
                continue
            timing.seconds.append(answer["seconds"])
            for name, value in answer.get("beside", {}).items():
                timing.beside.setdefault(name, []).append(value)
            if n:
                timing.idle_load = max(timing.idle_load, answer["idle_load"])


def failure(answer: dict) -> str:
    """The note of an answer that is an error, else nothing."""
    return "FAILED: " + answer["error"] if "error" in answer else ""
