"""Anyone can use it: keyboard, screen reader, narrow screens, no motion, no colour."""

import importlib.util
from pathlib import Path

import pytest

from .conftest import look, settle, until

pytestmark = pytest.mark.keras_ranks
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def axe(need):
    package = importlib.util.find_spec("axe_playwright_python")
    need(package is not None, "axe-playwright-python")
    folder = Path(package.submodule_search_locations[0])
    return (folder / "axe.min.js").read_text(encoding="utf-8")


def violations(tab, axe, within="html"):
    # Evaluated, not injected: the page's own policy forbids other scripts.
    tab.evaluate(axe + "\n;0")
    found = tab.evaluate(
        "([within, rules]) => axe.run(within, {runOnly: {type: 'tag', values: rules}})",
        [within, RULES],
    )
    return [
        (one["id"], [node["html"][:160] for node in one["nodes"]][:4])
        for one in found["violations"]
    ]


@pytest.mark.parametrize(
    ("which", "theme", "zoom"),
    [
        ("digits", "light", 2),
        ("digits", "dark", 3),
        ("reviews", "dark", 4),
        ("hostile", "light", 2),
    ],
)
def test_axe_finds_nothing(visit, request, axe, which, theme, zoom):
    facts = request.getfixturevalue(which)[2]
    with visit(facts, theme=theme, reduced_motion="reduce") as tab:
        tab.evaluate(f"unrolled.setZoom({zoom})")
        tab.evaluate("document.getElementById('step-numbers').open = true")
        tab.set_viewport_size({"width": 1280, "height": 6000})  # every view draws
        settle(tab)
        assert violations(tab, axe) == []
        tab.locator("#help-open").click()
        assert violations(tab, axe, "#help") == []


def test_axe_finds_nothing_where_nothing_is_recurrent(visit, dense, axe):
    with visit(dense) as tab:
        assert violations(tab, axe) == []


def test_a_journey_by_keyboard_alone(visit, digits):
    state = "({...unrolled.selection})"
    with visit(digits[2], reduced_motion="reduce") as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        tab.keyboard.press("Enter")
        for _ in range(60):  # on to the figure, by Tab alone
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.id") == "stage":
                break
        assert tab.evaluate("document.activeElement.id") == "stage"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert tab.evaluate(outline) == "solid"
        before = tab.evaluate(state)
        for key, field, change in (
            ("ArrowRight", "step", 1),
            ("ArrowLeft", "step", -1),
            ("ArrowDown", "unit", 1),
            ("ArrowUp", "unit", -1),
            ("PageUp", "unit", -10),
            ("PageDown", "unit", 10),
        ):
            was = tab.evaluate(state)
            tab.keyboard.press(key)
            now = tab.evaluate(state)
            assert now[field] - was[field] == change, key
        tab.keyboard.press("Home")
        assert tab.evaluate(state)["step"] == 0
        tab.keyboard.press("End")
        assert tab.evaluate(state)["step"] == 27
        assert tab.evaluate(state)["unit"] == before["unit"]
        for zoom in "1342":
            tab.keyboard.press(zoom)
            assert tab.evaluate(state)["zoom"] == int(zoom)
        tab.keyboard.press("?")
        assert tab.evaluate("document.getElementById('help').open")
        tab.keyboard.press("ArrowLeft")  # the dialog has the keyboard now
        assert tab.evaluate(state)["step"] == 27
        tab.keyboard.press("Escape")
        assert not tab.evaluate("document.getElementById('help').open")
        tab.keyboard.press("Home")
        tab.keyboard.press("Space")
        until(tab, "unrolled.selection.step >= 1")
        tab.keyboard.press("Space")
        assert tab.locator("#play").inner_text() == "▶ Play"


@pytest.mark.parametrize("place", ["#zoom-2", "#flag-return_state", "#w-steps"])
def test_single_keys_work_wherever_nothing_is_typed(revisit, digits, place):
    with revisit(digits[2], reduced_motion="reduce") as tab:
        look(tab, place[1:])
        tab.locator(place).focus()
        for key in "4132":
            tab.keyboard.press(key)
            assert tab.evaluate("unrolled.selection.zoom") == int(key)
            assert tab.locator(f"#zoom-{key}").is_checked()
        if place == "#zoom-2":  # the focus goes along, or the next arrow would go back
            tab.keyboard.press("4")
            assert tab.evaluate("document.activeElement.id") == "zoom-4"
        tab.keyboard.press("?")
        assert tab.evaluate("document.getElementById('help').open")
        tab.keyboard.press("Escape")
        tab.keyboard.press("2")
        settle(tab)
        before = tab.locator("#play").inner_text()
        tab.locator("#flag-return_state").focus()
        was = tab.locator("#flag-return_state").is_checked()
        tab.keyboard.press("Space")  # a box is ticked; nothing plays
        assert tab.locator("#flag-return_state").is_checked() != was
        assert tab.locator("#play").inner_text() == before
        tab.keyboard.press("Space")


def test_what_belongs_to_a_zoom_is_there_at_once(revisit, digits):
    """What is pressed next may arrive before the figure is drawn, or is seen at all."""
    with revisit(digits[2], reduced_motion="reduce") as tab:
        look(tab, "zoom")
        tab.evaluate("unrolled.setZoom(3)")
        settle(tab)
        assert not tab.locator("#flags").is_visible()
        box = "document.getElementById('flag-return_state')"
        tab.evaluate(f"unrolled.setZoom(2); {box}.focus()")
        assert tab.evaluate(f"document.activeElement === {box}")
        tab.evaluate("unrolled.setZoom(3)")
        settle(tab)
        tab.locator("#claim-10").get_by_role("button").click()  # shows what it returns
        found = tab.evaluate("document.activeElement.id")
        assert found == "flag-return_sequences"


CUT = """[...document.querySelectorAll('main *')].filter(node =>
  ['auto', 'scroll'].includes(getComputedStyle(node).overflowX)
  && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0).map(node => {
    const sign = getComputedStyle(node, '::after');
    return [node.className, sign.content, sign.position,
      getComputedStyle(node).backgroundImage.split('linear-gradient').length - 1];
  })"""


@pytest.mark.parametrize("which", ["digits", "seq2seq"])
def test_what_is_cut_at_390_pixels_says_that_it_scrolls(visit, request, which):
    with visit(request.getfixturevalue(which)[2], width=390) as tab:
        tab.set_viewport_size({"width": 390, "height": 12000})
        settle(tab)
        tab.locator("#step-numbers summary").click()  # once nothing moves any more
        settle(tab)
        found = tab.evaluate(CUT)
        assert len(found) >= 5
        for name, words, position, shades in found:
            assert "scrolls sideways" in words, name
            assert position == "sticky", name
            assert shades == 4, name
    with visit(request.getfixturevalue(which)[2], width=2400) as tab:
        tab.set_viewport_size({"width": 2400, "height": 9000})
        settle(tab)
        assert tab.locator("#rows .more").count() == 0


def test_the_chips_say_what_they_answer(revisit, digits):
    facts = digits[2]
    heard = {f"#claim-{c['id']}": c["heard"].replace("`", "") for c in facts["claims"]}
    with revisit(facts) as tab:
        chips = tab.locator(".answers a").all()
        assert len(chips) >= 20
        for chip in chips:
            assert chip.inner_text() == heard[chip.get_attribute("href")]


def test_single_keys_can_be_switched_off(visit, digits):
    with visit(digits[2]) as tab:
        tab.evaluate("document.getElementById('letters').checked = false")
        tab.locator("#stage").focus()
        tab.keyboard.press("4")
        assert tab.evaluate("unrolled.selection.zoom") == 2
        tab.keyboard.press("ArrowRight")  # arrows belong to the focused figure
        assert tab.evaluate("unrolled.selection.step") == 17


def test_keys_leave_form_fields_alone(revisit, digits):
    with revisit(digits[2]) as tab:
        tab.locator("#pick-step").fill("4")
        tab.keyboard.press("Enter")
        assert tab.evaluate("unrolled.selection.step") == 3
        assert tab.evaluate("unrolled.selection.zoom") == 2
        tab.locator("#pick-unit").fill("9999")  # out of range: what was chosen stays
        tab.keyboard.press("Enter")
        settle(tab)
        assert int(tab.locator("#pick-unit").input_value()) <= 128


def test_nothing_plays_by_itself(revisit, digits):
    with revisit(digits[2]) as tab:
        before = tab.evaluate("({...unrolled.selection})")
        tab.wait_for_timeout(700)
        assert tab.evaluate("({...unrolled.selection})") == before
        assert tab.evaluate("document.getAnimations().length") == 0


# Eight keys in one go: on a busy machine they would come seconds apart.
SAID = """async () => {
  const live = document.getElementById('live'), said = [];
  live.textContent = '';
  const watch = new MutationObserver(() => said.push(live.textContent));
  watch.observe(live, {childList: true, characterData: true, subtree: true});
  for (let k = 0; k < 8; k++) document.getElementById('stage').dispatchEvent(
    new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
  const wait = time => new Promise(done => setTimeout(done, time));
  for (let k = 0; k < 40 && !said.length; k++) await wait(100);
  await wait(200);
  watch.disconnect();
  return said;
}"""


def test_the_live_region_is_polite_and_throttled(revisit, digits):
    with revisit(digits[2]) as tab:
        assert tab.locator("#live").get_attribute("aria-live") == "polite"
        said = tab.evaluate(SAID)
        assert len(said) == 1
        assert "step 25" in said[0]
        assert "h " in said[0]


def test_every_canvas_has_words(visit, digits):
    with visit(digits[2]) as tab:
        tab.set_viewport_size({"width": 1280, "height": 6000})
        settle(tab)
        labels = tab.evaluate(
            "[...document.querySelectorAll('main canvas:not(.ramp)')].map(c => "
            "(c.closest('[aria-label]') || {getAttribute: () => "
            "''}).getAttribute('aria-label'))"
        )
        assert len(labels) >= 12
        assert all(labels)
        tab.locator("#step-numbers summary").click()
        settle(tab)
        unit = tab.evaluate("unrolled.selection.unit + 1")
        lit = tab.locator("#step-table tr.lit").inner_text().split()
        assert int(lit[0]) == unit
        assert len(lit) == 7  # the unit and h c i f g o


@pytest.mark.parametrize("which", ["digits", "reviews", "seq2seq", "hostile"])
def test_it_reflows_at_320_pixels(visit, request, which):
    with visit(request.getfixturevalue(which)[2], width=320) as tab:
        tab.set_viewport_size({"width": 320, "height": 12000})  # every view draws
        settle(tab)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320
        tab.set_viewport_size({"width": 320, "height": 900})
        look(tab, "zoom")
        for zoom in (1, 3, 4):
            tab.evaluate(f"unrolled.setZoom({zoom})")
            settle(tab)
            assert tab.evaluate("document.documentElement.scrollWidth") <= 320


def test_forced_colours_keep_figures_and_choices(visit, digits):
    with visit(digits[2], forced_colors="active") as tab:
        settle(tab)
        style = (
            "getComputedStyle(document.querySelector('.segments input:checked + "
            "span')).outlineStyle"
        )
        assert tab.evaluate(style) == "solid"
        adjust = "getComputedStyle(document.querySelector('.tile')).forcedColorAdjust"
        assert tab.evaluate(adjust) == "none"


def test_reduced_motion_moves_nothing(visit, digits):
    with visit(digits[2], reduced_motion="reduce") as tab:
        tab.evaluate("unrolled.setZoom(1)")
        settle(tab)
        assert tab.evaluate("document.getAnimations().length") == 0


def test_the_morph_moves_where_motion_is_welcome(visit, digits):
    with visit(digits[2]) as tab:
        settle(tab)
        tab.evaluate("document.getElementById('zoom').scrollIntoView()")
        settle(tab)
        tab.evaluate("unrolled.setZoom(1)")
        until(tab, "document.getAnimations().length > 0")
