"""Pairs of texts in batches of few shapes, for `fit`."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from ..checks import is_count, require
from .tokenizer import END, PAD, START, Tokenizer, check_texts

# Steps of the shortest bucket, and how many buckets there are to each doubling: with
# two some three quarters of a batch are no padding, and few programs are compiled.
_SHORTEST, _PER_DOUBLING = 8, 2


class Pairs(keras.utils.PyDataset):
    """Pairs of texts as batches of ids, each padded to the length of its bucket.

    Pairs of about the same length share a bucket, and all batches of a bucket have one
    shape: a program is compiled for each bucket, and little of a batch is padding. A
    batch is ``({"source": (B, S), "target": (B, T)}, wanted (B, T))``: the source ends
    with the end token, the target that the decoder reads begins with the start token,
    and the one wanted of it ends with the end token. Padding is 0; the last batch of a
    bucket may be filled up with rows of padding.

    Each epoch has its own order, which the seed and the number of the epoch say alone,
    so that training may be resumed. Any number of threads may read batches.

    Args:
        pairs: ``[(source text, target text), ...]``.
        tokenizer: a `Tokenizer`.
        batch_size: B at most; batches of a bucket are as large as each other.
            Default 64.
        target_tokenizer: of the target texts. Default: `tokenizer`.
        max_length: the most tokens of a text; longer pairs are left out, and a
            warning says how many. Default 128.
        buckets: the ``(S, T)`` that there are, end token included; a pair goes into
            the smallest that holds it. Default: two to each doubling of the longer
            text, up to 8, 11, 16, 22, 32 steps and so on.
        shuffle: whether there is an order for each epoch. Default True.
        seed: of the order. Default 0.
        workers: how many threads make batches ahead. Default 1, none beside.

    Raises:
        ValueError: if an argument does not fit, or no pair is short enough.

    Example:
        >>> import unrolled
        >>> texts = [("1 2", "2 1"), ("3 4 5", "5 4 3")]
        >>> tokenizer = unrolled.Tokenizer.train([t for pair in texts for t in pair])
        >>> pairs = unrolled.Pairs(texts, tokenizer, batch_size=2)
        >>> x, wanted = pairs[0]
        >>> x["source"].shape, x["target"].shape, wanted.shape
        ((2, 5), (2, 5), (2, 5))
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        tokenizer: Tokenizer,
        batch_size: int = 64,
        *,
        target_tokenizer: Tokenizer | None = None,
        max_length: int = 128,
        buckets: Sequence[tuple[int, int]] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 1,
    ) -> None:
        super().__init__(workers=workers)
        counts = {"batch_size": batch_size, "max_length": max_length}
        for name, count in {**counts, "workers": workers}.items():
            require(
                is_count(count),
                name,
                "must be a positive integer",
                repr(count),
                f"leave {name} out for the default",
            )
        require(
            is_count(seed) or (seed == 0 and not isinstance(seed, bool)),
            "seed",
            "must be a whole number, at least 0",
            repr(seed),
            "leave it out for 0",
        )
        sources, targets = check_pairs(pairs)
        target_tokenizer = tokenizer if target_tokenizer is None else target_tokenizer
        for name, given in (
            ("tokenizer", tokenizer),
            ("target_tokenizer", target_tokenizer),
        ):
            require(
                isinstance(given, Tokenizer),
                name,
                "must be a Tokenizer",
                repr(given)[:60],
                "Tokenizer.train(texts) makes one",
            )
        ids = [
            (tokenizer.encode(source), target_tokenizer.encode(target))
            for source, target in zip(sources, targets, strict=True)
        ]
        lengths = np.array([[len(s) + 1, len(t) + 1] for s, t in ids])
        if buckets is None:
            longer = lengths.max(1)
            place = _doublings(longer, _PER_DOUBLING)
            place[longer > max_length + 1] = -1
            found = sorted(set(place.tolist()) - {-1})
            members = [np.flatnonzero(place == n) for n in found]
            shapes = [tuple(lengths[own].max(0).tolist()) for own in members]
        else:
            shapes = _check_buckets(buckets)
            fits = (lengths[:, None] <= np.array(shapes)[None]).all(2)
            place = np.where(fits.any(-1), fits.argmax(-1), -1)
            members = [np.flatnonzero(place == n) for n in range(len(shapes))]
        self.left_out = int((place == -1).sum())
        longest = max_length if buckets is None else shapes
        require(
            self.left_out < len(ids),
            "max_length" if buckets is None else "buckets",
            "must leave room for some of the pairs",
            f"{longest} for pairs of {lengths.min(0).tolist()} tokens and more",
            "make it larger, or cut texts into sentences",
        )
        if self.left_out:
            warnings.warn(
                f"{self.left_out} of {len(ids)} pairs are left out: they have more "
                f"tokens than {longest}.",
                stacklevel=2,
            )
        self._ids = ids
        # Of each bucket its shape, its pairs, and how many make a batch.
        self._buckets = [
            (shape, own, _evenly(len(own), batch_size))
            for shape, own in zip(shapes, members, strict=True)
            if len(own)
        ]
        self.shuffle, self.seed = shuffle, seed
        self.epoch = 0

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """The ``(B, S, T)`` that there are."""
        return [(rows, *shape) for shape, _, rows in self._buckets]

    @property
    def epoch(self) -> int:
        """Which epoch's order batches have; it may be set."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        rng = np.random.default_rng((self.seed, epoch))
        plan = []
        for n, (_, members, rows) in enumerate(self._buckets):
            own = rng.permutation(members) if self.shuffle else members
            plan += [(n, own[at : at + rows]) for at in range(0, len(own), rows)]
        if self.shuffle:
            plan = [plan[n] for n in rng.permutation(len(plan))]
        self._epoch, self._plan = epoch, plan

    def on_epoch_end(self) -> None:
        """The next epoch has another order."""
        self.epoch += 1

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, index: int) -> Any:
        bucket, members = self._plan[index]
        (source_steps, target_steps), _, rows = self._buckets[bucket]
        source = np.full((rows, source_steps), PAD, "int32")
        read, wanted = np.full((2, rows, target_steps), PAD, "int32")
        for row, n in enumerate(members):
            ids, own = self._ids[n]
            source[row, : len(ids) + 1] = [*ids, END]
            read[row, : len(own) + 1] = [START, *own]
            wanted[row, : len(own) + 1] = [*own, END]
        return {"source": source, "target": read}, wanted


class Follow(keras.callbacks.Callback):
    """Tells `Pairs` which epoch it is: training that is resumed begins with a later."""

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        self.pairs = pairs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before the epoch's first batch is made."""
        del logs
        self.pairs.epoch = epoch


def check_pairs(pairs: Any) -> tuple[Sequence[str], Sequence[str]]:
    """Source and target texts.

    Raises:
        ValueError: if these are no pairs of texts.
    """
    require(
        isinstance(pairs, Iterable) and not isinstance(pairs, (str, bytes)),
        "pairs",
        "must be a list of pairs of texts",
        repr(pairs)[:60],
        'for example [("two words", "deux mots")]',
    )
    columns = isinstance(pairs, tuple) and list(map(type, pairs)) == [list, list]
    require(
        not columns,
        "pairs",
        "must be a list of pairs, not a pair of lists",
        "two lists in a tuple",
        "list(zip(sources, targets)) makes pairs of them",
    )
    pairs = pairs.tolist() if isinstance(pairs, np.ndarray) else list(pairs)
    require(
        bool(pairs),
        "pairs",
        "must hold one pair of texts or more",
        "none",
        'for example [("two words", "deux mots")]',
    )
    for place, pair in enumerate(pairs):
        require(
            isinstance(pair, (list, tuple, np.ndarray)) and len(pair) == 2,
            f"pairs[{place}]",
            "must be two texts, (source, target)",
            repr(pair)[:60],
            "two lists of texts become pairs with list(zip(sources, targets))",
        )
    sources, targets = zip(*pairs, strict=True)
    return check_texts(sources, "sources"), check_texts(targets, "targets")


def _check_buckets(buckets: Any) -> list[tuple[int, int]]:
    """Buckets, the smallest first.

    Raises:
        ValueError: if they are none.
    """
    found = list(buckets) if isinstance(buckets, Iterable) else []
    require(
        bool(found)
        and all(
            isinstance(each, (list, tuple))
            and len(each) == 2
            and all(map(is_count, each))
            for each in found
        ),
        "buckets",
        "must hold pairs of positive integers, (S, T)",
        repr(buckets)[:60],
        "for example [(10, 15), (40, 50)]",
    )
    return sorted((int(s), int(t)) for s, t in found)


def _doublings(lengths: Any, parts: int = 1) -> Any:
    """How often the shortest bucket is doubled for so many steps, in parts of one."""
    times = np.log2(np.maximum(lengths, _SHORTEST) / _SHORTEST)
    return np.ceil(parts * times).astype(int)


def doubled(length: int) -> int:
    """The shortest bucket, doubled until it holds so many steps."""
    return _SHORTEST << int(_doublings(length))


def _evenly(count: int, most: int) -> int:
    """Into batches of how many rows so many go, with the least filling up."""
    batches = -(-count // most)
    return -(-count // batches) if count else 0
