"""Layers that do not wait for each other, in one native call."""

import unrolled
from unrolled.engine.foreign import Spec
from unrolled.engine.kernels import Fused, together

import jax
import numpy as np
import pytest

from ..core import need_core, run
from ..reference import max_relative
from .test_kernels import GRADIENTS, VALUES, make
from .test_kernels_modes import calls

pytestmark = need_core

# Of one batch; everything else may differ.
PAIRS = [
    (("lstm", 4, 9, 5, 17), ("lstm", 4, 9, 5, 17)),
    (("gru_after", 3, 4, 2, 33), ("lstm", 3, 7, 6, 5)),
    (("gru_before", 1, 20, 8, 40), ("simple_rnn", 1, 3, 4, 130)),
    (("lstm", 33, 6, 3, 24), ("gru_before", 33, 6, 3, 9)),
]
FIRST = Spec("", flip=True, return_all_states=True)
SECOND = Spec("", flip=True, reverse=True, zero_masked=True, return_sequences=False)


def layers_of(shapes):
    made = []
    for seed, (spec, (kind, *shape)) in enumerate(
        zip((FIRST, SECOND), shapes, strict=True)
    ):
        case = make(
            kind, *shape, mask="holes", resets=not seed, dropout=True, seed=seed
        )
        made.append((Fused(spec._replace(kind=kind)), tuple(case.values())))
    return made


def gradients(function, layers):
    """Values, and gradients of x, states and weights, of their sum of squares."""
    at = [given[:3] for _, given in layers]

    def results(at):
        return function(
            [
                (fused, (*own, *given[3:]))
                for (fused, given), own in zip(layers, at, strict=True)
            ]
        )

    def loss(at):
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(results(at)))

    return jax.jit(results)(at), jax.jit(jax.grad(loss))(at)


def one_by_one(layers):
    return [together([layer])[0] for layer in layers]


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_as_one_by_one(shapes):
    layers = layers_of(shapes)
    for got, want, limit in zip(
        gradients(together, layers),
        gradients(one_by_one, layers),
        (VALUES, GRADIENTS),
        strict=True,
    ):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert max_relative(a, b) < limit


@pytest.mark.parametrize("threads", ["1", "3", "5"])
def test_any_number_of_threads(threads):
    code = """
    from tests.engine.test_together import PAIRS, test_as_one_by_one
    for shapes in PAIRS:
        test_as_one_by_one(shapes)
    """
    run(code, UNROLLED_THREADS=threads)


def test_vmap():
    layers = layers_of(PAIRS[0])
    xs = [np.stack([given[0], 2 * given[0]]) for _, given in layers]

    def results(*xs):
        pairs = zip(layers, xs, strict=True)
        return together([(fused, (x, *given[1:])) for (fused, given), x in pairs])

    got = jax.vmap(results)(*xs)
    for i in range(2):
        want = results(*(x[i] for x in xs))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert max_relative(a[i], b) < VALUES


def test_bidirectional_is_one_call(rng):
    layer = unrolled.Bidirectional(unrolled.GRU(6, return_sequences=True))
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    layer(x)
    weights = [v.value for v in layer.trainable_variables]

    def loss(weights):
        rest = [v.value for v in layer.non_trainable_variables]
        y, _ = layer.stateless_call(weights, rest, x)
        return (y**2).sum()

    assert calls(loss, weights) == (1, 0)
    assert calls(jax.grad(loss), weights) == (1, 1)


@pytest.mark.parametrize("change", ["call", "precision", "regularizer"])
def test_layers_that_do_more_are_called(change, rng):
    """What `call` of a subclass, or Keras around it, does is not passed over."""
    seen = []

    class Mine(unrolled.LSTM):
        def call(self, *args, **kwargs):
            seen.append(1)
            return super().call(*args, **kwargs)

    inner = {
        "call": lambda: Mine(3),
        "precision": lambda: unrolled.LSTM(3, dtype="mixed_bfloat16"),
        "regularizer": lambda: unrolled.LSTM(3, activity_regularizer="l2"),
    }[change]()
    layer = unrolled.Bidirectional(inner)
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    got = layer(x)
    assert len(seen) == (2 if change == "call" else 0)
    assert len(layer.losses) == (2 if change == "regularizer" else 0)
    apart = [layer.forward_layer(x), layer.backward_layer(x)]
    want = np.concatenate([np.asarray(each, np.float32) for each in apart], -1)
    np.testing.assert_array_equal(got, want)
