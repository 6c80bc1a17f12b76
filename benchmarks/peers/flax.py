"""flax.linen's recurrent cells under `nn.RNN`, jitted."""

from __future__ import annotations

import flax
import jax
import numpy as np
from flax import linen as nn

from cases import GATES, Case
from peers import Ready, UnsupportedError, compiled
from peers.given import arrays

CELLS = {
    "SimpleRNN": nn.SimpleCell,
    "LSTM": nn.OptimizedLSTMCell,
    "GRU": nn.GRUCell,
}
NAMES = {"SimpleRNN": [""], "LSTM": ["i", "f", "g", "o"], "GRU": ["z", "r", "n"]}


def versions() -> dict[str, str]:
    """Flax and JAX."""
    return {"flax": flax.__version__, "jax": jax.__version__}


def parameters(case: Case, given) -> dict:
    """The shared weights under flax's names; its biases sit on one side only."""
    g = GATES[case.cell]
    split = lambda a: np.split(a, g, axis=-1)  # noqa: E731
    bias = given.bias if case.cell == "GRU" else [given.bias, None]
    made = {}
    for n, name in enumerate(NAMES[case.cell]):
        inputs = {"kernel": split(given.kernel)[n]}
        hidden = {"kernel": split(given.recurrent_kernel)[n]}
        b = split(bias[0])[n]
        if case.cell == "LSTM":
            hidden["bias"] = b
        elif name == "n":
            inputs["bias"], hidden["bias"] = b, split(bias[1])[n]
        else:
            inputs["bias"] = b + (split(bias[1])[n] if case.cell == "GRU" else 0)
        made[f"i{name}"], made[f"h{name}"] = inputs, hidden
    return {"params": {"cell": jax.tree.map(jax.numpy.asarray, made)}}


def build(case: Case) -> Ready:
    """Jit the forward pass, or the forward pass and all its gradients."""
    if case.recurrent_dropout:
        raise UnsupportedError("no recurrent dropout")
    if not case.use_bias:
        raise UnsupportedError("its cells always have a bias")
    if case.mask == "random":
        raise UnsupportedError("right-padded sequences only")
    given = arrays(case)
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    dtype = case.dtype
    layer = nn.RNN(CELLS[case.cell](case.shape[3], dtype=dtype))
    x = jax.numpy.asarray(given.x, dtype)
    states = [jax.numpy.asarray(s, dtype) for s in given.states]
    lengths = None if given.mask is None else jax.numpy.asarray(given.mask.sum(1))
    weights = parameters(case, given)

    def forward(x, weights, states):
        carry = (states[1], states[0]) if len(states) == 2 else states[0]
        return layer.apply(weights, x, initial_carry=carry, seq_lengths=lengths)

    dy = jax.numpy.asarray(given.dy, dtype)
    return compiled.build(case.mode, forward, x, weights, states, dy)
