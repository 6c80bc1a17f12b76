"""One peer in a process of its own, driven by one JSON object a line.

Started as `python worker.py PEER THREADS`. Requests come on standard input and each
gets one line in answer; anything a library prints goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Built:
    """A case ready to be timed."""

    run: Callable[[], object]
    steps: int = 1  # training steps in one call
    warms: bool = True  # whether an uncounted call opens each round


class Worker:
    """Holds the built cases between requests."""

    def __init__(self, peer: str, threads: int):
        self.peer = importlib.import_module(f"peers.{peer}")
        self.threads = threads
        if hasattr(self.peer, "start"):
            self.peer.start(threads)
        self.built: list[Built] = []
        self.left_at = (time.perf_counter(), time.process_time())

    def hello(self) -> dict:
        """Versions of what is measured."""
        return {"versions": self.peer.versions(), "python": sys.version.split()[0]}

    def build(self, case: dict, save: str | None) -> dict:
        """Compile a case, run it twice, keep its first result if asked to."""
        import numpy as np

        from cases import FIT_STEPS, Case, UnsupportedError

        case["shape"] = tuple(case["shape"])
        made = Case(**case)
        self.built.append(Built(lambda: None))  # keeps the numbering if this fails
        try:
            if made.mode == "fit":
                if not hasattr(self.peer, "build_fit"):
                    raise UnsupportedError("no training loop is measured")
                run = self.peer.build_fit(made)
                self.built[-1] = Built(run, steps=FIT_STEPS)
                run()
                return {}
            run, results = self.peer.build(made)
            self.built[-1] = Built(run)
            result = run()
            run()
            if save:
                np.savez(save, **results(result))
        except UnsupportedError as reason:
            return {"unsupported": str(reason)}
        return {}

    def forget(self) -> dict:
        """Free what was built."""
        self.built.clear()
        return {}

    def calibrate(self, number: int, target: float) -> dict:
        """How many calls fill `target` seconds."""
        built = self.built[number]
        each = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            built.run()
            each = min(each, time.perf_counter() - started)
            if each > target:
                break
        built.warms = each < target  # a long call has no need of a call before it
        return {"iterations": max(1, round(target / each))}

    def time(self, number: int, iterations: int) -> dict:
        """One round; also how busy this process was since its last one."""
        built = self.built[number]
        wall, cpu = self.left_at
        waited = max(time.perf_counter() - wall, 1e-9)
        # too short a wait says nothing but how long a pool takes to fall asleep
        idle_load = (time.process_time() - cpu) / waited if waited > 0.1 else 0.0
        if built.warms:
            built.run()  # brings caches and sleeping threads back; not counted
        started = time.perf_counter()
        for _ in range(iterations):
            built.run()
        took = time.perf_counter() - started
        time.sleep(0.005)  # lets a thread pool stop spinning before the next peer
        self.left_at = (time.perf_counter(), time.process_time())
        return {"seconds": took / iterations / built.steps, "idle_load": idle_load}

    def sgemm(self, size: int) -> dict:
        """Best rate of a square float32 product, in floating operations a second."""
        product = self.peer.sgemm(size)
        product()
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - started)
        return {"flops": 2 * size**3 / best}


def main() -> None:
    """Answer requests until standard input closes."""
    peer, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # prints of libraries must not look like answers
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(peer, threads)
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            traceback.print_exc()
            message = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {message[0][:200]}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
