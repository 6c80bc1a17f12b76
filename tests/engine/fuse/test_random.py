"""Cells drawn at random: each fused, and held to float64 with every gradient."""

import collections
import os

from unrolled.engine import loop
from unrolled.engine.fuse import call, loops, run

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from . import interpreter
from .drawn import LABELS, Drawn
from .evaluate import Reference, apply

pytestmark = pytest.mark.keras_ranks  # as users write: (B, U) and (U,)
MANY = int(os.environ.get("UNROLLED_RANDOM_CELLS", "2000"))
CLOSE = 2e-5  # of the largest number


def expected(cell):
    """Outputs, last states, gradients of x, states, weights, rows; and of probes."""

    def step(x, states, moved):
        return cell.step(x, states, *moved[:2], cell.mask, moved[2])

    moved = (cell.weights, cell.rows, cell.probes)
    law = Reference(step, cell.x, cell.states, moved)
    y, last, (dx, dstates, dmoved) = law.run(cell.dy, cell.dlast, cell.reverse)
    return (y, last, dx, dstates, *dmoved[:2]), dmoved[2]


class Interpreted:
    """In place of the foreign call: the interpreter."""

    def __init__(self, codes, axes, shapes):
        del axes
        (code,) = codes
        self.code, self.shapes = np.array(code, np.int64), shapes

    def __call__(self, *arrays):
        given = [np.asarray(a) for a in arrays]
        found = interpreter.run(self.code, given, dtype="float32")
        return [
            a.reshape(self._shape(given[which], first, own))
            for a, (which, first, own) in zip(found, self.shapes, strict=True)
        ]

    @staticmethod
    def _shape(sequence, first, own):
        B, T = sequence.shape[:2]
        size = {"B": B, "T": T, "E": T + 1}
        return (*(size[letter] for letter in first), *own)


def fused(cell, monkeypatch):
    """The same by the fused loop, whose parts are called without compiling."""
    found = []

    def take(self, args):
        found.append((self, *args))
        step, n = self.loops[0].step, len(cell.states)
        return [(*step.split(args[0])[2], *[None] * (len(step.results) - n))]

    monkeypatch.setattr(loops.Fused, "__call__", take)
    monkeypatch.setattr(run, "refused", lambda: "")
    as_jax = lambda tree: jax.tree.map(jnp.asarray, tree)  # noqa: E731
    weights, rows, mask = (as_jax(a) for a in (cell.weights, cell.rows, cell.mask))
    x, states = as_jax(cell.x), as_jax(cell.states)

    def step(still, carry, at):
        (rows, mask), *_ = still.constants
        y, after = cell.step(at, carry.states, weights, rows, mask)
        return carry._replace(states=after), y

    def constants_of(rows_):
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((rows_, *a.shape[1:]), a.dtype),
            ((rows, mask),),
        )

    still = loop.Still(None, None, ((rows, mask),))
    carry = loop.Carry(states, None, ())
    prepared = loop.Prepared(step, still, carry, x, cell.reverse, True, None)
    ((_, _, why, _),) = run.run([prepared], [constants_of])
    assert not why, f"{why}\n{cell}"
    ((function, given),) = found
    args = tuple(map(np.asarray, given))
    results, saved = function.forward(args, save=True)
    *last, y = results
    floats = [jnp.issubdtype(a.dtype, jnp.floating) for a in args]
    cotangents = (*cell.dlast, _turned(cell, cell.dy))
    gradients = function.backward(floats, args, saved, cotangents)
    plain, _ = function.forward(args, save=False)
    for one, other in zip(plain, results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    by_id = dict(zip(map(id, given), gradients, strict=True))

    def gradient(array):
        own = by_id.get(id(array))
        return np.zeros(array.shape) if own is None else own

    own = (x, states, weights, rows)
    return (_turned(cell, y), last, *jax.tree.map(gradient, own))


def _turned(cell, y):
    """Steps in the order of processing, or from that."""
    return y[:, ::-1] if cell.reverse else y


def compare(cell, monkeypatch):
    """Hold a cell to the reference; which labels it has, and how strong each pulls."""
    law, probes = expected(cell)
    ours = fused(cell, monkeypatch)
    names = ("y", "last", "dx", "dstates", "dweights", "drows")
    for name, one, other in zip(names, ours, law, strict=True):
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        for n, (a, b) in enumerate(pairs):
            assert np.shape(a) == np.shape(b), f"{name} {n}\n{cell}"
            scale = max(1.0, float(np.abs(b).max(initial=0)))
            far = float(np.abs(a - b).max(initial=0)) / scale
            assert far < CLOSE, f"{name} {n} is off by {far}\n{cell}"
    return {at: np.any(probes[at] != 0) for at in probes}


def counted(cells, monkeypatch):
    """Of each label how often it was drawn, and with a gradient."""
    drawn, pulling = collections.Counter(), collections.Counter()
    for cell in cells:
        pulls = compare(cell, monkeypatch)
        mine = collections.defaultdict(bool)
        for at, pulled in pulls.items():
            mine[cell.nodes[at].label] |= bool(pulled)
        drawn.update(mine.keys())
        pulling.update(label for label, pulled in mine.items() if pulled)
    return drawn, pulling


@pytest.fixture
def by_interpreter(monkeypatch):
    """Programs are run by the interpreter, and what JAX does around them by NumPy.

    Else hundreds of operations were compiled, one by one.
    """
    monkeypatch.setattr(call, "_call", Interpreted)
    monkeypatch.setattr(call, "apply", apply)
    monkeypatch.setattr(call, "jnp", np)
    return monkeypatch


@pytest.mark.parametrize("part", range(4))
def test_drawn_cells(part, by_interpreter):
    drawn, _ = counted(map(Drawn, range(8 * part, 8 * part + 8)), by_interpreter)
    assert drawn


def test_a_product_whose_result_is_kept_and_added_to(by_interpreter):
    """Cell 768: the sum was written over what the gradient reads, a reshape apart."""
    compare(Drawn(768), by_interpreter)


@pytest.mark.parity
def test_many_drawn_cells(by_interpreter):
    """Prints what was drawn, and how often a gradient arrived there."""
    drawn, pulling = counted(map(Drawn, range(MANY)), by_interpreter)
    for label in LABELS:
        print(f"{label:40} {drawn[label]:5} {pulling[label]:5}")
    assert min(pulling[label] for label in LABELS) >= MANY // 40
