"""Read one text character by character, and write on.

The text is real English that every Python has: the documentation strings of the
standard library. A batch is 3 x 50 x V: B = 3 rows of T = 50 characters, each character
one-hot, V numbers of which one is 1. The rows are not 150 characters one after the
other: they are three places of the text, far apart, that are read side by side and know
nothing of each other. What goes on is a row, from one batch to the next: the layer is
`stateful`, and row 2 of a batch begins with the state that row 2 of the last one left.

    .venv/bin/python examples/characters.py
    .venv/bin/python examples/characters.py --units 256 --epochs 8

The run folder holds model.keras, explain.html, a page that shows what units, cells and
time steps are in this network, and unit.svg: what one unit's h is over the characters.
"""

import ast
import sysconfig
import time
import xml.sax.saxutils
from pathlib import Path
from typing import Annotated

import unrolled

import jax
import keras
import numpy as np
import typer
from jax import numpy as jnp
from rich.console import Console
from rich.table import Table

from folder import RequestError, leave, open_folder, write_whole

console = Console(highlight=False)
TEMPERATURES = (0.3, 0.7, 1.0)
PROMPT = "Return the "


def read_text(length: int) -> str:
    """Return the standard library's documentation strings, up to so many characters."""
    parts, have = [], 0
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        if have >= length:
            break
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                said = (ast.get_docstring(node) or "").encode("ascii", "ignore")
                if len(said) > 60:  # no notes such as "Helper."
                    parts.append(said.decode() + "\n\n")
                    have += len(parts[-1])
    return "".join(parts)[:length]


class Windows(keras.utils.PyDataset):
    """Of B rows, side by side, one window of T characters after the other.

    Row r is the r-th part of the text. Item k is ``(B, T, V)`` and, as what comes next,
    ids ``(B, T)``; item k + 1 goes on in every row where item k ended.
    """

    def __init__(self, ids: np.ndarray, alphabet: int, rows: int, steps: int) -> None:
        """Cut the text; what is left at its end is not read."""
        super().__init__()
        length = (len(ids) - 1) // rows // steps * steps
        if not length:
            raise RequestError(
                f"The text must have more than rows x steps = {rows * steps} "
                f"characters. Got {len(ids)}."
            )
        self.begins = [row * length for row in range(rows)]
        both = np.stack([ids[: rows * length], ids[1 : rows * length + 1]])
        # (2, B, windows, T) -> windows first
        self.windows = both.reshape(2, rows, -1, steps).transpose(2, 0, 1, 3)
        self.alphabet = alphabet

    def __len__(self) -> int:
        """How many windows a row has."""
        return len(self.windows)

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch."""
        x, y = self.windows[k]
        return np.eye(self.alphabet, dtype="float32")[x], y


def build(units: int, rows: int, steps: int, alphabet: int) -> keras.Model:
    """Build the network: it says of each character how likely each is to be next."""
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(rows, steps, alphabet)),
            unrolled.LSTM(units, return_sequences=True, stateful=True),
            keras.layers.Dense(alphabet),
        ]
    )
    model.compile(
        keras.optimizers.Adam(3e-3, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def bits(model: keras.Model, windows: Windows) -> float:
    """Return how many bits the network needs for a character of this text."""
    model.layers[0].reset_state()  # another text: nothing of the last one holds
    return model.evaluate(windows, verbose=0) / np.log(2)


def train(model: keras.Model, training: Windows, test: Windows, epochs: int) -> None:
    """Read the text `epochs` times, always from its beginning."""
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        model.layers[0].reset_state()
        # Windows in their order: each goes on where the one before it ended.
        past = model.fit(
            training, shuffle=False, verbose=1 if console.is_terminal else 0
        )
        console.print(
            f"Epoch {epoch}/{epochs}: {past.history['loss'][0] / np.log(2):.2f} bits a "
            f"character, {bits(model, test):.2f} in text that was not trained on; "
            f"{time.perf_counter() - start:.0f} s"
        )


def write_on(
    model: keras.Model, alphabet: str, prompt: str, length: int, seed: int
) -> list[str]:
    """Go on with a text, at each temperature, in one compiled loop: a row for each."""
    recurrent, dense = model.layers
    rows = len(TEMPERATURES)
    temperatures = jnp.asarray(TEMPERATURES)[:, None]

    def step(tokens, states, memory):
        del memory
        x = jax.nn.one_hot(tokens, len(alphabet))
        h, states = recurrent.cell(x, states)
        return dense(h), states

    def draw(logits, key):
        wide = jnp.broadcast_to(temperatures, logits.shape)
        return jax.random.categorical(key, logits / wide)

    ids = [alphabet.index(letter) for letter in prompt]
    found = unrolled.search(
        step,
        recurrent.cell.get_initial_state(rows),
        start=ids[0],
        prefix=np.tile(np.array(ids[1:], "int32"), (rows, 1)),
        max_steps=len(ids) - 1 + length,
        sampler=draw,
        seed=seed,
    )
    return [prompt[0] + "".join(alphabet[k] for k in row) for row in found.tokens[:, 0]]


def draw_unit(path: Path, rows: list[str], h: np.ndarray, unit: int) -> None:
    """Draw the characters, each on the colour of one unit's h after it.

    Args:
        path: of an SVG file.
        rows: B texts of T characters.
        h: ``(B, T, U)``.
        unit: which one.
    """
    wide, high = 12, 26
    cells = []
    for r, (text, values) in enumerate(zip(rows, h[:, :, unit], strict=True)):
        for t, (letter, value) in enumerate(zip(text, values, strict=True)):
            pale = round(255 * (1 - min(1.0, abs(float(value)))))
            colour = f"{pale},{pale},255" if value < 0 else f"255,{pale},{pale}"
            shown = xml.sax.saxutils.escape({"\n": "↵", " ": "·"}.get(letter, letter))
            x, y = t * wide, 30 + r * (high + 8)
            cells.append(
                f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" '
                f'fill="rgb({colour})"><title>h = {value:+.2f}</title></rect>'
                f'<text x="{x + wide / 2}" y="{y + 18}">{shown}</text>'
            )
    width, height = h.shape[1] * wide, 30 + len(rows) * (high + 8)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="monospace" font-size="15" text-anchor="middle">\n'
        f'<text x="4" y="18" text-anchor="start" font-family="sans-serif">'
        f"h of unit {unit} after each character: blue below 0, red above</text>\n"
        + "\n".join(cells)
        + "\n</svg>\n",
        "utf-8",
    )


def run(
    units: int, rows: int, steps: int, epochs: int, length: int, seed: int, out: Path
) -> None:
    """Train, write on, and show one unit."""
    open_folder(out)
    keras.utils.set_random_seed(seed)
    text = read_text(length)
    alphabet = "".join(sorted(set(text + PROMPT)))
    V = len(alphabet)
    ids = np.searchsorted(list(alphabet), list(text)).astype("int32")
    cut = len(ids) * 19 // 20
    training = Windows(ids[:cut], V, rows, steps)
    test = Windows(ids[cut:], V, rows, steps)
    console.print(
        f"{len(text):,} characters, V={V} different ones. A batch is {rows} x {steps} "
        f"x {V}, and {len(training):,} batches make an epoch. Its rows begin at the "
        f"characters {', '.join(f'{n:,}' for n in training.begins)}; the first batch:"
    )
    for begin in training.begins:
        console.print(f"  {text[begin : begin + steps]!r}", markup=False)
    model = build(units, rows, steps, V)
    train(model, training, test, epochs)
    write_whole(out / "model.keras", model.save)

    table = Table(
        "temperature", f"{PROMPT!r}, and 200 characters more", show_lines=True
    )
    for temperature, written in zip(
        TEMPERATURES, write_on(model, alphabet, PROMPT, 200, seed), strict=True
    ):
        table.add_row(f"{temperature}", written)
    console.print(table)

    x, _ = test[0]
    model.layers[0].reset_state()
    write_whole(out / "explain.html", unrolled.explain(model, x).save)
    model.layers[0].reset_state()
    h = np.asarray(model.layers[0](x))
    unit = int(h.var((0, 1)).argmax())
    shown = [text[cut + begin : cut + begin + steps] for begin in test.begins]
    write_whole(out / "unit.svg", lambda path: draw_unit(path, shown, h, unit))
    console.print(
        f"{out / 'unit.svg'}: unit {unit}, the one that moves most, over {rows} x "
        f"{steps} characters. {out / 'explain.html'}: what units, cells and time steps "
        "are in this network."
    )


def main(
    units: Annotated[int, typer.Option(min=1, help="Width of the state.")] = 128,
    rows: Annotated[int, typer.Option(min=1, help="B, places read at once.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="T, characters in a window.")] = 50,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the text.")] = 4,
    length: Annotated[
        int, typer.Option(min=1, help="Characters of the text.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every random choice.")] = 0,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path(
        "runs/characters"
    ),
) -> None:
    """Train a network to read English character by character, and let it write."""
    try:
        run(units, rows, steps, epochs, length, seed, out)
    except RequestError as problem:
        leave(f"characters: {problem}")
    except OSError as problem:  # files are named above; this is standard output
        leave(f"characters: nothing can be printed ({problem}).")
    except KeyboardInterrupt:
        leave("\nStopped; nothing saved.", 130)


if __name__ == "__main__":
    typer.run(main)
