"""What files of Keras 2 hold, and Keras 3 has no more, or reads otherwise."""

from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp


@keras.saving.register_keras_serializable("unrolled")
def hard_sigmoid_of_keras_2(x: jax.Array) -> jax.Array:
    """0.2 * x + 0.5, from 0 to 1; Keras 3 took the name for x / 6 + 0.5."""
    return jnp.clip(0.2 * x + 0.5, 0, 1)


def translated(config: dict[str, Any], custom_objects: Any = None) -> dict[str, Any]:
    """A configuration as Keras 3 would write it.

    Args:
        config: of a cell or a layer. Keras 2 wrote all arguments, but had no `seed`.
        custom_objects: a `hard_sigmoid` among them goes before Keras 2's.
    """
    if "kernel_initializer" not in config or "seed" in config:
        return config
    own = keras.saving.get_registered_object("hard_sigmoid", custom_objects)
    return {
        name: own or hard_sigmoid_of_keras_2 if _is_hard_sigmoid(value) else value
        for name, value in config.items()
    }


def _is_hard_sigmoid(value: Any) -> bool:
    function = isinstance(value, dict) and value.get("class_name") == "function"
    return (value["config"] if function else value) == "hard_sigmoid"


def are_cudnn(arrays: Sequence[Any], gates: int) -> bool:
    """Whether these are the weights of a `CuDNNLSTM` or a `CuDNNGRU`.

    Those have a second bias, in one row with the first: ``(2*G*U,)``.
    """
    if gates not in (3, 4) or len(arrays) != 3:
        return False
    units, width = arrays[1].shape[0], gates * arrays[1].shape[0]
    shapes = [tuple(array.shape) for array in arrays[1:]]
    # With h projected to half of U, or in heads, the bias is as long, and R is not so.
    return shapes == [(units, width), (2 * width,)]


def from_cudnn(arrays: Sequence[Any], gates: int) -> list[np.ndarray]:
    """Weights of cuDNN as Keras's layers have them, but for two biases ``(2, G*U)``.

    In arrays of Keras's shapes, cuDNN keeps each gate's matrix transposed: the numbers
    of ``(D, U)`` are those of ``(U, D)``, row by row.
    """
    *kernels, bias = map(np.asarray, arrays)

    def turned(kernel: np.ndarray) -> np.ndarray:
        each = np.split(kernel, gates, axis=1)
        return np.hstack([k.reshape(k.shape[::-1]).T for k in each])

    return [*map(turned, kernels), bias.reshape(2, -1)]
