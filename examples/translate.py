"""Train a translator on real sentences, and say how good it is.

The sentences are what programs say, out of message catalogues (`catalogues.py`), or
lines of your own, a text, a tab and its translation. An `unrolled.Seq2Seq` learns them:
a bidirectional encoder, a decoder with attention, byte pairs that are learnt from the
sentences. What it makes of messages that it was not trained on is judged by BLEU and
chrF, beside two ways that learn nothing (`judge.py`).

    make translate         # all of it: 36 minutes; again, it goes on where it stopped
    .venv/bin/python examples/translate.py --quick           # one catalogue: 3 minutes
    .venv/bin/python examples/translate.py --resume          # go on after Ctrl-C
    .venv/bin/python examples/translate.py --data pairs.tsv --out runs/own
    .venv/bin/unrolled translate runs/translate/model.keras "Save the file"

The run folder holds model.keras, which translates on its own: the tokenizer is in it;
settings.json, history.json and report.md.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import unrolled

import keras
import typer
from rich.console import Console

import judge
from catalogues import FOLDER, read_folder, read_table
from folder import (
    RequestError,
    WriteError,
    holds,
    leave,
    open_folder,
    reading,
    write_whole,
)
from pairs import Split, cleaned, split

console = Console(highlight=False)
LATER = ("epochs", "minutes", "beam")


@dataclass(frozen=True)
class Settings:
    """What a run depends on. Only those of `LATER` may change when it is resumed."""

    language: str = "fr"
    packages: str = "*"
    data: str = ""
    longest: int = 200
    units: int = 256
    layers: int = 1
    vocabulary: int = 4000
    dropout: float = 0.3
    batch: int = 32
    rate: float = 2e-3
    seed: int = 0
    epochs: int = 30
    minutes: float = 36.0
    beam: int = 5


QUICK = Settings(
    packages="jupyterlab*", longest=80, units=128, vocabulary=1500, minutes=3.0
)


def load(settings: Settings, folder: Path) -> tuple[Split, str]:
    """Read, clean and split the sentences; and say how many there are."""
    if settings.data:
        raw = read_table(Path(settings.data))
    else:
        raw = read_folder(folder, settings.language, settings.packages)
    pairs, left_out = cleaned(raw, settings.longest)
    sides = split(pairs)
    if not all(sides):
        raise RequestError(
            f"There must be messages to train on, to choose by and to test on. Got "
            f"{len(sides.train)}, {len(sides.valid)} and {len(sides.test)} of "
            f"{len(raw)} pairs: give more of them."
        )
    reasons = ", ".join(f"{count:,} {name}" for name, count in left_out.most_common())
    return sides, (
        f"{len(raw):,} messages, {len(pairs):,} pairs ({reasons} left out): "
        f"{len(sides.train):,} to train on, {len(sides.valid):,} to watch, "
        f"{len(sides.test):,} to test on."
    )


def texts_of(pairs) -> list[tuple[str, str]]:
    """Give sources and targets alone."""
    return [(pair.source, pair.target) for pair in pairs]


def build(settings: Settings, sides: Split) -> unrolled.Seq2Seq:
    """Make the model, with a tokenizer learnt from what it is trained on."""
    keras.utils.set_random_seed(settings.seed)
    model = unrolled.Seq2Seq.from_texts(
        texts_of(sides.train),
        settings.units,
        vocabulary_size=settings.vocabulary,
        num_layers=settings.layers,
        dropout=settings.dropout,
        max_length=256,
    )
    model.compile(
        keras.optimizers.Adam(settings.rate, global_clipnorm=1.0),
        unrolled.SequenceLoss(label_smoothing=0.1),
    )
    model.optimizer.build(model.trainable_variables)  # so the first save is whole
    return model


def open_run(out: Path, settings: Settings, sides: Split, resume: bool):
    """Return the model, its batches, the history so far."""
    model_file, history = out / "model.keras", []
    begun = holds(model_file)
    if begun and not resume:
        raise RequestError(
            f"{out} already holds a run: go on with it (--resume), or name another "
            "folder (--out)."
        )
    if begun:
        with reading(model_file):
            model = keras.models.load_model(model_file)
    else:
        model = build(settings, sides)
    training = unrolled.Pairs(
        texts_of(sides.train),
        model.tokenizer,
        settings.batch,
        max_length=model.max_length,
        seed=settings.seed,
    )
    # The optimizer's own count says how far the saved weights are.
    done = int(model.optimizer.iterations) // len(training)
    if done:
        with reading(out / "history.json"):
            history = json.loads((out / "history.json").read_text())[:done]
            if len(history) < done:
                raise RequestError(f"it ends before epoch {done}")
    text = json.dumps(asdict(settings), indent=2) + "\n"
    write_whole(out / "settings.json", lambda part: part.write_text(text))
    if not begun:
        write_whole(model_file, model.save)
    return model, training, history


def begin_epoch(model: unrolled.Seq2Seq, settings: Settings, epoch: int, used: float):
    """Set what an epoch depends on, beside the weights: a resumed run has the same.

    The rate falls to a twentieth by the last epoch, or by the last minute. What dropout
    draws depends on the seed and the epoch.
    """
    gone = max(epoch / settings.epochs, used / (60 * settings.minutes))
    model.optimizer.learning_rate = settings.rate * max(1 - gone, 0.05)
    for variable in model.non_trainable_variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign([settings.seed, epoch])


def train(
    settings: Settings, sides: Split, out: Path, resume: bool = False
) -> tuple[unrolled.Seq2Seq, list[dict]]:
    """Train, saving after every epoch, and return the model and its history."""
    open_folder(out)
    model, training, history = open_run(out, settings, sides, resume)
    if history:
        console.print(f"Resuming {out} after epoch {len(history)}.")
    console.print(
        f"{model.count_params():,} weights, {model.tokenizer.vocabulary_size:,} ids; "
        f"{len(training):,} batches make an epoch."
    )
    valid = texts_of(sides.valid)
    for epoch in range(len(history), settings.epochs):
        used = sum(row["seconds"] for row in history)
        if history and used + history[-1]["seconds"] > 60 * settings.minutes:
            console.print(f"Another epoch has no room in {settings.minutes:g} minutes.")
            break
        begin_epoch(model, settings, epoch, used)
        start = time.perf_counter()
        result = model.fit(
            training,
            initial_epoch=epoch,
            epochs=epoch + 1,
            batch_size=settings.batch,
            validation_data=valid,
            verbose=1 if console.is_terminal else 0,
        )
        row = {name: values[0] for name, values in result.history.items()}
        seconds = time.perf_counter() - start
        history.append({"epoch": epoch + 1, **row, "seconds": seconds})
        # History first: a resumed run drops a line whose weights were not saved.
        said = json.dumps(history, indent=1) + "\n"
        write_whole(out / "history.json", lambda part, said=said: part.write_text(said))
        write_whole(out / "model.keras", model.save)
        console.print(
            f"Epoch {epoch + 1}/{settings.epochs}: loss {row['loss']:.3f}, of messages "
            f"to watch {row['val_loss']:.3f}; {seconds:.0f} s"
        )
    return model, history


def run(settings: Settings, folder: Path, out: Path, resume: bool) -> None:
    """Train, judge, and write the report."""
    sides, said = load(settings, folder)
    console.print(said)
    model, history = train(settings, sides, out, resume)
    minutes = sum(row["seconds"] for row in history) / 60
    head = (
        f"# English to {settings.data or settings.language}\n\n{said}\n\n"
        f"{model.count_params():,} weights; layers of each side: {settings.layers}, "
        f"units: {settings.units}, ids: {model.tokenizer.vocabulary_size:,}. "
        f"Epochs: {len(history)}, in {minutes:.1f} minutes.\n\n"
    )
    found = judge.ways(model.translate, sides.train, sides.test, settings.beam)
    report = head + judge.report(found, sides.test)
    write_whole(out / "report.md", lambda part: part.write_text(report, "utf-8"))
    console.print(report, markup=False, soft_wrap=True)
    console.print(
        f"This is {out / 'report.md'}. Translate with: unrolled translate "
        f'{out / "model.keras"} "Save the file"',
        soft_wrap=True,
    )
    sys.stdout.flush()


def settings_of(typed: dict, out: Path, resume: bool, quick: bool) -> Settings:
    """What was typed; the rest as the run in the folder was begun, or the default."""
    if not resume or not holds(out / "model.keras"):
        return replace(QUICK if quick else Settings(), **typed)
    file = out / "settings.json"
    with reading(file):
        before = Settings(**json.loads(file.read_text()))
    for name, value in typed.items():
        if name not in LATER and getattr(before, name) != value:
            raise RequestError(
                f"The run in {out} was begun with --{name} {getattr(before, name)}, so "
                f"it cannot be resumed with --{name} {value}."
            )
    return replace(before, **typed)


def left_in(out: Path) -> str:
    """Say what a run that was stopped leaves behind."""
    if not holds(out / "model.keras"):
        return "Nothing was saved."
    return (
        f"{out / 'model.keras'} holds the translator as it was after the last whole "
        "epoch; --resume goes on from there."
    )


def main(
    context: typer.Context,
    language: Annotated[str, typer.Option(help="fr, de, es ...")] = "fr",
    packages: Annotated[str, typer.Option(help="Which, such as 'django*'.")] = "*",
    data: Annotated[
        str, typer.Option(help="In place of packages: a file of tab-separated pairs.")
    ] = "",
    longest: Annotated[int, typer.Option(min=1, help="Characters at most.")] = 200,
    units: Annotated[int, typer.Option(min=1, help="Width of the states.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Of each side.")] = 1,
    vocabulary: Annotated[int, typer.Option(min=259, help="V, at most.")] = 4000,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Share.")] = 0.3,
    batch: Annotated[int, typer.Option(min=1, help="Pairs per update.")] = 32,
    rate: Annotated[float, typer.Option(min=0, help="Of Adam, at first.")] = 2e-3,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every random choice.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes at most.")] = 30,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Of training, at most.")
    ] = 36.0,
    beam: Annotated[int, typer.Option(min=1, help="K of the beam search.")] = 5,
    folder: Annotated[Path, typer.Option(help="Where the packages are.")] = FOLDER,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/translate"),
    quick: Annotated[
        bool, typer.Option("--quick", help="One small catalogue, a small network.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the run folder.")
    ] = False,
) -> None:
    """Train a translator on message catalogues, and judge it."""
    given = Settings(
        language,
        packages,
        data,
        longest,
        units,
        layers,
        vocabulary,
        dropout,
        batch,
        rate,
        seed,
        epochs,
        minutes,
        beam,
    )
    sources = {name: context.get_parameter_source(name) for name in asdict(given)}
    typed = {
        name: value
        for name, value in asdict(given).items()
        if (source := sources[name]) and source.name == "COMMANDLINE"
    }
    try:
        run(settings_of(typed, out, resume, quick), folder, out, resume)
    except WriteError as problem:
        leave(f"translate: {problem} {left_in(out)}")
    except RequestError as problem:
        leave(f"translate: {problem}")
    except OSError as problem:  # files are named above; this is standard output
        leave(f"translate: nothing can be printed ({problem}). {left_in(out)}")
    except KeyboardInterrupt:
        leave(f"\nStopped. {left_in(out)}", 130)


if __name__ == "__main__":
    typer.run(main)
