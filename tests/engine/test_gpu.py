"""An LSTM on the real cuDNN: against the float64 reference, and against the time loop.

Everywhere else these run with a model in place of cuDNN, see `tests/cudnn.py`. What is
found here and nowhere else: whether cuDNN does what the model does.

- It is called at all, once for both directions, and `doctor` finds that it works.
- Values and gradients in full float32, for every pattern of mask, rows without a step
  that counts among them, in both directions and by one call.
- Gates, biases and states are where we think; TF32 is used if it may be, and only then.
- Layers, their masks, states and training give what the time loop gives there.
- 65,535 time steps run, and one more run in the loop; so do 70,000 rows.
- `vmap`, forward mode, second derivatives; what is put on the CPU; several GPUs.
"""

import unrolled
from unrolled import LSTM, Bidirectional, doctor
from unrolled.engine.kernels import Fused

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ..cudnn import Told
from ..layers.test_cudnn import CALLS, OPTIONS, RUNS, SHAPE, TWO, U, both_ways, inputs
from ..reference import max_relative
from .test_cudnn import SHAPES, SPEC, check, directions, masks_of, near
from .test_kernels import make, scan
from .test_kernels_modes import MODES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(jax.default_backend() != "gpu", reason="there is no GPU"),
]
TARGET = "cudnn_rnn"  # begins the names of JAX's calls
# As near as JAX's own tests of cuDNN are.
LIMITS = (1e-5, 1e-5)


@pytest.fixture(autouse=True)
def in_full_float32():
    with jax.default_matmul_precision("highest"):
        yield


def calls(function, *args):
    """How many calls of cuDNN a compiled function makes."""
    text = jax.jit(function).lower(*args).as_text()
    return text.count(f"@{TARGET}")


def test_it_is_found():
    rows, works = doctor.examine()
    assert works
    assert dict(rows)["LSTM there"] == "cuDNN, it works"
    with jax.default_matmul_precision("default"):
        assert LSTM(U).plan(SHAPE).startswith(RUNS)


def test_it_is_called():
    layer = Bidirectional(LSTM(U))
    layer.build(SHAPE)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]
    run = lambda x: layer.stateless_call(weights, rest, x)[0]  # noqa: E731
    assert calls(run, inputs()) == 1
    assert calls(jax.grad(lambda x: (run(x) ** 2).sum()), inputs()) == 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape):
    check([(SPEC, make("lstm", *shape))], limits=LIMITS)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_options(reverse, sequences, zero):
    spec = SPEC._replace(reverse=reverse, return_sequences=sequences, zero_masked=zero)
    case = make("lstm", 6, 9, 4, 7, bias=zero)
    check([(spec, case)], masks_of(6, 9), LIMITS)
    check([(spec, case)], limits=LIMITS)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_both_directions(sequences, first):
    layers = directions(make("lstm", 5, 9, 4, 7), first, return_sequences=sequences)
    check(layers, masks_of(5, 9), LIMITS)
    check(layers, limits=LIMITS)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_a_layer_means_the_same(options, call, monkeypatch):
    both_ways(LSTM(U, **options), inputs(), Told(), monkeypatch, **CALLS[call])


@pytest.mark.parametrize("make_layer", TWO)
@pytest.mark.parametrize("call", ["plain", "lengths", "left", "holes"])
def test_directions_mean_the_same(make_layer, call, monkeypatch):
    both_ways(TWO[make_layer](), inputs(), Told(), monkeypatch, **CALLS[call])


def test_tf32_is_used_where_it_may_be():
    case = make("lstm", 64, 50, 256, 256)
    args = (case["x"], case["states"], case["weights"])
    want = scan(SPEC, *args)
    precise, quick = (
        max_relative(Fused(SPEC, tf32)(*args).outputs, want.outputs)
        for tf32 in (False, True)
    )
    assert precise < LIMITS[0]
    assert precise < quick < 2e-2


def roughly(got, want):
    """Alike, where very many numbers are added up in another order."""
    near(got, want, 1e-4)


@pytest.mark.parametrize("steps", [65_535, 65_536])
def test_long(steps, monkeypatch):
    both_ways(LSTM(4), inputs((2, steps, 3)), Told(), monkeypatch, roughly)


def test_many_rows(monkeypatch):
    both_ways(LSTM(4), inputs((70_000, 3, 3)), Told(), monkeypatch, roughly)


@pytest.mark.parametrize("mode", ["jvp", "grad of grad", "hessian", "jacrev of jacrev"])
def test_modes(mode):
    layer, x = LSTM(3, return_sequences=True), inputs((2, 3, 2))
    layer.build(x.shape)
    weights = [v.value for v in layer.trainable_variables]

    def loss(x, scan=False):
        rest = [v.value for v in layer.non_trainable_variables]
        with pytest.MonkeyPatch.context() as patch:
            if scan:
                patch.setenv("UNROLLED_ISA", "scan")
            return (layer.stateless_call(weights, rest, x)[0] ** 3).sum()

    flat = lambda scan: lambda v: loss(v.reshape(x.shape), scan)  # noqa: E731
    got, want = (MODES[mode](flat(s), x.ravel(), x.ravel() + 1) for s in (False, True))
    assert max_relative(got, want) < 1e-4


def test_vmap():
    layer, xs = LSTM(U), inputs((3, *SHAPE))
    layer.build(SHAPE)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]
    run = lambda x: layer.stateless_call(weights, rest, x)[0]  # noqa: E731
    assert calls(jax.vmap(run), xs) == 1
    for got, x in zip(jax.vmap(run)(xs), xs, strict=True):
        assert max_relative(got, run(x)) < LIMITS[0]


def test_on_the_cpu_of_this_machine():
    layer = LSTM(U)
    want = layer(inputs())
    with jax.default_device(jax.devices("cpu")[0]):
        weights = [np.asarray(v.value) for v in layer.trainable_variables]
        rest = [np.asarray(v.value) for v in layer.non_trainable_variables]
        got = jax.jit(lambda x: layer.stateless_call(weights, rest, x)[0])(inputs())
    assert {device.platform for device in got.devices()} == {"cpu"}
    assert max_relative(got, want) < LIMITS[0]


@pytest.mark.skipif(jax.device_count() < 2, reason="there is one GPU")
def test_on_several():
    layer = Bidirectional(unrolled.LSTM(U, return_sequences=True))
    count = jax.device_count()
    x = inputs((2 * count, 5, 3))
    layer.build(x.shape)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def loss(weights, x):
        return (layer.stateless_call(weights, rest, x)[0] ** 2).sum()

    step = jax.jit(jax.grad(loss, (0, 1)))
    rows = NamedSharding(Mesh(np.array(jax.devices()), ("batch",)), P("batch"))
    got, want = step(weights, jax.device_put(x, rows)), step(weights, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert max_relative(a, b) < LIMITS[1]
