"""The helpers of TensorFlow 1: samplers that hold what they read from the beginning."""

from collections.abc import Callable
from typing import Any

from jax import numpy as jnp

from . import generating, samplers, scheduled
from .stepping import arrays

Tree = Any


class Helper(samplers.Sampler):
    """Base of the helpers: a sampler whose ``initialize()`` takes no inputs.

    Now: ``adjust_logits`` and ``sampler`` of `unrolled.search`, `unrolled.Decoder`.

    Source: ``tf.contrib.seq2seq.Helper`` of TensorFlow 1.15.
    """


class CustomHelper(samplers.CustomSampler, Helper):
    """A helper of three functions.

    Args:
        initialize_fn: ``() -> (finished, inputs)``.
        sample_fn: ``(time, outputs, state) -> sample_ids``.
        next_inputs_fn: ``(time, outputs, state, sample_ids) -> (finished, next inputs,
            next state)``.
        sample_ids_shape: of a row's choice. Default: one number.
        sample_ids_dtype: default int32.

    Source: ``tf.contrib.seq2seq.CustomHelper`` of TensorFlow 1.15.
    """

    def initialize(self, name: Any = None) -> tuple[Any, Tree]:
        """The user's."""
        del name
        finished, first = self._initialize_fn()
        self._batch_size = jnp.size(finished)
        return finished, first


class TrainingHelper(samplers.TrainingSampler, Helper):
    """Reads its inputs; what is chosen is the likeliest id of each output.

    Args:
        inputs: ``(B, T, D)``, or a tree of such.
        sequence_length: ``(B,)``.
        time_major: inputs are ``(T, B, D)``. Default False.
        name: read by nobody.

    Raises:
        ValueError: if the lengths do not fit the inputs.

    Now: `unrolled.RNN`, or `unrolled.Decoder` called with targets.

    Source: ``tf.contrib.seq2seq.TrainingHelper`` of TensorFlow 1.15.
    """

    def __init__(
        self,
        inputs: Any,
        sequence_length: Any,
        time_major: bool = False,
        name: Any = None,
    ) -> None:
        del name
        super().__init__(time_major)
        self._given = inputs, sequence_length
        self._batch_size = len(sequence_length)

    def initialize(self, name: Any = None) -> tuple[Any, Tree]:
        """The first step's inputs."""
        del name
        return super().initialize(*self._given)


class ScheduledEmbeddingTrainingHelper(
    scheduled.ScheduledEmbeddingTrainingSampler, Helper
):
    """As `TrainingHelper`; in some rows the next input is an id drawn from the output.

    Args:
        inputs: ``(B, T, D)``.
        sequence_length: ``(B,)``.
        embedding: a table ``(V, D)``, or a function of ids.
        sampling_probability: that a row's next input is drawn.
        time_major: inputs are ``(T, B, D)``. Default False.
        seed: of the ids.
        scheduling_seed: of which rows.
        name: read by nobody.

    Raises:
        ValueError: if it is no probability, or the lengths do not fit the inputs.

    Now: ``unrolled.Decoder(sampling_probability=...)``.

    Source: ``tf.contrib.seq2seq.ScheduledEmbeddingTrainingHelper`` of TensorFlow 1.15.
    """

    def __init__(
        self,
        inputs: Any,
        sequence_length: Any,
        embedding: Any,
        sampling_probability: Any,
        time_major: bool = False,
        seed: int | None = None,
        scheduling_seed: int | None = None,
        name: Any = None,
    ) -> None:
        del name
        super().__init__(
            sampling_probability,
            time_major=time_major,
            seed=seed,
            scheduling_seed=scheduling_seed,
        )
        self._given = inputs, sequence_length, None, embedding
        self._batch_size = len(sequence_length)

    def initialize(self, name: Any = None) -> tuple[Any, Tree]:
        """The first step's inputs."""
        del name
        return super().initialize(*self._given)


class ScheduledOutputTrainingHelper(scheduled.ScheduledOutputTrainingSampler, Helper):
    """As `TrainingHelper`; in some rows the next input is the output.

    Args:
        inputs: ``(B, T, D)``.
        sequence_length: ``(B,)``.
        sampling_probability: that a row's next input is the output.
        time_major: inputs are ``(T, B, D)``. Default False.
        seed: of which rows.
        next_inputs_fn: makes the next input of the output. Default: the output itself.
        auxiliary_inputs: ``(B, T, C)``, what stands beside inputs and outputs.
        name: read by nobody.

    Raises:
        ValueError: if it is no probability, or the lengths do not fit the inputs.

    Now: ``unrolled.Decoder(sampling_probability=...)`` without a vocabulary.

    Source: ``tf.contrib.seq2seq.ScheduledOutputTrainingHelper`` of TensorFlow 1.15.
    """

    def __init__(
        self,
        inputs: Any,
        sequence_length: Any,
        sampling_probability: Any,
        time_major: bool = False,
        seed: int | None = None,
        next_inputs_fn: Callable[..., Any] | None = None,
        auxiliary_inputs: Any = None,
        name: Any = None,
    ) -> None:
        del name
        super().__init__(sampling_probability, time_major, seed, next_inputs_fn)
        self._given = inputs, sequence_length, None, auxiliary_inputs
        self._batch_size = len(sequence_length)

    def initialize(self, name: Any = None) -> tuple[Any, Tree]:
        """The first step's inputs."""
        del name
        return super().initialize(*self._given)


class GreedyEmbeddingHelper(generating.GreedyEmbeddingSampler, Helper):
    """Chooses the likeliest id, looks its row up, and reads that next.

    Args:
        embedding: a table ``(V, E)``, or a function of ids.
        start_tokens: the first ids, ``(B,)``.
        end_token: the id at which a row ends.

    Raises:
        ValueError: if tokens are of other shapes.

    Now: ``unrolled.Decoder.generate``, `unrolled.search`.

    Source: ``tf.contrib.seq2seq.GreedyEmbeddingHelper`` of TensorFlow 1.15.
    """

    def __init__(self, embedding: Any, start_tokens: Any, end_token: Any) -> None:
        super().__init__()
        self._given = embedding, start_tokens, end_token
        self._batch_size = len(start_tokens)

    def initialize(self, name: Any = None) -> tuple[Any, Tree]:
        """The start tokens' inputs."""
        del name
        return super().initialize(*self._given)


class SampleEmbeddingHelper(generating.SampleEmbeddingSampler, Helper):
    """Draws an id from the logits, looks its row up, and reads that next.

    Args:
        embedding: a table ``(V, E)``, or a function of ids.
        start_tokens: the first ids, ``(B,)``.
        end_token: the id at which a row ends.
        softmax_temperature: what logits are divided by. Default: nothing.
        seed: of what is drawn.

    Raises:
        ValueError: if tokens are of other shapes, or the temperature is not positive.

    Now: ``sampler=unrolled.sampler(temperature=...)`` of `unrolled.search`.

    Source: ``tf.contrib.seq2seq.SampleEmbeddingHelper`` of TensorFlow 1.15.
    """

    def __init__(
        self,
        embedding: Any,
        start_tokens: Any,
        end_token: Any,
        softmax_temperature: Any = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(None, softmax_temperature, seed)
        self._given = embedding, start_tokens, end_token
        self._batch_size = len(start_tokens)

    def initialize(self, name: Any = None) -> tuple[Any, Tree]:
        """The start tokens' inputs."""
        del name
        return super().initialize(*self._given)


class InferenceHelper(generating.InferenceSampler, Helper):
    """Makes the next input of what a function of one's own chooses.

    Args:
        sample_fn: outputs to what is chosen, ``(B, ...)``.
        sample_shape: of a row's choice.
        sample_dtype: of it.
        start_inputs: the first inputs ``(B, ...)``.
        end_fn: of what is chosen whether a row ends, ``[B]``.
        next_inputs_fn: of what is chosen the next inputs. Default: what is chosen.

    Now: ``unrolled.Decoder.forecast``.

    Source: ``tf.contrib.seq2seq.InferenceHelper`` of TensorFlow 1.15.
    """

    def __init__(
        self,
        sample_fn: Callable[..., Any],
        sample_shape: Any,
        sample_dtype: Any,
        start_inputs: Any,
        end_fn: Callable[..., Any],
        next_inputs_fn: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(sample_fn, sample_shape, sample_dtype, end_fn, next_inputs_fn)
        self.start_inputs = arrays(start_inputs)
        self._batch_size = len(self.start_inputs)

    def initialize(self, name: Any = None) -> tuple[Any, Tree]:
        """The start."""
        del name
        return super().initialize(self.start_inputs)
