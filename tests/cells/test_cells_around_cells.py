"""What the table does not ask of projections, attention, stacks, NTM and ESN."""

import re

import unrolled

import jax
import keras
import numpy as np
import pytest

from ..harness import close, scatter
from ..test_recorded import RECORDED

GRU = unrolled.GRUCell
HEADS = {"read_head_num": 1, "write_head_num": 1}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: unrolled.EmbeddingWrapper(GRU(2), 0, 3),
            "embedding_classes must be a positive integer. Got 0",
        ),
        (
            lambda: unrolled.AttentionCellWrapper(GRU(2), None),
            "attn_length must be a positive integer. Got None",
        ),
        (
            lambda: unrolled.NTMCell(GRU(2), 3, 2, 1, 1, clip_value=None),
            "clip_value must be a finite number. Got None",
        ),
        (
            lambda: unrolled.HighwayWrapper(GRU(2), carry_bias_init="a"),
            "carry_bias_init must be a finite number. Got 'a'",
        ),
        (
            lambda: unrolled.EmbeddingWrapper(GRU(2), 5, 2.5),
            "embedding_size must be a positive integer. Got 2.5",
        ),
        (
            lambda: unrolled.InputProjectionWrapper(GRU(2), -1),
            "num_proj must be a positive integer. Got -1",
        ),
        (
            lambda: unrolled.OutputProjectionWrapper(GRU(2), True),
            "num_proj must be a positive integer. Got True",
        ),
        (
            lambda: unrolled.AttentionCellWrapper(GRU(2), 0),
            "attn_length must be a positive integer. Got 0",
        ),
        (
            lambda: unrolled.NTMCell(GRU(2), 3, 2, 1, 1, shift_range=2),
            "shift_range must be below half of memory_size = 3. Got 2",
        ),
        (
            lambda: unrolled.NTMCell(GRU(2), 3, 2, 1, 0),
            "write_head_num must be a positive integer. Got 0",
        ),
        (
            lambda: unrolled.NTMCell(GRU(2), 3, 2, 1, 1, clip_value=0),
            "clip_value must be positive. Got 0",
        ),
        (
            lambda: unrolled.ESNCell(2, connectivity=0),
            "connectivity must be above 0 and at most 1. Got 0",
        ),
        (
            lambda: unrolled.ESNCell(2, leaky=1.5),
            "leaky must be above 0 and at most 1. Got 1.5",
        ),
        (
            lambda: unrolled.ESNCell(2, spectral_radius=-0.9),
            "spectral_radius must be above 0. Got -0.9",
        ),
    ],
)
def test_arguments_are_checked(make, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        make()


class _Square(unrolled.Cell):
    """Its output and its state are no rows."""

    state_size = ((2, 2),)
    output_size = (2, 2)

    def step(self, x, states, constants):
        del constants
        y = states[0] + x.sum()
        return y, [y]


@pytest.mark.parametrize(
    ("cell", "x", "words"),
    [
        (
            unrolled.EmbeddingWrapper(GRU(2), 5, 3),
            np.ones((2, 3, 1), "float32"),
            "sequences must be ids in [0, 5), whole numbers. Got float32",
        ),
        (
            unrolled.EmbeddingWrapper(GRU(2), 5, 3),
            np.ones((2, 3, 4), "int32"),
            "sequences must have rank 2, ids (batch, time steps)",
        ),
        (
            unrolled.InputProjectionWrapper(GRU(2), 3),
            np.ones((2, 3, 4, 1), "float32"),
            "sequences must have rank 3",
        ),
        (
            unrolled.OutputProjectionWrapper(_Square(), 3),
            np.ones((2, 3, 4), "float32"),
            "cell inside OutputProjectionWrapper must give one row of numbers a step",
        ),
        (
            unrolled.AttentionCellWrapper(_Square(), 3, attn_size=2),
            np.ones((2, 3, 4), "float32"),
            "cell inside AttentionCellWrapper must read rows and carry rows",
        ),
        (
            unrolled.StackedRNNCells([GRU(2), _Square()], skip_connections=True),
            np.ones((2, 3, 4), "float32"),
            "skip_connections must join arrays that differ in their last axis at most",
        ),
    ],
)
def test_what_does_not_fit_is_told_of(cell, x, words):
    layer = unrolled.RNN(cell)
    with pytest.raises(ValueError, match=re.escape(words)):
        layer(x)


def test_ids_may_have_an_axis_of_one():
    layer = unrolled.RNN(unrolled.EmbeddingWrapper(GRU(4), 9, 3))
    ids = np.array([[1, 8, 0], [3, 3, 2]])
    rows = unrolled.RNN(unrolled.EmbeddingWrapper(GRU(4), 9, 3))
    layer(ids), rows(ids[..., None])
    rows.set_weights(layer.get_weights())
    close(rows(ids[..., None]), layer(ids))
    assert np.std(layer.cell.embeddings) == pytest.approx(1, abs=0.4)


def test_an_ntm_gives_as_many_numbers_as_it_reads_if_not_told(rng):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layers = [
        unrolled.RNN(unrolled.NTMCell(unrolled.LSTMCell(4), 6, 2, **HEADS, **given))
        for given in ({}, {"output_dim": 3})
    ]
    asked, told = (layer(x) for layer in layers)
    scatter(layers[0], rng)
    layers[1].set_weights(layers[0].get_weights())
    assert asked.shape == told.shape == (2, 3)
    close(layers[1](x), layers[0](x))


def test_an_ntm_is_kept_in_a_file_and_named_by_state(rng, tmp_path):
    cell = unrolled.NTMCell(unrolled.LSTMCell(4), 6, 2, **HEADS, shift_range=2)
    names = cell.named_states(list(range(6)))
    assert set(names) == {"h", "c", "read_vectors", "addresses", "slots", "time"}
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, unrolled.RNN(cell)(inputs))
    scatter(model, rng)
    model.save(tmp_path / "ntm.keras")
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    again = keras.models.load_model(tmp_path / "ntm.keras")
    close(again(x), model(x))


@pytest.mark.parametrize(
    "cell",
    [
        lambda: unrolled.NTMCell(GRU(4), 6, 2, **HEADS),
        lambda: unrolled.AttentionCellWrapper(GRU(4), 2),
    ],
)
def test_exports_hold_for_any_batch(cell):
    layer = unrolled.RNN(cell())
    layer.build((None, 2, 3))
    b = jax.export.symbolic_shape("b")[0]
    given = jax.ShapeDtypeStruct((b, 2, 3), "float32")
    assert jax.export.export(jax.jit(lambda x: layer(x)))(given).out_avals[0].shape[0]


def test_an_ntm_whose_controller_gives_zeros_has_gradients(rng):
    """A key of zeros has no direction, and the root of its length no derivative."""
    layer = unrolled.RNN(unrolled.NTMCell(GRU(4), 6, 2, **HEADS))
    x = rng.normal(size=(2, 2, 3)).astype("float32")
    layer.build(x.shape)
    scatter(layer, rng)
    for weight in [*layer.cell.cell.weights, layer.cell.parameters_bias]:
        weight.assign(0 * weight.value)
    weights, rest = (
        [w.value for w in part]
        for part in (layer.trainable_variables, layer.non_trainable_variables)
    )
    gradients = jax.grad(lambda w: layer.stateless_call(w, rest, x)[0].sum())(weights)
    assert all(np.isfinite(g).all() for g in gradients)
    assert np.abs(gradients[-1]).max() > 0


@pytest.mark.parametrize("use_norm2", [False, True])
def test_a_reservoir_is_thin_scaled_and_drawn_by_its_seed(use_norm2):
    def kernel(seed):
        cell = unrolled.ESNCell(
            60, connectivity=0.2, spectral_radius=0.7, use_norm2=use_norm2, seed=seed
        )
        cell.build((None, 2))
        assert not cell.trainable_weights
        assert len(cell.weights) == 3
        cell.trainable = True
        assert not cell.trainable_weights
        return np.asarray(cell.recurrent_kernel)

    drawn = kernel(1)
    assert np.mean(drawn != 0) == pytest.approx(0.2, abs=0.05)
    size = (
        np.linalg.norm(drawn) if use_norm2 else np.abs(np.linalg.eigvals(drawn)).max()
    )
    assert size == pytest.approx(0.7, rel=1e-4)
    assert np.array_equal(drawn != 0, kernel(1) != 0)
    assert not np.array_equal(drawn != 0, kernel(2) != 0)


def test_a_reservoir_of_nothing_is_zero():
    cell = unrolled.ESNCell(3, recurrent_initializer="zeros")
    cell.build((None, 2))
    assert not np.any(np.asarray(cell.recurrent_kernel))


def test_skip_connections_are_kept_in_the_configuration():
    stack = unrolled.StackedRNNCells([GRU(2), GRU(3)], skip_connections=True)
    again = unrolled.StackedRNNCells.from_config(stack.get_config())
    assert again.skip_connections
    assert again.output_size == 5


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["fused_adaptor", "fused_turned"])
def test_a_fused_cell_is_a_layer_and_turned_round_one_that_goes_backwards(name):
    with np.load(RECORDED / "tf1" / f"{name}.npz") as given:
        arrays = dict(given)
    turned = name == "fused_turned"
    layer = unrolled.RNN(
        unrolled.UGRNNCell(4, dtype="float64"),
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=True,
        go_backwards=turned,
        dtype="float64",
    )
    x = arrays["x"]
    layer.build(x.shape)
    kernel, bias = (
        next(arrays[k] for k in arrays if k.startswith("weight/") and k.endswith(kind))
        for kind in ("kernel", "bias")
    )
    layer.set_weights([kernel[: x.shape[-1]], kernel[x.shape[-1] :], bias])
    y, state = layer(x, initial_state=[arrays["initial/0"]], lengths=arrays["lengths"])
    # Ours come in the order in which they were made, TensorFlow's in that of the steps.
    y = np.asarray(y)[:, ::-1] if turned else y
    np.testing.assert_allclose(y, arrays["y"], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(state, arrays["state/0"], rtol=1e-12, atol=1e-13)
