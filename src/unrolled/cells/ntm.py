"""Neural Turing machine: a cell with a matrix to write to and read from."""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..checks import require
from .affine import add_affine, affine, check_positive, row_width
from .base import Tree, is_dims
from .states import Shape
from .wrapper import CellWrapper


@keras.saving.register_keras_serializable("unrolled")
class NTMCell(CellWrapper):
    """A cell, the controller, that reads and writes N slots of M numbers by its heads.

    Each head has an address, N shares that sum to 1, from its part of ``p = y @ W_p +
    b_p``, y being the controller's output: a key k, and beta, g, s and gamma::

        content = softmax(softplus(beta) * cosine(tanh(k), slots))
        mixed = sigmoid(g) * content + (1 - sigmoid(g)) * address
        moved = the sum of mixed, turned by n places, times softmax(s)_n
        address' = moved ** (softplus(gamma) + 1), divided by its sum

    with n from -shift_range to shift_range. A read head gives ``r' = address' @
    slots``; then each write head erases and adds, one after the other: ``slots' = slots
    * (1 - address' sigmoid(e)) + address' tanh(a)``, e and a from p too. The controller
    reads ``[x, r]``, and the output is ``[y, r'] @ W_o + b_o``.

    Args:
        cell: the controller, any cell that gives one row; often an `LSTMCell`.
        memory_size: N, how many slots.
        memory_vector_dim: M, the width of a slot.
        read_head_num: how many heads read.
        write_head_num: how many write.
        shift_range: by how many places a step moves an address at most. Default 1.
        output_dim: width of the output. Default: D, that of x.
        clip_value: p and the output stay between this and its negative. Default 20.

    Its states are the controller's; ``read_vectors (B, heads, M)``, ``addresses (B,
    heads, N)``, those that read first; ``slots (B, N, M)``; and ``time (B, 1)``, the
    steps so far. Where time is 0 the step begins from weights in place of the other
    three: ``tanh(initial_read_vectors)``, ``softmax(initial_addresses)`` and
    ``initial_slots``.

    Raises:
        ValueError: if a size is not a positive integer, `clip_value` is not positive,
            or shifts reach farther than there are slots.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.NTMCell(unrolled.LSTMCell(8), 16, 4, 1, 1, output_dim=2)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 2)

    Source: Graves et al., 2014, arXiv:1410.5401, as in ``tf.contrib.rnn.NTMCell`` of
    TensorFlow 1.15 (Collier and Beel, 2018, arXiv:1807.08518), where all sequences of a
    batch share one time.
    """

    memory_size: int
    memory_vector_dim: int
    read_head_num: int
    write_head_num: int
    shift_range: int = 1
    output_dim: int | None = None
    clip_value: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("memory_size", "memory_vector_dim", "read_head_num", "write_head_num")
        names += ("shift_range",) + ("output_dim",) * (self.output_dim is not None)
        check_positive(**{name: getattr(self, name) for name in names})
        require(
            2 * self.shift_range < self.memory_size,
            "shift_range",
            f"must be below half of memory_size = {self.memory_size}",
            self.shift_range,
            "move addresses less far, or have more slots",
        )
        require(
            self.clip_value > 0,
            "clip_value",
            "must be positive",
            self.clip_value,
            "leave it out for 20",
        )

    @property
    def output_size(self) -> Any:
        """The width asked for, or D; unknown before the cell is built."""
        return self.output_dim or getattr(self, "_features", None)

    @property
    def output_shapes(self) -> Tree:
        """One row."""
        return Shape((self.output_size,))

    @property
    def heads(self) -> int:
        """How many, of both kinds."""
        return self.read_head_num + self.write_head_num

    @property
    def own_states(self) -> dict[str, Any]:
        """What was read, where, the slots, and the steps so far."""
        return {
            "read_vectors": (self.read_head_num, self.memory_vector_dim),
            "addresses": (self.heads, self.memory_size),
            "slots": (self.memory_size, self.memory_vector_dim),
            "time": 1,
        }

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the controller, and create the weights."""
        require(
            is_dims(input_shape) and len(input_shape) == 2,
            "sequences",
            "must have rank 3, (batch, time steps, features), for NTMCell",
            f"steps of shape {input_shape}",
            "flatten each step to one row of features",
        )
        width, read = (
            self.memory_vector_dim,
            self.read_head_num * self.memory_vector_dim,
        )
        self._features = input_shape[-1]
        super().build((input_shape[0], self._features + read), memory_shape)
        given = row_width(self.cell, self)
        told = self.heads * sum(self._parts) + 2 * width * self.write_head_num
        for name, rows, columns in (
            ("parameters", given, told),
            ("output", given + read, self.output_size),
        ):
            make = keras.initializers.TruncatedNormal(stddev=rows**-0.5)
            add_affine(self, name, rows, columns, make)
        for name in ("read_vectors", "addresses", "slots"):
            shape = self.own_states[name]
            limit = (6 / (1 + shape[-1])) ** 0.5
            make: Any = keras.initializers.RandomUniform(-limit, limit)
            make = keras.initializers.Constant(1e-6) if name == "slots" else make
            weight = self.add_weight(
                name=f"initial_{name}", shape=shape, initializer=make
            )
            setattr(self, f"initial_{name}", weight)

    @property
    def _parts(self) -> tuple[int, ...]:
        """Widths of what a head is told: key, beta, g, s, gamma."""
        return (self.memory_vector_dim, 1, 1, 2 * self.shift_range + 1, 1)

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Any, Tree]:
        """The formula above."""
        before, own = self.split(states)
        time = own["time"]
        read = self._begun("read_vectors", own, jnp.tanh)
        address = self._begun("addresses", own, jax.nn.softmax)
        slots = self._begun("slots", own, lambda a: a)
        rows, count = read.shape[0], self.read_head_num  # B may be a symbol
        width = self.memory_vector_dim
        x = jnp.concatenate([x.astype(read.dtype), read.reshape(rows, -1)], axis=-1)
        output, after = super().step(x, before, constants)
        limits = -self.clip_value, self.clip_value
        told = jnp.clip(affine(self, "parameters", output), *limits)
        told, changes = jnp.split(told, [self.heads * sum(self._parts)], axis=-1)
        told = told.reshape(rows, self.heads, -1)
        address = self._addressed(told, address, slots)
        read = jnp.einsum("brn,bnm->brm", address[:, :count], slots)
        changes = changes.reshape(rows, self.write_head_num, 2, width)
        for head in range(self.write_head_num):
            where = address[:, count + head, :, None]
            erase, add = changes[:, head, 0, None], changes[:, head, 1, None]
            slots = slots * (1 - where * jax.nn.sigmoid(erase)) + where * jnp.tanh(add)
        output = affine(self, "output", output, read.reshape(rows, -1))
        own = {"read_vectors": read, "addresses": address, "slots": slots}
        own["time"] = time + 1
        return jnp.clip(output, *limits), self.join(after, own)

    def _begun(self, name: str, own: dict, formed: Callable) -> jax.Array:
        """A state, or, of a sequence that begins, what the weights say."""
        state = own[name]
        weight = jnp.asarray(getattr(self, f"initial_{name}").value, state.dtype)
        begins = (own["time"] == 0)[..., None]
        begun = jnp.broadcast_to(formed(weight)[None], state.shape)
        return jnp.where(jnp.broadcast_to(begins, state.shape), begun, state)

    def _addressed(self, told: Any, address: Any, slots: Any) -> jax.Array:
        """The heads' new addresses ``(B, heads, N)``, from what they are told."""
        ends = [sum(self._parts[: n + 1]) for n in range(4)]
        key, beta, gate, shift, gamma = jnp.split(told, ends, axis=-1)
        key, gate = jnp.tanh(key), jax.nn.sigmoid(gate)
        lengths = _length(key)[..., None] * _length(slots)[:, None]
        cosine = jnp.einsum("bhm,bnm->bhn", key, slots) / (lengths + 1e-8)
        content = jax.nn.softmax(jax.nn.softplus(beta) * cosine, axis=-1)
        mixed = gate * content + (1 - gate) * address
        shift, most = jax.nn.softmax(shift, axis=-1), self.shift_range
        # Places 0 up to the farthest, then the farthest back up to -1.
        places = [*range(most + 1), *range(-most, 0)]
        turned = [jnp.roll(mixed, place, axis=-1) for place in places]
        moved = jnp.einsum("bhs,sbhn->bhn", shift, jnp.stack(turned))
        sharp = moved ** (jax.nn.softplus(gamma) + 1)
        return sharp / sharp.sum(axis=-1, keepdims=True)


def _length(rows: jax.Array) -> jax.Array:
    square = jnp.sum(rows**2, axis=-1)
    # The root has no gradient at 0, where a controller that gives zeros puts a key.
    none = square == 0
    return jnp.where(none, 0, jnp.sqrt(jnp.where(none, 1, square)))
