"""flax's recurrent cells and drivers, run anew, and ours with their weights.

Of ConvLSTMCell's `strides` nothing: flax gives them to the state's convolution too,
which then has another size at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import unrolled

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from .peers import agree, called, draw, pulled, within

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("default"),  # of flax and what it loads
    pytest.mark.usefixtures("float64"),
]
B, T, D, U = 3, 5, 3, 4


@pytest.fixture
def linen():
    return pytest.importorskip("flax.linen")


@pytest.fixture
def nnx():
    return pytest.importorskip("flax.nnx")


def _side_by_side(params, names, what):
    return jnp.concatenate([params[name][what] for name in names], axis=-1)


def _lstm(params):
    return {
        "kernel": _side_by_side(params, ("ii", "if", "ig", "io"), "kernel"),
        "recurrent_kernel": _side_by_side(params, ("hi", "hf", "hg", "ho"), "kernel"),
        "bias": _side_by_side(params, ("hi", "hf", "hg", "ho"), "bias"),
    }


def _gru(params, z="z", r="r"):
    """Gates z, r, h of theirs; of the second bias flax has h's part alone."""
    of_x, of_h = ([way + k for k in (z, r, "n")] for way in "ih")
    bias = params["hn"]["bias"]
    zeros = jnp.zeros((2 * len(bias),), bias.dtype)
    second = jnp.concatenate([zeros, bias])
    return {
        "kernel": _side_by_side(params, of_x, "kernel"),
        "recurrent_kernel": _side_by_side(params, of_h, "kernel"),
        "bias": jnp.stack([_side_by_side(params, of_x, "bias"), second]),
    }


def _simple(params, residual=False):
    recurrent = params["h"]["kernel"]
    if residual:  # h is added to what the activation reads
        recurrent = recurrent + jnp.eye(len(recurrent), dtype=recurrent.dtype)
    return {
        "kernel": params["i"]["kernel"],
        "recurrent_kernel": recurrent,
        "bias": params["i"]["bias"],
    }


def _ungated(params):
    """MGUCell(reset_gate=False) keeps and renews by one gate: a UGRNN."""
    return {
        "kernel": _side_by_side(params, ("if", "in"), "kernel"),
        "recurrent_kernel": _side_by_side(params, ("hf", "hn"), "kernel"),
        "bias": _side_by_side(params, ("if", "in"), "bias"),
    }


def _conv(params):
    """Gates i g f o -> i f c o; the two biases are added."""

    def order(a):
        i, g, f, o = jnp.split(a, 4, axis=-1)
        return jnp.concatenate([i, f, g, o], axis=-1)

    return {
        "kernel": order(params["ih"]["kernel"]),
        "recurrent_kernel": order(params["hh"]["kernel"]),
        "bias": order(params["ih"]["bias"] + params["hh"]["bias"]),
    }


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of flax and ours with its weights.

    Attributes:
        theirs: the name in `flax.linen`.
        options: of theirs.
        ours: makes the layer: ``(**keywords of any layer)``.
        weights: flax's parameters -> ours by name.
        image: the size of a step between batch and channels.
    """

    theirs: str
    ours: Any
    weights: Any
    options: dict[str, Any] = field(default_factory=dict)
    image: tuple[int, ...] = ()

    def __str__(self):
        options = [f"{name}={value}" for name, value in self.options.items()]
        return "-".join([self.theirs, *options]).replace(" ", "")

    def layer(self, **kwargs):
        both = {"return_sequences": True, "return_state": True, "dtype": "float64"}
        layer = self.ours(**both | kwargs)
        layer.build((B, T, *self.image, D))
        return layer

    def cell(self, linen):
        kind = getattr(linen, self.theirs)
        return kind(U, param_dtype=jnp.float64, **self.options)

    def carry(self, states):
        """Our states as flax's carry: (c, h)."""
        return states[0] if len(states) == 1 else (states[1], states[0])

    def states(self, carry):
        return [carry[1], carry[0]] if isinstance(carry, tuple) else [carry]

    def given(self, params, rng, ways=1):
        """The parameters, drawn; the sequences; the states to start from."""
        count = len(self.layer().cell.state_names) * ways
        shape = (B, *self.image, U)
        return {
            "params": draw(rng, params),
            "x": rng.normal(size=(B, T, *self.image, D)),
            "states": [rng.normal(size=shape) for _ in range(count)],
        }


def _simple_layer(**kwargs):
    return unrolled.SimpleRNN(U, **kwargs)


def _lstm_layer(**kwargs):
    return unrolled.LSTM(U, **kwargs)


def _gru_layer(**kwargs):
    return unrolled.GRU(U, **kwargs)


def _ugrnn_layer(dtype, **kwargs):
    cell = unrolled.UGRNNCell(U, forget_bias=0.0, dtype=dtype)
    return unrolled.RNN(cell, dtype=dtype, **kwargs)


def _conv_layer(kind, window):
    return lambda **kwargs: kind(U, window, padding="same", forget_bias=1.0, **kwargs)


LSTM = Cell("LSTMCell", _lstm_layer, _lstm)
CELLS = [
    Cell("SimpleCell", _simple_layer, _simple),
    Cell(
        "SimpleCell",
        _simple_layer,
        lambda params: _simple(params, residual=True),
        {"residual": True},
    ),
    LSTM,
    Cell("OptimizedLSTMCell", _lstm_layer, _lstm),
    Cell("GRUCell", _gru_layer, _gru),
    # Another formula than the paper's, which MGUCell of ours has: one gate both keeps
    # and resets, after the product. That is a GRU whose two gates share their weights.
    Cell("MGUCell", _gru_layer, lambda params: _gru(params, "f", "f")),
    Cell("MGUCell", _ugrnn_layer, _ungated, {"reset_gate": False}),
    Cell(
        "ConvLSTMCell",
        _conv_layer(unrolled.ConvLSTM1D, 3),
        _conv,
        {"kernel_size": (3,)},
        (5,),
    ),
    Cell(
        "ConvLSTMCell",
        _conv_layer(unrolled.ConvLSTM2D, (3, 2)),
        _conv,
        {"kernel_size": (3, 2)},
        (3, 4),
    ),
]


def _parameters(rnn, row):
    x = jax.ShapeDtypeStruct((B, T, *row.image, D), "float64")
    return jax.eval_shape(rnn.init, jax.random.key(0), x)["params"]


@pytest.mark.parametrize("row", CELLS, ids=str)
def test_a_cell(row, linen, rng):
    rnn = linen.RNN(row.cell(linen), return_carry=True)
    layer = row.layer()

    def theirs(given):
        carry = row.carry(given["states"])
        params = {"params": given["params"]}
        carry, y = rnn.apply(params, given["x"], initial_carry=carry)
        return [y, *row.states(carry)]

    def ours(given):
        weights = row.weights(given["params"]["cell"])
        return called(layer, weights, given["x"], initial_state=given["states"])

    given = row.given(_parameters(rnn, row), rng)
    agree(f"flax.{row}", ours, pulled(theirs), given, rng)


LENGTHS = np.array([2, T, 1])


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_rnn_with_lengths(backwards, linen, rng):
    """`seq_lengths`; past them flax's outputs are of the padding, and left out here."""
    row = LSTM
    rnn = linen.RNN(
        row.cell(linen), return_carry=True, reverse=backwards, keep_order=True
    )
    layer = row.layer(go_backwards=backwards)

    def theirs(given):
        carry, y = rnn.apply(
            {"params": given["params"]},
            given["x"],
            initial_carry=row.carry(given["states"]),
            seq_lengths=LENGTHS,
        )
        return [within(LENGTHS, y), *row.states(carry)]

    def ours(given):
        weights = row.weights(given["params"]["cell"])
        y, *states = called(
            layer, weights, given["x"], initial_state=given["states"], lengths=LENGTHS
        )
        y = y[:, ::-1] if backwards else y  # in the order of the input
        return [within(LENGTHS, y), *states]

    given = row.given(_parameters(rnn, row), rng)
    agree(f"flax.RNN-{backwards=}", ours, pulled(theirs), given, rng)


def test_bidirectional(linen, rng):
    row = LSTM
    both = linen.Bidirectional(
        linen.RNN(row.cell(linen)), linen.RNN(row.cell(linen)), return_carry=True
    )
    layer = unrolled.Bidirectional(row.layer(), dtype="float64")
    layer.build((B, T, D))

    def theirs(given):
        start = given["states"]
        carries, y = both.apply(
            {"params": given["params"]},
            given["x"],
            initial_carry=(row.carry(start[:2]), row.carry(start[2:])),
            seq_lengths=LENGTHS,
        )
        return [within(LENGTHS, y), *(s for c in carries for s in row.states(c))]

    def ours(given):
        halves = [
            row.weights(given["params"][f"{way}_rnn"]["cell"])
            for way in ("forward", "backward")
        ]
        weights = {
            name + end: weight
            for half, end in zip(halves, ("", "_1"), strict=True)
            for name, weight in half.items()
        }
        y, *states = called(
            layer, weights, given["x"], initial_state=given["states"], lengths=LENGTHS
        )
        return [within(LENGTHS, y), *states]

    given = row.given(_parameters(both, row), rng, ways=2)
    agree("flax.Bidirectional", ours, pulled(theirs), given, rng)


def _wide_lstm(params):
    return {
        "kernel": params["dense_i"]["kernel"],
        "recurrent_kernel": params["dense_h"]["kernel"],
        "bias": params["dense_h"]["bias"],
    }


def _apart(params):
    """Of nnx's LSTMCell, whose forget gate is called if_."""
    return _lstm({name.rstrip("_"): own for name, own in params.items()})


def _wide_gru(params):
    """Gates r z n in one matrix, and one bias."""

    def order(a):
        r, z, n = jnp.split(a, 3, axis=-1)
        return jnp.concatenate([z, r, n], axis=-1)

    bias = order(params["dense_i"]["bias"])
    return {
        "kernel": order(params["dense_i"]["kernel"]),
        "recurrent_kernel": order(params["dense_h"]["kernel"]),
        "bias": jnp.stack([bias, jnp.zeros_like(bias)]),
    }


def _wide_simple(params):
    return _simple({"i": params["dense_i"], "h": params["dense_h"]})


NNX = [
    Cell("SimpleCell", _simple_layer, _wide_simple),
    Cell("LSTMCell", _lstm_layer, _apart),
    Cell("OptimizedLSTMCell", _lstm_layer, _wide_lstm),
    Cell("GRUCell", _gru_layer, _wide_gru),
]


@pytest.mark.parametrize("row", NNX, ids=str)
def test_a_cell_of_nnx(row, nnx, rng):
    """The newer interface, where a cell holds its parameters."""
    cell = getattr(nnx, row.theirs)(D, U, dtype=jnp.float64, rngs=nnx.Rngs(0))
    graph, state, rest = nnx.split(cell, nnx.Param, ...)
    layer = row.layer()

    def theirs(given):
        nnx.replace_by_pure_dict(state, given["params"])
        rnn = nnx.RNN(nnx.merge(graph, state, rest), return_carry=True)
        carry = row.carry(given["states"])
        carry, y = rnn(given["x"], initial_carry=carry)
        return [y, *row.states(carry)]

    def ours(given):
        weights = row.weights(given["params"])
        return called(layer, weights, given["x"], initial_state=given["states"])

    given = row.given(nnx.to_pure_dict(state), rng)
    agree(f"flax.nnx.{row}", ours, pulled(theirs), given, rng)
