"""What mkdocs does beside its plugins: examples are code, and the gallery is made."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
MADE = ROOT / "build" / "gallery"


class Doctests(Extension, Preprocessor):
    """Fences what begins with ``>>>``, up to the next blank line, as Python has it.

    The reference knows a section "Examples:", and takes a doctest that stands anywhere
    else, "Example:" too, for three nested quotations.
    """

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802  (Markdown's name)
        """Come before the code fences, which have 25."""
        md.preprocessors.register(self, "doctests", 30)

    def run(self, lines: list[str]) -> list[str]:
        """What Markdown asks of what reads the lines first."""
        return self.fence(lines)

    @staticmethod
    def fence(lines: list[str]) -> list[str]:
        """The lines, with a fence around each doctest that has none."""
        out: list[str] = []
        indent, fenced = None, False  # of the doctest we are in; whether in other code
        for line in lines:
            bare = line.lstrip()
            fenced ^= bare.startswith(("```", "~~~"))
            if indent is None and not fenced and bare.startswith(">>> "):
                indent = len(line) - len(bare)
                out += ["", "```pycon"]
            if indent is not None and not bare:
                indent = None
                out.append("```")
            out.append(line[indent or 0 :])
        return out if indent is None else [*out, "```"]


@event_priority(100)  # the plugins copy the list
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add to what the pages and the reference are read with."""
    config.markdown_extensions.append(Doctests())  # type: ignore[arg-type]
    return config


def made_of() -> str:
    """What the pages depend on, in a few letters."""
    digest = hashlib.sha256(sys.version.encode())
    sources = [ROOT / "docs/make_gallery.py", *ROOT.glob("docs/gallery/*.py")]
    for path in sorted([*sources, *ROOT.glob("src/unrolled/**/*.*")]):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def gallery() -> Path:
    """The folder with the pages; they are made where the sources have changed."""
    ready = MADE / made_of()
    if not ready.exists():
        shutil.rmtree(MADE, ignore_errors=True)
        part = MADE / f"part-{os.getpid()}"
        script = ROOT / "docs" / "make_gallery.py"
        subprocess.run([sys.executable, script, part], check=True)
        part.rename(ready)
    return ready


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the pages beside gallery.md, so that links to them are checked too."""
    for page in sorted(gallery().glob("*.html")):
        files.append(
            File.generated(config, f"gallery/{page.name}", abs_src_path=str(page))
        )
    return files
