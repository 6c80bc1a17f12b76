"""Weights before and behind a cell: an embedding of ids, projections."""

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Activation, Initializer
from ..checks import require
from .affine import add_affine, affine, check_positive, row_width
from .base import Tree, built_for, is_dims
from .gated import activate
from .states import Shape
from .wrapper import CellWrapper


@keras.saving.register_keras_serializable("unrolled")
class EmbeddingWrapper(CellWrapper):
    """Looks up the row of a table for each id, and hands it to a cell.

    ``table[ids]`` in place of the ids; the table is ``(V, E)``. Where all ids are known
    beforehand, ``keras.layers.Embedding`` before the layer does the same for all steps
    at once; this one is for ids that a step itself has chosen.

    Args:
        cell: any cell that reads ``(B, E)``.
        embedding_classes: V, how many ids there are.
        embedding_size: E, the width of a row.
        embeddings_initializer: of the table. Default: uniform between the roots of 3,
            with variance 1.

    Sequences are whole numbers, ids in [0, V): ``(B, T)`` or ``(B, T, 1)``.

    Raises:
        ValueError: if a size is not a positive integer, or sequences are no ids.

    Example:
        >>> import numpy as np, unrolled
        >>> cell = unrolled.EmbeddingWrapper(unrolled.GRUCell(4), 100, 8)
        >>> unrolled.RNN(cell)(np.array([[1, 5, 2], [7, 0, 0]])).shape
        (2, 4)

    Source: ``tf.contrib.rnn.EmbeddingWrapper`` of TensorFlow 1.15.
    """

    embedding_classes: int
    embedding_size: int
    _: KW_ONLY
    embeddings_initializer: Initializer = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            embedding_classes=self.embedding_classes, embedding_size=self.embedding_size
        )

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Create the table; build the cell for its rows."""
        require(
            is_dims(input_shape) and tuple(input_shape[1:]) in ((), (1,)),
            "sequences",
            "must have rank 2, ids (batch, time steps), for EmbeddingWrapper",
            f"steps of shape {input_shape}",
            "pass one id a step",
        )
        root = 3.0**0.5
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.embedding_classes, self.embedding_size),
            initializer=self.embeddings_initializer
            or keras.initializers.RandomUniform(-root, root),
        )
        super().build((input_shape[0], self.embedding_size), memory_shape)

    def check_inputs(self, x: Tree) -> None:
        """Raise unless `x` holds whole numbers."""
        dtype = keras.backend.standardize_dtype(x.dtype)
        require(
            "int" in dtype,
            "sequences",
            f"must be ids in [0, {self.embedding_classes}), whole numbers",
            dtype,
            'pass integers; of a model, keras.Input((None,), dtype="int32")',
        )

    def project_inputs(self, x: Tree, constants: Tree) -> Tree:
        """The rows of the ids."""
        del constants
        alone = len(built_for(self)) > 1  # (B, 1), not (B,)
        ids = x[..., 0] if alone else x
        return jnp.take(self.embeddings.value, ids, axis=0)


@keras.saving.register_keras_serializable("unrolled")
class InputProjectionWrapper(CellWrapper):
    """Projects the inputs of a cell: it reads ``act(x @ W + b)``.

    Args:
        cell: any cell that reads ``(B, P)``.
        num_proj: P, the width of what the cell reads.
        activation: of the projection. Default: none.
        kernel_initializer: of W ``(D, P)``. Default ``"glorot_uniform"``.
        bias_initializer: of b ``(P,)``. Default ``"zeros"``.

    Raises:
        ValueError: if `num_proj` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.InputProjectionWrapper(unrolled.GRUCell(4), 8)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.rnn.InputProjectionWrapper`` of TensorFlow 1.15.
    """

    num_proj: int
    activation: Activation = None
    _: KW_ONLY
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(num_proj=self.num_proj)

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Create W and b; build the cell for what they give."""
        require(
            is_dims(input_shape) and len(input_shape) == 2,
            "sequences",
            "must have rank 3, (batch, time steps, features), for "
            "InputProjectionWrapper",
            f"steps of shape {input_shape}",
            "flatten each step to one row of features",
        )
        initializers = self.kernel_initializer, self.bias_initializer
        add_affine(self, "input", input_shape[-1], self.num_proj, *initializers)
        super().build((input_shape[0], self.num_proj), memory_shape)

    def check_inputs(self, x: Tree) -> None:
        """Any numbers: what the cell would say is of the projected ones."""

    def project_inputs(self, x: Tree, constants: Tree) -> Tree:
        """The projected inputs; their share of the cell's step comes at the step."""
        del constants
        return activate(self.activation, affine(self, "input", x))


@keras.saving.register_keras_serializable("unrolled")
class OutputProjectionWrapper(CellWrapper):
    """Projects the output of a cell: ``act(y @ W + b)``. Its states stay what they are.

    Args:
        cell: any cell whose output is one row, ``(B, U)``.
        num_proj: P, the width of the output.
        activation: of the projection. Default: none.
        kernel_initializer: of W ``(U, P)``. Default ``"glorot_uniform"``.
        bias_initializer: of b ``(P,)``. Default ``"zeros"``.

    Raises:
        ValueError: if `num_proj` is not a positive integer, or the cell's output is not
            one row.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.OutputProjectionWrapper(unrolled.GRUCell(4), 2)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 2)

    Source: ``tf.contrib.rnn.OutputProjectionWrapper`` of TensorFlow 1.15, where the
    width is called ``output_size``.
    """

    num_proj: int
    activation: Activation = None
    _: KW_ONLY
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(num_proj=self.num_proj)

    @property
    def output_size(self) -> int:
        """P."""
        return self.num_proj

    @property
    def output_shapes(self) -> Tree:
        """One row of P numbers."""
        return Shape((self.num_proj,))

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the cell; create W and b for its output."""
        super().build(input_shape, memory_shape)
        rows = row_width(self.cell, self)
        initializers = self.kernel_initializer, self.bias_initializer
        add_affine(self, "output", rows, self.num_proj, *initializers)

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[jax.Array, Tree]:
        """The cell's, with the output projected."""
        output, after = super().step(x, states, constants)
        return activate(self.activation, affine(self, "output", output)), after
