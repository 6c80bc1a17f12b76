"""Clean pairs of sentences, and split them so that nothing leaks.

What a network is tested on must not be among what it was trained on, in no other
spelling either: "Save", "&Save" and "save:" are one message, and so are the singular
and the plural of "%(n)d files". All that is one message lies on one side of the split.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from catalogues import Pair

# %(name)s, ${name}, {name}, {0:.2f}, {}, %s, %1$d, %1
PLACEHOLDER = re.compile(
    r"%\(\w+\)[-+ #0]*[\d.]*[a-zA-Z]"
    r"|\$\{\w+\}"
    r"|\{[\w.]*(?:\[\w+\])?(?:![rsa])?(?::[^{}]*)?\}"
    r"|%(?:\d+\$)?[sdrif](?![a-z])"
    r"|%\d\b"
)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# The letter after & is a key on the keyboard; not in Q&A, &nbsp; or ?a=1&b=2.
ACCELERATOR = re.compile(r"(?<![A-Z&?])&(?=[^\W\d_])(?!\w+[;=])")
# A name that stands for a message which the catalogue does not have: label_save_as
NAME = re.compile(r"[a-z0-9]+(?:[_.:-][A-Za-z0-9]+)+:?")


class Split(NamedTuple):
    """Pairs to train on, to choose by, and to test on."""

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]


def placeholders(text: str) -> Counter[str]:
    """Count what the program puts values in place of."""
    return Counter(PLACEHOLDER.findall(text))


def tidy(text: str) -> str:
    """Put one space for any white space; an accelerator key is no part of a text."""
    text = unicodedata.normalize("NFC", text)
    return " ".join(ACCELERATOR.sub("", text).split())


def key_of(text: str) -> str:
    """Give what two spellings of one message have in common.

    Letters and digits alone, in lower case: no spaces, punctuation, tags, placeholders
    or accelerator keys.
    """
    bare = PLACEHOLDER.sub("", TAG.sub("", text))
    bare = unicodedata.normalize("NFKC", bare).casefold()
    return "".join(letter for letter in bare if letter.isalnum())


def wrong_with(source: str, target: str, longest: int) -> str | None:
    """Say why a pair teaches nothing, or None. Both are tidy."""
    if not source or not target:
        return "no translation"
    if not any(letter.isalpha() for letter in key_of(source)):
        return "no word in it"
    if NAME.fullmatch(source):
        return "a name, not a text"
    if source == target:
        return "not translated"
    if max(len(source), len(target)) > longest:
        return f"longer than {longest} characters"
    shorter, longer = sorted([len(source), len(target)])
    if longer > 20 and longer > 4 * shorter:
        return "one four times as long as the other"
    return None


def cleaned(
    pairs: Iterable[Pair], longest: int = 200
) -> tuple[list[Pair], Counter[str]]:
    """Leave out what teaches nothing, and what is there already.

    A source has one translation: the one that most catalogues give, of equally many
    the first.

    Args:
        pairs: as they were read.
        longest: the most characters of either side.

    Returns:
        The pairs in the order they came, and how many were left out why.
    """
    left_out: Counter[str] = Counter()
    given: defaultdict[str, Counter[str]] = defaultdict(Counter)
    first: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        source, target = tidy(pair.source), tidy(pair.target)
        reason = wrong_with(source, target, longest)
        if reason:
            left_out[reason] += 1
            continue
        given[source][target] += 1
        tidied = Pair(source, target, pair.origin, tidy(pair.message))
        first.setdefault((source, target), tidied)
    kept = []
    for source, targets in given.items():
        best, _ = targets.most_common(1)[0]
        kept.append(first[source, best])
        left_out["there already"] += targets.total() - 1
    return kept, left_out


def split(pairs: Sequence[Pair], valid: float = 0.02, test: float = 0.04) -> Split:
    """Split by message.

    Which side a message is on depends on nothing but the message: another catalogue
    beside it moves none.

    Args:
        pairs: as `cleaned` gave them.
        valid: the share of messages to choose by.
        test: the share to test on.
    """
    together = _groups(pairs)
    sides = Split([], [], [])
    for pair in pairs:
        digest = hashlib.sha256(together[key_of(pair.source)].encode()).digest()
        place = int.from_bytes(digest[:6], "big") / 2**48
        side = 2 if place < test else 1 if place < test + valid else 0
        sides[side].append(pair)
    return sides


def _groups(pairs: Iterable[Pair]) -> dict[str, str]:
    """For each key of a source, the least key of all that are one message with it."""
    root: dict[str, str] = {}

    def find(key: str) -> str:
        root.setdefault(key, key)
        while root[key] != key:
            root[key] = root[root[key]]
            key = root[key]
        return key

    for pair in pairs:
        first, second = sorted(find(key_of(t)) for t in (pair.source, pair.message))
        root[second] = first
    return {key: find(key) for key in list(root)}
