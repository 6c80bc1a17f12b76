"""Judge translations of held-out sentences: figures, baselines, examples by rule."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import sacrebleu
from sklearn.feature_extraction.text import TfidfVectorizer

from catalogues import Pair
from pairs import placeholders


class Way(NamedTuple):
    """A way to translate, and what it made of the held-out sentences."""

    name: str
    texts: list[str]
    seconds: float


def nearest(training: Sequence[Pair], sources: Sequence[str]) -> list[str]:
    """For each source take the translation of the training sentence most like it.

    Most like it by the cosine of character n-grams of 2 to 4, weighted by TF-IDF.
    """
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), dtype=np.float32)
    known = grams.fit_transform([pair.source for pair in training])
    asked = grams.transform(list(sources))
    best: list[int] = []
    for start in range(0, asked.shape[0], 256):  # all at once would be large
        likeness = (asked[start : start + 256] @ known.T).toarray()
        best += likeness.argmax(1).tolist()
    return [training[place].target for place in best]


def ways(
    translate: Callable[..., list[str]],
    training: Sequence[Pair],
    test: Sequence[Pair],
    beam_width: int,
) -> list[Way]:
    """Translate the held-out sentences in every way."""
    sources = [pair.source for pair in test]
    makers: dict[str, Callable[[], list[str]]] = {
        "copy the source": lambda: sources,
        "nearest sentence": lambda: nearest(training, sources),
        "greedy": lambda: translate(sources),
        f"beam {beam_width}": lambda: translate(sources, beam_width=beam_width),
    }
    found = []
    for name, make in makers.items():
        start = time.perf_counter()
        found.append(Way(name, make(), time.perf_counter() - start))
    return found


def scores(texts: Sequence[str], references: Sequence[str]) -> tuple[float, float]:
    """Return BLEU and chrF of all of them together, as sacrebleu has them."""
    given = (list(texts), [list(references)])
    return (
        sacrebleu.corpus_bleu(*given).score,
        sacrebleu.corpus_chrf(*given).score,
    )


def survivors(texts: Sequence[str], test: Sequence[Pair]) -> tuple[int, int]:
    """Count placeholders that are still there, of those that had to be.

    One has to be that stands in the source and in the reference.
    """
    kept = wanted = 0
    for text, pair in zip(texts, test, strict=True):
        due = placeholders(pair.source) & placeholders(pair.target)
        wanted += due.total()
        kept += (due & placeholders(text)).total()
    return kept, wanted


def by_rule(
    texts: Sequence[str], test: Sequence[Pair], count: int = 10
) -> tuple[list[int], list[int]]:
    """Choose good and bad examples, without looking at them.

    Of sentences of four words and more, in the order of the chrF of each: `count`
    evenly spaced places in the best fifth, and as many in the worst.
    """
    long = [n for n, pair in enumerate(test) if len(pair.source.split()) >= 4]
    rated = {n: sacrebleu.sentence_chrf(texts[n], [test[n].target]).score for n in long}
    order = sorted(long, key=lambda n: (-rated[n], test[n].source))
    fifth = len(order) // 5
    places = np.unique(np.linspace(0, fifth - 1, count).astype(int)) if fifth else []
    return [order[k] for k in places], [order[-1 - k] for k in places]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Write rows as a table in Markdown; the first is its head."""
    safe = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in safe]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def report(found: Sequence[Way], test: Sequence[Pair]) -> str:
    """Say in Markdown how good each way is, with examples of the last."""
    references = [pair.target for pair in test]
    rows = [["", "BLEU", "chrF", "placeholders kept", "seconds"]]
    for way in found:
        bleu, chrf = scores(way.texts, references)
        kept, wanted = survivors(way.texts, test)
        rows.append(
            [
                way.name,
                f"{bleu:.1f}",
                f"{chrf:.1f}",
                f"{kept} of {wanted}",
                f"{way.seconds:.1f}",
            ]
        )
    parts = [f"## {len(test):,} held-out messages", table(rows)]
    last = found[-1]
    for title, places in zip(["Good", "Bad"], by_rule(last.texts, test), strict=True):
        examples = [["source", last.name, "reference"]]
        examples += [[test[n].source, last.texts[n], test[n].target] for n in places]
        which = "best" if title == "Good" else "worst"
        parts += [
            f"## {title}: evenly spaced in the {which} fifth by chrF",
            table(examples),
        ]
    return "\n\n".join(parts) + "\n"
