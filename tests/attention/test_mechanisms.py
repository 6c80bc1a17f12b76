"""Mechanisms that no library recorded, held to their sources; modes to each other."""

import unrolled
from unrolled.attention import hardmax, monotonic_attention

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from .. import reference
from ..harness import close, scatter
from ..sources import attention, with_pullback

B, T, S, M, U = 3, 3, 6, 4, 3
LIMIT = 1e-11
# The second row has nothing to look at.
MASK = np.array([[1, 1, 1, 0, 0, 0], [0] * 6, [1, 0, 1, 1, 0, 1]], bool)

MECHANISMS = {
    "dot": (unrolled.DotAttention, (), {}, attention.product, {}),
    "general": (
        unrolled.GeneralAttention,
        (),
        {"scale": True},
        attention.product,
        {"general": True},
    ),
    "location": (
        unrolled.LocationAttention,
        (U,),
        {"filters": 2, "kernel_size": 3},
        attention.location,
        {},
    ),
    "location_cumulative": (
        unrolled.LocationAttention,
        (U,),
        {"filters": 2, "kernel_size": 4, "cumulative": True},
        attention.location,
        {"cumulative": True},
    ),
    "multi_head": (
        unrolled.MultiHeadAttention,
        (2, U),
        {"value_dim": 5},
        attention.multi_head,
        {},
    ),
    "recursive": (
        unrolled.BahdanauMonotonicAttention,
        (U,),
        {"mode": "recursive"},
        attention.monotonic,
        {"mode": "recursive"},
    ),
}


def _named(weight):
    """As the source calls it."""
    *_, scope, name = weight.path.split("/")
    return f"{scope}/{name}" if scope.endswith("_layer") else name


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", MECHANISMS)
def test_values_and_gradients_equal_the_source(kind, rng):
    make, args, options, source, told = MECHANISMS[kind]
    mechanism = make(*args, **options, dtype="float64")
    layer = unrolled.RNN(
        mechanism, return_sequences=True, return_state=True, dtype="float64"
    )
    layer.build((B, None, M), memory_shape=(B, None, M))
    names = [_named(weight) for weight in layer.trainable_weights]
    weights = {
        name: rng.normal(size=weight.shape)
        for name, weight in zip(names, layer.trainable_weights, strict=True)
    }
    x, memory = rng.normal(size=(B, T, M)), rng.normal(size=(B, S, M))
    shapes = jax.eval_shape(lambda: layer.get_initial_state(B, (B, S, M)))
    initial = [rng.random(s.shape) / S for s in shapes]

    def run(weights, x, initial, memory):
        found, _ = layer.stateless_call(
            [weights[name] for name in names],
            [],
            x,
            initial_state=initial,
            memory=memory,
            memory_mask=MASK,
        )
        return list(found)

    @jax.jit
    def both(cotangents):
        out, pull = jax.vjp(run, weights, x, initial, memory)
        return out, pull(cotangents)

    law = reference.unroll(
        lambda x, states: with_pullback(
            lambda *given: source(*given, mask=MASK, **told)
        )({**weights, "memory": memory}, x, states),
        x,
        initial,
    )
    d_y = rng.normal(size=law.outputs.shape)
    d_states = [rng.normal(size=state.shape) for state in law.states]
    out, (d_weights, dx, d_initial, d_memory) = both([d_y, *d_states])
    law_dx, law_d_initial, law_d = law.pull(d_y, None, d_states)
    pairs = {"y": (out[0], law.outputs), "dx": (dx, law_dx)}
    pairs |= {f"d{name}": (d_weights[name], law_d[name]) for name in names}
    if kind == "multi_head":  # which moves all scores of a head alike
        # Numbers of some 10 cancel, in an order that is JAX's own.
        assert np.abs(pairs.pop("dkey_bias")).max() < 1e-13
    pairs["dmemory"] = d_memory, law_d["memory"]
    for n, found in enumerate(out[1:]):
        pairs[f"state {n}"] = found, law.states[n]
        pairs[f"dinitial {n}"] = d_initial[n], law_d_initial[n]
    for label, (ours, theirs) in pairs.items():
        error = reference.max_relative(np.asarray(ours), theirs)
        assert error <= LIMIT, f"{label} off by {error:.3g}"
    assert not np.any(out[1][1]) or kind == "recursive"


@pytest.mark.keras_ranks
def test_multi_head_is_that_of_keras(rng):
    """With its weights in its order."""
    query, memory = (rng.normal(size=(B, n, M)).astype("float32") for n in (T, S))
    theirs = keras.layers.MultiHeadAttention(2, U)
    mask = MASK | (np.arange(B)[:, None] == 1)
    given = {"attention_mask": jnp.asarray(mask[:, None]), "use_causal_mask": False}
    theirs(query, memory)
    scatter(theirs, rng)
    ours = unrolled.RNN(unrolled.MultiHeadAttention(2, U), return_sequences=True)
    ours.build(query.shape, memory_shape=memory.shape)
    ours.set_weights(theirs.get_weights())
    found = ours(query, memory=memory, memory_mask=mask)
    close(found, theirs(query, memory, **given))


def _draws(rng):
    return rng.random((2, S)), rng.dirichlet(np.ones(S), 2)


@pytest.mark.usefixtures("float64")
def test_modes_agree(rng):
    """Recursive with parallel; hard with both, where one chooses surely."""
    choose, previous = _draws(rng)
    exact = monotonic_attention(choose, previous, "recursive")
    np.testing.assert_allclose(
        monotonic_attention(choose, previous, "parallel"), exact, rtol=1e-9
    )
    # By the definition: read on from entry j, pass all before s, stop at s.
    by_hand = [
        sum(
            previous[:, j] * np.prod(1 - choose[:, j:s], axis=1) * choose[:, s]
            for j in range(s + 1)
        )
        for s in range(S)
    ]
    np.testing.assert_allclose(exact, np.stack(by_hand, 1), rtol=1e-12)
    surely, one = np.round(choose), np.eye(S)[[0, 2]]
    hard = monotonic_attention(surely, one, "hard")
    np.testing.assert_allclose(hard, monotonic_attention(surely, one, "recursive"))
    assert set(np.unique(hard)) <= {0.0, 1.0}


@pytest.mark.parametrize("mode", ["recursive", "parallel"])
def test_sure_choices_have_finite_gradients(mode, rng):
    choose, previous = (a.astype("float32") for a in _draws(rng))
    choose[:, ::2] = np.round(choose[:, ::2])
    weight = rng.random(S).astype("float32")[None].repeat(2, 0)

    def total(choose, previous):
        return jnp.sum(weight * monotonic_attention(choose, previous, mode))

    assert all(np.isfinite(g).all() for g in jax.grad(total, (0, 1))(choose, previous))


def test_hardmax_takes_the_first_of_equals():
    scores = jnp.asarray([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]])
    assert hardmax(scores).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_monotonic_begins_afresh_at_the_first_entry(rng):
    """A reset makes two sequences of one."""
    layer = unrolled.RNN(unrolled.BahdanauMonotonicAttention(U), return_sequences=True)
    x, memory = (rng.normal(size=(B, n, M)).astype("float32") for n in (4, S))
    layer(x, memory=memory)
    scatter(layer, rng)
    resets = np.arange(4)[None].repeat(B, 0) == 2
    whole = layer(x, memory=memory, resets=resets)
    parts = [layer(part, memory=memory) for part in (x[:, :2], x[:, 2:])]
    close(whole, np.concatenate(parts, 1))


def test_noise_is_for_training(rng):
    layer = unrolled.RNN(
        unrolled.BahdanauMonotonicAttention(
            U, sigmoid_noise=1.0, sigmoid_noise_seed=3, score_bias_init=-1.0
        )
    )
    x, memory = (rng.normal(size=(B, n, M)).astype("float32") for n in (T, S))
    still = layer(x, memory=memory)
    close(layer(x, memory=memory), still)
    assert np.abs(layer(x, memory=memory, training=True) - still).max() > 1e-3


def test_parts_can_be_replaced(rng):
    """Layers, a function for shares, and a score of one's own."""

    class Nearest(unrolled.AttentionMechanism):
        """Scores by distance."""

        def score(self, query, keys, states):
            """Its negative square."""
            del states
            return -jnp.sum((query[:, None] - keys) ** 2, -1)

    query = keras.layers.Dense(2, use_bias=False)
    keys = keras.layers.Dense(2, use_bias=False)
    mechanism = Nearest(
        query_layer=query, memory_layer=keys, probability_fn=jax.nn.sigmoid
    )
    x, memory = (rng.normal(size=(B, n, M)).astype("float32") for n in (1, S))
    found = unrolled.RNN(mechanism)(x, memory=memory)
    q, k = x[:, 0] @ np.asarray(query.kernel), memory @ np.asarray(keys.kernel)
    shares = 1 / (1 + np.exp(((q[:, None] - k) ** 2).sum(-1)))
    close(found, np.einsum("bs,bsm->bm", shares, memory))


class Pairwise(unrolled.AttentionMechanism):
    """Gives a number for each feature."""

    def score(self, query, keys, states):
        """Not a number for each entry."""
        del states
        return query[:, None] * keys


def _look(mechanism, memory=None, mask=None):
    """One step of a query of ones."""
    memory = np.ones((1, 3, 2), "float32") if memory is None else memory
    mechanism.build((None, 2), (None, None, 2))
    constants = mechanism.get_constants(1, False, memory, mask)
    states = mechanism.get_initial_state(1, memory.shape)
    query = mechanism.project_inputs(jnp.ones((1, 2)), constants)
    return mechanism.step(query, states, constants)


def test_entries_that_do_not_count_change_no_sparse_shares():
    memory = np.array([[[0.1, 0.2], [9, 9], [0.3, 0.1], [7, 7]]], "float32")
    mask = np.array([[True, False, True, False]])
    make = lambda: unrolled.DotAttention(probability_fn="sparsemax")  # noqa: E731
    # Keras's own mixes dtypes and ranks.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        context, (shares,) = _look(make(), memory, mask)
        alone, (few,) = _look(make(), memory[:, ::2])
        none, _ = _look(make(), memory, np.zeros((1, 4), bool))
    assert (few > 0).all()
    np.testing.assert_allclose(context, alone, rtol=1e-6)
    np.testing.assert_allclose(shares[:, ::2], few, rtol=1e-6)
    np.testing.assert_array_equal(none, 0)


@pytest.mark.parametrize(
    "mechanism",
    [
        lambda: unrolled.DotAttention(probability_fn="hardmax"),
        lambda: unrolled.MultiHeadAttention(2, 3, use_bias=False),
    ],
)
def test_of_an_empty_memory_nothing_is_found(mechanism):
    context, _ = _look(mechanism(), np.ones((1, 0, 2), "float32"))
    np.testing.assert_array_equal(context, np.zeros((1, 2)))


ERRORS = {
    "units": (lambda: unrolled.BahdanauAttention(0), "units must be a positive"),
    "mode": (
        lambda: unrolled.LuongMonotonicAttention(2, mode="soft"),
        "mode must be one of .* Got 'soft'",
    ),
    "noise": (
        lambda: unrolled.BahdanauMonotonicAttention(2, sigmoid_noise=-1),
        "sigmoid_noise must not be negative",
    ),
    "filters": (
        lambda: unrolled.LocationAttention(2, filters=0),
        "filters must be a positive",
    ),
    "heads": (lambda: unrolled.MultiHeadAttention(0, 2), "num_heads must be a positi"),
    "dot": (
        lambda: unrolled.DotAttention().build((None, 3), (None, None, 4)),
        "query must be as wide as the keys of DotAttention, 4. Got 3",
    ),
    "luong": (
        lambda: unrolled.LuongAttention(4).build((None, 3), (None, None, 4)),
        "Got 3: pass units=3, the width of the cell's output",
    ),
    "layer": (
        lambda: unrolled.BahdanauAttention(
            4, query_layer=keras.layers.Identity()
        ).build((None, 3), (None, None, 4)),
        "units must be the width that query_layer and memory_layer give, 4. Got 3 and",
    ),
    "memory": (
        lambda: unrolled.BahdanauAttention(4).build((None, 3), (None, 4)),
        "memory must be one array .batch, memory steps, features.",
    ),
    "query": (
        lambda: unrolled.BahdanauAttention(4).build((None, 3, 3), (None, 2, 4)),
        "query must have shape .batch, features.",
    ),
    "no_layer": (
        lambda: unrolled.BahdanauAttention(4, query_layer=3),
        "query_layer must be a Keras layer, or None. Got 3",
    ),
    "no_function": (
        lambda: unrolled.DotAttention(probability_fn=None),
        "probability_fn must be a function",
    ),
    "short": (
        lambda: _look(unrolled.DotAttention(probability_fn=lambda s: s[:, :1])),
        r"probability_fn of DotAttention must return \(1, 3\).* Got \(1, 1\)",
    ),
    "two": (
        lambda: _look(unrolled.DotAttention(probability_fn=lambda s: (s, s))),
        "probability_fn of DotAttention must return .* Got tuple",
    ),
    "score": (
        lambda: _look(Pairwise()),
        r"score of Pairwise must return \(1, 3\).* Got \(1, 3, 2\)",
    ),
    "no_mechanism": (
        lambda: unrolled.AttentionCell(unrolled.GRUCell(2), "luong"),
        "mechanism must look into a memory.* Got 'luong'",
    ),
    "no_attention_layer": (
        lambda: unrolled.AttentionCell(
            unrolled.GRUCell(2), unrolled.DotAttention(), attention_layer=3
        ),
        "attention_layer must be a Keras layer or a function. Got 3",
    ),
    "steps": (
        lambda: unrolled.BahdanauAttention(4).get_initial_state(2, (2, None, 4)),
        "memory_shape must say how many steps the memory has",
    ),
}


@pytest.mark.parametrize("wrong", ERRORS)
def test_errors(wrong):
    call, message = ERRORS[wrong]
    with pytest.raises(ValueError, match=message):
        call()


def test_what_a_monotonic_one_replaces_is_no_argument():
    with pytest.raises((TypeError, ValueError), match="probability_fn"):
        unrolled.BahdanauMonotonicAttention(2, probability_fn="softmax")
