"""Texts become ids and come back the same, whatever they are."""

import ast
import inspect
import json
import sys

import unrolled

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .texts import tokenizer

TEXTS = ["the cat", "the hat", "the hat", "the rat"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back(text):
    ids = tokenizer().encode(text)
    assert tokenizer().decode(ids) == text
    assert all(3 <= n < tokenizer().vocabulary_size for n in ids)
    assert bool(ids) == bool(text)


@pytest.mark.parametrize(
    "text", ["<end>", "<start><pad>", "ሰላም ნ 你好 🙂", " \n\t", "\0"]
)
def test_special_tokens_and_strange_scripts_are_text(text):
    own = tokenizer()
    ids = own.encode(text)
    assert not {0, 1, 2} & set(ids)
    assert own.decode([1, *ids, 2, 0, 0]) == text


def test_pieces_are_learnt_and_shown():
    own = unrolled.Tokenizer.train(TEXTS, 400)
    ids = own.encode("the hat")
    assert own.pieces([*ids, 2, 0]) == ["the", " hat", "<end>", "<pad>"]
    assert own.vocabulary_size < 400  # there are no more that are frequent
    again = unrolled.Tokenizer.train(TEXTS, 400)
    assert again.json == own.json
    small = unrolled.Tokenizer.train(TEXTS, 260)
    assert small.vocabulary_size == 260


def test_no_room_is_made_for_more_pieces_than_there_may_be():
    """The package would ask for all of it, and end the process."""
    own = unrolled.Tokenizer.train(TEXTS, 10**12)
    assert own.json == unrolled.Tokenizer.train(TEXTS, 400).json


def test_ids_that_are_no_text_are_passed_over():
    own = tokenizer()
    assert own.decode([-4, 2**40, 0, *own.encode("7"), 10**6]) == "7"
    assert own.decode([]) == ""


def test_configuration_is_all_of_it():
    config = keras.saving.serialize_keras_object(tokenizer())
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert again.encode("a 7 ß") == tokenizer().encode("a 7 ß")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: t.train(["a"], 258), "vocabulary_size must be .* at least 259"),
        (lambda t: t.train("text", 300), r"texts must be a list .*\[text\]"),
        (
            lambda t: t.train([b"text"], 300),
            r"texts\[0\] must be a text.*bytes b'text'",
        ),
        (lambda t: t.train(["a", None], 300), r"texts\[1\] must be a text.*NoneType"),
        (lambda t: t.train(3, 300), "texts must be a list of texts. Got 3"),
        (
            lambda t: tokenizer().encode("\ud800"),
            r"texts\[0\] must have a form in UTF-8",
        ),
        (lambda t: t.train(["a"], True), "vocabulary_size must be .* Got True"),
        (lambda t: tokenizer().decode("ab"), "ids must be whole numbers.* Got 'ab'"),
        (lambda t: tokenizer().decode(None), "ids must be whole numbers.* Got None"),
        (lambda t: tokenizer().decode([3.5]), r"ids must be whole .* Got \[3.5\]"),
        (lambda t: tokenizer().pieces([[5]]), r"ids must be whole .* Got \[\[5\]\]"),
        (lambda t: t("{}"), "json must be what a tokenizer .* the file is damaged"),
    ],
)
def test_what_does_not_fit(call, said):
    with pytest.raises(ValueError, match=said):
        call(unrolled.Tokenizer)


def test_the_package_is_asked_for_only_where_it_is_used():
    """Not at ``import unrolled``."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(unrolled.Tokenizer)))
    names = {n.module for n in tree.body if isinstance(n, ast.ImportFrom)}
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    assert "keras" in names
    assert "tokenizers" not in names


def test_the_package_may_be_missing(monkeypatch):
    text = tokenizer().json
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for make in (
        lambda: unrolled.Tokenizer.train(["a"]),
        lambda: unrolled.Tokenizer(text),
    ):
        with pytest.raises(ImportError, match=r"pip install 'unrolled\[text\]'"):
            make()
