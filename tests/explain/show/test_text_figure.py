"""Words and figure: what they must say, in any width, theme and character set."""

import copy
import json
import re
from xml.etree import ElementTree

from unrolled.explain import Explanation
from unrolled.explain.show import figure, style, text

import pytest
from rich.cells import cell_len

from conftest import HOSTILE

pytestmark = pytest.mark.keras_ranks

SENTENCE = "One LSTM cell, 128 units wide, applied 28 times with the same weights."


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_text_fits_the_width(digits, width, ascii_only):
    said = text.render(digits[2], width=width, ascii_only=ascii_only)
    flat = " ".join(said.split())
    assert SENTENCE in flat
    assert "128 is not the number of steps." in flat
    times = "x" if ascii_only else "×"
    assert f"4 {times} 128 {times} (28 + 128 + 1) = 80,384" in said
    assert "28 appears twice: steps and features" in flat
    assert "12 of 128 units, by variance" in flat
    assert "\x1b" not in said
    if ascii_only:
        assert said.isascii()
    if width >= 80:
        assert max(cell_len(line) for line in said.splitlines()) <= width


def test_every_row_of_the_strip_has_one_mark_per_step(digits):
    said = text.render(digits[2], width=80)
    rows = re.findall(r"^unit \d+ +([▁▂▃▄▅▆▇█?]+)$", said, re.M)
    assert len(rows) == 12
    assert {len(row) for row in rows} == {28}


def test_figure_is_sound_and_alone(digits):
    drawn = figure.render(digits[2])
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title").text == "digits, explained"
    assert SENTENCE in root.find(f"{space}desc").text
    assert "prefers-color-scheme:dark" in drawn
    outside = drawn.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|<script|<image|@import|href=", outside)
    words = " ".join(root.itertext())
    for wanted in (
        "80,384",
        "28 appears twice",
        "T = 28",
        "U = 128",
        "D = 28",
        "B = 1",
    ):
        assert wanted in words
    assert drawn == figure.render(json.loads(json.dumps(digits[2])))
    assert len(drawn) < 250_000


def test_hostile_names_and_numbers(hostile):
    facts = json.loads(json.dumps(hostile[2]).replace("<script>", "</script>"))
    drawn, said = figure.render(facts), text.render(facts)
    ElementTree.fromstring(drawn)
    assert "<img" not in drawn
    assert "</script" not in drawn
    assert "\u202e" not in drawn
    assert "\u202e" not in said
    assert HOSTILE.replace("<script>", "</script>") in said  # words stay words
    bundle = Explanation(facts)._repr_mimebundle_()
    assert "<img" not in bundle["text/html"]


def test_the_stamp_is_everywhere(digits):
    facts = copy.deepcopy(digits[2])
    for one in (facts["input"], *facts["inputs"]):
        one["stamp"] = "synthetic input, seed 0"
    said = " ".join(text.render(facts, width=120).split())
    assert said.count("synthetic input, seed 0") == 2
    assert figure.render(facts).count("synthetic input, seed 0") == 4


def test_stacks_masks_and_two_inputs_draw(reviews, seq2seq):
    for facts in (reviews[2], seq2seq[2]):
        ElementTree.fromstring(figure.render(facts))
        assert all(one["name"] in text.render(facts) for one in facts["layers"])
    drawn = figure.render(reviews[2])
    assert "masked" in drawn or "skipped" in drawn


def test_a_reason_instead_of_a_drawing(digits):
    facts = copy.deepcopy(digits[2])
    facts["layers"][0]["trace"] = {"drawn": False, "why": "it ran off"}
    assert "Not drawn: it ran off" in text.render(facts)
    assert "Not drawn: it ran off" in figure.render(facts)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    line = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * line[0] + 0.7152 * line[1] + 0.0722 * line[2]


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two colours, from 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_can_be_read(theme):
    paper = style.THEMES[theme]["paper"]
    for axis in style.AXES.values():
        tone = getattr(axis, theme)
        assert contrast(tone.ink, paper) >= 4.5
        assert contrast(tone.ink, tone.wash) >= 4.5
    for key in ("ink", "soft", "warn", "good", "focus"):
        assert contrast(style.THEMES[theme][key], paper) >= 4.5
    assert len({axis.pattern for axis in style.AXES.values()}) == 4


def test_save_by_suffix(digits, tmp_path):
    result = Explanation(digits[2])
    path = result.save(tmp_path / "facts.json")
    assert json.loads(path.read_text("utf-8")) == digits[2]
    assert result.save(tmp_path / "figure.svg").read_text("utf-8") == result.svg()
    first = path.read_bytes()
    assert result.save(path).read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["facts.json", "figure.svg"]
    with pytest.raises(ValueError, match=r"\.html, \.svg, \.json"):
        result.save(tmp_path / "page.pdf")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        result.save(tmp_path / "none" / "figure.svg")
    assert SENTENCE in " ".join(str(result).split())
    assert repr(result) == "<Explanation of 'digits'>"
