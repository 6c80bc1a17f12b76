"""How a stream stores the weights of its matrices."""

from typing import NamedTuple

import jax
import numpy as np

Array = np.ndarray
STORAGES = ("float32", "bfloat16", "int8")


class Stored(NamedTuple):
    """Numbers of a matrix as stored, float32 by dtype.

    With `scale`, ``(columns,)``, they are whole numbers from -127 to 127, and one of
    them stands for `scale` of its column.
    """

    numbers: Array
    scale: Array | None = None

    @property
    def values(self) -> Array:
        """What the numbers stand for."""
        return self.numbers if self.scale is None else self.numbers * self.scale


def store(matrix: Array, storage: str) -> Stored:
    """Round a matrix ``(K, columns)`` to what `storage` can hold."""
    if storage == "float32":
        return Stored(matrix)
    if storage == "bfloat16":
        return Stored(matrix.astype(jax.numpy.bfloat16).astype(np.float32))
    scale = np.abs(matrix).max(axis=0) / np.float32(127)
    numbers = np.rint(matrix / np.where(scale > 0, scale, 1))
    return Stored(numbers.astype(np.float32), scale.astype(np.float32))
