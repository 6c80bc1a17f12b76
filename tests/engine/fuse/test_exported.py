"""What is written to be run elsewhere, of any number of rows and steps."""

import re

import unrolled

import jax
import pytest

from ...cells_of_users import Peephole
from ...core import need_core
from .layers import CELLS, B, D, S, T, U, made, same

pytestmark = [pytest.mark.keras_ranks, need_core]
CALL = "unrolled_program"
ASKED = [jax.export.DisabledSafetyCheck.custom_call(CALL)]
# The last is a loop in the program, of as many steps as it is given.
SIZES = {"numbers": (B, T), "rows": ("b", T), "both": ("b", "t")}


def shapes(given, rows, steps):
    """What is given, with sizes that may be symbols."""
    scope = jax.export.SymbolicScope()
    sizes = {
        "x": jax.export.symbolic_shape(f"{rows}, {steps}, {D}", scope=scope),
        "memory": jax.export.symbolic_shape(f"{rows}, {S}, {D}", scope=scope),
    }
    return {name: jax.ShapeDtypeStruct(sizes[name], "float32") for name in given}


def written(function, *args, **options):
    """The function as it comes out of a file, and the names of its foreign calls."""
    exported = jax.export.export(jax.jit(function), **options)(*args)
    calls = {*re.findall(r"custom_call @(\w+)", exported.mlir_module())}
    again = jax.export.deserialize(exported.serialize())
    return again, calls - {"shape_assertion"}


def cut(given, rows, steps):
    """Fewer rows of it, and fewer steps of the sequence."""
    fewer = {name: each[:rows] for name, each in given.items()}
    return fewer | {"x": fewer["x"][:, :steps]}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", CELLS)
def test_an_export_holds_no_call(kind, sizes):
    f = made(kind)
    again, calls = written(f, f.weights, shapes(f.given, *SIZES[sizes]))
    assert calls == set()
    same(again.call(f.weights, f.given), f.plain(f.weights, f.given))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", CELLS)
def test_an_export_holds_the_call_if_asked(kind, sizes):
    """One program for all sizes; what it gives is the layer's, values and gradients."""
    f = made(kind)
    gradients = jax.value_and_grad(f.loss, (0, 1))
    rows, steps = SIZES[sizes]
    with unrolled.kernels("exported"):
        again, calls = written(
            gradients, f.weights, shapes(f.given, rows, steps), disabled_checks=ASKED
        )
        assert calls == {CALL}
        for b in (B, 1 if rows == "b" else B):
            for t in (T, 2 if steps == "t" else T):
                given = cut(f.given, b, t)
                got = again.call(f.weights, given)
                want = jax.value_and_grad(f.plain_loss, (0, 1))(f.weights, given)
                same(got, want)


def test_random_numbers_are_drawn_for_any_sizes():
    """Ahead of the loop, of as many rows and steps as there are."""
    layer = unrolled.RNN(
        unrolled.ZoneoutWrapper(unrolled.LSTMCell(U), 0.5, seed=7),
        return_sequences=True,
    )
    x = made("peephole").given["x"]
    layer.build(x.shape)
    assert "product" in layer.plan(training=True).partition(";")[0]
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def f(weights, x):
        return layer.stateless_call(weights, rest, x, training=True)[0]

    with unrolled.kernels("exported"):
        any_x = shapes({"x": x}, "b", "t")["x"]
        again, calls = written(f, weights, any_x, disabled_checks=ASKED)
        found = [again.call(weights, x[:b, :t]) for b, t in ((B, T), (2, 3))]
    assert CALL in calls
    with unrolled.kernels("off"):
        same(found, [f(weights, x), f(weights, x[:2, :3])])


def test_any_width_is_scanned():
    f = made("attention")
    shape = jax.export.symbolic_shape(f"{B}, s, {D}")
    given = f.given | {"memory": jax.ShapeDtypeStruct(shape, "float32")}
    with unrolled.kernels("exported"):
        again, calls = written(f, f.weights, given, disabled_checks=ASKED)
    assert calls == set()
    shorter = f.given | {"memory": f.given["memory"][:, :3]}
    for given in (f.given, shorter):
        same(again.call(f.weights, given), f.plain(f.weights, given))


class Averaging(Peephole):
    """Computes with the size of the batch."""

    def step(self, x, states, constants):
        h, states = super().step(x, states, constants)
        return h / h.shape[0], states


def test_what_computes_with_the_size_of_the_batch_is_scanned():
    layer = unrolled.RNN(Averaging(U), return_sequences=True)
    x = made("peephole").given["x"]
    layer.build(x.shape)
    assert "the size of the batch" in layer.plan()
    with unrolled.kernels("exported"):
        again, calls = written(
            lambda x: layer(x), shapes({"x": x}, "b", "t")["x"], disabled_checks=ASKED
        )
    assert calls == set()
    same([again.call(x), again.call(x[:2])], [layer(x), layer(x[:2])])
