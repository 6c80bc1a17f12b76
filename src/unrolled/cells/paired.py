"""Cells that read a number beside the features."""

from typing import Any, ClassVar

from ..checks import require
from .base import Tree, built_for, is_dims
from .gated import GatedCell


class PairedCell(GatedCell):
    """Reads a pair at each step: ``(B, D)`` features and a number ``(B, 1)``.

    `pair` says in which order, and what the number is called.
    """

    pair: ClassVar[tuple[str, str]]

    def parted(self, pair: Any) -> tuple[Any, Any]:
        """The features and the number, or what is known of them."""
        first, second = pair
        return (first, second) if self.pair[0] == "features" else (second, first)

    def build(self, input_shape: Tree) -> None:
        """Create the weights for a pair of ``(B, D)`` and ``(B, 1)``."""
        alone = is_dims(input_shape)
        require(
            not alone and len(input_shape) == 2,
            "sequences",
            f"must be a pair for {type(self).__name__}, ({', '.join(self.pair)})",
            "one array" if alone else f"{len(input_shape)} arrays",
            "pass both in a tuple, each (batch, time steps, ...): a second array of "
            "two axes is taken for a state",
        )
        features, number = self.parted(input_shape)
        require(
            len(number) == 2 and number[-1] == 1,
            self.pair[1 - self.pair.index("features")],
            "must be one number at each step, (batch, time steps, 1)",
            f"steps of shape {tuple(number)}",
            f"pass the pair in the order ({', '.join(self.pair)})"
            if features[-1] == 1
            else "add an axis, a[..., None]",
        )
        super().build(features)

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """Dropout leaves the number."""
        return tuple(self.parted(built_for(self))[0][1:])

    def check_inputs(self, x: Tree) -> None:
        """Raise unless a pair of real numbers comes; whole ones are cast."""
        if isinstance(x, (list, tuple)):
            for each in x:
                super().check_inputs(each)

    def project_inputs(self, x: Tree, constants: dict) -> tuple[Any, Any]:
        """The features' share of the gates, and the number."""
        features, number = self.parted(x)
        z = super().project_inputs(features, constants)
        return z, number.astype(self.state_dtype)
