"""The CRF against all sequences one by one; its layer in compile, fit and files."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from autograd import make_vjp
from jax import numpy as jnp

from ..reference import max_relative
from ..sources import losses

B, T, V = 5, 4, 3
LIMIT = 1e-11
# Right padding, holes, left padding, one step, none.
MASK = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
MASKS = {"all": np.ones((B, T), bool), "holes": MASK.astype(bool)}


def _draw(rng, length=T):
    potentials, transitions = rng.normal(size=(B, length, V)), rng.normal(size=(V, V))
    tags = rng.integers(V, size=(B, length))
    allowed = (rng.uniform(size=(B, length, V)) > 0.5) | np.eye(V, dtype=bool)[tags]
    return potentials, transitions, tags, allowed


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", MASKS)
def test_functions_are_what_enumeration_gives(rng, kind):
    potentials, transitions, tags, allowed = _draw(rng)
    mask = MASKS[kind]
    given = None if kind == "all" else mask
    cotangent = rng.normal(size=(4, B))
    tags = np.where(mask, tags, -7)  # read by nobody where masked

    def ours(potentials, transitions):
        return jnp.stack(
            [
                unrolled.crf_score(potentials, tags, transitions, given),
                unrolled.crf_log_norm(potentials, transitions, given),
                unrolled.crf_multitag_score(potentials, allowed, transitions, given),
                unrolled.crf_log_likelihood(potentials, tags, transitions, given),
            ]
        )

    def theirs(potentials, transitions):
        score = losses.tags_score(potentials, transitions, mask, tags)
        norm = losses.log_norm(potentials, transitions, mask)
        multi = losses.log_norm(potentials, transitions, mask, allowed)
        return losses.np.stack([score, norm, multi, score - norm])

    value, pull = jax.vjp(jax.jit(ours), potentials, transitions)
    assert max_relative(value, theirs(potentials, transitions)) <= LIMIT
    for place, gradient in enumerate(pull(jnp.asarray(cotangent))):
        vjp, _ = make_vjp(theirs, place)(potentials, transitions)
        assert max_relative(gradient, vjp(cotangent)) <= LIMIT
    for choice in (None, allowed):
        found, score = unrolled.crf_decode(potentials, transitions, given, choice)
        want, best = losses.decode(potentials, transitions, mask, choice)
        np.testing.assert_array_equal(found, want)
        assert max_relative(score, best) <= LIMIT


@pytest.mark.usefixtures("float64")
def test_one_step_and_many(rng):
    """Past 64 steps the loop runs in chunks; there the chain is cut and added up."""
    potentials, transitions, tags, _ = _draw(rng, 1)
    norm = unrolled.crf_log_norm(potentials, transitions)
    want = losses.log_norm(potentials, transitions, np.ones((B, 1), bool))
    assert max_relative(norm, want) <= LIMIT
    potentials, _, tags, _ = _draw(rng, 70)
    apart = np.zeros((V, V))
    found = unrolled.crf_log_likelihood(potentials, tags, apart)
    want = -losses.cross_entropy(potentials, tags).sum(1)
    assert max_relative(found, want) <= LIMIT
    best, score = unrolled.crf_decode(potentials, apart)
    np.testing.assert_array_equal(best, potentials.argmax(-1))
    assert max_relative(score, potentials.max(-1).sum(1)) <= LIMIT


def test_where_nothing_is_allowed(rng):
    potentials, transitions, _, allowed = _draw(rng)
    allowed[0, 2] = False
    potentials, transitions = map(np.float32, (potentials, transitions))
    many = lambda p, t: unrolled.crf_multitag_score(p, allowed, t)  # noqa: E731
    found, pull = jax.vjp(many, potentials, transitions)
    assert found[0] == -np.inf
    assert np.isfinite(found[1:]).all()
    for gradient in pull(jnp.ones(B, "float32")):
        assert np.isfinite(gradient).all()
    _, score = unrolled.crf_decode(potentials, transitions, allowed=allowed)
    assert score[0] == -np.inf


def test_forbidden_transitions_and_large_numbers_stay_finite():
    transitions = np.array([[0, -1e4], [-np.inf, 0]], "float32")
    potentials = np.array([[[500, -500], [-500, 500], [0, 0]]], "float32")
    found, pull = jax.vjp(unrolled.crf_log_norm, potentials, transitions)
    # All in tag 0: 500 - 500 + 0; in tag 1: -500 + 500 + 0.
    np.testing.assert_allclose(found, np.log(2), rtol=1e-6)
    assert all(np.isfinite(each).all() for each in pull(jnp.ones(1, "float32")))


BAD = {
    "potentials": ((np.zeros((2, 3)), np.zeros((3, 3))), "potentials must have shape"),
    "no_step": ((np.zeros((1, 0, 3)), np.zeros((3, 3))), "with one step and one tag"),
    "no_tag": ((np.zeros((1, 2, 0)), np.zeros((0, 0))), "with one step and one tag"),
    "transitions": ((np.zeros((1, 2, 3)), np.zeros((2, 2))), "transitions must have"),
    "mask": ((np.zeros((1, 2, 3)), np.zeros((3, 3)), np.ones(2)), "mask must have"),
}


@pytest.mark.parametrize("kind", BAD)
def test_errors(kind):
    given, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        unrolled.crf_log_norm(*given)


@pytest.mark.parametrize("tag", [-1, V])
def test_what_is_no_tag_has_no_number(tag):
    potentials, tags = (
        np.zeros((2, 3, V), "float32"),
        np.array([[0, tag, 1], [0, 1, 1]]),
    )
    found = unrolled.crf_score(potentials, tags, np.zeros((V, V), "float32"))
    assert np.isnan(found).tolist() == [True, False]


def test_errors_of_the_others():
    potentials, transitions = np.zeros((1, 2, 3)), np.zeros((3, 3))
    with pytest.raises(ValueError, match=r"tags must be ids of shape \(1, 2\). Got"):
        unrolled.crf_score(potentials, np.zeros((1, 3), int), transitions)
    with pytest.raises(ValueError, match="allowed must have shape"):
        unrolled.crf_decode(potentials, transitions, allowed=np.ones((1, 2)))
    with pytest.raises(ValueError, match="tags must be a positive integer"):
        unrolled.CRF(0)
    with pytest.raises(ValueError, match="return_sequences=True"):
        unrolled.CRF(3).build((None, 4))
    with pytest.raises(ValueError, match="over_batch must be one of"):
        unrolled.CRFLoss("product")
    with pytest.raises(ValueError, match=r"y_pred must be what unrolled.CRF returned"):
        unrolled.CRFLoss()(np.zeros((1, 2), int), jnp.zeros((1, 2), "int32"))


def _layer(rng, dtype, features=2):
    layer = unrolled.CRF(V, dtype=dtype)
    layer.build((None, None, features))
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


@pytest.mark.usefixtures("float64")
def test_the_layer_and_its_loss(rng):
    layer, x = _layer(rng, "float64"), rng.normal(size=(B, T, 2))
    mask, tags = MASKS["holes"], rng.integers(V, size=(B, T))
    several = np.eye(V, dtype=bool)[tags] | (rng.uniform(size=(B, T, V)) > 0.5)
    weights = {weight.name: np.asarray(weight) for weight in layer.weights}
    potentials = x @ weights["kernel"] + weights["bias"]
    for row, counted in enumerate(mask):
        steps = np.flatnonzero(counted)
        if len(steps):
            potentials[row, steps[0]] += weights["start"]
            potentials[row, steps[-1]] += weights["end"]
    chain = (potentials, weights["transitions"], mask)
    output = layer(jnp.asarray(x), mask=jnp.asarray(mask))
    np.testing.assert_array_equal(output, losses.decode(*chain)[0])
    norm = losses.log_norm(*chain)
    row_weights = np.array([1.0, 2.0, 0.0, 0.5, 3.0])
    for targets, score in (
        (tags, losses.tags_score(*chain, tags)),
        (several, losses.log_norm(*chain, several)),
    ):
        values = (norm - score) * row_weights
        loss = unrolled.CRFLoss()(targets, output, row_weights)
        # The row of weight 0 does not count, nor does the one that is masked.
        assert max_relative(loss, values.sum() / 3) <= LIMIT
        loss = unrolled.CRFLoss("sum")(targets, output, row_weights)
        assert max_relative(loss, values.sum()) <= LIMIT


def test_tags_to_choose_from(rng):
    layer, x = _layer(rng, "float32"), rng.normal(size=(B, T, 2))
    allowed = np.zeros((B, T, V), bool)
    allowed[..., 1] = allowed[:, 0, 2] = True
    tags = layer(jnp.asarray(x, "float32"), allowed=allowed)
    assert set(np.ravel(tags[:, 1:])) == {1}
    assert set(np.ravel(tags[:, 0])) <= {1, 2}


def test_a_model_learns_is_saved_and_loaded(rng, tmp_path):
    """A tag that depends on the one before: a step alone does not show it."""
    words = rng.integers(1, 5, size=(32, 6)).astype("int32")
    tags = np.zeros_like(words)
    for step in range(1, 6):
        tags[:, step] = (tags[:, step - 1] + (words[:, step] > 2)) % 2
    words[:16, 4:] = 0
    model = keras.Sequential(
        [keras.layers.Embedding(5, 4, mask_zero=True), unrolled.CRF(2)]
    )
    metrics = [keras.metrics.Accuracy()]
    model.compile(
        keras.optimizers.Adam(0.1), unrolled.CRFLoss(), weighted_metrics=metrics
    )
    history = model.fit(words, tags, epochs=8, batch_size=12, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    loss, accuracy = model.evaluate(words, tags, verbose=0)
    found = model.predict(words, verbose=0)
    assert not found[:16, 4:].any()
    assert accuracy == pytest.approx(np.mean((found == tags)[words > 0]))
    model.save(tmp_path / "tagger.keras")
    again = keras.saving.load_model(tmp_path / "tagger.keras")
    np.testing.assert_array_equal(again.predict(words, verbose=0), found)
    assert again.evaluate(words, tags, verbose=0)[0] == pytest.approx(loss, rel=1e-5)
