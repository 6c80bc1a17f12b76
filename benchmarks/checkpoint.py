"""What `checkpoint` costs and saves: memory and time of a gradient, in long sequences.

    PYTHONPATH=src python benchmarks/checkpoint.py

Each figure is of a fresh process: an LSTM, its last output only, the gradient of its
weights. Peak: the most resident memory that the process had, all of it, Python and JAX
included. Time: of the second call, once all is compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

PATHS = ("kernel", "scan")
OPTIONS = (("without", False), ("checkpoint=True", True))


def measure(steps: int, batch: int, features: int, units: int, again: bool) -> dict:
    """Peak memory in GiB, and seconds; of this process."""
    import unrolled

    import jax
    import numpy as np
    from jax import numpy as jnp

    layer = unrolled.LSTM(units, checkpoint=again)
    layer.build((batch, steps, features))
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]
    x = np.random.default_rng(0).normal(size=(batch, steps, features))
    x = jnp.asarray(x, "float32")

    @jax.jit
    def gradient(weights: list, x: jax.Array) -> list:
        def loss(weights: list) -> jax.Array:
            y, _ = layer.stateless_call(weights, rest, x, training=True)
            return jnp.mean(y**2)

        return jax.grad(loss)(weights)

    jax.block_until_ready(gradient(weights, x))
    start = time.perf_counter()
    jax.block_until_ready(gradient(weights, x))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"plan": layer.plan(x.shape, True), "peak": peak, "seconds": seconds}


def main(argv: list[str] | None = None) -> int:
    """Print a table: a row for each path, with and without."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--shape", nargs=4, type=int, default=[100_000, 8, 8, 128])
    p.add_argument("--measure", choices=[name for name, _ in OPTIONS])
    args = p.parse_args(argv)
    if args.measure:
        print(json.dumps(measure(*args.shape, dict(OPTIONS)[args.measure])))
        return 0
    t, b, d, u = args.shape
    print(f"LSTM({u}), B={b}, T={t:,}, D={d}, last output only: one gradient\n")
    print("| path | | peak, GiB | time, s |\n|---|---|---|---|", flush=True)
    for path in PATHS:
        env = os.environ | ({"UNROLLED_ISA": "scan"} if path == "scan" else {})
        for name, _ in OPTIONS:
            command = [sys.executable, __file__, "--measure", name]
            command += ["--shape", *map(str, args.shape)]
            out = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)
            found = json.loads(out.stdout.splitlines()[-1])
            figures = f"{found['peak']:.2f} | {found['seconds']:.1f}"
            print(f"| {path} | {name} | {figures} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
