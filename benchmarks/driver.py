"""Runs the peers: one process each, rounds taken in turn, nothing beside them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from cases import Case

HERE = Path(__file__).resolve().parent
PEERS = ("unrolled", "keras", "flax", "torch", "onnxruntime", "tensorflow")
# glibc keeps freed memory instead of returning it to the kernel page by page
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
TUNED["MALLOC_TOP_PAD_"] = "67108864"
THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "NPROC",  # XLA's pool on the CPU
)


@dataclass
class Timing:
    """What became of one peer in one case."""

    seconds: list[float] = field(default_factory=list)
    note: str = ""  # why there is no figure
    difference: float | None = None  # from the first peer's results
    idle_load: float = 0.0  # largest share of a core burnt while others were timed

    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median, third quartile, in seconds."""
        low, middle, high = np.percentile(self.seconds, [25, 50, 75])
        return float(low), float(middle), float(high)


class Peer:
    """The far end of a worker process; a dead worker answers with an error."""

    def __init__(
        self, name: str, threads: int, here: bool, source: Path | None, tuned: bool
    ):
        self.name = name
        own = HERE.parent / ".venv-bench" / name / "bin" / "python"
        self.python = str(own) if own.exists() and not here else sys.executable
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "JAX_PLATFORMS": "cpu",
        }
        environment |= {key: str(threads) for key in THREAD_LIMITS}
        environment |= TUNED if tuned else {}
        environment.pop("PYTHONPATH", None)
        if name == "unrolled":
            if source:
                environment["PYTHONPATH"] = str(source.resolve())
            environment["UNROLLED_THREADS"] = str(threads)
        self.log = HERE / "results" / f"{name}.log"
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.python, str(HERE / "worker.py"), name, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        self.about = {}

    def send(self, do: str, **request) -> None:
        """Ask for something; the answer is read by `answer`."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict:
        """Wait for what was asked for."""
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        return {"error": f"worker ended with status {code} (see {self.log.name})"}

    def ask(self, do: str, **request) -> dict:
        """Send and wait."""
        self.send(do, **request)
        return self.answer()

    def stop(self) -> None:
        """Close its input, upon which it ends."""
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


def start(names, threads, here, source, tuned) -> list[Peer]:
    """Start every peer; those that cannot say hello carry the reason."""
    peers = [Peer(name, threads, here, source, tuned) for name in names]
    for peer in peers:
        peer.send("hello")
    for peer in peers:
        peer.about = peer.answer()
    return peers


def compare(reference: Path, other: Path) -> float:
    """Largest difference over the named arrays, relative to the largest value."""
    with np.load(reference) as a, np.load(other) as b:
        shared = set(a.files) & set(b.files)
        return max(
            float(np.abs(a[k] - b[k]).max() / max(np.abs(a[k]).max(), 1e-30))
            for k in shared
        )


def build(peers: list[Peer], case: Case, scratch: Path) -> dict[str, Timing]:
    """Build a case in every peer at once, then compare their results."""
    timings = {peer.name: Timing() for peer in peers}
    alive = [peer for peer in peers if "error" not in peer.about]
    for peer in alive:
        path = scratch / f"{peer.name}.npz"
        path.unlink(missing_ok=True)
        peer.send("build", case=asdict(case), save=str(path))
    for peer in peers:
        answer = peer.answer() if peer in alive else peer.about
        timings[peer.name].note = answer.get("unsupported") or failure(answer)
    saved = [p for p in (scratch / f"{peer.name}.npz" for peer in peers) if p.exists()]
    if not case.recurrent_dropout:
        for path in saved[1:]:
            timings[path.stem].difference = compare(saved[0], path)
    return timings


@dataclass(frozen=True)
class Plan:
    """How long to measure, and how to share the machine meanwhile."""

    rounds: int = 11
    budget: float = 20.0  # seconds of rounds a case
    target: float = 0.06  # seconds of a peer's turn
    alone: str | None = None  # command held while timing
    shared: str | None = None  # command held while building


def measure(
    peers: list[Peer], cases: list[Case], scratch: Path, plan: Plan
) -> list[dict[str, Timing]]:
    """Build some cases, then time one after the other."""
    with hold(plan.shared):
        tables = [build(peers, case, scratch) for case in cases]
    with hold(plan.alone):
        for number, timings in enumerate(tables):
            rounds(peers, number, timings, plan)
    for peer in peers:
        peer.ask("forget")
    return tables


def rounds(
    peers: list[Peer], number: int, timings: dict[str, Timing], plan: Plan
) -> None:
    """Time a built case: each peer once a round, the order rotated."""
    iterations = {}
    for peer in peers:
        if not timings[peer.name].note:
            answer = peer.ask("calibrate", number=number, target=plan.target)
            timings[peer.name].note = failure(answer)
            iterations[peer.name] = answer.get("iterations")
    started = time.perf_counter()
    for n in range(plan.rounds):
        if n >= 3 and time.perf_counter() - started > plan.budget:
            break
        ready = [peer for peer in peers if not timings[peer.name].note]
        first = n % max(len(ready), 1)
        for peer in ready[first:] + ready[:first]:
            timing = timings[peer.name]
            count = iterations[peer.name]
            answer = peer.ask("time", number=number, iterations=count)
            timing.note = failure(answer)
            if timing.note:
                timing.seconds = []
                continue
            timing.seconds.append(answer["seconds"])
            if n:
                timing.idle_load = max(timing.idle_load, answer["idle_load"])


def failure(answer: dict) -> str:
    """The note of an answer that is an error, else nothing."""
    return "FAILED: " + answer["error"] if "error" in answer else ""
