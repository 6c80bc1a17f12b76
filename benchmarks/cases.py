"""What is measured: cells, shapes and options, and the arrays every peer is given.

Only NumPy is imported here: this file is read in every peer's environment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
STATES = {"SimpleRNN": 1, "LSTM": 2, "GRU": 1}
MODES = ("forward", "training", "fit")

# (B, T, D, U): batch, time steps, features, units
SHAPES = (
    (1, 100, 128, 128),
    (1, 100, 512, 512),
    (32, 28, 28, 128),
    (64, 100, 128, 128),
    (256, 28, 28, 128),
    (64, 50, 512, 512),
    (64, 50, 1024, 1024),
)
QUICK_SHAPES = ((1, 100, 128, 128), (32, 28, 28, 128), (256, 28, 28, 128))
FIT_SHAPES = ((128, 28, 28, 128), (128, 28, 28, 32))
FIT_STEPS = 100  # batches in one epoch of the main job: 12,800 examples of 128


@dataclass(frozen=True)
class Case:
    """One row of the table; a peer turns it into a function to call."""

    cell: str
    mode: str
    shape: tuple[int, int, int, int]
    dtype: str = "float32"
    mask: str = "none"  # none | right | random
    recurrent_dropout: float = 0.0
    use_bias: bool = True

    @property
    def label(self) -> str:
        """Name the row: shape, then whatever departs from the plain layer."""
        extras = []
        if self.mask != "none":
            extras.append(f"{self.mask} mask")
        if self.recurrent_dropout:
            extras.append(f"recurrent_dropout {self.recurrent_dropout:g}")
        if not self.use_bias:
            extras.append("no bias")
        if self.dtype != "float32":
            extras.append(self.dtype)
        return ", ".join([",".join(map(str, self.shape)), *extras])

    @property
    def flops(self) -> float:
        """Multiply-adds of the matrix products, counted as two each."""
        b, t, d, u = self.shape
        forward = 2.0 * b * t * (d + u) * GATES[self.cell] * u
        return forward if self.mode == "forward" else 3 * forward


@dataclass(frozen=True)
class Arrays:
    """The same numbers for every peer, in Keras's layout and gate order."""

    x: np.ndarray  # (B, T, D)
    kernel: np.ndarray  # (D, G*U)
    recurrent_kernel: np.ndarray  # (U, G*U)
    bias: np.ndarray | None  # (G*U,); GRU: (2, 3*U)
    states: list[np.ndarray]  # (B, U) each: [h] or [h, c]
    dy: np.ndarray  # (B, T, U), what is fed backward
    mask: np.ndarray | None  # (B, T), True where the step counts

    @property
    def weights(self) -> list[np.ndarray]:
        """The layer's weights in Keras's order."""
        weights = [self.kernel, self.recurrent_kernel]
        return weights if self.bias is None else [*weights, self.bias]


class UnsupportedError(Exception):
    """The peer has no such thing; shown in the table, not an error."""


def arrays(case: Case) -> Arrays:
    """Draw the numbers of a case; the same in every process."""
    b, t, d, u = case.shape
    g = GATES[case.cell]
    rng = np.random.default_rng(7)

    def draw(*shape, scale=1.0):
        return (rng.standard_normal(shape) * scale).astype("float32")

    bias = draw(*((2, g * u) if case.cell == "GRU" else (g * u,)), scale=0.1)
    return Arrays(
        x=draw(b, t, d),
        kernel=draw(d, g * u, scale=d**-0.5),
        recurrent_kernel=draw(u, g * u, scale=u**-0.5),
        bias=bias if case.use_bias else None,
        states=[draw(b, u, scale=0.3) for _ in range(STATES[case.cell])],
        dy=draw(b, t, u),
        mask=_mask(case, rng),
    )


def _mask(case: Case, rng) -> np.ndarray | None:
    b, t = case.shape[:2]
    if case.mask == "none":
        return None
    if case.mask == "random":
        return rng.random((b, t)) < 0.8
    lengths = rng.integers(max(1, t // 2), t + 1, size=b)
    return np.arange(t)[None, :] < lengths[:, None]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Stand-ins for 12,800 digits: 28 rows of 28 features, ten classes."""
    rng = np.random.default_rng(7)
    n = 128 * FIT_STEPS
    x = rng.random((n, 28, 28), dtype="float32")
    return x, rng.integers(0, 10, n).astype("int32")
