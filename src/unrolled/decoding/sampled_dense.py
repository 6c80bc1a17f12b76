"""The last layer of a model with a large vocabulary, and the losses that sample it."""

from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Constraint, Declared, Initializer, Regularizer
from ..checks import is_count, require
from . import sampled
from .losses import StepLoss, as_ids, cross_entropy, fitted, of_ids, precise
from .origin import origin_of, set_origin


class Logits(NamedTuple):
    """What logits were made of; `seed` is None where nothing is sampled."""

    kernel: Any
    bias: Any
    inputs: Any
    seed: Any
    num_sampled: Any


@keras.saving.register_keras_serializable("unrolled")
class SampledDense(Declared, keras.layers.Layer):
    """Logits of V ids, of which a loss in training reads N and the target's only.

    ``inputs @ kernel.T + bias``, as ``keras.layers.Dense(V)`` gives them. Compiled with
    `SampledSoftmaxLoss` or `NCELoss`, a training step computes no others than those of
    the targets and of N ids, drawn anew at every step with `log_uniform_candidates`:
    sort the vocabulary by frequency. ``evaluate`` and ``predict`` compute all, and so
    does a training step with a metric, or any other loss, that reads them.

    Args:
        vocabulary: V.
        num_sampled: N.
        kernel_initializer: of the kernel ``(V, D)``. Default ``"glorot_uniform"``.
        bias_initializer: of the bias ``(V,)``. Default ``"zeros"``.
        kernel_regularizer: of the kernel. Default: none.
        kernel_constraint: of the kernel. Default: none.
        seed: of the samples. Default: a random one.

    Called with ``(..., D)``, and gives ``(..., V)``; a mask goes on.

    Raises:
        ValueError: if N is not in 1 ... V.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> model = keras.Sequential(
        ...     [
        ...         keras.layers.Embedding(1000, 8),
        ...         unrolled.LSTM(8, return_sequences=True),
        ...         unrolled.SampledDense(1000, num_sampled=20),
        ...     ]
        ... )
        >>> model.compile("adam", unrolled.SampledSoftmaxLoss())
        >>> x = np.arange(10).reshape(2, 5)
        >>> history = model.fit(x, x, verbose=0)
        >>> model.predict(x, verbose=0).shape
        (2, 5, 1000)

    Source: Jean et al., 2014, arXiv:1412.2007.
    """

    vocabulary: int
    num_sampled: int
    _: KW_ONLY
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the sizes."""
        require(
            is_count(self.vocabulary),
            "vocabulary",
            "must be a positive integer, how many ids there are",
            repr(self.vocabulary),
            "pass the V of the targets",
        )
        require(
            is_count(self.num_sampled) and self.num_sampled <= self.vocabulary,
            "num_sampled",
            f"must be a whole number in 1 ... {self.vocabulary}, the vocabulary",
            repr(self.num_sampled),
            "pass a few hundred, or use keras.layers.Dense for a small vocabulary",
        )
        self.supports_masking = True
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.vocabulary, input_shape[-1]),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.vocabulary,), initializer=self.bias_initializer
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """All logits; the losses find beside them what they were made of."""
        kernel, bias = self.kernel.value, self.bias.value
        logits = inputs @ kernel.T
        logits = logits + jnp.expand_dims(bias, range(inputs.ndim - 1))
        seed = self.seed_generator.next() if training else None
        return set_origin(logits, Logits(kernel, bias, inputs, seed, self.num_sampled))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """As a Dense layer's."""
        return (*input_shape[:-1], self.vocabulary)


class _Sampled(StepLoss):
    """Of a sample in training, of all logits otherwise."""

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        """Of each row of the inputs."""
        targets = fitted(y_true, y_pred.shape[:-1])
        found = origin_of(y_pred, Logits, "unrolled.SampledDense")
        if found is None or found.seed is None:
            return self.of_all(targets, y_pred)
        targets = as_ids(targets, len(found.bias))
        candidates = sampled.log_uniform_candidates(
            found.seed, targets, found.num_sampled, len(found.bias)
        )
        return self.of_sample(
            found.kernel, found.bias, targets, found.inputs, candidates
        )

    def of_all(self, targets: Any, logits: Any) -> jax.Array:
        """What `of_sample` stands for."""
        raise NotImplementedError

    def of_sample(self, *args: Any) -> jax.Array:
        """The function of `sampled`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("unrolled")
class SampledSoftmaxLoss(_Sampled):
    """`sampled_softmax_loss` of what `SampledDense` returned; outside ``fit``, of all.

    Args:
        over_time: ``"mean"`` or ``"sum"``, as of `sequence_loss`. Default ``"mean"``.
        over_batch: ``"mean"`` or ``"sum"``. Default ``"mean"``.

    Called with ids ``(B, T)`` or ``(B,)``, and with what the layer returned.

    Raises:
        ValueError: if the model does not end with `SampledDense`.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> model = keras.Sequential([unrolled.SampledDense(100, num_sampled=9)])
        >>> model.compile("sgd", unrolled.SampledSoftmaxLoss())
        >>> x, y = np.ones((4, 3), "float32"), np.arange(4)
        >>> history = model.fit(x, y, verbose=0)

    Source: as of `sampled_softmax_loss`.
    """

    def of_all(self, targets: Any, logits: Any) -> jax.Array:
        """Softmax over V."""
        return cross_entropy(logits, targets)

    def of_sample(self, *args: Any) -> jax.Array:
        """Over the sample."""
        return sampled.sampled_softmax_loss(*args)


@keras.saving.register_keras_serializable("unrolled")
class NCELoss(_Sampled):
    """`nce_loss` of what `SampledDense` returned; outside ``fit``, of all.

    Args:
        over_time: ``"mean"`` or ``"sum"``, as of `sequence_loss`. Default ``"mean"``.
        over_batch: ``"mean"`` or ``"sum"``. Default ``"mean"``.

    Called with ids ``(B, T)`` or ``(B,)``, and with what the layer returned.

    Raises:
        ValueError: if the model does not end with `SampledDense`.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> model = keras.Sequential([unrolled.SampledDense(100, num_sampled=9)])
        >>> model.compile("sgd", unrolled.NCELoss())
        >>> x, y = np.ones((4, 3), "float32"), np.arange(4)
        >>> history = model.fit(x, y, verbose=0)

    Source: as of `nce_loss`.
    """

    def of_all(self, targets: Any, logits: Any) -> jax.Array:
        """Logistic losses over V."""
        logits = precise(logits)
        wanted = of_ids(logits, targets)
        return jnp.sum(jax.nn.softplus(logits), axis=-1) - wanted

    def of_sample(self, *args: Any) -> jax.Array:
        """Over the sample."""
        return sampled.nce_loss(*args)
