"""The configuration of the classic tutorial, with what its parts are called now.

TensorFlow's first translator had 40,000 words on both sides, three layers of size 1024,
attention, batches of 64 in four buckets of lengths, a softmax over 512 words that were
sampled at each step, and plain gradient descent: rate .5, times .99 whenever the loss
stops falling, gradients clipped to a norm of 5. Here that trains on message catalogues,
with the full softmax and with the sampled one, each in a process of its own, so that
what it took of memory is its own.

    make catalogues
    .venv/bin/python examples/classic.py                  # GRU; some minutes
    .venv/bin/python examples/classic.py --cell lstm --steps 20

`examples/translate.py` is a translator for use. The old functions themselves, in lists
of steps as they were, are in `unrolled.tf1.legacy_seq2seq`.
"""

import concurrent.futures
import multiprocessing
import re
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import unrolled

import jax
import keras
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from catalogues import FOLDER, Pair, read_folder, read_table
from folder import RequestError, leave
from pairs import cleaned

console = Console(highlight=False)
BUCKETS = [(5, 10), (10, 15), (20, 25), (40, 50)]
PAD, GO, END, UNKNOWN = range(4)
WORD = re.compile(r"\w+|[^\w\s]")
LAYERS = {"gru": unrolled.GRU, "lstm": unrolled.LSTM}
CELLS = {"gru": unrolled.GRUCell, "lstm": unrolled.LSTMCell}


class CellName(StrEnum):
    """What --cell can be."""

    gru = "gru"
    lstm = "lstm"


@dataclass(frozen=True)
class Settings:
    """The tutorial's."""

    cell: str = "gru"
    vocabulary: int = 40_000
    size: int = 1024
    layers: int = 3
    batch: int = 64
    sampled: int = 512
    steps: int = 5
    seed: int = 0


class Batch(NamedTuple):
    """What is read ``(B, S)``; what each step is given, and has to say, ``(B, T)``."""

    source: np.ndarray
    given: np.ndarray
    target: np.ndarray


def words(text: str) -> list[str]:
    """Split at spaces and punctuation; every digit is a 0."""
    return WORD.findall(re.sub(r"\d", "0", text))


def ids_of(texts: list[list[str]], size: int) -> list[list[int]]:
    """Number words by how frequent they are, as the sampled softmax wants it."""
    counts = Counter(word for text in texts for word in text)
    common = counts.most_common(size - 4)
    number = {word: n for n, (word, _) in enumerate(common, 4)}
    return [[number.get(word, UNKNOWN) for word in text] for text in texts]


def in_buckets(
    pairs: list[Pair], vocabulary: int
) -> dict[tuple[int, int], list[tuple[list[int], list[int]]]]:
    """Sort pairs of ids into the shortest bucket that holds both, without the rest."""
    sources = ids_of([words(pair.source) for pair in pairs], vocabulary)
    targets = ids_of([words(pair.target) for pair in pairs], vocabulary)
    found = {bucket: [] for bucket in BUCKETS}
    for source, target in zip(sources, targets, strict=True):
        for S, T in BUCKETS:
            if len(source) <= S and len(target) < T:  # the end has a step, too
                found[S, T].append((source, target))
                break
    return {bucket: rows for bucket, rows in found.items() if rows}


def draw(rows: list, bucket: tuple[int, int], batch: int, rng) -> Batch:
    """Draw a batch from a bucket, as the tutorial did: what is read, from its end."""
    S, T = bucket
    arrays = Batch(*(np.zeros((batch, n), "int32") for n in (S, T, T)))
    for b, k in enumerate(rng.integers(len(rows), size=batch)):
        source, target = rows[k]
        arrays.source[b, : len(source)] = source[::-1]
        arrays.given[b, : len(target) + 1] = [GO, *target]
        arrays.target[b, : len(target) + 1] = [*target, END]
    return arrays


class Classic(keras.Model):
    """Layers that read, and a decoder of as many that attends to what they read."""

    def __init__(self, settings: Settings, softmax: str) -> None:
        """Make the parts; `softmax` is ``"full"`` or ``"sampled"``."""
        super().__init__()
        V, size = settings.vocabulary, settings.size
        self.read = keras.layers.Embedding(V, size)
        self.encoder = [
            LAYERS[settings.cell](size, return_sequences=True, return_state=True)
            for _ in range(settings.layers)
        ]
        cells = [CELLS[settings.cell](size) for _ in range(settings.layers)]
        attending = unrolled.AttentionCell(
            unrolled.StackedRNNCells(cells),
            unrolled.BahdanauAttention(size),
            attention_layer_size=size,
        )
        last = (
            unrolled.SampledDense(V, num_sampled=settings.sampled)
            if softmax == "sampled"
            else keras.layers.Dense(V)
        )
        self.decoder = unrolled.Decoder(
            keras.layers.Embedding(V, size), attending, last
        )
        self.compile(
            keras.optimizers.SGD(0.5, global_clipnorm=5.0),
            unrolled.SampledSoftmaxLoss()
            if softmax == "sampled"
            else unrolled.SequenceLoss(),
        )

    def encode(self, source):
        """Return what the decoder is called with beside its tokens."""
        mask = source != PAD
        x, states = self.read(source), []
        for layer in self.encoder:
            x, *state = layer(x, mask=mask)
            states.append(state)
        return {"initial_state": states, "memory": x, "memory_mask": mask}

    def call(self, inputs, training=False):
        """Teach: each step is given the word before."""
        source, given = inputs
        # Only a last layer that is told of training samples.
        return self.decoder(given, training=training, **self.encode(source))

    def greedy(self, source, steps: int) -> jax.Array:
        """Translate ``(B, S)`` to ``(B, T)``, the likeliest word at each step."""
        found = self.decoder.generate(
            GO, end=END, max_steps=steps, **self.encode(source)
        )
        return found.tokens[:, 0]


def measure(settings: Settings, softmax: str, pairs: list[Pair]) -> dict:
    """Train some steps in every bucket.

    Returns:
        Weights; milliseconds of a step in each bucket, the fastest; the perplexity at
        first and last; the learning rate; milliseconds of a greedy batch; and the most
        memory, in MiB, that this process ever had.
    """
    keras.utils.set_random_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    buckets = in_buckets(pairs, settings.vocabulary)
    model = Classic(settings, softmax)
    times = {bucket: [] for bucket in buckets}
    losses = []
    for turn in range(settings.steps + 1):
        found = []
        for bucket, rows in buckets.items():
            x = draw(rows, bucket, settings.batch, rng)
            weights = (x.target != PAD).astype("float32")
            start = time.perf_counter()
            loss = model.train_on_batch((x.source, x.given), x.target, weights)
            if turn:  # a bucket's first step is compiled
                times[bucket].append(1000 * (time.perf_counter() - start))
            found.append(float(np.asarray(loss)))
        if len(losses) > 2 and np.mean(found) > max(losses[-3:]):
            rate = model.optimizer.learning_rate
            rate.assign(0.99 * rate.value)
        losses.append(float(np.mean(found)))
    trained = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    bucket = next(iter(buckets))
    source = draw(buckets[bucket], bucket, settings.batch, rng).source
    jax.block_until_ready(model.greedy(source, bucket[1]))  # compiles
    start = time.perf_counter()
    jax.block_until_ready(model.greedy(source, bucket[1]))
    greedy = 1000 * (time.perf_counter() - start)
    return {
        "softmax": softmax,
        "weights": model.count_params(),
        "ms": {bucket: min(taken) for bucket, taken in times.items()},
        "perplexity": (float(np.exp(losses[0])), float(np.exp(losses[-1]))),
        "rate": float(np.asarray(model.optimizer.learning_rate)),
        "greedy": greedy,
        "memory": trained,
    }


def alone(settings: Settings, softmax: str, pairs: list[Pair]) -> dict:
    """Call `measure` in a process of its own: its peak of memory is nobody else's."""
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn")
    ) as pool:
        return pool.submit(measure, settings, softmax, pairs).result()


def report(settings: Settings, pairs: list[Pair], found: list[dict]) -> None:
    """Print one column for each softmax."""
    buckets = in_buckets(pairs, settings.vocabulary)
    table = Table("", *(f"{each['softmax']} softmax" for each in found))
    for bucket, rows in buckets.items():
        named = f"ms a step, bucket {bucket} of {len(rows):,} pairs"
        table.add_row(named, *(f"{each['ms'][bucket]:,.0f}" for each in found))
    for name, key in [
        (f"ms, {settings.batch} greedy translations", "greedy"),
        ("MiB, the most in training", "memory"),
        ("weights", "weights"),
    ]:
        table.add_row(name, *(f"{each[key]:,.0f}" for each in found))
    losses = [" to ".join(f"{n:,.0f}" for n in each["perplexity"]) for each in found]
    said = f"perplexity of what is trained on, {settings.steps + 1} steps a bucket"
    table.add_row(said, *losses)
    console.print(table)


def main(
    cell: Annotated[CellName, typer.Option(help="The recurrent layers.")] = (
        CellName.gru
    ),
    vocabulary: Annotated[int, typer.Option(min=8, help="V, of each side.")] = 40_000,
    size: Annotated[int, typer.Option(min=1, help="U, and of the embeddings.")] = 1024,
    layers: Annotated[int, typer.Option(min=1, help="One above the other.")] = 3,
    batch: Annotated[int, typer.Option(min=1, help="B.")] = 64,
    sampled: Annotated[int, typer.Option(min=1, help="Words of the sample.")] = 512,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps in each bucket.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every random choice.")] = 0,
    folder: Annotated[Path, typer.Option(help="Where the packages are.")] = FOLDER,
    language: Annotated[str, typer.Option(help="fr, de, es ...")] = "fr",
    data: Annotated[
        Path | None, typer.Option(help="In place of packages: tab-separated pairs.")
    ] = None,
) -> None:
    """Time the tutorial's network with the full and with the sampled softmax."""
    settings = Settings(
        cell.value, vocabulary, size, layers, batch, sampled, steps, seed
    )
    try:
        if not sampled <= vocabulary:
            raise RequestError(
                f"--sampled must be at most {vocabulary}, the vocabulary. Got "
                f"{sampled}."
            )
        raw = read_table(data) if data else read_folder(folder, language)
        pairs, _ = cleaned(raw)
        if not in_buckets(pairs, vocabulary):
            raise RequestError(
                f"There must be pairs that fit the buckets {BUCKETS}. Got {len(pairs)} "
                "pairs, none of which does."
            )
        console.print(f"{settings}; {len(pairs):,} pairs")
        found = [alone(settings, kind, pairs) for kind in ("full", "sampled")]
        report(settings, pairs, found)
    except RequestError as problem:
        leave(f"classic: {problem}")
    except OSError as problem:  # files are named above; this is standard output
        leave(f"classic: nothing can be printed ({problem}).")
    except KeyboardInterrupt:
        leave("\nStopped.", 130)
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
