"""Embedding, cell and output layer: taught with given inputs, then fed its own."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp
from jax import random

from ..arguments import KW_ONLY, Declared
from ..cells.base import is_dims
from ..cells.built import shapes_of
from ..cells.keras_style import as_cell
from ..cells.states import by_name, names_of
from ..checks import require
from ..layers import RNN, masks
from . import checks, forecast, free, reading
from .feedback import Feedback, beside
from .forecast import Forecast
from .keys import key_of
from .samplers import Sampler
from .search import Found, search

Tree = Any

_OPTIONS = tuple(inspect.signature(search).parameters)


@keras.saving.register_keras_serializable("unrolled")
class Decoder(Declared, keras.layers.Layer):
    """A cell that makes sequences, with what is below and above it.

    Called with inputs it is taught: each step reads the input that it is given, and
    the products of the embedding and of the output layer are done for all steps at
    once. `generate` then feeds back tokens, and `forecast` values ``(B, F)``.

    Args:
        embedding: a Keras layer that makes what the cell reads of the inputs, such as
            ``Embedding`` of tokens; None where the cell reads them as they are.
        cell: any cell, stack, wrapper or Keras-style cell, also one that reads a
            memory; or a list of cells.
        output_layer: a Keras layer that makes logits ``(..., V)``, or values, of the
            cell's outputs ``(..., U)``.
        sampling_probability: scheduled sampling: in training each row reads with this
            probability, step by step, what the decoder itself gave. It is a variable,
            ``decoder.probability``, which a callback may assign. Default None: what is
            given is read, and nothing else is compiled.
        sampler: makes an input of what the output layer gave, ``(outputs, key) ->
            inputs``, for scheduled sampling and for `forecast`. Default: of logits
            tokens are drawn as they say; without an embedding the outputs themselves.
            Weights ``(B, V)`` such as ``jax.nn.softmax(outputs)`` mix the rows of an
            ``Embedding``, so that gradients pass.
        seed: of scheduled sampling.

    Call arguments:
        inputs: tokens ``(B, T)``, or values ``(B, T, F)``.
        initial_state: of the cell, as `RNN` takes it; of an encoder, for example.
        memory: what every step may read, as `RNN` takes it.
        memory_mask: which entries of the memory count.
        known: what is known of each step beforehand, ``(B, T, C)``: the cell reads it
            beside the embedded input.
        mask: ``[B, T]``, which steps count; an ``Embedding`` with ``mask_zero`` has
            one.
        training: whether dropout, and scheduled sampling, are on.

    Returns:
        What the output layer gives, ``(B, T, V)``.

    Raises:
        ValueError: if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> decoder = unrolled.Decoder(
        ...     keras.layers.Embedding(9, 4), unrolled.GRUCell(8), keras.layers.Dense(9)
        ... )
        >>> decoder(keras.ops.ones((2, 5), "int32")).shape
        (2, 5, 9)
        >>> decoder.generate(1, batch_size=2, max_steps=7, end=2).tokens.shape
        (2, 1, 7)

    Source: scheduled sampling of Bengio et al., 2015.
    """

    embedding: Any
    cell: Any
    output_layer: Any
    _: KW_ONLY
    sampling_probability: float | None = None
    sampler: Sampler | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        p = self.sampling_probability
        require(
            p is None or (isinstance(p, (int, float)) and 0 <= p <= 1),
            "sampling_probability",
            "must be a number from 0 to 1, or None",
            repr(p),
            "assign decoder.probability to change it from epoch to epoch",
        )
        for name in ("embedding", "output_layer"):
            layer = getattr(self, name)
            require(
                isinstance(layer, keras.layers.Layer)
                or (layer is None and name == "embedding"),
                name,
                "must be a Keras layer" + (", or None" if name == "embedding" else ""),
                repr(layer),
                "for example keras.layers.Dense(10)",
            )
        if not isinstance(self.sampler, dict):  # as out of a file one of no name is
            checks.functions(sampler=self.sampler)
        self.rnn = RNN(self.cell, return_sequences=True, dtype=self.dtype_policy)
        self.cell = self.rnn.cell
        self.supports_masking = True
        self.known_width = 0  # C, once this is built
        self.fed: Any = None
        self.probability: Any = None
        if p is None:
            return
        self.probability = self.add_weight(
            name="sampling_probability",
            shape=(),
            initializer=lambda shape, dtype: jnp.full(shape, p, dtype),
            trainable=False,
            autocast=False,
        )
        cell = Feedback(
            self.embedding,
            self.cell,
            self.output_layer,
            self.sampler or self._drawn,
            self.probability,
            keras.random.SeedGenerator(self.seed),
            self.dtype_policy,
        )
        self.fed = RNN(cell, return_sequences=True, dtype=self.dtype_policy)

    def _drawn(self, outputs: jax.Array, key: jax.Array) -> jax.Array:
        """What is fed back where nobody says what."""
        if self.embedding is None:
            return outputs
        return random.categorical(key, outputs)

    # --- shapes and building ---

    def build(
        self,
        inputs_shape: Any,
        initial_state_shape: Any = None,
        memory_shape: Tree = None,
        known_shape: Any = None,
    ) -> None:
        """Build all parts."""
        del initial_state_shape
        self.known_width = 0 if known_shape is None else known_shape[-1]
        if self.embedding is not None and not self.embedding.built:
            self.embedding.build(inputs_shape)
        shape = self._below(inputs_shape, known_shape)
        memory_shape = jax.tree.map(tuple, memory_shape, is_leaf=is_dims)
        if not self.rnn.built:
            self.rnn.build(shape, memory_shape=memory_shape)
        above = self.rnn.compute_output_shape(shape)
        if not self.output_layer.built:
            self.output_layer.build(above)
        if self.fed is not None and not self.fed.built:
            fed = {
                "input": self._below(inputs_shape, None),
                "time": tuple(shape[:2]),
            }
            fed |= {} if known_shape is None else {"known": tuple(known_shape)}
            self.fed.build(fed, memory_shape=memory_shape)
        self.built = True

    def _below(self, inputs_shape: Any, known_shape: Any) -> tuple:
        """The shape of what the cell reads at every step."""
        shape = tuple(inputs_shape)
        if self.embedding is not None:
            shape = tuple(self.embedding.compute_output_shape(shape))
        if known_shape is not None:
            shape = (*shape[:-1], shape[-1] + known_shape[-1])
        return shape

    def compute_output_shape(
        self,
        inputs_shape: Any,
        initial_state_shape: Any = None,
        memory_shape: Tree = None,
        known_shape: Any = None,
    ) -> tuple:
        """What the output layer gives at every step."""
        del initial_state_shape, memory_shape
        below = self.rnn.compute_output_shape(self._below(inputs_shape, known_shape))
        return self.output_layer.compute_output_shape(below)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The inputs' mask goes on, and the embedding's."""
        own = None if self.embedding is None else self.embedding.compute_mask(inputs)
        return masks.all_of([mask, own])

    # --- taught ---

    def call(
        self,
        inputs: Any,
        initial_state: Any = None,
        memory: Tree = None,
        memory_mask: Tree = None,
        known: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        """Read the given inputs; see the class."""
        mask = self.compute_mask(inputs, mask)
        x = inputs if self.embedding is None else self.embedding(inputs)
        reading.known(known, x.shape[:2], self.known_width)
        given = {"mask": mask, "memory": memory, "memory_mask": memory_mask}
        if self.fed is None or not training:
            given |= {"initial_state": initial_state, "training": training}
            return self._above(self.rnn(beside(x, known), **given))
        rows, steps = x.shape[:2]
        time = jnp.broadcast_to(jnp.arange(steps, dtype="int32")[None], (rows, steps))
        if initial_state is not None:
            fresh = self.fed.cell.get_initial_state(rows, shapes_of(memory))
            own = as_cell(self.cell).complete(initial_state, fresh["cell"])
            initial_state = {"cell": own, "input": fresh["input"]}
        fed = {"input": x, "time": time} | ({} if known is None else {"known": known})
        return self.fed(fed, initial_state=initial_state, training=True, **given)

    def _above(self, y: jax.Array) -> Any:
        """What the output layer gives of the cell's outputs of all steps.

        A Dense layer reads them as rows: so XLA takes the gradient of its kernel
        without turning all logits about. Over several devices the batch keeps its own
        axis, or it would be gathered.
        """
        layer = self.output_layer
        if type(layer) is not keras.layers.Dense or jax.device_count() > 1:
            return layer(y)
        made = layer(y.reshape(-1, y.shape[-1]))
        return made.reshape(*y.shape[:-1], made.shape[-1])

    # --- fed its own ---

    def generate(
        self,
        start: Any,
        *,
        max_steps: int,
        end: int | None = None,
        initial_state: Any = None,
        memory: Tree = None,
        memory_mask: Tree = None,
        known: Any = None,
        batch_size: int | None = None,
        **given: Any,
    ) -> Found:
        """Find tokens with `search`, which says what more can be given and returned.

        Args:
            start: the token that the first step reads, or one for each row, ``(B,)``.
            max_steps: T, the most tokens there can be.
            end: the token that ends a hypothesis. Default None: all take `max_steps`.
            initial_state: as in a call.
            memory: as in a call; it is projected once, and not repeated for beams.
            memory_mask: as in a call.
            known: as in a call, ``(B, T, C)``.
            batch_size: B, where nothing else says it.
            given: what `search` takes: ``beam_width``, ``sampler``, ``seed`` and so on.
                ``alignments`` and ``record`` are handed the states by name:
                ``{"h": h}``. Default of ``alignments``: the cell's state of that
                name, of several heads the mean.

        Returns:
            What `search` returns; ``states`` in the form that the cell's have.

        Raises:
            ValueError: if an argument does not fit.
        """
        reading.options(given, _OPTIONS)
        reading.tokens_read(self, start)
        checks.functions(**{n: given.get(n) for n in ("alignments", "record")})
        rows = free.rows(start, initial_state, memory, batch_size)
        start = jnp.broadcast_to(jnp.asarray(start), (rows,))
        names = names_of(as_cell(self.cell))
        if given.get("coverage_penalty"):
            given["memory_mask"] = free.covered(memory, memory_mask)
            if "alignments" in by_name(names, names):
                given.setdefault("alignments", free.alignments)
        for name in ("alignments", "record"):
            function = given.get(name)
            if function is not None:
                given[name] = lambda s, f=function: f(by_name(names, s[0]))
        with free.scope(self):
            step, states = free.stepped(
                self, start, initial_state, memory, memory_mask, known, max_steps
            )

            def checked(tokens: jax.Array, states: Tree, _: None) -> tuple:
                logits, states = step(tokens, states)
                reading.tokens_given(self.embedding, logits, end)
                return logits, states

            found = search(
                checked,
                states,
                start=start,
                end=end,
                max_steps=max_steps,
                **given,
            )
        return found._replace(states=found.states[0])

    def forecast(
        self,
        start: Any,
        *,
        max_steps: int,
        until: Callable[..., Any] | None = None,
        initial_state: Any = None,
        memory: Tree = None,
        memory_mask: Tree = None,
        known: Any = None,
        sampler: Sampler | None = None,
        seed: Any = None,
    ) -> Forecast:
        """Feed back the decoder's own values, step by step; every derivative is there.

        Args:
            start: what the first step reads, ``(B, F)``: the last value that is known.
            max_steps: T, the most steps there can be.
            until: ``(values, outputs) -> [B]``, of ``(B, F)`` and what the output layer
                gave, whether this was a row's last step. Default None: all take
                `max_steps`.
            initial_state: as in a call.
            memory: as in a call.
            memory_mask: as in a call.
            known: as in a call, ``(B, T, C)``.
            sampler: ``(outputs, key) -> values``. Default: the decoder's own; without
                one the outputs themselves.
            seed: of the sampler, as `search` takes it.

        Returns:
            A named tuple of ``values`` ``(B, T, F)``, ``outputs`` ``(B, T, ...)``,
            ``lengths`` ``(B,)`` and ``states``; zeros after a row's end.

        Raises:
            ValueError: if an argument does not fit.

        Example:
            >>> import keras, unrolled
            >>> decoder = unrolled.Decoder(
            ...     None, unrolled.GRUCell(8), keras.layers.Dense(1)
            ... )
            >>> decoder.forecast(keras.ops.ones((2, 1)), max_steps=24).values.shape
            (2, 24, 1)
        """
        checks.functions(until=until, sampler=sampler)
        start = jnp.asarray(start)
        reading.values_read(self.embedding, start)
        checks.max_steps(max_steps)
        sampler = self.sampler if sampler is None else sampler
        with free.scope(self):
            step, states = free.stepped(
                self, start, initial_state, memory, memory_mask, known, max_steps
            )
            key = None if sampler is None else key_of(seed, (start, states))
            found = forecast.run(step, start, states, key, sampler, until, max_steps)
        return found._replace(states=found.states[0])
