"""Canvases show the data; exports hold it; frames change little."""

import xml.etree.ElementTree as ElementTree

from unrolled.explain.blobs import decode
from unrolled.explain.show import style

import numpy as np
import pytest

from .conftest import look, settle

pytestmark = pytest.mark.keras_ranks


def expected(value, array, theme):
    """The colour that style.py's ramp gives a value."""
    stops = (style.SEQUENTIAL if array["scale"] == "sequential" else style.DIVERGING)[
        theme
    ]
    top = max(abs(array["blob"]["min"]), abs(array["blob"]["max"])) or 1.0
    share = value if array["scale"] == "sequential" else value / top / 2 + 0.5
    colour = style.ramp(stops, share)
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


SAMPLE = """([key, cells]) => {
  const canvas = document.querySelector(`#heat-${key} canvas`);
  const g = canvas.getContext('2d');
  const [, rows, steps] = unrolled.layer.arrays[key].shape;
  const all = g.getImageData(0, 0, canvas.width, canvas.height).data;
  return cells.map(([u, t]) => {
    const x = Math.floor((t + .5) / steps * canvas.width);
    const y = Math.floor((u + .5) / rows * canvas.height);
    const at = 4 * (y * canvas.width + x);
    return [...all.slice(at, at + 3)];
  });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("key", ["h", "c", "i", "g"])
def test_cells_have_the_colour_of_their_number(revisit, digits, key, theme):
    facts = digits[2]
    array = next(a for a in facts["layers"][0]["trace"]["arrays"] if a["key"] == key)
    values = decode(array["blob"])[0]
    rng = np.random.default_rng(4)
    cells = [[int(rng.integers(128)), int(rng.integers(28))] for _ in range(60)]
    with revisit(facts, theme=theme) as tab:
        look(tab, "maps")
        look(tab, f"heat-{key}")
        got = tab.evaluate(SAMPLE, [key, cells])
    for (u, t), pixel in zip(cells, got, strict=True):
        assert np.abs(np.array(pixel) - expected(values[u, t], array, theme)).max() <= 2


def test_a_click_selects_the_cell_under_it(revisit, digits):
    with revisit(digits[2]) as tab:
        look(tab, "maps")
        box = tab.locator("#heat-c")
        box.scroll_into_view_if_needed()
        settle(tab)
        size = box.bounding_box()
        box.click(
            position={"x": 10.5 / 28 * size["width"], "y": 64.5 / 128 * size["height"]}
        )
        settle(tab)
        assert tab.evaluate("[unrolled.selection.unit, unrolled.selection.step]") == [
            64,
            10,
        ]
        for place in ("#now-h", "#now-c", "#zoom-words", "#ledger-lead", "#trace-now"):
            look(tab, place[1:])
        assert "unit 65, step 11" in tab.locator("#now-h").inner_text()
        assert "Unit 65 at step 11" in tab.locator("#ledger-lead").inner_text()
        assert tab.locator("#trace-now").inner_text().startswith("step 11:")


def test_csv_svg_and_png(visit, digits, tmp_path):
    facts = digits[2]
    with visit(facts) as tab:
        look(tab, "save-csv")
        files = {}
        for kind in ("csv", "svg", "png"):
            with tab.expect_download() as waiting:
                tab.locator(f"#save-{kind}").click()
            files[kind] = tmp_path / waiting.value.suggested_filename
            waiting.value.save_as(files[kind])
    rows = [line.split(",") for line in files["csv"].read_text().splitlines()]
    assert len(rows) == 1 + 6 * 128
    assert len(rows[0]) == 30
    first = facts["layers"][0]["trace"]["arrays"][0]
    values = np.array([[float(v) for v in row[2:]] for row in rows[1:129]])
    off = np.abs(values - decode(first["blob"])[0]).max()
    assert off <= 2 * first["blob"]["precision"] + 0.005
    assert ElementTree.parse(files["svg"]).getroot().tag.endswith("svg")
    assert files["png"].read_bytes()[:4] == b"\x89PNG"
    assert files["png"].stat().st_size > 5_000


def test_digits_never_exceed_the_precision(revisit, digits):
    with revisit(digits[2]) as tab:
        precision, text = tab.evaluate(
            "[unrolled.layer.arrays.h.precision, "
            "unrolled.csv().split('\\n')[1].split(',')[2]]"
        )
        decimals = len(text.partition(".")[2])
        assert 0.5 * 10**-decimals >= precision * 0.999 or decimals <= 3


@pytest.mark.parametrize("mode", ["change", "silence", "mask", "apart"])
def test_maps_that_are_compared_have_one_scale(revisit, digits, mode):
    with revisit(digits[2], reduced_motion="reduce") as tab:
        look(tab, "tryout")
        tab.evaluate(f"document.getElementById('t-{mode}').click()")
        settle(tab)
        figures = tab.locator("#t-maps figure")
        legends = figures.locator(".legend").all_inner_texts()
        assert len(legends) >= 3
        assert len(set(legends[:-1])) == 1
        assert "on its own scale" in figures.last.inner_text()
        tab.evaluate("document.getElementById('t-change').click()")


# What a change of the selection does: elements that come, and paintings of canvases.
WORK = """async ([key, frames]) => {
  const frame = () =>
    new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const brush = CanvasRenderingContext2D.prototype, painted = brush.drawImage;
  let nodes = 0, paintings = 0;
  brush.drawImage = function(...all) { paintings++; return painted.apply(this, all); };
  const count = list => list.flatMap(change => [...change.addedNodes])
    .forEach(node => { nodes += 1 + (node.querySelectorAll?.('*').length || 0); });
  const watch = new MutationObserver(count);
  watch.observe(document.body, {childList: true, subtree: true});
  const { selection, layer, select } = unrolled;
  for (let k = 0; k < frames; k++) {
    select({[key]: key === 'step' ? (selection.step + 1) % layer.T
      : (selection.unit + 37) % layer.rows.length}, true);
    await frame();
  }
  count(watch.takeRecords());
  watch.disconnect();
  brush.drawImage = painted;
  return [nodes / frames, paintings / frames];
}"""


@pytest.mark.parametrize(
    ("view", "first", "key", "most"),
    [
        ("zoom", "unrolled.setZoom(2)", "step", (450, 0)),
        ("zoom", "unrolled.setZoom(2)", "unit", (20, 0)),
        ("zoom", "unrolled.setZoom(3)", "step", (450, 0)),
        ("zoom", "unrolled.setZoom(4)", "unit", (40, 0)),
        ("maps", "0", "step", (450, 0)),
        ("maps", "0", "unit", (20, 0)),
        ("trace", "0", "step", (130, 0)),
        ("trace", "0", "unit", (150, 0)),
        ("ledger", "0", "step", (130, 0)),
        ("tryout", "document.getElementById('t-silence').click()", "step", (10, 0)),
        ("tryout", "document.getElementById('t-silence').click()", "unit", (60, 3)),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_a_frame_changes_only_what_must(revisit, digits, view, first, key, most):
    """Times belong to benchmarks/page.py; this counts what they are made of."""
    # So low a window that views below the one that is meant are not drawn.
    with revisit(digits[2], reduced_motion="reduce", height=800) as tab:
        look(tab, view)
        tab.evaluate(first)
        settle(tab)
        # Strips that are kept are made once, and views far away are drawn meanwhile;
        # then every round is the same.
        rounds = [tab.evaluate(WORK, [key, 30]) for _ in range(4)]
    nodes, paintings = (min(one) for one in zip(*rounds, strict=True))
    assert nodes <= most[0]
    assert paintings <= most[1]


@pytest.mark.parametrize(
    ("theme", "width"), [("light", 1440), ("dark", 1440), ("light", 320), ("dark", 320)]
)
def test_screenshots(visit, digits, pictures, theme, width, tmp_path):
    folder = pictures or tmp_path
    with visit(digits[2], theme=theme, width=width, reduced_motion="reduce") as tab:
        tab.set_viewport_size({"width": width, "height": 14000})
        settle(tab)
        path = folder / f"page-{theme}-{width}.png"
        tab.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 50_000
