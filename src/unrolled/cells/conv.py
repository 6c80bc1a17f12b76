"""Cells whose products are convolutions: a step is an image, and so is the state.

In shapes, C stands for channels, F for filters, S for the sizes of a step between batch
and channels (height and width, in two dimensions), W for those of the window.
"""

from math import prod
from typing import Any

import jax
import keras
from jax import lax
from jax import numpy as jnp

from ..arguments import Activation, Declared, field
from ..checks import require
from .gated import GatedCell, check_real, dropped


class RankArguments(Declared):
    """In how many dimensions a cell convolves."""

    rank: int


class ConvArguments(Declared):
    """Arguments of a convolution, as Keras has them."""

    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Any = 1
    activation: Activation = "tanh"


def standardize(arguments: Any) -> None:
    """Check the arguments of a convolution; sizes become tuples, one for each axis.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    rank, filters = arguments.rank, arguments.filters
    require(
        type(rank) is int and rank in (1, 2, 3),
        "rank",
        "must be 1, 2 or 3",
        repr(rank),
        "pass rank=2 first",
    )
    require(
        _is_count(filters),
        "filters",
        "must be a positive integer, the channels of the state",
        repr(filters),
        "for example filters=64",
    )
    for name in ("kernel_size", "strides", "dilation_rate"):
        given = getattr(arguments, name)
        row = (given,) * rank if isinstance(given, int) else given
        require(
            isinstance(row, (list, tuple))
            and len(row) == rank
            and all(map(_is_count, row)),
            name,
            f"must be a positive integer, or {rank} of them, one for each dimension",
            repr(given),
            f"for example {name}={(3,) * rank}",
        )
        setattr(arguments, name, tuple(row))
    require(
        max(arguments.strides) == 1 or max(arguments.dilation_rate) == 1,
        "strides",
        "must be 1 where dilation_rate is not. Specifying `strides > 1` is not "
        "compatible with `dilation_rate > 1`",
        f"strides={arguments.strides} and dilation_rate={arguments.dilation_rate}",
        "leave one of them out",
    )
    arguments.padding = str(arguments.padding).lower()
    arguments.data_format = arguments.data_format or keras.config.image_data_format()
    for name, known in {
        "padding": ("valid", "same"),
        "data_format": ("channels_last", "channels_first"),
    }.items():
        given = getattr(arguments, name)
        require(
            given in known,
            name,
            f"must be {known[0]!r} or {known[1]!r}",
            repr(given),
            f"pass {name}={known[0]!r}",
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class ConvCell(GatedCell, ConvArguments, RankArguments):
    """The two convolutions of a cell; the subclass adds the formula.

    That of the inputs has the strides, padding and dilation; that of the state keeps
    its size. Weights are Keras's: ``kernel (*W, C, G*F)``, ``recurrent_kernel (*W, F,
    G*F)``, ``bias (G*F,)``. U = F: at each place a state has so many numbers.
    """

    units: int = field(init=False)

    def __post_init__(self) -> None:
        standardize(self)
        self.units = self.filters
        super().__post_init__()
        last = self.data_format == "channels_last"
        self.channels = -1 if last else -1 - self.rank  # their axis
        space = "DHW"[-self.rank :]
        axes = f"N{space}C" if last else f"NC{space}"
        self.layout = (axes, f"{space}IO", axes)
        self._set_sizes([None] * self.rank)

    def _set_sizes(self, space: list[Any]) -> None:
        """Say how large a state is; None for what is not known before `build`."""
        last = self.channels == -1
        image = (*space, self.filters) if last else (self.filters, *space)
        self.state_size = [image for _ in self.state_names]
        self.output_size = image

    def kernel_shape(self, features: int) -> tuple[int, ...]:
        """``(*W, C, G*F)``."""
        return (*self.kernel_size, features, self.width)

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """``(*W, F, G*F)``."""
        return self.kernel_shape(self.filters)

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of ``(B, *S, C)``, or ``(B, C, *S)``."""
        axes = "channels, ..." if self.channels != -1 else "..., channels"
        require(
            len(input_shape) == self.rank + 2 and None not in input_shape[1:],
            "sequences",
            f"must have rank {self.rank + 3}, (batch, time steps, {axes}), all but the "
            "first two known",
            f"steps of shape {tuple(input_shape)}",
            "each step is an image of one size, which the state gets its own from",
        )
        features = input_shape[self.channels]
        x, kernel = (
            jax.ShapeDtypeStruct(shape, self.state_dtype)
            for shape in ((1, *input_shape[1:]), self.kernel_shape(features))
        )
        space = list(jax.eval_shape(self.of_inputs, x, kernel).shape[1:])
        space.pop(self.channels)
        require(
            0 not in space,
            "kernel_size",
            f"{self.kernel_size} must fit into a step where padding='valid'",
            f"steps of shape {tuple(input_shape)}",
            "pass padding='same', or a smaller kernel_size",
        )
        self._set_sizes(space)
        self.make_weights(features)
        self.built = True

    def check_inputs(self, x: Any) -> None:
        """Raise unless `x` holds real numbers; whole ones are cast."""
        check_real(x)

    def get_initial_state(self, batch_size: int) -> Any:
        """Images of zeros, once the size of a step is known."""
        require(
            self.built,
            "get_initial_state",
            "needs a cell that is built: a state is as large as a step makes it",
            f"{self.name}, which is not built",
            "call the layer on data first, or build it",
        )
        return super().get_initial_state(batch_size)

    def convolve(
        self,
        x: jax.Array,
        kernel: Any,
        strides: tuple[int, ...] = (),
        padding: str = "same",
        dilation_rate: tuple[int, ...] = (),
    ) -> jax.Array:
        """Convolve in the compute dtype, accumulate in the state dtype.

        Args:
            x: ``(..., B, *S, C)``, one step or many.
            kernel: ``(*W, C, n)``.
            strides: 1 everywhere if left out.
            padding: ``"same"`` or ``"valid"``.
            dilation_rate: 1 everywhere if left out.
        """
        image = x.shape[-1 - self.rank :]
        leading = x.shape[: -1 - self.rank]
        z = lax.conv_general_dilated(
            x.reshape(prod(leading), *image).astype(self.compute_dtype),
            jnp.asarray(kernel, self.compute_dtype),
            strides or (1,) * self.rank,
            padding.upper(),
            rhs_dilation=dilation_rate or None,
            dimension_numbers=self.layout,
            preferred_element_type=self.state_dtype,
        )
        return z.reshape(*leading, *z.shape[1:])

    def of_inputs(self, x: jax.Array, kernel: Any) -> jax.Array:
        """The convolution of the inputs."""
        return self.convolve(x, kernel, self.strides, self.padding, self.dilation_rate)

    def split(self, z: jax.Array, count: int) -> list[jax.Array]:
        """So many gates, each with the channels of a state."""
        return jnp.split(z, count, axis=self.channels)

    def multiply(self, x: Any, name: str, constants: dict, mask: str) -> jax.Array:
        """The convolution with a kernel, after dropout."""
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(self.state_dtype)
        x = dropped(x, constants.get(mask))
        kernel = getattr(self, name).value
        return (
            self.of_inputs(x, kernel) if name == "kernel" else self.convolve(x, kernel)
        )

    def _bias(self, row: int) -> jax.Array | None:
        """As it meets the channels of an image."""
        bias = super()._bias(row)
        behind = (1,) * (-1 - self.channels)
        return None if bias is None else bias.reshape(-1, *behind)

    def _shape_rule(self, weight: Any) -> str:
        first = {"kernel": "channels, ", "recurrent_kernel": "filters, "}
        before = f"*kernel_size, {first[weight.name]}" if weight.name in first else ""
        return f"({before}{len(self.gates)}*filters)"
