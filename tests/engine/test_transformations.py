"""Every transformation and scope of JAX and Keras around a layer, fused or not.

What comes out is that of the same layer in plain JAX, differentiated by JAX alone. The
transformations that need more than one device are in `test_native_process`.
"""

import functools
import re
import sys
from types import SimpleNamespace

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..core import need_core

pytestmark = need_core

B, T, D, U = 4, 3, 3, 3


class Derived(unrolled.LSTMCell):
    """A class of the user's: no kernel."""


LAYERS = {
    "LSTM": lambda: unrolled.LSTM(U, return_sequences=True),
    "SimpleRNN": lambda: unrolled.SimpleRNN(U, go_backwards=True),
    "Bidirectional": lambda: unrolled.Bidirectional(unrolled.GRU(U)),
    "own cell": lambda: unrolled.RNN(Derived(U), return_sequences=True),
    "stack": lambda: unrolled.RNN(
        [unrolled.LSTMCell(D), unrolled.ResidualWrapper(unrolled.GRUCell(D))]
    ),
}


class Made:
    """A layer as a function of its weights and its input; and the same in plain JAX."""

    def __init__(self, make):
        rng = np.random.default_rng(3)
        self.layer = make()
        self.layer.build((B, T, D))
        self.weights = [
            jnp.asarray(rng.normal(size=v.shape), "float32")
            for v in self.layer.trainable_variables
        ]
        self.x, self.dx = jnp.asarray(rng.normal(size=(2, B, T, D)), "float32")

    def __call__(self, weights, x):
        rest = [v.value for v in self.layer.non_trainable_variables]
        return self.layer.stateless_call(weights, rest, x)[0]

    def plain(self, weights, x):
        with unrolled.kernels("off"):
            return self(weights, x)

    def loss(self, weights, x):
        return (self(weights, x) ** 3).sum()

    def plain_loss(self, weights, x):
        return (self.plain(weights, x) ** 3).sum()

    @functools.cached_property
    def gradients(self):
        return jax.grad(self.plain_loss, (0, 1))(self.weights, self.x)


@functools.cache
def made(name):
    return Made(LAYERS[name])


MOST = ["LSTM", "Bidirectional", "own cell"]  # of one kernel, of two, of none


@pytest.fixture(params=LAYERS)
def f(request):
    return made(request.param)


def same(got, want):
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    assert len(got) == len(want) > 0
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def last(weights, moved):
    """The weights with another last one, which is a bias or a part of one."""
    return [*weights[:-1], moved]


GRADIENTS = {
    "grad": lambda loss: loss,
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "checkpoint with a policy": functools.partial(
        jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable
    ),
    "checkpoint of checkpoint": lambda loss: jax.checkpoint(jax.checkpoint(loss)),
    "Keras's remat": keras.remat,
    "cond": lambda loss: lambda w, x: jax.lax.cond(True, loss, lambda *_: 0.0, w, x),
    "switch": lambda loss: lambda w, x: jax.lax.switch(1, [loss, loss], w, x),
    "scan": lambda loss: (
        lambda w, x: jax.lax.scan(lambda s, x: (s + loss(w, x), 0), 0.0, x[None])[0]
    ),
    "fori_loop": lambda loss: (
        lambda w, x: jax.lax.fori_loop(0, 1, lambda i, s: s + loss(w, x), 0.0)
    ),
    "map": lambda loss: lambda w, x: jax.lax.map(lambda x: loss(w, x), x[None])[0],
    "vmap": lambda loss: lambda w, x: jax.vmap(loss, (None, 0))(w, x[None])[0],
    "named_call": jax.named_call,
}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("kind", MOST)
def test_gradients(kind, name):
    f = made(kind)
    got = jax.grad(GRADIENTS[name](f.loss), (0, 1))(f.weights, f.x)
    same(got, f.gradients)


@pytest.mark.parametrize("axes", [(None, 0), (0, None), (0, 0)])
def test_vmap(f, axes):
    """Over inputs, over weights, over both; and each within another."""
    many = [f.weights, [2 * w for w in f.weights]], [f.x, f.dx]
    stacked = [jax.tree.map(lambda *each: jnp.stack(each), *own) for own in many]
    pairs = zip(stacked, many, axes, strict=True)
    args = [all_ if axis == 0 else own[0] for all_, own, axis in pairs]
    each = [
        [own[n * (axis == 0)] for own, axis in zip(many, axes, strict=True)]
        for n in (0, 1)
    ]
    same(list(jax.vmap(f, axes)(*args)), [f.plain(*one) for one in each])
    got = jax.vmap(jax.grad(f.loss, (0, 1)), axes)(*args)
    same(jax.tree.map(lambda a: a[0], got), f.gradients)
    twice = jax.vmap(jax.vmap(f, (0, None)), (None, 0))(*stacked)
    same(twice[1, 0], f.plain(f.weights, f.dx))


def test_forward_mode(f):
    one, way = (f.weights, f.x), ([2 * w for w in f.weights], f.dx)
    same(jax.jvp(f, one, way), jax.jvp(f.plain, one, way))
    value, along = jax.linearize(f, *one)
    same((value, along(*way)), jax.jvp(f.plain, one, way))
    of, plain = (lambda b, g=g: g(last(f.weights, b), f.x) for g in (f, f.plain))
    want = jax.jacrev(plain)(f.weights[-1])
    same(jax.jacfwd(of)(f.weights[-1]), want)
    same(jax.jacrev(of)(f.weights[-1]), want)


def test_vjp_and_linear_transpose(f):
    value, pull = jax.vjp(f, f.weights, f.x)
    want, plain = jax.vjp(f.plain, f.weights, f.x)
    same((value, pull(value)), (want, plain(want)))
    along = jax.linearize(lambda x: f(f.weights, x), f.x)[1]
    same(jax.linear_transpose(along, f.x)(value)[0], plain(value)[1])


@pytest.mark.parametrize("kind", MOST)
def test_second_derivatives(kind):
    f = made(kind)
    of, plain = (
        lambda b, g=g: g(last(f.weights, b), f.x) for g in (f.loss, f.plain_loss)
    )
    want = jax.hessian(plain)(f.weights[-1])
    same(jax.hessian(of)(f.weights[-1]), want)
    same(jax.jacrev(jax.grad(of))(f.weights[-1]), want)


def test_loops_around(f):
    def body(state):
        return state[0] + 1, f(f.weights, f.x)

    want = f.plain(f.weights, f.x)
    same(jax.lax.while_loop(lambda s: s[0] < 1, body, (0, 0 * want))[1], want)
    stacked = jax.lax.scan(lambda _, x: (0, f(f.weights, x)), 0, f.x[None])[1]
    same(stacked[0], want)


def test_eval_shape(f):
    got = jax.eval_shape(f, f.weights, f.x)
    want = f.plain(f.weights, f.x)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)


def test_stateless_scope(f):
    pairs = zip(f.layer.trainable_variables, f.weights, strict=True)
    with keras.StatelessScope(state_mapping=[*pairs]):
        got = f.layer(f.x)
    same(got, f.plain(f.weights, f.x))


def test_without_jit(f):
    with jax.disable_jit():
        got = jax.grad(f.loss, (0, 1))(f.weights, f.x)
    same(got, f.gradients)


# --- what is written to be run elsewhere ---

CALLS = ("unrolled_forward", "unrolled_backward")


def written(function, *args, **options):
    exported = jax.export.export(jax.jit(function), **options)(*args)
    return jax.export.deserialize(exported.serialize()), exported.mlir_module()


def foreign(text):
    """The calls that a program holds; JAX's own question about a size is none."""
    return {*re.findall(r"custom_call @(\w+)", text)} - {"shape_assertion"}


def test_export(f):
    """Values and gradients; the program holds no call of ours."""
    gradient = jax.value_and_grad(f.loss, (0, 1))
    again, text = written(gradient, f.weights, f.x)
    assert foreign(text) == set()
    same(again.call(f.weights, f.x), gradient(f.weights, f.x))


def test_export_of_any_size(f):
    shape = jax.export.symbolic_shape(f"b, t, {D}")
    any_x = jax.ShapeDtypeStruct(shape, "float32")
    again, text = written(f, f.weights, any_x)
    assert foreign(text) == set()
    same(again.call(f.weights, f.x), f.plain(f.weights, f.x))
    same(again.call(f.weights, f.x[:2, :1]), f.plain(f.weights, f.x[:2, :1]))


@pytest.mark.parametrize("platforms", [["cpu"], ["cpu", "cuda", "tpu"]])
def test_export_for_other_machines(platforms):
    f = made("LSTM")
    again, text = written(f, f.weights, f.x, platforms=platforms)
    assert foreign(text) == set()
    same(again.call(f.weights, f.x), f.plain(f.weights, f.x))


@pytest.mark.parametrize("rows", [B, "b"])
def test_export_with_kernels_if_asked(rows):
    f = made("LSTM")
    shape = jax.export.symbolic_shape(f"{rows}, {T}, {D}")
    checks = [jax.export.DisabledSafetyCheck.custom_call(name) for name in CALLS]
    with unrolled.kernels("exported"):
        again, text = written(
            f,
            f.weights,
            jax.ShapeDtypeStruct(shape, "float32"),
            disabled_checks=checks,
        )
        same(again.call(f.weights, f.x), f.plain(f.weights, f.x))
    assert foreign(text) == {"unrolled_forward"}


# --- where kernels run ---


def test_a_compiled_function_is_compiled_anew_for_another_use():
    f = made("LSTM")
    whole = jax.jit(f)
    here = whole.lower(f.weights, f.x).as_text()
    whole(f.weights, f.x)
    with unrolled.kernels("off"):
        off = whole.lower(f.weights, f.x).as_text()
        assert f.layer.plan() == 'the scan: unrolled.kernels("off") asks for it.'
        with unrolled.kernels("here"):
            assert whole.lower(f.weights, f.x).as_text() == here
    assert "unrolled_forward" in here
    assert "unrolled_forward" not in off
    assert "native" in f.layer.plan()


def test_a_use_that_is_none():
    with (
        pytest.raises(ValueError, match=r"use must be one of 'off', .*Got 'on'"),
        unrolled.kernels("on"),
    ):
        pass


def test_kernels_cannot_be_exported_where_there_are_none(monkeypatch):
    monkeypatch.setenv("UNROLLED_ISA", "scan")
    with (
        pytest.raises(ValueError, match=r"needs the kernels. Got UNROLLED_ISA=scan"),
        unrolled.kernels("exported"),
    ):
        pass


# --- who reads a program ---


def test_converters_read_plain_programs(monkeypatch):
    """jax2onnx, where it is loaded, meets primitives that are JAX's own."""
    f = made("LSTM")
    read = []
    known = {
        "custom_jvp_call": SimpleNamespace(lower=lambda *given: read.append(given))
    }
    plugins = SimpleNamespace(PLUGIN_REGISTRY=known)
    monkeypatch.setitem(sys.modules, "jax2onnx.plugins.plugin_system", plugins)
    (whole,) = jax.make_jaxpr(lambda x: f(f.weights, x))(f.x).eqns[-1:]
    (call,) = whole.params["call_jaxpr"].jaxpr.eqns[-1:]
    known[call.primitive.name].lower("a graph", call)
    ((graph, equation),) = read
    assert (graph, equation.invars, equation.outvars) == (
        "a graph",
        call.invars,
        call.outvars,
    )
    text = str(equation.params["call_jaxpr"])
    assert "scan" in text
    assert call.primitive.name not in text
