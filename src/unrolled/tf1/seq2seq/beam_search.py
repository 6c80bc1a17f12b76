"""The old decoder that keeps several beams a row."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, overload

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ...cells.affine import check_positive
from ...cells.states import plain
from ...checks import require
from ..raw import TensorArray
from . import stepping
from .beam_step import (
    BeamSearchDecoderState,
    Penalties,
    attended,
    beam_step,
)
from .beams import gather_tree, gather_tree_from_array
from .decoder import BaseDecoder
from .generating import lookup, tokens_of

Tree = Any
# What comes after the cell in the form of TensorFlow 1, and in that of Addons.
_FIRST = ("embedding", "start_tokens", "end_token", "initial_state", "beam_width")
_SECOND = ("beam_width", "embedding_fn")
_BOTH = (
    "output_layer",
    "length_penalty_weight",
    "coverage_penalty_weight",
    "reorder_tensor_arrays",
)


class FinalBeamSearchDecoderOutput(NamedTuple):
    """What a `BeamSearchDecoder` gives.

    predicted_ids: ``(B, T, K)``, whole beams, the best first.
    beam_search_decoder_output: what each step chose.
    """

    predicted_ids: Any
    beam_search_decoder_output: Any


class BeamSearchDecoder(BaseDecoder):
    """Beam search over a cell whose states and memory are repeated with `tile_batch`.

    In the form of Addons it is a layer, ``BeamSearchDecoder(cell, beam_width,
    embedding_fn, ...)``, called with ``(embedding, start_tokens, end_token,
    initial_state)``. In that of TensorFlow 1 it holds them, ``BeamSearchDecoder(cell,
    embedding, start_tokens, end_token, initial_state, beam_width, ...)``, and is run by
    `dynamic_decode`.

    Args:
        cell: an old cell, one of ours or of Keras.
        beam_width: K.
        embedding_fn: ids to inputs; or with the call a table ``(V, E)``.
        embedding: the same in the form of TensorFlow 1: a table, or a function.
        start_tokens: the first ids, ``(B,)``.
        end_token: the id at which a beam ends.
        initial_state: of the cell, each ``(B * K, ...)``.
        output_layer: a Keras layer that makes logits of the cell's output, or None.
        length_penalty_weight: alpha: log-probabilities are divided by ``((5 + length) /
            6) ** alpha``. Default 0.
        coverage_penalty_weight: beta of GNMT; for a cell that attends. Default 0.
        reorder_tensor_arrays: put what `TensorArray`s of the state hold, such as the
            alignments' history, in the order of whole beams, as one array ``(T, B * K,
            ...)``. Default True.
        output_all_scores: give the scores of all candidates. Default False.
        **kwargs: as of `BaseDecoder`.

    Raises:
        ValueError: if the parts do not fit, or the state is not repeated K times.

    Now: `unrolled.search`, ``unrolled.Decoder.generate(beam_width=...)``.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> from unrolled.tf1 import seq2seq
        >>> state = seq2seq.tile_batch(np.ones((2, 4), "float32"), 3)
        >>> decoder = seq2seq.BeamSearchDecoder(
        ...     unrolled.GRUCell(4),
        ...     3,
        ...     keras.layers.Embedding(10, 5),
        ...     keras.layers.Dense(10),
        ...     maximum_iterations=6,
        ... )
        >>> outputs, state, lengths = decoder(
        ...     None, start_tokens=[1, 1], end_token=2, initial_state=state
        ... )
        >>> outputs.predicted_ids.shape[::2], lengths.shape
        ((2, 3), (2, 3))

    Source: ``BeamSearchDecoder`` of TensorFlow 1.15's contrib.seq2seq and of Addons
    0.23.
    """

    @overload
    def __init__(
        self,
        cell: Any,
        beam_width: int,
        embedding_fn: Callable[..., Any] | None = None,
        output_layer: Any = None,
        length_penalty_weight: float = 0.0,
        coverage_penalty_weight: float = 0.0,
        reorder_tensor_arrays: bool = True,
        *,
        output_all_scores: bool = False,
        output_time_major: bool = False,
        maximum_iterations: Any = None,
        **kwargs: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        cell: Any,
        embedding: Any,
        start_tokens: Any,
        end_token: Any,
        initial_state: Any,
        beam_width: int,
        output_layer: Any = None,
        length_penalty_weight: float = 0.0,
        coverage_penalty_weight: float = 0.0,
        reorder_tensor_arrays: bool = True,
    ) -> None: ...

    def __init__(self, cell: Any, *args: Any, **kwargs: Any) -> None:
        # In the form of TensorFlow 1 the third argument is the start tokens.
        holds = "start_tokens" in kwargs or (len(args) > 1 and np.ndim(args[1]) == 1)
        first = _FIRST if holds else _SECOND
        names = (*first, *_BOTH)
        require(
            len(args) <= len(names),
            "BeamSearchDecoder",
            f"takes cell, {', '.join(names)} in this order",
            f"{1 + len(args)} arguments",
            "pass further ones by name",
        )
        given = dict(zip(names, args, strict=False))
        given |= {name: kwargs.pop(name) for name in names if name in kwargs}
        all_scores = kwargs.pop("output_all_scores", False)
        super().__init__(**kwargs)
        stepping.check(cell)
        check_positive(beam_width=given.get("beam_width"))  # pyright: ignore[reportArgumentType]
        layer = given.get("output_layer")
        require(
            layer is None or isinstance(layer, keras.layers.Layer),
            "output_layer",
            "must be a Keras layer",
            type(layer).__name__,
            "for example keras.layers.Dense(vocabulary)",
        )
        self.cell, self.output_layer = cell, layer
        self.beam_width = given["beam_width"]
        self.embedding_fn = given.get("embedding_fn")
        # No attribute that Keras would look into.
        held = tuple(given.get(name) for name in _FIRST[:4]) if holds else None
        self.held = SimpleNamespace(parts=held)
        self.penalties = Penalties(
            float(given.get("length_penalty_weight", 0.0)),
            float(given.get("coverage_penalty_weight", 0.0)),
        )
        self.reorder_tensor_arrays = given.get("reorder_tensor_arrays", True)
        self.output_all_scores = all_scores

    def call(
        self,
        embedding: Any,
        start_tokens: Any = None,
        end_token: Any = None,
        initial_state: Any = None,
        training: Any = None,
        **kwargs: Any,
    ) -> tuple[Tree, Tree, Any]:
        """``(outputs, final state, lengths (B, K))``."""
        return super().call(
            embedding,
            initial_state=initial_state,
            training=training,
            start_tokens=start_tokens,
            end_token=end_token,
            **kwargs,
        )

    @property
    def batch_size(self) -> int:
        """B, once it is initialized."""
        return len(self.start_tokens)

    @property
    def tracks_own_finished(self) -> bool:
        """Beams change places."""
        return True

    # --- the two forms of a state: rows of beams, and beams side by side ---

    def _split(self, tree: Tree) -> Tree:
        shape = (self.batch_size, self.beam_width)
        return stepping.map_arrays(
            lambda a: a.reshape(*shape, *a.shape[1:]) if a.ndim else a, tree
        )

    def _merged(self, tree: Tree) -> Tree:
        return stepping.map_arrays(
            lambda a: a.reshape(-1, *a.shape[2:]) if a.ndim > 1 else a, tree
        )

    # --- the decoder ---

    def initialize(
        self,
        embedding: Any = None,
        start_tokens: Any = None,
        end_token: Any = None,
        initial_state: Any = None,
    ) -> tuple[Any, Tree, BeamSearchDecoderState]:
        """One beam a row; makes the weights.

        Args:
            embedding: a table ``(V, E)``, or a function of ids.
            start_tokens: ``(B,)``.
            end_token: one id.
            initial_state: of the cell, each ``(B * K, ...)``.

        Raises:
            ValueError: if the state is not repeated K times.
        """
        if self.held.parts is not None:
            embedding, start_tokens, end_token, initial_state = self.held.parts
        look_up = embedding if embedding is not None else self.embedding_fn
        self._look_up = lookup(None, look_up)
        self.start_tokens, self.end_token = tokens_of(start_tokens, end_token)
        rows, width = self.batch_size, self.beam_width
        state = stepping.arrays(plain(initial_state))
        found = stepping.rows_of(state)
        require(
            bool(found) and all(n == rows * width for n in found),
            "initial_state",
            f"must have batch * beam_width = {rows} * {width} rows",
            found,
            "repeat the encoder's state with tile_batch(state, beam_width)",
        )
        tokens = jnp.broadcast_to(self.start_tokens[:, None], (rows, width))
        inputs = self._look_up(tokens)
        stepping.prepare(self.cell, self._merged(inputs))
        layer = self.output_layer
        if layer is not None and not layer.built:
            with jax.ensure_compile_time_eval():
                layer.build((None, None, stepping.width(self.cell)))
        state = self._split(state)
        kinds = [a.dtype for a in jax.tree.leaves(state)]
        dtype = next(kind for kind in kinds if jnp.issubdtype(kind, jnp.floating))
        is_first = jnp.broadcast_to(jnp.arange(width) == 0, (rows, width))
        whole = jax.dtypes.canonicalize_dtype("int64")
        return (
            jnp.logical_not(is_first),
            inputs,
            BeamSearchDecoderState(
                cell_state=state,
                log_probs=jnp.where(is_first, 0, -jnp.inf).astype(dtype),
                finished=jnp.logical_not(is_first),
                lengths=jnp.zeros((rows, width), whole),
                accumulated_attention_probs=attended(state)
                if self.penalties.coverage
                else (),
            ),
        )

    def step(
        self, time: Any, inputs: Tree, state: Tree, training: Any = None
    ) -> tuple[Tree, Tree, Tree, Any]:
        """The cell over all beams; then which candidates go on."""
        del time
        outputs, cell_state = stepping.step(
            self.cell, self._merged(inputs), self._merged(state.cell_state), training
        )
        outputs, cell_state = self._split(outputs), self._split(cell_state)
        if self.output_layer is not None:
            outputs = self.output_layer(outputs)
        found, after = beam_step(
            outputs,
            cell_state,
            state,
            self.end_token,
            self.penalties,
            self.output_all_scores,
        )
        return found, after, self._look_up(found.predicted_ids), after.finished

    def finalize(
        self, outputs: Tree, final_state: Tree, sequence_lengths: Any
    ) -> tuple[Tree, Tree]:
        """Whole beams."""
        del sequence_lengths
        lengths, parents = final_state.lengths, outputs.parent_ids
        tokens = gather_tree(
            outputs.predicted_ids, parents, lengths.max(axis=1), self.end_token
        )

        def in_order(leaf: Any) -> Any:
            if not isinstance(leaf, TensorArray) or leaf.is_empty:
                return leaf
            return gather_tree_from_array(leaf.stack(), parents, lengths)

        if self.reorder_tensor_arrays:
            is_written = lambda leaf: isinstance(leaf, TensorArray)  # noqa: E731
            cell_state = jax.tree.map(
                in_order, final_state.cell_state, is_leaf=is_written
            )
            final_state = final_state._replace(cell_state=cell_state)
        return FinalBeamSearchDecoderOutput(tokens, outputs), final_state
