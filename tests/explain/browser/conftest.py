"""One real browser for all tests of the page; every page is watched while it runs."""

import importlib.util
import os
import shutil
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from unrolled.explain.show import page

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]
READY = "performance.getEntriesByName('unrolled:ready').length"
# Two frames for what comes into view to be noticed, and then whatever is under way:
# some views draw once they have decoded weights, which a busy machine does late.
SETTLE = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
  await new Promise(done => setTimeout(done, 60));
  for (let n = 0; !unrolled.idle(); n++) {
    if (n > 900) throw new Error('the page never comes to rest');
    await frame();
  }
}"""
AGAIN = """async () => {
  document.activeElement.blur();
  scrollTo(0, 0);
  unrolled.setZoom(2);
  await unrolled.useLayer(0);
}"""


@pytest.fixture(scope="session")
def browser(need):
    """Headless Chromium, started once a process, with a profile of its own."""
    need(CHROMIUM is not None, "chromium")
    need(importlib.util.find_spec("playwright") is not None, "playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A function that writes the page of some facts once and gives its path."""
    folder, known = tmp_path_factory.mktemp("pages"), {}

    def write(facts):
        if id(facts) not in known:
            path = folder / f"page{len(known)}.html"
            path.write_text(page.render(facts), encoding="utf-8")
            known[id(facts)] = (path, facts)  # holding the facts keeps their id taken
        return known[id(facts)][0]

    return write


class Visit:
    """An open page of some facts, held to silence.

    No request but for the file itself, no message on the console, no error.
    """

    def __init__(self, browser, path, *, theme, width, height, scripts, **more):
        self.url = path.as_uri()
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            java_script_enabled=scripts,
            accept_downloads=True,
            offline=True,
            **more,
        )
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(20_000)
        self.said, self.asked = [], []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(self.url)

    def check(self):
        asked = [url for url in self.asked if not url.startswith("blob:")]
        assert asked == [self.url]
        assert self.said == []


@pytest.fixture(scope="session")
def visit(browser, written):
    """A context manager: open the page of some facts in a window of its own."""

    @contextmanager
    def opened(facts, *, theme="light", width=1280, height=900, scripts=True, **more):
        size = {"width": width, "height": height}
        path = written(facts)
        one = Visit(browser, path, theme=theme, scripts=scripts, **size, **more)
        try:
            if scripts and facts["layers"]:
                until(one.tab, READY)
            yield one.tab
            one.check()
        finally:
            one.context.close()

    return opened


@pytest.fixture(scope="session")
def revisit(visit):
    """Like `visit`, in a window that stays open: its first layer is chosen anew.

    For tests that only choose and look; loading a page is most of their time.
    """
    with ExitStack() as stack:
        known = {}

        @contextmanager
        def opened(facts, **options):
            key = (id(facts), *sorted(options.items()))
            if key not in known:
                known[key] = stack.enter_context(visit(facts, **options))
            known[key].evaluate(AGAIN)
            yield known[key]

        yield opened


@pytest.fixture(scope="session")
def pictures():
    """Where screenshots go: $SCREENSHOTS, or nowhere anyone keeps."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        return Path(folder)
    return None


def until(tab, expression, seconds=15):
    """Wait for an expression to be true.

    The driver's own waiting evaluates strings inside the page, which the page's
    policy rightly forbids; asking again from outside is not forbidden.
    """
    end = time.monotonic() + seconds
    while not tab.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        tab.wait_for_timeout(40)


def look(tab, name):
    """Bring an element into view and let it draw."""
    tab.evaluate("name => document.getElementById(name).scrollIntoView()", name)
    settle(tab)


def settle(tab):
    """Wait until everything that can be seen has been drawn."""
    tab.evaluate(SETTLE)
