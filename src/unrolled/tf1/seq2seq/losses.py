"""The old loss of a sequence, and as a class of Keras."""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ...checks import require
from ...decoding.losses import cross_entropy, precise
from ..base import package


def sequence_loss(
    logits: Any,
    targets: Any,
    weights: Any,
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    sum_over_timesteps: bool = False,
    sum_over_batch: bool = False,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: Any = None,
) -> jax.Array:
    """Weighted cross entropy of the logits of every step.

    With e the cross entropy and w the weights, ``(B, T)``, along the axes that flags
    name: ``average_*`` gives ``sum(w e) / sum(w)``, and ``sum_over_*`` gives ``sum(w e)
    / count(w != 0)``; 0 where that divides by 0. Without flags ``w e``.

    Args:
        logits: ``(B, T, V)``.
        targets: ids ``(B, T)``, or probabilities ``(B, T, V)``.
        weights: ``(B, T)``.
        average_across_timesteps: default True.
        average_across_batch: default True.
        sum_over_timesteps: default False; instead of `average_across_timesteps`.
        sum_over_batch: default False; instead of `average_across_batch`.
        softmax_loss_function: ``(labels=, logits=) -> (B * T,)``, of ids ``(B * T,)``
            and logits ``(B * T, V)``, in place of the softmax's.
        name: read by nobody.

    Returns:
        A number, ``(B,)``, ``(T,)`` or ``(B, T)``.

    Raises:
        ValueError: if shapes do not fit, or two flags contradict each other.

    Now: `unrolled.sequence_loss`.

    Example:
        >>> import numpy as np
        >>> from unrolled.tf1 import seq2seq
        >>> logits, ids = np.zeros((1, 3, 4), "float32"), np.array([[1, 2, 3]])
        >>> print(f"{seq2seq.sequence_loss(logits, ids, np.ones((1, 3))):.4f}")
        1.3863

    Source: ``sequence_loss`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """
    del name
    average = average_across_timesteps, average_across_batch
    count = sum_over_timesteps, sum_over_batch
    _check_flags(average, count)
    require(
        weights is not None,
        "weights",
        "must be given, (batch, time)",
        "None",
        "pass 1 for steps that count and 0 for padding",
    )
    logits, targets, weights = map(jnp.asarray, (logits, targets, weights))
    _check_shapes(logits, targets, weights)
    logits = precise(logits)
    if softmax_loss_function is None:
        losses = cross_entropy(logits, targets)
    else:
        flat = logits.reshape(-1, logits.shape[-1])
        losses = softmax_loss_function(labels=targets.reshape(-1), logits=flat)
        losses = losses.reshape(weights.shape)
    weights = weights.astype(losses.dtype)
    losses = losses * weights
    sizes = weights if any(average) else (weights != 0).astype(losses.dtype)
    axes = [time or sum_ for time, sum_ in zip(average, count, strict=True)]
    # Flags are of time and batch; axes are batch and time.
    axis = tuple(1 - n for n, is_named in enumerate(axes) if is_named)
    if not axis:
        return losses
    total, size = jnp.sum(losses, axis), jnp.sum(sizes, axis)
    none = size == 0
    return jnp.where(none, 0, total / jnp.where(none, 1, size))


def _check_flags(average: tuple[bool, bool], count: tuple[bool, bool]) -> None:
    """Raise where a flag of one kind stands beside one of the other.

    Raises:
        ValueError: naming both.
    """
    names = ("average_across_timesteps", "average_across_batch")
    other = ("sum_over_timesteps", "sum_over_batch")
    one = [name for name, given in zip(names, average, strict=True) if given]
    two = [name for name, given in zip(other, count, strict=True) if given]
    require(
        not (one and two),
        " and ".join([*one, *two]),
        "must not be True together: one divides by weights, the other by their number",
        "True",
        "pass both average_* or both sum_over_*, and False for the others",
    )


def _check_shapes(logits: jax.Array, targets: jax.Array, weights: jax.Array) -> None:
    require(
        logits.ndim == 3,
        "logits",
        "must have shape (batch, time, vocabulary)",
        logits.shape,
        "add the axis that is missing, logits[:, None] for one step",
    )
    steps = logits.shape[:2]
    require(
        targets.shape in (steps, logits.shape),
        "targets",
        f"must have shape (batch, time) = {steps}, or {logits.shape} of probabilities",
        targets.shape,
        "pass an id for each step of the logits",
    )
    require(
        weights.shape == steps,
        "weights",
        f"must have shape (batch, time) = {steps}",
        weights.shape,
        "pass 1 for steps that count and 0 for padding",
    )


@package
class SequenceLoss(keras.losses.Loss):
    """`sequence_loss` as a loss: called with targets, logits and ``sample_weight``.

    Args:
        average_across_timesteps: default False.
        average_across_batch: default False.
        sum_over_timesteps: default True.
        sum_over_batch: default True.
        softmax_loss_function: as of `sequence_loss`.
        name: of the loss.

    Raises:
        ValueError: if two flags contradict each other, or no weights come.

    Now: `unrolled.SequenceLoss`, which also counts the model's mask.

    Source: ``SequenceLoss`` of TensorFlow Addons 0.23.
    """

    def __init__(
        self,
        average_across_timesteps: bool = False,
        average_across_batch: bool = False,
        sum_over_timesteps: bool = True,
        sum_over_batch: bool = True,
        softmax_loss_function: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction="none")
        average = average_across_timesteps, average_across_batch
        _check_flags(average, (sum_over_timesteps, sum_over_batch))
        self.average_across_timesteps = average_across_timesteps
        self.average_across_batch = average_across_batch
        self.sum_over_timesteps = sum_over_timesteps
        self.sum_over_batch = sum_over_batch
        self.softmax_loss_function = softmax_loss_function

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Of all steps."""
        return sequence_loss(
            y_pred, y_true, sample_weight, **self._options(), name=self.name
        )

    def _options(self) -> dict[str, Any]:
        names = ("average_across_timesteps", "average_across_batch")
        names += ("sum_over_timesteps", "sum_over_batch", "softmax_loss_function")
        return {name: getattr(self, name) for name in names}

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {"name": self.name, **self._options()}
