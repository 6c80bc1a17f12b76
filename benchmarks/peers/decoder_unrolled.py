"""Our `Decoder`, compiled with its weights as arguments."""

from __future__ import annotations

import unrolled

import jax
import keras
import numpy as np

from cases import Decoding
from peers import Ready
from peers.decoder import END, SHOWN, START, WEIGHTS, arrays


def build_decoding(case: Decoding) -> Ready:
    """A gradient, or a search."""
    (_, steps, memory), (vocabulary, units, layers) = case.rows, case.widths
    given = arrays(case)
    cells = [unrolled.LSTMCell(units) for _ in range(layers)]
    mechanism = unrolled.BahdanauAttention(units)
    cell = unrolled.AttentionCell(unrolled.StackedRNNCells(cells), mechanism, units)
    decoder = unrolled.Decoder(
        keras.layers.Embedding(vocabulary, units), cell, keras.layers.Dense(vocabulary)
    )
    decoder.build((None, None), memory_shape=(None, memory, units))
    variables = {
        "embeddings": decoder.embedding.embeddings,
        "query": mechanism.query_layer.kernel,
        "keys": mechanism.memory_layer.kernel,
        "score": mechanism.attention_v,
        "attention": cell.attention_layers[0].kernel,
        "output": decoder.output_layer.kernel,
        "output_bias": decoder.output_layer.bias,
    }
    for n, each in enumerate(cells):
        variables |= {f"kernel_{n}": each.kernel, f"bias_{n}": each.bias}
        variables[f"recurrent_{n}"] = each.recurrent_kernel
    assert len(variables) == len(decoder.trainable_variables)
    given = {name: jax.numpy.asarray(a) for name, a in given.items()}
    weights = {k: a for k, a in given.items() if k.startswith(WEIGHTS)}
    states = [[given[f"h_{n}"], given[f"c_{n}"]] for n in range(layers)]

    def called(weights, function):
        mapping = [(variables[name], a) for name, a in weights.items()]
        with keras.StatelessScope(mapping):
            return function()

    if case.mode != "training":

        def search(weights, states, memory):
            options = {"initial_state": states, "memory": memory, "max_steps": steps}
            width = case.beam if case.mode == "beam" else 1
            return called(
                weights,
                lambda: decoder.generate(START, end=END, beam_width=width, **options),
            )

        def found(result):
            named = {"tokens": result.tokens, "scores": result.scores}
            return {name: np.asarray(a) for name, a in named.items()}

        compiled = jax.jit(search)
        args = weights, states, given["memory"]
        return Ready(lambda: jax.block_until_ready(compiled(*args)), found)

    def loss(weights, memory, states, tokens, targets):
        options = {"initial_state": states, "memory": memory, "training": True}
        logits = called(weights, lambda: decoder(tokens, **options))
        return unrolled.sequence_loss(logits, targets)

    def results(result):
        value, (gradients, of_memory) = result
        named = {f"d{name}": gradients[name] for name in SHOWN}
        named |= {"loss": value, "dmemory": of_memory}
        return {name: np.asarray(a) for name, a in named.items()}

    compiled = jax.jit(jax.value_and_grad(loss, (0, 1)))
    args = weights, given["memory"], states, given["tokens"], given["targets"]
    return Ready(lambda: jax.block_until_ready(compiled(*args)), results)
