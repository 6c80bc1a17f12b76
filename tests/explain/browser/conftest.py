"""One real browser for all tests of the page; every page is watched while it runs."""

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

from unrolled.explain import page

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


def _absent(why):
    if os.environ.get("CI"):
        pytest.fail(f"CI tests the page in a real browser: {why}", pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, started once."""
    if CHROMIUM is None:
        _absent("chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("playwright is not installed")
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


@pytest.fixture
def visit(browser, written):
    """A context manager: open the page of some facts, and hold it to silence.

    No request but for the file itself, no message on the console, no error.
    """

    @contextmanager
    def opened(facts, *, theme="light", width=1280, height=900, scripts=True, **more):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            java_script_enabled=scripts,
            accept_downloads=True,
            offline=True,
            **more,
        )
        tab = context.new_page()
        tab.set_default_timeout(20_000)
        said, asked = [], []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(written(facts).as_uri())
        if scripts:
            ready = "performance.getEntriesByName('unrolled:ready').length"
            if facts["layers"]:
                until(tab, ready)
        try:
            yield tab
            allowed = [url for url in asked if not url.startswith("blob:")]
            assert allowed == [written(facts).as_uri()]
            assert said == []
        finally:
            context.close()

    return opened


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
    """Wait until every pending frame has been drawn."""
    tab.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => "
        "requestAnimationFrame(() => setTimeout(done, 60))))"
    )
