"""Haiku's recurrent cores and drivers, run anew, and ours with their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import unrolled

import jax
import pytest
from jax import numpy as jnp

from .peers import agree, called, draw, pulled
from .table import draw_resets

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("default"),  # of Haiku and what it loads
    pytest.mark.usefixtures("float64"),
]
B, T, D, U = 3, 6, 3, 4


@pytest.fixture
def haiku():
    return pytest.importorskip("haiku")


def _reordered(gates, order, a):
    parts = dict(zip(gates, jnp.split(a, len(gates), axis=-1), strict=True))
    return jnp.concatenate([parts[gate] for gate in order], axis=-1)


def _lstm(params, scope="lstm/linear", features=D):
    """One matrix over [x, h], gates i g f o."""
    w, b = (_reordered("igfo", "ifgo", params[scope][k]) for k in "wb")
    return {"kernel": w[:features], "recurrent_kernel": w[features:], "bias": b}


def _gru(params, scope="gru"):
    """Haiku's z says how much is renewed, ours how much is kept."""
    own = {}
    names = {"kernel": "w_i", "recurrent_kernel": "w_h", "bias": "b"}
    for ours, theirs in names.items():
        z, rest = jnp.split(params[scope][theirs], [U], axis=-1)
        own[ours] = jnp.concatenate([-z, rest], axis=-1)
    return own


def _vanilla(params):
    x, h = (params[f"vanilla_rnn/linear{end}"] for end in ("", "_1"))
    return {
        "kernel": x["w"],
        "recurrent_kernel": h["w"],
        "bias": x["b"] + h.get("b", 0.0),
    }


def _conv(params):
    x, h = (
        next(own for name, own in params.items() if name.endswith(end))
        for end in ("input_to_hidden", "hidden_to_hidden")
    )
    order = lambda a: _reordered("igfo", "ifgo", a)  # noqa: E731
    return {
        "kernel": order(x["w"]),
        "recurrent_kernel": order(h["w"]),
        "bias": order(x["b"] + h["b"]),
    }


def _stacked(features):
    """A GRU on an LSTM that gives it so many features; names as ours come in a row."""

    def weights(params):
        low, high = _lstm(params), _gru(params)
        assert len(high["kernel"]) == features
        return {**low, **{f"{name}_1": own for name, own in high.items()}}

    return weights


@dataclass(frozen=True)
class Core:
    """A core of Haiku and ours with its weights.

    Attributes:
        name: Haiku's.
        theirs: makes the core, of the module.
        ours: makes the layer: ``(**keywords of any layer)``.
        weights: Haiku's parameters -> ours by name.
        image: the size of a step between batch and channels.
    """

    name: str
    theirs: Any
    ours: Any
    weights: Any
    image: tuple[int, ...] = ()

    def __str__(self):
        return self.name

    def layer(self, **kwargs):
        both = {"return_sequences": True, "return_state": True, "dtype": "float64"}
        layer = self.ours(**both | kwargs)
        layer.build((B, T, *self.image, D))
        return layer


def _lstm_layer(**kwargs):
    return unrolled.LSTM(U, forget_bias=1.0, **kwargs)


def _stack_layer(skip):
    def layer(dtype, **kwargs):
        cells = [
            unrolled.LSTMCell(U, forget_bias=1.0, dtype=dtype),
            unrolled.GRUCell(U, reset_after=False, dtype=dtype),
        ]
        stack = unrolled.StackedRNNCells(cells, skip_connections=skip, dtype=dtype)
        return unrolled.RNN(stack, dtype=dtype, **kwargs)

    return layer


def _cores(hk):
    return [hk.LSTM(U), hk.GRU(U)]


def _conv_core(rank, window):
    image = (4, 3, 2)[:rank]
    kind = getattr(unrolled, f"ConvLSTM{rank}D")
    return Core(
        f"Conv{rank}DLSTM",
        lambda hk: getattr(hk, f"Conv{rank}DLSTM")(image, U, window),
        lambda **kwargs: kind(U, window, padding="same", forget_bias=1.0, **kwargs),
        _conv,
        image,
    )


LSTM = Core("LSTM", lambda hk: hk.LSTM(U), _lstm_layer, _lstm)
CORES = [
    Core(
        "VanillaRNN",
        lambda hk: hk.VanillaRNN(U),
        lambda **kwargs: unrolled.SimpleRNN(U, activation="relu", **kwargs),
        _vanilla,
    ),
    Core(
        "VanillaRNN-one_bias",
        lambda hk: hk.VanillaRNN(U, double_bias=False),
        lambda **kwargs: unrolled.SimpleRNN(U, activation="relu", **kwargs),
        _vanilla,
    ),
    LSTM,
    Core(
        "GRU",
        lambda hk: hk.GRU(U),
        lambda **kwargs: unrolled.GRU(U, reset_after=False, **kwargs),
        _gru,
    ),
    _conv_core(1, 3),
    _conv_core(2, (3, 2)),
    _conv_core(3, (2, 3, 1)),
    Core(
        "DeepRNN", lambda hk: hk.DeepRNN(_cores(hk)), _stack_layer(False), _stacked(U)
    ),
    Core(
        "deep_rnn_with_skip_connections",
        lambda hk: hk.deep_rnn_with_skip_connections(_cores(hk)),
        _stack_layer(True),
        _stacked(D + U),
    ),
]


def _hold(row, hk, rng, make=lambda hk, core: core, resets=None, **options):
    """The row under `dynamic_unroll`.

    Args:
        row: of `CORES`.
        hk: the module.
        rng: draws weights and data.
        make: the core -> what is unrolled.
        resets: handed to both.
        options: of `dynamic_unroll`.
    """
    backwards = options.get("reverse", False)
    along = options.get("return_all_states", False)
    layer = row.layer(
        go_backwards=backwards, return_state=not along, return_all_states=along
    )

    def unroll(x, states):
        sequences = x if resets is None else (x, resets)
        core = make(hk, row.theirs(hk))
        return hk.dynamic_unroll(core, sequences, states, time_major=False, **options)

    net = hk.without_apply_rng(hk.transform(unroll))
    start = hk.testing.transform_and_run(lambda: row.theirs(hk).initial_state(B))()
    structure = jax.tree.structure(start)
    x = rng.normal(size=(B, T, *row.image, D))
    states = [rng.normal(size=s.shape) for s in jax.tree.leaves(start)]
    shapes = jax.eval_shape(
        net.init, jax.random.key(0), x, jax.tree.unflatten(structure, states)
    )
    given = {"params": draw(rng, shapes), "x": x, "states": states}

    def theirs(given):
        start = jax.tree.unflatten(structure, given["states"])
        return jax.tree.leaves(net.apply(given["params"], given["x"], start))

    def ours(given):
        weights = row.weights(given["params"])
        more = {} if resets is None else {"resets": resets}
        outputs = called(
            layer, weights, given["x"], initial_state=given["states"], **more
        )
        # In the order of the input, as Haiku's.
        turned = len(outputs) if along else 1
        return [
            a[:, ::-1] if backwards and place < turned else a
            for place, a in enumerate(outputs)
        ]

    words = [row.name, *options, *(["resets"] if resets is not None else [])]
    agree(f"haiku.{'-'.join(words)}", ours, pulled(theirs), given, rng)


@pytest.mark.parametrize("row", CORES, ids=str)
def test_a_core(row, haiku, rng):
    _hold(row, haiku, rng)


def test_all_states_backwards(haiku, rng):
    _hold(LSTM, haiku, rng, reverse=True, return_all_states=True)


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("row", [LSTM, CORES[-1]], ids=str)
def test_reset_core(row, backwards, haiku, rng):
    """A row starts afresh before a step, in a stack of two cells as well."""
    resets = draw_resets(True, rng, B, T)
    assert resets.any()
    make = lambda hk, core: hk.ResetCore(core)  # noqa: E731
    _hold(row, haiku, rng, make, resets, reverse=backwards)
