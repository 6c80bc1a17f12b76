"""Select JAX for Keras, or say in one sentence what to set."""

import os
import sys


def select() -> None:
    """Choose JAX where nothing was chosen; stop where something else was.

    Raises:
        ImportError: if Keras runs, or was told to run, on another backend.
    """
    if "keras" not in sys.modules and not os.environ.get("KERAS_BACKEND"):
        os.environ["KERAS_BACKEND"] = "jax"
    import keras

    if keras.config.backend() != "jax":
        raise ImportError(
            "unrolled needs Keras on JAX, and Keras runs on "
            f"{keras.config.backend()}: set KERAS_BACKEND=jax in the environment, or "
            "import unrolled before keras."
        )


select()
