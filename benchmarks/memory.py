"""Memory that inference with `return_sequences=False` needs beside its input.

    python benchmarks/memory.py          # T = 100 and 10,000, ours and stock Keras

XLA's own account of a compiled call: scratch memory, which grows with T only if the
T outputs (or T projections of the input) are stored on the way to the last one.
"""

from __future__ import annotations

import argparse
import os

os.environ["KERAS_BACKEND"] = "jax"

import unrolled

import jax
import keras

from cases import GATES, Case
from peers.on_keras import make_layer

MIB = 2**20


def scratch(layers, case: Case) -> int:
    """Bytes of temporary buffers in the compiled forward pass."""
    layer = make_layer(layers, case)
    weights = [v.value for v in layer.trainable_variables]
    frozen = [v.value for v in layer.non_trainable_variables]
    x = jax.ShapeDtypeStruct(case.shape[:3], "float32")

    def forward(x, weights):
        return layer.stateless_call(weights, frozen, x, training=False)[0]

    compiled = jax.jit(forward).lower(x, weights).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def main() -> None:
    """Print one row a cell and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="+", type=int, default=[100, 10_000])
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--features", type=int, default=28)
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    args = parser.parse_args()
    titles = ["cell, B,D,U"]
    titles += [f"{who}, T={t:,}" for who in ("unrolled", "keras") for t in args.steps]
    titles += ["its input", "its T outputs", "its T projections"]
    print("Scratch memory in MiB; the last three columns at the largest T.\n")
    print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|")
    for name, gates in GATES.items():
        for b in args.batch:
            d, u, last = args.features, args.units, max(args.steps)
            row = [f"{name}, {b},{d},{u}"]
            for layers in (unrolled, keras.layers):
                for t in args.steps:
                    used = scratch(layers, Case(name, "forward", (b, t, d, u)))
                    row.append(f"{used / MIB:.3f}")
            row += [f"{4 * b * last * n / MIB:.1f}" for n in (d, u, gates * u)]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
