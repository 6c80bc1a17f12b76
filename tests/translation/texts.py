"""Texts to be translated, and a tokenizer of them."""

import functools

import unrolled

import numpy as np

DIGITS = list("0123456789")


@functools.cache
def tokenizer():
    """Knows bytes alone: a digit is a token."""
    return unrolled.Tokenizer.train(DIGITS, 259)


def reversed_digits(count, longest=4, seed=0):
    """Pairs of digits and the same from behind, each once."""
    rng = np.random.default_rng(seed)
    found = {}
    while len(found) < count:
        text = "".join(rng.choice(DIGITS, rng.integers(1, longest + 1)))
        found[text] = text[::-1]
    return list(found.items())
