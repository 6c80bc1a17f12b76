"""Checks of what a decoder reads: its options, tokens and values."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from .. import misnamed
from .._borrowed import Tracer
from ..checks import fits, require
from . import checks

_SAMPLER = "pass sampler=unrolled.sampler(...), which has it"
_ADJUST = "pass adjust_logits=..., a function of logits and the tokens so far"
# What generate's options are called elsewhere.
_MEANT = {
    **dict.fromkeys(
        ("num_beams", "beam", "beams", "beam_size", "num_return_sequences"),
        "pass beam_width=..., how many hypotheses a row has; all are returned",
    ),
    **dict.fromkeys(("temperature", "top_k", "top_p", "min_p", "do_sample"), _SAMPLER),
    **dict.fromkeys(
        ("eos_token_id", "end_token", "end_id"), "pass end=..., the token that ends"
    ),
    **dict.fromkeys(
        ("max_length", "max_new_tokens", "maximum_iterations"),
        "pass max_steps=..., the most tokens there can be",
    ),
    **dict.fromkeys(("logits_processor", "constraints"), _ADJUST),
    **dict.fromkeys(("no_repeat_ngram_size", "bad_words_ids"), _ADJUST),
    "num_beam_groups": "pass groups=...",
    "attention_mask": "pass memory_mask=...",
    "encoder_outputs": "pass memory=...",
    "training": "leave it out: nothing is dropped where a decoder is set free",
}


def options(given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Check the names of what a decoder hands on to a search."""
    misnamed.check("generate", given, known, _MEANT)


def tokens_read(decoder: Any, start: Any) -> None:
    """Check the tokens that a decoder begins with."""
    require(
        # A cell may embed them itself: of ids no axis is left at a step.
        decoder.embedding is not None or not decoder.rnn.step_shape,
        "embedding",
        "must be given where tokens are fed back",
        "None",
        "this decoder reads values: use forecast",
    )
    checks.begins(start)
    embedding: Any = decoder.embedding
    if not isinstance(embedding, keras.layers.Embedding):
        return
    most = embedding.input_dim
    within = isinstance(start, Tracer) or (
        np.min(start) >= 0 and np.max(start) < most  # of a row or more
    )
    require(
        bool(within),
        "start",
        f"must be a token of the embedding, from 0 to {most - 1}",
        start,
        "make the embedding larger, or begin with another",
    )


def tokens_given(embedding: Any, logits: Any, end: int | None) -> None:
    """Check that every token that may be given can be read, but the end."""
    if not isinstance(embedding, keras.layers.Embedding):
        return
    count = np.shape(logits)[-1]
    require(
        count - (end == count - 1) <= embedding.input_dim,
        "output_layer",
        f"must give logits of what the embedding has, {embedding.input_dim} tokens",
        f"{count} logits",
        "make the two for one vocabulary: what is given is read at the next step",
    )


def values_read(embedding: Any, start: jax.Array) -> None:
    """Check the values that a forecast begins with."""
    require(
        not isinstance(embedding, keras.layers.Embedding),
        "embedding",
        "must not be an Embedding where values are fed back",
        "a decoder of tokens",
        "use generate",
    )
    last = {1: "start[:, None] has that axis", 3: "pass the last step alone, x[:, -1]"}
    require(
        start.ndim == 2 and jnp.issubdtype(start.dtype, jnp.floating),
        "start",
        "must hold values (batch, features)",
        f"{start.dtype} of shape {start.shape}",
        last.get(start.ndim, "numbers that are whole become values with .astype"),
    )


def known(known: Any, lead: tuple, width: int | None) -> None:
    """Check what is known of each step, ``(*lead, width)``; width None is any."""
    shape = () if known is None else np.shape(known)
    require(
        known is None or (len(shape) == 3 and fits(shape[:2], lead)),
        "known",
        f"must have shape (batch, time, C) = ({lead[0]}, {lead[1]}, C)",
        shape,
        "what is known of each step that is read",
    )
    require(
        width is None or (shape[-1] if shape else 0) == width,
        "known",
        f"must have {width} numbers at each step, as when the decoder was built",
        f"shape {shape}" if shape else "none",
        f"pass known=... (batch, time, {width})" if width else "leave it out",
    )
