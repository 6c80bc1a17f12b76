"""Losses in float64: of sequences, of a sample of the vocabulary, and of a CRF.

The CRF is its definition, all sequences one by one.
"""

from __future__ import annotations

import itertools

import numpy as plain

from . import np


def log_sum_exp(a, axis=None):
    """log of the sum of exp; as in any text, and in arXiv:1508.01991."""
    top = plain.max(getattr(a, "_value", a), initial=-1e30)
    return np.log(np.sum(np.exp(a - top), axis=axis)) + top


def cross_entropy(logits, targets, epsilon=0.0):
    """Of each step, targets mixed with an even share: arXiv:1512.00567, section 7."""
    count = logits.shape[-1]
    even = plain.full(count, 1.0 / count)
    wanted = targets
    if targets.shape != logits.shape:
        wanted = plain.eye(count)[targets]
    wanted = (1 - epsilon) * wanted + epsilon * even * wanted.sum(-1, keepdims=True)
    shifted = logits - plain.max(getattr(logits, "_value", logits), -1, keepdims=True)
    logs = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return -np.sum(wanted * logs, axis=-1)


def sampled_logits(
    weights, biases, labels, inputs, ids, true_expected, sampled_expected, hits
):
    """`_compute_sampled_logits` of TensorFlow 1.15's nn_impl.py; arXiv:1412.2007.

    `hits`, bool (B, N): the samples that are taken out.
    """
    rows, true = labels.shape
    logits = np.dot(inputs, weights.T) + biases
    wanted = logits[plain.arange(rows)[:, None], labels] - np.log(true_expected)
    others = logits[:, ids] - np.log(sampled_expected)
    others = np.where(hits, -3.4e38, others)
    shares = plain.concatenate(
        [plain.full((rows, true), 1.0 / true), plain.zeros((rows, len(ids)))], 1
    )
    return np.concatenate([wanted, others], axis=1), shares


def last_hits(labels, ids):
    """`compute_accidental_hits` of TensorFlow: a later equal id hides one before.

    Of which losses: arXiv:1412.2007.
    """
    places = {int(name): place for place, name in enumerate(ids)}
    hits = plain.zeros((len(labels), len(ids)), bool)
    for row, names in enumerate(labels):
        for name in names:
            if int(name) in places:
                hits[row, places[int(name)]] = True
    return hits


def sampled_softmax_loss(*given):
    """`tf.nn.sampled_softmax_loss`; arXiv:1412.2007."""
    logits, shares = sampled_logits(*given)
    return np.sum(cross_entropy(logits, shares).reshape(len(shares), -1), axis=1)


def nce_loss(*given):
    """`tf.nn.nce_loss`: the logistic loss of each, summed; arXiv:1206.6426."""
    logits, shares = sampled_logits(*given)
    losses = np.maximum(logits, 0) - logits * shares + np.log1p(np.exp(-abs(logits)))
    return np.sum(losses, axis=1)


def expected_count(ids, vocabulary, num_sampled, tries):
    """`LogUniformSampler` and `ExpectedCountHelper` of TensorFlow's range_sampler.cc.

    Of which losses: arXiv:1412.2007.
    """
    ids = plain.asarray(ids, float)
    p = plain.log((ids + 2) / (ids + 1)) / plain.log(vocabulary + 1.0)
    if tries == num_sampled:
        return p * num_sampled
    return -plain.expm1(tries * plain.log1p(-p))


def score(potentials, transitions, steps, tags):
    """Of one sequence of tags at the steps that count; arXiv:1508.01991, 2.3."""
    total = 0.0
    for place, (step, tag) in enumerate(zip(steps, tags, strict=True)):
        total = total + potentials[step, tag]
        if place:
            total = total + transitions[tags[place - 1], tag]
    return total


def all_scores(potentials, transitions, mask, allowed=None):
    """Of one row every sequence of tags and its score; arXiv:1508.01991."""
    steps = plain.flatnonzero(mask)
    count = potentials.shape[1]
    choices = [
        [v for v in range(count) if allowed is None or allowed[step, v]]
        for step in steps
    ]
    every = list(itertools.product(*choices))
    return every, [score(potentials, transitions, steps, tags) for tags in every]


def log_norm(potentials, transitions, mask, allowed=None):
    """log of the sum over all sequences, (B,); 0 for no steps; arXiv:1508.01991."""
    found = []
    for row, counted in enumerate(mask):
        choice = None if allowed is None else allowed[row]
        _, scores = all_scores(potentials[row], transitions, counted, choice)
        some = counted.any()
        found.append(log_sum_exp(np.array(scores)) if some else 0.0)
    return np.array(found)


def tags_score(potentials, transitions, mask, tags):
    """The score of given tags, (B,); arXiv:1508.01991."""
    found = [
        score(potentials[row], transitions, plain.flatnonzero(counted), own[counted])
        for row, (counted, own) in enumerate(zip(mask, tags, strict=True))
    ]
    return np.array(found)


def decode(potentials, transitions, mask, allowed=None):
    """The best of all sequences, 0 at steps that do not count; arXiv:1508.01991."""
    tags, best = plain.zeros(mask.shape, int), plain.zeros(len(mask))
    for row, counted in enumerate(mask):
        choice = None if allowed is None else allowed[row]
        every, scores = all_scores(potentials[row], transitions, counted, choice)
        if counted.any():
            place = int(plain.argmax(scores))
            tags[row, counted], best[row] = every[place], scores[place]
    return tags, best
