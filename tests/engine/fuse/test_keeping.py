"""What the loop of a step keeps for its gradient, and what is made again."""

import itertools

import unrolled
from unrolled.engine.fuse import call, keeping
from unrolled.engine.fuse.flat import Value, flatten
from unrolled.engine.fuse.views import KEPT, STATES

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ...core import need_core

UNITS = 8


def kept_numbers(layer) -> int:
    """Numbers a row and step that the first of the two loops writes for the second."""
    call._MADE.clear()
    x = jnp.ones((3, 5, 4))
    layer.build(x.shape)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]
    jax.eval_shape(
        jax.grad(lambda w: layer.stateless_call(w, rest, x)[0].sum()), weights
    )
    (made,) = call._MADE.values()
    code = made.saving.program.code
    inputs, results = code[1:3]
    records = np.reshape(code[8 : 8 + 3 * (inputs + results)], (-1, 3))[inputs:]
    return int(sum(width for kind, width, _ in records if kind in (KEPT, STATES)))


def derived(kind):
    """The same cell as one that has no kernel of its own."""
    return type(f"Own{kind.__name__}", (kind,), {})(UNITS)


@need_core
@pytest.mark.parametrize(
    ("cell", "vectors"),
    [
        (unrolled.SimpleRNNCell, 1),  # h
        (unrolled.LSTMCell, 6),  # four gates, h and c
        (unrolled.GRUCell, 5),  # two gates, the candidate and what it resets, h
    ],
)
def test_no_more_is_kept_than_by_the_kernels(cell, vectors):
    assert kept_numbers(unrolled.RNN(derived(cell))) == vectors * UNITS


class Normalised(keras.layers.Layer):
    """Gates of normalised sums."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.output_size = UNITS
        self.state_size = [UNITS, UNITS]
        self.dense = keras.layers.Dense(4 * UNITS)
        self.norm = keras.layers.LayerNormalization()

    def build(self, input_shape):
        self.dense.build((None, input_shape[-1] + UNITS))
        self.norm.build((None, 4 * UNITS))

    def call(self, inputs, states):
        h, c = states
        z = self.norm(self.dense(keras.ops.concatenate([inputs, h], axis=-1)))
        i, f, g, o = keras.ops.split(z, 4, axis=-1)
        c = keras.ops.sigmoid(f) * c + keras.ops.sigmoid(i) * keras.ops.tanh(g)
        h = keras.ops.sigmoid(o) * keras.ops.tanh(c)
        return h, [h, c]


@need_core
@pytest.mark.keras_ranks
def test_gates_are_made_again_of_sums_that_are_kept_anyway():
    # The products' sums, the states, and a few numbers: mean, variance.
    assert 6 * UNITS < kept_numbers(unrolled.RNN(Normalised())) <= 6 * UNITS + 4


@pytest.mark.parametrize("seed", range(40))
def test_nothing_costs_less_than_what_is_chosen(seed):
    draw = np.random.default_rng(seed)
    made = [Value((1,), "float32") for _ in range(7)]
    prices = {}
    for n, value in enumerate(made):
        count = int(draw.integers(0, min(n, 2) + 1))
        of = [made[i] for i in draw.choice(n, count, replace=False)] if n else []
        kept, again = draw.integers(1, 9, 2)
        never = draw.random() < 0.2
        prices[value] = keeping._Price(kept, float("inf") if never else again, of)
    asked = [made[i] for i in draw.choice(7, 3, replace=False)]

    def cost(again: set) -> float:
        total, needed = 0.0, [*asked]
        seen = set()
        while needed:
            value = needed.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in again:
                total += prices[value].again
                needed += prices[value].of
            else:
                total += prices[value].kept
        return total

    subsets = itertools.chain.from_iterable(
        itertools.combinations(made, n) for n in range(8)
    )
    least = min(cost({*subset}) for subset in subsets)
    assert cost(keeping._cut(asked, prices)) == least


def test_what_is_computed_twice_is_computed_once():
    def twice(x):
        return jnp.exp(x) * jnp.tanh(jnp.exp(x)) + jnp.tanh(jnp.exp(x)).sum()

    names = [e.name for e in flatten(jax.make_jaxpr(twice)(jnp.ones(3))).equations]
    assert names.count("exp") == 1
    assert names.count("tanh") == 1
