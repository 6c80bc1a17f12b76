"""Steps that no program can be go to the scan, and `plan` names the cause."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp

from ...core import need_core

pytestmark = [pytest.mark.keras_ranks, need_core]
B, T, U = 4, 5, 6


class Step(unrolled.Cell):
    """h = tanh(x W + f(h)), of any function of h."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function, self.state_size, self.output_size = function, [U], U

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], U))

    def step(self, x, states, constants):
        del constants
        h = jnp.tanh(x @ self.kernel.value + self.function(states[0]))
        return h, [h]


def _layer(function):
    layer = unrolled.RNN(Step(function), return_sequences=True)
    layer.build((B, T, U))
    return layer


def _values(layer, x):
    def loss(x):
        return (layer(x) ** 2).sum()

    return [np.asarray(a) for a in jax.value_and_grad(loss)(x)]


REFUSED = {
    "mean of rows": (lambda h: h + h.mean(0), "the batch"),
    "greatest of rows": (lambda h: h - h.max(0), "the batch"),
    "rows and heads as one": (lambda h: h.reshape(-1, 2).reshape(h.shape), "reshape"),
    "rows turned": (lambda h: h[::-1], "rev"),
    "rows after one another": (lambda h: jnp.cumsum(h, 0), "cumsum"),
    "products of rows": (lambda h: (h @ h.T) @ h, "dot_general"),
    "one row of all": (lambda h: h - h[:1], "slice"),
    "rows rolled": (lambda h: jnp.roll(h, 1, 0), "slice"),
    "the size of the batch": (lambda h: h / h.shape[0], "the size of the batch"),
    "sorted": (lambda h: jnp.sort(h, -1), "sort"),
    "added up": (lambda h: jnp.cumsum(h, -1), "cumsum"),
    "a loop": (lambda h: lax.fori_loop(0, 3, lambda _, v: v / 2, h), "scan"),
    "a branch": (lambda h: lax.cond(h.sum() > 0, jnp.sin, jnp.cos, h), "the batch"),
    "a table": (
        lambda h: jnp.take(h, jnp.array([0, 2, 1, 4, 3, 5]), axis=-1),
        "gather",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named_and_scanned(name, rng):
    function, cause = REFUSED[name]
    layer = _layer(function)
    plan = layer.plan()
    assert plan.startswith("the scan: ")
    assert cause in plan
    x = jnp.asarray(rng.normal(size=(B, T, U)), "float32")
    found = _values(layer, x)
    with unrolled.kernels("off"):
        for one, other in zip(found, _values(layer, x), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


TWO = 2  # rows, which plan itself asks for


class OnlyTwoError(Exception):
    """Of a user's own kind."""


def _raises(error):
    """What takes its own batch size only."""

    def function(h):
        if h.shape[0] != TWO:
            raise error
        return h / 2

    return function


NAMED = {
    "KeyError": lambda h: h * {TWO: 0.5}[h.shape[0]],
    "IndexError": lambda h: h * [0.5][h.shape[0] - TWO],
    "AssertionError": _raises(AssertionError("two")),
    "ValueError": _raises(ValueError("two. No more of them.")),
    "TypeError": lambda h: h + jnp.ones((TWO, U)),
    "ZeroDivisionError": lambda h: h / (1 // (h.shape[0] == TWO)),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_takes_one_batch_size_is_scanned_and_its_error_named(name, rng):
    layer = _layer(NAMED[name])
    assert layer.plan().startswith(
        f"the scan: a step that fails with another batch size ({name}: "
    )
    x = jnp.asarray(rng.normal(size=(TWO, T, U)), "float32")
    found = _values(layer, x)
    with unrolled.kernels("off"):
        for one, other in zip(found, _values(layer, x), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("error", [OnlyTwoError("two"), OSError("no such file")])
def test_errors_of_another_kind_come_out(error, rng):
    layer = _layer(_raises(error))
    x = jnp.asarray(rng.normal(size=(TWO, T, U)), "float32")
    with pytest.raises(type(error)):
        layer(x)
    with unrolled.kernels("off"):
        assert np.isfinite(np.asarray(layer(x))).all()


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (KeyError("gain"), "(KeyError: 'gain')"),
        (RuntimeError("no gradient here."), "(RuntimeError: no gradient here)"),
        (OnlyTwoError("two"), None),
    ],
)
def test_errors_of_a_rule_for_gradients(error, named, rng):
    @jax.custom_vjp
    def half(h):
        return h / 2

    def back(*_):
        raise error

    half.defvjp(lambda h: (h / 2, None), back)
    layer = _layer(half)
    x = jnp.asarray(rng.normal(size=(TWO, T, U)), "float32")
    if named is None:
        with pytest.raises(OnlyTwoError):
            layer(x)
        return
    assert layer.plan() == (
        f"the scan: a step that cannot be differentiated {named} has no fused form."
    )
    with unrolled.kernels("off"):
        expected = layer(x)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6, atol=1e-6)


def test_a_cell_without_any_of_it_is_fused():
    assert _layer(lambda h: h / 2).plan().startswith("the native kernel ")


@jax.custom_vjp
def _through(h):
    return jnp.round(h)


_through.defvjp(lambda h: (jnp.round(h), None), lambda _, ct: (ct,))
FUSED = {
    "relu": jax.nn.relu,
    "relu6": lambda h: jax.nn.relu6(6 * h),
    "hard sigmoid": lambda h: jax.nn.hard_sigmoid(3 * h),
    "abs": jnp.abs,
    "greater of equals": lambda h: jnp.maximum(h, h),
    "clip at its end": lambda h: jnp.clip(h, 0.0, 1.0),
    "softplus": jax.nn.softplus,
    "a rule of its own": _through,
    "made again": jax.checkpoint(lambda h: jnp.sin(h) * jnp.tanh(h)),
    "compiled": jax.jit(lambda h: jnp.where(h > 0, h, jnp.exp(h) - 1)),
}


@pytest.mark.parametrize("name", FUSED)
def test_gradients_at_kinks_are_those_of_the_scan(name, rng):
    """The states are zero at first, where most of these have no derivative."""
    layer = _layer(lambda h: FUSED[name](h) + h / 3)
    assert layer.plan().startswith("the native kernel ")
    x = jnp.asarray(rng.normal(size=(B, T, U)), "float32")
    start = jnp.zeros((B, U), "float32")

    def loss(x, start):
        return (layer(x, initial_state=[start]) * jnp.cos(x)).sum()

    found = jax.grad(loss, (0, 1))(x, start)
    with unrolled.kernels("off"):
        expected = jax.grad(loss, (0, 1))(x, start)
    assert np.any(np.asarray(expected[1]) != 0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("inside", [lambda f: f, jax.jit, jax.checkpoint])
def test_an_array_that_changes_between_calls_is_honoured(inside, rng):
    factor = {"of": np.ones(U, "float32")}
    layer = _layer(lambda h: inside(lambda h: h * factor["of"])(h))
    assert layer.plan().startswith("the native kernel ")
    x = jnp.asarray(rng.normal(size=(B, T, U)), "float32")
    seen = []
    for _ in range(3):
        factor["of"] = rng.normal(size=U).astype("float32")
        seen.append(_values(layer, x))
        with unrolled.kernels("off"):
            for one, other in zip(seen[-1], _values(layer, x), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert len({float(value) for value, _ in seen}) == 3


def test_a_rule_that_closes_over_an_array_is_scanned(rng):
    factor = rng.normal(size=U).astype("float32")

    @jax.custom_vjp
    def times(h):
        return h * factor

    times.defvjp(lambda h: (times(h), None), lambda _, ct: (ct * factor,))
    layer = _layer(times)
    assert "cannot be differentiated" in layer.plan()
    x = jnp.asarray(rng.normal(size=(B, T, U)), "float32")
    assert np.isfinite(np.asarray(layer(x))).all()


class Sized(unrolled.Cell):
    """Its Python looks at the size of the batch."""

    def __init__(self, of_size, **kwargs):
        super().__init__(**kwargs)
        self.of_size = of_size
        self.output_size, self.state_size = 4, [4]

    def step(self, x, states, constants):
        del constants
        h = self.of_size(x, states[0], x.shape[0])
        return h, [h]


SIZED = {
    "one row": lambda x, h, n: jnp.tanh(x + h) if n == 1 else x - h,
    "three rows": lambda x, h, n: jnp.tanh(x + h) if n == 3 else x - h,
    "few rows": lambda x, h, n: jnp.tanh(x + h) if n < 10 else x - h,
    "a factor": lambda x, h, n: jnp.tanh(x + h * min(n, 4)),
    "a slice": lambda x, h, n: x + h[:, : min(n, 4)].sum(1, keepdims=True),
}


@pytest.mark.parametrize("rows", [1, 3, 4, 12])
@pytest.mark.parametrize("name", SIZED)
def test_a_step_that_looks_at_the_size_of_the_batch(name, rows, rng):
    layer = unrolled.RNN(Sized(SIZED[name]), return_sequences=True)
    x = jnp.asarray(rng.normal(size=(rows, 5, 4)), "float32")
    with unrolled.kernels("off"):
        expected = layer(x)
    for _ in range(2):
        np.testing.assert_allclose(layer(x), expected, rtol=2e-5, atol=2e-6)
    special = {"one row": [1], "three rows": [3], "few rows": [1, 3, 4]}
    alike = rows not in special.get(name, [1, 3])
    said = layer.plan(x.shape)
    assert ("this size of the batch" in said) != alike
    stream = unrolled.stream(layer, batch_size=rows)
    for t in range(5):
        step = stream.step(x[:, t])
        np.testing.assert_allclose(step, expected[:, t], rtol=2e-5, atol=2e-6)


class Adding(keras.layers.Layer):
    """Adds a loss at each step."""

    state_size = output_size = U

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], U))

    def call(self, inputs, states):
        h = jnp.tanh(inputs @ self.kernel.value + states[0])
        self.add_loss((h**2).mean())
        return h, [h]


def test_a_loss_added_in_the_step(rng):
    layer = unrolled.RNN(Adding())
    x = jnp.asarray(rng.normal(size=(B, T, 3)), "float32")
    layer.build(x.shape)
    said = "the scan: a loss added in the step has no fused form."
    assert layer.plan(x.shape) == said
    layer(x)
    assert float(sum(layer.losses)) > 0
