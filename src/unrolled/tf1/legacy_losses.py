"""Losses of the old sequence-to-sequence models, over lists of steps; and buckets."""

from collections.abc import Sequence
from typing import Any

import jax
from jax import numpy as jnp

from ..checks import require
from ..decoding.losses import cross_entropy


def sequence_loss_by_example(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    average_across_timesteps: bool = True,
    softmax_loss_function: Any = None,
    name: Any = None,
) -> jax.Array:
    """Weighted cross entropy of each row, ``(B,)``.

    Args:
        logits: T arrays ``(B, V)``.
        targets: T arrays ``(B,)`` of ids.
        weights: T arrays ``(B,)``.
        average_across_timesteps: divide by the sum of a row's weights.
        softmax_loss_function: ``(labels=, logits=) -> (B,)`` in place of the softmax's.
        name: read by nobody.

    Raises:
        ValueError: if the lists are not of one length.

    Now: ``unrolled.sequence_loss(..., over_batch=None)``.

    Source: ``tf.contrib.legacy_seq2seq.sequence_loss_by_example`` of TensorFlow 1.15.
    """
    del name
    lengths = [len(logits), len(targets), len(weights)]
    require(
        len(set(lengths)) == 1 and lengths[0] > 0,
        "logits, targets, weights",
        "must be lists of one length",
        lengths,
        "pass one array of each for every step",
    )
    costs, sizes = [], []
    for logit, target, weight in zip(logits, targets, weights, strict=True):
        if softmax_loss_function is None:
            logit = jnp.asarray(logit)
            target = jnp.reshape(jnp.asarray(target), (-1,))
            loss = cross_entropy(logit, target)
        else:
            loss = softmax_loss_function(labels=target, logits=logit)
        weight = jnp.asarray(weight).astype(loss.dtype)
        costs.append(loss * weight)
        sizes.append(weight)
    total = jnp.sum(jnp.stack(costs), axis=0)
    # So that rows of no weight are not divided by zero.
    size = jnp.sum(jnp.stack(sizes), axis=0) + 1e-12
    return total / size if average_across_timesteps else total


def sequence_loss(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    softmax_loss_function: Any = None,
    name: Any = None,
) -> jax.Array:
    """The sum of `sequence_loss_by_example`, divided by B unless told not to.

    Args:
        logits: T arrays ``(B, V)``.
        targets: T arrays ``(B,)`` of ids.
        weights: T arrays ``(B,)``.
        average_across_timesteps: divide each row by the sum of its weights.
        average_across_batch: divide by B, rows of no weight included.
        softmax_loss_function: as of `sequence_loss_by_example`.
        name: read by nobody.

    Raises:
        ValueError: if the lists are not of one length.

    Now: `unrolled.sequence_loss`.

    Source: ``tf.contrib.legacy_seq2seq.sequence_loss`` of TensorFlow 1.15.
    """
    rows = sequence_loss_by_example(
        logits, targets, weights, average_across_timesteps, softmax_loss_function, name
    )
    cost = jnp.sum(rows)
    return cost / jnp.shape(targets[0])[0] if average_across_batch else cost


def model_with_buckets(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    buckets: Sequence[tuple[int, int]],
    seq2seq: Any,
    softmax_loss_function: Any = None,
    per_example_loss: bool = False,
    name: Any = None,
) -> tuple[list[Any], list[Any]]:
    """A model for each bucket of lengths, all with the same weights.

    Args:
        encoder_inputs: an array for each step of the largest bucket.
        decoder_inputs: the same, of the decoder.
        targets: T arrays ``(B,)`` of ids.
        weights: T arrays ``(B,)``.
        buckets: pairs of how many steps are read and written; the largest last.
        seq2seq: ``(encoder_inputs, decoder_inputs) -> (outputs, state)``.
        softmax_loss_function: as of `sequence_loss`.
        per_example_loss: give the loss of each row.
        name: read by nobody.

    Returns:
        Of each bucket the list of outputs, and the loss.

    Raises:
        ValueError: if the last bucket is longer than the lists.

    Now: `unrolled.sequence_loss` of a model called with masks.

    Source: ``tf.contrib.legacy_seq2seq.model_with_buckets`` of TensorFlow 1.15.
    """
    del name
    read, written = buckets[-1]
    given = {
        "encoder_inputs": (encoder_inputs, read),
        "targets": (targets, written),
        "weights": (weights, written),
    }
    for argument, (steps, need) in given.items():
        require(
            len(steps) >= need,
            argument,
            f"must have as many steps as the last bucket, {need}",
            len(steps),
            "pass an array for each step of the largest bucket",
        )
    loss_of = sequence_loss_by_example if per_example_loss else sequence_loss
    outputs, losses = [], []
    for read, written in buckets:
        found, _ = seq2seq(encoder_inputs[:read], decoder_inputs[:written])
        loss = loss_of(
            found,
            targets[:written],
            weights[:written],
            softmax_loss_function=softmax_loss_function,
        )
        outputs.append(found)
        losses.append(loss)
    return outputs, losses
