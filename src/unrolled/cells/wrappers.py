"""Dropout, zoneout, and ways around a cell, for any cell."""

from collections.abc import Mapping
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Initializer
from ..checks import require
from .affine import add_affine, affine
from .base import Tree, built_for, is_dims
from .built import shapes_of, step_shapes
from .states import Shape, initial_states
from .wrapper import CellWrapper, choose


def _check_rate(name: str, rate: Any) -> None:
    require(
        isinstance(rate, (int, float))
        and not isinstance(rate, bool)
        and 0 <= rate <= 1,
        name,
        "must be between 0 and 1, a share of the numbers",
        repr(rate),
        f"pass {name}=0.2 for a fifth",
    )


@keras.saving.register_keras_serializable("unrolled")
class DropoutWrapper(CellWrapper):
    """Drops shares of what enters a cell, what it carries and what leaves it.

    Only in training; what is kept is scaled by 1 / (1 - rate).

    Args:
        cell: any cell.
        input_dropout: share of the inputs ``(B, D)``. Default 0.
        state_dropout: share of each state after the step. Default 0.
        output_dropout: share of the output. Default 0.
        every_step: draw new masks at each step. Default False: one mask serves all
            steps of a sequence (Gal and Ghahramani, 2016, arXiv:1512.05287).
        states: names of the states that `state_dropout` touches. Default: all but
            ``c``, the memory of an LSTM. Integers and random keys are never touched.
        seed: of the masks.

    Raises:
        ValueError: if a rate is not in [0, 1], or a name is no state's.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.DropoutWrapper(unrolled.GRUCell(4), output_dropout=0.5)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True).shape
        (2, 4)

    Source: ``tf.nn.rnn_cell.DropoutWrapper`` of TensorFlow 1.15.
    """

    _: KW_ONLY
    input_dropout: float = 0.0
    state_dropout: float = 0.0
    output_dropout: float = 0.0
    every_step: bool = False
    states: Any = None
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_dropout", "state_dropout", "output_dropout"):
            _check_rate(name, getattr(self, name))
        require(
            not isinstance(self.states, str),
            "states",
            "must be a list of names",
            repr(self.states),
            f"pass states=[{self.states!r}]",
        )
        self._touched()
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def _touched(self) -> list[bool]:
        """Of each state, whether it loses numbers."""
        names = self.state_names
        if self.states is None:
            return [name != "c" for name in jax.tree.leaves(names)]
        marks = choose(names, dict.fromkeys(self.states, True), "states")
        return [bool(mark) for mark in marks]

    def get_constants(
        self, batch_size: int, training: bool, **given: Any
    ) -> dict[str, Any]:
        """The cell's, and the masks that serve a whole sequence."""
        inner = super().get_constants(batch_size, training, **given)
        masks = None
        if training and not self.every_step:
            memory = shapes_of(given.get("memory"))
            fresh = jax.eval_shape(lambda: initial_states(self, batch_size, memory))
            masks = self._draw(batch_size, fresh)
        return {"cell": inner, "training": training, "masks": masks}

    def _draw(self, rows: int, states: Tree) -> dict[str, Any]:
        """Masks of inputs, states and outputs; zeros, and 1 / (1 - rate) elsewhere.

        The states' are shaped like `states`, ``(B, ...)``.
        """

        def mask(shape: tuple, rate: float) -> Any:
            ones = jnp.ones((rows, *shape), self.state_dtype)
            return keras.random.dropout(ones, rate, seed=self.seed_generator)

        def masks(shapes: Tree, rate: float) -> Tree:
            return jax.tree.map(lambda s: mask(s.sizes, rate), shapes)

        inputs = jax.tree.map(
            lambda shape: Shape(tuple(shape[1:])), built_for(self), is_leaf=is_dims
        )
        pairs = zip(jax.tree.leaves(states), self._touched(), strict=True)
        return {
            "input": masks(inputs, self.input_dropout) if self.input_dropout else None,
            "state": [
                mask(state.shape[1:], self.state_dropout)
                if touched and self.state_dropout
                else None
                for state, touched in pairs
            ],
            "output": masks(self.output_shapes, self.output_dropout)
            if self.output_dropout
            else None,
        }

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The cell's, with numbers dropped before and after."""
        if not constants["training"]:
            return super().step(x, states, constants["cell"])
        rows = jax.tree.leaves(x)[0].shape[0]
        masks = constants["masks"] or self._draw(rows, states)
        x = _times(x, masks["input"])
        output, after = super().step(x, states, constants["cell"])
        leaves, form = jax.tree.flatten(after)
        kept = [
            _times(s, m) if _can_be_dropped(s) else s
            for s, m in zip(leaves, masks["state"], strict=True)
        ]
        return _times(output, masks["output"]), jax.tree.unflatten(form, kept)


def _can_be_dropped(state: Any) -> bool:
    """A counter or a random key is no number of which a share could be lost."""
    return jnp.issubdtype(state.dtype, jnp.inexact)


def _times(tree: Tree, masks: Tree) -> Tree:
    if masks is None:
        return tree
    return jax.tree.map(lambda a, m: a * m.astype(a.dtype), tree, masks)


@keras.saving.register_keras_serializable("unrolled")
class ZoneoutWrapper(CellWrapper):
    """Keeps shares of the states as they were before the step.

    In training each number of a state is kept with probability z, newly drawn at each
    step; in inference the state is the expectation, ``z * old + (1 - z) * new``. An
    output that is one of the states (h, in an LSTM) is what that state becomes.

    Args:
        cell: any cell.
        zoneout: z for all states, or a dict of z by the states' names; a state that it
            does not name is not touched, nor are integers and random keys. Default 0.1.
        seed: of the draws.

    Raises:
        ValueError: if a z is not in [0, 1], or a name is no state's.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.ZoneoutWrapper(unrolled.LSTMCell(4), {"h": 0.1, "c": 0.5})
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True).shape
        (2, 4)

    Source: Krueger et al., 2017, arXiv:1606.01305.
    """

    zoneout: Any = 0.1
    _: KW_ONLY
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        by_name = isinstance(self.zoneout, Mapping)
        for rate in self.zoneout.values() if by_name else [self.zoneout]:
            _check_rate("zoneout", rate)
        self._rates()
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def _rates(self) -> list[float]:
        """Z of each state."""
        names = self.state_names
        if not isinstance(self.zoneout, Mapping):
            return [self.zoneout] * len(jax.tree.leaves(names))
        return [rate or 0.0 for rate in choose(names, self.zoneout, "zoneout")]

    def get_constants(
        self, batch_size: int, training: bool, **given: Any
    ) -> dict[str, Any]:
        """The cell's, and whether to draw."""
        inner = super().get_constants(batch_size, training, **given)
        return {"cell": inner, "training": training}

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The cell's, with shares of the old states in the new ones."""
        output, after = super().step(x, states, constants["cell"])

        def mixed(old: Any, new: Any, rate: float) -> Any:
            if not rate or not _can_be_dropped(new):
                return new
            if not constants["training"]:
                return rate * old + (1 - rate) * new
            drawn = keras.random.uniform(new.shape, seed=self.seed_generator)
            return jnp.where(drawn < rate, old, new)

        leaves, form = jax.tree.flatten(after)
        triples = zip(jax.tree.leaves(states), leaves, self._rates(), strict=True)
        kept = [mixed(*each) for each in triples]
        becomes = {
            id(new): new_kept for new, new_kept in zip(leaves, kept, strict=True)
        }
        output = jax.tree.map(lambda a: becomes.get(id(a), a), output)
        return output, jax.tree.unflatten(form, kept)


@keras.saving.register_keras_serializable("unrolled")
class ResidualWrapper(CellWrapper):
    """Adds the inputs to the output of a cell.

    Args:
        cell: any cell whose output is shaped like its inputs.

    Raises:
        ValueError: if output and inputs differ in shape.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.ResidualWrapper(unrolled.GRUCell(3))
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 3)

    Source: ``tf.nn.rnn_cell.ResidualWrapper`` of TensorFlow 1.15.
    """

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the cell."""
        super().build(input_shape, memory_shape)
        _check_alike(self, input_shape)

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The cell's, with the inputs added to the output."""
        output, after = super().step(x, states, constants)
        return jax.tree.map(lambda y, x: y + x.astype(y.dtype), output, x), after


def _check_alike(wrapper: CellWrapper, input_shape: Tree) -> None:
    """Raise unless inputs and output have the same shapes."""
    outputs = step_shapes(wrapper.cell)
    inputs = jax.tree.map(lambda s: tuple(s[1:]), input_shape, is_leaf=is_dims)
    require(
        inputs == outputs,
        "cell",
        f"inside {type(wrapper).__name__} must give outputs shaped like its inputs, "
        f"(batch, ...) of {inputs}",
        outputs,
        "make the cell as wide as its inputs, or project them before the layer",
    )


@keras.saving.register_keras_serializable("unrolled")
class HighwayWrapper(CellWrapper):
    """Lets a learnt share of the inputs past a cell: ``c * x + t * y``.

    ``c = sigmoid(x @ W_c + b_c)`` and ``t = 1 - c``, or, uncoupled, ``t = sigmoid(x @
    W_t + b_t)``.

    Args:
        cell: any cell whose output ``(B, D)`` is shaped like its inputs.
        couple_carry_transform_gates: make t the rest of c. Default True.
        carry_bias_init: b_c before training; -b_t too. Default 1.0.
        kernel_initializer: of W_c and W_t ``(D, D)``. Default ``"glorot_uniform"``.

    Raises:
        ValueError: if output and inputs differ in shape.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.HighwayWrapper(unrolled.GRUCell(3))
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 3)

    Source: Srivastava et al., 2015, arXiv:1505.00387; ``tf.contrib.rnn.HighwayWrapper``
    of TensorFlow 1.15.
    """

    couple_carry_transform_gates: bool = True
    carry_bias_init: float = 1.0
    _: KW_ONLY
    kernel_initializer: Initializer = "glorot_uniform"

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the cell, and the weights of each gate."""
        super().build(input_shape, memory_shape)
        _check_alike(self, input_shape)
        require(
            is_dims(input_shape) and len(input_shape) == 2,
            "cell",
            "inside HighwayWrapper must read steps of shape (batch, features)",
            input_shape,
            "use ResidualWrapper for other inputs",
        )
        width = input_shape[-1]
        bias = {"carry": self.carry_bias_init, "transform": -self.carry_bias_init}
        for name in ["carry"] if self.couple_carry_transform_gates else list(bias):
            begin = keras.initializers.Constant(bias[name])
            add_affine(self, name, width, width, self.kernel_initializer, begin)

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The cell's, mixed with the inputs."""
        output, after = super().step(x, states, constants)
        x = x.astype(output.dtype)
        carry = jax.nn.sigmoid(affine(self, "carry", x)).astype(output.dtype)
        transform = 1 - carry
        if not self.couple_carry_transform_gates:
            transform = jax.nn.sigmoid(affine(self, "transform", x))
        return carry * x + transform.astype(output.dtype) * output, after
