"""Search for translations: texts go together by length, and programs are kept."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..checks import is_count, require
from ..decoding import checks, free
from ..decoding.keys import key_of
from .pairs import doubled
from .tokenizer import END, PAD, START, check_texts

# So many choices of options are kept; the least recently used goes first.
_MOST = 16


class Alignment(NamedTuple):
    """Where the decoder looked when it wrote a text."""

    source: list[str]  # the pieces that were read, the end among them
    target: list[str]  # the pieces that were written, the end too if it came to it
    shares: np.ndarray  # (T, S), of each piece of the target the shares of the source


class Searches:
    """The compiled searches of a model: one for each choice of options.

    JAX keeps one program for each shape below it. Weights are arguments.

    Args:
        model: a `Seq2Seq`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        # A sampler of its own for every call would be a program for every call.
        self._made = functools.lru_cache(_MOST)(self._make)

    def __call__(self, source: Any, key: Any, **options: Any) -> Any:
        """What is found for ids ``(B, S)``: the best of each row."""
        try:
            values = [variable.value for variable in self._variables]
        except TypeError as error:  # as Keras says that there is none
            raise ValueError(
                "the model must have its weights. Got none: fit has them until an "
                "epoch ends; translate with a callback's self.model, or a copy."
            ) from error
        return self._made(**options)(values, source, key)

    @property
    def _variables(self) -> list[Any]:
        parts = (self._model.encoder, self._model.bridge, self._model.decoder)
        return [variable for part in parts for variable in part.variables]

    def _make(self, **options: Any) -> Callable[..., Any]:
        return jax.jit(_search(self._model, self._variables, options))


def _search(
    model: Any, variables: list[Any], options: dict[str, Any]
) -> Callable[..., Any]:
    """A pure function of weights, ids and a key."""
    recorded = options.pop("return_alignments")
    looks = options["coverage_penalty"] or recorded
    alignments = free.alignments if looks else None

    def run(values: list[Any], source: Any, key: Any) -> tuple[Any, ...]:
        with keras.StatelessScope(state_mapping=[*zip(variables, values, strict=True)]):
            memory, mask, states = model.read(source)
            found = model.decoder.generate(
                START,
                end=END,
                initial_state=states,
                memory=memory,
                memory_mask=mask,
                seed=key,
                alignments=alignments,
                record=alignments if recorded else None,
                **options,
            )
        records = found.records[:, 0] if recorded else None
        return found.tokens[:, 0], found.lengths[:, 0], found.scores[:, 0], records

    return run


def translate(
    model: Any,
    texts: Any,
    *,
    max_length: int,
    batch_size: int,
    seed: Any,
    return_alignments: bool,
    **options: Any,
) -> Any:
    """See `Seq2Seq.translate`."""
    texts = check_texts(texts)
    for name, count in (("batch_size", batch_size), ("max_length", max_length)):
        require(
            is_count(count),
            name,
            "must be a positive integer",
            repr(count),
            f"leave {name} out for the default",
        )
    beam_width, sampler = options["beam_width"], options["sampler"]
    checks.chosen(beam_width, sampler, groups=1, diversity=0.0)
    penalties = {name: options[f"{name}_penalty"] for name in ("length", "coverage")}
    checks.penalties(**penalties, alignments=free.alignments, repeated=1.0)
    # Programs are kept by these.
    options |= {f"{name}_penalty": float(given) for name, given in penalties.items()}
    options["beam_width"] = int(beam_width)
    ids = [model.tokenizer.encode(text) if text.strip() else [] for text in texts]
    for place, own in enumerate(ids):
        require(
            len(own) <= model.max_length,
            f"texts[{place}]",
            f"must have at most max_length={model.max_length} tokens",
            f"{len(own)} tokens in {len(texts[place]):,} characters",
            "cut it into sentences, or make the model with a larger max_length",
        )
    options |= {"max_steps": int(max_length), "return_alignments": return_alignments}
    key = key_of(seed)
    target = model.target_tokenizer or model.tokenizer
    written = [""] * len(texts)
    looked = [Alignment([], [], np.zeros((0, 0), "float32")) for _ in texts]
    for count, (rows, source) in enumerate(_batches(ids, batch_size)):
        found = model.searches(source, jax.random.fold_in(key, count), **options)
        tokens, lengths, scores, records = jax.tree.map(np.asarray, found)
        require(
            not np.isnan(scores).any(),
            "the model",
            "must have numbers for weights",
            "scores that are NaN",
            "its training went astray: take an earlier checkpoint",
        )
        for row, place in enumerate(rows):
            own = tokens[row, : lengths[row]].tolist()
            written[place] = target.decode(own)
            if return_alignments:
                read = [*ids[place], END]
                looked[place] = Alignment(
                    model.tokenizer.pieces(read),
                    target.pieces(own),
                    records[row, : len(own), : len(read)],
                )
    return (written, looked) if return_alignments else written


def _batches(ids: list[list[int]], most: int) -> Iterator[tuple[list[int], Any]]:
    """Texts of about one length together: which, and their ids ``(B, S)``.

    B is a power of two, or `most`; the last text stands in all rows that are left, so
    that no row takes longer than one that is asked for.
    """
    steps = {n: doubled(len(own) + 1) for n, own in enumerate(ids) if own}
    for length in sorted(set(steps.values())):
        alike = [n for n in steps if steps[n] == length]
        alike.sort(key=lambda n: len(ids[n]))
        for at in range(0, len(alike), most):
            rows = alike[at : at + most]
            count = min(most, 1 << (len(rows) - 1).bit_length())
            source = np.full((count, length), PAD, "int32")
            for row in range(count):
                own = ids[rows[min(row, len(rows) - 1)]]
                source[row, : len(own) + 1] = [*own, END]
            yield rows, jnp.asarray(source)
