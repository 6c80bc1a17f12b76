"""Sampled softmax and NCE: the sampler, the losses, and the layer that holds V rows."""

import unrolled
from unrolled.decoding import sampled

import jax
import keras
import numpy as np
import pytest
from autograd import make_vjp
from jax import numpy as jnp

from ..reference import max_relative
from ..sources import losses

V, D, B, N = 10, 3, 4, 5
LIMIT = 1e-11
LOSSES = {
    "sampled_softmax_loss": unrolled.sampled_softmax_loss,
    "nce_loss": unrolled.nce_loss,
}


def _draw(rng, true=1):
    labels = np.array([[3, 7], [5, 3], [0, 8], [7, 9]])[:, :true]
    ids = np.array([3, 7, 3, 1, 9])  # 3 comes twice
    counts = rng.uniform(0.1, 2, size=(B, true)), rng.uniform(0.1, 2, size=N)
    weights = rng.normal(size=(V, D)), rng.normal(size=V), rng.normal(size=(B, D))
    return labels, ids, counts, weights


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("true", [1, 2])
@pytest.mark.parametrize("removed", [True, False])
def test_losses(rng, kind, true, removed):
    labels, ids, counts, weights = _draw(rng, true)
    # Every sample that is a target of the row, both threes.
    hits = (labels[:, :, None] == ids).any(1) & removed
    assert hits[0, [0, 2]].all() == removed
    cotangent = rng.normal(size=B)

    def ours(kernel, bias, inputs):
        given = unrolled.Candidates(ids, *counts)
        return LOSSES[kind](
            kernel, bias, labels, inputs, given, remove_accidental_hits=removed
        )

    def theirs(kernel, bias, inputs):
        return getattr(losses, kind)(kernel, bias, labels, inputs, ids, *counts, hits)

    value, pull = jax.vjp(ours, *weights)
    assert max_relative(value, theirs(*weights)) <= LIMIT
    for place, gradient in enumerate(pull(jnp.asarray(cotangent))):
        vjp, _ = make_vjp(theirs, place)(*weights)
        assert max_relative(gradient, vjp(cotangent)) <= LIMIT


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("target", [-1, V])
def test_a_target_that_is_no_id(rng, kind, target):
    """Has no number; without weight it changes no gradient, and no other row's loss."""
    labels, ids, counts, weights = _draw(rng)
    counts = np.float32(counts[0]), np.float32(counts[1])
    weights = [np.float32(w) for w in weights]
    wrong = labels.copy()
    wrong[0] = target

    def loss(weights, labels):
        found = unrolled.Candidates(ids, counts[0] * np.sign(labels + 0.5), counts[1])
        return LOSSES[kind](*weights[:2], labels, weights[2], found)

    assert np.isnan(loss(weights, wrong)).tolist() == [True, False, False, False]
    rest = jax.grad(lambda w, labels: loss(w, labels)[1:].sum())
    for ours, want in zip(rest(weights, wrong), rest(weights, labels), strict=True):
        np.testing.assert_array_equal(ours, want)


@pytest.mark.usefixtures("float64")
def test_sequences_are_rows_and_defaults_are_as_there(rng):
    labels, ids, (true, counts), (kernel, bias, inputs) = _draw(rng)
    flat = unrolled.Candidates(ids, true[:, 0], counts)
    whole = unrolled.Candidates(ids, true.reshape(2, 2), counts)
    for kind, run in LOSSES.items():
        rows = run(kernel, bias, labels[:, 0], inputs, flat)
        steps = run(kernel, bias, labels.reshape(2, 2), inputs.reshape(2, 2, D), whole)
        assert max_relative(np.ravel(steps), rows) <= LIMIT
        hits = (labels == ids) & (kind == "sampled_softmax_loss")
        want = getattr(losses, kind)(
            kernel, bias, labels, inputs, ids, true, counts, hits
        )
        assert max_relative(rows, want) <= LIMIT


@pytest.mark.usefixtures("float64")
def test_a_sample_of_everything_is_the_full_softmax(rng):
    labels, _, _, (kernel, bias, inputs) = _draw(rng)
    found = unrolled.Candidates(np.arange(V), np.ones((B, 1)), np.ones(V))
    loss = unrolled.sampled_softmax_loss(kernel, bias, labels, inputs, found)
    want = losses.cross_entropy(inputs @ kernel.T + bias, labels[:, 0])
    assert max_relative(loss, want) <= LIMIT


@pytest.mark.parametrize("unique", [True, False])
def test_the_sampler_draws_what_it_says(unique):
    """Over 4,000 samples: how often each id is there is what was expected of it."""
    count, most, draws = 4, 9, 4000

    @jax.jit
    @jax.vmap
    def many(key):
        return unrolled.log_uniform_candidates(
            key, jnp.arange(most), count, most, unique=unique
        )

    ids, true, own = many(jax.random.split(jax.random.key(3), draws))
    again = np.stack([np.bincount(each, minlength=most) for each in np.asarray(ids)])
    assert (again.max() == 1) == unique
    assert ids.min() >= 0
    assert ids.max() < most
    # One by one, as TensorFlow does it: until as many different ones have come.
    rng = np.random.default_rng(0)
    p = losses.expected_count(np.arange(most), most, 1, 1)
    assert p.sum() == pytest.approx(1)
    want, expected = np.zeros(most), np.zeros(most)
    for _ in range(draws):
        drawn = list(rng.choice(most, size=200, p=p))
        tries = count
        while unique and len(set(drawn[:tries])) < count:
            tries += 1
        kept = set(drawn[:tries]) if unique else drawn[:tries]
        for each in kept:
            want[each] += 1
        expected += losses.expected_count(np.arange(most), most, count, tries)
    np.testing.assert_allclose(again.mean(0), want / draws, atol=0.03)
    np.testing.assert_allclose(true.mean(0), expected / draws, atol=0.03)
    np.testing.assert_allclose(
        own[0], np.asarray(true)[0][np.asarray(ids)[0]], rtol=1e-6
    )


def test_all_of_the_vocabulary_can_be_drawn():
    found = unrolled.log_uniform_candidates(1, np.arange(50), 50, 50)
    assert set(np.asarray(found.ids)) == set(range(50))
    assert np.isfinite(found.true_expected).all()
    assert float(found.true_expected.min()) > 0.5


def test_seeds():
    draw = lambda seed: np.asarray(  # noqa: E731
        unrolled.log_uniform_candidates(seed, [0], 8, 1000).ids
    )
    np.testing.assert_array_equal(draw(3), draw(jax.random.key(3)))
    assert (draw(3) != draw(4)).any()
    generator = keras.random.SeedGenerator(3)
    assert (draw(generator) != draw(generator)).any()


BAD = {
    "bias": ({"bias": np.zeros(3)}, r"kernel, bias must have shapes \(V, D\)"),
    "inputs": ({"inputs": np.zeros((B, 2))}, r"inputs, targets must have shapes"),
    "targets": ({"targets": np.zeros((2, 1), int)}, r"inputs, targets must have"),
    "ids": ({"targets": np.zeros(B)}, "targets, candidates must hold ids"),
    "candidates": (
        {"candidates": (np.zeros(N, int), np.ones(3), np.ones(N))},
        "candidates must have ids",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_errors(kind):
    changed, message = BAD[kind]
    given = {
        "kernel": np.zeros((V, D)),
        "bias": np.zeros(V),
        "targets": np.zeros(B, int),
        "inputs": np.zeros((B, D)),
        "candidates": (np.zeros(N, int), np.ones(B), np.ones(N)),
    }
    with pytest.raises(ValueError, match=message):
        unrolled.nce_loss(**{**given, **changed})


@pytest.mark.parametrize("loss", [unrolled.nce_loss, unrolled.sampled_softmax_loss])
def test_what_is_no_id_has_no_loss(loss):
    found = loss(
        np.zeros((V, D), "float32"),
        np.zeros(V, "float32"),
        np.array([0, -1, V]),
        np.zeros((3, D), "float32"),
        (np.zeros(N, int), np.ones(3, "float32"), np.ones(N, "float32")),
    )
    assert np.isnan(found).tolist() == [False, True, True]


def test_errors_of_sizes():
    with pytest.raises(ValueError, match="at least 1 and at most the vocabulary, 4"):
        unrolled.log_uniform_candidates(0, [0], 5, 4)
    for given in ((0, [0], 2.5, 4), (0, [0], 1, 0), ("a", [0], 1, 4)):
        with pytest.raises(ValueError, match=r"^(num_sampled|vocabulary|seed) must be"):
            unrolled.log_uniform_candidates(*given)
    for sizes in ((4, 5), (4, 2.0), ("4", 2), (0, 0)):
        with pytest.raises(ValueError, match=r"^(num_sampled|vocabulary) must be a"):
            unrolled.SampledDense(*sizes)
    with pytest.raises(ValueError, match=r"unrolled.SampledDense returned"):
        unrolled.NCELoss()(np.zeros((1, 2), int), jnp.zeros((1, 2, 3)))


@pytest.mark.parametrize("kind", ["SampledSoftmaxLoss", "NCELoss"])
def test_a_training_step_reads_the_sample_only(rng, kind):
    """What the loss is, its gradients, and that no product is V wide."""
    many, loss_fn = 517, getattr(unrolled, kind)()
    layer = unrolled.SampledDense(many, num_sampled=7, seed=1)
    layer.build((None, None, D))
    x = jnp.asarray(rng.normal(size=(2, 3, D)), "float32")
    y = rng.integers(many, size=(2, 3))
    values = [v.value for v in layer.trainable_variables]
    seed = layer.seed_generator.state.value

    def step(values, x, training=True):
        pairs = zip(layer.trainable_variables, values, strict=True)
        with keras.StatelessScope(
            state_mapping=[*pairs, (layer.seed_generator.state, seed)]
        ):
            return loss_fn(y, layer(x, training=training))

    wide = f"f32[2,3,{many}]"
    trained = jax.jit(jax.value_and_grad(step)).lower(values, x).compile()
    assert wide not in trained.as_text()
    whole = jax.jit(lambda v, x: step(v, x, False)).lower(values, x).compile()
    assert wide in whole.as_text()
    loss, gradients = trained(values, x)
    with keras.StatelessScope(state_mapping=[(layer.seed_generator.state, seed)]):
        drawn = layer.seed_generator.next()
    found = sampled.log_uniform_candidates(drawn, y, 7, many)
    function = LOSSES["nce_loss" if kind == "NCELoss" else "sampled_softmax_loss"]
    mean = lambda v: function(*v, y, x, found).mean()  # noqa: E731
    want = jax.value_and_grad(mean)(values)
    assert max_relative(loss, want[0]) <= 1e-6
    for ours, theirs in zip(gradients, want[1], strict=True):
        assert max_relative(ours, theirs) <= 1e-5
    rows = set(np.ravel(y)) | set(np.asarray(found.ids))
    assert set(np.flatnonzero(np.any(gradients[0] != 0, axis=1))) <= rows


@pytest.mark.keras_ranks
def test_a_model_trains_evaluates_and_is_saved(rng, tmp_path):
    model = keras.Sequential(
        [
            keras.layers.Embedding(30, 6, mask_zero=True),
            unrolled.SampledDense(30, num_sampled=9),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), unrolled.SampledSoftmaxLoss())
    x = rng.integers(1, 30, size=(16, 4)).astype("int32")
    x[:8, 2:] = 0
    logits = np.float64(model(x))
    want = losses.cross_entropy(logits, x)[x > 0].mean()
    assert model.evaluate(x, x, verbose=0) == pytest.approx(want, rel=1e-5)
    model.fit(x, x, epochs=12, verbose=0)
    after = model.evaluate(x, x, verbose=0)
    assert after < 0.9 * want
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(x, x, verbose=0) == pytest.approx(after, rel=1e-5)


def test_a_mixed_policy_computes_losses_in_float32(rng):
    layer = unrolled.SampledDense(30, 5, dtype="mixed_bfloat16")
    output = layer(jnp.asarray(rng.normal(size=(2, 3, 4)), "float32"), training=True)
    assert output.dtype == "bfloat16"
    loss = unrolled.SampledSoftmaxLoss()(np.ones((2, 3), int), output)
    assert loss.dtype == "float32"
