"""The law of the cells that libraries and papers have, in float64 NumPy.

One module a family. A function is one step, written from the source that its
docstring names, before and without our cells, with the source's own names, order and
layout of weights and states. `autograd` differentiates it. `test_recorded.py` holds it
to what the library itself gave: only then is it a reference.

Shapes: B batch, T time steps, D features, U units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as plain
from autograd import make_vjp
from autograd import numpy as np

Array = plain.ndarray


def with_pullback(step: Callable[..., tuple[Any, list[Any]]]) -> Callable:
    """A step for `reference.unroll`: it also returns its own pullback.

    Args:
        step: ``(weights, x, states) -> (output, states)`` of `autograd.numpy`: weights
            in a dict, states in a list.
    """

    def stepped(weights, x, states):
        shapes = []

        def flat(weights, x, states):
            output, after = step(weights, x, list(states))
            leaves = [output, *after]
            shapes[:] = [leaf.shape for leaf in leaves]
            return np.concatenate([np.ravel(leaf) for leaf in leaves])

        of_all = lambda given: flat(*given)  # noqa: E731
        vjp, value = make_vjp(of_all)((dict(weights), x, tuple(states)))
        ends = plain.cumsum([plain.prod(s, dtype=int) for s in shapes])[:-1]
        output, *after = [
            part.reshape(shape)
            for part, shape in zip(plain.split(value, ends), shapes, strict=True)
        ]

        def pull(d_output, d_states):
            parts = [plain.ravel(d) for d in (d_output, *d_states)]
            d_weights, dx, d_before = vjp(plain.concatenate(parts))
            return dx, list(d_before), d_weights

        return output, after, pull

    return stepped


def sigmoid(a):
    """The logistic function, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * a))
