"""One file a peer, and what all of them share.

A peer has `versions()` and `build(case)`; where it can, also `build_fit(case)` and
`build_stream(case)`. Whatever builds returns a `Ready`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

# set by driver.py for each process
THREADS = int(os.environ.get("BENCH_THREADS", "2"))
OPTION = os.environ.get("BENCH_OPTION", "")  # what follows the colon in "unrolled:int8"
DEVICE = os.environ.get("BENCH_DEVICE", "cpu")  # or cuda
CHECKOUT = os.environ.get("BENCH_CHECKOUT", ".")


@dataclass
class Ready:
    """A case ready to be timed."""

    run: Callable[[], object]  # runs it once and waits for the result
    # turns a result into named arrays, which the peers are compared by
    results: Callable[[object], dict] | None = None
    steps: int = 1  # training steps in one run
    # whether run returns how long it took itself, as {"seconds": s, "beside": {...}}
    timed: bool = False
    warms: bool = True  # whether an uncounted run opens each round; the worker decides


class UnsupportedError(Exception):
    """The peer has no such thing; shown in the table, not an error."""
