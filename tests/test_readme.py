"""The code in README.md and docs/ runs as it is printed, page by page."""

import re
from pathlib import Path

import pytest

# The code shown uses Keras's own layers beside ours.
pytestmark = pytest.mark.keras_ranks

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def with_code() -> list[Path]:
    return [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("page", with_code(), ids=lambda page: page.stem)
def test_code_runs(page):
    text = page.read_text()
    names = {"__name__": page.stem}
    for block in BLOCK.finditer(text):
        # Blank lines in front make a failure point at the line in the page.
        above = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(above + block[1], page, "exec"), names)


def test_example_in_readme_prints_what_it_says(capsys):
    (block,) = BLOCK.findall((ROOT / "README.md").read_text())
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out == "80384\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_keep_to_the_words(page):
    text = page.read_text()
    # The gates have one order, and commands one Python: that of `make`.
    assert not re.search(r"\bi,? (g,? f|f,? g|g,? o),? \w\b", text)
    assert not re.search(r"(?m)(^|`)python (examples|docs)/", text)


def test_what_readme_shows_and_links_is_there():
    text = (ROOT / "README.md").read_text()
    found = re.findall(r'(?:\]\(|href="|src="|srcset=")(?!https:)([^)"#]+)', text)
    pictures = [ROOT / name for name in found if name.endswith(".png")]
    assert {path.name for path in pictures} == {
        f"{what}-{theme}.png"
        for what in ("page", "unrolled")
        for theme in ("dark", "light")
    }
    assert all(path.stat().st_size <= 100_000 for path in pictures)
    assert all((ROOT / name).exists() for name in found)
