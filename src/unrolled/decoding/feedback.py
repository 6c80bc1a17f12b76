"""A cell that may read what it gave before, in place of what it is handed."""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp
from jax import random

from ..cells.base import Cell, Tree, constants_of
from ..cells.built import build_cell
from ..cells.checked import step_of
from ..cells.keras_style import as_cell
from ..cells.states import Shape, initial_states, names_of
from ..checks import require
from .keys import key_of


class Feedback(Cell):
    """A cell with what is below and above it, for scheduled sampling.

    A step gives what the output layer gives. The sampler makes an input of that, which
    the next step reads, embedded, with the given probability; it is a state.

    Args:
        embedding: a Keras layer, or None.
        cell: any cell.
        output_layer: a Keras layer.
        sampler: ``(outputs, key) -> inputs``, tokens ``(B,)`` or values ``(B, F)``.
        probability: a Keras variable.
        seeds: a Keras ``SeedGenerator``.
    """

    def __init__(
        self,
        embedding: Any,
        cell: Any,
        output_layer: Any,
        sampler: Callable[..., Any],
        probability: Any,
        seeds: Any,
        dtype: Any,
    ) -> None:
        super().__init__(dtype=dtype)
        self.embedding, self.cell, self.output_layer = embedding, cell, output_layer
        self.sampler, self.probability, self.seeds = sampler, probability, seeds
        self.input_width: Any = None
        self.output_sizes: Any = (None,)

    @property
    def state_size(self) -> Any:
        """As `state_shapes`, for Keras."""
        return {"cell": self.cell.state_size, "input": self.input_width}

    @property
    def state_shapes(self) -> Tree:
        """The cell's, and of the next input, embedded."""
        own = Shape((self.input_width,))
        return {"cell": as_cell(self.cell).state_shapes, "input": own}

    @property
    def state_names(self) -> Tree:
        """The cell's, and one of its own."""
        return {"cell": names_of(as_cell(self.cell)), "input": "input"}

    @property
    def output_shapes(self) -> Tree:
        """What the output layer gives."""
        return Shape(tuple(self.output_sizes))

    @property
    def output_size(self) -> Any:
        """What the output layer gives."""
        return tuple(self.output_sizes)

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """For ``{"input": (B, E), "time": (B,)}``, and ``"known": (B, C)`` if it is."""
        self.input_width = input_shape["input"][-1]
        known = input_shape.get("known")
        both = self.input_width + (0 if known is None else known[-1])
        build_cell(self.cell, (None, both), memory_shape)
        below = (None, *as_cell(self.cell).output_shapes.sizes)
        self.output_sizes = self.output_layer.compute_output_shape(below)[1:]
        self.built = True

    def get_initial_state(self, batch_size: int, memory_shape: Tree = None) -> Tree:
        """The cell's; nothing was given before."""
        nothing = jnp.zeros((batch_size, self.input_width), self.state_dtype)
        inner = initial_states(as_cell(self.cell), batch_size, memory_shape)
        return {"cell": inner, "input": nothing}

    def get_constants(self, batch_size: int, training: bool, **given: Any) -> Tree:
        """The cell's, and what decides by chance."""
        constants = constants_of(as_cell(self.cell), batch_size, training, **given)
        probability = jnp.asarray(self.probability.value)
        return {
            "cell": constants,
            "key": key_of(self.seeds),
            "probability": probability,
        }

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """Choose the input of each row; then the cell, and the layer above it."""
        given, known, time = x["input"], x.get("known"), x["time"][0]
        feed, draw = random.split(random.fold_in(constants["key"], time))
        rows = (given.shape[0], 1)
        # At the first step there is nothing to feed back.
        feeds = random.bernoulli(feed, constants["probability"], rows) & (time > 0)
        own = states["input"].astype(given.dtype)
        given = jnp.where(jnp.broadcast_to(feeds, given.shape), own, given)
        view = as_cell(self.cell)
        x = view.project_inputs(beside(given, known), constants["cell"])
        y, inner = step_of(self.cell, x, states["cell"], constants["cell"])
        outputs = self.output_layer(y)
        own = embedded(self.embedding, self.sampler(outputs, draw), self.input_width)
        return outputs, {"cell": inner, "input": own}


def beside(inputs: jax.Array, known: Any) -> jax.Array:
    """Inputs, and what is known of the step beside them."""
    if known is None:
        return inputs
    return jnp.concatenate([inputs, known.astype(inputs.dtype)], -1)


def embedded(embedding: Any, inputs: Any, width: Any) -> jax.Array:
    """What a step reads of one that was fed back, ``(B, E)``.

    Numbers ``(B, V)`` for an ``Embedding`` weigh the rows of its table.

    Raises:
        ValueError: if that is not so wide as what is read otherwise.
    """
    require(
        hasattr(inputs, "shape"),
        "sampler",
        "must make inputs of outputs",
        type(inputs).__name__,
        "give tokens (batch,), or values like those that the decoder is called with",
    )
    soft = jnp.issubdtype(inputs.dtype, jnp.floating)
    if isinstance(embedding, keras.layers.Embedding) and soft:
        table = jnp.asarray(embedding.embeddings, inputs.dtype)
        read = inputs @ table if inputs.shape[1:] == table.shape[:1] else inputs
    else:
        read = inputs if embedding is None else embedding(inputs)
    require(
        read.ndim == 2 and read.shape[-1] == width,
        "sampler",
        f"must make inputs of outputs, as wide as those that the cell reads, {width}",
        f"{inputs.dtype} of shape {tuple(inputs.shape)}",
        "give tokens (batch,), or values like those that the decoder is called with",
    )
    return read
