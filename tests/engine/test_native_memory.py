"""Memory of the native core: a batch of any size takes what a band of rows does."""

import ctypes

from unrolled.engine import foreign, native

import pytest

from ..core import VARIANTS, need_core, run, run_on

pytestmark = need_core

MIB = 2**20


def scratch(kind, *sizes, bf16=False, backward=False, threads=2):
    """Bytes of working space of a masked layer, of sizes B, T, D, U."""
    function = native.library()[0].unrolled_scratch
    function.restype = ctypes.c_long
    index = foreign.KINDS.index(kind)
    return function(index, (ctypes.c_long * 4)(*sizes), bf16, backward, threads)


# Few units: threads share out the rows; many: the units, whose weights are too large.
@pytest.mark.parametrize("kind", foreign.KINDS)
@pytest.mark.parametrize("units", [4, 40, 300, 900])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("bf16", [False, True])
def test_working_space_is_that_of_a_band(kind, units, threads, bf16):
    for backward in (False, True):

        def of(batch, backward=backward):
            sizes = (batch, 7, 3, units)
            return scratch(kind, *sizes, bf16=bf16, backward=backward, threads=threads)

        worst = max(map(of, range(1, 256 * threads + 1)))
        for batch in (10_000, 123_457, 1_000_000, 10**9):
            assert of(batch) <= worst
        assert of(10 * 256 * threads) == of(4000 * 256 * threads)
        assert of(1) < of(128 * threads)  # it is counted at all


def test_few_units_take_little():
    for backward in (False, True):
        assert 0 < scratch("lstm", 1_000_000, 2, 2, 4, backward=backward) < 2 * MIB


# Calls a layer of ones, and says how much then waits for the next call.
HELD = """
import ctypes, jax, numpy as np
from unrolled.engine import foreign, native
from unrolled.engine.foreign import Spec
from unrolled.engine.kernels import Fused, Weights
core = native.library()[0]
core.unrolled_spare.restype = ctypes.c_long

def held(kind, B, T, D, U, derive=lambda loss: loss):
    ones = lambda *shape: np.ones(shape, "float32")
    states = [ones(B, U)] * (2 if kind == "lstm" else 1)
    width = foreign.GATES[kind] * U
    def loss(weights):
        return Fused(Spec(kind))(ones(B, T, D), states, weights).outputs.sum()
    weights = Weights(ones(D, width), ones(U, width), None)
    jax.block_until_ready(jax.jit(derive(loss))(weights))
    return core.unrolled_spare()
"""


def test_little_is_held_after_a_large_batch():
    code = f"""{HELD}
for batch in (200, 200_000):
    print(held("lstm", batch, 2, 2, 4, jax.grad))
"""
    small, large = map(int, run(code, UNROLLED_THREADS="2").split())
    assert 0 < small <= large < 4 * MIB


def test_what_is_held_has_a_limit():
    """A working space of more than 256 MiB is given back to the system."""
    features = 1_000_000
    while scratch("simple_rnn", 1, 1, features, 1, threads=1) <= 256 * MIB:
        features *= 2
    code = f"""{HELD}
for features in (3, {features}):
    print(held("simple_rnn", 1, 1, features, 1))
"""
    before, after = map(int, run(code, UNROLLED_THREADS="1").split())
    assert 0 < before == after


@pytest.mark.parametrize("isa", VARIANTS)
def test_bands_give_what_the_reference_gives(isa):
    """Several bands, the last of them of other sizes; with few units and with many."""
    code = """
    import os
    from tests.engine.test_kernels import KINDS, check, compiled, make
    from unrolled.engine.foreign import Spec
    few = [(kind, *shape) for kind in KINDS
           for shape in [(300, 3, 3, 5), (531, 4, 2, 17), (270, 2, 3, 12)]]
    many = [("lstm", 259, 2, 3, 390), ("gru_before", 259, 2, 3, 450)]
    for kind, *shape in few + many:
        turned = shape[0] == 531
        spec = Spec(kind, flip=True, reverse=turned, return_all_states=True)
        case = make(kind, *shape, mask="holes", resets=True, dropout=True)
        run = compiled(spec)
        for threads in ("1", "2"):
            os.environ["UNROLLED_THREADS"] = threads  # read at each call
            check(spec, case, run=run)
    """
    run_on(isa, code)
