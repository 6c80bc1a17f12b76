"""A program in plain NumPy: where there is no compiled core, and to test the latter."""

import math
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..checks import require
from .program import STATES, Program, Step
from .storage import store

Array = np.ndarray

_erfc = np.frompyfunc(math.erfc, 1, 1)


def _sigmoid(x: Array) -> Array:
    return np.float32(0.5) * (np.float32(1) + np.tanh(np.float32(0.5) * x))


def _ramp(x: Array, slope: float, top: float, threshold: float) -> Array:
    below = np.where(np.isnan(x), x, 0) if slope == 0 else slope * (x - threshold)
    return np.where(x >= top, np.float32(top), np.where(x >= threshold, x, below))


def _gelu(x: Array) -> Array:
    tail = np.asarray(_erfc(x * -(0.5**0.5)), np.float32)
    return x * np.float32(0.5) * tail


_ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "tanh": lambda x, *_: np.tanh(x),
    "sigmoid": lambda x, *_: _sigmoid(x),
    "hard_sigmoid": lambda x, *_: np.clip((x + 3) / np.float32(6), 0, 1),
    "relu": lambda x, *_: np.maximum(x, 0),
    "linear": lambda x, *_: x,
    "silu": lambda x, *_: x * _sigmoid(x),
    "elu": lambda x, alpha, *_: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "softplus": lambda x, *_: np.logaddexp(x, 0),
    "gelu": lambda x, *_: _gelu(x),
    "ramp": _ramp,
}


# All that live, so that a fork can wait for those that step, as the compiled core does:
# a child has no thread that would ever let go of their locks.
_all: "weakref.WeakSet[Interpreted]" = weakref.WeakSet()
_making = threading.Lock()
_held: "list[Interpreted]" = []


def _hold() -> None:
    _making.acquire()
    _held.extend(_all)
    for each in _held:
        each._lock.acquire()


def _let_go() -> None:
    for each in _held:
        each._lock.release()
    _held.clear()
    _making.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)


class Interpreted:
    """What `Compiled` does, with the same methods, some ten times slower."""

    def __init__(
        self,
        program: Program,
        rows: int,
        storage: str,
        convert: Callable[[Any], Array],
    ) -> None:
        require(
            not program.has_fused,
            "the compiled core",
            "must be there to run a stream with a cell that was fused",
            "none",
            "make the stream anew from its model",
        )
        self._steps = [_as_stored(step, storage) for step in program.steps]
        self._convert = convert
        self._lock = threading.Lock()
        self._rows = rows
        self._states = self._fresh()
        with _making:
            _all.add(self)

    def step(self, x: Any) -> Array:
        """One time step."""
        y = self._convert(x)
        with self._lock, np.errstate(all="ignore"):
            for n, step in enumerate(self._steps):
                if step.kind == "cell":
                    y, self._states[n] = step.cell(y, self._states[n])
                elif step.kind in STATES:
                    self._states[n] = _recur(step, y, self._states[n])
                    y = self._states[n][0]
                else:
                    y = _apply(step, y).astype(np.float32, copy=False)
        return y.copy()

    def reset(self, rows: Array | None) -> None:
        """See `Compiled.reset`."""
        marks = np.ones(self._rows, bool) if rows is None else rows

        def mixed(fresh: Array, state: Array) -> Array:
            chosen = marks.reshape(-1, *[1] * (state.ndim - 1))
            return np.where(chosen, fresh, state)

        with self._lock:
            pairs = zip(self._fresh(), self._states, strict=True)
            self._states = [list(map(mixed, *each)) for each in pairs]

    def _fresh(self) -> list[list[Array]]:
        return [step.fresh(self._rows) for step in self._steps]

    def read(self) -> list[Array]:
        """See `Compiled.read`."""
        with self._lock:
            return [s.copy() for states in self._states for s in states]

    def write(self, states: Sequence[Array]) -> None:
        """See `Compiled.write`."""
        given = iter(states)
        with self._lock:
            self._states = [[next(given).copy() for _ in s] for s in self._states]


def _as_stored(step: Step, storage: str) -> Step:
    if step.kind not in STATES and step.kind != "dense":
        return step
    kernel, recurrent = (
        None if a is None else store(a, storage).values
        for a in (step.kernel, step.recurrent)
    )
    return step._replace(kernel=kernel, recurrent=recurrent)


def _activate(step: Step, x: Array) -> Array:
    return _ACTIVATIONS[step.activation](x, *step.numbers)


def _recur(step: Step, x: Array, states: list[Array]) -> list[Array]:
    """One step of a cell: the formulas are those of `unrolled.cells`."""
    U, h = step.units, states[0]
    gate = _ACTIVATIONS[step.recurrent_activation]
    zero = np.zeros(1, np.float32)
    bias = zero if step.bias is None else step.bias
    first, second = bias if bias.ndim == 2 else (bias, zero)
    a = x @ step.kernel + first
    if step.kind == "simple_rnn":
        return [_activate(step, a + h @ step.recurrent)]
    if step.kind == "lstm":
        i, f, g, o = np.split(a + h @ step.recurrent, 4, axis=-1)
        c = gate(f) * states[1] + gate(i) * _activate(step, g)
        return [gate(o) * _activate(step, c), c]
    recurrent: Any = step.recurrent
    b = h @ recurrent[:, : 2 * U]
    z, r = np.split(gate(a[:, : 2 * U] + b + np.resize(second, 2 * U)), 2, axis=-1)
    if step.kind == "gru_after":
        inner = h @ recurrent[:, 2 * U :] + np.resize(second, 3 * U)[2 * U :]
        candidate = _activate(step, a[:, 2 * U :] + r * inner)
    else:
        candidate = _activate(step, a[:, 2 * U :] + (r * h) @ recurrent[:, 2 * U :])
    return [z * h + (1 - z) * candidate]


def _apply(step: Step, x: Array) -> Array:
    """A layer without states."""
    kernel: Any = step.kernel
    bias = np.float32(0) if step.bias is None else step.bias
    if step.kind == "embedding":
        return kernel[x]
    if step.kind == "dense":
        return _activate(step, x @ kernel + bias)
    if step.kind == "affine":
        return x * kernel + bias
    if step.kind == "softmax":
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    if step.kind == "normalize":
        epsilon, keep_mean, _ = step.numbers
        if not keep_mean:
            x = x - x.mean(axis=-1, keepdims=True)
        square = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(square + np.float32(epsilon)) * kernel + bias
    return _activate(step, x)
