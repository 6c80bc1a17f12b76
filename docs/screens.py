"""Take the pictures of the page anew.

Run `make demo`, then, with the Python in `.venv/bin`:

    python docs/screens.py front runs/demo/explain.html
    python docs/screens.py views runs/demo/explain.html

`front` takes the two pictures that README and the front page show, light and dark,
into images/. `views` takes every view, light and dark, 1440 and 320 pixels wide, at
most 1400 high, into images/explain.
"""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
VIEWS = {
    "sentence": ".lead-in",
    "strip": "#strip",
    **{f"zoom{k}": "section:has(> #zoom)" for k in (1, 2, 3, 4)},
    **{
        view: f"section:has(> #{view})"
        for view in ("maps", "trace", "ledger", "whatif", "tryout")
    },
    "returns": "[id^=returns-]",
    "claims": "#claims",
    "dictionary": "#dictionary",
}
HIGHEST = 1400


def small(shot: bytes, colours: int = 256) -> Image.Image:
    """A picture of few colours, at most so high."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, HIGHEST)))
    return image.quantize(colours, dither=Image.Dither.NONE)


def open_page(browser: Browser, page: Path, theme: str, **view: Any) -> Page:
    """The page in a tab, once it has drawn everything."""
    tab = browser.new_page(color_scheme=theme, reduced_motion="reduce", **view)
    tab.goto(page.resolve().as_uri())
    tab.wait_for_timeout(2000)
    return tab


def zoom(tab: Page, level: int) -> None:
    """Show one of the four figures."""
    tab.evaluate(f"unrolled.setZoom({level})")
    tab.wait_for_timeout(300)


def front(browser: Browser, page: Path, theme: str) -> None:
    """How the page begins, and the cell unrolled over time."""
    window = {"width": 1120, "height": 690}
    tab = open_page(browser, page, theme, viewport=window, device_scale_factor=1.5)
    small(tab.screenshot(), 64).save(IMAGES / f"page-{theme}.png", optimize=True)
    zoom(tab, 2)
    shot = tab.locator("#zoom svg").first.screenshot()
    small(shot, 64).save(IMAGES / f"unrolled-{theme}.png", optimize=True)
    tab.close()


def views(browser: Browser, page: Path, theme: str) -> None:
    """Every view, wide and narrow."""
    for width in (1440, 320):
        window = {"width": width, "height": 14_000}
        tab = open_page(browser, page, theme, viewport=window)
        for view, place in VIEWS.items():
            if view.startswith("zoom"):
                zoom(tab, int(view[-1]))
            path = IMAGES / "explain" / f"{view}-{theme}-{width}.png"
            small(tab.locator(place).first.screenshot()).save(path, optimize=True)
        tab.close()


def main(wanted: str, page: str) -> None:
    """Take `front` or `views`, light and dark."""
    take = {"front": front, "views": views}[wanted]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for theme in ("light", "dark"):
            take(browser, Path(page), theme)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
