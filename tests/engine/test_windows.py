"""Windows along time: values stay, gradients are cut or computed again.

Held to a loop in Python, row by row and step by step, that cuts by hand.
"""

import re
from typing import ClassVar

import unrolled
from unrolled.engine import eager

import jax
import keras
import numpy as np
import pytest
from jax import export, lax
from jax import numpy as jnp

from ..cells_of_users import Noisy
from ..table import draw_mask

B, T, D, U = 2, 7, 3, 4
PATHS = pytest.mark.parametrize("path", ["kernel", "scan"], indirect=True)
PATTERNS = pytest.mark.parametrize(
    ("kind", "begins"),
    [("none", False), ("holes", True), ("right", False), ("left", True)],
)
EVERYTHING = {"return_sequences": True, "return_state": True, "return_all_states": True}


@pytest.fixture
def path(request, monkeypatch):
    """The native kernel, or the time loop."""
    if request.param == "scan":
        monkeypatch.setenv("UNROLLED_ISA", "scan")


# --- the reference ---


def _lstm(weights, x, states):
    kernel, recurrent, bias = weights
    bias = jnp.broadcast_to(bias, (B, 4 * U))
    i, f, g, o = jnp.split(x @ kernel + states[0] @ recurrent + bias, 4, axis=-1)
    c = jax.nn.sigmoid(f) * states[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return [jax.nn.sigmoid(o) * jnp.tanh(c), c]


def _rows(chosen, new, old):
    pick = jnp.asarray(chosen)[:, None]
    return [jnp.where(pick, n, o) for n, o in zip(new, old, strict=True)]


def _law(weights, x, start, mask, resets, cut, reverse, zero_masked):
    """What a layer that returns everything returns, in one list."""
    mask = np.ones((B, T), bool) if mask is None else mask
    resets = np.zeros((B, T), bool) if resets is None else resets
    zero = jnp.zeros_like(start[0])
    held, states, kept = zero, start, []
    for n in range(T):
        t = T - 1 - n if reverse else n
        if n % cut == 0:
            # Steps read these; a row that has met none goes on as it was.
            read = states if n == 0 else lax.stop_gradient(states)
            met = np.zeros(B, bool)
        read = _rows(resets[:, t], [zero, zero], read)
        (held,) = _rows(resets[:, t], [zero], [held])
        read = _rows(mask[:, t], _lstm(weights, x[:, t], read), read)
        met = met | mask[:, t] | resets[:, t]
        (held,) = _rows(mask[:, t], read[:1], [held])
        states = _rows(met, read, states)
        (shown,) = _rows(mask[:, t] | (not zero_masked), [held], [zero])
        kept.append([shown, *states])
    along = [jnp.stack(each, 1) for each in zip(*kept, strict=True)]
    return [along[0], *states, *along[1:]]


def _draw(rng, dtype="float32"):
    shapes = [(D, 4 * U), (U, 4 * U), (4 * U,)]
    weights = [rng.normal(0, 0.5, shape).astype(dtype) for shape in shapes]
    start = [rng.normal(size=(B, U)).astype(dtype) for _ in range(2)]
    return weights, rng.normal(size=(B, T, D)).astype(dtype), start


def _patterns(kind, begins, rng):
    """Row 0 is never reset: whatever is returned, it has a gradient."""
    mask = draw_mask(kind, rng, B, T)
    resets = rng.random((B, T)) < 0.3
    resets[0], resets[1, T // 2] = False, True
    return mask, resets if begins else None


def _of(layer, mask=None, resets=None):
    """The layer as a function of weights, inputs and initial states."""
    if not layer.built:
        layer.build((B, T, D))
    rest = [v.value for v in layer.non_trainable_variables]

    def call(weights, x, start):
        given = {"initial_state": start, "mask": mask, "resets": resets}
        return jax.tree.leaves(layer.stateless_call(weights, rest, x, **given)[0])

    return call


def _hold(ours, law, given, rng):
    """Values, and gradients of a random sum of them."""
    out, pull = jax.vjp(jax.jit(ours), *given)
    want, pull_law = jax.vjp(jax.jit(law), *given)
    dtype = want[0].dtype
    cotangents = [jnp.asarray(rng.normal(size=a.shape), dtype) for a in want]
    limits = {"rtol": 2e-4, "atol": 2e-5}
    if dtype == "float64":
        limits = {"rtol": 1e-10, "atol": 1e-11}
    pairs = [*zip(out, want, strict=True)]
    found, wanted = (jax.tree.leaves(p(cotangents)) for p in (pull, pull_law))
    for one, other in [*pairs, *zip(found, wanted, strict=True)]:
        np.testing.assert_allclose(one, other, **limits)
    assert np.abs(wanted[0]).max() > 1e-3


# --- truncate ---


@PATHS
@pytest.mark.usefixtures("path")
@PATTERNS
@pytest.mark.parametrize("cut", [1, 3])
def test_truncate_is_the_reference_cut_by_hand(kind, begins, cut, rng):
    mask, resets = _patterns(kind, begins, rng)
    for n, reverse in enumerate([False, True]):
        zero_masked = bool((n + cut) % 2)
        options = {"go_backwards": reverse, "zero_output_for_mask": zero_masked}
        layer = unrolled.LSTM(U, truncate=cut, **options, **EVERYTHING)

        def law(*given, rest=(mask, resets, cut, reverse, zero_masked)):
            return _law(*given, *rest)

        _hold(_of(layer, mask, resets), law, _draw(rng), rng)


@pytest.mark.usefixtures("float64")
def test_truncate_in_float64(rng):
    mask, resets = _patterns("holes", True, rng)
    layer = unrolled.LSTM(U, truncate=3, dtype="float64", **EVERYTHING)
    law = lambda *given: _law(*given, mask, resets, 3, False, False)  # noqa: E731
    _hold(_of(layer, mask, resets), law, _draw(rng, "float64"), rng)


@PATHS
@pytest.mark.usefixtures("path")
def test_truncate_beside_checkpoint_and_unroll(rng):
    mask, resets = _patterns("holes", True, rng)
    law = lambda *given: _law(*given, mask, resets, 3, False, False)  # noqa: E731
    for more in ({"checkpoint": True}, {"checkpoint": 3}, {"unroll": True}):
        layer = unrolled.LSTM(U, truncate=3, **more, **EVERYTHING)
        _hold(_of(layer, mask, resets), law, _draw(rng), rng)


def test_truncate_reaches_back_no_further_than_its_window(rng):
    given = _draw(rng)
    of = _of(unrolled.LSTM(U, truncate=4))
    dx = jax.grad(lambda x: jnp.sum(of(given[0], x, given[2])[0]))(given[1])
    reached = np.abs(dx).max((0, 2)) > 0
    np.testing.assert_array_equal(reached, np.arange(T) >= 4)


def test_padding_cuts_nothing(rng):
    """A short row's last output, held through many windows, has its gradient."""
    given = _draw(rng)
    mask = np.arange(T) < np.array([[5], [2]])
    for wanted in ({}, {"return_state": True}):
        of = _of(unrolled.LSTM(U, truncate=3, **wanted), mask)
        last = lambda x, of=of: of(given[0], x, given[2])[-1]  # noqa: E731
        dx = jax.grad(lambda x, last=last: jnp.sum(last(x)))(given[1])
        reached = np.abs(dx).max(2) > 0
        np.testing.assert_array_equal(reached[0], (np.arange(T) // 3 == 1) & mask[0])
        np.testing.assert_array_equal(reached[1], np.arange(T) < 2)


# --- checkpoint ---


@PATHS
@pytest.mark.usefixtures("path")
@PATTERNS
@pytest.mark.parametrize("checkpoint", [True, 20])
def test_checkpoint_changes_nothing(kind, begins, checkpoint, rng):
    mask, resets = _patterns(kind, begins, rng)
    for reverse, wanted in ((False, EVERYTHING), (True, {})):
        options = {"go_backwards": reverse, **wanted}
        layer = unrolled.LSTM(U, checkpoint=checkpoint, **options)
        plain = unrolled.LSTM(U, **options)
        both = (_of(each, mask, resets) for each in (layer, plain))
        _hold(*both, _draw(rng), rng)


def _stored(layer, steps):
    """Bytes of what a backward pass reads beside its arguments."""
    layer.build((B, None, D))
    of = _of(layer)
    weights, _, start = _draw(np.random.default_rng(0))
    x = np.ones((B, steps, D), "float32")
    kept = jax.eval_shape(lambda *given: jax.vjp(of, *given)[1], weights, x, start)
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(kept)) - x.nbytes


@PATHS
@pytest.mark.usefixtures("path")
def test_checkpoint_stores_windows_not_steps():
    row = 4 * B * U
    for steps in (400, 1600):
        windows = steps // int(steps**0.5)
        assert _stored(unrolled.LSTM(U), steps) > 3 * row * steps
        few = _stored(unrolled.LSTM(U, checkpoint=True), steps)
        assert few < 6 * row * windows + 40_000


# --- both ---

ALL = pytest.mark.parametrize(
    "options", [{"truncate": 4}, {"checkpoint": True}], ids=str
)


@ALL
@pytest.mark.keras_ranks
def test_what_a_cell_assigns_goes_from_window_to_window(options, rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    plain, layer = (
        unrolled.RNN(Noisy(U), return_sequences=True, **more) for more in ({}, options)
    )
    for each in (plain, layer):
        each.build(x.shape)
    layer.set_weights(plain.get_weights())
    for training in (False, True):
        pairs = zip(plain.variables, layer.variables, strict=True)
        for ours, theirs in pairs:
            theirs.assign(ours.value)
        want, got = (each(x, training=training) for each in (plain, layer))
        np.testing.assert_allclose(got, want, atol=2e-6)
        pairs = zip(plain.variables, layer.variables, strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours.value, theirs.value, atol=2e-6)


@ALL
@PATHS
@pytest.mark.usefixtures("path")
def test_the_step_is_traced_as_often_whatever_t_is(options):
    seen = []

    class Counted(unrolled.LSTMCell):
        def combine(self, x, h, states):
            seen.append(1)
            return super().combine(x, h, states)

    counts = []
    for steps in (37, 370, 3701):
        layer = unrolled.RNN(Counted(U), **options)
        layer.build((B, steps, D))
        seen.clear()
        jax.eval_shape(layer, jnp.ones((B, steps, D)))
        counts.append(len(seen))
    assert len({*counts[1:]}) == 1
    assert counts[-1] < 12


@ALL
def test_one_program_serves_all_calls(options, rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer = unrolled.LSTM(U, **options)
    layer(x)
    before = [*eager._PROGRAMS]
    layer(x + 1)
    assert before[-1] in eager._PROGRAMS
    assert {*eager._PROGRAMS} == {*before}


@ALL
def test_an_unknown_number_of_steps(options, rng):
    """Values come for any T; a gradient would have to be cut somewhere."""
    weights, x, start = _draw(rng)
    layer = unrolled.LSTM(U, **options)
    of = _of(layer)
    b, t = export.symbolic_shape("b, t")
    shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, "float32")  # noqa: E731
    shapes = [[shape(*w.shape) for w in weights], shape(b, t, D), [shape(b, U)] * 2]
    exported = export.export(jax.jit(of))(*shapes)
    want = of(weights, x, start)[0]
    np.testing.assert_allclose(exported.call(weights, x, start)[0], want, atol=1e-6)

    def loss(weights, x, start):
        return jnp.sum(of(weights, x, start)[0])

    if "truncate" not in options:
        export.export(jax.jit(jax.grad(loss)))(*shapes)
        return
    with pytest.raises(ValueError, match="truncate needs a known number of time steps"):
        export.export(jax.jit(jax.grad(loss)))(*shapes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"truncate": 0}, "truncate must be a positive number of steps"),
        ({"truncate": True}, "truncate must be a positive number of steps"),
        ({"truncate": 2.5}, "truncate must be a positive number of steps"),
        ({"checkpoint": -3}, "checkpoint must be True, False or a positive number"),
        ({"checkpoint": 0}, "checkpoint must be True, False or a positive number"),
        ({"checkpoint": "yes"}, "checkpoint must be True, False or a positive number"),
        ({"checkpoint": 5, "truncate": 4}, "checkpoint must be True or False beside"),
    ],
)
def test_errors(options, said):
    for make in (unrolled.LSTM, lambda n, **o: unrolled.RNN(unrolled.GRUCell(n), **o)):
        with pytest.raises(ValueError, match=re.escape(said)):
            make(4, **options)


def test_plan_says_so():
    kernel = unrolled.LSTM(U).plan((B, T, D)).rstrip(".")
    layer = unrolled.LSTM(U, truncate=4, checkpoint=True)
    assert layer.plan((B, T, D)) == (
        f"{kernel}; the gradient of the states is cut every 4 steps; gradients compute "
        "windows of 4 steps again."
    )
    text = unrolled.LSTM(U, checkpoint=True).plan((B, T, D))
    assert text.endswith("gradients compute windows of about sqrt(T) steps again.")


# --- in models ---


def _after_one_step(layer, x, y):
    """The weights after one step of gradient descent in `fit`."""
    inputs = keras.Input((T, D), batch_size=B)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(x, y, batch_size=B, shuffle=False, epochs=1, verbose=0)
    return [np.asarray(v.value) for v in layer.trainable_variables]


@pytest.mark.keras_ranks
@pytest.mark.parametrize("options", [{}, {"checkpoint": True}], ids=str)
def test_truncate_in_fit(options, rng):
    weights, x, _ = _draw(rng)
    y = rng.normal(size=(B, U)).astype("float32")
    layer = unrolled.LSTM(U, truncate=4, **options)
    layer.build(x.shape)
    layer.set_weights(weights)
    got = _after_one_step(layer, x, y)

    def loss(weights):
        zeros = [jnp.zeros((B, U))] * 2
        out = _law(weights, x, zeros, None, None, 4, False, False)[0][:, -1]
        return jnp.mean((out - y) ** 2)

    for before, after, slope in zip(weights, got, jax.grad(loss)(weights), strict=True):
        np.testing.assert_allclose(after, before - slope, atol=1e-5)


@pytest.mark.keras_ranks
def test_stateful_windows_in_fit_are_truncate(rng):
    """What is one batch to `truncate` is several to a stateful layer."""
    x = rng.normal(size=(B, 12, D)).astype("float32")
    weights, _, _ = _draw(rng)
    carrying = unrolled.LSTM(U, stateful=True, truncate=2)
    inputs = keras.Input((4, D), batch_size=B)
    model = keras.Model(inputs, carrying(inputs))
    carrying.set_weights(weights)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    batches = np.concatenate([x[:, at : at + 4] for at in (0, 4, 8)])
    y = np.zeros((3 * B, U), "float32")
    model.fit(batches, y, batch_size=B, shuffle=False, epochs=1, verbose=0)
    whole = unrolled.LSTM(U, return_state=True, truncate=5)
    whole.build(x.shape)
    whole.set_weights(weights)
    for ours, law in zip(carrying.states, whole(x)[1:], strict=True):
        np.testing.assert_allclose(ours.value, law, atol=1e-6)


@ALL
def test_in_bidirectional_time_major_and_files(options, rng, tmp_path):
    x = rng.normal(size=(T, B, D)).astype("float32")
    both = [
        unrolled.Bidirectional(
            unrolled.GRU(U, time_major=True, return_sequences=True, **more)
        )
        for more in ({}, options)
    ]
    for each in both:
        each.build(x.shape)
    both[1].set_weights(both[0].get_weights())
    np.testing.assert_allclose(both[1](x), both[0](x), atol=1e-6)
    model = keras.Sequential([keras.Input((B, D), batch_size=T), both[1]])
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras").layers[0]
    assert again.backward_layer.windows == unrolled.GRU(1, **options).windows
    np.testing.assert_allclose(again(x), both[0](x), atol=1e-6)


class Sum(unrolled.Cell):
    """Reads a tree, gives a tree, has a tree for states, whole numbers among it."""

    state_size: ClassVar = {"total": D, "count": 1}
    output_size: ClassVar = {"total": D, "count": 1}

    def get_initial_state(self, batch_size):
        count = jnp.zeros((batch_size, 1), "int32")
        return {"total": jnp.zeros((batch_size, D)), "count": count}

    def step(self, x, states, constants):
        del constants
        total = 0.5 * states["total"] + x["a"] * x["b"]
        count = states["count"] + 1
        return {"total": total, "count": count}, {"total": total, "count": count}


@ALL
@pytest.mark.parametrize("sequences", [False, True])
def test_trees(options, sequences, rng):
    x = {n: rng.normal(size=(B, T, D)).astype("float32") for n in "ab"}
    mask, resets = _patterns("holes", True, rng)
    wanted = {"return_sequences": sequences, "return_state": True}
    want, got = (
        unrolled.RNN(Sum(), **wanted, **more)(x, mask=mask, resets=resets)
        for more in ({}, options)
    )
    assert jax.tree.structure(want) == jax.tree.structure(got)
    for one, other in zip(*map(jax.tree.leaves, (want, got)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, atol=1e-6)
