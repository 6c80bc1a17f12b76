"""The same numbers for every peer, in Keras's layout and gate order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cases import EXAMPLES, GATES, STATES, Case


@dataclass(frozen=True)
class Arrays:
    """What a layer is given."""

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
    """Stand-ins for digits: 28 rows of 28 features, ten classes."""
    rng = np.random.default_rng(7)
    x = rng.random((EXAMPLES, 28, 28), dtype="float32")
    return x, rng.integers(0, 10, EXAMPLES).astype("int32")
