"""The stepper as a guest in a process: variants, forks, memory, no core at all."""

import pytest

from ..core import VARIANTS, need_core, run, run_on

CHECK = """
import keras, numpy as np, unrolled
from keras import layers
from tests.stream.test_fused import Normalised, Peephole
from tests.stream.test_stream import assert_same, every_step, inputs, max_relative
from tests.stream.test_stream import randomize
from tests.stream.test_stream import run as steps
from unrolled.engine import native
from unrolled.stream.interpreted import Interpreted

def model(*parts, features):
    return randomize(keras.Sequential([keras.Input((None, features)), *parts]))

# `randomize` draws the weights; to draw them before takes longer than all steps.
later = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
for U in (17, 129):
    m = model(
        unrolled.LSTM(U, return_sequences=True, **later),
        layers.LayerNormalization(),
        unrolled.GRU(U, return_sequences=True, **later),
        layers.Dense(U, activation="gelu"),
        unrolled.GRU(U, reset_after=False, return_sequences=True, **later),
        unrolled.SimpleRNN(U, activation="relu", **later),
        layers.Dense(3, activation="softmax"),
        features=U + 2,
    )
    for B in (1, 5):
        x = inputs(B, 4, U + 2)
        for weights in ("float32", "bfloat16", "int8"):
            stream = unrolled.stream(m, batch_size=B, weights=weights)
            got = steps(stream, x)
            want = Interpreted(stream._program, B, weights, np.asarray)
            limit = 2e-3 if weights == "int8" else 4e-6
            assert max_relative(got, steps(want, x)) < limit, (U, B, weights)
            if weights == "float32" and (U, B) == (17, 5):
                assert max_relative(got, every_step(m, x)) < 4e-6
for part in ("tanh", "hard_sigmoid", "relu", "gelu", "elu", "softmax", "silu"):
    cell = part if part in ("tanh", "hard_sigmoid", "relu") else "linear"
    m = model(unrolled.GRU(7, return_sequences=True, **later), layers.Activation(part),
              unrolled.LSTM(5, activation=cell, **later), features=5)
    x = inputs(4, 4, 5)
    x[:3, 2, 0] = np.nan, np.inf, -np.inf
    stream = unrolled.stream(m, batch_size=4)
    got = steps(stream, x)
    with np.errstate(all="ignore"):
        want = steps(Interpreted(stream._program, 4, "float32", np.asarray), x)
    assert_same(got, want)
for U in (5, 130):
    cells = [Peephole(U), Normalised(U)]
    m = model(unrolled.RNN(cells, return_sequences=True), layers.Dense(3), features=7)
    for B in (1, 5):
        x = inputs(B, 4, 7)
        stream = unrolled.stream(m, batch_size=B)
        assert native.variant() in stream.plan()
        with unrolled.kernels("off"):
            assert max_relative(steps(stream, x), np.asarray(m(x))) < 4e-6
print(native.variant())
"""


@need_core
@pytest.mark.parametrize("isa", VARIANTS)
def test_every_variant(isa):
    assert run_on(isa, CHECK).split()[-1] == isa


@need_core
@pytest.mark.parametrize("threads", ["1", "2", "5", "16"])
def test_any_number_of_threads(threads):
    """As many as there are, and more, give the same numbers to the last bit."""
    code = """
    import hashlib, keras, numpy as np, unrolled
    from tests.stream.test_stream import inputs, randomize
    layers = [unrolled.GRU(500, reset_after=False, return_sequences=True),
              unrolled.LSTM(400), keras.layers.Dense(300)]
    model = randomize(keras.Sequential([keras.Input((None, 64)), *layers]))
    x = inputs(2, 20, 64)
    digest = hashlib.sha1()
    for weights in ("float32", "bfloat16", "int8"):
        stream = unrolled.stream(model, batch_size=2, weights=weights)
        for t in range(20):
            digest.update(stream.step(x[:, t]).tobytes())
    print(digest.hexdigest())
    """
    one = run(code, UNROLLED_THREADS="1")
    assert run(code, UNROLLED_THREADS=threads) == one


LSTM = "unrolled.LSTM(600)"
FUSED = "unrolled.RNN(unrolled.ZoneoutWrapper(unrolled.LSTMCell(600), 0.1))"


@need_core
@pytest.mark.parametrize("layer", [LSTM, FUSED], ids=["lstm", "fused"])
def test_fork(layer):
    """A child goes on from its parent's states, with helper threads of its own."""
    code = """
    import os
    import numpy as np, unrolled
    layer = LAYER
    layer.build((None, None, 600))
    x = np.ones((1, 600), "float32")
    stream = unrolled.stream(layer)
    for _ in range(20):
        stream.step(x)
    same = unrolled.stream(layer)
    same.states = stream.states
    child = os.fork()
    y = [stream.step(x) for _ in range(20)]
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for each in y:
        np.testing.assert_array_equal(same.step(x), each)
    """
    run(code.replace("LAYER", layer), UNROLLED_THREADS="2")


@pytest.mark.parametrize(
    ("isa", "layer"),
    [
        pytest.param("", LSTM, marks=need_core),
        pytest.param("", FUSED, marks=need_core),
        ("scan", LSTM),
    ],
    ids=["compiled", "fused", "numpy"],
)
def test_fork_while_other_threads_step(isa, layer):
    """The child finds the lock free, and a whole step behind it."""
    code = """
    import os, signal, threading, warnings
    import numpy as np, unrolled
    warnings.simplefilter("ignore")  # of JAX, which a child may not use
    layer = LAYER
    layer.build((None, None, 64))
    x = np.ones((1, 64), "float32")
    whole = unrolled.stream(layer)
    outputs = {whole.step(x).tobytes() for _ in range(600)}
    stream = unrolled.stream(layer)
    over = threading.Event()
    def work():
        while not over.is_set():
            for _ in range(10):
                stream.step(x)
            stream.states = first
    first = stream.states
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a lock that nobody lets go of
            whole = all(stream.step(x).tobytes() in outputs for _ in range(3))
            os._exit(0 if whole else 1)
        assert os.waitpid(child, 0)[1] == 0
    over.set()
    for thread in threads:
        thread.join()
    """
    code = code.replace("LAYER", layer)
    run(code, UNROLLED_THREADS="2", UNROLLED_ISA=isa)


def test_fork_of_a_stream_that_jax_steps():
    code = """
    import os, warnings
    import jax
    import numpy as np, unrolled
    warnings.simplefilter("ignore")
    class Sorts(unrolled.Cell):
        output_size = state_size = 3
        def step(self, x, states, constants):
            h = jax.numpy.sort(states[0] + x[:, :1], axis=-1)
            return h, [h]
    layer = unrolled.RNN(Sorts())
    layer.build((None, None, 2))
    x = np.ones((1, 2), "float32")
    stream = unrolled.stream(layer)
    stream.step(x)
    child = os.fork()
    if child == 0:
        try:
            stream.step(x)
        except RuntimeError as error:
            os._exit(0 if "Sorts" in str(error) else 1)
    assert os.waitpid(child, 0)[1] == 0
    stream.step(x)
    """
    run(code)


@need_core
def test_a_number_of_threads_that_is_none():
    code = """
    import os
    import numpy as np, pytest, unrolled
    layer = unrolled.LSTM(3)
    x = np.ones((1, 2, 3), "float32")
    layer.build(x.shape)
    for asked in ("abc", "0", "2.5", "65"):
        os.environ["UNROLLED_THREADS"] = asked
        rule = 'UNROLLED_THREADS must be a whole number from 1 to 64. '
        for start in (lambda: unrolled.stream(layer), lambda: layer(x)):
            with pytest.raises(ValueError, match=f'{rule}Got "{asked}"'):
                start()
    """
    run(code)


@need_core
def test_memory_shortage_is_an_error():
    code = """
    import resource
    import numpy as np, unrolled
    layer = unrolled.LSTM(700)
    layer.build((None, None, 700))
    stream = unrolled.stream(layer)
    x = np.ones((1, 700), "float32")
    stream.step(x)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 20), -1))
    try:
        streams = [unrolled.stream(layer) for _ in range(100)]
    except Exception as error:
        assert "memory" in f"{type(error)} {error}".lower(), error
        print("refused")
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    stream.step(x)
    try:
        unrolled.stream(layer, batch_size=1 << 60)
    except MemoryError as error:
        print(error)
    """
    lines = run(code, UNROLLED_THREADS="1").splitlines()
    assert lines == ["refused", "not enough memory for a stream's weights and states"]


@need_core
def test_memory_is_given_back():
    code = """
    import gc, resource, weakref
    import numpy as np, unrolled
    layer = unrolled.LSTM(400)
    layer.build((None, None, 400))
    x = np.ones((1, 400), "float32")
    def use():
        for _ in range(20):
            stream = unrolled.stream(layer)
            stream.refresh()
            for _ in range(50):
                stream.step(x)
            stream.states
            try:
                stream.step(x[0])
            except ValueError:
                pass
    def used():
        pages = int(open("/proc/self/statm").read().split()[1])
        return pages * resource.getpagesize()
    use()
    before = used()
    use()
    # 200 MB of weights were packed since; the allocator may keep some.
    assert used() - before < 90e6, used() - before
    gc.disable()
    stream = unrolled.stream(layer)
    seen = weakref.ref(stream)
    del stream
    assert seen() is None
    """
    run(code)


def test_without_the_core():
    """The same numbers in plain NumPy, and the reason in the plan."""
    code = """
    import keras, unrolled, warnings
    from tests.stream.test_stream import check, inputs, sequence
    from unrolled.engine import native
    native.library = lambda: (None, "the native kernels were not built")
    warnings.simplefilter("ignore")
    model = sequence(unrolled.LSTM(7), keras.layers.Dense(2))
    stream = check(model, inputs(3, 4, 5))
    print(stream.plan())
    """
    want = "plain NumPy, with float32 weights: the native kernels were not built."
    assert run(code).splitlines()[-1] == want
