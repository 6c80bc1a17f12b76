"""Explain what units, cells and time steps are in your own model.

`facts/` runs the model and writes plain facts (schema.md); `show/` makes text, figure
and page of those facts alone. Neither imports the other: what both need lies beneath
them, in gates.py, blobs.py and words.py.
"""

from __future__ import annotations

import html
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["Explanation", "explain"]

_HALVES = re.compile("[\ud800-\udfff]")
SUFFIXES = (".html", ".svg", ".json")


class Explanation:
    """What `explain` found, ready to be read, drawn or saved.

    Attributes:
        facts: the plain description that every view is drawn from (schema.md).
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = printable(facts)

    def __str__(self) -> str:
        from .show import text

        return text.render(self.facts)

    def __repr__(self) -> str:
        return f"<Explanation of {self.facts['title']!r}>"

    def svg(self) -> str:
        """The static figure as an SVG document."""
        from .show import figure

        return figure.render(self.facts)

    def html(self) -> str:
        """The interactive page as one self-contained HTML document."""
        from .show import page

        return page.render(self.facts)

    def json(self) -> str:
        """The facts as JSON text, the same bytes for the same facts."""
        return (
            json.dumps(self.facts, allow_nan=False, indent=1, ensure_ascii=False) + "\n"
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write page.html, figure.svg or facts.json; the suffix decides.

        The file is written beside its name and renamed, so a reader never meets
        half of it.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(
                f"save knows {', '.join(SUFFIXES)} by their suffix. Got "
                f"{path.name!r}; save to page.html, figure.svg or facts.json."
            )
        make = {".html": self.html, ".svg": self.svg, ".json": self.json}[suffix]
        data = make().encode("utf-8")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the folder {path.parent} does not exist.")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".unrolled-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return path

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        """Text, and HTML that reads without scripts: the figure, then the page."""
        del include, exclude  # Jupyter picks from the bundle
        drawn = self.svg()
        try:
            page = self.html()
        except ImportError:
            return {"text/plain": str(self), "text/html": drawn}
        frame = (
            "<details><summary>Interactive page</summary>"
            f'<iframe sandbox="allow-scripts" '
            f'title="{html.escape(self.facts["title"], quote=True)}, explained" '
            'style="width:100%;height:80vh;border:0" '
            f'srcdoc="{html.escape(page, quote=True)}"></iframe></details>'
        )
        return {"text/plain": str(self), "text/html": drawn + frame}


def printable(tree: Any) -> Any:
    """The same with a mark for halves of surrogate pairs, which no file can hold."""
    if isinstance(tree, str):
        return tree if tree.isascii() else _HALVES.sub("\ufffd", tree)
    if isinstance(tree, dict):
        return {printable(key): printable(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [printable(each) for each in tree]
    return tree


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def explain(model: Any, sample: Any = None, *, seed: int = 0) -> Explanation:
    """Explain the recurrent layers of a Keras model over one input.

    Args:
        model: any Keras model or layer; stock recurrent layers are welcome.
        sample: one example (T, D), a batch (B, T, D), token ids (T,) or (B, T), or
            a list or dict of arrays for a model with several inputs. Without it a
            synthetic input is made and every panel says so.
        seed: of the synthetic input.

    Returns:
        An `Explanation`: print it, save it, or let a notebook show it.
    """
    from .facts.describe import describe

    return Explanation(describe(model, sample, seed=seed))
