"""Means over steps: float64 NumPy, whatever the batches are."""

import unrolled

import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..sources import losses as law

V = 5


def _batch(rng, rows, steps, masked):
    logits = jnp.asarray(rng.normal(size=(rows, steps, V)), "float32")
    targets = rng.integers(0, V, (rows, steps))
    counts = np.arange(steps)[None] < rng.integers(1, steps + 1, (rows, 1))
    if masked:
        # What stands at padding is never read.
        logits = jnp.where(counts[..., None], logits, jnp.nan)
        logits._keras_mask = jnp.asarray(counts)
    return targets, logits, counts if masked else np.ones_like(counts)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_step_counts_alike(masked, weighted, rng):
    """Those of a batch of two steps as those of one of seven."""
    accuracy, perplexity = unrolled.TokenAccuracy(), unrolled.Perplexity()
    right, entropy, total = 0.0, 0.0, 0.0
    for rows, steps in ((3, 2), (2, 7), (4, 1)):
        targets, logits, counts = _batch(rng, rows, steps, masked)
        weights = rng.uniform(size=(rows, steps)) if weighted else None
        for metric in (accuracy, perplexity):
            metric.update_state(targets, logits, weights)
        w = counts if weights is None else counts * weights
        wide = np.nan_to_num(np.asarray(logits, "float64"))
        right += (w * (wide.argmax(-1) == targets)).sum()
        entropy += (w * law.cross_entropy(wide, targets)).sum()
        total += w.sum()
    np.testing.assert_allclose(accuracy.result(), right / total, rtol=1e-5)
    np.testing.assert_allclose(perplexity.result(), np.exp(entropy / total), rtol=1e-5)


def test_targets_may_be_probabilities(rng):
    targets, logits, _ = _batch(rng, 2, 3, masked=False)
    for kind in (unrolled.TokenAccuracy, unrolled.Perplexity):
        ids, probabilities = kind(), kind()
        ids.update_state(targets, logits)
        probabilities.update_state(np.eye(V, dtype="float32")[targets], logits)
        np.testing.assert_allclose(probabilities.result(), ids.result(), rtol=1e-6)
        with pytest.raises(ValueError, match=r"targets must have shape \(2, 3\) for"):
            ids.update_state(targets[:, :2], logits)


def test_they_are_saved_by_name():
    for metric in (unrolled.TokenAccuracy(), unrolled.Perplexity(name="p")):
        config = keras.saving.serialize_keras_object(metric)
        again = keras.saving.deserialize_keras_object(config)
        assert (type(again), again.name) == (type(metric), metric.name)
