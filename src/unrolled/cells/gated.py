"""Cells of the form act(x @ kernel + h @ recurrent_kernel + bias), gate by gate."""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import (
    KW_ONLY,
    Activation,
    Constraint,
    Declared,
    Initializer,
    Regularizer,
)
from ..checks import require
from . import keras2
from .base import Cell, built_for


class UnitsArguments(Declared):
    """Arguments of every cell here.

    Args:
        units: U, the width of the state: so many numbers per example.
        activation: applied to the candidate and to what leaves the cell.
    """

    units: int
    activation: Activation = "tanh"


class GateArguments(Declared):
    """Arguments of cells whose gates open and close."""

    recurrent_activation: Activation = "sigmoid"


class WeightArguments(Declared):
    """Arguments about the weights and their dropout, with Keras's defaults."""

    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    _: KW_ONLY
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    recurrent_constraint: Constraint = None
    bias_constraint: Constraint = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The inverse of `get_config`; configurations of Keras 2 too."""
        config = keras2.translated(config, custom_objects)
        return super().from_config(config, custom_objects)


def check_arguments(arguments: Any) -> None:
    """Check the values shared by a cell and its layer.

    Raises:
        ValueError: if `units` is not a positive integer, or a dropout rate is not
            in [0, 1].
    """
    units = arguments.units
    require(
        isinstance(units, int) and not isinstance(units, bool) and units > 0,
        "units",
        "must be a positive integer, the width of the state",
        repr(units),
        "pass how many numbers each step should remember, for example units=128",
    )
    for name in ("dropout", "recurrent_dropout"):
        rate = getattr(arguments, name)
        require(
            isinstance(rate, (int, float)) and 0.0 <= rate <= 1.0,
            name,
            "must be between 0 and 1, the share of numbers dropped",
            repr(rate),
            f"pass {name}=0.2 to drop a fifth",
        )


def check_real(x: Any) -> None:
    """Raise unless `x` holds real numbers.

    Raises:
        ValueError: if they are complex.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    require(
        "complex" not in dtype,
        "sequences",
        "must hold real numbers, D features at each step",
        dtype,
        "pass real and imaginary parts as two features",
    )


def activate(activation: Any, x: jax.Array) -> jax.Array:
    """Apply an activation in the dtype of `x`.

    ``keras.activations.tanh`` computes float64 in float32 on JAX.
    """
    return jnp.tanh(x) if activation is keras.activations.tanh else activation(x)


def dropped(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """`x` with the numbers dropped that a mask of `get_constants` drops."""
    return x if mask is None else x * jnp.broadcast_to(mask.astype(x.dtype), x.shape)


def plus(z: jax.Array, bias: jax.Array | None) -> jax.Array:
    """`z`, and a bias for each of its rows, where there is one."""
    return z if bias is None else z + jnp.broadcast_to(bias, z.shape)


def of_all_groups(parts: Sequence[jax.Array], gates: int) -> jax.Array:
    """``(..., G*U/K)`` of each of K groups of units: ``(..., G*U)``, by gates."""
    apart = [part.reshape(*part.shape[:-1], gates, -1) for part in parts]
    joined = jnp.concatenate(apart, axis=-1)
    return joined.reshape(*joined.shape[:-2], -1)


class GatedCell(WeightArguments, UnitsArguments, Cell):
    """Weights, dropout and the two products; the subclass adds the formula.

    Weights have Keras's names, shapes and gate order: ``kernel (D, G*U)``,
    ``recurrent_kernel (U, G*U)``, ``bias (G*U,)``.
    """

    state_names: ClassVar[Any] = ("h",)

    def __post_init__(self) -> None:
        check_arguments(self)
        require(
            type(self).recurrent_shape is not None or not self.recurrent_dropout,
            "recurrent_dropout",
            f"must be 0 for {type(self).__name__}, where no weights act on the state",
            repr(self.recurrent_dropout),
            "drop inputs with dropout=..., outputs with DropoutWrapper",
        )
        self.state_size: Any = [self.units]
        self.output_size = self.units
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    @property
    def width(self) -> int:
        """Of all gates together: G*U."""
        return len(self.gates) * self.units

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """Sizes of the features of a step that `dropout` drops."""
        return tuple(built_for(self)[1:])

    def kernel_shape(self, features: int) -> tuple[int, ...]:
        """Shape of the kernel, for inputs of so many features."""
        return (features, self.width)

    @property
    def recurrent_shape(self) -> tuple[int, ...] | None:
        """Shape of the recurrent kernel, as many rows as the first state is wide.

        None where no weights act on the state.
        """
        return (self.state_shapes[0].sizes[0], self.width)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.width,)

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """The bias before training."""
        return self.bias_initializer(shape, dtype=dtype)

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of ``(B, D)``."""
        require(
            len(input_shape) == 2 and input_shape[-1] is not None,
            "sequences",
            "must have rank 3, (batch, time steps, features), with features known",
            f"steps of shape {tuple(input_shape)}",
            "reshape each step to one row of features; for ids, put "
            "keras.layers.Embedding before the layer",
        )
        self.make_weights(input_shape[-1])

    def make_weights(self, features: int) -> None:
        """Create the kernels, for so many features, and the bias."""
        self.kernel = self.weight("kernel", self.kernel_shape(features))
        self.recurrent_kernel: Any = None
        if shape := self.recurrent_shape:
            self.recurrent_kernel = self.weight("recurrent_kernel", shape, "recurrent")
        self.bias = None
        if self.use_bias:
            self.bias = self.weight("bias", self.bias_shape, "bias", self.initial_bias)
        self.built = True

    def weight(
        self,
        name: str,
        shape: tuple[int, ...],
        role: str = "kernel",
        initializer: Any = None,
        trainable: bool = True,
    ) -> Any:
        """A weight of this cell, as the arguments say of its role.

        Args:
            name: what it is called.
            shape: its shape.
            role: whose regularizer, constraint and initializer it has: ``"kernel"``,
                ``"recurrent"`` or ``"bias"``.
            initializer: another one.
            trainable: whether it is trained.
        """
        make = self.undrawn(initializer or getattr(self, f"{role}_initializer"))

        def drawn(shape: Any, dtype: Any) -> Any:
            # Orthogonal ones are solved for, which no library does in 16 bits.
            narrow = dtype in ("float16", "bfloat16")
            value = make(shape, dtype="float32" if narrow else dtype)
            return value.astype(dtype) if narrow else value

        return self.add_weight(
            name=name,
            shape=shape,
            initializer=drawn,
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
            trainable=trainable,
        )

    def spread(self, vector: Any, like: jax.Array) -> jax.Array:
        """A vector of weights as it meets each row of `like`, in the state dtype."""
        value = jnp.asarray(getattr(vector, "value", vector), self.state_dtype)
        return jnp.broadcast_to(value, like.shape)

    def check_inputs(self, x: Any) -> None:
        """Raise unless `x` holds rows of real numbers; whole ones are cast."""
        require(
            len(x.shape) == 3,
            "sequences",
            "must have rank 3, (batch, time steps, features)",
            f"shape {tuple(x.shape)}",
            "for ids, put keras.layers.Embedding before the layer",
        )
        check_real(x)

    def get_constants(self, batch_size: int, training: bool) -> dict[str, jax.Array]:
        """Dropout masks: ``input_mask (B, D)`` and ``recurrent_mask (B, U)``.

        One mask serves all steps of a sequence (Gal and Ghahramani, 2016,
        arXiv:1512.05287); kept numbers are scaled by 1 / (1 - rate).
        """

        def mask(rate: float, sizes: tuple[int, ...]) -> jax.Array:
            ones = jnp.ones((batch_size, *sizes), self.state_dtype)
            return keras.random.dropout(ones, rate, seed=self.seed_generator)

        constants = {}
        if training and self.dropout:
            constants["input_mask"] = mask(self.dropout, self.feature_sizes)
        if training and self.recurrent_dropout:
            sizes = self.state_shapes[0].sizes
            constants["recurrent_mask"] = mask(self.recurrent_dropout, sizes)
        return constants

    def multiply(self, x: Any, name: str, constants: dict, mask: str) -> jax.Array:
        """``x @ weight``, after dropout.

        Args:
            x: ``(..., B, n)``.
            name: of the weight ``(n, m)``; `constants` may have another in its place.
            constants: from `get_constants`.
            mask: the name of what drops numbers of x, where `constants` has it.
        """
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(self.state_dtype)
        x = dropped(x, constants.get(mask))
        weight = constants[name] if name in constants else getattr(self, name).value
        return self.matmul(x, weight)

    @property
    def step_bias(self) -> jax.Array | None:
        """What a step adds to its products: the bias, and what options add to that."""
        return None if self.bias is None else self.bias.value

    def _bias(self, row: int) -> jax.Array | None:
        """The bias added to the inputs (row 0) or to the state (row 1)."""
        bias = self.step_bias
        if bias is None or row >= len(self.bias_shape):
            return None
        bias = bias.astype(self.state_dtype)
        return bias[row] if bias.ndim > 1 else bias

    def project_inputs(self, x: jax.Array, constants: dict) -> jax.Array:
        """``(..., B, D)`` to ``(..., B, G*U)``."""
        return plus(self.multiply(x, "kernel", constants, "input_mask"), self._bias(0))

    def project_state(self, h: jax.Array, constants: dict) -> jax.Array:
        """``(..., B, U)`` to ``(..., B, G*U)``; zeros where no weights act on it."""
        if self.recurrent_kernel is None:
            return jnp.zeros((*h.shape[:-1], self.width), self.state_dtype)
        z = self.multiply(h, "recurrent_kernel", constants, "recurrent_mask")
        return plus(z, self._bias(1))

    def load_own_variables(self, store: Any) -> None:
        """Load the weights, naming the layer they come from if it is another.

        Raises:
            ValueError: if a weight is missing or its shape is not this cell's.
        """
        if not self.built:
            # A copy of what is not built has none either; Keras says so if it has.
            super().load_own_variables(store)
            return
        own = self._trainable_variables + self._non_trainable_variables
        arrays = [store[key] for key in sorted(store.keys(), key=int)]
        rest = []  # a class that derives from this one may have more
        if len(arrays) == len(own):
            given = dict(zip(map(id, own), arrays, strict=True))
            arrays = [given.pop(id(weight)) for weight in self.matrices]
            rest = [
                (weight, given[id(weight)]) for weight in own if id(weight) in given
            ]
        held = zip(self.matrices, self.as_held(arrays), strict=True)
        for weight, array in [*held, *rest]:
            weight.assign(array)

    @property
    def matrices(self) -> list[Any]:
        """The weights by which the two products are made, in the order of files."""
        weights = (self.kernel, self.recurrent_kernel, self.bias)
        return [weight for weight in weights if weight is not None]

    def as_held(self, arrays: Sequence[Any], check: bool = True) -> Sequence[Any]:
        """What a file has for `matrices`, in the form in which the cell holds them.

        Args:
            arrays: as many; those of a `CuDNNLSTM` or a `CuDNNGRU` too.
            check: whether all shapes must be the cell's.

        Raises:
            ValueError: if they are another cell's.
        """
        count, kind = len(self.gates), type(self).__name__.removesuffix("Cell")
        if keras2.are_cudnn(arrays, count):
            require(
                getattr(self, "reset_after", True) and self.bias is not None,
                "reset_after",
                "must be True for the weights of a CuDNNGRU",
                f"reset_after=False for {self.path}",
                "make the layer as GRU(..., reset_after=True)",
            )
            *kernels, bias = keras2.from_cudnn(arrays, count)
            two = len(self.bias_shape) > 1
            arrays = [*kernels, bias if two else bias.sum(axis=0)]
        if not check:
            return arrays
        names = [weight.name for weight in self.matrices]
        require(
            len(arrays) == len(names),
            ", ".join(names),
            f"must come from a file of {kind} weights, {len(names)} arrays",
            f"{len(arrays)} arrays for {self.path}",
            self._origin(arrays, kind),
        )
        for weight, array in zip(self.matrices, arrays, strict=True):
            require(
                tuple(array.shape) == tuple(weight.shape),
                weight.name,
                f"must have shape {self._shape_rule(weight)} = {tuple(weight.shape)}",
                tuple(array.shape),
                self._origin(arrays, kind),
            )
        return arrays

    def _shape_rule(self, weight: Any) -> str:
        *rows, width = weight.shape
        axes = [str(n) for n in rows]
        if weight.name == "kernel":
            axes = ["features"]
        elif weight.name == "recurrent_kernel":
            axes = ["units" if n == self.units else str(n) for n in rows]
        count = width // self.units
        axes.append("units" if count == 1 else f"{count}*units")
        return f"({', '.join(axes)})"

    def _origin(self, arrays: Sequence[Any], kind: str) -> str:
        """Say whose weights these are, from the shape of the recurrent kernel."""
        names = {1: "SimpleRNN", 3: "GRU", 4: "LSTM"}
        if len(arrays) > 1 and len(arrays[1].shape) == 2:
            units, width = arrays[1].shape
            found = names.get(width // units) if width % units == 0 else None
            if found and found != kind:
                return f"that is a {found} kernel; load it with {found}"
            if found and units != self.units:
                return f"make the layer as it was saved, {found}({units})"
        if kind == "GRU" and len(arrays) > 2:
            after = len(arrays[2].shape) > 1
            return f"make the layer as it was saved, GRU(..., reset_after={after})"
        return "load the file into the layer that wrote it"
