"""An LSTM on cuDNN against the reference; all but the call itself is ours."""

import functools
import textwrap

from unrolled.engine import cudnn as engine
from unrolled.engine import forms, packed
from unrolled.engine.foreign import Spec
from unrolled.engine.kernels import Fused, Weights, together

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp
from jax.experimental import rnn
from jax.extend.core import Primitive
from jax.flatten_util import ravel_pytree

from ..core import run
from ..cudnn import calls, forget
from ..reference import max_relative
from .test_kernels import GRADIENTS, VALUES, expected, make, scan
from .test_kernels_modes import MODES, like, losses

pytestmark = pytest.mark.usefixtures("cudnn")
FLAG = "--xla_force_host_platform_device_count"
# Each compiles the loop and the model of cuDNN many times over; `make parity` runs it.
slow = pytest.mark.parity

SPEC = Spec("lstm", flip=True)


def on_cudnn(spec, tf32=False):
    return Fused(spec, tf32)


def outputs(spec, result):
    return result.outputs if spec.return_sequences else result.last, result.states


def check(layers, masks=(None,), limits=(VALUES, GRADIENTS)):
    """Values and gradients of layers run together, each held to the reference.

    `masks` are tried one after the other, on all layers, with one compilation.
    """
    cases = [case for _, case in layers]
    # One array for all layers that read it, so that the gradient is of their sum.
    xs = {id(case["x"]): case["x"] for case in cases}
    at = (xs, [(case["states"], case["weights"]) for case in cases])

    def run(at, mask):
        xs, own = at
        given = [
            (
                on_cudnn(spec),
                (xs[id(case["x"])], *each, mask, None, case["constants"]),
            )
            for (spec, case), each in zip(layers, own, strict=True)
        ]
        pairs = zip(layers, together(given), strict=True)
        return [outputs(spec, result) for (spec, _), result in pairs]

    @jax.jit
    def both(at, mask, cotangents):
        values, pull = jax.vjp(lambda at: run(at, mask), at)
        return values, pull(cotangents)[0]

    rng = np.random.default_rng(7)
    draw = lambda a: rng.normal(size=a.shape).astype(np.float32)  # noqa: E731
    for mask in masks:
        cotangents = jax.tree.map(draw, jax.eval_shape(run, at, mask))
        values, (dxs, gradients) = both(at, mask, cotangents)
        laws = [
            expected(spec, case | {"mask": mask}, lambda _, d=d: (*d, None))
            for (spec, case), d in zip(layers, cotangents, strict=True)
        ]
        each = zip(values, gradients, laws, strict=True)
        for value, gradient, (want, (_, *rest)) in each:
            near(value, want, limits[0])
            near(gradient, rest, limits[1])
        for key, dx in dxs.items():
            pairs = zip(cases, laws, strict=True)
            law = sum(law[1][0] for case, law in pairs if id(case["x"]) == key)
            near(dx, law, limits[1])


def near(got, want, limit):
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    assert max(max_relative(a, b) for a, b in pairs) < limit


SHAPES = [(1, 1, 1, 1), (1, 7, 3, 17), (3, 5, 17, 3), (2, 4, 129, 129), (33, 12, 28, 9)]


def masks_of(B, T):
    """Of every pattern; in all but two there are rows without a step that counts."""
    rng = np.random.default_rng(3)
    steps, rows = np.arange(T)[None], np.arange(B)[:, None]
    lengths = rng.integers(0, T + 1, (B, 1)) * (rows > 1)
    yield from (steps < lengths, steps >= T - lengths)  # right, left
    yield (rng.random((B, T)) < 0.6) & (rows > 1)
    yield steps == rows % T
    yield from (np.zeros((B, T), bool), np.ones((B, T), bool))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape):
    check([(SPEC, make("lstm", *shape))])


@slow
@pytest.mark.parametrize(
    ("reverse", "sequences", "zero"),
    [(False, True, True), (True, False, False), (True, True, False)],
)
def test_options(reverse, sequences, zero):
    spec = SPEC._replace(reverse=reverse, return_sequences=sequences, zero_masked=zero)
    case = make("lstm", 6, 9, 4, 7, bias=zero)
    check([(spec, case)], masks_of(6, 9))
    if not zero:  # without a mask it makes no difference
        check([(spec, case)])


def test_where_jax_has_64_bits(float64):
    del float64
    check([(SPEC, make("lstm", 6, 9, 4, 7))], masks_of(6, 9))


def directions(case, forward_first=True, **options):
    """Two layers over the same inputs, in both directions."""
    other = make("lstm", *case["x"].shape, case["weights"][1].shape[0], seed=9)
    spec = SPEC._replace(**options)
    layers = [(spec, case), (spec._replace(reverse=True), other | {"x": case["x"]})]
    return layers if forward_first else layers[::-1]


@slow
@pytest.mark.parametrize(("sequences", "zero"), [(False, False), (True, True)])
def test_both_directions_are_one_call(sequences, zero, cudnn):
    case = make("lstm", 5, 9, 4, 7)
    for first in (False, True):
        layers = directions(case, first, return_sequences=sequences, zero_masked=zero)
        check(layers, [*masks_of(5, 9)] if first else [None])
    assert {each[4] for each in cudnn} == {True}


APART = {
    "inputs": lambda case: case | {"x": case["x"].copy()},
    "units": lambda case: make("lstm", 5, 9, 4, 6) | {"x": case["x"]},
    "dropout": lambda case: (
        case | {"constants": {"input_mask": np.full((5, 4), 2, np.float32)}}
    ),
}


@pytest.mark.parametrize("change", APART)
def test_what_is_not_the_same_is_two_calls(change, cudnn):
    one, (spec, other) = directions(make("lstm", 5, 9, 4, 7))
    check([one, (spec, APART[change](other))])
    assert {each[4] for each in cudnn} == {False}


def test_one_direction_twice_is_two_calls(cudnn):
    one, _ = directions(make("lstm", 5, 9, 4, 7))
    check([one, one])
    assert {each[4] for each in cudnn} == {False}


def test_another_mask_is_another_call(cudnn):
    layers = directions(make("lstm", 5, 9, 4, 7))
    masks = [np.ones((5, 9), bool), np.ones((5, 9), bool)]
    together(
        [
            (on_cudnn(spec), (case["x"], case["states"], case["weights"], mask))
            for (spec, case), mask in zip(layers, masks, strict=True)
        ]
    )
    assert {each[4] for each in cudnn} == {False}


ROWS = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=3, max_size=3)


@given(ROWS)
def test_any_mask(rows):
    case = make("lstm", 3, 6, 2, 3)
    got, want = (f(case, np.array(rows)) for f in (_on_cudnn, _by_scan))
    near(got, want, GRADIENTS)


def _gradient(layer):
    @jax.jit
    def of(case, mask):
        def loss(args):
            out = layer(*args, mask=mask)
            return (out.outputs**3).sum() + sum((s**2).sum() for s in out.states)

        args = (case["x"], case["states"], case["weights"])
        return jax.value_and_grad(loss)(args)

    return of


_on_cudnn = _gradient(Fused(SPEC, False))
_by_scan = _gradient(functools.partial(scan, SPEC))


def test_dropped_inputs():
    case = make("lstm", 4, 6, 5, 3, dropout=True)
    del case["constants"]["recurrent_mask"]
    check([(SPEC, case)])


def test_no_features():
    case = make("lstm", 3, 4, 2, 5)
    empty = case["weights"]._replace(kernel=np.zeros((0, 20), np.float32))
    args = (np.zeros((3, 4, 0), np.float32), case["states"], empty)
    got, want = on_cudnn(SPEC)(*args), scan(SPEC, *args)
    assert max_relative(got.outputs, want.outputs) < VALUES


def test_what_it_does_not_know_is_not_passed_over():
    case = make("lstm", 3, 4, 2, 5, resets=True)
    args = (case["x"], case["states"], case["weights"])
    with pytest.raises(ValueError, match="neither resets nor"):
        on_cudnn(SPEC)(*args, resets=case["resets"])


@slow
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_masked_is_not_read(bad, reverse):
    case = make("lstm", 6, 8, 5, 4, mask="holes")
    spoilt = case["x"].copy()
    spoilt[~case["mask"]] = bad

    def loss(x, weights):
        layer = on_cudnn(SPEC._replace(reverse=reverse))
        out = layer(x, case["states"], weights, mask=case["mask"])
        return (out.outputs**2).sum()

    got, want = (
        jax.grad(loss, (0, 1))(x, case["weights"]) for x in (spoilt, case["x"])
    )
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


# --- precision ---

PRECISE = {
    None: False,
    "default": False,
    "bfloat16": False,
    "high": False,
    "tensorfloat32": False,
    "TF32_TF32_F32": False,
    "highest": True,
    "float32": True,
    "F32_F32_F32": True,
    "BF16_BF16_F32_X6": True,  # nearer to float32 than TF32 is
    "TF32_TF32_F32_X3": True,
}


@pytest.mark.parametrize(("setting", "precise"), PRECISE.items(), ids=str)
def test_tf32_where_products_of_jax_have_it(setting, precise):
    with jax.default_matmul_precision(setting):
        assert engine.tf32() is not precise


@pytest.mark.parametrize("tf32", [False, True])
def test_both_passes_are_told(tf32, cudnn):
    case = make("lstm", 3, 4, 2, 5)

    def loss(x):
        out = on_cudnn(SPEC, tf32)(x, case["states"], case["weights"])
        return (out.outputs**2).sum()

    jax.grad(loss)(case["x"])
    wanted = jax.lax.Precision.HIGH if tf32 else jax.lax.Precision.HIGHEST
    assert {each[:5] for each in cudnn} == {(2, 5, 1, 0.0, False)}
    assert {each[5] for each in cudnn} == {wanted}
    assert len(cudnn) >= 2


def test_weights_are_where_cudnn_has_them():
    """Read back with JAX's own function, for both directions."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    two = [Weights(draw(3, 20), draw(5, 20), bias) for bias in (draw(20), None)]
    parts = rnn.unpack_lstm_weights(packed._packed(two), 3, 5, 1, True)
    for n, (kernel, recurrent, bias) in enumerate(two):
        W, R, b, b_state = (part[n] for part in parts)
        np.testing.assert_array_equal(W.T, kernel)
        np.testing.assert_array_equal(R.T, recurrent)
        np.testing.assert_array_equal(b, np.zeros(20) if bias is None else bias)
        np.testing.assert_array_equal(b_state, 0)


# --- transformations ---


def cudnn_and_scan(**options):
    """A loss of a vector of all that can move: on cuDNN, and by the scan."""
    case = make("lstm", 2, 3, 2, 3, mask="holes", seed=5)
    spec = SPEC._replace(**options)
    _, whole = ravel_pytree((case["x"], case["states"], case["weights"]))

    def loss(vector):
        out = on_cudnn(spec)(*whole(vector), mask=case["mask"])
        seen = (out.outputs, out.last, out.states, out.all_states)
        return sum((a**3).sum() for a in jax.tree.leaves(seen))

    return loss, *losses(spec, case)[1:]


@slow
@pytest.mark.parametrize("mode", ["jvp", "grad of grad", "remat"])
def test_modes(mode):
    loss, plain, at = cudnn_and_scan()
    along, derive = like(at), MODES[mode]
    want = jax.jit(lambda at: derive(plain, at, along))(at)
    got = jax.jit(lambda at: derive(loss, at, along))(at)
    assert max_relative(got, want) < GRADIENTS


def test_calls():
    """A gradient is one call forward and one backward; no loop beside them."""
    loss, _, at = cudnn_and_scan()
    v = like(at)
    assert calls(loss, at) == (1, 0)
    assert calls(jax.grad(loss), at) == (1, 1)
    jvp = lambda at: jax.jvp(loss, (at,), (v,))  # noqa: E731
    assert calls(jvp, at) == (1, 0)


@slow
@pytest.mark.parametrize(("shared", "grad"), [(True, True), (False, False)])
def test_vmap(shared, grad):
    """More rows where only rows are mapped; else the loop, whose products batch."""
    case = make("lstm", 3, 4, 3, 5, mask="holes")
    many = lambda a: np.stack([a, 2 * a, -a])  # noqa: E731
    xs = many(case["x"])
    weights = case["weights"] if shared else jax.tree.map(many, case["weights"])

    def loss(x, weights):
        out = on_cudnn(SPEC)(x, case["states"], weights, mask=case["mask"])
        return (out.outputs**2).sum()

    function = jax.grad(loss, (0, 1)) if grad else loss
    mapped = jax.vmap(function, (0, None if shared else 0))
    one_call = shared and not grad
    assert calls(mapped, xs, weights) == (int(one_call), 0)
    got = jax.jit(mapped)(xs, weights)
    for n in range(3):
        own = weights if shared else jax.tree.map(lambda a, n=n: a[n], weights)
        want = function(xs[n], own)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert max_relative(a[n], b) < GRADIENTS


def test_vmap_twice_is_one_call():
    case = make("lstm", 3, 4, 3, 5)
    xs = np.stack([[case["x"], 2 * case["x"]]] * 3)
    one = lambda x: on_cudnn(SPEC)(x, case["states"], case["weights"]).outputs  # noqa: E731
    mapped = jax.vmap(jax.vmap(one))
    assert calls(mapped, xs) == (1, 0)
    assert max_relative(mapped(xs)[2, 1], one(xs[2, 1])) < VALUES


@slow
def test_a_jacobian():
    """Mapped over cotangents alone."""
    loss, plain, at = cudnn_and_scan(return_sequences=False)
    both = [
        jax.jacrev(lambda a, f=f: jnp.stack([f(a), f(2 * a)]))(at)
        for f in (loss, plain)
    ]
    assert max_relative(*both) < GRADIENTS


def test_compiled_for_another_device(monkeypatch):
    """On a machine with a GPU, what is put on the CPU runs there, in the loop."""
    only_there = Primitive("only_there")
    only_there.multiple_results = True
    only_there.def_abstract_eval(lambda *avals, results: results)

    def bind(*args):
        x, h, c = args[:3]
        y = jax.typeof(x).update(shape=(*x.shape[:2], h.shape[0] * h.shape[2]))
        results = tuple(map(jax.typeof, (h, c)))
        y, h, c = only_there.bind(*args[:5], results=(y, *results))
        return (y, h, c), (y,)

    monkeypatch.setattr(packed, "lstm_fwd", bind)
    case = make("lstm", 3, 4, 2, 5, mask="holes")
    args = (case["x"], case["states"], case["weights"])
    run = lambda: on_cudnn(SPEC)(*args, mask=case["mask"])  # noqa: E731
    monkeypatch.setattr(engine, "PLATFORM", "cuda")
    for got in (run(), jax.jit(run)()):
        want = scan(SPEC, *args, case["mask"])
        assert max_relative(got.outputs, want.outputs) < VALUES
    forget()
    monkeypatch.setattr(engine, "PLATFORM", "cpu")
    with pytest.raises(NotImplementedError, match="only_there"):
        run()


def test_a_second_call_compiles_nothing():
    case = make("lstm", 3, 4, 2, 5, mask="holes")

    def loss(x):
        out = on_cudnn(SPEC)(x, case["states"], case["weights"], mask=case["mask"])
        return (out.outputs**2).sum()

    size = forms._eager._cache_size
    jax.grad(loss)(case["x"])
    before = size()
    assert before == 2
    jax.grad(loss)(case["x"] + 1)
    assert size() == before


# Two layers in both directions, on several devices. What cuDNN keeps cannot be sharded:
# each device makes its own again.
DEVICES = """
import jax, keras, numpy as np, pytest, unrolled
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from tests import cudnn
told = cudnn.stand_in(pytest.MonkeyPatch())
mesh = Mesh(np.array(jax.devices()), ("batch",))
assert mesh.size == 4
x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
lengths = np.array([0, 5, 2, 3, 1, 5, 4, 0])
layer = unrolled.Bidirectional(unrolled.LSTM(4, return_sequences=True))
layer.build(x.shape)
weights = [v.value for v in layer.trainable_variables]
rest = [v.value for v in layer.non_trainable_variables]
def loss(weights, x, lengths):
    return (layer.stateless_call(weights, rest, x, lengths=lengths)[0] ** 2).sum()
step = jax.value_and_grad(loss, (0, 1))
want = jax.tree.leaves(jax.jit(step)(weights, x, lengths))
assert told and {each[4] for each in told} == {True}
def near(got):
    for a, b in zip(jax.tree.leaves(got), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
"""


def test_sharded_by_rows():
    code = """
    rows = lambda a: jax.device_put(a, NamedSharding(mesh, P("batch")))
    placed = (jax.device_put(weights, NamedSharding(mesh, P())), rows(x), rows(lengths))
    text = jax.jit(step).lower(*placed).compile().as_text()
    assert "all-gather" not in text and "all-to-all" not in text, text
    got = jax.jit(step)(*placed)
    assert got[1][1].sharding.spec[0] == "batch"
    near(got)
    """
    run(DEVICES + textwrap.dedent(code), XLA_FLAGS=f"{FLAG}=4")


@slow
def test_in_shard_map():
    code = """
    for check in (True, False):
        def total(weights, x, lengths):
            return jax.lax.psum(loss(weights, x, lengths), "batch")
        whole = jax.shard_map(total, mesh=mesh, check_vma=check, out_specs=P(),
                              in_specs=(P(), P("batch"), P("batch")))
        near(jax.jit(jax.value_and_grad(whole, (0, 1)))(weights, x, lengths))
    """
    run(DEVICES + textwrap.dedent(code), XLA_FLAGS=f"{FLAG}=4")
