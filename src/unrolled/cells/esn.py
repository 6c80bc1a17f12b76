"""Echo state networks: a reservoir of weights that are drawn and not trained."""

from typing import Any, ClassVar

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..arguments import KW_ONLY, Initializer
from ..checks import require
from .gated import GatedCell, activate


@keras.saving.register_keras_serializable("unrolled")
class ESNCell(GatedCell):
    """One state, h, which is also the output; no weight is trained.

    With the pre-activations ``z = x @ W + h @ R + b``::

        h' = (1 - leaky) * h + leaky * act(z)

    R is drawn, all but a share of it is set to zero, and it is scaled so that its
    largest eigenvalue is as large as asked for: then h forgets how it began. What is
    trained is a layer after it, such as ``keras.layers.Dense``.

    Args:
        units: U, the width of h: the size of the reservoir.
        connectivity: share of R that is not zero. Default 0.1.
        leaky: share of h that is renewed at each step. Default 1.
        spectral_radius: the largest absolute eigenvalue of R. Default 0.9.
        use_norm2: scale R by the root of the sum of its squares, a bound of that
            eigenvalue which is quicker to find. Default False.
        activation: of the pre-activations. Default tanh.
        kernel_initializer: of W ``(D, U)``. Default ``"glorot_uniform"``.
        recurrent_initializer: of R ``(U, U)`` before that. Default
            ``"glorot_uniform"``.
        seed: of which numbers of R are not zero, and of the dropout masks.

    The other arguments are those of `SimpleRNNCell`.

    Raises:
        ValueError: if `units` is not a positive integer, a share is not in (0, 1], or
            `spectral_radius` is not positive.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.RNN(unrolled.ESNCell(4, connectivity=0.5))
        >>> layer(keras.ops.ones((2, 5, 3))).shape, len(layer.trainable_weights)
        ((2, 4), 0)

    Source: Jaeger, 2001, "The echo state approach to analysing and training recurrent
    neural networks"; ``tfa.rnn.ESNCell`` of TensorFlow Addons 0.23.
    """

    gates: ClassVar[str] = "h"
    additive: ClassVar[bool] = True

    recurrent_initializer: Initializer = "glorot_uniform"
    _: KW_ONLY
    connectivity: float = 0.1
    leaky: float = 1.0
    spectral_radius: float = 0.9
    use_norm2: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = {"connectivity": 1.0, "leaky": 1.0, "spectral_radius": np.inf}
        for name, most in limits.items():
            value = getattr(self, name)
            require(
                isinstance(value, (int, float)) and 0 < value <= most,
                name,
                "must be above 0" + (" and at most 1" if most == 1.0 else ""),
                repr(value),
                f"leave {name} out for its default",
            )

    def weight(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """As of any cell, but not trained."""
        if name == "recurrent_kernel":
            kwargs["initializer"] = self.reservoir
        return super().weight(name, *args, **kwargs, trainable=False)

    def reservoir(self, shape: tuple[int, ...], dtype: Any = None) -> jax.Array:
        """R: thinned, and of the spectral radius asked for."""
        with jax.ensure_compile_time_eval():  # eigenvalues are NumPy's
            drawn = np.asarray(self.recurrent_initializer(shape, dtype=dtype))
            kept = keras.random.uniform(shape, seed=self.seed_generator)
        drawn = drawn * (np.asarray(kept) <= self.connectivity)
        values = drawn if self.use_norm2 else np.abs(np.linalg.eigvals(drawn))
        size = np.linalg.norm(drawn) if self.use_norm2 else values.max()
        return jnp.asarray(drawn * (self.spectral_radius / size if size else 0), dtype)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        new = activate(self.activation, x + h)
        h = (1 - self.leaky) * states[0] + self.leaky * new
        return h, [h]
