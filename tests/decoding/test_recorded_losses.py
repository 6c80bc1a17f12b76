"""The float64 sources of losses give what TensorFlow 1.15 and Addons gave."""

from pathlib import Path

import unrolled

import numpy as np
import pytest
from autograd import make_vjp

from ..reference import max_relative
from ..sources import losses

RECORDED = Path(unrolled.__file__).parents[2] / "tests/sources/recorded"
COARSE, FINE = 2e-5, 1e-11


def recording(name):
    """A recording: given, returned, cotangents, gradients."""
    with np.load(RECORDED / f"{name}.npz") as loaded:
        arrays = dict(loaded)
    named = lambda kind: {  # noqa: E731
        key.partition("/")[2]: value
        for key, value in arrays.items()
        if key.startswith(f"{kind}/")
    }
    in_order = lambda kind: [named(kind)[str(n)] for n in range(len(named(kind)))]  # noqa: E731
    return (
        named("given"),
        in_order("returned"),
        in_order("cotangent"),
        named("d"),
        (named("weight"), named("dweight")),
    )


@pytest.mark.parametrize("kind", ["sampled_softmax", "nce"])
@pytest.mark.parametrize("way", ["", "_hits", "_two"])
def test_losses_of_a_sample(kind, way):
    given, (want,), (cotangent,), gradients, _ = recording(f"tf1_losses/{kind}{way}")
    labels, ids = given["labels"], given["ids"]
    hits = losses.last_hits(labels, ids)
    assert hits.any()
    hits = hits & (way != "_hits")
    names = ("weights", "biases", "inputs")

    def run(weights, biases, inputs):
        counts = (given["true_expected"], given["sampled_expected"])
        loss = getattr(losses, f"{kind}_loss")
        return loss(weights, biases, labels, inputs, ids, *counts, hits)

    for place, name in enumerate(names):
        vjp, value = make_vjp(run, place)(*(given[each] for each in names))
        assert max_relative(value, want) <= FINE
        assert max_relative(vjp(cotangent), gradients[name]) <= FINE


@pytest.mark.parametrize("way", ["candidates", "candidates_repeated"])
def test_expected_counts_are_those_of_a_number_of_tries(way):
    given, (ids, true, sampled), *_ = recording(f"tf1_losses/{way}")
    assert (len(set(ids)) == 20) == (way == "candidates")
    counts = lambda tries: losses.expected_count(ids, 50, 20, tries)  # noqa: E731
    found = [n for n in range(20, 200) if max_relative(counts(n), sampled) <= COARSE]
    assert len(found) == 1
    assert (found[0] > 20) == (way == "candidates")
    ours = losses.expected_count(given["labels"], 50, 20, found[0])
    assert max_relative(ours, true) <= COARSE


CHAINS = [
    *(("tf1_losses/crf", COARSE), ("tf1_losses/crf_one_step", COARSE)),
    *(("addons_crf/crf", FINE), ("addons_crf/crf_one_step", FINE)),
]


@pytest.mark.parametrize(("name", "limit"), CHAINS)
def test_crf(name, limit):
    given, returned, *_ = recording(name)
    tags, lengths = given["tags"], given["lengths"]
    mask = np.arange(tags.shape[1]) < lengths[:, None]
    bitmap = returned[6] if name.startswith("tf1") else given["bitmap"]
    # They take one step for all there is: no length is looked at by the second.
    many = mask if mask.shape[1] > 1 else np.ones_like(mask)

    def run(potentials, transitions):
        score = losses.tags_score(potentials, transitions, mask, tags)
        norm = losses.log_norm(potentials, transitions, mask)
        multi = losses.log_norm(potentials, transitions, many, bitmap)
        return losses.np.stack([score, multi, norm, score - norm])

    given = [np.float64(given[key]) for key in ("inputs", "transitions")]
    assert max_relative(run(*given), np.stack(returned[:4])) <= limit
    # A row of no steps is decoded as if it had one.
    found = losses.decode(*given, mask | (np.arange(mask.shape[1]) < 1))
    np.testing.assert_array_equal(found[0], returned[4])
    assert max_relative(found[1], returned[5]) <= limit
    if not name.startswith("tf1"):
        constrained = losses.decode(
            *given, mask | (np.arange(mask.shape[1]) < 1), bitmap
        )
        np.testing.assert_array_equal(constrained[0], returned[6])
        assert max_relative(constrained[1], returned[7]) <= limit


def test_sequence_loss():
    given, returned, *_ = recording("tf1_losses/sequence_loss")
    weights = given["weights"]
    values = losses.cross_entropy(given["logits"], given["targets"])
    by_row, total = (values * weights).sum(0), weights.sum(0)
    mean = by_row / (total + 1e-12)
    want = [mean.sum() / 4, mean.sum(), by_row.sum() / 4, by_row.sum(), mean, by_row]
    for ours, theirs in zip(want, returned, strict=False):
        assert max_relative(ours, theirs) <= FINE
