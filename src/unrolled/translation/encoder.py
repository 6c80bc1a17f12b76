"""What reads the source, and how what it ends with starts a decoder."""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..cells.keras_style import as_cell
from ..layers import RNN, Bidirectional
from .tokenizer import PAD

Tree = Any


class Encoder(keras.layers.Layer):
    """Embedding and recurrent layers over ids ``(B, S)``; padding does not count.

    Args:
        vocabulary_size: V of the source.
        embedding_size: E.
        make: makes one more cell.
        num_layers: how many layers.
        bidirectional: whether the lowest reads both ways.
        residual: whether a layer above the lowest adds what it reads to what it gives,
            where the two are as wide.
        dropout: share of numbers dropped of what each reads.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        make: Callable[[], Any],
        num_layers: int,
        bidirectional: bool,
        residual: bool,
        dropout: float,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_size, dtype=policy
        )
        self.dropped = keras.layers.Dropout(dropout, dtype=policy)
        self.levels = []
        for level in range(num_layers):
            options = {
                "return_sequences": True,
                "return_state": True,
                "dtype": policy,
            }
            layer = RNN(make(), **options)
            if bidirectional and not level:
                back = RNN(make(), go_backwards=True, **options)
                layer = Bidirectional(layer, backward_layer=back, dtype=policy)
            self.levels.append(layer)
        self.residual = residual
        # M, how wide the memory is, once that is known.
        self.width: Any = None

    def build(self, source_shape: Any) -> None:
        """Build the layers, each for what it reads."""
        self.embedding.build(source_shape)
        self.dropped.build(source_shape)
        shape = self.embedding.compute_output_shape(source_shape)
        for layer in self.levels:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)[0]
        self.width = shape[-1]

    def call(self, source: Any, training: bool = False) -> tuple[Any, Any, list[Any]]:
        """Read ids ``(B, S)``.

        Returns:
            The memory ``(B, S, M)``, its mask ``[B, S]``, and the final states of each
            layer in a row, the lowest first.
        """
        mask = jnp.asarray(source) != PAD
        x, states = self.embedding(source), []
        for level, layer in enumerate(self.levels):
            below = self.dropped(x, training=training)
            y, *own = layer(below, mask=mask, training=training)
            adds = self.residual and level and y.shape == x.shape
            x = y + x if adds else y
            states.append(own)
        return x, mask, states


class Bridge(keras.layers.Layer):
    """Makes the first states of a decoder of the final states of an encoder.

    Each layer starts where the encoder's layer of its level ended. States of two
    directions are joined by a dense layer; where they are no rows of floating-point
    numbers the forward one goes on.

    Args:
        encoder: built.
    """

    def __init__(self, encoder: Encoder, **given: Any) -> None:
        super().__init__(**given)
        lowest = encoder.levels[0]
        self.joins: list[Any] = []
        self.joined = isinstance(lowest, Bidirectional)
        if self.joined:
            cell = as_cell(lowest.forward_layer.cell)
            for shape in jax.tree.leaves(cell.state_shapes):
                width = shape.sizes[-1] if shape.sizes else 1
                join = keras.layers.Dense(width, dtype=self.dtype_policy)
                join.build((None, 2 * width))
                self.joins.append(join)
        self.built = True

    def call(self, states: list[Any]) -> list[Any]:
        """The states of each layer, the lowest first; see the class."""
        lowest, *above = states
        if not self.joined:
            return [lowest, *above]
        leaves = jax.tree.leaves(lowest)
        half = len(leaves) // 2
        pairs = zip(leaves[:half], leaves[half:], strict=True)
        found = [
            join(jnp.concatenate(pair, axis=-1))
            if jnp.issubdtype(pair[0].dtype, jnp.floating) and pair[0].ndim > 1
            else pair[0]
            for join, pair in zip(self.joins, pairs, strict=True)
        ]
        return [found, *above]
