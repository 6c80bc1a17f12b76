"""Every transformation of JAX around layers that are fused from their formula.

What comes out is that of the same layer in plain JAX, differentiated by JAX alone.
"""

import functools

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ...core import need_core, run
from .layers import CELLS, D, Made, S, T, U, made, same

pytestmark = [pytest.mark.keras_ranks, need_core]
CALL = "unrolled_program"


@pytest.fixture(params=CELLS)
def f(request):
    return made(request.param)


AROUND = {
    "nothing": lambda loss: loss,
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "jit of checkpoint": lambda loss: jax.jit(jax.checkpoint(loss)),
    "cond": lambda loss: lambda w, x: jax.lax.cond(True, loss, lambda *_: 0.0, w, x),
    "scan": lambda loss: (
        lambda w, x: jax.lax.scan(
            lambda s, x: (s + loss(w, x), 0), 0.0, jax.tree.map(lambda a: a[None], x)
        )[0]
    ),
}


@pytest.mark.parametrize("name", AROUND)
def test_values_and_gradients(f, name):
    whole = jax.value_and_grad(AROUND[name](f.loss), (0, 1))
    value, gradients = whole(f.weights, f.given)
    same(value, f.plain_loss(f.weights, f.given))
    same(gradients, f.gradients)
    text = jax.jit(whole).lower(f.weights, f.given).as_text()
    assert text.count(f"@{CALL}") >= 2


@pytest.mark.parametrize("axes", [(None, 0), (0, None), (0, 0)])
def test_vmap(f, axes):
    """Over inputs, over weights, over both."""
    many = [f.weights, [2 * w for w in f.weights]], [f.given, f.other]
    stacked = [jax.tree.map(lambda *each: jnp.stack(each), *own) for own in many]
    pairs = zip(stacked, many, axes, strict=True)
    args = [all_ if axis == 0 else own[0] for all_, own, axis in pairs]
    mapped = jax.jit(jax.vmap(jax.value_and_grad(f.loss, (0, 1)), axes))
    assert CALL in mapped.lower(*args).as_text()
    got = mapped(*args)
    for n in (0, 1):
        one = [own[n * (axis == 0)] for own, axis in zip(many, axes, strict=True)]
        want = jax.value_and_grad(f.plain_loss, (0, 1))(*one)
        same(jax.tree.map(lambda a, n=n: a[n], got), want)


def test_forward_mode(f):
    one, way = (f.weights, f.given), ([2 * w for w in f.weights], f.other)
    want = jax.jvp(f.plain, one, way)
    same(jax.jvp(f, one, way), want)
    value, along = jax.linearize(f, *one)
    same((value, along(*way)), want)


def test_second_derivatives(f):
    """Along a vector of weights, and of a scalar that is made of gradients."""

    def of(loss):
        return lambda last: loss([*f.weights[:-1], last], f.given)

    last = f.weights[-1]
    same(
        jax.jacfwd(jax.grad(of(f.loss)))(last),
        jax.jacfwd(jax.grad(of(f.plain_loss)))(last),
    )

    def steepness(loss):
        def norm(weights, given):
            found = jax.grad(loss, (0, 1))(weights, given)
            return sum((g**2).sum() for g in jax.tree.leaves(found)) / 100

        return jax.grad(norm, (0, 1))

    got, want = (steepness(loss)(f.weights, f.given) for loss in (f.loss, f.plain_loss))
    same(got, want, atol=2e-3)


@pytest.mark.usefixtures("float64")
def test_float64_is_scanned(f):
    cell = CELLS[f.kind](U, dtype="float64")
    layer = unrolled.RNN(cell, return_sequences=True, dtype="float64")
    given = {name: each.astype("float64") for name, each in f.given.items()}
    # Keras's LayerNormalization makes float32 of what it adds up.
    with jax.numpy_dtype_promotion("standard"):
        layer(**Made.called(given))
        for variable, weight in zip(layer.trainable_variables, f.weights, strict=True):
            variable.assign(weight)
        found, plan = layer(**Made.called(given)), layer.plan()
    assert found.dtype == np.float64
    assert plan.startswith("the scan: ")
    assert "float64" in plan
    want = np.asarray(f.plain(f.weights, f.given))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


def _fitted(kind, jit_compile):
    """The losses of three epochs over batches of 4, 4 and 2 rows."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(1)
    rows = 10
    inputs = {"sequences": keras.Input((T, D))}
    data = [rng.normal(size=(rows, T, D)).astype("float32")]
    if kind == "attention":
        inputs["memory"] = keras.Input((S, D))
        data.append(rng.normal(size=(rows, S, D)).astype("float32"))
    layer = unrolled.RNN(CELLS[kind](U))
    outputs = keras.layers.Dense(1)(layer(**inputs))
    model = keras.Model(list(inputs.values()), outputs)
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
    y = rng.normal(size=(rows, 1)).astype("float32")
    losses = model.fit(
        data, y, batch_size=4, epochs=3, shuffle=False, verbose=0
    ).history["loss"]
    return layer.plan(), losses, model.get_weights()


@functools.cache
def _scanned(kind):
    with unrolled.kernels("off"):
        plan, *found = _fitted(kind, jit_compile=True)
    assert plan.startswith("the scan: ")
    return found


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_fit_over_a_smaller_last_batch(kind, jit_compile):
    plan, losses, weights = _fitted(kind, jit_compile)
    assert plan.startswith("the native kernel ")
    assert " products, " in plan
    assert len(set(losses)) == 3
    want, expected = _scanned(kind)
    np.testing.assert_allclose(losses, want, rtol=1e-4)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_sharded_by_batch():
    """Each device takes its rows; only gradients of weights travel."""
    code = """
    import jax, numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    from tests.engine.fuse.layers import CELLS, made, same
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    assert mesh.size == 2
    for kind in CELLS:
        f = made(kind)
        step = jax.jit(jax.value_and_grad(f.loss, (0, 1)))
        put = lambda tree, spec: jax.device_put(tree, NamedSharding(mesh, spec))
        placed = put(f.weights, P()), put(f.given, P("batch"))
        text = step.lower(*placed).compile().as_text()
        assert "all-gather" not in text and "all-to-all" not in text, text
        assert text.count('custom_call_target="unrolled_program"') >= 2, text
        value, gradients = step(*placed)
        assert gradients[1]["x"].sharding.spec[0] == "batch"
        same(gradients, f.gradients)
        same(value, f.plain_loss(f.weights, f.given))
    print("ok")
    """
    flags = "--xla_force_host_platform_device_count=2"
    assert run(code, XLA_FLAGS=flags).split()[-1] == "ok"
