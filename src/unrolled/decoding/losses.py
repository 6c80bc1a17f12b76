"""The cross entropy of a sequence, and what its steps and rows become together."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from .._borrowed import get_keras_mask
from ..checks import is_number, require

REDUCTIONS = ("mean", "sum")


def sequence_loss(
    logits: Any,
    targets: Any,
    weights: Any = None,
    *,
    over_time: str | None = "mean",
    over_batch: str | None = "mean",
    label_smoothing: float = 0.0,
) -> jax.Array:
    """Weighted cross entropy of the logits of every step.

    With ``e = -log softmax(logits)[target]``, ``(B, T)``, and the weights w, a mean
    divides by the sum of weights that it runs over; over the batch of sums, by how many
    rows have a weight:

    ==========  ===========  ======================================  =======
    over_time   over_batch   is                                      shape
    ==========  ===========  ======================================  =======
    ``"mean"``  ``"mean"``   sum(w e) / sum(w): of one step          ``()``
    ``"sum"``   ``"mean"``   sum(w e) / rows: of one sequence        ``()``
    ``"sum"``   ``"sum"``    sum(w e)                                ``()``
    ``"mean"``  ``"sum"``    of each row its mean, summed            ``()``
    ``"mean"``  None         sum_t(w e) / sum_t(w)                   ``(B,)``
    None        ``"mean"``   sum_b(w e) / sum_b(w)                   ``(T,)``
    None        None         w e                                     ``(B, T)``
    ==========  ===========  ======================================  =======

    Nothing is divided by zero: what has no weight is 0. What logits and targets say at
    a step of weight 0 is not read, so any number may stand for padding there; where a
    step counts whose target is no id, the loss is NaN.

    Args:
        logits: ``(B, T, V)``.
        targets: ids ``(B, T)``, or probabilities ``(B, T, V)``.
        weights: ``(B, T)``, or ``(B,)`` for each row; 0 for padding. Default: ones.
        over_time: ``"mean"``, ``"sum"`` or None. Default ``"mean"``.
        over_batch: ``"mean"``, ``"sum"`` or None. Default ``"mean"``.
        label_smoothing: epsilon, in [0, 1): the targets are mixed with epsilon / V on
            every id. Default 0.

    Raises:
        ValueError: if shapes do not fit, or an option is none of those.

    Example:
        >>> import numpy as np, unrolled
        >>> logits = np.zeros((2, 3, 4), "float32")
        >>> targets = np.array([[1, 2, 3], [0, 1, 0]])
        >>> loss = unrolled.sequence_loss(logits, targets, [[1, 1, 1], [1, 0, 0]])
        >>> print(f"{loss:.4f}")  # log 4
        1.3863

    Source: of the mean and sums, ``tfa.seq2seq.sequence_loss``; of label smoothing,
    Szegedy et al., 2015, arXiv:1512.00567.
    """
    logits, targets = jnp.asarray(logits), jnp.asarray(targets)
    check_reductions(over_time, over_batch, (*REDUCTIONS, None))
    _check_smoothing(label_smoothing)
    require(
        logits.ndim == 3,
        "logits",
        "must have shape (batch, time, vocabulary)",
        logits.shape,
        "add the axis that is missing, logits[:, None] for one step",
    )
    if weights is not None:
        weights = as_weights(weights, precise(logits[..., 0]))
        # Chosen before, or what is no number would come back in the gradient.
        counted = jnp.broadcast_to((weights != 0)[..., None], logits.shape)
        logits = jnp.where(counted, logits, jnp.zeros_like(logits))
    values = cross_entropy(logits, targets, label_smoothing)
    return reduced(values, as_weights(weights, values), over_time, over_batch)


def cross_entropy(logits: Any, targets: Any, label_smoothing: float = 0.0) -> jax.Array:
    """Of each step, in float32 or better.

    Args:
        logits: ``(..., V)``.
        targets: ids ``(...)``, or probabilities ``(..., V)``.
        label_smoothing: as for `sequence_loss`.

    Raises:
        ValueError: if the shapes do not fit.
    """
    logits, targets = jnp.asarray(logits), jnp.asarray(targets)
    ids = are_ids(targets, logits)
    logits = precise(logits)
    if ids:
        wanted = of_ids(logits, targets)
        whole = jnp.ones((), logits.dtype)
    else:
        targets = targets.astype(logits.dtype)
        wanted = jnp.sum(targets * logits, axis=-1)
        whole = jnp.sum(targets, axis=-1)
    if label_smoothing:
        even = jnp.mean(logits, axis=-1) * whole
        wanted = (1 - label_smoothing) * wanted + label_smoothing * even
    return whole * jax.nn.logsumexp(logits, axis=-1) - wanted


def are_ids(targets: jax.Array, logits: jax.Array) -> bool:
    """Whether targets are ids, and not probabilities.

    Raises:
        ValueError: if the shapes fit neither, or these are no logits.
    """
    require(
        bool(jnp.issubdtype(logits.dtype, jnp.floating)),
        "logits",
        "must be floating-point numbers, one for each token",
        f"{logits.dtype} of shape {logits.shape}",
        "let a Dense be the last layer; where a CRF is, which gives tags, the loss is "
        "CRFLoss and the metric keras.metrics.Accuracy()",
    )
    ids = targets.shape == logits.shape[:-1]
    require(
        ids or targets.shape == logits.shape,
        "targets",
        f"must have shape {logits.shape[:-1]} for ids, or {logits.shape} for "
        "probabilities",
        targets.shape,
        "pass an id for each step of the logits",
    )
    return ids


def as_ids(targets: Any, count: int) -> jax.Array:
    """Ids as whole numbers; what is none of 0 ... V - 1 becomes V."""
    ids = targets.astype("int32")
    wrong = (ids < 0) | (ids >= count) | (ids.astype(targets.dtype) != targets)
    return jnp.where(wrong, count, ids)


def of_ids(values: jax.Array, targets: Any) -> jax.Array:
    """Of ``(..., V)`` what the id ``(...)`` has; NaN where there is no such id."""
    ids = as_ids(targets, values.shape[-1])[..., None]
    found = jnp.take_along_axis(
        values, ids, axis=-1, mode="fill", fill_value=float("nan")
    )
    return found[..., 0]


def precise(array: Any) -> jax.Array:
    """In float32 where it had fewer bits."""
    array = jnp.asarray(array)
    enough = array.dtype in ("float32", "float64")
    return array if enough else array.astype("float32")


def as_weights(weights: Any, values: jax.Array) -> jax.Array:
    """Weights ``(B, T)`` for such values, from what may be one for each row.

    Raises:
        ValueError: if they are neither.
    """
    if weights is None:
        return jnp.ones(values.shape, values.dtype)
    weights = jnp.asarray(weights).astype(values.dtype)
    rows, shape = values.shape[0], weights.shape
    require(
        shape in (values.shape, (rows,), (rows, 1)),
        "weights",
        f"must have shape {values.shape}, or {(rows,)} for one of each row",
        shape,
        "pass 1 for steps that count and 0 for padding",
    )
    each = weights if weights.ndim == 2 else weights[:, None]
    return jnp.broadcast_to(each, values.shape)


def reduced(
    values: jax.Array, weights: jax.Array, over_time: Any, over_batch: Any
) -> jax.Array:
    """What `sequence_loss` makes of values and weights ``(B, T)``."""
    counted = weights != 0
    # Chosen, not multiplied: at padding there may be no number.
    total, weight = jnp.where(counted, values * weights, 0), weights
    if over_time is not None:
        total = jnp.sum(total, axis=1)
        rows = jnp.any(counted, axis=1).astype(weights.dtype)
        weight = jnp.sum(weights, axis=1) if over_time == "mean" else rows
    if over_batch == "mean":
        return _ratio(jnp.sum(total, axis=0), jnp.sum(weight, axis=0))
    total = _ratio(total, weight) if over_time == "mean" else total
    return jnp.sum(total, axis=0) if over_batch == "sum" else total


def _ratio(total: jax.Array, weight: jax.Array) -> jax.Array:
    none = weight == 0
    return jnp.where(none, 0, total / jnp.where(none, 1, weight))


def check_reductions(over_time: Any, over_batch: Any, allowed: tuple) -> None:
    """Raise unless both are among those allowed.

    Raises:
        ValueError: naming the one that is not.
    """
    for name, given in (("over_time", over_time), ("over_batch", over_batch)):
        require(
            given in allowed,
            name,
            f"must be one of {', '.join(map(repr, allowed))}",
            repr(given),
            'pass "mean" for what no longer depends on how many there are',
        )


def _check_smoothing(given: Any) -> None:
    require(
        is_number(given) and 0 <= given < 1,
        "label_smoothing",
        "must be at least 0 and less than 1",
        repr(given),
        "pass 0.1, or 0 for none",
    )


class StepLoss(keras.losses.Loss):
    """Base of losses that say a number for each step, ``call`` ``(B, T)`` or ``(B,)``.

    Weights are the mask of the predictions times ``sample_weight``.
    """

    def __init__(
        self,
        over_time: str = "mean",
        over_batch: str = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_reductions(over_time, over_batch, REDUCTIONS)
        self.over_time, self.over_batch = over_time, over_batch

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss, one number."""
        mask = get_keras_mask(y_pred)
        values = self.call(y_true, y_pred)
        if values.ndim == 1:  # rows without time
            values = values[:, None]
        weights = as_weights(sample_weight, values)
        if mask is not None:
            weights = jnp.where(as_weights(mask, values) != 0, weights, 0)
        return reduced(values, weights, self.over_time, self.over_batch)

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        options = {"over_time": self.over_time, "over_batch": self.over_batch}
        return {"name": self.name, **options}


def fitted(targets: Any, shape: tuple[int, ...]) -> jax.Array:
    """Targets as Keras hands them on: with an axis of 1 behind, where it added one."""
    targets = jnp.asarray(targets)
    return targets.reshape(shape) if targets.shape == (*shape, 1) else targets


@keras.saving.register_keras_serializable("unrolled")
class SequenceLoss(StepLoss):
    """`sequence_loss` for ``compile``: the model's mask is among the weights.

    Args:
        over_time: ``"mean"`` or ``"sum"``. Default ``"mean"``.
        over_batch: ``"mean"`` or ``"sum"``. Default ``"mean"``: with both, the mean of
            all steps that count, whichever rows they are in.
        label_smoothing: in [0, 1). Default 0.

    Called with targets, ids ``(B, T)`` or probabilities ``(B, T, V)``; logits ``(B, T,
    V)``; and ``sample_weight``, ``(B, T)`` or ``(B,)``.

    Raises:
        ValueError: if an option is none of those, or shapes do not fit.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> model = keras.Sequential(
        ...     [
        ...         keras.layers.Embedding(10, 8, mask_zero=True),
        ...         unrolled.LSTM(8, return_sequences=True),
        ...         keras.layers.Dense(10),
        ...     ]
        ... )
        >>> model.compile("adam", unrolled.SequenceLoss(label_smoothing=0.1))
        >>> x = np.array([[1, 2, 3], [4, 5, 0]])
        >>> history = model.fit(x, x, verbose=0)

    Source: as of `sequence_loss`; ``tfa.seq2seq.SequenceLoss``.
    """

    def __init__(
        self,
        over_time: str = "mean",
        over_batch: str = "mean",
        label_smoothing: float = 0.0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(over_time, over_batch, name, dtype)
        _check_smoothing(label_smoothing)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        """Of each step."""
        targets = fitted(y_true, y_pred.shape[:-1])
        return cross_entropy(y_pred, targets, self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
