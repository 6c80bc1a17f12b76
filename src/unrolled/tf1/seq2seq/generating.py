"""Samplers that read what the decoder gave: greedily, by chance, or by a function."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from jax import random

from ...checks import require
from ...decoding.beam import likeliest
from ...decoding.search import key_of
from .samplers import Sampler
from .stepping import arrays

Tree = Any


class GreedyEmbeddingSampler(Sampler):
    """Chooses the likeliest id, looks its row up, and reads that next.

    ``initialize(embedding, start_tokens, end_token)``: the table ``(V, E)`` or a
    function of ids, unless one was given before; the first ids ``(B,)``; and the id at
    which a row ends.

    Args:
        embedding_fn: ids ``(B,)`` to inputs ``(B, E)``. Default None.

    Raises:
        ValueError: if there is nothing to look up in, or tokens are of other shapes.

    Now: ``unrolled.Decoder.generate``, `unrolled.search`.

    Source: ``GreedyEmbeddingSampler`` of TensorFlow Addons 0.23.
    """

    def __init__(self, embedding_fn: Callable[..., Any] | None = None) -> None:
        self.embedding_fn = embedding_fn

    def initialize(
        self, embedding: Any = None, start_tokens: Any = None, end_token: Any = None
    ) -> tuple[Any, Tree]:
        """The start tokens' inputs."""
        self._look_up = lookup(self.embedding_fn, embedding)
        self.start_tokens, self.end_token = tokens_of(start_tokens, end_token)
        self.start_inputs = self._look_up(self.start_tokens)
        self._batch_size = len(self.start_tokens)
        return jnp.zeros((self._batch_size,), bool), self.start_inputs

    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """The likeliest."""
        del time, state
        return likeliest(one_array(outputs))

    def next_inputs(
        self, time: Any, outputs: Any, state: Tree, sample_ids: Any
    ) -> tuple[Any, Tree, Tree]:
        """What is looked up."""
        del time, outputs
        return sample_ids == self.end_token, self._look_up(sample_ids), state


class SampleEmbeddingSampler(GreedyEmbeddingSampler):
    """Draws an id from the logits, looks its row up, and reads that next.

    Args:
        embedding_fn: as of `GreedyEmbeddingSampler`.
        softmax_temperature: what logits are divided by. Default: nothing.
        seed: of what is drawn.

    Raises:
        ValueError: as of `GreedyEmbeddingSampler`, or if the temperature is not
            positive.

    Now: ``sampler=unrolled.sampler(temperature=...)`` of `unrolled.search`.

    Source: ``SampleEmbeddingSampler`` of TensorFlow Addons 0.23.
    """

    def __init__(
        self,
        embedding_fn: Callable[..., Any] | None = None,
        softmax_temperature: Any = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(embedding_fn)
        require(
            not isinstance(softmax_temperature, (int, float))
            or softmax_temperature > 0,
            "softmax_temperature",
            "must be positive",
            softmax_temperature,
            "for the likeliest id take GreedyEmbeddingSampler",
        )
        self.softmax_temperature, self.seed = softmax_temperature, seed
        self.seeds = (keras.random.SeedGenerator(seed),)

    def initialize(
        self, embedding: Any = None, start_tokens: Any = None, end_token: Any = None
    ) -> tuple[Any, Tree]:
        """The start tokens' inputs."""
        self._key = key_of(self.seeds[0])
        return super().initialize(embedding, start_tokens, end_token)

    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """A draw."""
        del state
        logits = one_array(outputs)
        if self.softmax_temperature is not None:
            logits = logits / jnp.asarray(self.softmax_temperature, logits.dtype)
        key = random.fold_in(self._key, time)
        return random.categorical(key, logits).astype("int32")


class InferenceSampler(Sampler):
    """Makes the next input of what a function of one's own chooses.

    ``initialize(start_inputs)``: the first inputs ``(B, ...)``.

    Args:
        sample_fn: outputs to what is chosen, ``(B, ...)``.
        sample_shape: of a row's choice.
        sample_dtype: of it.
        end_fn: of what is chosen whether a row ends, ``[B]``.
        next_inputs_fn: of what is chosen the next inputs. Default: what is chosen.

    Now: ``unrolled.Decoder.forecast``.

    Source: ``InferenceSampler`` of TensorFlow Addons 0.23.
    """

    def __init__(
        self,
        sample_fn: Callable[..., Any],
        sample_shape: Any,
        sample_dtype: Any,
        end_fn: Callable[..., Any],
        next_inputs_fn: Callable[..., Any] | None = None,
    ) -> None:
        self.sample_fn, self.end_fn = sample_fn, end_fn
        self.next_inputs_fn = next_inputs_fn
        self.sample_shape = tuple(np.atleast_1d(np.asarray(sample_shape, int)).tolist())
        self.sample_dtype = sample_dtype

    @property
    def sample_ids_shape(self) -> Any:
        """As given."""
        return self.sample_shape

    @property
    def sample_ids_dtype(self) -> Any:
        """As given."""
        return self.sample_dtype

    def initialize(self, start_inputs: Any) -> tuple[Any, Tree]:
        """The start."""
        self.start_inputs = arrays(start_inputs)
        self._batch_size = jax.tree.leaves(self.start_inputs)[0].shape[0]
        return jnp.zeros((self._batch_size,), bool), self.start_inputs

    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """The user's."""
        del time, state
        return self.sample_fn(outputs)

    def next_inputs(
        self, time: Any, outputs: Any, state: Tree, sample_ids: Any
    ) -> tuple[Any, Tree, Tree]:
        """What is chosen, or what a function makes of it."""
        del time, outputs
        makes = self.next_inputs_fn
        inputs = sample_ids if makes is None else makes(sample_ids)
        return self.end_fn(sample_ids), inputs, state


def lookup(embedding_fn: Any, embedding: Any) -> Callable[..., Any]:
    """The function that looks ids up.

    Raises:
        ValueError: if there is none.
    """
    found = embedding if embedding_fn is None else embedding_fn
    require(
        found is not None,
        "embedding",
        "must be given: a table (vocabulary, features), or a function of ids",
        "None",
        "pass embedding_fn=keras.layers.Embedding(V, E), or the table with the call",
    )
    if callable(found):
        return found
    return lambda ids: jnp.take(jnp.asarray(found), ids, axis=0)


def tokens_of(start_tokens: Any, end_token: Any) -> tuple[jax.Array, jax.Array]:
    """Start tokens ``(B,)`` and the end token.

    Raises:
        ValueError: if they are of other shapes.
    """
    for name, given, ndim in (
        ("start_tokens", start_tokens, 1),
        ("end_token", end_token, 0),
    ):
        require(
            given is not None and np.ndim(given) == ndim,
            name,
            "must have shape (batch,)" if ndim else "must be one id",
            None if given is None else np.shape(given),
            "pass an id for each row" if ndim else "pass the id that ends a row",
        )
    return jnp.asarray(start_tokens, "int32"), jnp.asarray(end_token, "int32")


def one_array(outputs: Any) -> jax.Array:
    """The outputs, if they are one array.

    Raises:
        ValueError: if they are a tree.
    """
    require(
        hasattr(outputs, "shape"),
        "outputs",
        "must be one array of logits (batch, vocabulary)",
        type(outputs).__name__,
        "take CustomSampler for a cell with several outputs",
    )
    return outputs
