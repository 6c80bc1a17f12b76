"""The old wrappers with weights of their own, in a scope around the cell's."""

from typing import Any

import jax
import keras
import numpy as np

from .. import cells
from ..arguments import Activation, Initializer
from ..checks import require
from .base import Tree, joined, package, parted
from .checkpoint import Held
from .wrappers import OldWrapper


class ScopedWrapper(OldWrapper):
    """A wrapper whose variables, and the cell's, lie in a scope of its own."""

    def reads(self, inputs_shape: Tree) -> Tree:
        """The shape of what the cell inside reads."""
        return inputs_shape

    def build(self, inputs_shape: Tree) -> None:
        """Build the cell for what it reads, then what is around it."""
        self.cell.build(self.reads(inputs_shape))
        super(OldWrapper, self).build(inputs_shape)

    def before(self) -> list[Held]:
        """Variables that TensorFlow made before the cell's."""
        return []

    def after(self) -> list[Held]:
        """Variables that it made after them."""
        return []

    def own_entries(self) -> list[Held]:
        """All of them."""
        return [*self.before(), *self.after()]

    def entries(self, scope: str) -> dict[str, Held]:
        """In the order in which TensorFlow made them."""
        if not self.inner.built:
            return {}
        scope = f"{scope}{self.scope_name}/"
        first, last = (
            {f"{scope}{held.name}": held for held in part}
            for part in (self.before(), self.after())
        )
        return first | self.cell.entries(scope) | last

    def pair(self, name: str, scope: str = "") -> list[Held]:
        """A kernel and its bias."""
        inner = self.inner
        return [
            Held(f"{scope}{kind}", [getattr(inner, f"{name}_{kind}")])
            for kind in ("kernel", "bias")
        ]


@package
class EmbeddingWrapper(ScopedWrapper):
    """Looks up a row for each id, and hands it to a cell.

    Args:
        cell: any old cell.
        embedding_classes: V, how many ids there are.
        embedding_size: E, the width of a row.
        initializer: of the table. Default: uniform, of variance 1.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``keras.layers.Embedding`` before the layer; or `unrolled.EmbeddingWrapper`.

    Source: ``tf.contrib.rnn.EmbeddingWrapper`` of TensorFlow 1.15.
    """

    embedding_classes: int
    embedding_size: int
    initializer: Initializer = None
    reuse: Any = None

    def wrap(self, inside: Any) -> Any:
        """Ours."""
        return cells.EmbeddingWrapper(
            inside,
            self.embedding_classes,
            self.embedding_size,
            embeddings_initializer=self.initializer,
            dtype=self.dtype_policy,
        )

    def reads(self, inputs_shape: Tree) -> Tree:
        """Rows of the table."""
        del inputs_shape
        return (None, self.embedding_size)

    def before(self) -> list[Held]:
        """The table."""
        return [Held("embedding", [self.inner.embeddings])]


@package
class InputProjectionWrapper(ScopedWrapper):
    """Projects the inputs of a cell.

    Args:
        cell: any old cell.
        num_proj: P, the width of what the cell reads.
        activation: of the projection. Default: none.
        input_size: read by nobody.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``keras.layers.Dense`` before the layer; or `unrolled.InputProjectionWrapper`.

    Source: ``tf.contrib.rnn.InputProjectionWrapper`` of TensorFlow 1.15.
    """

    num_proj: int
    activation: Activation = None
    input_size: Any = None
    reuse: Any = None

    def wrap(self, inside: Any) -> Any:
        """Ours."""
        return cells.InputProjectionWrapper(
            inside, self.num_proj, self.activation, dtype=self.dtype_policy
        )

    def reads(self, inputs_shape: Tree) -> Tree:
        """What is projected."""
        del inputs_shape
        return (None, self.num_proj)

    def before(self) -> list[Held]:
        """Kernel and bias."""
        return self.pair("input")


@package
class OutputProjectionWrapper(ScopedWrapper):
    """Projects the output of a cell.

    Args:
        cell: any old cell.
        output_size: P, the width of the output.
        activation: of the projection. Default: none.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``keras.layers.Dense`` after the layer; or `unrolled.OutputProjectionWrapper`.

    Source: ``tf.contrib.rnn.OutputProjectionWrapper`` of TensorFlow 1.15.
    """

    # Of its own, for the width has the name of what says it of every cell.
    def __init__(
        self,
        cell: Any,
        output_size: int,
        activation: Any = None,
        reuse: Any = None,
        **kwargs: Any,
    ) -> None:
        del reuse
        activation = keras.activations.get(activation)
        # What goes into a configuration is what it was called with.
        self.__dict__["_given"]["activation"] = activation
        self.__dict__["projected"] = (output_size, activation)
        super().__init__(cell, **kwargs)

    def wrap(self, inside: Any) -> Any:
        """Ours."""
        projected: Any = self.__dict__["projected"]
        return cells.OutputProjectionWrapper(
            inside, *projected, dtype=self.dtype_policy
        )

    def after(self) -> list[Held]:
        """Kernel and bias."""
        return self.pair("output")


@package
class AttentionCellWrapper(ScopedWrapper):
    """Attends over the last outputs of a cell.

    The state is ``(the cell's, attns, attn_states)``: what was found, and the window.

    Args:
        cell: any old cell.
        attn_length: L, the steps that the window holds.
        attn_size: A, the width of an output. Default: the cell's output's.
        attn_vec_size: the width of what scores them. Default: A.
        input_size: the width of what the cell reads. Default: D.
        state_is_tuple: if False, the state is one array; then the cell's is, too.
        reuse: TensorFlow's; a cell here has its own weights.

    Raises:
        ValueError: if the cell's state is a tuple where `state_is_tuple` is False.

    Now: `unrolled.AttentionCellWrapper`.

    Source: ``tf.contrib.rnn.AttentionCellWrapper`` of TensorFlow 1.15.
    """

    attn_length: int
    attn_size: int | None = None
    attn_vec_size: int | None = None
    input_size: int | None = None
    state_is_tuple: bool = True
    reuse: Any = None

    def wrap(self, inside: Any) -> Any:
        """Ours."""
        size = self.cell.state_size
        require(
            self.state_is_tuple or not isinstance(size, tuple),
            "state_is_tuple",
            "must be True where the cell's state is a tuple",
            f"False, with state size {size}",
            "pass state_is_tuple=False to the cell as well",
        )
        return cells.AttentionCellWrapper(
            inside,
            self.attn_length,
            self.attn_size,
            self.attn_vec_size,
            self.input_size,
            dtype=self.dtype_policy,
        )

    def reads(self, inputs_shape: Tree) -> Tree:
        """What x and what was found are mixed to."""
        return (None, self.input_size or inputs_shape[-1])

    def to_old(self, states: Tree) -> Tree:
        """The cell's, what was found, the window."""
        inside, own = self.inner.split(states)
        whole = [self.cell.to_old(inside), own["attns"], own["attn_states"]]
        return tuple(whole) if self.state_is_tuple else joined(whole)

    def from_old(self, state: Tree) -> Tree:
        """The inverse."""
        if not self.state_is_tuple:
            widths = [self.cell.state_size, *self.inner.own_states.values()]
            state = parted(state, widths)
        require(
            isinstance(state, (list, tuple)) and len(state) == 3,
            "state",
            "must be a tuple, (the cell's, attns, attn_states)",
            type(state).__name__,
            "pass what zero_state or a driver returns",
        )
        inside, found, window = state
        own = {"attns": found, "attn_states": window}
        return self.inner.join(self.cell.from_old(inside), own)

    def before(self) -> list[Held]:
        """What mixes x and what was found."""
        return self.pair("input")

    def after(self) -> list[Held]:
        """What scores the window, and the output's."""
        inner = self.inner
        # Rows of the states side by side, which we have in another order.
        shapes, form = jax.tree.flatten(self.cell.as_ours().state_shapes)
        ends = np.cumsum([0, *(shape.sizes[0] for shape in shapes)])
        rows = [np.arange(*ends[n : n + 2]) for n in range(len(shapes))]
        theirs = self.cell.to_old(jax.tree.unflatten(form, rows))
        order = np.concatenate([np.asarray(a) for a in jax.tree.leaves(theirs)])
        return [
            Held("attention/attn_w", [inner.window_kernel], lead=2),
            Held("attention/attn_v", [inner.score]),
            Held("attention/kernel", [inner.query_kernel], row=order),
            Held("attention/bias", [inner.query_bias]),
            *self.pair("output", "attn_output_projection/"),
        ]
