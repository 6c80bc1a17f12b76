"""The old neural Turing machine."""

from typing import Any, NamedTuple

import keras
from jax import numpy as jnp

from .. import cells
from .base import OldCell, Tree, check_cell, package
from .checkpoint import Held


class NTMControllerState(NamedTuple):
    """The state of an `NTMCell`.

    Now: states by name, of `unrolled.NTMCell`.
    """

    controller_state: Any
    read_vector_list: Any
    w_list: Any
    M: Any
    time: Any


@package
class NTMCell(OldCell):
    """A cell, the controller, that reads and writes slots of numbers by its heads.

    The state is ``NTMControllerState(controller_state, read_vector_list, w_list, M,
    time)``: what each head read ``(B, M)``, where each looked ``(B, N)``, the slots
    ``(B, N, M)``, and the steps so far ``(B, 1)``, for each sequence its own; in
    TensorFlow the batch shared one, which is taken too.

    Args:
        controller: any old cell.
        memory_size: N, how many slots.
        memory_vector_dim: M, the width of a slot.
        read_head_num: how many heads read.
        write_head_num: how many write.
        shift_range: by how many places a step moves an address at most. Default 1.
        output_dim: width of the output. Default: D.
        clip_value: the output, and what heads are told, stay within plus and minus
            this. Default 20.

    Raises:
        ValueError: as `unrolled.NTMCell`.

    Now: ``unrolled.RNN(unrolled.NTMCell(cell, ...))``.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> cell = tf1.NTMCell(tf1.LSTMCell(8), 16, 4, 1, 1, output_dim=2)
        >>> x = keras.ops.ones((2, 5, 3))
        >>> outputs, state = tf1.dynamic_rnn(cell, x, dtype="float32")
        >>> outputs.shape, state.M.shape
        ((2, 5, 2), (2, 16, 4))

    Source: ``NTMCell`` of TensorFlow 1.15's contrib.rnn, in
    ``tensorflow.contrib.rnn.python.ops.rnn_cell``.
    """

    controller: Any
    memory_size: int
    memory_vector_dim: int
    read_head_num: int
    write_head_num: int
    shift_range: int = 1
    output_dim: int | None = None
    clip_value: float = 20

    def make(self) -> Any:
        """Ours."""
        check_cell("controller", self.controller)
        return cells.NTMCell(
            self.controller.as_ours(),
            self.memory_size,
            self.memory_vector_dim,
            self.read_head_num,
            self.write_head_num,
            self.shift_range,
            self.output_dim,
            float(self.clip_value),
            dtype=self.dtype_policy,
        )

    @property
    def state_size(self) -> NTMControllerState:
        """Widths, in the old form."""
        width, slots, reads = (
            self.memory_vector_dim,
            self.memory_size,
            self.read_head_num,
        )
        own = ([width] * reads, [slots] * self.inner.heads, (slots, width), 1)
        return NTMControllerState(self.controller.state_size, *own)

    def to_old(self, states: Tree) -> NTMControllerState:
        """Heads one by one."""
        inside, own = self.inner.split(states)
        reads, addresses = (
            [own[name][:, head] for head in range(count)]
            for name, count in (
                ("read_vectors", self.read_head_num),
                ("addresses", self.inner.heads),
            )
        )
        controller = self.controller.to_old(inside)
        return NTMControllerState(
            controller, reads, addresses, own["slots"], own["time"]
        )

    def from_old(self, state: Tree) -> Tree:
        """The inverse."""
        controller, reads, addresses, slots, time = state
        if not jnp.shape(time):
            time = jnp.full((len(slots), 1), time, slots.dtype)
        own = {"slots": slots, "time": time}
        own["read_vectors"] = keras.ops.stack(list(reads), axis=1)
        own["addresses"] = keras.ops.stack(list(addresses), axis=1)
        return self.inner.join(self.controller.from_old(controller), own)

    def build(self, inputs_shape: Tree) -> None:
        """Build the controller for x and what was read, then what is around it."""
        read = self.read_head_num * self.memory_vector_dim
        self.controller.build((None, inputs_shape[-1] + read))
        super().build(inputs_shape)

    def entries(self, scope: str) -> dict[str, Held]:
        """Its own, then the controller's below them."""
        inside = self.controller.entries(f"{scope}{self.scope_name}/")
        return super().entries(scope) | inside if self.inner.built else {}

    def own_entries(self) -> list[Held]:
        """What tells the heads, the output's, and where all of it begins."""
        cell = self.inner
        pairs = [
            f"{n}_{k}" for n in ("parameters", "output") for k in ("kernel", "bias")
        ]
        found = [Held(name, [getattr(cell, name)]) for name in pairs]
        for name, weight in (
            ("initial_read_vector", cell.initial_read_vectors),
            ("initial_address_weights", cell.initial_addresses),
        ):
            found += [
                Held(f"{name}_{head}", [weight], row=head, lead=1)
                for head in range(weight.shape[0])
            ]
        return [*found, Held("memory", [cell.initial_slots])]
