"""TensorFlow Addons 0.23's decoders, on TensorFlow 2.15: Python 3.11."""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
import tensorflow_addons as tfa

from cases import Decoding
from peers import THREADS, Ready
from peers.decoder import END, SHOWN, START, arrays

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)


def versions() -> dict[str, str]:
    """Addons and TensorFlow."""
    return {"addons": tfa.__version__, "tensorflow": tf.__version__}


class Model:
    """Embedding, wrapped cells and output layer, with the shared weights."""

    def __init__(self, case: Decoding):
        vocabulary, self.units, self.layers = case.widths
        layers = tf.keras.layers
        given = arrays(case)
        self.given = {name: tf.constant(a) for name, a in given.items()}
        self.cells = [layers.LSTMCell(self.units) for _ in range(self.layers)]
        self.mechanism = tfa.seq2seq.BahdanauAttention(self.units)
        self.cell = tfa.seq2seq.AttentionWrapper(
            layers.StackedRNNCells(self.cells),
            self.mechanism,
            attention_layer_size=self.units,
        )
        self.output = layers.Dense(vocabulary)
        self.embedding = layers.Embedding(vocabulary, self.units)
        self.embedding.build(None)
        # Nothing has weights before it was called.
        self.begin()
        state = self.state()
        self.output(self.cell(tf.zeros((case.rows[0], self.units)), state)[0])
        self.variables = {
            "embeddings": self.embedding.embeddings,
            "query": self.mechanism.query_layer.kernel,
            "keys": self.mechanism.memory_layer.kernel,
            "score": self.mechanism.attention_v,
            "attention": self.cell._attention_layers[0].kernel,
            "output": self.output.kernel,
            "output_bias": self.output.bias,
        }
        for n, each in enumerate(self.cells):
            self.variables[f"kernel_{n}"] = each.kernel
            self.variables[f"recurrent_{n}"] = each.recurrent_kernel
            self.variables[f"bias_{n}"] = each.bias
        for name, variable in self.variables.items():
            variable.assign(given[name])

    def begin(self, width: int = 1) -> None:
        """Read the memory; beams read copies of it."""
        memory = self.given["memory"]
        if width > 1:
            memory = tfa.seq2seq.tile_batch(memory, width)
        self.mechanism.setup_memory(memory)

    def state(self, width: int = 1):
        """The given one, in the wrapper's."""
        many = lambda a: tfa.seq2seq.tile_batch(a, width) if width > 1 else a  # noqa: E731
        inner = tuple(
            [many(self.given[f"{name}_{n}"]) for name in "hc"]
            for n in range(self.layers)
        )
        rows = inner[0][0].shape[0]
        fresh = self.cell.get_initial_state(batch_size=rows, dtype="float32")
        return fresh.clone(cell_state=inner)


def build_decoding(case: Decoding) -> Ready:
    """A gradient, or a search, as a graph."""
    model = Model(case)
    rows, steps, _ = case.rows
    given = model.given
    start = tf.fill([rows], START)
    if case.mode == "training":
        return taught(model, steps)
    width = case.beam if case.mode == "beam" else 1
    if width > 1:
        decoder = tfa.seq2seq.BeamSearchDecoder(
            model.cell, width, output_layer=model.output, maximum_iterations=steps
        )
    else:
        decoder = tfa.seq2seq.BasicDecoder(
            model.cell,
            tfa.seq2seq.GreedyEmbeddingSampler(),
            output_layer=model.output,
            maximum_iterations=steps,
        )

    @tf.function
    def search(memory):
        del memory
        model.begin(width)
        return decoder(
            model.embedding.embeddings,
            start_tokens=start,
            end_token=END,
            initial_state=model.state(width),
        )[0]

    def results(found):
        if width == 1:
            return {"tokens": found.sample_id.numpy()[:, None]}
        scores = found.beam_search_decoder_output.scores[:, -1]
        tokens = tf.transpose(found.predicted_ids, [0, 2, 1])
        return {"tokens": tokens.numpy(), "scores": scores.numpy()}

    def run():
        found = search(given["memory"])
        tf.nest.flatten(found)[0].numpy()  # waits
        return found

    return Ready(run, results)


def taught(model: Model, steps: int) -> Ready:
    """The loss, and the gradients of weights and memory."""
    given = model.given
    decoder = tfa.seq2seq.BasicDecoder(
        model.cell, tfa.seq2seq.TrainingSampler(), output_layer=model.output
    )
    moved = [*model.variables.values(), given["memory"]]

    @tf.function
    def gradient(tokens, targets):
        with tf.GradientTape() as tape:
            tape.watch(given["memory"])
            model.begin()
            lengths = tf.fill([tokens.shape[0]], steps)
            logits = decoder(
                model.embedding(tokens),
                initial_state=model.state(),
                sequence_length=lengths,
            )[0].rnn_output
            weights = tf.ones(targets.shape)
            loss = tfa.seq2seq.sequence_loss(logits, targets, weights)
        return loss, tape.gradient(loss, moved)

    def run():
        loss, gradients = gradient(given["tokens"], given["targets"])
        loss.numpy()  # waits
        return loss, gradients

    def results(result):
        loss, gradients = result
        found = dict(zip([*model.variables, "memory"], gradients, strict=True))
        named = {f"d{name}": found[name].numpy() for name in (*SHOWN, "memory")}
        return {**named, "loss": loss.numpy()}

    return Ready(run, results)
