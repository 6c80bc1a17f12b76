"""Token ids: exact, of the input that a layer reads, and only if they are tokens."""

from unrolled.explain.facts import describe as describing

import keras
import numpy as np
import pytest

from conftest import quick, sequential

from .conftest import look

pytestmark = pytest.mark.keras_ranks
L = keras.layers
V, T = 30, 4


def texts(size=V):
    return sequential(
        L.Embedding(size, 3, name="words"), L.GRU(2), shape=(None,), dtype="int32"
    )


@pytest.mark.parametrize("dtype", ["int64", "uint32", "uint64"])
def test_ids_beyond_int32_are_refused(dtype):
    ids = np.array([[1, 2**31 + 5]], dtype)
    with pytest.raises(ValueError, match=r"2,147,483,653 .*map ids to 0 \.\. V-1"):
        describing.describe(texts(), ids)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_ids_of_any_type_within_it_are_taken(monkeypatch, dtype):
    quick(monkeypatch)
    facts = describing.describe(texts(), np.array([[1, 29]], dtype))
    assert facts["input"]["vocabulary"] == {"layer": "words", "size": V, "outside": 0}


def test_large_numbers_that_are_no_ids_are_rounded_as_the_model_does(monkeypatch):
    quick(monkeypatch)
    stamps = np.full((1, T, 1), 2**40, "int64")
    facts = describing.describe(sequential(L.GRU(2), shape=(T, 1)), stamps)
    assert facts["input"]["dtype"] == "float32"


def words(tab, step):
    tab.evaluate(f"unrolled.select({{step: {step}}})")
    look(tab, "trace")
    return tab.locator("#trace-note").inner_text()


def test_ids_outside_of_the_vocabulary_are_no_tokens(visit, monkeypatch):
    quick(monkeypatch)
    facts = describing.describe(texts(), np.array([[3, V, 5, -1]]))
    (said,) = facts["notes"]
    assert said.startswith("2 ids outside of the vocabulary of words (0 to 29)")
    assert "the first is 30, at step 2 of example 1" in said
    with visit(facts) as tab:
        assert "The token at step 1 is 3." in words(tab, 0)
        assert "At step 2 stands 30, which is no token of words" in words(tab, 1)
        assert "At step 4 stands -1, which is no token" in words(tab, 3)


def test_no_id_is_rounded(visit, monkeypatch):
    """Many ids are still ids; as halves of a precision they were other words."""
    quick(monkeypatch)
    size = 2**24 + 10
    model = sequential(
        L.Lambda(lambda ids: ids % 7, name="few"),
        L.Embedding(7, 3),
        L.GRU(2),
        shape=(None,),
        dtype="int32",
    )
    few = np.random.default_rng(1).integers(0, 50_000, (4, 6_000))
    for ids in (np.array([[1, size - 1]]), few):
        facts = describing.describe(model, ids)
        stored = describing.encode(ids[:4], "i32")
        assert facts["input"]["values"]["data"] == stored["data"]
    model, step = texts(50_000), 4_001
    with visit(describing.describe(model, few)) as tab:
        assert f"The token at step 4002 is {few[0, step]}." in words(tab, step)


def test_the_ids_are_those_that_the_layer_reads(visit, monkeypatch):
    quick(monkeypatch)
    keras.utils.set_random_seed(3)
    one, other = keras.Input((T,), dtype="int32"), keras.Input((T,), dtype="int32")
    table = L.Embedding(V, 3, name="words")
    first, second = L.GRU(2, name="first"), L.GRU(2, name="second")
    third = L.GRU(2, name="third")
    x = table(other)
    model = keras.Model([one, other], [first(table(one)), second(x), third(x * 2)])
    facts = describing.describe(model, [np.arange(4)[None], np.arange(10, 14)[None]])
    at = {layer["name"]: n for n, layer in enumerate(facts["layers"])}
    with visit(facts) as tab:
        for name, said in (("first", "is 1."), ("second", "is 11."), ("third", "")):
            tab.evaluate(f"unrolled.useLayer({at[name]})")
            found = words(tab, 1)
            assert ("token" in found) == bool(said)
            assert found.endswith(said)
