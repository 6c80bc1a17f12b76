"""Examples in docstrings run and give what they say; the site shows all there is."""

import doctest
import html
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import unrolled
from unrolled.explain.facts.claims import CLAIMS

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(unrolled.__path__, "unrolled.")
    if not module.name.endswith(("__main__", "._core"))  # the latter is no module
)
FINDER = doctest.DocTestFinder(exclude_empty=True)


def _tests(name):
    module = importlib.import_module(name)
    return [t for t in FINDER.find(module, name) if t.examples]


@pytest.mark.keras_ranks
@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in _tests(name):
        output = []
        runner.run(test, out=output.append)
        assert not runner.failures, "".join(output)


@pytest.mark.parametrize("name", unrolled.__all__)
def test_public_names_have_a_docstring_of_their_own(name):
    thing = getattr(unrolled, name)
    if callable(thing):
        assert thing.__doc__
        if isinstance(thing, type):
            assert "Args:" in thing.__doc__ or ">>>" in thing.__doc__


def test_what_a_docstring_refers_to_is_in_the_reference():
    """`Name` in single backticks: exported, or with an entry of its own."""
    shown = re.findall(r"^::: (?:\w+\.)*(\w+)", (DOCS / "api.md").read_text(), re.M)
    known = {*unrolled.__all__, *shown}
    for name in unrolled.__all__:
        text = getattr(unrolled, name).__doc__ or ""
        for other in re.findall(r"(?<!`)`([A-Z]\w*[a-z]\w*)`(?!`)", text):
            assert other in known, f"{name}: `{other}`"


def test_layers_and_accelerate_carry_examples():
    for name in (
        "SimpleRNN",
        "LSTM",
        "GRU",
        "RNN",
        "Bidirectional",
        "StackedRNNCells",
        "accelerate",
    ):
        assert ">>>" in getattr(unrolled, name).__doc__, name


def test_claims_are_numbered_as_on_the_page():
    headings = re.findall(
        r"^### (\d+)\. .* \{ #claim-(\d+) \}$", (DOCS / "units.md").read_text(), re.M
    )
    wanted = [str(number) for number, *_ in CLAIMS]
    assert [number for number, _ in headings] == wanted
    assert [anchor for _, anchor in headings] == wanted
    themes = re.findall(r"\[(\d+)\]\(#claim-(\d+)\)", (DOCS / "units.md").read_text())
    assert sorted(int(number) for number, _ in themes) == list(range(1, 27))
    assert all(number == anchor for number, anchor in themes)


def test_the_front_page_leads_everywhere():
    text = (ROOT / "mkdocs.yml").read_text()
    pages = re.findall(r"^  - .*: ([\w-]+\.md)$", text, re.M)
    assert set(pages) == {page.name for page in DOCS.glob("*.md")}
    front = (DOCS / "index.md").read_text()
    assert all(f"({page})" in front for page in pages if page != "index.md")


def as_text(part):
    """What a piece of HTML reads as."""
    return html.unescape(re.sub(r"<[^>]+>", "", part))


def test_site(tmp_path):
    """Built as `make docs` does it; the gallery is made once for both."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run([*command, "--site-dir", tmp_path], check=True, cwd=ROOT)

    # What is published is meant to be: pages, pictures that they show, the theme's own.
    pages = {page.name: page.read_text() for page in tmp_path.glob("*.html")}
    assert not [*tmp_path.rglob("*.py")]
    for picture in (tmp_path / "images").rglob("*.*"):
        assert any(f"images/{picture.name}" in page for page in pages.values()), picture

    # Doctests in the reference are code, in their own lines and with their prompts.
    reference = pages["api.html"]
    assert "<blockquote>" not in reference
    blocks = re.findall(r"<pre.*?</pre>", reference, re.DOTALL)
    drawn = "\n".join(map(as_text, blocks)).splitlines()
    assert reference.count("&gt;&gt;&gt;") == sum(">>>" in line for line in drawn)
    named = re.findall(r"^::: ([\w.]+)", (DOCS / "api.md").read_text(), re.M)
    for name in named:
        room, _, thing = name.rpartition(".")
        text = getattr(importlib.import_module(room), thing).__doc__
        for example in doctest.DocTestParser().get_examples(text):
            for line in example.source.splitlines():
                assert any(shown.endswith(line) for shown in drawn), (name, line)

    # The gallery: live pages over real input, each with the lines that made it.
    scripts = sorted((DOCS / "gallery").glob("*.py"))
    made = sorted((tmp_path / "gallery").glob("*.html"))
    assert [page.stem for page in made] == [script.stem for script in scripts]
    blocks = re.findall(r"<pre.*?</pre>", pages["gallery.html"], re.DOTALL)
    shown = [as_text(block).strip() for block in blocks]
    for script, page in zip(scripts, made, strict=True):
        assert script.read_text().strip() in shown
        assert f'href="gallery/{page.name}"' in pages["gallery.html"]
        text = page.read_text("utf-8")
        assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
        assert "synthetic input" not in text
        assert len(text) <= 400_000


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["Words.", ">>> 1", "1"], ["Words.", "", "```pycon", ">>> 1", "1", "```"]),
        (
            ["    >>> 1 + (", "    ...     2)", "    3", "", "More."],
            ["", "```pycon", ">>> 1 + (", "...     2)", "3", "```", "", "More."],
        ),
        (["```pycon", ">>> 1", "1", "```"], ["```pycon", ">>> 1", "1", "```"]),
        (["> quoted", ">> twice"], ["> quoted", ">> twice"]),
    ],
)
def test_doctests_are_fenced(written, read):
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    assert hooks.Doctests.fence(written) == read
