"""The old cell that attends to memories which its mechanisms hold."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from ...arguments import KW_ONLY
from ...attention.mechanism import dense
from ...cells.affine import check_positive
from ...cells.base import is_dims
from ...cells.states import plain
from ...checks import require
from ..base import RNNCell, package
from ..raw import TensorArray
from . import stepping
from .mechanism import AttentionMechanism

Tree = Any


class AttentionWrapperState(NamedTuple):
    """The state of an `AttentionWrapper`.

    cell_state: the cell's.
    attention: ``(B, A)``, what the last step gave.
    alignments: ``(B, S)``; of several mechanisms a tuple.
    alignment_history: a `TensorArray` of the alignments of all steps, or ``()``.
    attention_state: the mechanism's state: the alignments.

    Now: named states, `return_all_states` for the alignments of all steps.
    """

    cell_state: Any
    attention: Any
    alignments: Any
    alignment_history: Any
    attention_state: Any

    def clone(self, **kwargs: Any) -> "AttentionWrapperState":
        """The same with other parts; arrays keep their shapes.

        Args:
            **kwargs: parts by name, such as ``cell_state``.

        Raises:
            ValueError: if an array has another shape than the one it replaces.
        """
        new = self._replace(**kwargs)
        for name in kwargs:
            old, put = (jax.tree.leaves(getattr(s, name)) for s in (self, new))
            shapes = [[jnp.shape(a) for a in leaves] for leaves in (old, put)]
            require(
                shapes[0] == shapes[1],
                name,
                f"must have shapes {shapes[0]}, those of what it replaces",
                shapes[1],
                "for beam search repeat the encoder's state with tile_batch",
            )
        return new


@package
class AttentionWrapper(RNNCell):
    """A cell whose output asks memories, and which reads the answers at the next step.

    Args:
        cell: an old cell, one of ours or of Keras.
        attention_mechanism: a mechanism that holds a memory, or a list of such.
        attention_layer_size: A, the width of a dense layer without bias over the cell's
            output and the context. Default: none, the attention is the context. For a
            list of mechanisms a list.
        alignment_history: keep the alignments of all steps in the state, as a
            `TensorArray`, through a decoder or calls of this cell. Default False.
        cell_input_fn: ``(inputs, attention) -> what the cell reads``. Default: both
            side by side.
        output_attention: give the attention, not the cell's output. Default True.
        initial_cell_state: what the cell's state begins with. Default: zeros.
        attention_layer: a Keras layer in place of the size; or a list.
        attention_fn: ``(mechanism, cell output, attention state, attention layer) ->
            (attention, alignments, next attention state)``, in place of the usual.

    Raises:
        ValueError: if parts do not fit each other, or a mechanism has no memory.

    Now: `unrolled.AttentionCell`.

    Example:
        >>> import numpy as np, unrolled
        >>> from unrolled.tf1 import seq2seq
        >>> memory = np.ones((2, 7, 6), "float32")
        >>> mechanism = seq2seq.LuongAttention(4, memory, memory_sequence_length=[7, 3])
        >>> cell = seq2seq.AttentionWrapper(unrolled.LSTMCell(4), mechanism, 5)
        >>> state = cell.get_initial_state(batch_size=2, dtype="float32")
        >>> output, state = cell(np.ones((2, 3), "float32"), state)
        >>> output.shape, state.alignments.shape
        ((2, 5), (2, 7))

    Source: ``AttentionWrapper`` of TensorFlow 1.15's contrib.seq2seq and of Addons
    0.23.
    """

    cell: Any
    attention_mechanism: Any
    attention_layer_size: Any = None
    alignment_history: bool = False
    cell_input_fn: Callable[..., Any] | None = None
    output_attention: bool = True
    initial_cell_state: Any = None
    _: KW_ONLY
    attention_layer: Any = None
    attention_fn: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        stepping.check(self.cell)
        for mechanism in self.mechanisms:
            require(
                isinstance(mechanism, AttentionMechanism),
                "attention_mechanism",
                "must be a mechanism of unrolled.tf1.seq2seq, or a list of such",
                type(mechanism).__name__,
                "AttentionCell takes the mechanisms of unrolled itself",
            )
        size, layer = self.attention_layer_size, self.attention_layer
        require(
            size is None or layer is None,
            "attention_layer",
            "stands in place of attention_layer_size",
            "both",
            "pass one of them",
        )
        name = "attention_layer" if size is None else "attention_layer_size"
        given = self._for_each(name, layer if size is None else size)
        if size is not None:
            check_positive(**{f"{name}[{n}]": each for n, each in enumerate(given)})
            given = [dense(self, each, "attention_layer") for each in given]
        self.attention_layers = given

    @property
    def mechanisms(self) -> list[Any]:
        """All of them."""
        given = self.attention_mechanism
        return list(given) if self._are_several else [given]

    @property
    def _are_several(self) -> bool:
        return isinstance(self.attention_mechanism, (list, tuple))

    def _for_each(self, name: str, value: Any) -> list[Any]:
        """What is given for each mechanism."""
        count = len(self.mechanisms)
        if value is None:
            return [None] * count
        each = list(value) if isinstance(value, (list, tuple)) else [value]
        require(
            len(each) == count,
            name,
            f"must have one entry for each of {count} mechanism(s)",
            len(each),
            "make the two alike",
        )
        return each

    def _one_or_all(self, each: list[Any]) -> Any:
        return tuple(each) if self._are_several else each[0]

    # --- sizes and states ---

    @property
    def _query_width(self) -> int:
        return stepping.width(self.cell)

    @property
    def _attention_width(self) -> int:
        widths = []
        pairs = zip(self.mechanisms, self.attention_layers, strict=True)
        for mechanism, layer in pairs:
            found = mechanism.values.shape[-1]
            if layer is not None:
                shape = (None, self._query_width + found)
                found = layer.compute_output_shape(shape)[-1]
            widths.append(found)
        return sum(widths)

    @property
    def output_size(self) -> int:
        """A, or the width of the cell's output."""
        return self._attention_width if self.output_attention else self._query_width

    @property
    def state_size(self) -> AttentionWrapperState:
        """Widths, in the form of the state."""
        steps = self._one_or_all([m.alignments_size for m in self.mechanisms])
        return AttentionWrapperState(
            cell_state=stepping.sizes(self.cell),
            attention=self._attention_width,
            alignments=steps,
            alignment_history=self._one_or_all([()] * len(self.mechanisms)),
            attention_state=self._one_or_all([m.state_size for m in self.mechanisms]),
        )

    def get_initial_state(
        self, inputs: Any = None, batch_size: Any = None, dtype: Any = None
    ) -> AttentionWrapperState:
        """The state before the first step.

        Args:
            inputs: what is read at a step ``(B, ...)``: says rows and dtype.
            batch_size: B, that of the memory.
            dtype: of the state. Default: the cell's.

        Raises:
            ValueError: if the memory has other rows.
        """
        if inputs is not None:
            batch_size, dtype = inputs.shape[0], inputs.dtype
        self._check_rows("batch_size", batch_size)
        state = plain(self.initial_cell_state)
        if state is None:
            state = stepping.fresh(self.cell, batch_size, dtype)
        else:
            self._check_rows("initial_cell_state", jax.tree.leaves(state)[-1].shape[0])
        mechanisms = self.mechanisms
        alignments = [m.initial_alignments(batch_size, dtype) for m in mechanisms]
        history = TensorArray() if self.alignment_history else ()
        return AttentionWrapperState(
            cell_state=jax.tree.map(jnp.asarray, state),
            attention=jnp.zeros(
                (batch_size, self._attention_width), alignments[0].dtype
            ),
            alignments=self._one_or_all(alignments),
            alignment_history=self._one_or_all([history] * len(mechanisms)),
            attention_state=self._one_or_all(
                [m.initial_state(batch_size, dtype) for m in mechanisms]
            ),
        )

    def zero_state(self, batch_size: int, dtype: Any = None) -> AttentionWrapperState:
        """As `get_initial_state`."""
        return self.get_initial_state(batch_size=batch_size, dtype=dtype)

    def _check_rows(self, name: str, rows: Any) -> None:
        for mechanism in self.mechanisms:
            require(
                rows == mechanism.batch_size,
                name,
                f"must be the rows of the memory, {mechanism.batch_size}",
                rows,
                "for beam search repeat the encoder's outputs, lengths and state with "
                "tile_batch, and pass batch_size * beam_width",
            )

    # --- a step ---

    def build(self, inputs_shape: Tree) -> None:
        """Make the weights of all parts."""
        query, attention = self._query_width, self._attention_width
        for mechanism, layer in zip(
            self.mechanisms, self.attention_layers, strict=True
        ):
            if not mechanism.built:
                mechanism.build([(None, query), (None, mechanism.alignments_size)])
            if layer is not None and not layer.built:
                layer.build((None, query + mechanism.values.shape[-1]))
        kind = self.compute_dtype
        rows = self.mechanisms[0].batch_size
        x = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct((rows, *s[1:]), kind),
            inputs_shape,
            is_leaf=is_dims,
        )
        before = jax.ShapeDtypeStruct((rows, attention), kind)
        stepping.prepare(self.cell, jax.eval_shape(self._read, x, before))
        self.built = True

    def _read(self, inputs: Tree, attention: jax.Array) -> Tree:
        """What the cell reads."""
        if self.cell_input_fn is not None:
            return self.cell_input_fn(inputs, attention)
        return jnp.concatenate([inputs, attention.astype(inputs.dtype)], axis=-1)

    def __call__(self, inputs: Tree, state: Tree, **kwargs: Any) -> Any:
        """A step: ``(output, state)``; the history, no array, goes past Keras."""
        state = AttentionWrapperState(*state)
        history = state.alignment_history
        bare = state._replace(alignment_history=self._one_or_all([()] * self._count))
        output, after = super().__call__(inputs, bare, **kwargs)
        histories = list(history) if self._are_several else [history]
        found = list(after.alignments) if self._are_several else [after.alignments]
        written = [
            old.write(old.size(), new) if isinstance(old, TensorArray) else old
            for old, new in zip(histories, found, strict=True)
        ]
        return output, after._replace(alignment_history=self._one_or_all(written))

    @property
    def _count(self) -> int:
        return len(self.mechanisms)

    def call(self, inputs: Tree, state: Tree, training: Any = None) -> tuple[Any, Tree]:
        """The cell, then every mechanism."""
        state = AttentionWrapperState(*state)
        read = self._read(inputs, state.attention)
        output, inner = stepping.step(self.cell, read, state.cell_state, training)
        self._check_rows("inputs", output.shape[0])
        states = state.attention_state
        states = list(states) if self._are_several else [states]
        ask = self.attention_fn or _compute_attention
        parts = zip(self.mechanisms, states, self.attention_layers, strict=True)
        each = [ask(mechanism, output, own, layer) for mechanism, own, layer in parts]
        found, alignments, after = (list(part) for part in zip(*each, strict=True))
        attention = jnp.concatenate(found, axis=-1)
        new = AttentionWrapperState(
            cell_state=inner,
            attention=attention,
            alignments=self._one_or_all(alignments),
            alignment_history=state.alignment_history,
            attention_state=self._one_or_all(after),
        )
        return (attention if self.output_attention else output), new


def _compute_attention(
    mechanism: AttentionMechanism, output: jax.Array, state: Tree, layer: Any
) -> tuple[jax.Array, jax.Array, Tree]:
    """The context, or what a layer makes of it; alignments; the next state."""
    alignments, after = mechanism([output, state])
    context = mechanism.inner.find(alignments, mechanism.values)
    if layer is not None:
        context = layer(jnp.concatenate([output, context], axis=-1))
    return context, alignments, after
