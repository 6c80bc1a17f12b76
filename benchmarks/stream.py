"""One step at a time: B=1, D=U, from Python, state carried from step to step.

    python benchmarks/stream.py                       # LSTM(128) and LSTM(512)
    python benchmarks/stream.py --units 256 --peers torch onnxruntime

The time is that of one whole step as a caller sees it: NumPy in, NumPy out.
"bfloat16" and "int8" are our stepper with weights stored so. Each peer is measured
alone in its environment from `make bench`, rounds in turn.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cases import Case, UnsupportedError, arrays

HERE = Path(__file__).resolve().parent
OURS = ("unrolled", "bfloat16", "int8")  # the latter two name how weights are stored
PEERS = (*OURS, "torch", "onnxruntime", "keras")


def unrolled_step(case: Case, weights: str = "float32"):
    """Our stepper."""
    os.environ["KERAS_BACKEND"] = "jax"
    import unrolled
    from unrolled import _native

    from peers.on_keras import make_layer

    if not _native.variant():
        raise UnsupportedError("no compiled core here: see `unrolled doctor`")
    layer = make_layer(unrolled, case, stateful=False)
    stream = unrolled.stream(layer, weights=weights)
    stream.states = {layer.name: arrays(case).states}
    return stream.step


def bfloat16_step(case: Case):
    """Our stepper, weights stored in two bytes."""
    return unrolled_step(case, "bfloat16")


def int8_step(case: Case):
    """Our stepper, weights stored in one byte."""
    return unrolled_step(case, "int8")


def keras_step(case: Case):
    """A stock stateful layer's cell, jitted, its state kept outside."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras
    import numpy as np

    cell = getattr(keras.layers, f"{case.cell}Cell")(case.shape[3])
    cell.build((1, case.shape[2]))
    cell.set_weights(arrays(case).weights)
    weights = [v.value for v in cell.trainable_variables]
    frozen = [v.value for v in cell.non_trainable_variables]

    @jax.jit
    def step(x, states):
        return cell.stateless_call(weights, frozen, x, states)[0]

    states = [jax.numpy.asarray(s) for s in arrays(case).states]

    def run(x):
        nonlocal states
        y, states = step(x, states)
        return np.asarray(y)

    return run


def torch_step(case: Case):
    """torch.nn's cell in inference mode."""
    import torch

    peer = importlib.import_module("peers.torch")
    layer, given = peer.make_layer(case)
    cells = {"LSTM": torch.nn.LSTMCell, "GRU": torch.nn.GRUCell}
    cell = cells.get(case.cell, torch.nn.RNNCell)(case.shape[2], case.shape[3])
    cell.load_state_dict(
        {name.removesuffix("_l0"): value for name, value in layer.state_dict().items()}
    )
    states = [torch.tensor(s) for s in given.states]
    state = tuple(states) if len(states) == 2 else states[0]

    def run(x):
        nonlocal state
        with torch.inference_mode():
            state = cell(torch.from_numpy(x), state)
            return (state[0] if isinstance(state, tuple) else state).numpy()

    return run


def onnxruntime_step(case: Case):
    """The ONNX operator over one step, its final states fed back."""
    peer = importlib.import_module("peers.onnxruntime")
    given = arrays(case)
    ready = peer.session(peer.model(case, given, states_out=True))
    names = ("h0", "c0")[: len(given.states)]
    feed = {name: s[None] for name, s in zip(names, given.states, strict=True)}
    wanted = [name.replace("0", "n") for name in names]

    def run(x):
        feed["X"] = x[None]
        states = ready.run(wanted, feed)
        feed.update(zip(names, states, strict=True))
        return states[0][0]

    return run


def work(peer: str, cell: str, units: int, rounds: int, threads: int) -> None:
    """In the peer's own process: print the first output's sum and the median."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    case = Case(cell, "forward", (1, 1, units, units))
    try:
        step = globals()[f"{peer}_step"](case)
    except (UnsupportedError, ImportError) as reason:
        print(f"none {reason}")
        return
    x = arrays(case).x[:, 0]
    first = float(step(x).sum())
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(500):
            step(x)
        took.append((time.perf_counter() - started) / 500)
    print(f"{first:.6f} {statistics.median(took) * 1e6:.2f}")


def measure(peer: str, cell: str, units: int, args: argparse.Namespace) -> str:
    """Run a peer's process and read its line."""
    home = "unrolled" if peer in OURS else peer
    own = HERE.parent / ".venv-bench" / home / "bin" / "python"
    python = str(own) if own.exists() and not args.here else sys.executable
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    environment["NPROC"] = str(args.threads)
    environment.pop("PYTHONPATH", None)
    if peer in OURS and args.source:
        environment["PYTHONPATH"] = str(args.source.resolve())
    command = [python, __file__, "--work", peer, "--cells", cell]
    command += ["--units", str(units), "--threads", str(args.threads)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return f"FAILED: {reason[:200]}"
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    """Print one row a cell and size: the median of three processes a peer."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cells", nargs="+", default=["LSTM"])
    p.add_argument("--units", nargs="+", type=int, default=[128, 512])
    p.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--here", action="store_true", help="this Python for every peer")
    p.add_argument(
        "--source", type=Path, help="import our package from here, not as installed"
    )
    p.add_argument("--work", choices=PEERS, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.work:
        work(args.work, args.cells[0], args.units[0], 9, args.threads)
        return
    print("Microseconds a step, B=1, D=U.\n")
    print(
        "| cell | "
        + " | ".join(args.peers)
        + " |\n"
        + "|---" * (len(args.peers) + 1)
        + "|"
    )
    notes = []
    for cell in args.cells:
        for units in args.units:
            lines: dict[str, list[str]] = {peer: [] for peer in args.peers}
            for _ in range(3):
                for peer in args.peers:
                    lines[peer].append(measure(peer, cell, units, args))
            row = []
            for peer, found in lines.items():
                times = [s.split()[1] for s in found if s[0] in "-0123456789"]
                row.append(
                    f"{statistics.median(map(float, times)):.1f}" if times else "-"
                )
                if not times:
                    notes.append(f"- {peer}: {found[-1].removeprefix('none ')}")
            firsts = {
                s.split()[0]
                for peer, found in lines.items()
                for s in found
                if s[0] in "-0123456789" and peer not in OURS[1:]  # those are rounded
            }
            if firsts and max(map(float, firsts)) - min(map(float, firsts)) > 1e-3:
                notes.append(f"- {cell}({units}): the peers disagree: {sorted(firsts)}")
            print(f"| {cell}({units}) | " + " | ".join(row) + " |", flush=True)
    print("\n".join(["", *dict.fromkeys(notes)]))


if __name__ == "__main__":
    main()
