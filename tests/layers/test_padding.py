"""What padding holds is never read; and where an infinite input is felt."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..table import CELLS

B, T, D, U = 3, 5, 3, 3
MASK = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)


class Directions(keras.layers.Layer):
    """Reads the direction of x and its logarithm: neither is known at zero."""

    state_size = D
    output_size = D

    def call(self, x, states):
        """One step."""
        length = jnp.sqrt(jnp.sum(x * x, -1, keepdims=True))
        y = 0.5 * states[0] + x / jnp.broadcast_to(length, x.shape)
        y = y + jnp.log(jnp.abs(x))
        return y, [y]


class Splits(unrolled.Cell):
    """The same in parts, so that the projection is hoisted out of the loop."""

    additive = True
    state_size = output_size = D

    def project_inputs(self, x, constants):
        """The direction of x."""
        del constants
        length = jnp.sqrt(jnp.sum(x * x, -1, keepdims=True))
        return x / jnp.broadcast_to(length, x.shape)

    def project_state(self, h, constants):
        """Half of it."""
        del constants
        return 0.5 * h

    def combine(self, x, h, states):
        """Both are added up already."""
        del h, states
        return x, [x]


class OfTwo(keras.layers.Layer):
    """Reads a tree: features, and ids that pick a row of a table."""

    state_size = D
    output_size = D

    def build(self, shape):
        """The table."""
        del shape
        self.table = self.add_weight(shape=(4, D), name="table")

    def call(self, x, states):
        """One step."""
        length = jnp.sqrt(jnp.sum(x["a"] ** 2, -1, keepdims=True))
        y = 0.5 * states[0] + x["a"] / jnp.broadcast_to(length, x["a"].shape)
        y = y + jnp.take(self.table.value, x["id"], axis=0, mode="fill")
        return y, [y]


def _pullback(layer, x, mask=None):
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def loss(weights, x):
        return (layer.stateless_call(weights, rest, x, mask=mask)[0] ** 2).sum()

    return jax.value_and_grad(loss, (0, 1), allow_int=True)(weights, x)


def _layers():
    for row in CELLS:
        yield str(row), lambda row=row, **k: row.layer(U, **row.kwargs, **k)
    yield "directions", lambda **k: unrolled.RNN(Directions(), **k)
    yield "splits", lambda **k: unrolled.RNN(Splits(), **k)
    yield (
        "residual",
        lambda **k: unrolled.RNN(unrolled.ResidualWrapper(Directions()), **k),
    )


LAYERS = dict(_layers())


@pytest.mark.parametrize("rows", [B, 2 * B])
@pytest.mark.parametrize("path", ["native", "scan"])
@pytest.mark.parametrize("kind", LAYERS)
def test_padding_is_never_read(kind, path, rows, rng, monkeypatch):
    """Nor for gradients: whatever it holds, they are the same, and finite."""
    if path == "scan":
        monkeypatch.setenv("UNROLLED_ISA", "scan")
    layer = LAYERS[kind](return_sequences=True, zero_output_for_mask=True)
    mask = np.tile(MASK, (rows // B, 1))
    x = rng.normal(size=(rows, T, D)).astype("float32")
    found = []
    for padding in (1.5, 0, np.nan, np.inf):
        held = np.where(mask[..., None], x, padding).astype("float32")
        layer.build(held.shape)
        found.append(jax.tree.leaves(_pullback(layer, held, mask)))
    assert all(np.isfinite(each).all() for each in found[0])
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


def test_padding_of_trees_and_ids_is_never_read(rng):
    layer = unrolled.RNN(OfTwo())
    a = rng.normal(size=(B, T, D)).astype("float32")
    ids = rng.integers(0, 4, (B, T)).astype("int32")
    found = []
    for padding, no_id in ((1.5, 2), (0, 99), (np.nan, -7)):
        x = {
            "a": np.where(MASK[..., None], a, padding).astype("float32"),
            "id": np.where(MASK, ids, no_id).astype("int32"),
        }
        layer.build(jax.tree.map(np.shape, x))
        value, (weights, dx) = _pullback(layer, x, MASK)
        found.append([value, *weights, dx["a"]])
    assert all(np.isfinite(each).all() for each in found[0])
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


@pytest.mark.keras_ranks
@pytest.mark.parametrize("units", [1, 3, 16, 17, 40])
@pytest.mark.parametrize("row", CELLS, ids=str)
def test_an_infinite_input_spoils_what_it_meets(row, units, rng):
    """As in Keras: NaN in the kernel's row of that feature, and nowhere else."""
    x = rng.normal(size=(B, T, D)).astype("float32")
    x[1, 2, 0] = np.inf
    layer = row.layer(units, **row.kwargs)
    stock = getattr(keras.layers, row.layer.__name__)(units, **row.kwargs)
    layer.build(x.shape)
    stock.build(x.shape)
    stock.set_weights(layer.get_weights())
    ours, law = (jax.tree.leaves(_pullback(each, x)) for each in (layer, stock))
    if row.name == "gru_reset_before":
        # Keras's own spoils more of it.
        law = [np.where(np.isfinite(n), n, o) for n, o in zip(law, ours, strict=True)]
    for one, other in zip(ours, law, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
