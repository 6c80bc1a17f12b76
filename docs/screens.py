"""Take the pictures of the page's views anew.

Run `make demo`, then `python docs/screens.py runs/demo/explain.html`: every view,
light and dark, 1440 and 320 pixels wide, at most 1400 high, into images/explain.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images" / "explain"
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


def take(tab: Page, view: str, place: str) -> Image.Image:
    """A picture of one view."""
    if view.startswith("zoom"):
        tab.evaluate(f"unrolled.setZoom({view[-1]})")
        tab.wait_for_timeout(300)
    shot = tab.locator(place).first.screenshot()
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, HIGHEST)))
    return image.quantize(256, dither=Image.Dither.NONE)


def main(page: Path) -> None:
    """Take them all."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for theme in ("light", "dark"):
            for width in (1440, 320):
                tab = browser.new_page(
                    viewport={"width": width, "height": 14_000},
                    color_scheme=theme,
                    reduced_motion="reduce",
                )
                tab.goto(page.resolve().as_uri())
                tab.wait_for_timeout(2000)
                for view, place in VIEWS.items():
                    path = IMAGES / f"{view}-{theme}-{width}.png"
                    take(tab, view, place).save(path, optimize=True)
                tab.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
