"""Layer and weight normalisation of gated cells."""

from typing import Any, ClassVar

import jax
from jax import lax
from jax import numpy as jnp

from ..arguments import KW_ONLY, Declared
from ..checks import require
from .gated import GatedCell

_FORMS = (None, "gates", "products")
_PRODUCTS = ("kernel", "recurrent_kernel")


class NormalisationArguments(Declared):
    """Arguments about normalisation."""

    _: KW_ONLY
    layer_norm: str | None = None
    norm_epsilon: float = 1e-3
    weight_norm: bool = False


def normalise(x: jax.Array, epsilon: float) -> jax.Array:
    """Mean 0 and variance 1 over the last axis."""
    x = x - jnp.broadcast_to(x.mean(-1, keepdims=True), x.shape)
    variance = jnp.square(x).mean(-1, keepdims=True)
    return x * jnp.broadcast_to(lax.rsqrt(variance + epsilon), x.shape)


class NormalisedCell(NormalisationArguments, GatedCell):
    """A gated cell whose gates, or products, or weights may be normalised.

    With n(a) of mean 0 and variance 1 over the last axis, ``layer_norm`` is one of::

        None         z = x @ W + h @ R + b
        "gates"      z = gain * n(x @ W + h @ R) + b             each gate by itself
        "products"   z = kernel_gain * n(x @ W) + recurrent_gain * n(h @ R) + b

    With ``weight_norm`` a column v of W or R becomes ``scale * v / |v|``.

    Source: Ba et al., 2016, arXiv:1607.06450; "gates" as in TensorFlow 1's
    ``LayerNormBasicLSTMCell`` and Addons' ``LayerNormSimpleRNNCell``, "products" as in
    Addons' ``LayerNormLSTMCell``. Salimans and Kingma, 2016, arXiv:1602.07868.
    """

    # Options beside these that change the formula; see `variant`.
    options: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.layer_norm in _FORMS,
            "layer_norm",
            'must be None, "gates" or "products"',
            repr(self.layer_norm),
            '"gates" normalises each gate by itself, "products" x @ W and h @ R',
        )

        require(
            self.norm_epsilon > 0,
            "norm_epsilon",
            "must be positive, as it keeps the root of a variance of 0 finite",
            repr(self.norm_epsilon),
            "leave it out for 0.001",
        )

    @property
    def variant(self) -> str:
        """The first option that makes this another cell than Keras's, or nothing."""
        for name in (*self.options, "layer_norm", "weight_norm"):
            value = getattr(self, name)
            if value not in (None, False, 0.0):
                return f"{name}={value!r}"
        return ""

    def build(self, input_shape: Any) -> None:
        """Create the weights, and the gains."""
        super().build(input_shape)
        self.gain: Any = None
        if self.layer_norm == "gates":
            self.gain = self._ones("gain", self.width)
        for name in _PRODUCTS:
            short = name.removesuffix("_kernel")
            if self.layer_norm == "products":
                setattr(self, f"{name}_gain", self._ones(f"{short}_gain", self.width))
            if self.weight_norm:
                setattr(self, f"{name}_scale", self._ones(f"{short}_scale", self.width))

    def _ones(self, name: str, width: int) -> Any:
        return self.add_weight(name=name, shape=(width,), initializer="ones")

    def get_constants(self, batch_size: int, training: bool) -> dict[str, jax.Array]:
        """Dropout masks, and the weights normalised."""
        constants = super().get_constants(batch_size, training)
        if self.weight_norm:
            for name in self.normalised_weights:
                scale = getattr(self, f"{name}_scale")
                constants[name] = _columns(getattr(self, name), scale)
        return constants

    @property
    def normalised_weights(self) -> list[str]:
        """Names of those that `weight_norm` scales."""
        return list(_PRODUCTS)

    def multiply(self, x: Any, name: str, constants: dict, mask: str) -> jax.Array:
        """A product with a weight, normalised where the two products are."""
        z = super().multiply(x, name, constants, mask)
        if self.layer_norm != "products" or name not in _PRODUCTS:
            return z
        gain = self.spread(getattr(self, f"{name}_gain"), z)
        return normalise(z, self.norm_epsilon) * gain

    def _bias(self, row: int) -> jax.Array | None:
        """As in any cell; where gates are normalised it comes after that."""
        return None if self.layer_norm == "gates" else super()._bias(row)

    def split(self, z: jax.Array) -> list[jax.Array]:
        """Pre-activations gate by gate, each normalised where gates are."""
        parts = jnp.split(z, len(self.gates), axis=-1)
        return [self.normal(place, part) for place, part in enumerate(parts)]

    def normal(self, place: int, z: jax.Array) -> jax.Array:
        """The pre-activation of one gate, normalised where gates are."""
        if self.layer_norm != "gates":
            return z
        own = slice(place * self.units, (place + 1) * self.units)
        z = normalise(z, self.norm_epsilon) * self.spread(self.gain[own], z)
        bias = self.step_bias
        return z if bias is None else z + self.spread(bias[own], z)


def _columns(weight: Any, scale: Any) -> jax.Array:
    """Columns of the lengths `scale`; of zeros there are none longer than zero."""
    value = weight.value
    square = jnp.square(value).sum(0, keepdims=True)
    length = lax.rsqrt(jnp.maximum(square, 1e-12)) * scale.value[None]
    return value * jnp.broadcast_to(length, value.shape)
