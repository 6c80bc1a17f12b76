"""Both directions of a Bidirectional by the core, in one call."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from benchmarks.user_cells import Coupled, Independent, MinimalGated, Peephole
from jax import numpy as jnp

from ...core import need_core, run
from ...reference import max_relative
from ..test_kernels import GRADIENTS, VALUES

pytestmark = [pytest.mark.keras_ranks, need_core]
B, T, D, U = 4, 6, 5, 6


class Sorted(unrolled.Cell):
    """Has no fused form."""

    state_size, output_size = [U], U

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], U))

    def step(self, x, states, constants):
        del constants
        h = jnp.sort(jnp.tanh(x @ self.kernel.value + states[0]), -1)
        return h, [h]


class Noisy(Peephole):
    """Draws numbers at each step."""

    def __init__(self, units, seed, **kwargs):
        super().__init__(units, **kwargs)
        self.seeds = keras.random.SeedGenerator(seed)

    def step(self, x, states, constants):
        noise = keras.random.normal(x.shape, seed=self.seeds)
        return super().step(x + noise, states, constants)


CELLS = {
    "peephole": lambda: Peephole(U),
    "keras": lambda: MinimalGated(U),
    "stack": lambda: [Peephole(U), Coupled(U)],
    "wrapped": lambda: unrolled.ResidualWrapper(Independent(D)),
}


def bidirectional(cell, back=None, merge_mode="concat", **options):
    """A layer with random weights; `back`: the other direction's cell."""
    options = {"return_sequences": True, **options}
    other = back and unrolled.RNN(back, go_backwards=True, **options)
    layer = unrolled.Bidirectional(
        unrolled.RNN(cell, **options), merge_mode=merge_mode, backward_layer=other
    )
    layer.build((B, T, D))
    rng = np.random.default_rng(1)
    for v in layer.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(v.shape[0]))
    return layer


def arguments(layer, rng):
    """Weights, and x."""
    weights = [v.value for v in layer.trainable_variables]
    return weights, jnp.asarray(rng.normal(size=(B, T, D)), "float32")


def results(layer, weights, x, **given):
    rest = [v.value for v in layer.non_trainable_variables]
    return layer.stateless_call(weights, rest, x, **given)[0]


def both(layer, args, **given):
    """Values, and gradients, of a sum in which every number has another factor."""

    def loss(args):
        found = jax.tree.leaves(results(layer, *args, **given))
        parts = [jnp.cos(jnp.arange(float(a.size))).reshape(a.shape) for a in found]
        return sum((a * part).sum() for a, part in zip(found, parts, strict=True))

    return results(layer, *args, **given), jax.grad(loss)(args)


def compare(layer, args, **given):
    """Hold values and gradients to those of the scan."""
    found = both(layer, args, **given)
    with unrolled.kernels("off"):
        wanted = both(layer, args, **given)
    for got, want, limit in zip(found, wanted, (VALUES, GRADIENTS), strict=True):
        assert np.any([np.any(a) for a in jax.tree.leaves(want)])
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert max_relative(a, b) < limit


def calls(function, *args):
    """How many foreign calls of programs it makes."""
    return jax.jit(function).lower(*args).as_text().count("@unrolled_program")


def calls_of(layer, args):
    """The same forwards, and with gradients."""

    def loss(args):
        return sum((a**2).sum() for a in jax.tree.leaves(results(layer, *args)))

    return calls(loss, args), calls(jax.grad(loss), args)


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_cells(name, sequences, rng):
    layer = bidirectional(CELLS[name](), return_sequences=sequences)
    args = arguments(layer, rng)
    compare(layer, args)
    assert calls_of(layer, args) == (1, 2)


@pytest.mark.parametrize("merge_mode", ["sum", "mul", "ave", None])
def test_merge_modes_with_states(merge_mode, rng):
    layer = bidirectional(Peephole(U), merge_mode=merge_mode, return_state=True)
    compare(layer, arguments(layer, rng))


@pytest.mark.parametrize("sequences", [True, False])
def test_mask_resets_and_states_that_are_given(sequences, rng):
    options = {"return_sequences": sequences, "return_state": True}
    layer = bidirectional(Peephole(U), **options)
    mask = rng.random((B, T)) < 0.6
    mask[0] = False
    resets = rng.random((B, T)) < 0.3
    states = [jnp.asarray(rng.normal(size=(B, U)), "float32") for _ in range(4)]
    args = arguments(layer, rng)
    compare(layer, args, mask=mask, resets=resets, initial_state=states)


def test_all_states(rng):
    layer = bidirectional(Peephole(U), return_all_states=True)
    compare(layer, arguments(layer, rng))


def test_unequal_cells(rng):
    layer = bidirectional(Peephole(U), back=Coupled(U + 3), return_state=True)
    args = arguments(layer, rng)
    compare(layer, args)
    assert calls_of(layer, args) == (1, 2)


@pytest.mark.parametrize("turned", [False, True])
def test_one_without_a_fused_form_is_scanned_alone(turned, rng):
    cells = [Peephole(U), Sorted()]
    layer = bidirectional(*cells[:: -1 if turned else 1])
    args = arguments(layer, rng)
    compare(layer, args)
    assert calls_of(layer, args) == (1, 2)


def test_one_with_a_kernel_of_its_own(rng):
    layer = bidirectional(Peephole(U), back=unrolled.LSTMCell(U))
    args = arguments(layer, rng)
    compare(layer, args)
    assert calls_of(layer, args) == (1, 2)


@pytest.mark.parametrize("options", [{"truncate": 2}, {"checkpoint": True}], ids=str)
def test_windows(options, rng):
    layer = bidirectional(Peephole(U), **options)
    compare(layer, arguments(layer, rng))


@pytest.mark.parametrize("shared", [False, True])
def test_what_each_step_draws(shared, rng):
    """Directions that share a generator draw one after the other, as ever."""
    first = Noisy(U, 1)
    layer = bidirectional(first, back=first if shared else Noisy(U, 2))
    x = arguments(layer, rng)[1]
    generators = {id(v): v for v in layer.non_trainable_variables}.values()
    start = [np.asarray(v) for v in generators]

    def once():
        for v, value in zip(generators, start, strict=True):
            v.assign(value)
        return np.asarray(layer(x)), [np.asarray(v) for v in generators]

    found, after = once()
    with unrolled.kernels("off"):
        wanted, ends = once()
    assert max_relative(found, wanted) < VALUES
    assert any(np.any(a != b) for a, b in zip(after, start, strict=True))
    for a, b in zip(after, ends, strict=True):
        np.testing.assert_array_equal(a, b)


def test_vmap(rng):
    layer = bidirectional(Peephole(U))
    weights, x = arguments(layer, rng)
    xs = jnp.stack([x, 2 * x, -x])
    found = jax.jit(jax.vmap(lambda x: results(layer, weights, x)))(xs)
    for got, x in zip(found, xs, strict=True):
        assert max_relative(got, results(layer, weights, x)) < VALUES


def test_forward_mode(rng):
    layer = bidirectional(Peephole(U), back=Coupled(U))
    weights, x = arguments(layer, rng)
    rate = lambda: jax.jvp(lambda x: results(layer, weights, x), (x,), (x[::-1],))[1]  # noqa: E731
    found = rate()
    with unrolled.kernels("off"):
        assert max_relative(found, rate()) < GRADIENTS


def test_a_second_call_compiles_nothing(rng):
    layer = bidirectional(Peephole(U))
    x = arguments(layer, rng)[1]
    layer(x)
    compiled = []

    def heard(event, *_, **__):
        compiled.append(event.endswith("backend_compile_duration"))

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        again, changed = x + 1, x[:2]
        compiled.clear()
        layer(again)
        assert not any(compiled)
        layer(changed)  # of another batch: it can be heard
        assert any(compiled)
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)


@pytest.mark.parametrize("threads", ["1", "3", "4"])
def test_any_number_of_threads(threads):
    code = """
    import numpy as np
    from tests.engine.fuse.test_directions import *
    rng = np.random.default_rng(0)
    test_mask_resets_and_states_that_are_given(True, rng)
    test_unequal_cells(rng)
    """
    run(code, UNROLLED_THREADS=threads)
