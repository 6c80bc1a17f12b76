"""The numbers of the cells that users write, the same for every peer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cases import MEMORY_STEPS, UserCell


@dataclass(frozen=True)
class Given:
    """What a layer is given."""

    x: np.ndarray  # (B, T, D)
    weights: list[np.ndarray]  # in the order of the cell's variables
    states: list[np.ndarray]
    dy: np.ndarray  # (B, T, width of the output), what is fed backward
    memory: np.ndarray | None  # (B, S, U)
    mask: np.ndarray | None  # (B, S), True where the entry counts


def shapes(cell: str, d: int, u: int) -> tuple[list, list[int]]:
    """Of the weights, as Keras lays them out, and of the states."""
    p = u // 2
    lstm = [(d, 4 * u), (u, 4 * u), (4 * u,)]
    dense = lambda rows, n: [(rows, n), (n,)]  # noqa: E731
    return {
        "LSTM": (lstm, [u, u]),
        "GRU": ([(d, 3 * u), (u, 3 * u), (2, 3 * u)], [u]),
        "SimpleRNN": ([(d, u), (u, u), (u,)], [u]),
        "peephole": ([*lstm, *[(u,)] * 3], [u, u]),
        "peephole, projection": (
            [(d, 4 * u), (p, 4 * u), (4 * u,), *[(u,)] * 3, (u, p)],
            [p, u],
        ),
        "coupled": ([(d, 3 * u), (u, 3 * u), (3 * u,)], [u, u]),
        "layer norm": (
            [*dense(d + u, 4 * u), (4 * u,), (4 * u,), (u,), (u,)],
            [u, u],
        ),
        "minimal gated": ([*dense(d + u, u)] * 2, [u]),
        "IndRNN": ([(d, u), (u,), (u,)], [u]),
        "GRU, reset before": ([(d, 3 * u), (u, 2 * u), (u, u), (3 * u,)], [u]),
        "zoneout": (lstm, [u, u]),
        "two stacked": ([*lstm, (u, 4 * u), *lstm[1:]], [u] * 4),
        "fed back": ([(d + u, 4 * u), *lstm[1:], *dense(u, u)], [u] * 3),
        "attention": (
            [(u, u), (u, u), (u,), (d + u, 4 * u), *lstm[1:]],
            [u, u],
        ),
    }[cell.removesuffix(" by its formula")]


def given(case: UserCell) -> Given:
    """Draw the numbers of a case; the same in every process."""
    b, t, d, u = case.shape
    rng = np.random.default_rng(7)

    def draw(*shape, scale=1.0):
        return (rng.standard_normal(shape) * scale).astype("float32")

    weights, states = shapes(case.cell, d, u)
    lengths = rng.integers(1, MEMORY_STEPS + 1, size=b)
    attends = case.cell == "attention"
    width = u // 2 if case.cell == "peephole, projection" else u
    return Given(
        x=draw(b, t, d),
        weights=[draw(*s, scale=s[0] ** -0.5 if len(s) == 2 else 0.3) for s in weights],
        states=[draw(b, n, scale=0.3) for n in states],
        dy=draw(b, t, width),
        memory=draw(b, MEMORY_STEPS, u) if attends else None,
        mask=np.arange(MEMORY_STEPS) < lengths[:, None] if attends else None,
    )
