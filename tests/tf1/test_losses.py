"""Old names of losses give what TensorFlow 1.15 and Addons gave, gradients too."""

import unrolled
from unrolled import tf1

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..decoding.test_recorded_losses import COARSE, FINE, recording
from ..reference import max_relative


def _hold(run, given, returned, cotangents, gradients, limit):
    """Values, and gradients of the sum that was recorded."""
    moved = {name: jnp.asarray(given[name]) for name in gradients}

    def loss(moved):
        found = [jnp.asarray(each) for each in run(**{**given, **moved})]
        pairs = zip(found, cotangents, strict=True)
        parts = [
            jnp.sum(each * jnp.asarray(cotangent).astype(each.dtype))
            for each, cotangent in pairs
            if jnp.issubdtype(each.dtype, jnp.floating)
        ]
        return sum(parts), found

    (_, found), got = jax.value_and_grad(loss, has_aux=True)(moved)
    for n, (ours, theirs) in enumerate(zip(found, returned, strict=True)):
        assert max_relative(ours, theirs) <= limit, n
    for name, theirs in gradients.items():
        assert max_relative(got[name], theirs) <= limit, name


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["sampled_softmax", "nce"])
@pytest.mark.parametrize("way", ["", "_hits", "_two"])
def test_losses_of_a_sample(kind, way):
    given, returned, cotangents, gradients, _ = recording(f"tf1_losses/{kind}{way}")
    # TensorFlow gives no gradient to what the sampler counted.
    gradients = {k: v for k, v in gradients.items() if "expected" not in k}
    assert set(gradients) == {"weights", "biases", "inputs"}
    loss = getattr(tf1, f"{kind}_loss")

    def run(weights, biases, labels, inputs, ids, **counts):
        values = (ids, counts["true_expected"], counts["sampled_expected"])
        return [
            loss(
                weights,
                biases,
                labels,
                inputs,
                num_sampled=5,
                num_classes=10,
                num_true=labels.shape[1],
                sampled_values=values,
                remove_accidental_hits=way != "_hits",
            )
        ]

    _hold(run, given, returned, cotangents, gradients, FINE)


def test_parts_of_weights_and_a_sampler():
    whole = np.arange(30, dtype="float32").reshape(10, 3)
    labels, inputs = np.array([[1], [5]]), np.ones((2, 3), "float32")
    found = tf1.log_uniform_candidate_sampler(labels, 1, 4, True, 10, seed=2)
    parts = {
        "mod": [whole[part::3] for part in range(3)],
        "div": np.split(whole, [4, 7]),
    }
    want = tf1.nce_loss(whole, whole[:, 0], labels, inputs, 4, 10, 1, found)
    for strategy, each in parts.items():
        biases = [part[:, 0] for part in each]
        given = (each, biases, labels, inputs, 4, 10)
        options = {"partition_strategy": strategy}
        loss = tf1.nce_loss(*given, sampled_values=found, **options)
        np.testing.assert_allclose(loss, want, rtol=1e-6)
        drawn = tf1.nce_loss(*given, seed=2, **options)
        np.testing.assert_allclose(drawn, want, rtol=1e-6)


@pytest.mark.parametrize("way", ["candidates", "candidates_repeated"])
def test_the_sampler_counts_as_recorded(way):
    given, (ids, true, sampled), *_ = recording(f"tf1_losses/{way}")
    count = lambda ids, n: unrolled.decoding.sampled.expected(  # noqa: E731
        jnp.asarray(ids), 50, 20, jnp.full((), float(n))
    )
    fits = [n for n in range(20, 120) if max_relative(count(ids, n), sampled) < COARSE]
    assert len(fits) == 1
    assert max_relative(count(given["labels"], fits[0]), true) <= COARSE


@pytest.mark.parametrize("name", ["crf", "crf_one_step"])
def test_crf_of_tensorflow(name):
    given, returned, cotangents, gradients, _ = recording(f"tf1_losses/{name}")
    del given["bitmap"]

    def run(inputs, tags, lengths, transitions):
        more = []
        if inputs.shape[1] > 1:
            more = [
                tf1.crf.crf_unary_score(tags, lengths, inputs),
                tf1.crf.crf_binary_score(tags, lengths, transitions),
            ]
        return [
            tf1.crf.crf_sequence_score(inputs, tags, lengths, transitions),
            tf1.crf.crf_multitag_sequence_score(
                inputs, returned[6], lengths, transitions
            ),
            tf1.crf.crf_log_norm(inputs, lengths, transitions),
            tf1.crf.crf_log_likelihood(inputs, tags, lengths, transitions)[0],
            *tf1.crf.crf_decode(inputs, transitions, lengths),
            returned[6],
            *more,
        ]

    _hold(run, given, returned, cotangents, gradients, COARSE)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["crf", "crf_one_step"])
def test_crf_of_addons(name):
    given, returned, cotangents, gradients, _ = recording(f"addons_crf/{name}")

    def run(inputs, tags, bitmap, lengths, transitions):
        more = []
        if inputs.shape[1] > 1:
            more = [
                tf1.crf.crf_unary_score(tags, lengths, inputs),
                tf1.crf.crf_binary_score(tags, lengths, transitions),
            ]
        return [
            tf1.crf.crf_sequence_score(inputs, tags, lengths, transitions),
            tf1.crf.crf_multitag_sequence_score(inputs, bitmap, lengths, transitions),
            tf1.crf.crf_log_norm(inputs, lengths, transitions),
            tf1.crf.crf_log_likelihood(inputs, tags, lengths, transitions)[0],
            *tf1.crf.crf_decode(inputs, transitions, lengths),
            *tf1.crf.crf_constrained_decode(inputs, bitmap, transitions, lengths),
            *more,
        ]

    _hold(run, given, returned, cotangents, gradients, FINE)


@pytest.mark.usefixtures("float64")
def test_the_layer_of_addons():
    """Its weights in ours, and what the two gave."""
    given, (tags, likely), (_, cotangent), gradients, held = recording(
        "addons_crf/crf_layer"
    )
    weights, d_weights = held
    layer = unrolled.CRF(3, dtype="float64")
    layer.build((None, None, 3))
    theirs = {
        "kernel": "kernel",
        "bias": "bias",
        "transitions": "chain_kernel",
        "start": "left_boundary",
        "end": "right_boundary",
    }
    for weight in layer.weights:
        weight.assign(weights[theirs[weight.name]])
    mask = jnp.asarray(np.arange(4) < given["lengths"][:, None])
    x = jnp.asarray(given["inputs"])
    np.testing.assert_array_equal(layer(x, mask=mask), tags)

    def loss(values, x):
        pairs = zip(layer.trainable_variables, values, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            output = layer(x, mask=mask)
            return unrolled.CRFLoss("sum")(given["tags"], output, -cotangent)

    values = [variable.value for variable in layer.trainable_variables]
    value, (d_values, d_x) = jax.value_and_grad(loss, (0, 1))(values, x)
    assert max_relative(value, np.sum(likely * cotangent)) <= FINE
    assert max_relative(d_x, gradients["inputs"]) <= FINE
    for variable, ours in zip(layer.trainable_variables, d_values, strict=True):
        assert max_relative(ours, d_weights[theirs[variable.name]]) <= FINE


@pytest.mark.usefixtures("float64")
def test_sequence_losses():
    given, returned, cotangents, gradients, _ = recording("tf1_losses/sequence_loss")
    legacy = tf1.legacy_seq2seq

    def mine(labels, logits):
        return jnp.sum((logits - jax.nn.one_hot(labels, 5, dtype=logits.dtype)) ** 2, 1)

    def run(logits, targets, weights):
        lists = [list(map(jnp.asarray, each)) for each in (logits, targets, weights)]
        ways = [(t, b) for t in (True, False) for b in (True, False)]
        return [
            *(legacy.sequence_loss(*lists, *way) for way in ways),
            *(legacy.sequence_loss_by_example(*lists, t) for t in (True, False)),
            legacy.sequence_loss(*lists, softmax_loss_function=mine),
        ]

    _hold(run, given, returned, cotangents, gradients, FINE)


def test_errors():
    labels, inputs = np.array([[1]]), np.ones((1, 3), "float32")
    whole = (np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ValueError, match="seed must be an integer or a key"):
        tf1.log_uniform_candidate_sampler(labels, 1, 2, True, 4)
    with pytest.raises(ValueError, match="labels must have shape"):
        tf1.nce_loss(*whole, labels[:, 0], inputs, 2, 4, seed=1)
    parts = [[each] for each in whole]
    with pytest.raises(ValueError, match="partition_strategy must be"):
        tf1.nce_loss(*parts, labels, inputs, 2, 4, seed=1, partition_strategy="any")
    with pytest.raises(ValueError, match="transition_params must be an array"):
        tf1.crf.crf_log_likelihood(np.zeros((1, 2, 3)), [[0, 1]], [2])
    with pytest.raises(AttributeError, match="has no CrfForwardRnnCell: use crf_log_n"):
        _ = tf1.crf.CrfForwardRnnCell
    with pytest.raises(ValueError, match="must be lists of one length"):
        tf1.legacy_seq2seq.sequence_loss([1], [1], [])
