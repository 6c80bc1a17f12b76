"""The decoder as a cell of one's own in Keras's `RNN`, as one would write it there."""

from __future__ import annotations

import jax
import keras
import numpy as np
from keras import ops

from cases import Decoding
from peers import Ready, UnsupportedError
from peers.decoder import SHOWN, START, WEIGHTS, arrays


class Attending(keras.layers.Layer):
    """Two LSTM cells and attention; the memory is put on the cell before each call.

    Args:
        case: with its sizes.
        feeds_back: read the likeliest token of the step before.
    """

    def __init__(self, case: Decoding, feeds_back: bool):
        super().__init__()
        vocabulary, self.units, self.layers = case.widths
        self.feeds_back = feeds_back
        self.cells = [keras.layers.LSTMCell(self.units) for _ in range(self.layers)]
        dense = keras.layers.Dense
        self.query = dense(self.units, use_bias=False)
        self.keys = dense(self.units, use_bias=False)
        self.score = dense(1, use_bias=False)
        self.attention = dense(self.units, use_bias=False)
        self.embedding = keras.layers.Embedding(vocabulary, self.units)
        self.output_layer = dense(vocabulary)
        self.state_size = [self.units] * (2 * self.layers + 1 + feeds_back)
        self.output_size = () if feeds_back else self.units
        self.memory = self.projected = None

    def build(self, _) -> None:
        """Every layer."""
        units = self.units
        for n, cell in enumerate(self.cells):
            cell.build((None, units if n else 2 * units))
        self.query.build((None, units))
        self.keys.build((None, None, units))
        self.score.build((None, None, units))
        self.attention.build((None, 2 * units))
        self.embedding.build((None,))
        self.output_layer.build((None, units))
        self.built = True

    def remember(self, memory) -> None:
        """Before a call of the layer."""
        self.memory, self.projected = memory, self.keys(memory)

    def call(self, inputs, states):
        """One step."""
        *each, attention = states
        if self.feeds_back:
            *each, attention, inputs = states
        y, after = ops.concatenate([inputs, attention], -1), []
        for n, cell in enumerate(self.cells):
            y, states = cell(y, each[2 * n : 2 * n + 2])
            after += states
        hidden = ops.tanh(self.projected + self.query(y)[:, None])
        shares = ops.softmax(self.score(hidden)[..., 0], -1)
        context = ops.einsum("bs,bsm->bm", shares, self.memory)
        attention = self.attention(ops.concatenate([y, context], -1))
        if not self.feeds_back:
            return attention, [*after, attention]
        token = ops.argmax(self.output_layer(attention), -1)
        return token, [*after, attention, self.embedding(token)]


def build_decoding(case: Decoding) -> Ready:
    """A gradient, or greedy decoding."""
    if case.mode == "beam":
        raise UnsupportedError("a beam search is not an RNN")
    rows, steps, _ = case.rows
    given = arrays(case)
    cell = Attending(case, case.mode == "greedy")
    rnn = keras.layers.RNN(cell, return_sequences=True)
    cell.build(None)
    rnn.built = True
    variables = {
        "embeddings": cell.embedding.embeddings,
        "query": cell.query.kernel,
        "keys": cell.keys.kernel,
        "score": cell.score.kernel,
        "attention": cell.attention.kernel,
        "output": cell.output_layer.kernel,
        "output_bias": cell.output_layer.bias,
    }
    for n, each in enumerate(cell.cells):
        variables |= {f"kernel_{n}": each.kernel, f"bias_{n}": each.bias}
        variables[f"recurrent_{n}"] = each.recurrent_kernel
    given["score"] = given["score"][:, None]
    given = {name: jax.numpy.asarray(a) for name, a in given.items()}
    weights = {k: a for k, a in given.items() if k.startswith(WEIGHTS)}
    states = [given[f"{name}_{n}"] for n in range(cell.layers) for name in "hc"]
    states.append(ops.zeros_like(states[0]))

    def called(weights, memory, x, states):
        mapping = [(variables[name], a) for name, a in weights.items()]
        with keras.StatelessScope(mapping):
            cell.remember(memory)
            if not cell.feeds_back:
                y = rnn(cell.embedding(x), initial_state=states)
                return cell.output_layer(y)
            return rnn(x, initial_state=[*states, cell.embedding(x[:, 0, 0])])

    if case.mode == "greedy":
        compiled = jax.jit(called)
        start = jax.numpy.full((rows, steps, 1), START)
        args = weights, given["memory"], start, states
        return Ready(
            lambda: jax.block_until_ready(compiled(*args)),
            lambda tokens: {"tokens": np.asarray(tokens)[:, None]},
        )

    def loss(weights, memory, states, tokens, targets):
        logits = called(weights, memory, tokens, states)
        each = keras.losses.sparse_categorical_crossentropy(
            targets, logits, from_logits=True
        )
        return ops.mean(each)

    def results(result):
        value, (gradients, of_memory) = result
        named = {f"d{name}": gradients[name] for name in SHOWN}
        named |= {"loss": value, "dmemory": of_memory}
        return {name: np.asarray(a) for name, a in named.items()}

    compiled = jax.jit(jax.value_and_grad(loss, (0, 1)))
    args = weights, given["memory"], states, given["tokens"], given["targets"]
    return Ready(lambda: jax.block_until_ready(compiled(*args)), results)
