"""The `unrolled` command."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import sys
import webbrowser
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from . import files

# How Keras says that a class is unknown, in a .keras and in an .h5 file.
_MISSING = re.compile(r"(?:Could not locate class|Unknown layer:) '?(\w+)'?")

app = typer.Typer(
    help="Recurrent layers for Keras 3 on JAX.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print which version this is, and end."""
    if wanted:
        print(f"unrolled {importlib.metadata.version('unrolled')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Recurrent layers for Keras 3 on JAX."""
    os.environ.setdefault("KERAS_BACKEND", "jax")


def fail(message: str) -> typer.Exit:
    """Say what is wrong on standard error; the caller raises the result."""
    from unrolled.explain import printable
    from unrolled.explain.show.text import clean

    line = printable(" ".join(clean(message).split()))
    Console(stderr=True, highlight=False).print(
        Text("Error: ", "bold red").append(line, "default"), soft_wrap=True
    )
    return typer.Exit(1)


def check_output(path: Path, suffix: str, option: str) -> None:
    """Say what is wrong with where to write, before anything is computed."""
    if path.suffix.lower() != suffix:
        raise fail(f"{option} wants a name that ends in {suffix}. Got {path.name}.")
    try:
        if path.is_dir():
            raise fail(f"{option} wants a file. Got the folder {path}.")
        if not path.parent.is_dir():
            raise fail(f"{path} could not be written: {path.parent} is no folder.")
        if not os.access(path.parent, os.W_OK):
            raise fail(f"{path} could not be written: {path.parent} cannot be changed.")
        if path.is_file() and not os.access(path, os.W_OK):
            raise fail(f"{path} could not be written: it may not be changed.")
        path.exists()  # a name that is too long, or none
    except (OSError, ValueError) as error:
        raise fail(f"{path} could not be written: {reason_of(error)}.") from error


def check_there(path: Path) -> None:
    """Raise unless there is such a file."""
    try:
        there, whole = path.exists(), path.is_file()
    except (OSError, ValueError) as error:
        raise fail(f"{path} could not be read: {reason_of(error)}.") from error
    if not there:
        raise fail(f"there is no file {path}.")
    if not whole:
        raise fail(f"{path} is no file.")
    if not os.access(path, os.R_OK):
        raise fail(f"{path} could not be read: it may not be.")


def reason_of(error: BaseException) -> str:
    """An error in one line, without the path that Python repeats."""
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(told).split()).rstrip(".")


def load_classes(modules: list[str]) -> dict[str, Any]:
    """The layers and cells that these modules define: names, or files in .py."""
    import keras

    found: dict[str, Any] = {}
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    for name in modules:
        try:
            if name.endswith(".py"):
                spec = importlib.util.spec_from_file_location(Path(name).stem, name)
                assert spec is not None
                assert spec.loader is not None
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
            else:
                module = importlib.import_module(name)
        except Exception as error:  # the user's own code may raise anything
            raise fail(
                f"--import {name} failed: {type(error).__name__}: {error}"
            ) from error
        found |= {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, keras.layers.Layer)
        }
    return found


def load_model(path: Path, classes: dict[str, Any] | None = None) -> Any:
    """A model from a .keras or .h5 file, with a plain sentence if it cannot be."""
    check_there(path)
    if path.suffix.lower() not in (".keras", ".h5", ".hdf5"):
        raise fail(f"{path.name} is not a model file: .keras or .h5 is wanted.")
    if path.suffix.lower() == ".keras" and not zipfile.is_zipfile(path):
        raise fail(
            f"{path.name} could not be read as a Keras model: it is no .keras archive, "
            "or only a part of one."
        )
    import keras

    try:
        classes = {**_for_old_files(path), **(classes or {})}
        files.check_model(path, classes)
        with files.as_keras_names_it(path) as named:
            return keras.saving.load_model(named, classes, compile=False)
    except Exception as error:  # zip, JSON, HDF5 and config errors alike
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        missing = _MISSING.search(str(error))
        if missing:
            reason = (
                f"its class {missing[1]} is not known here. Name the module that "
                "defines it: --import my_module, or --import my_cells.py."
            )
        raise fail(
            f"{path.name} could not be read as a Keras model: {reason}"
        ) from error


def _for_old_files(path: Path) -> dict[str, Any]:
    """What stands for the recurrent layers that Keras 2 wrote, and Keras 3 refuses."""
    if path.suffix.lower() == ".keras":
        return {}
    import h5py
    import keras

    with h5py.File(path) as file:
        version = file.attrs.get("keras_version", "")
    if isinstance(version, bytes):
        version = version.decode(errors="replace")
    if not str(version).startswith("2."):
        return {}
    from . import cells, layers

    named = {
        name: thing
        for room in (cells, layers)
        for name, thing in vars(room).items()
        if isinstance(thing, type) and name in vars(keras.layers)
    }
    return named | {"CuDNNGRU": layers.GRU, "CuDNNLSTM": layers.LSTM}


def load_sample(path: Path | None) -> Any:
    """An array from a .npy file, or a dict of arrays from a .npz file."""
    if path is None:
        return None
    check_there(path)
    try:
        return files.read_sample(path)
    except Exception as error:  # a damaged file may raise anything
        raise fail(
            f"{path.name} could not be read as .npy or .npz numbers: "
            f"{reason_of(error)}."
        ) from error


def says(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose words may not get out: a full disk, a pipe that was closed."""

    @functools.wraps(command)
    def told(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except OSError as error:
            # What is left to be said goes nowhere, or Python would try at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise fail(
                f"standard output could not be written: {reason_of(error)}."
            ) from error

    return told


@app.command()
@says
def explain(
    model: Annotated[
        Path, typer.Argument(help="A .keras or .h5 model file.", readable=False)
    ],
    sample: Annotated[
        Path | None,
        typer.Option(
            help="A .npy example or batch (or .npz by input name).", readable=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the interactive page here.", readable=False
        ),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="Write the static figure here.", readable=False)
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(help="Write the plain facts here.", readable=False)
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            help="A module, or a file in .py, that defines the model's own classes.",
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the words.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page.")] = False,
) -> None:
    """Show what units, cells and time steps are in a model."""
    wanted = [
        (output, ".html", "-o"),
        (svg, ".svg", "--svg"),
        (facts, ".json", "--facts"),
    ]
    for path, suffix, option in wanted:
        if path is not None:
            check_output(path, suffix, option)
    if open_page and output is None:
        raise fail("--open shows the page: give its name with -o page.html.")
    loaded = load_model(model, load_classes(modules) if modules else None)
    data = load_sample(sample)
    from unrolled.explain import explain as run
    from unrolled.explain.show.text import show

    try:
        result = run(loaded, data)
    except (ValueError, TypeError) as error:
        raise fail(str(error)) from error
    except Exception as error:  # a stranger's layer may raise anything
        raise fail(
            f"{model.name} could not be run: {type(error).__name__}: {error}"
        ) from error
    console = Console(highlight=False)
    paths = [path for path, _, _ in wanted if path is not None]
    if not result.facts["layers"]:
        console.print(
            Text("This model has no recurrent layer, so there is nothing to unroll.")
        )
    elif text or not paths:
        show(result.facts, console)
    for path in paths:
        try:
            result.save(path)
        except (OSError, ImportError) as error:
            raise fail(f"{path} could not be written: {reason_of(error)}.") from error
        console.print(Text(f"Wrote {path}"), soft_wrap=True)
    if open_page and output is not None:
        webbrowser.open(output.resolve().as_uri())


@app.command()
@says
def translate(
    model: Annotated[
        Path, typer.Argument(help="A .keras file of a Seq2Seq.", readable=False)
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="What to translate. Default: lines of standard input."),
    ] = None,
    beam: Annotated[
        int, typer.Option(min=1, help="How many hypotheses are kept; 1 is greedy.")
    ] = 5,
) -> None:
    """Translate texts, each into one line."""
    loaded = load_model(model)
    from unrolled.explain import printable
    from unrolled.explain.show.text import clean
    from unrolled.translation import Seq2Seq

    if not isinstance(loaded, Seq2Seq):
        raise fail(
            f"{model.name} holds a {type(loaded).__name__}, and a Seq2Seq is wanted: "
            "examples/translate.py trains one."
        )
    before, which = 0, "text" if texts else "line"
    for some in [texts] if texts else lines():
        try:
            found = loaded.translate(some, beam_width=beam)
        except ValueError as error:
            said = str(error)
            place = re.match(r"texts\[(\d+)\]", said)
            if place:  # people count from 1, and from the first line
                said = f"{which} {before + int(place[1]) + 1}{said[place.end() :]}"
            raise fail(said) from error
        for text in found:
            print(printable(clean(" ".join(text.split()))))
        sys.stdout.flush()
        before += len(some)


def lines() -> Iterator[list[str]]:
    """Lines of standard input: many together, or each as it is typed."""
    some: list[str] = []
    most = 1 if sys.stdin.isatty() else 256
    try:
        for line in sys.stdin:
            some.append(line.rstrip("\r\n"))
            if len(some) == most:
                yield some
                some = []
    except UnicodeDecodeError as error:
        raise fail(f"standard input must be text in {error.encoding}.") from error
    if some:
        yield some


@app.command()
@says
def doctor() -> None:
    """Say what runs here: versions, instruction sets, threads, kernels."""
    from unrolled.doctor import examine

    rows, works = examine()
    width = max(len(name) for name, _ in rows)
    for name, found in rows:
        print(f"{name:<{width}}  {found}")
    if not works:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
