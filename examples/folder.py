"""The run folder of an example: files that are whole, errors that are a sentence."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn


class RequestError(Exception):
    """What was asked for cannot be done; the message says why."""


class WriteError(RequestError):
    """A file or a folder cannot be written: the run ends early."""


def reason_of(problem: Exception) -> str:
    """Say in one line what went wrong, without the path."""
    if isinstance(problem, FileExistsError):
        return "there is a file of that name, not a folder"
    lines = str(getattr(problem, "strerror", None) or problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say which file cannot be read; a damaged one may raise anything."""
    try:
        yield
    except Exception as problem:
        raise RequestError(
            f"{path} cannot be read ({reason_of(problem)}); start anew in another "
            "folder (--out)."
        ) from problem


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which file or folder cannot be written."""
    try:
        yield
    except OSError as problem:
        raise WriteError(
            f"{path} cannot be written ({reason_of(problem)})."
        ) from problem


def write_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Write beside the file and rename, so that the file is always a whole one."""
    part = path.with_name("part-" + path.name)
    with writing(path):
        try:
            save(part)
            part.replace(path)
        except BaseException:  # Ctrl-C too
            part.unlink(missing_ok=True)
            raise


def open_folder(out: Path) -> None:
    """Make the folder, and see that files can be written there, before any compute."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        probe = out / "part-probe"
        probe.write_text("")
        probe.unlink()


def holds(path: Path) -> bool:
    """Whether the file is there, and in a folder that we may look into."""
    return os.access(path, os.F_OK)


def leave(message: str, status: int = 1) -> NoReturn:
    """End with a sentence on standard error, also where standard output is full."""
    try:
        sys.stdout.flush()
    except OSError:  # Python would try again at the very end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(message, file=sys.stderr)
    raise SystemExit(status) from None
