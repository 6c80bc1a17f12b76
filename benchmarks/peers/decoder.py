"""The decoder of benchmarks/decode.py: its weights, what it reads, its products.

Two LSTMs, one above the other, which read the embedded token and the attention of the
step before; Bahdanau's attention; a dense layer of ``[y, context]``, which gives the
attention; and a dense layer to the logits. The end token is never likely, so that every
search takes all its steps.
"""

from __future__ import annotations

import numpy as np

from cases import Decoding

START, END = 1, 2
SHOWN = ("query", "recurrent_0", "output")  # whose gradients are compared


def arrays(case: Decoding) -> dict[str, np.ndarray]:
    """Weights by name, gates in the order i f c o; and what is read, all in float32."""
    (rows, steps, memory), (vocabulary, units, layers) = case.rows, case.widths
    rng = np.random.RandomState(7)
    draw = lambda *shape: rng.standard_normal(shape).astype("float32")  # noqa: E731
    kernel = lambda *shape: draw(*shape) * np.float32(shape[0] ** -0.5)  # noqa: E731
    found = {"embeddings": draw(vocabulary, units)}
    for n in range(layers):
        width = units if n else 2 * units
        found[f"kernel_{n}"] = kernel(width, 4 * units)
        found[f"recurrent_{n}"] = kernel(units, 4 * units)
        found[f"bias_{n}"] = draw(4 * units)
        found[f"h_{n}"], found[f"c_{n}"] = draw(rows, units), draw(rows, units)
    found["query"], found["keys"] = kernel(units, units), kernel(units, units)
    found["score"] = kernel(units, 1)[:, 0] * np.float32(3)
    found["attention"] = kernel(2 * units, units)
    # Tokens that are apart from each other: rounding changes none.
    found["output"] = kernel(units, vocabulary) * np.float32(4)
    found["output_bias"] = draw(vocabulary)
    found["output_bias"][END] = -100
    found["memory"] = draw(rows, memory, units)
    found["tokens"] = rng.randint(0, vocabulary, (rows, steps)).astype("int32")
    found["targets"] = rng.randint(0, vocabulary, (rows, steps)).astype("int32")
    return found


WEIGHTS = ("embeddings", "kernel", "recurrent", "bias", "query", "keys", "score")
WEIGHTS += ("attention", "output")


def weights(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the arrays that are learnt."""
    return {k: a for k, a in given.items() if k.startswith(WEIGHTS)}


def products(case: Decoding) -> list[tuple[int, int, int, int]]:
    """What must be multiplied: how often, and (m, k) by (k, n).

    In training what reads no state is one product for all steps, and so is the gradient
    of each weight.
    """
    (rows, steps, memory), (vocabulary, units, layers) = case.rows, case.widths
    width = case.beam if case.mode == "beam" else 1
    training = case.mode == "training"
    at_once = rows * steps if training else rows * width
    often = 1 if training else steps
    found = [
        (1, rows * memory, units, units),  # keys
        (often, at_once, units, 4 * units),  # of the embedded tokens
        (often, at_once, units, vocabulary),  # logits
        *[(steps, rows * width, 2 * units, 4 * units)] * layers,
        (steps, rows * width, units, units),  # queries
        (steps, rows * width, 2 * units, units),  # attention
    ]
    if not training:
        return found
    back = []
    for count, m, k, n in found:
        back.append((count, m, n, k))  # to what was read
        back.append((1, k, count * m, n))  # to the weight
    return found + back
