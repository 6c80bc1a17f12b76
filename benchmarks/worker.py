"""One peer in a process of its own, driven by one JSON object a line.

Started as `python worker.py PEER`. Requests come on standard input and each gets one
line in answer; anything a library prints goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback

import cases
from peers import THREADS, Ready, UnsupportedError

# What a peer builds a case with, by the kind of the case or by its mode.
BUILDERS = {
    "fit": "build_fit",
    "stream": "build_stream",
    "Images": "build_images",
    "Formula": "build_formula",
    "Decoding": "build_decoding",
    "UserCell": "build_user_cell",
}


class Worker:
    """Holds the case that was built between requests."""

    def __init__(self, peer: str):
        self.peer = importlib.import_module(f"peers.{peer}")
        self.ready: Ready | None = None
        self.left_at = (time.perf_counter(), time.process_time())

    def hello(self) -> dict:
        """Versions of what is measured."""
        return {"versions": self.peer.versions(), "python": sys.version.split()[0]}

    def call(self, name: str, arguments: dict) -> dict:
        """Any other figure that the peer has."""
        return {"value": getattr(self.peer, name)(**arguments)}

    def build(self, kind: str, case: dict, save: str) -> dict:
        """Compile a case, run it, keep its first result if there is one to compare."""
        made = getattr(cases, kind)(**case)
        self.ready = None  # frees the last one
        try:
            name = BUILDERS.get(kind) or BUILDERS.get(made.mode, "build")
            builder = getattr(self.peer, name, None)
            if builder is None:
                raise UnsupportedError(f"{made.mode} is not measured")
            self.ready = ready = builder(made)
            result = ready.run()
            if ready.results:
                import numpy as np

                np.savez(save, **ready.results(result))
        except UnsupportedError as reason:
            return {"unsupported": str(reason)}
        return {}

    def compare(self, paths: list[str]) -> dict:
        """How far arrays of files are from the first one's, over its largest value."""
        import numpy as np

        def difference(a, b):
            return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))

        first, *others = (dict(np.load(path)) for path in paths)
        shared = [[k for k in first if k in other] for other in others]
        return {
            "differences": [
                max(difference(first[k], other[k]) for k in names)
                for names, other in zip(shared, others, strict=True)
            ]
        }

    def calibrate(self, target: float) -> dict:
        """How many calls fill `target` seconds."""
        ready = self.ready
        if ready.timed:
            return {"iterations": 1}
        each = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            ready.run()
            each = min(each, time.perf_counter() - started)
            if each > target:
                break
        ready.warms = each < target  # a long call has no need of a call before it
        return {"iterations": max(1, round(target / each))}

    def time(self, iterations: int) -> dict:
        """One round; also how busy this process was since its last one."""
        ready, run = self.ready, self.ready.run
        wall, cpu = self.left_at
        waited = max(time.perf_counter() - wall, 1e-9)
        # too short a wait says nothing but how long a pool takes to fall asleep
        idle_load = (time.process_time() - cpu) / waited if waited > 0.1 else 0.0
        if ready.timed:
            answer = run()
        else:
            if ready.warms:
                run()  # brings caches and sleeping threads back; not counted
            started = time.perf_counter()
            for _ in range(iterations):
                run()
            took = time.perf_counter() - started
            answer = {"seconds": took / iterations / ready.steps}
        time.sleep(0.005)  # lets a thread pool stop spinning before the next peer
        self.left_at = (time.perf_counter(), time.process_time())
        return {**answer, "idle_load": idle_load}


def main() -> None:
    """Answer requests until standard input closes."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # prints of libraries must not look like answers
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(sys.argv[1])
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            traceback.print_exc()
            message = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {message[0][:200]}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
