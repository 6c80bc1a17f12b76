"""The CRF as the last layer of a model, and its loss."""

from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from .._borrowed import get_keras_mask
from ..arguments import KW_ONLY, Constraint, Declared, Initializer, Regularizer
from ..checks import require
from . import crf
from .losses import as_weights, check_reductions, fitted, precise, reduced
from .origin import origin_of, set_origin


class Chain(NamedTuple):
    """What tags were chosen by; all tags were allowed there."""

    potentials: Any
    transitions: Any
    mask: Any


@keras.saving.register_keras_serializable("unrolled")
class CRF(Declared, keras.layers.Layer):
    """A linear-chain conditional random field: tags that go together, not step by step.

    The potentials are ``inputs @ kernel + bias``, ``(B, T, V)``; every pair of
    neighbours has a transition, the first tag and the last a number of their own. It
    returns the sequence of the highest score. Trained with `CRFLoss`.

    Args:
        tags: V, how many tags there are.
        kernel_initializer: of the kernel ``(D, V)``. Default ``"glorot_uniform"``.
        bias_initializer: of the bias ``(V,)``. Default ``"zeros"``.
        transition_initializer: of the transitions ``(V, V)``, from the row to the
            column, and of start and end ``(V,)``. Default ``"zeros"``: it begins as a
            softmax of each step.
        kernel_regularizer: of the kernel. Default: none.
        transition_regularizer: of the transitions. Default: none.
        transition_constraint: of the transitions. Default: none.

    Called with ``(B, T, D)`` and a mask ``(B, T)`` of any pattern, which comes along
    from a layer before; a masked step is as if it were not there. ``allowed``, bool
    ``(B, T, V)``: tags to choose from. Gives int32 ``(B, T)``, 0 at masked steps.

    Raises:
        ValueError: if `tags` is not positive, or shapes do not fit.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> model = keras.Sequential(
        ...     [
        ...         keras.layers.Embedding(10, 8, mask_zero=True),
        ...         unrolled.Bidirectional(unrolled.LSTM(8, return_sequences=True)),
        ...         unrolled.CRF(3),
        ...     ]
        ... )
        >>> metrics = [keras.metrics.Accuracy()]  # of tags, not of probabilities
        >>> model.compile("adam", unrolled.CRFLoss(), weighted_metrics=metrics)
        >>> words = np.array([[4, 2, 7], [5, 1, 0]])
        >>> tags = np.array([[0, 1, 2], [2, 1, 0]])
        >>> history = model.fit(words, tags, verbose=0)
        >>> model.predict(words, verbose=0).shape
        (2, 3)

    Source: Lafferty et al., 2001; Huang et al., 2015, arXiv:1508.01991;
    ``tfa.layers.CRF``.
    """

    tags: int
    _: KW_ONLY
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    transition_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    transition_regularizer: Regularizer = None
    transition_constraint: Constraint = None

    def __post_init__(self) -> None:
        """Check the number of tags."""
        require(
            isinstance(self.tags, int) and self.tags > 0,
            "tags",
            "must be a positive integer",
            repr(self.tags),
            "pass how many different tags there are",
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        require(
            len(input_shape) == 3,
            "inputs",
            "must have shape (batch, time, features)",
            tuple(input_shape),
            "pass return_sequences=True to the layer before",
        )
        count, moves = self.tags, self.transition_initializer
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], count),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(count,), initializer=self.bias_initializer
        )
        self.transitions = self.add_weight(
            name="transitions",
            shape=(count, count),
            initializer=moves,
            regularizer=self.transition_regularizer,
            constraint=self.transition_constraint,
        )
        for name in ("start", "end"):
            made = self.add_weight(name=name, shape=(count,), initializer=moves)
            setattr(self, name, made)

    def call(self, inputs: Any, mask: Any = None, allowed: Any = None) -> Any:
        """The tags; the loss finds beside them what they were chosen by."""
        bias = self.bias.value[None, None]
        potentials = precise(inputs @ self.kernel.value + bias)
        potentials, moves, mask = crf.checked(potentials, self.transitions.value, mask)
        ends = (precise(self.start.value), precise(self.end.value))
        potentials = crf.with_ends(potentials, *ends, mask)
        tags, _ = crf.crf_decode(potentials, moves, mask, allowed)
        return set_origin(tags, Chain(potentials, moves, mask))

    def compute_output_spec(
        self, inputs: Any, mask: Any = None, allowed: Any = None
    ) -> Any:
        """A tag for each step."""
        del mask, allowed
        return keras.KerasTensor(inputs.shape[:2], "int32")


@keras.saving.register_keras_serializable("unrolled")
class CRFLoss(keras.losses.Loss):
    """Minus the log-likelihood of a sequence of tags, for a model that ends with `CRF`.

    Args:
        over_batch: ``"mean"``, over rows that have a step that counts, or ``"sum"``.
            Default ``"mean"``.

    Called with tags, ids ``(B, T)``, or bool ``(B, T, V)`` where several are right;
    with what `CRF` returned; and with ``sample_weight (B,)``. What was masked there
    does not count here.

    Raises:
        ValueError: if the model does not end with `CRF`, or shapes do not fit.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> model = keras.Sequential([unrolled.CRF(3)])
        >>> model.compile("adam", unrolled.CRFLoss())
        >>> x, tags = np.ones((2, 4, 5), "float32"), np.zeros((2, 4), "int32")
        >>> history = model.fit(x, tags, verbose=0)

    Source: as of `crf_log_likelihood`.
    """

    def __init__(
        self, over_batch: str = "mean", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_reductions("sum", over_batch, ("mean", "sum"))
        self.over_batch = over_batch

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss, one number."""
        values = -self.call(y_true, y_pred)[:, None]
        weights = as_weights(sample_weight, values)
        mask = get_keras_mask(y_pred)
        if mask is not None:
            weights = jnp.where(jnp.any(mask, axis=1)[:, None], weights, 0)
        return reduced(values, weights, "sum", self.over_batch)

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        """The log-likelihood of each row."""
        chain = origin_of(y_pred, Chain, "unrolled.CRF")
        if chain is None:
            return jnp.zeros(y_pred.shape[0])
        targets = fitted(y_true, y_pred.shape)
        if targets.ndim == 2:
            return crf.crf_log_likelihood(chain.potentials, targets, *chain[1:])
        potentials, transitions, mask = chain
        score = crf.crf_multitag_score(potentials, targets, transitions, mask)
        return score - crf.crf_log_norm(potentials, transitions, mask)

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {"name": self.name, "over_batch": self.over_batch}
