"""The native core as a guest in a process: variants, threads, forks, devices."""

import os
import threading

from unrolled.engine import native
from unrolled.engine.foreign import Spec
from unrolled.engine.kernels import Fused

import jax
import numpy as np
import pytest

from ..core import VARIANTS, need_core, run, run_on
from .test_kernels import KINDS, make

pytestmark = need_core

CHECK = """
from tests.engine.test_kernels import KINDS, check, make
from unrolled.engine import native
from unrolled.engine import native
from unrolled.engine.foreign import Spec
for kind in KINDS:
    for shape in [(1, 6, 3, 17), (5, 4, 17, 33), (33, 7, 9, 40), (3, 4, 20, 130)]:
        for mask in (None, "holes"):
            spec = Spec(kind, flip=True, reverse=mask is None, return_all_states=True)
            check(spec, make(kind, *shape, mask=mask, resets=True, dropout=True))
print(native.variant())
"""


@pytest.mark.parametrize("isa", VARIANTS)
def test_every_variant(isa):
    assert run_on(isa, CHECK).split() == [isa]


def test_unknown_variant():
    code = """
    import pytest
    from unrolled.engine import native
    with pytest.raises(ValueError, match='UNROLLED_ISA must be one of .*"avx9"'):
        native.library()
    """
    run(code, UNROLLED_ISA="avx9")


def test_a_library_that_xla_does_not_take():
    """A function built for a later XLA: the time loop, and a sentence that says so."""
    code = """
    import ctypes
    import unrolled
    import numpy as np, pytest
    from types import SimpleNamespace
    from typer.testing import CliRunner
    from unrolled.cli import app
    from unrolled.engine import native

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def later(frame):
        # XLA asks with a frame that leads to where it wants the version written.
        extension = ctypes.c_void_p.from_address(frame + 8).value
        asked = ctypes.c_void_p.from_address(extension + 24).value
        ctypes.c_int.from_address(asked + 28).value = 99

    core = SimpleNamespace(UnrolledForward=later, UnrolledBackward=later)
    native.library = lambda: (core, "")
    layer = unrolled.LSTM(3, return_sequences=True)
    with pytest.warns(UserWarning, match="slower scan path: jaxlib .* does not take"):
        outputs = layer(np.ones((2, 4, 5), "float32"))
    assert outputs.shape == (2, 4, 3) and np.isfinite(outputs).all()
    assert "99" in native.missing()
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    rows = dict(line.split("  ", 1) for line in result.output.splitlines())
    assert rows["kernels"].strip() == f"none: {native.missing()}."
    assert "another version of jax" in rows["advice"]
    """
    run(code)


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_any_number_of_threads(threads):
    """More than there are processors, too."""
    run(CHECK, UNROLLED_THREADS=threads)


def test_two_python_threads():
    cases = [make(kind, 8, 20, 16, 48, seed=i) for i, kind in enumerate(KINDS)]
    fused = [
        jax.jit(lambda x, s, w, k=k: Fused(Spec(k, flip=True))(x, s, w).outputs)
        for k in KINDS
    ]
    args = [(c["x"], c["states"], c["weights"]) for c in cases]
    want = [f(*a) for f, a in zip(fused, args, strict=True)]
    wrong = [False] * 4

    def work(i):
        for _ in range(50):
            wrong[i] |= not np.allclose(fused[i](*args[i]), want[i], atol=1e-6)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not any(wrong)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_a_helper_keeps_off_the_callers_processor():
    code = """
    import os
    from unrolled.engine import native
    everywhere = os.sched_getaffinity(0)
    before = set(os.listdir("/proc/self/task"))
    assert native.library()[0].unrolled_self_test() == 0
    helper, = set(os.listdir("/proc/self/task")) - before
    assert len(everywhere - os.sched_getaffinity(int(helper))) == 1
    assert os.sched_getaffinity(0) == everywhere
    """
    run(code, UNROLLED_THREADS="2")


@pytest.mark.parametrize("path", ["native", "scan"])
def test_data_parallel_fit(path):
    """Keras spreads a batch over eight devices: the loss is that of one device."""
    code = """
    import unrolled, jax, keras, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 9, 4)).astype("float32")
    y = rng.normal(size=(32, 2)).astype("float32")
    def trained(distribution):
        keras.distribution.set_distribution(distribution)
        keras.utils.set_random_seed(0)
        model = keras.Sequential([
            keras.Input((9, 4)),
            unrolled.Bidirectional(unrolled.LSTM(16, return_sequences=True)),
            unrolled.SimpleRNN(12, return_sequences=True),
            unrolled.GRU(8),
            keras.layers.Dense(2),
        ])
        model.compile("sgd", "mse")
        return model, model.fit(x, y, batch_size=32, epochs=3, verbose=0).history
    distribution = keras.distribution.DataParallel(
        devices=keras.distribution.list_devices("cpu"))
    model, got = trained(distribution)
    mesh = distribution.device_mesh.backend_mesh
    assert mesh.size == 8
    state = model._get_jax_state(
        trainable_variables=True, non_trainable_variables=True,
        optimizer_variables=True, metrics_variables=True)
    data = jax.device_put((x, y), NamedSharding(mesh, PartitionSpec("batch")))
    text = jax.jit(model.train_step).lower(state, data).compile().as_text()
    assert "f32[4,9,4]" in text
    assert "all-gather" not in text and "all-to-all" not in text
    _, want = trained(None)
    np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-5)
    print("unrolled_backward" in text)
    """
    asked = {"UNROLLED_ISA": "scan"} if path == "scan" else {}
    flags = "--xla_force_host_platform_device_count=8"
    printed = run(code, XLA_FLAGS=flags, **asked)
    assert printed.split()[-1] == str(path == "native")


def test_fork():
    """A forked child starts helpers of its own (JAX itself is not used after fork)."""
    code = """
    import ctypes, os, sys
    import numpy as np
    from unrolled.engine import native
    from tests.engine.test_kernels import check, make
    from unrolled.engine.foreign import Spec
    check(Spec("lstm", flip=True), make("lstm", 16, 20, 32, 64))
    core = native.library()[0]
    def work():
        return core.unrolled_self_test()
    assert work() == 0
    child = os.fork()
    if child == 0:
        os._exit(work())
    assert os.waitpid(child, 0)[1] == 0
    assert work() == 0
    """
    run(code, UNROLLED_THREADS="2")


def test_batch_parallel():
    """Eight devices: each takes its rows, and only weights' gradients travel."""
    code = """
    import re
    import jax, numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    from tests.engine.test_kernels import KINDS, make
    from unrolled.engine.foreign import Spec
    from unrolled.engine.kernels import Fused
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    assert mesh.size == 8
    for kind in KINDS:
        case = make(kind, 16, 5, 6, 12, mask="holes", resets=True)
        def loss(x, states, weights, mask, resets, kind=kind):
            out = Fused(Spec(kind, flip=True))(
                x, states, weights, mask=mask, resets=resets)
            return (out.outputs**2).sum()
        step = jax.jit(jax.value_and_grad(loss, (0, 2)))
        names = ("x", "states", "weights", "mask", "resets")
        args = [case[k] for k in names]
        want = step(*args)
        specs = [P() if k == "weights" else P("batch") for k in names]
        put = lambda a, s: jax.device_put(a, NamedSharding(mesh, s))
        placed = [put(a, s) for a, s in zip(args, specs)]
        compiled = step.lower(*placed).compile()
        text = compiled.as_text()
        assert "all-gather" not in text and "all-to-all" not in text, text
        assert "unrolled_forward" in text and "unrolled_backward" in text
        got = step(*placed)
        assert got[1][0].sharding.spec[0] == "batch"
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    print("ok")
    """
    flags = "--xla_force_host_platform_device_count=8"
    assert run(code, XLA_FLAGS=flags).split()[-1] == "ok"


def test_batch_parallel_in_forward_mode():
    code = """
    import jax, numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    from tests.engine.test_kernels import KINDS, make
    from unrolled.engine.foreign import Spec
    from unrolled.engine.kernels import Fused
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    for kind in KINDS:
        case = make(kind, 16, 5, 6, 12, mask="holes", resets=True)
        def outputs(x, weights, states, mask, resets, kind=kind):
            return Fused(Spec(kind, flip=True))(
                x, states, weights, mask=mask, resets=resets).outputs
        def both(x, weights, *rest):
            along = (x, weights)
            run = lambda *a: outputs(*a, *rest)
            loss = lambda *a: (run(*a)**2).sum()
            product = jax.jvp(jax.grad(loss, (0, 1)), along, along)
            return jax.jvp(run, along, along), product
        names = ("x", "weights", "states", "mask", "resets")
        args = [case[k] for k in names]
        specs = [P() if k == "weights" else P("batch") for k in names]
        placed = [jax.device_put(a, NamedSharding(mesh, s))
                  for a, s in zip(args, specs)]
        step = jax.jit(both)
        text = step.lower(*placed).compile().as_text()
        assert "all-gather" not in text and "all-to-all" not in text, text
        assert "unrolled_forward" in text and "unrolled_backward" in text
        got, want = step(*placed), step(*args)
        assert got[0][1].sharding.spec[0] == "batch"
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    print("ok")
    """
    flags = "--xla_force_host_platform_device_count=8"
    assert run(code, XLA_FLAGS=flags).split()[-1] == "ok"


def test_gradients_in_shard_map():
    """Its own checks on: the gradient of weights that all share is the sum of all."""
    code = """
    import jax, keras, numpy as np, unrolled
    from jax import numpy as jnp
    from jax.sharding import Mesh, PartitionSpec as P
    class Derived(unrolled.LSTMCell):
        pass
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 3)), "float32")
    for layer in (
        unrolled.SimpleRNN(4), unrolled.LSTM(4, return_sequences=True),
        unrolled.GRU(4, go_backwards=True), unrolled.Bidirectional(unrolled.LSTM(4)),
        unrolled.RNN([unrolled.LSTMCell(4), unrolled.GRUCell(4)]),
        unrolled.RNN(unrolled.ResidualWrapper(unrolled.GRUCell(3))),
        unrolled.RNN(Derived(4), return_sequences=True), unrolled.RNN(Derived(4)),
    ):
        layer.build(x.shape)
        weights = [v.value for v in layer.trainable_variables]
        rest = [v.value for v in layer.non_trainable_variables]

        def run(weights, x):
            return layer.stateless_call(weights, rest, x)[0]

        def loss(weights, x):
            return (run(weights, x) ** 2).sum()

        for check in (True, False):
            mapped = jax.shard_map(run, mesh=mesh, in_specs=(P(), P("batch")),
                                   out_specs=P("batch"), check_vma=check)
            got = jax.jit(mapped)(weights, x)
            np.testing.assert_allclose(got, run(weights, x), atol=1e-6)
            total = jax.shard_map(lambda w, x: jax.lax.psum(loss(w, x), "batch"),
                                  mesh=mesh, in_specs=(P(), P("batch")),
                                  out_specs=P(), check_vma=check)
            law = jax.tree.leaves(jax.jit(jax.grad(loss, (0, 1)))(weights, x))
            # Without jit every operation is a program: one layer says as much.
            alone = [total] if type(layer) is unrolled.LSTM else []
            for one in (jax.jit(total), *alone):
                found = jax.tree.leaves(jax.grad(one, (0, 1))(weights, x))
                for ours, whole in zip(found, law, strict=True):
                    np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-5)
    """
    run(code, XLA_FLAGS="--xla_force_host_platform_device_count=2")


def test_shard_map():
    code = """
    import jax, numpy as np
    from jax.sharding import Mesh, PartitionSpec as P
    from tests.engine.test_kernels import make
    from unrolled.engine.foreign import Spec
    from unrolled.engine.kernels import Fused
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    case = make("lstm", 16, 5, 6, 12)
    def run(x, states, weights):
        return Fused(Spec("lstm", flip=True))(x, states, weights).outputs
    args = (case["x"], case["states"], case["weights"])
    mapped = jax.shard_map(run, mesh=mesh, in_specs=(P("batch"), P("batch"), P()),
                           out_specs=P("batch"), check_vma=False)
    np.testing.assert_allclose(jax.jit(mapped)(*args), run(*args), rtol=1e-5, atol=1e-6)
    """
    run(code, XLA_FLAGS="--xla_force_host_platform_device_count=8")


def test_memory_shortage_is_an_error():
    """An impossible working space is refused; the process goes on."""
    code = """
    import resource
    import jax, numpy as np
    from tests.engine.test_kernels import make
    from unrolled.engine.foreign import Spec
    from unrolled.engine.kernels import Fused
    case = make("lstm", 64, 2, 2, 700)
    fused = jax.jit(lambda x, s, w: Fused(Spec("lstm", flip=True))(x, s, w).outputs)
    args = jax.tree.map(jax.numpy.asarray, (case["x"], case["states"], case["weights"]))
    compiled = fused.lower(*args).compile()
    pages = int(open("/proc/self/statm").read().split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 20), -1))
    try:
        jax.block_until_ready(compiled(*args))
        print("ran")
    except Exception as error:
        assert "memory" in str(error).lower(), error
        print("refused")
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    jax.block_until_ready(compiled(*args))
    """
    assert run(code, UNROLLED_THREADS="1").split()[-1] in ("refused", "ran")


_NUMBERS = {
    "no layers": ([], {}),
    "half a layer": ([1, 0], {}),
    "three layers": ([1, 0, 1, 0] * 3, {}),
    "an unknown kind": ([9, 0, 1, 0], {}),
    "an unknown activation": ([1, 5, 1, 0], {}),
    "a negative gate": ([1, 0, -1, 0], {}),
    "too few arguments": ([1, 0, 1, 0], {"drop": 1}),
    "a small kernel": ([1, 0, 1, 0], {1: (2, 8)}),
    "a small bias": ([1, 0, 1, 0], {3: (4,)}),
    "small results": ([1, 0, 1, 0], {"y": (2, 3, 1)}),
    "a last state of another size": ([1, 0, 1, 0], {"h": (1, 1)}),
    "a residual of another size": ([1, 0, 1, 0], {"saved": (3,)}),
    "whole numbers": ([1, 0, 1, 0], {"dtype": "int32"}),
    "halves": ([1, 0, 1, 0], {"dtype": "float16"}),
    "a mask of floats": ([1, 0, 1, 0], {6: (2, 3)}),
}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("what", _NUMBERS)
def test_a_foreign_call_from_anybodys_hand(what, backward):
    """Wrong sizes, types and numbers are an error of XLA's, and the process goes on."""
    from unrolled._borrowed import ffi

    numbers, change = _NUMBERS[what]
    B, T, D, U = 2, 3, 2, 4
    shapes = [(B, T, D), (D, 4 * U), (U, 4 * U), (4 * U,), (B, U), (B, U), *[(0,)] * 4]
    results = [(B, T, U), (0,), (0,), (0,), (B, U), (B, U), (0,)]
    if backward:
        shapes += [(B, T, U), (0,), *[(0,)] * 6]
        results = [(B, T, D), (D, 4 * U), (U, 4 * U), (4 * U,), (0,), (0,)]
    for at, shape in change.items():
        if isinstance(at, int):
            shapes[at] = shape
    dtype = change.get("dtype", "float32")
    arrays = [np.ones(shape, dtype) for shape in shapes]
    if "drop" in change:
        arrays.pop()
    for name, at in (("y", 0), ("h", 4), ("saved", -1)):
        if name in change:
            results[at] = change[name]
    out = [jax.ShapeDtypeStruct(shape, np.float32) for shape in results]
    target = "unrolled_backward" if backward else "unrolled_forward"
    assert not native.missing()
    call = ffi.ffi_call(target, out)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        jax.block_until_ready(call(*arrays, layers=np.array(numbers, np.int64)))
