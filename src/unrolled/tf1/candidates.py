"""The old names of ``tf.nn`` that sample a vocabulary, over ours."""

from typing import Any

import jax
from jax import numpy as jnp

from ..checks import require
from ..decoding import sampled as ours


def log_uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: Any = None,
    name: Any = None,
) -> ours.Candidates:
    """Sample ids: ``(sampled, true_expected_count, sampled_expected_count)``.

    The numbers drawn are not TensorFlow's; their distribution, and what is counted of
    them, is.

    Args:
        true_classes: ids ``(B, num_true)``.
        num_true: read by nobody.
        num_sampled: N.
        unique: whether no id comes twice.
        range_max: V.
        seed: an integer, or a key of ``jax.random``; it has to be given. Inside ``jit``
            pass a key: an integer would draw the same at every step.
        name: read by nobody.

    Raises:
        ValueError: if there is no seed, or N does not fit.

    Now: `unrolled.log_uniform_candidates`.

    Source: ``tf.nn.log_uniform_candidate_sampler`` of TensorFlow 1.15.
    """
    del num_true, name
    require(
        seed is not None,
        "seed",
        "must be an integer or a key of jax.random",
        "None",
        "pass jax.random.fold_in(key, step) for other numbers at every step",
    )
    return ours.log_uniform_candidates(
        seed, true_classes, num_sampled, range_max, unique=unique
    )


def sampled_softmax_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = True,
    partition_strategy: str = "mod",
    name: Any = None,
    seed: Any = None,
) -> jax.Array:
    """Cross entropy among the targets and a sample, ``(B,)``.

    Of equal samples only the last is taken out as an accidental hit, as there.

    Args:
        weights: ``(V, D)``, or a list of its parts.
        biases: ``(V,)``, or a list of its parts.
        labels: ids ``(B, num_true)``.
        inputs: ``(B, D)``.
        num_sampled: N.
        num_classes: V.
        num_true: M.
        sampled_values: what a sampler returned. Default: what
            `log_uniform_candidate_sampler` draws.
        remove_accidental_hits: take out samples that are a target. Default True.
        partition_strategy: of lists: ``"mod"``, ids in turn, or ``"div"``, in a row.
        name: read by nobody.
        seed: of the sample, where `sampled_values` is None.

    Raises:
        ValueError: if there is neither a sample nor a seed, or shapes do not fit.

    Now: `unrolled.SampledDense` with `unrolled.SampledSoftmaxLoss`, or
    `unrolled.sampled_softmax_loss`.

    Example:
        >>> import numpy as np
        >>> from unrolled import tf1
        >>> weights, biases = np.zeros((100, 3), "float32"), np.zeros(100, "float32")
        >>> labels, inputs = np.array([[1], [5]]), np.ones((2, 3), "float32")
        >>> given = (weights, biases, labels, inputs)
        >>> tf1.sampled_softmax_loss(*given, 9, 100, seed=1).shape
        (2,)

    Source: ``tf.nn.sampled_softmax_loss`` of TensorFlow 1.15.
    """
    del name
    return ours.softmax_among(
        *_logits(
            *(weights, biases, labels, inputs, num_sampled, num_classes, num_true),
            *(sampled_values, remove_accidental_hits, partition_strategy, seed),
        )
    )


def nce_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = False,
    partition_strategy: str = "mod",
    name: Any = None,
    seed: Any = None,
) -> jax.Array:
    """Noise-contrastive estimation, ``(B,)``; arguments as of `sampled_softmax_loss`.

    TensorFlow took no seed here.

    Raises:
        ValueError: if there is neither a sample nor a seed, or shapes do not fit.

    Now: `unrolled.SampledDense` with `unrolled.NCELoss`, or `unrolled.nce_loss`.

    Source: ``tf.nn.nce_loss`` of TensorFlow 1.15.
    """
    del name
    return ours.logistic_among(
        *_logits(
            *(weights, biases, labels, inputs, num_sampled, num_classes, num_true),
            *(sampled_values, remove_accidental_hits, partition_strategy, seed),
        )
    )


def _logits(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int,
    values: Any,
    removed: bool,
    strategy: str,
    seed: Any,
) -> tuple[jax.Array, jax.Array]:
    labels, inputs = jnp.asarray(labels), jnp.asarray(inputs)
    require(
        labels.shape == (*inputs.shape[:-1], num_true),
        "labels",
        f"must have shape (batch, num_true) = {(*inputs.shape[:-1], num_true)}",
        labels.shape,
        "pass labels[:, None] for one of each row",
    )
    if values is None:
        values = log_uniform_candidate_sampler(
            labels, num_true, num_sampled, True, num_classes, seed
        )
    found = ours.Candidates(*map(jnp.asarray, values))
    hits = None
    if removed:
        hits = ours.accidental_hits(labels, found.ids) & _last(found.ids)[None]
    weights, biases = _whole(weights, strategy), _whole(biases, strategy)
    return ours.sampled_logits(weights, biases, labels, inputs, found, hits)


def _last(ids: jax.Array) -> jax.Array:
    """Which ids do not come again behind their place."""
    places = jnp.arange(len(ids))
    later = places[None] > places[:, None]
    return ~jnp.any((ids[:, None] == ids[None]) & later, axis=1)


def _whole(parts: Any, strategy: str) -> jax.Array:
    """One array of the parts that TensorFlow's ``embedding_lookup`` took."""
    if not isinstance(parts, (list, tuple)):
        return jnp.asarray(parts)
    require(
        strategy in ("mod", "div"),
        "partition_strategy",
        'must be "mod" or "div"',
        repr(strategy),
        "pass what the old program did",
    )
    parts = [jnp.asarray(part) for part in parts]
    whole = jnp.concatenate(parts, axis=0)
    if strategy == "div" or len(parts) == 1:
        return whole
    firsts = jnp.cumsum(jnp.asarray([0, *(len(part) for part in parts[:-1])]))
    ids = jnp.arange(len(whole))
    return whole[firsts[ids % len(parts)] + ids // len(parts)]
