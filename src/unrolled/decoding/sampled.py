"""Losses that read a sample of the vocabulary: sampled softmax and NCE."""

from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from ..checks import is_count, require
from .keys import key_of
from .losses import precise


class Candidates(NamedTuple):
    """A sample of ids, and how often each was to be expected in it.

    Args:
        ids: ``(N,)``; the same for all rows.
        true_expected: of the targets, in their shape.
        sampled_expected: of the sampled ids, ``(N,)``.

    Any sampler will do that gives these; `log_uniform_candidates` is one.
    """

    ids: Any
    true_expected: Any
    sampled_expected: Any


def log_uniform_candidates(
    seed: Any,
    targets: Any,
    num_sampled: int,
    vocabulary: int,
    *,
    unique: bool = True,
) -> Candidates:
    """Sample ids, small v more often: ``p = log((v + 2) / (v + 1)) / log(V + 1)``.

    It fits a vocabulary sorted by frequency, the most frequent id first. Without
    repetition an id is expected ``1 - (1 - p)^n`` times, where n is how many had to be
    drawn, those that came again included, until there were N.

    Args:
        seed: an integer, a key of ``jax.random`` or a ``keras.random.SeedGenerator``.
        targets: ids of any shape; the sample does not depend on them.
        num_sampled: N.
        vocabulary: V.
        unique: whether no id comes twice. Default True.

    Returns:
        `Candidates`.

    Raises:
        ValueError: if N is not in 1 ... V (without repetition), or not positive.

    Example:
        >>> import unrolled
        >>> found = unrolled.log_uniform_candidates(0, [[3], [0]], 5, 1000)
        >>> found.ids.shape, found.true_expected.shape, found.sampled_expected.shape
        ((5,), (2, 1), (5,))

    Source: ``tf.random.log_uniform_candidate_sampler``.
    """
    require(
        is_count(vocabulary),
        "vocabulary",
        "must be a positive integer, how many ids there are",
        repr(vocabulary),
        "for example vocabulary=len(bias)",
    )
    most = f" and at most the vocabulary, {vocabulary}" if unique else ""
    require(
        is_count(num_sampled) and (num_sampled <= vocabulary or not unique),
        "num_sampled",
        f"must be a whole number of at least 1{most}",
        repr(num_sampled),
        "pass a few hundred for a vocabulary of tens of thousands",
    )
    vocabulary, num_sampled = int(vocabulary), int(num_sampled)
    draw_key, tries_key = jax.random.split(key_of(seed, targets))
    every = jnp.arange(vocabulary)
    if unique:
        # The order in which ids come first, if one draws on and on, is that of the
        # logarithms of their probabilities with Gumbel noise (Plackett and Luce).
        noise = jax.random.gumbel(draw_key, (vocabulary,))
        likely = jnp.log(log_uniform(every, vocabulary)) + noise
        _, ids = jax.lax.top_k(likely, num_sampled)
        tries = _tries(tries_key, ids, vocabulary)
    else:
        uniform = jax.random.uniform(draw_key, (num_sampled,))
        # The inverse of the distribution: P(id <= v) = log(v + 2) / log(V + 1).
        drawn = jnp.expm1(uniform * jnp.log1p(float(vocabulary)))
        ids = jnp.clip(drawn.astype("int32"), 0, vocabulary - 1)
        tries = jnp.full((), float(num_sampled))
    true = expected(jnp.asarray(targets), vocabulary, num_sampled, tries)
    return Candidates(ids, true, expected(ids, vocabulary, num_sampled, tries))


def log_uniform(ids: Any, vocabulary: int) -> jax.Array:
    """The probability of each id."""
    return jnp.log1p(1.0 / (ids.astype("float32") + 1.0)) / jnp.log1p(float(vocabulary))


def expected(ids: Any, vocabulary: int, num_sampled: int, tries: Any) -> jax.Array:
    """How often each id is to be expected among N that took so many tries."""
    p = log_uniform(ids, vocabulary)
    tries = jnp.broadcast_to(tries, p.shape)
    once = -jnp.expm1(tries * jnp.log1p(-p))
    # None came twice, or might: then it is what it is with repetition.
    return jnp.where(tries == num_sampled, p * num_sampled, once)


def _tries(key: Any, ids: jax.Array, vocabulary: int) -> jax.Array:
    """How many were drawn until all of `ids` had come, in this order.

    Between two new ones, as many of those seen as a geometric distribution says.
    """
    every = log_uniform(jnp.arange(vocabulary), vocabulary)
    p = every[ids]
    never = jnp.sum(every.at[ids].set(0.0))
    new = never + jnp.cumsum(p[::-1])[::-1]  # what has not come before each
    # Before the first, nothing has.
    seen_again = jnp.log1p(-jnp.minimum(new[1:], 1.0))
    uniform = jax.random.uniform(key, seen_again.shape, minval=1e-20)
    return len(ids) + jnp.sum(jnp.floor(jnp.log(uniform) / seen_again))


def sampled_softmax_loss(
    kernel: Any,
    bias: Any,
    targets: Any,
    inputs: Any,
    candidates: Candidates,
    *,
    remove_accidental_hits: bool = True,
) -> jax.Array:
    """Cross entropy among the target and a sample, in place of all V logits.

    ``log softmax`` over the target's logit and those of the sample, each less the
    logarithm of how often its id was to be expected there; so that it estimates the
    loss over all of V. For training; evaluate with all logits, ``inputs @ kernel.T +
    bias``.

    Args:
        kernel: ``(V, D)``: of each id a row.
        bias: ``(V,)``.
        targets: ids ``(...)``, or ``(..., M)`` for M equally right ones.
        inputs: ``(..., D)``.
        candidates: of `log_uniform_candidates` with the same targets, or of a sampler
            of your own.
        remove_accidental_hits: leave out samples that are a target of the row. Default
            True.

    Returns:
        The loss of each row, ``(...)``; NaN where a target is no id.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import numpy as np, unrolled
        >>> kernel, bias = np.zeros((1000, 8), "float32"), np.zeros(1000, "float32")
        >>> inputs, targets = np.ones((2, 3, 8), "float32"), np.zeros((2, 3), "int32")
        >>> found = unrolled.log_uniform_candidates(0, targets, 20, 1000)
        >>> loss = unrolled.sampled_softmax_loss(kernel, bias, targets, inputs, found)
        >>> loss.shape
        (2, 3)

    Source: Jean et al., 2014, arXiv:1412.2007; ``tf.nn.sampled_softmax_loss``.
    """
    true, sampled, known = _logits(
        kernel, bias, targets, inputs, candidates, remove_accidental_hits
    )
    return jnp.where(known, softmax_among(true, sampled), jnp.nan)


def nce_loss(
    kernel: Any,
    bias: Any,
    targets: Any,
    inputs: Any,
    candidates: Candidates,
    *,
    remove_accidental_hits: bool = False,
) -> jax.Array:
    """Noise-contrastive estimation: tell the target from a sample, id by id.

    The sum of the logistic losses of the target's logit, to be 1, and of those of the
    sample, to be 0, each less the logarithm of how often its id was to be expected.

    Args:
        kernel: ``(V, D)``.
        bias: ``(V,)``.
        targets: ids ``(...)``, or ``(..., M)`` for M right ones, each to be 1 / M.
        inputs: ``(..., D)``.
        candidates: as for `sampled_softmax_loss`.
        remove_accidental_hits: leave out samples that are a target of the row. Default
            False.

    Returns:
        The loss of each row, ``(...)``; NaN where a target is no id.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import numpy as np, unrolled
        >>> kernel, bias = np.zeros((1000, 8), "float32"), np.zeros(1000, "float32")
        >>> inputs, targets = np.ones((4, 8), "float32"), np.arange(4)
        >>> found = unrolled.log_uniform_candidates(0, targets, 20, 1000)
        >>> unrolled.nce_loss(kernel, bias, targets, inputs, found).shape
        (4,)

    Source: Gutmann and Hyvarinen, 2010; Mnih and Teh, 2012, arXiv:1206.6426;
    ``tf.nn.nce_loss``.
    """
    true, sampled, known = _logits(
        kernel, bias, targets, inputs, candidates, remove_accidental_hits
    )
    return jnp.where(known, logistic_among(true, sampled), jnp.nan)


def softmax_among(true: jax.Array, sampled: jax.Array) -> jax.Array:
    """The loss, of logits ``(..., M)`` and ``(..., N)``."""
    whole = jax.nn.logsumexp(jnp.concatenate([true, sampled], axis=-1), axis=-1)
    return whole - jnp.mean(true, axis=-1)


def logistic_among(true: jax.Array, sampled: jax.Array) -> jax.Array:
    """The loss, of logits ``(..., M)`` and ``(..., N)``."""
    right = jnp.sum(jax.nn.softplus(true), axis=-1) - jnp.mean(true, axis=-1)
    return right + jnp.sum(jax.nn.softplus(sampled), axis=-1)


def _logits(
    kernel: Any, bias: Any, targets: Any, inputs: Any, candidates: Any, removed: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """As `sampled_logits`, checked; and in which rows ``(...)`` all targets are ids."""
    kernel, bias, targets, inputs = map(jnp.asarray, (kernel, bias, targets, inputs))
    candidates = Candidates(*map(jnp.asarray, candidates))
    require(
        kernel.ndim == 2 and bias.shape == kernel.shape[:1],
        "kernel, bias",
        "must have shapes (V, D) and (V,)",
        f"{kernel.shape} and {bias.shape}",
        "pass keras.ops.transpose(kernel) of a Dense layer",
    )
    rows = inputs.shape[:-1]
    require(
        inputs.shape[-1:] == kernel.shape[1:]
        and targets.shape[: len(rows)] == rows
        and targets.ndim - len(rows) in (0, 1),
        "inputs, targets",
        f"must have shapes (..., {kernel.shape[1]}) and (...) or (..., M)",
        f"{inputs.shape} and {targets.shape}",
        "pass one id, or M of them, for each row of the inputs",
    )
    require(
        candidates.true_expected.shape == targets.shape
        and candidates.ids.shape == candidates.sampled_expected.shape,
        "candidates",
        f"must have ids (N,), counts of targets {targets.shape} and of ids (N,)",
        [array.shape for array in candidates],
        "sample with these targets",
    )
    if targets.ndim == len(rows):
        targets = targets[..., None]
        counts = candidates.true_expected[..., None]
        candidates = candidates._replace(true_expected=counts)
    require(
        all(jnp.issubdtype(a.dtype, jnp.integer) for a in (targets, candidates.ids)),
        "targets, candidates",
        "must hold ids, whole numbers",
        f"{targets.dtype} and {candidates.ids.dtype}",
        'cast them with .astype("int32")',
    )
    # What is no id is looked up as 0, so that where it has no weight gradients are
    # numbers; its loss is none.
    known = jnp.logical_and(targets >= 0, targets < len(kernel))
    targets = jnp.where(known, targets, 0)
    counts = jnp.where(known, candidates.true_expected, 1)
    candidates = candidates._replace(true_expected=counts)
    hits = accidental_hits(targets, candidates.ids) if removed else None
    made = sampled_logits(kernel, bias, targets, inputs, candidates, hits)
    return *made, jnp.all(known, axis=-1)


def accidental_hits(targets: jax.Array, ids: jax.Array) -> jax.Array:
    """Which samples are a target of the row: ``(..., M), (N,) -> (..., N)``."""
    same = targets[..., None] == jnp.expand_dims(ids, range(targets.ndim))
    return jnp.any(same, axis=-2)


def sampled_logits(
    kernel: jax.Array,
    bias: jax.Array,
    targets: jax.Array,
    inputs: jax.Array,
    candidates: Candidates,
    hits: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Logits less the logarithms of the expected counts.

    Args:
        kernel: ``(V, D)``.
        bias: ``(V,)``.
        targets: ``(..., M)``.
        inputs: ``(..., D)``.
        candidates: counts of the targets ``(..., M)``.
        hits: ``(..., N)``, what of the sample does not count in which row; or None.

    Returns:
        Of the targets ``(..., M)``, of the sample ``(..., N)``; in float32 or better.
    """
    ids, *counts = map(jax.lax.stop_gradient, candidates)
    true = jnp.einsum("...d,...md->...m", inputs, kernel[targets]) + bias[targets]
    sampled = inputs @ kernel[ids].T
    sampled = sampled + jnp.expand_dims(bias[ids], range(inputs.ndim - 1))
    true, sampled = precise(true), precise(sampled)
    true_counts, counts = (jnp.log(count.astype(true.dtype)) for count in counts)
    true = true - true_counts
    sampled = sampled - jnp.expand_dims(counts, range(inputs.ndim - 1))
    if hits is not None:
        # Not -inf: that would not be a number where every sample is a hit.
        sampled = jnp.where(hits, jnp.finfo(sampled.dtype).min, sampled)
    return true, sampled
