"""The sequence loss, in all that it sums and averages, and in `compile`."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from autograd import make_vjp
from jax import numpy as jnp

from ..reference import max_relative
from ..sources import losses

B, T, V = 4, 3, 5
LIMIT = 1e-11
WAYS = [(t, b) for t in ("mean", "sum", None) for b in ("mean", "sum", None)]


def _ratio(total, weight):
    return losses.np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0.0)


def _reduced(e, w, over_time, over_batch):
    """The table of `sequence_loss`, row by row."""
    np_ = losses.np
    rows = (w > 0).any(1)
    return {
        ("mean", "mean"): lambda: np_.sum(w * e) / w.sum(),
        ("mean", "sum"): lambda: np_.sum(_ratio(np_.sum(w * e, axis=1), w.sum(1))),
        ("mean", None): lambda: _ratio(np_.sum(w * e, axis=1), w.sum(1)),
        ("sum", "mean"): lambda: np_.sum(w * e) / rows.sum(),
        ("sum", "sum"): lambda: np_.sum(w * e),
        ("sum", None): lambda: np_.sum(w * e, axis=1),
        (None, "mean"): lambda: _ratio(np_.sum(w * e, axis=0), w.sum(0)),
        (None, "sum"): lambda: np_.sum(w * e, axis=0),
        (None, None): lambda: w * e,
    }[over_time, over_batch]()


def _draw(rng):
    weights = np.abs(rng.normal(size=(B, T)))
    weights[1], weights[:, 2], weights[0, 1] = 0, 0, 0
    weights[3, 2] = 0 if rng.uniform() > 2 else weights[3, 2]
    return rng.normal(size=(B, T, V)), rng.integers(V, size=(B, T)), weights


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_is_summed_and_averaged(rng, way):
    logits, targets, weights = _draw(rng)
    options = {"over_time": way[0], "over_batch": way[1], "label_smoothing": 0.2}
    ours = lambda z: unrolled.sequence_loss(z, targets, weights, **options)  # noqa: E731
    theirs = lambda z: _reduced(  # noqa: E731
        losses.cross_entropy(z, targets, 0.2), weights, *way
    )
    value, pull = jax.vjp(ours, logits)
    vjp, want = make_vjp(theirs)(logits)
    assert max_relative(value, want) <= LIMIT
    cotangent = np.asarray(rng.normal(size=value.shape))
    assert max_relative(pull(jnp.asarray(cotangent))[0], vjp(cotangent)) <= LIMIT


@pytest.mark.usefixtures("float64")
def test_probabilities_for_targets(rng):
    logits, targets, _ = _draw(rng)
    options = {"over_time": None, "over_batch": None, "label_smoothing": 0.3}
    given = rng.uniform(size=(B, T, V))
    found = unrolled.sequence_loss(logits, given, **options)
    assert max_relative(found, losses.cross_entropy(logits, given, 0.3)) <= LIMIT
    one_hot = unrolled.sequence_loss(logits, np.eye(V)[targets], **options)
    ids = unrolled.sequence_loss(logits, targets, **options)
    assert max_relative(one_hot, ids) <= LIMIT


def test_nothing_is_read_where_the_weight_is_zero(rng):
    logits, targets, weights = _draw(rng)
    logits, weights = np.float32(logits), np.float32(weights)
    want = unrolled.sequence_loss(logits, targets, weights)
    slopes = jax.grad(lambda z: unrolled.sequence_loss(z, targets, weights))(logits)
    targets = np.where(weights > 0, targets, -100)
    logits = np.where(weights[..., None] > 0, logits, np.nan)
    grad = jax.grad(lambda z: unrolled.sequence_loss(z, targets, weights))
    assert unrolled.sequence_loss(logits, targets, weights) == want
    np.testing.assert_array_equal(grad(logits), slopes)
    nothing = unrolled.sequence_loss(logits, targets, np.zeros((B, T), "float32"))
    assert nothing == 0


@pytest.mark.parametrize("wrong", [-1, V, 0.5])
def test_what_is_no_id_has_no_loss(rng, wrong):
    """-1 is not the last of them."""
    logits, targets, _ = _draw(rng)
    targets = targets.astype(type(wrong))
    targets[1, 0] = wrong
    found = unrolled.sequence_loss(logits, targets, over_time="sum", over_batch=None)
    assert np.isnan(found).tolist() == [row == 1 for row in range(B)]
    score = unrolled.crf_score(logits, targets, np.zeros((V, V)))
    assert np.isnan(score).tolist() == [row == 1 for row in range(B)]


def test_low_precision_is_summed_in_float32(rng):
    logits, targets, weights = _draw(rng)
    low = jnp.asarray(logits, "bfloat16")
    found = unrolled.sequence_loss(low, targets, jnp.asarray(weights, "bfloat16"))
    assert found.dtype == "float32"


BAD = {
    "logits": ({"logits": np.zeros((2, 3))}, r"logits must have shape"),
    "tags": ({"logits": np.zeros((B, T, V), int)}, "logits must be floating-point"),
    "targets": (
        {"targets": np.zeros((B, 2), int)},
        r"targets must have shape \(4, 3\)",
    ),
    "weights": (
        {"weights": np.ones(3)},
        r"weights must have shape \(4, 3\), or \(4,\)",
    ),
    "over_time": (
        {"over_time": "median"},
        "over_time must be one of 'mean', 'sum', No",
    ),
    "over_batch": ({"over_batch": True}, "over_batch must be one of"),
    "label_smoothing": ({"label_smoothing": 1.0}, "label_smoothing must be at least 0"),
    "smoothing_text": ({"label_smoothing": "a"}, "label_smoothing must be at least 0"),
}


@pytest.mark.parametrize("kind", BAD)
def test_errors(kind):
    changed, message = BAD[kind]
    given = {"logits": np.zeros((B, T, V)), "targets": np.zeros((B, T), int)}
    with pytest.raises(ValueError, match=message):
        unrolled.sequence_loss(**{**given, **changed})


def test_a_loss_is_one_number():
    with pytest.raises(ValueError, match=r"must be one of 'mean', 'sum'\. Got"):
        unrolled.SequenceLoss(over_time=None)
    with pytest.raises(ValueError, match="label_smoothing"):
        unrolled.SequenceLoss(label_smoothing=-1)


@pytest.mark.keras_ranks
def test_in_a_model_with_a_mask_and_weights(rng, tmp_path):
    """The mask and both forms of sample_weight; a smaller last batch; files."""
    loss = unrolled.SequenceLoss("sum", "mean", label_smoothing=0.1)
    model = keras.Sequential(
        [keras.layers.Embedding(6, 4, mask_zero=True), keras.layers.Dense(V)]
    )
    model.compile("sgd", loss)
    x, y = (rng.integers(1, n, size=(B, T)).astype("int32") for n in (6, V))
    x[1, 1:] = x[2] = 0
    rows, steps = np.array([1.0, 2.0, 1.0, 0.5]), rng.uniform(size=(B, T))
    logits = np.asarray(model(x))
    e = losses.cross_entropy(np.float64(logits), y, 0.1)
    for given in (None, rows, steps):
        w = (x > 0) * (1.0 if given is None else given.reshape(B, -1))
        found = model.evaluate(x, y, sample_weight=given, verbose=0)
        assert found == pytest.approx(_reduced(e, w, "sum", "mean"), rel=1e-5)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=3, batch_size=3, verbose=0)
    after = model.evaluate(x, y, verbose=0)
    assert after < before
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == loss.get_config()
    assert again.evaluate(x, y, verbose=0) == pytest.approx(after, rel=1e-5)
