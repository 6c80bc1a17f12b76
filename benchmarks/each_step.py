"""Something done with h at every step: a cell beside the Python loop that people write.

    PYTHONPATH=src python benchmarks/each_step.py

Two models, as in docs/each-step.md: an LSTM that reads, beside x, what a dense layer
makes of the h before; and a GRU that attends over a memory. Each as one cell of ours,
and as a loop over the steps with cells and layers of Keras, with the same weights.
Called as it is; and compiled with its gradient, as `fit` does: the first call, which
compiles it, and one after that. Medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import unrolled

import jax
import keras
import numpy as np
from jax import numpy as jnp

MEMORY_STEPS = 50


class FeedBack(unrolled.CellWrapper):
    """The cell reads, beside x, what `operate` makes of its last output."""

    def __init__(self, cell: Any, operate: Any, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.operate = operate
        self.own_states = {"fed": operate.units}

    def build(self, input_shape: Any) -> None:
        """For what the cell reads."""
        super().build((input_shape[0], input_shape[-1] + self.operate.units))
        self.operate.build((None, self.cell.output_size))

    def step(self, x: Any, states: Any, constants: Any) -> Any:
        """As the page has it."""
        states, own = self.split(states)
        h, states = super().step(
            jnp.concatenate([x, own["fed"]], -1), states, constants
        )
        return h, self.join(states, {"fed": self.operate(h)})


class FeedBackLoop(keras.layers.Layer):
    """The same, step by step."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.cell = keras.layers.LSTMCell(units)
        self.operate = keras.layers.Dense(units, activation="tanh")

    def call(self, x: Any) -> Any:
        """One Python step for each step in time."""
        fed = h = c = keras.ops.zeros((x.shape[0], self.cell.units))
        outputs = []
        for t in range(x.shape[1]):
            read = keras.ops.concatenate([x[:, t], fed], axis=-1)
            h, (h, c) = self.cell(read, [h, c])
            fed = self.operate(h)
            outputs.append(h)
        return keras.ops.stack(outputs, axis=1)


class AttentionLoop(keras.layers.Layer):
    """A GRU with Bahdanau's attention, step by step."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.cell = keras.layers.GRUCell(units)
        self.query = keras.layers.Dense(units, use_bias=False)
        self.keys = keras.layers.Dense(units, use_bias=False)
        self.score = keras.layers.Dense(1, use_bias=False)

    def call(self, x: Any, memory: Any) -> Any:
        """One Python step for each step in time."""
        h = keras.ops.zeros((x.shape[0], self.cell.units))
        found = keras.ops.zeros((x.shape[0], memory.shape[-1]))
        keys, outputs = self.keys(memory), []
        for t in range(x.shape[1]):
            read = keras.ops.concatenate([x[:, t], found], axis=-1)
            h, _ = self.cell(read, [h])
            score = self.score(keras.ops.tanh(keys + self.query(h)[:, None]))
            weights = keras.ops.softmax(score, axis=1)
            found = keras.ops.sum(weights * memory, axis=1)
            outputs.append(found)
        return keras.ops.stack(outputs, axis=1)


def _cells(units: int) -> dict[str, Any]:
    """Ours, by what they do."""
    operate = keras.layers.Dense(units, activation="tanh")
    mechanism = unrolled.BahdanauAttention(units)
    return {
        "h fed back": FeedBack(unrolled.LSTMCell(units), operate),
        "attention": unrolled.AttentionCell(unrolled.GRUCell(units), mechanism),
    }


LOOPS = {"h fed back": FeedBackLoop, "attention": AttentionLoop}


def _same_weights(ours: Any, loop: Any) -> None:
    """Give the loop our weights: by shape and order, but for the score of attention."""
    given = [np.asarray(weight) for weight in ours.get_weights()]
    if isinstance(loop, AttentionLoop):
        *cell, v, query, keys = given
        given = [*cell, query, keys, v[:, None]]
    loop.set_weights(given)


def _median(call: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _trained(layer: Any, x: Any, given: dict[str, Any], rounds: int) -> list[float]:
    """Seconds of the first call of a compiled gradient, and of one after that."""
    rest = [v.value for v in layer.non_trainable_variables]

    @jax.jit
    def gradient(weights: Any, x: Any) -> Any:
        def loss(weights: Any) -> jax.Array:
            y, _ = layer.stateless_call(weights, rest, x, **given)
            return jnp.mean(y**2)

        return jax.grad(loss)(weights)

    weights = [v.value for v in layer.trainable_variables]
    first = _median(lambda: gradient(weights, x), 1)
    return [first, _median(lambda: gradient(weights, x), rounds)]


def main(argv: list[str] | None = None) -> int:
    """Print a table: for each model a row of ours, and one of the loop."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--shape", nargs=4, type=int, default=[32, 100, 64, 128])
    p.add_argument("--rounds", type=int, default=5)
    args = p.parse_args(argv)
    b, t, d, u = args.shape
    rng = np.random.default_rng(0)
    x, memory = (
        jnp.asarray(rng.normal(size=(b, n, w)), "float32")
        for n, w in ((t, d), (MEMORY_STEPS, u))
    )
    print(f"B={b}, T={t}, D={d}, U={u}, memory of {MEMORY_STEPS} steps\n")
    print("| | | called, ms | with gradient: first call, s | then, ms |")
    print("|---|---|---|---|---|", flush=True)
    for name, cell in _cells(u).items():
        given = {"memory": memory} if name == "attention" else {}
        ours, loop = unrolled.RNN(cell, return_sequences=True), LOOPS[name](u)
        expected, _ = ours(x, **given), loop(x, **given)
        _same_weights(ours, loop)
        difference = float(jnp.abs(loop(x, **given) - expected).max())
        assert difference < 1e-4, f"{name} differ by {difference}"
        for label, layer in (("a cell in `RNN`", ours), ("a Python loop", loop)):
            called = _median(partial(layer, x, **given), args.rounds)
            first, then = _trained(layer, x, given, args.rounds)
            figures = f"{1e3 * called:.1f} | {first:.1f} | {1e3 * then:.1f}"
            print(f"| {name} | {label} | {figures} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
