"""The old mechanisms: each holds its memory, and asks it by one of ours."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ... import attention
from ..._borrowed import Tracer, get_keras_mask
from ...checks import require

Tree = Any


class Theirs(attention.AttentionMechanism):
    """Alignments of an entry that does not count are what the scores make of it.

    So a row of which none counts has 1 / S everywhere; ours has 0 there.
    """

    score_mask_value = None

    def align_masked(
        self, score: jax.Array, mask: jax.Array, states: Tree, constants: Tree
    ) -> jax.Array:
        """Of scores that are lowest where the mask says so."""
        lowest = self.score_mask_value
        lowest = jnp.finfo(score.dtype).min if lowest is None else lowest
        score = jnp.where(mask, score, jnp.full_like(score, lowest))
        return self.align(score, states, constants)


class AttentionMechanism(keras.layers.Layer):
    """Base of the old mechanisms; derive from it to keep one of your own.

    A subclass has ``_calculate_attention(query, state) -> (alignments, next_state)``,
    which reads ``self.keys``, ``self.values``, ``self.query_layer`` and
    ``self.probability_fn(score, state)``; weights are made in ``build(input_shape)``,
    the shapes of query and state, after ``super().build(input_shape)``.

    Args:
        memory: ``(B, S, M)``; or set it later, with `setup_memory`.
        probability_fn: ``(score, state) -> alignments``. Default: the softmax.
        query_layer: a Keras layer that the query goes through, or None.
        memory_layer: one that makes keys of the memory, or None.
        memory_sequence_length: ``(B,)``.
        score_mask_value: of an entry that does not count. Default: the lowest number.
        custom_key_value_fn: ``(keys, values) -> (keys, values)``, or None.

    Now: `unrolled.AttentionMechanism`, which is handed the memory with each call.

    Source: ``AttentionMechanism`` of TensorFlow 1.15's contrib.seq2seq and of Addons
    0.23.
    """

    def __init__(
        self,
        memory: Any = None,
        probability_fn: Callable[..., Any] | None = None,
        query_layer: Any = None,
        memory_layer: Any = None,
        memory_sequence_length: Any = None,
        score_mask_value: float | None = None,
        custom_key_value_fn: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.default_probability_fn = probability_fn
        self.custom_key_value_fn = custom_key_value_fn
        self.inner: Any = self.make(query_layer, memory_layer)
        self.inner.score_mask_value = score_mask_value
        # No attribute that Keras would look into.
        self.held = SimpleNamespace(constants={})
        if memory is not None:
            self.setup_memory(memory, memory_sequence_length)

    def make(self, query_layer: Any, memory_layer: Any) -> Any:
        """The mechanism of ours that has the weights; called once."""
        return Theirs(
            query_layer=query_layer, memory_layer=memory_layer, dtype=self.dtype_policy
        )

    # --- the memory ---

    def setup_memory(
        self, memory: Any, memory_sequence_length: Any = None, memory_mask: Any = None
    ) -> None:
        """Hold a memory, until the next is set up.

        Args:
            memory: ``(B, S, M)``.
            memory_sequence_length: ``(B,)``: how many entries count.
            memory_mask: ``[B, S]``: which do; instead of the lengths.

        Raises:
            ValueError: if these do not fit each other, or a length is not positive.
        """
        require(
            not isinstance(memory, keras.KerasTensor),
            "memory",
            "must be an array: a mechanism holds it, and no model's graph does",
            memory,
            "put encoder and decoder into the call of one keras.Model, or use "
            "unrolled.RNN(unrolled.AttentionCell(...))(x, memory=memory)",
        )
        memory = jnp.asarray(memory)
        require(
            memory.ndim == 3,
            "memory",
            "must have shape (batch, memory steps, features)",
            memory.shape,
            "pass the outputs of an encoder, return_sequences=True",
        )
        require(
            memory_sequence_length is None or memory_mask is None,
            "memory_mask",
            "says the same as memory_sequence_length",
            "both",
            "pass one of them",
        )
        mask = memory_mask
        if memory_sequence_length is not None:
            mask = _up_to(memory_sequence_length, memory.shape)
        inner = self.inner
        layer = inner.memory_layer
        if layer is not None and not layer.built:
            with jax.ensure_compile_time_eval():
                layer.build((None, *memory.shape[1:]))
        mask = None if mask is None else jnp.asarray(mask).astype(bool)
        constants = inner.get_constants(len(memory), True, memory, mask)
        if self.custom_key_value_fn is not None:
            pair = self.custom_key_value_fn(constants["keys"], constants["values"])
            constants["keys"], constants["values"] = pair
        self.held.constants = constants

    @property
    def memory_initialized(self) -> bool:
        """Whether there is a memory."""
        return bool(self.held.constants)

    def _held(self, name: str) -> Any:
        require(
            self.memory_initialized,
            "attention_mechanism",
            "must have a memory before it is asked",
            f"a {type(self).__name__} without",
            "pass memory=..., or call setup_memory(memory, memory_sequence_length)",
        )
        return self.held.constants[name]

    @property
    def keys(self) -> jax.Array:
        """What the query is compared with, ``(B, S, U)``."""
        return self._held("keys")

    @property
    def values(self) -> jax.Array:
        """The memory, zeros where it does not count, ``(B, S, M)``."""
        return self._held("values")

    @property
    def batch_size(self) -> int:
        """B."""
        return self.keys.shape[0]

    @property
    def alignments_size(self) -> int:
        """S."""
        return self.keys.shape[1]

    @property
    def state_size(self) -> int:
        """S: the state is the alignments."""
        return self.alignments_size

    @property
    def query_layer(self) -> Any:
        """What the query goes through."""
        return self.inner.query_layer

    @property
    def memory_layer(self) -> Any:
        """What makes keys of the memory."""
        return self.inner.memory_layer

    # --- asking ---

    def initial_alignments(self, batch_size: int, dtype: Any = None) -> jax.Array:
        """Shares before the first step, ``(B, S)``."""
        shape = (batch_size, self.alignments_size, 1)
        (fresh,) = self.inner.get_initial_state(batch_size, shape)
        return fresh if dtype is None else fresh.astype(dtype)

    def initial_state(self, batch_size: int, dtype: Any = None) -> Tree:
        """The state before the first step: the shares."""
        return self.initial_alignments(batch_size, dtype)

    def build(self, input_shape: Any) -> None:
        """Make the weights, for the shapes of query and state."""
        query = tuple(input_shape[0])
        shape = (None, *self.values.shape[1:])
        if not self.inner.built:
            with jax.ensure_compile_time_eval():
                self.inner.build((None, query[-1]), shape)
        self.built = True

    def __call__(
        self,
        inputs: Any,
        state: Any = None,
        mask: Any = None,
        setup_memory: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Ask: ``([query, state]) -> (alignments, next_state)``, or as two arguments.

        Args:
            inputs: query ``(B, Q)`` and state; to set a memory up, ``(B, S, M)`` or a
                list of it and its lengths.
            state: the state, where `inputs` is the query alone.
            mask: ``[B, S]``, of a memory.
            setup_memory: set a memory up, and return it.
            **kwargs: read by nobody.
        """
        del kwargs
        if setup_memory:
            both = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if mask is None and len(both) == 1:
                mask = get_keras_mask(both[0])
            mask = mask[0] if isinstance(mask, (list, tuple)) else mask
            self.setup_memory(*both, memory_mask=mask)
            return self.values
        query, state = (inputs[0], inputs[1]) if state is None else (inputs, state)
        if not self.built:
            shapes = jax.tree.map(jnp.shape, (query, state))
            self.build(list(shapes))
        return self._calculate_attention(query, state)

    def probability_fn(self, score: jax.Array, state: Tree) -> jax.Array:
        """Alignments of scores, of which those that do not count are lowest."""
        mask, given = self._held("mask"), self.default_probability_fn
        if mask is not None:
            lowest = self.inner.score_mask_value
            lowest = jnp.finfo(score.dtype).min if lowest is None else lowest
            score = jnp.where(mask, score, jnp.full_like(score, lowest))
        return jax.nn.softmax(score) if given is None else given(score, state)

    def _calculate_attention(self, query: jax.Array, state: Tree) -> tuple[Any, Tree]:
        """Alignments, and the state after the step: here the alignments."""
        inner = self.inner
        query = inner.project_inputs(jnp.asarray(query), self.held.constants)
        alignments = inner.shares(query, [state], self.held.constants)
        return alignments, alignments


def _up_to(lengths: Any, shape: tuple[int, ...]) -> jax.Array:
    """A mask ``[B, S]`` of lengths."""
    lengths = jnp.asarray(lengths, "int32")
    require(
        lengths.shape == shape[:1],
        "memory_sequence_length",
        f"must have shape (batch,) = {shape[:1]}",
        lengths.shape,
        "pass how many entries of each row count",
    )
    if not isinstance(lengths, Tracer):
        least = int(np.min(lengths, initial=1))
        require(
            least > 0,
            "memory_sequence_length",
            "must be positive in every row",
            least,
            "pass memory_mask, with which a row may have no entry that counts",
        )
    time = jnp.broadcast_to(jnp.arange(shape[1], dtype="int32"), shape[:2])
    return time < jnp.broadcast_to(lengths[:, None], shape[:2])


def width_of(units: int | None, num_units: int | None) -> Any:
    """The width, under either name."""
    require(
        (units is None) != (num_units is None),
        "units",
        "must be given once; num_units was its name before",
        f"units={units}, num_units={num_units}",
        "pass the width of the query, for example units=64",
    )
    return num_units if units is None else units
