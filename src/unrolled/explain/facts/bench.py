"""A layer on a bench: one example of what it read, and a way to run it again."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import shapes
from .stepping import Stepper
from .trace import Reading, run_layer

Result = dict[str, Any]
LEFT_ALONE = {"stateful": False, "zero_output_for_mask": False}


def short(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def in_rows(values: np.ndarray, leading: int) -> np.ndarray:
    """All but the leading axes as one, such as those of an image."""
    return values.reshape(*values.shape[:leading], -1)


class Bench:
    """One layer on which things are tried, and one example of what it read."""

    def __init__(self, layer: Any, kind: str, reading: Reading) -> None:
        self.layer, self.kind = layer, kind
        self.back = bool(getattr(layer, "go_backwards", False))
        steps = shapes.affordable(layer, reading.x.shape[1], 8)
        x = reading.x[:1, :steps]
        mask = None if reading.mask is None else reading.mask[:1, :steps]
        if mask is not None and mask.any():
            x = x[:, mask[0]]  # only steps that are read; the mask has its own turn
        self.x, self.inner = x, reading.inner
        self.pair = reading.x[:2, :steps]
        self.stepper: Stepper | None = None

    def run(
        self, x: np.ndarray, mask: Any = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Outputs (B,T,P) in input time, and the final states."""
        if self.stepper is not None:
            walk = self.stepper.walk(x, mask)
            return in_rows(walk.outputs, 2), [in_rows(one, 1) for one in walk.end]
        reading = Reading(x, mask, inner=self.inner)
        outputs, end = run_layer(self.layer, reading, **LEFT_ALONE)
        return in_rows(outputs, 2), [in_rows(one, 1) for one in end]
