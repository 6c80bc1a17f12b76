"""What the old cells share whose variables begin as ours do."""

from typing import Any, ClassVar

from .base import OldCell, Tree
from .cells import GatedOldCell
from .checkpoint import Held


class SeparateOldCell(GatedOldCell):
    """An old cell whose variables begin as ours do; a subclass says where they lie."""

    # Of our cell, for arguments of other names.
    kind: ClassVar[Any]

    def options(self) -> dict[str, Any]:
        """Arguments of our cell beside `num_units` and `activation`."""
        return {}

    def make(self) -> Any:
        """Our cell."""
        given: Any = self
        return self.kind(
            given.num_units,
            activation=given.activation,
            dtype=self.dtype_policy,
            **self.options(),
        )

    def build(self, inputs_shape: Tree) -> None:
        """Make the weights."""
        OldCell.build(self, inputs_shape)

    def held(self) -> list[Held]:
        """The variables of a cell that is built."""
        raise NotImplementedError

    def own_entries(self) -> list[Held]:
        """None before."""
        return self.held() if self.inner.built else []

    def plain(self, *names: str) -> list[Held]:
        """Variables that are called and shaped alike here."""
        return [Held(name, [getattr(self.inner, name)]) for name in names]
