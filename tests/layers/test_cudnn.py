"""Which layers and calls run on cuDNN, and that they mean the same there.

There is no GPU here: all but the call of cuDNN itself is ours, see `tests/cudnn.py`.
"""

import unrolled
from unrolled import LSTM, Bidirectional

import jax
import jax.export
import keras
import numpy as np
import pytest

from ..cells_of_users import Noisy
from ..harness import close

B, T, D, U = 4, 6, 3, 5
SHAPE = (B, T, D)
STEPS = np.arange(T)[None]
LENGTHS = np.array([0, 2, T, 5])
RIGHT = LENGTHS[:, None] > STEPS
HOLES = np.random.default_rng(0).random((B, T)) < 0.5
RUNS = "cuDNN's LSTM, in float32 (products in TF32 where the GPU has it); with resets"
STATE = np.linspace(-1, 1, B * U, dtype="float32").reshape(B, U)


def inputs(shape=SHAPE):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


# --- what runs there: of a layer and what it is called with ---

OPTIONS = [
    {},
    {"return_sequences": True},
    {"go_backwards": True, "return_sequences": True},
    {"return_sequences": True, "zero_output_for_mask": True, "return_state": True},
    {"return_state": True, "use_bias": False},
    {"time_major": True, "return_sequences": True},
    {"stateful": True, "return_state": True},
    {"unroll": True},
]
CALLS = {
    "plain": {},
    "lengths": {"lengths": LENGTHS},
    "right": {"mask": RIGHT},
    "left": {"mask": RIGHT[:, ::-1]},
    "holes": {"mask": HOLES},
    "states": {"initial_state": {"c": STATE, "h": -STATE}},
}


def both_ways(layer, x, cudnn, monkeypatch, same=close, **given):
    """What a layer gives on cuDNN and by the scan, and how many calls that was."""
    if getattr(layer, "time_major", False) or getattr(
        getattr(layer, "forward_layer", None), "time_major", False
    ):
        x = np.swapaxes(x, 0, 1)
        given = {k: v.T if k == "mask" else v for k, v in given.items()}
    layer.build(x.shape)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def loss(weights, x):
        out, after = layer.stateless_call(weights, rest, x, **given)
        return sum((a**2).sum() for a in jax.tree.leaves(out)), (out, after)

    def run():
        gradient = jax.value_and_grad(loss, (0, 1), has_aux=True)
        return jax.jit(gradient)(weights, x)

    cudnn.clear()
    found, told = run(), list(cudnn)
    monkeypatch.setenv("UNROLLED_ISA", "scan")
    same(found, run())
    assert len(cudnn) == len(told)
    monkeypatch.delenv("UNROLLED_ISA")
    return told


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_layer_means_the_same(options, cudnn, monkeypatch):
    for name in CALLS if not options else ["holes"]:
        layer = LSTM(U, **options)
        told = both_ways(layer, inputs(), cudnn, monkeypatch, **CALLS[name])
        assert told
        assert {each[4] for each in told} == {False}
    assert LSTM(U, **options).plan(SHAPE).startswith(RUNS)


TWO = {
    "concat": lambda: Bidirectional(LSTM(U, return_sequences=True)),
    "sum": lambda: Bidirectional(LSTM(U, return_state=True), merge_mode="sum"),
    "backwards first": lambda: Bidirectional(LSTM(U, go_backwards=True)),
    "time major": lambda: Bidirectional(
        LSTM(U, time_major=True, return_sequences=True), merge_mode=None
    ),
}


@pytest.mark.parametrize("make", TWO)
def test_both_directions_are_one_call(make, cudnn, monkeypatch):
    told = both_ways(TWO[make](), inputs(), cudnn, monkeypatch, **CALLS["lengths"])
    assert told
    assert {each[4] for each in told} == {True}


def test_directions_of_different_widths_are_two_calls(cudnn, monkeypatch):
    layer = Bidirectional(LSTM(U), backward_layer=LSTM(U + 1, go_backwards=True))
    told = both_ways(layer, inputs(), cudnn, monkeypatch, lengths=LENGTHS)
    assert {each[1] for each in told} == {U, U + 1}
    assert {each[4] for each in told} == {False}


def test_dropped_inputs_run_there(cudnn):
    layer = LSTM(U, dropout=0.5, seed=1)
    y, cudnn_calls = layer(inputs(), training=True), len(cudnn)
    assert cudnn_calls
    x = inputs()
    masks = LSTM(U, dropout=0.5, seed=1)
    masks.build(SHAPE)
    dropped = masks.cell.get_constants(B, True)["input_mask"]
    want = LSTM(U)
    want.build(SHAPE)
    want.set_weights(layer.get_weights())
    close(y, want(x * np.asarray(dropped)[:, None]))


@pytest.mark.keras_ranks
def test_training(cudnn, monkeypatch):
    """A model with a mask of Keras's own learns the same numbers there."""

    def trained():
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [
                keras.layers.Embedding(9, D, mask_zero=True),
                Bidirectional(LSTM(U, return_sequences=True)),
                LSTM(U),
                keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        ids = np.random.default_rng(0).integers(0, 9, (12, T))
        ids[3] = 0
        model.fit(ids, np.ones((12, 1)), batch_size=6, epochs=2, verbose=0)
        return model.get_weights()

    found = trained()
    assert {each[4] for each in cudnn} == {True, False}
    monkeypatch.setenv("UNROLLED_ISA", "scan")
    for one, other in zip(found, trained(), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


def test_in_full_float32(cudnn):
    layer = LSTM(U)
    with jax.default_matmul_precision("highest"):
        assert layer.plan(SHAPE) == "cuDNN's LSTM, in float32; with resets, the scan."
        layer(inputs())
    layer(inputs())
    assert [*dict.fromkeys(each[5] for each in cudnn)] == [
        jax.lax.Precision.HIGHEST,
        jax.lax.Precision.HIGH,
    ]


# --- what does not, and why ---


class MyCell(unrolled.LSTMCell):
    """Whatever it may do."""


REASONS = {
    "relu": (lambda: LSTM(U, activation="relu"), "has tanh for activation, .* relu"),
    "gates": (
        lambda: LSTM(U, recurrent_activation="hard_sigmoid"),
        "has sigmoid for recurrent_activation, and this one hard_sigmoid",
    ),
    "function": (lambda: LSTM(U, activation=jax.nn.tanh), "tanh for activation"),
    "gru": (lambda: unrolled.GRU(U), "on a GPU cuDNN runs LSTM alone, not gru_after"),
    "rnn": (lambda: unrolled.SimpleRNN(U), "LSTM alone, not simple_rnn"),
    "half": (lambda: LSTM(U, dtype="mixed_bfloat16"), "float32, .* is bfloat16"),
    "states": (lambda: LSTM(U, return_all_states=True), "the states after each step"),
    "derived": (lambda: unrolled.RNN(MyCell(U)), "MyCell has no fused kernel"),
    "own": (lambda: unrolled.RNN(Noisy(U, [])), "Noisy has no fused kernel"),
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("name", REASONS)
def test_plan_says_why_not(name, cudnn):
    make, why = REASONS[name]
    layer = make()
    layer.build(SHAPE)
    plan = layer.plan()
    assert plan.startswith("the scan: ")
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(plan)
    layer(inputs())
    assert not cudnn


def test_what_runs_on_no_gpu(cudnn, monkeypatch):
    from unrolled.engine import cudnn as engine

    monkeypatch.setattr(engine, "has_cudnn_lstm", lambda: False)
    assert "JAX's plugin for CUDA has no cuDNN" in LSTM(U).plan(SHAPE)
    monkeypatch.setattr(engine, "PLATFORM", "cuda")
    assert "cuDNN on NVIDIA's GPUs, and JAX runs on cpu" in LSTM(U).plan(SHAPE)
    monkeypatch.setenv("UNROLLED_ISA", "scan")
    assert LSTM(U).plan(SHAPE) == "the scan: UNROLLED_ISA=scan asks for it."
    LSTM(U)(inputs())
    assert not cudnn


def test_calls_that_run_in_the_loop(cudnn, monkeypatch):
    layer = LSTM(U, return_sequences=True)
    assert not both_ways(layer, inputs(), cudnn, monkeypatch, resets=HOLES)
    two = Bidirectional(LSTM(U, return_sequences=True))
    assert not both_ways(two, inputs(), cudnn, monkeypatch, resets=HOLES)
    layer(inputs())
    assert cudnn
    cudnn.clear()
    assert layer(inputs((0, T, D))).shape == (0, T, U)
    dropped = LSTM(U, recurrent_dropout=0.5)
    dropped(inputs(), training=True)
    assert not cudnn
    assert "no recurrent dropout" in dropped.plan(SHAPE, training=True)
    assert dropped.plan(SHAPE).startswith(RUNS)
    dropped(inputs())
    assert cudnn


def test_very_long_sequences(cudnn):
    layer = LSTM(1)
    assert "at most 65,535 time steps, and these are 65,536" in layer.plan(
        (1, 65_536, 1)
    )
    assert layer.plan((1, 65_535, 1)).startswith(RUNS)
    assert layer.plan((None, None, 1)).startswith(RUNS)
    layer(inputs((1, 65_536, 1)))
    assert not cudnn


def test_sizes_that_are_symbols(cudnn):
    layer = LSTM(U)
    layer.build((None, None, D))
    sizes = jax.export.symbolic_shape("b, t")
    x = jax.ShapeDtypeStruct((*sizes, D), "float32")
    exported = jax.export.export(jax.jit(layer))(x)
    assert not cudnn
    close(exported.call(inputs()), layer(inputs()))
