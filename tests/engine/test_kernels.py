"""The native core against the float64 reference: values and gradients."""

import itertools

import unrolled
from unrolled.engine import foreign, kernels
from unrolled.engine.foreign import Spec
from unrolled.engine.kernels import Fused, Weights

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from .. import reference
from ..core import need_core

pytestmark = need_core

KINDS = ("simple_rnn", "lstm", "gru_after", "gru_before")
VALUES, GRADIENTS = 2e-6, 1e-5


def make(
    kind, B, T, D, U, *, bias=True, mask=None, resets=False, dropout=False, seed=0
):
    """Random float32 arguments of one layer."""
    rng = np.random.default_rng(seed)
    G = foreign.GATES[kind]

    def normal(*shape, scale=1.0):
        return (rng.normal(size=shape) * scale).astype(np.float32)

    case = {
        "x": normal(B, T, D),
        "states": [normal(B, U, scale=0.7) for _ in range(2 if kind == "lstm" else 1)],
        "weights": Weights(
            normal(D, G * U, scale=D**-0.5),
            normal(U, G * U, scale=U**-0.5),
            normal(*((2, G * U) if kind == "gru_after" else (G * U,)), scale=0.3)
            if bias
            else None,
        ),
        "mask": None,
        "resets": None,
        "constants": {},
    }
    if mask == "right":
        lengths = rng.integers(0, T + 1, size=(B, 1))
        case["mask"] = np.arange(T)[None] < lengths
    elif mask == "left":
        case["mask"] = np.arange(T)[None] >= rng.integers(0, T + 1, size=(B, 1))
    elif mask == "holes":
        case["mask"] = rng.random((B, T)) < 0.6
    if resets:
        case["resets"] = rng.random((B, T)) < 0.25
    if dropout:
        case["constants"] = {
            "input_mask": (rng.random((B, D)) < 0.7).astype(np.float32) / 0.7,
            "recurrent_mask": (rng.random((B, U)) < 0.7).astype(np.float32) / 0.7,
        }
    return case


def scan(spec, x, states, weights, mask=None, resets=None, constants=None):
    """The same layer in plain JAX."""
    fused = Fused(spec)
    args = kernels._flat(x, states, weights, mask, resets, constants)
    return fused._result(kernels._Layers((spec,)).plain(*args))


def expected(spec, case, cotangents):
    """Outputs and gradients in float64, in processing order."""
    wide = jax.tree.map(lambda a: np.asarray(a, np.float64), case["weights"])
    params = {"kernel": wide.kernel, "recurrent_kernel": wide.recurrent_kernel}
    if wide.bias is not None:
        params["bias"] = wide.bias
    options = {k: np.asarray(v, np.float64) for k, v in case["constants"].items()}
    options["activation"] = spec.activation
    if spec.kind != "simple_rnn":
        options["recurrent_activation"] = spec.recurrent_activation
    if spec.kind.startswith("gru"):
        options["reset_after"] = spec.kind == "gru_after"
    cell = getattr(
        reference, spec.kind.split("_")[0] if "gru" in spec.kind else spec.kind
    )
    run = reference.unroll(
        lambda x, states: cell(params, x, states, **options),
        np.asarray(case["x"], np.float64),
        [np.asarray(s, np.float64) for s in case["states"]],
        mask=case["mask"],
        resets=case["resets"],
        reverse=spec.reverse,
        zero_masked=spec.zero_masked,
    )
    d_out, d_states, d_all = cotangents(run)
    dx, d_initial, d_params = run.pull(
        d_outputs=d_out if spec.return_sequences else None,
        d_last=None if spec.return_sequences else d_out,
        d_states=d_states,
        d_all_states=d_all if spec.return_all_states else None,
    )
    values = [run.outputs if spec.return_sequences else run.last, run.states]
    values.append(run.all_states if spec.return_all_states else None)
    weights = Weights(
        d_params["kernel"], d_params["recurrent_kernel"], d_params.get("bias")
    )
    return values, (dx, d_initial, weights)


def compiled(spec):
    """A layer as one program, compiled once for all cases of the same shapes."""

    def run(x, states, weights, options):
        result = Fused(spec)(x, states, weights, **options)
        out = result.outputs if spec.return_sequences else result.last
        return out, result.states, result.all_states

    return jax.jit(run)


def check(spec, case, values=VALUES, gradients=GRADIENTS, run=None):
    """Compare values and all gradients with the reference."""
    rng = np.random.default_rng(7)
    B, T, _ = case["x"].shape
    U = case["weights"].recurrent_kernel.shape[0]
    shape = (B, T, U) if spec.return_sequences else (B, U)
    d_out = rng.normal(size=shape).astype(np.float32)
    d_states = [rng.normal(size=(B, U)).astype(np.float32) for _ in case["states"]]
    d_all = [rng.normal(size=(B, T, U)).astype(np.float32) for _ in case["states"]]

    want, want_grads = expected(spec, case, lambda run: (d_out, d_states, d_all))
    options = {k: case[k] for k in ("mask", "resets", "constants")}
    run = run or compiled(spec)
    args = (case["x"], case["states"], case["weights"])
    plain = run(*args, options)
    got, pull = jax.vjp(lambda *args: run(*args, options), *args)
    grads = pull((d_out, d_states, d_all if spec.return_all_states else None))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(got), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert reference.max_relative(a, b) < values
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(want_grads), strict=True):
        assert reference.max_relative(a, b) < gradients


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("B", "T", "D", "U"),
    [
        (1, 1, 1, 1),
        (1, 7, 3, 17),
        (3, 5, 17, 3),
        (2, 4, 129, 129),
        (17, 9, 3, 16),
        (33, 12, 28, 40),
        (5, 300, 2, 5),
        (9, 3, 64, 128),
        (4, 6, 30, 400),
    ],
)
def test_shapes(kind, B, T, D, U):
    check(Spec(kind, flip=True), make(kind, B, T, D, U))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("all_states", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_options(kind, reverse, sequences, all_states, zero):
    spec = Spec(
        kind,
        reverse=reverse,
        flip=reverse,  # the reference's sequences are in processing order
        return_sequences=sequences,
        return_all_states=all_states,
        zero_masked=zero,
    )
    run = compiled(spec)
    masks = (None, "right", "left", "holes")
    for mask, resets in itertools.product(masks, (False, True)):
        case = make(
            kind,
            11,
            13,
            6,
            19,
            mask=mask,
            resets=resets,
            bias=resets,
            dropout=mask == "holes",
            seed=3,
        )
        check(spec, case, run=run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", foreign.ACTIVATIONS)
@pytest.mark.parametrize("gate", foreign.ACTIVATIONS)
def test_activations(kind, act, gate):
    case = make(kind, 4, 5, 3, 18, mask="holes", dropout=True)
    case["weights"] = jax.tree.map(lambda a: a * np.float32(0.5), case["weights"])
    check(Spec(kind, act, gate, flip=True), case)


@pytest.mark.parametrize("kind", KINDS)
def test_unit_split_with_options(kind):
    check(
        Spec(kind, flip=True, reverse=True, return_all_states=True),
        make(kind, 3, 6, 70, 200, mask="holes", resets=True, dropout=True),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_time_order(kind):
    """`flip=False` gives the same sequences in the order of time."""
    case = make(kind, 5, 7, 4, 9, mask="holes")
    args = (case["x"], case["states"], case["weights"])
    a = Fused(Spec(kind, reverse=True, flip=True))(*args, mask=case["mask"])
    b = Fused(Spec(kind, reverse=True, flip=False))(*args, mask=case["mask"])
    np.testing.assert_array_equal(a.outputs[:, ::-1], b.outputs)
    for one, other in zip(a.states, b.states, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_nan_does_not_spread(kind):
    case = make(kind, 6, 8, 5, 20, mask="holes")
    clean = case["x"].copy()
    case["x"][~case["mask"]] = np.nan

    def loss(x, weights):
        out = Fused(Spec(kind, flip=True))(
            x, case["states"], weights, mask=case["mask"]
        )
        return (out.outputs**2).sum()

    for a, b in zip(
        jax.tree.leaves(jax.grad(loss, (0, 1))(case["x"], case["weights"])),
        jax.tree.leaves(jax.grad(loss, (0, 1))(clean, case["weights"])),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity(kind, bad):
    """Bad numbers stay in their row, and are what the scan gives."""
    case = make(kind, 5, 6, 4, 18)
    case["x"][2, 3, 1] = bad
    spec = Spec(kind, flip=True)
    args = (case["x"], case["states"], case["weights"])
    got, want = Fused(spec)(*args), scan(spec, *args)
    np.testing.assert_allclose(got.outputs, want.outputs, atol=1e-5)


def loss_of(spec, case):
    def loss(x, weights):
        out = Fused(spec)(x, case["states"], weights, mask=case["mask"])
        return (out.outputs**3).sum()

    return loss


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind):
    case = make(kind, 3, 4, 3, 5, mask="holes")
    spec = Spec(kind, flip=True)

    def scan_loss(x, weights):
        out = scan(spec, x, case["states"], weights, mask=case["mask"])
        return (out.outputs**3).sum()

    def norm(loss):
        def of(x, weights):
            return sum(
                (g**2).sum()
                for g in jax.tree.leaves(jax.grad(loss, (0, 1))(x, weights))
            )

        return jax.jit(jax.grad(of, (0, 1)))(case["x"], case["weights"])

    got, want = norm(loss_of(spec, case)), norm(scan_loss)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * np.abs(b).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [True, False])
def test_vmap(kind, shared):
    cases = [make(kind, 3, 4, 3, 5, seed=s) for s in range(3)]
    xs = np.stack([c["x"] for c in cases])
    weights = jax.tree.map(lambda *a: np.stack(a), *[c["weights"] for c in cases])
    if shared:
        weights = cases[0]["weights"]
    spec = Spec(kind, flip=True)
    axes = (0, None if shared else 0)
    value_and_grad = jax.value_and_grad(loss_of(spec, cases[0]), (0, 1))
    got = jax.vmap(value_and_grad, axes)(xs, weights)
    for i in range(3):
        one = weights if shared else jax.tree.map(lambda a, i=i: a[i], weights)
        want = value_and_grad(xs[i], one)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_remat_and_scan(kind):
    case = make(kind, 3, 4, 3, 5)
    loss = loss_of(Spec(kind, flip=True), case)

    def layers(x, weights):
        def body(total, _):
            return total + jax.checkpoint(loss)(x, weights), None

        return jax.lax.scan(body, 0.0, jnp.arange(2))[0]

    args = (case["x"], case["weights"])
    got, want = jax.jit(jax.grad(layers, (0, 1)))(*args), jax.grad(loss, (0, 1))(*args)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, 2 * b, rtol=1e-5, atol=1e-6)


def test_export():
    case = make("lstm", 3, 4, 3, 5)
    loss = loss_of(Spec("lstm", flip=True), case)
    args = (case["x"], *case["weights"])

    def both(*args):
        value = lambda x, *weights: loss(x, Weights(*weights))  # noqa: E731
        return jax.jvp(jax.grad(value), args, args), jax.jvp(value, args, args)

    run = jax.jit(both)
    checks = [
        jax.export.DisabledSafetyCheck.custom_call(name)
        for name in ("unrolled_forward", "unrolled_backward")
    ]
    with unrolled.kernels("exported"):
        exported = jax.export.export(run, disabled_checks=checks)(*args)
        again = jax.export.deserialize(exported.serialize()).call(*args)
    assert "unrolled_backward" in exported.mlir_module()
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(run(*args)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_plan_names_the_reason():
    from unrolled import GRUCell, LSTMCell

    assert isinstance(kernels.plan(LSTMCell(3)), Fused)
    assert kernels.plan(GRUCell(3, reset_after=False)).spec.kind == "gru_before"
    assert "activation" in kernels.plan(LSTMCell(3, activation="gelu"))
    assert "no fused kernel" in kernels.plan(object())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1),
        (1, 7, 3, 17),
        (3, 5, 17, 3),
        (17, 9, 3, 16),
        (33, 12, 28, 40),
        (4, 6, 30, 400),
        (2, 4, 129, 129),
    ],
)
def test_bfloat16(kind, shape):
    """Rounded operands, exact sums: bfloat16's error and no more."""
    spec = Spec(kind, flip=True, bf16=True, return_all_states=True)
    check(spec, make(kind, *shape), values=2e-2, gradients=3e-2)
    case = make(kind, *shape, mask="holes", resets=True, dropout=True)
    check(spec, case, values=2e-2, gradients=3e-2)
    args = (case["x"], case["states"], case["weights"])
    options = {k: case[k] for k in ("mask", "resets", "constants")}
    got, want = Fused(spec)(*args, **options), scan(spec, *args, **options)
    np.testing.assert_allclose(got.outputs, want.outputs, atol=5e-3)
