"""How well logits foretell the tokens of a sequence, over all steps that count."""

from typing import Any

import keras
from jax import numpy as jnp

from .._borrowed import get_keras_mask
from .losses import are_ids, as_weights, cross_entropy, fitted


class StepMetric(keras.metrics.Mean):
    """Base of means over steps: of each ``values(targets, logits)``, ``(B, T)``.

    Targets are ids ``(B, T)`` or probabilities ``(B, T, V)``, as for `SequenceLoss`.

    Weights are the mask of the predictions times ``sample_weight``, whatever the
    batches are: a step of a short batch counts as one of a long one. In ``fit`` Keras
    hands on no mask: there a `Seq2Seq` sees to it, and other models need
    ``sample_weight``, with the metric among ``weighted_metrics``.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch."""
        mask = get_keras_mask(y_pred)
        logits = jnp.asarray(y_pred)
        targets = fitted(y_true, logits.shape[:-1])
        values = self.values(targets, logits)
        weights = as_weights(sample_weight, values)
        if mask is not None:
            weights = jnp.where(as_weights(mask, values) != 0, weights, 0)
        # At padding there may be no number. All in one row: Keras's own mean is first
        # taken over each row, and would weigh the steps of short batches more.
        values = jnp.where(weights != 0, values, 0)
        super().update_state(values.ravel(), sample_weight=weights.ravel())

    def values(self, targets: Any, logits: Any) -> Any:
        """A number for each step."""
        raise NotImplementedError(f"{type(self).__name__} must define values.")


@keras.saving.register_keras_serializable("unrolled")
class TokenAccuracy(StepMetric):
    """The share of steps at which the likeliest token is the right one.

    Args:
        name: Default ``"token_accuracy"``.
        dtype: of the result.

    Example:
        >>> import numpy as np, unrolled
        >>> metric = unrolled.TokenAccuracy()
        >>> logits = np.array([[[0.0, 2.0], [1.0, 0.0]]], "float32")
        >>> metric.update_state(np.array([[1, 1]]), logits)
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = "token_accuracy", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def values(self, targets: Any, logits: Any) -> Any:
        """1 where the likeliest is right; of probabilities, the likeliest of them."""
        targets = targets if are_ids(targets, logits) else targets.argmax(-1)
        return (logits.argmax(-1).astype(targets.dtype) == targets).astype("float32")


@keras.saving.register_keras_serializable("unrolled")
class Perplexity(StepMetric):
    """Among how many equally likely tokens the right one is as hard to find.

    ``exp(mean of -log softmax(logits)[target])``, of all steps that count.

    Args:
        name: Default ``"perplexity"``.
        dtype: of the result.

    Example:
        >>> import numpy as np, unrolled
        >>> metric = unrolled.Perplexity()
        >>> metric.update_state(np.array([[1, 3]]), np.zeros((1, 2, 4), "float32"))
        >>> print(f"{float(metric.result()):.3f}")
        4.000

    Source: Jelinek et al., 1977.
    """

    def __init__(self, name: str = "perplexity", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def values(self, targets: Any, logits: Any) -> Any:
        """The cross entropy."""
        return cross_entropy(logits, targets)

    def result(self) -> Any:
        """Of the mean."""
        return jnp.exp(super().result())
