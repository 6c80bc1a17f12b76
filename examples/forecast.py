"""Forecast a day, hour by hour: does a decoder beat repeating the last day?

The series is made here, hour by hour over two years: people use less on weekends and
at night, more when it is cold, and how cold it is wanders from day to day. An encoder
reads three days; a decoder gives the next one, each hour from its own value of the hour
before and from what is known of every hour beforehand, the time of day and of the week.

    .venv/bin/python examples/forecast.py
    .venv/bin/python examples/forecast.py --units 64 --epochs 20

The run folder holds forecast.png.
"""

from pathlib import Path
from typing import Annotated

import unrolled

import keras
import numpy as np
import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from folder import RequestError, leave, open_folder, write_whole

console = Console()
DAY, PAST, YEARS = 24, 3 * 24, 2


def series(seed: int = 0) -> np.ndarray:
    """What is used in each hour of two years, about 0 and of spread 1."""
    rng = np.random.default_rng(seed)
    hours = np.arange(YEARS * 365 * DAY)
    of_day, weekend = hours % DAY, hours // DAY % 7 >= 5
    work = np.exp(-((of_day - 9) ** 2) / 8) + 1.3 * np.exp(-((of_day - 19) ** 2) / 10)
    rest = 0.9 * np.exp(-((of_day - 13) ** 2) / 30)
    cold = np.zeros(len(hours))
    for hour in hours[1:]:
        cold[hour] = 0.99 * cold[hour - 1] + 0.06 * rng.normal()
    season = 0.5 * np.cos(2 * np.pi * hours / (365 * DAY))
    noise = 0.05 * rng.normal(size=len(hours))
    used = np.where(weekend, rest, work) + cold + season + noise
    return ((used - used.mean()) / used.std()).astype("float32")[:, None]


def known(hours: np.ndarray) -> np.ndarray:
    """What one knows of an hour beforehand: where it stands in the day and the week."""
    angles = 2 * np.pi * np.stack([hours / DAY, hours / (7 * DAY)], -1)
    weekend = (hours // DAY % 7 >= 5)[..., None]
    both = [np.sin(angles), np.cos(angles), weekend]
    return np.concatenate(both, -1).astype("float32")


class Windows:
    """Of each of some hours the days before it, and the day from it on."""

    def __init__(self, values: np.ndarray, first: np.ndarray) -> None:
        """`first` are the hours with which the days begin that are forecast."""
        before = first[:, None] + np.arange(-PAST, 0)
        ahead = first[:, None] + np.arange(DAY)
        self.past = np.concatenate([values[before], known(before)], -1)
        self.given, self.known = values[ahead - 1], known(ahead)
        self.ahead, self.yesterday = values[ahead], values[ahead - DAY]


class Forecaster(keras.Model):
    """An encoder of what was, and a decoder of what comes."""

    def __init__(self, units: int) -> None:
        """Both have a state of so many units."""
        super().__init__()
        self.encoder = unrolled.GRU(units)
        # From epoch to epoch it reads less of what was, more of its own.
        self.decoder = unrolled.Decoder(
            None,
            unrolled.GRUCell(units),
            keras.layers.Dense(1),
            sampling_probability=0.0,
        )

    def call(self, inputs, training=False):
        """Teach: each hour reads the value of the hour before."""
        past, given, known = inputs
        h = self.encoder(past)
        return self.decoder(given, initial_state=h, known=known, training=training)

    def forecast(self, windows: Windows) -> np.ndarray:
        """Each hour reads the forecast of the hour before."""
        h = self.encoder(windows.past)
        found = self.decoder.forecast(
            windows.given[:, 0], max_steps=DAY, initial_state=h, known=windows.known
        )
        return np.asarray(found.values)


def train(units: int, epochs: int, seed: int = 0) -> tuple[Forecaster, Windows]:
    """Train on the first year and a half; the windows are of the days after it."""
    keras.utils.set_random_seed(seed)
    values = series()
    split = len(values) * 3 // 4
    training = Windows(values, np.arange(PAST, split - DAY, 7))
    test = Windows(values, np.arange(split, len(values) - DAY, DAY))
    model = Forecaster(units)
    model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse")
    more = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: model.decoder.probability.assign(
            min(1.0, 2 * epoch / epochs)
        )
    )
    given = (training.past, training.given, training.known)
    model.fit(given, training.ahead, 64, epochs, verbose=0, callbacks=[more])
    return model, test


def errors(model: Forecaster, test: Windows) -> dict[str, float]:
    """The mean absolute error of each way to forecast."""
    ways = {
        "repeat the last day": test.yesterday,
        "repeat the last hour": np.broadcast_to(test.given[:, :1], test.ahead.shape),
        "the decoder": model.forecast(test),
    }
    return {name: float(np.abs(v - test.ahead).mean()) for name, v in ways.items()}


def draw(path: Path, model: Forecaster, test: Windows) -> None:
    """Draw a week of days, each forecast from the one before."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    axes = figure.subplots()
    week = slice(0, 7)
    lines = [test.ahead, test.yesterday, model.forecast(test)]
    names, styles = ["what came", "the last day again", "the decoder"], ["k-", ":", "-"]
    for values, name, style in zip(lines, names, styles, strict=True):
        axes.plot(values[week].ravel(), style, label=name)
    axes.set(xlabel="hours", ylabel="use, in spreads")
    axes.legend()
    figure.savefig(path, dpi=150, format="png")


def main(
    units: Annotated[int, typer.Option(min=1, help="Width of the state.")] = 32,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 20,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/forecast"),
) -> None:
    """Train the forecaster, and hold it against repeating the last day."""
    try:
        open_folder(out)
        model, test = train(units, epochs)
        table = Table(title=f"{len(test.ahead)} days that were not trained on")
        table.add_column("forecast")
        table.add_column("mean absolute error", justify="right")
        for name, error in errors(model, test).items():
            table.add_row(name, f"{error:.3f}")
        console.print(table)
        write_whole(out / "forecast.png", lambda path: draw(path, model, test))
        console.print(f"A week of it: {out / 'forecast.png'}")
    except RequestError as problem:
        leave(f"forecast: {problem}")
    except OSError as problem:  # files are named above; this is standard output
        leave(f"forecast: nothing can be printed ({problem}).")
    except KeyboardInterrupt:
        leave("\nStopped before there was a forecast; nothing saved.", 130)


if __name__ == "__main__":
    typer.run(main)
