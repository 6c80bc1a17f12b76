"""Samplers that teach, and now and then read what the decoder gave: scheduled."""

from collections.abc import Callable
from typing import Any

import keras
from jax import numpy as jnp
from jax import random

from ...checks import require
from ...decoding.search import key_of
from .generating import lookup, one_array
from .samplers import TrainingSampler, at

Tree = Any


def _probability(given: Any) -> Any:
    """Checked where it is a number; a Keras variable stays one."""
    ndim = len(getattr(given, "shape", ()))
    require(
        ndim <= 1 and (not isinstance(given, (int, float)) or 0 <= given <= 1),
        "sampling_probability",
        "must be a probability, or one for each row (batch,)",
        getattr(given, "shape", given),
        "pass a number from 0 to 1",
    )
    return given


def _drawn(key: Any, time: Any, probability: Any, rows: int) -> Any:
    """Which rows read what was given, ``[B]``."""
    chance = random.uniform(random.fold_in(key, time), (rows,))
    limit = jnp.asarray(probability, chance.dtype)
    return chance < jnp.broadcast_to(limit, chance.shape)


def _either(rows: Any, yes: Any, no: Any) -> Any:
    rows = rows.reshape(rows.shape + (1,) * (no.ndim - rows.ndim))
    return jnp.where(jnp.broadcast_to(rows, no.shape), yes.astype(no.dtype), no)


class ScheduledEmbeddingTrainingSampler(TrainingSampler):
    """As `TrainingSampler`; in some rows the next input is an id drawn from the output.

    ``initialize(inputs, sequence_length=None, mask=None, embedding=None)``. What is
    chosen is the id that was drawn, and -1 in the other rows.

    Args:
        sampling_probability: that a row's next input is drawn; a number, a Keras
            variable or one for each row.
        embedding_fn: ids ``(B,)`` to inputs. Default: rows of `embedding`.
        time_major: as of `TrainingSampler`.
        seed: of the ids.
        scheduling_seed: of which rows.

    Raises:
        ValueError: if it is no probability, or there is nothing to look up in.

    Now: ``unrolled.Decoder(sampling_probability=...)``.

    Source: ``ScheduledEmbeddingTrainingSampler`` of TensorFlow Addons 0.23.
    """

    def __init__(
        self,
        sampling_probability: Any,
        embedding_fn: Callable[..., Any] | None = None,
        time_major: bool = False,
        seed: int | None = None,
        scheduling_seed: int | None = None,
    ) -> None:
        super().__init__(time_major)
        self.sampling_probability = _probability(sampling_probability)
        self.embedding_fn, self.seed = embedding_fn, seed
        self.scheduling_seed = scheduling_seed
        make = keras.random.SeedGenerator
        self.seeds = make(seed), make(scheduling_seed)

    def initialize(
        self,
        inputs: Any,
        sequence_length: Any = None,
        mask: Any = None,
        embedding: Any = None,
    ) -> tuple[Any, Tree]:
        """The first step's inputs."""
        self._look_up = lookup(self.embedding_fn, embedding)
        self._keys = [key_of(seed) for seed in self.seeds]
        return super().initialize(inputs, sequence_length, mask)

    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """Draws, and -1 elsewhere."""
        del state
        draw, choose = self._keys
        logits = one_array(outputs)
        ids = random.categorical(random.fold_in(draw, time), logits).astype("int32")
        rows = _drawn(choose, time, self.sampling_probability, self.batch_size)
        return jnp.where(rows, ids, -1)

    def next_inputs(
        self, time: Any, outputs: Any, state: Tree, sample_ids: Any
    ) -> tuple[Any, Tree, Tree]:
        """What was drawn, looked up; elsewhere those of the next step."""
        finished, base, state = super().next_inputs(time, outputs, state, sample_ids)
        found = self._look_up(jnp.maximum(sample_ids, 0))
        return finished, _either(sample_ids > -1, found, base), state


class ScheduledOutputTrainingSampler(TrainingSampler):
    """As `TrainingSampler`; in some rows the next input is the output.

    ``initialize(inputs, sequence_length=None, mask=None, auxiliary_inputs=None)``; the
    last, ``(B, T, C)``, stand beside inputs and outputs. What is chosen is 1 in rows
    that read the output, 0 in the others.

    Args:
        sampling_probability: as of `ScheduledEmbeddingTrainingSampler`.
        time_major: as of `TrainingSampler`.
        seed: of which rows.
        next_inputs_fn: makes the next input of the output. Default: the output itself.

    Raises:
        ValueError: if it is no probability.

    Now: ``unrolled.Decoder(sampling_probability=...)`` without a vocabulary.

    Source: ``ScheduledOutputTrainingSampler`` of TensorFlow Addons 0.23.
    """

    def __init__(
        self,
        sampling_probability: Any,
        time_major: bool = False,
        seed: int | None = None,
        next_inputs_fn: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(time_major)
        self.sampling_probability = _probability(sampling_probability)
        self.seed, self.next_inputs_fn = seed, next_inputs_fn
        self.seeds = (keras.random.SeedGenerator(seed),)

    def initialize(
        self,
        inputs: Any,
        sequence_length: Any = None,
        mask: Any = None,
        auxiliary_inputs: Any = None,
    ) -> tuple[Any, Tree]:
        """The first step's inputs."""
        self._key = key_of(self.seeds[0])
        self._beside = None
        if auxiliary_inputs is not None:
            inputs, beside = jnp.asarray(inputs), jnp.asarray(auxiliary_inputs)
            inputs = jnp.concatenate([inputs, beside.astype(inputs.dtype)], axis=-1)
            self._beside = self._by_time(beside)
        return super().initialize(inputs, sequence_length, mask)

    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """Which rows."""
        del outputs, state
        rows = _drawn(self._key, time, self.sampling_probability, self.batch_size)
        return rows.astype("int32")

    def next_inputs(
        self, time: Any, outputs: Any, state: Tree, sample_ids: Any
    ) -> tuple[Any, Tree, Tree]:
        """The outputs; elsewhere the inputs of the next step."""
        finished, base, state = super().next_inputs(time, outputs, state, sample_ids)
        makes = self.next_inputs_fn
        own = outputs if makes is None else makes(outputs)
        if self._beside is not None:
            beside = at(self._beside, time + 1, self.most_steps)
            own = jnp.concatenate([own, beside.astype(own.dtype)], axis=-1)
        require(
            own.shape == base.shape,
            "next_inputs_fn",
            f"must make inputs of shape {base.shape}, as wide as those that are given",
            own.shape,
            "pass a layer that makes an input of an output",
        )
        return finished, _either(sample_ids.astype(bool), own, base), state
