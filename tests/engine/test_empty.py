"""No rows, or no features: every derivative, on the kernels and on the scan."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

BIASES = keras.initializers.RandomNormal(0, 0.5, seed=1)
KINDS = {
    "lstm": unrolled.LSTM,
    "gru": unrolled.GRU,
    "gru before": lambda *a, **k: unrolled.GRU(*a, reset_after=False, **k),
    "simple rnn": unrolled.SimpleRNN,
    "both ways": lambda units, **k: unrolled.Bidirectional(unrolled.LSTM(units, **k)),
}


@pytest.fixture(params=["kernels", "scan"], autouse=True)
def path(request, monkeypatch):
    if request.param == "scan":
        monkeypatch.setenv("UNROLLED_ISA", "scan")


def built(kind, D, **options):
    layer = KINDS[kind](
        5, return_sequences=True, seed=3, bias_initializer=BIASES, **options
    )
    layer.build((None, None, D))
    return layer


def loss_of(layer, **given):
    fixed = [v.value for v in layer.non_trainable_variables]

    def loss(weights, x):
        y, _ = layer.stateless_call(weights, fixed, x, **given)
        return (y.astype("float32") ** 2).sum()

    return loss, [v.value for v in layer.trainable_variables]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_no_rows(kind, dtype):
    layer = built(kind, 3, dtype=dtype)
    x = jnp.zeros((0, 4, 3))
    assert layer(x).shape[:2] == (0, 4)
    mask = np.ones((0, 4), bool)
    loss, weights = loss_of(layer, mask=mask, resets=mask, training=True)
    gradients = jax.jit(jax.grad(loss, (0, 1)))(weights, x)
    for gradient, like in zip(jax.tree.leaves(gradients), [*weights, x], strict=True):
        assert gradient.shape == like.shape
        assert not np.asarray(gradient).any()
    product = jax.jvp(jax.grad(loss), (weights, x), (weights, x))[1]
    assert not any(np.asarray(p).any() for p in product)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vmap_over_nothing(kind):
    layer = built(kind, 3)
    loss, weights = loss_of(layer)
    mapped = jax.vmap(jax.grad(loss, 1), (None, 0))
    assert mapped(weights, jnp.zeros((0, 2, 4, 3))).shape == (0, 2, 4, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_no_features(kind, training):
    """What one feature gives that is zero at every step."""
    layer, like = built(kind, 0, dropout=0.5), built(kind, 1, dropout=0.5)
    loss, weights = loss_of(layer, training=training)
    kept = [w for w in weights if w.size]
    loss_like, weights_like = loss_of(like, training=training)
    given = iter(kept)
    weights_like = [w if w.shape[0] == 1 else next(given) for w in weights_like]
    x, x_like = jnp.zeros((2, 4, 0)), jnp.zeros((2, 4, 1))
    got, gradients = jax.value_and_grad(loss)(weights, x)
    want, gradients_like = jax.value_and_grad(loss_like)(weights_like, x_like)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    pairs = zip(
        [g for g in gradients if g.size],
        [g for g in gradients_like if g.shape[0] != 1],
        strict=True,
    )
    for gradient, gradient_like in pairs:
        assert np.asarray(gradient).any()
        np.testing.assert_allclose(gradient, gradient_like, rtol=1e-5, atol=1e-6)
    assert jax.grad(loss, 1)(weights, x).shape == x.shape
