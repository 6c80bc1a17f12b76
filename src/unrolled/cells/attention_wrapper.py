"""A cell that attends over its own last outputs."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Initializer
from ..checks import require
from .affine import add_affine, affine, check_positive, row_width
from .base import Tree, is_dims
from .keras_style import as_cell
from .states import Shape
from .wrapper import CellWrapper


@keras.saving.register_keras_serializable("unrolled")
class AttentionCellWrapper(CellWrapper):
    """Attends over the last L outputs of its own, and reads what it found beside x.

    With the cell's new states s, side by side, and the window of the last L outputs
    ``o_1 ... o_L``, zeros at first::

        y, s' = cell([x, a] @ W_x + b_x)
        e_l = v . tanh(o_l @ W_a + s' @ W_s + b_s)
        a' = sum_l softmax(e)_l o_l
        output = [y, a'] @ W_o + b_o

    The output takes the place of the oldest in the window.

    Args:
        cell: any cell that reads rows and gives one, and whose states are rows.
        attn_length: L, the steps that the window holds.
        attn_size: A, the width of an output and of a. Default: the cell's output's.
        attn_vec_size: the width of v. Default: A.
        input_size: the width of what the cell reads. Default: D, that of x.
        kernel_initializer: of all weights but biases. Default ``"glorot_uniform"``.

    Its states are the cell's, ``attns (B, A)``, which is a, and ``attn_states
    (B, L*A)``, the window.

    Raises:
        ValueError: if a size is not a positive integer, or the cell's output or states
            are no rows.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.AttentionCellWrapper(unrolled.LSTMCell(4), attn_length=3)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Cheng et al., 2016, arXiv:1601.06733, as in
    ``tf.contrib.rnn.AttentionCellWrapper`` of TensorFlow 1.15. The paper also attends
    over the memories c.
    """

    attn_length: int
    attn_size: int | None = None
    attn_vec_size: int | None = None
    input_size: int | None = None
    _: KW_ONLY
    kernel_initializer: Initializer = "glorot_uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("attn_length", "attn_size", "attn_vec_size", "input_size")
        given = {name: getattr(self, name) for name in names}
        left_out = [k for k in names[1:] if given[k] is None]
        check_positive(**{k: v for k, v in given.items() if k not in left_out})

    @property
    def output_size(self) -> int:
        """A."""
        return self.attn_size or row_width(self.cell, self)

    @property
    def output_shapes(self) -> Tree:
        """One row of A numbers."""
        return Shape((self.output_size,))

    @property
    def own_states(self) -> dict[str, int]:
        """What was found, and the window."""
        width = self.output_size
        return {"attns": width, "attn_states": self.attn_length * width}

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the cell for the mixed inputs, and create the weights."""
        rows = is_dims(input_shape) and len(input_shape) == 2
        states = jax.tree.leaves(as_cell(self.cell).state_shapes)
        require(
            rows and all(len(state.sizes) == 1 for state in states),
            "cell",
            "inside AttentionCellWrapper must read rows and carry rows, (batch, n)",
            f"steps {input_shape}, states {[state.sizes for state in states]}",
            "attend over other things with a cell of your own",
        )
        size, read = self.output_size, self.input_size or input_shape[-1]
        super().build((input_shape[0], read), memory_shape)
        width = self.attn_vec_size or size
        carried = sum(state.sizes[0] for state in states)
        make = self.kernel_initializer
        add_affine(self, "input", input_shape[-1] + size, read, make)
        add_affine(self, "query", carried, width, make)
        add_affine(self, "output", row_width(self.cell, self) + size, size, make)
        for name, shape in (("window_kernel", (size, width)), ("score", (width,))):
            weight = self.add_weight(name=name, shape=shape, initializer=make)
            setattr(self, name, weight)

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Any, Tree]:
        """The formula above."""
        before, own = self.split(states)
        x = affine(self, "input", x, own["attns"])
        output, after = super().step(x, before, constants)
        query = affine(self, "query", *jax.tree.leaves(after))
        flat = own["attn_states"]
        window = flat.reshape(flat.shape[0], self.attn_length, -1)
        hidden = self.matmul(window, self.window_kernel.value)
        hidden = jnp.tanh(hidden + query[:, None])
        score = jnp.asarray(self.score.value, hidden.dtype)
        weights = jax.nn.softmax(jnp.einsum("blv,v->bl", hidden, score), axis=-1)
        found = jnp.einsum("bl,bla->ba", weights, window)
        output = affine(self, "output", output, found)
        flat = jnp.concatenate([flat[:, output.shape[-1] :], output], axis=-1)
        return output, self.join(after, {"attns": found, "attn_states": flat})
