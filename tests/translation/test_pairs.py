"""Batches of pairs: few shapes, every pair once, an order for each epoch."""

from concurrent.futures import ThreadPoolExecutor

import unrolled

import numpy as np
import pytest

from .texts import DIGITS, tokenizer

# Of 1 to 40 tokens: a digit is one.
TEXTS = ["".join(DIGITS * 4)[:n] for n in range(1, 41)]
PAIRS = [(text, text[::-1]) for text in TEXTS]


def _read(pairs):
    """Texts of all batches, in order; and that each row is what it should be."""
    found = []
    for x, wanted in pairs:
        for source, read, want in zip(x["source"], x["target"], wanted, strict=True):
            if not source.any():
                assert not read.any()
                assert not want.any()
                continue
            assert read[0] == 1
            assert source[source != 0][-1] == 2
            assert want[want != 0][-1] == 2
            np.testing.assert_array_equal(read[1:][read[1:] > 0], want[want > 2])
            found.append((tokenizer().decode(source), tokenizer().decode(want)))
    return found


def test_every_pair_is_there_once():
    pairs = unrolled.Pairs(PAIRS, tokenizer(), batch_size=3)
    assert sorted(_read(pairs)) == sorted(PAIRS)
    # Lengths with the end token: two buckets to each doubling.
    ends = [8, 11, 16, 22, 32, 41]
    assert [shape[1:] for shape in pairs.shapes] == [(n, n) for n in ends]
    seen = {(*x["source"].shape, wanted.shape[1]) for x, wanted in pairs}
    assert seen == set(pairs.shapes)
    # Of 7, 3, 5, 6, 10 and 9 pairs, in batches as even as can be.
    assert [shape[0] for shape in pairs.shapes] == [3, 3, 3, 3, 3, 3]
    assert len(pairs) == 3 + 1 + 2 + 2 + 4 + 3


def test_each_epoch_has_its_own_order():
    pairs = unrolled.Pairs(PAIRS, tokenizer(), batch_size=4, seed=5)
    first = _read(pairs)
    pairs.on_epoch_end()
    second = _read(pairs)
    assert first != second
    assert sorted(first) == sorted(second)
    again = unrolled.Pairs(PAIRS, tokenizer(), batch_size=4, seed=5)
    again.epoch = 1
    assert _read(again) == second
    assert _read(unrolled.Pairs(PAIRS, tokenizer(), batch_size=4, seed=6)) != first
    plain = unrolled.Pairs(PAIRS, tokenizer(), batch_size=4, shuffle=False)
    assert _read(plain) == PAIRS


def test_threads_read_the_same():
    pairs = unrolled.Pairs(PAIRS, tokenizer(), batch_size=2)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(pairs.__getitem__, range(len(pairs))))
    for (x, wanted), (own, own_wanted) in zip(read, pairs, strict=True):
        np.testing.assert_array_equal(x["source"], own["source"])
        np.testing.assert_array_equal(wanted, own_wanted)


def test_buckets_of_the_user():
    with pytest.warns(UserWarning, match="26 of 40 pairs are left out"):
        pairs = unrolled.Pairs(
            PAIRS, tokenizer(), batch_size=99, buckets=[(15, 20), (5, 7)]
        )
    assert pairs.shapes == [(4, 5, 7), (10, 15, 20)]
    assert pairs.left_out == 26


def test_what_is_too_long_is_told_of():
    with pytest.warns(UserWarning, match="30 of 40 pairs .* more tokens than 10"):
        pairs = unrolled.Pairs(PAIRS, tokenizer(), max_length=10)
    assert sorted(_read(pairs)) == sorted(PAIRS[:10])


def test_pairs_may_be_rows_of_an_array():
    """And sizes numbers of NumPy."""
    rows = np.array(PAIRS[:4])
    pairs = unrolled.Pairs(
        rows, tokenizer(), np.int64(2), buckets=[(np.int64(6), 6)], shuffle=False
    )
    assert _read(pairs) == PAIRS[:4]


def test_an_empty_text_is_the_end_alone():
    (x, wanted), *_ = unrolled.Pairs([("", "")], tokenizer())
    assert x["source"].tolist() == [[2]]
    assert x["target"].tolist() == [[1]]
    assert wanted.tolist() == [[2]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pairs": []}, "pairs must hold one pair of texts or more"),
        ({"pairs": ["ab"]}, r"pairs\[0\] must be two texts.*zip\(sources, targets\)"),
        ({"pairs": [("a", "b", "c")]}, r"pairs\[0\] must be two texts"),
        ({"pairs": [("a", 7)]}, r"targets\[0\] must be a text, str. Got int 7"),
        ({"pairs": (["a", "b"], ["c", "d"])}, "pairs must be a list of pairs, not"),
        ({"pairs": None}, "pairs must be a list of pairs of texts. Got None"),
        ({"pairs": "text"}, "pairs must be a list of pairs of texts. Got 'text'"),
        ({"tokenizer": None}, "tokenizer must be a Tokenizer. Got None"),
        ({"target_tokenizer": 3}, "target_tokenizer must be a Tokenizer. Got 3"),
        ({"seed": None}, "seed must be a whole number, at least 0. Got None"),
        ({"seed": -1}, "seed must be a whole number, at least 0. Got -1"),
        ({"workers": 2.5}, "workers must be a positive integer"),
        ({"buckets": 5}, "buckets must hold pairs of positive integers.* Got 5"),
        ({"buckets": [5, 6]}, r"buckets must hold pairs .* Got \[5, 6\]"),
        ({"batch_size": True}, "batch_size must be a positive integer. Got True"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
        ({"max_length": 0.5}, "max_length must be a positive integer"),
        ({"buckets": [(3, 0)]}, r"buckets must hold pairs of positive integers"),
        ({"buckets": [(1, 1)]}, r"buckets must leave room for some .* of \[2, 2\]"),
        ({"pairs": PAIRS[9:], "max_length": 9}, "max_length must leave room"),
    ],
)
def test_what_does_not_fit(given, said):
    with pytest.raises(ValueError, match=said):
        unrolled.Pairs(**({"pairs": PAIRS, "tokenizer": tokenizer()} | given))
