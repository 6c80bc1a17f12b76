"""Experiments that only the whole layer can do, all executed in one compilation.

Each adds what must run to `together` and returns a function that reads the result.
Letters: B T D U.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ..blobs import number
from . import kinds, memory, several, shapes
from .bench import LEFT_ALONE, Bench, Result, in_rows, short
from .stepping import flat
from .together import Together
from .trace import Reading, calling, difference, in_input_time


def rows_independent(together: Together, bench: Bench) -> Callable[[], Result]:
    x = bench.pair
    rows = x if len(x) > 1 else np.concatenate([x, 0.5 * x[:, ::-1]])
    call = calling(bench.layer, Reading(rows, inner=bench.inner), **LEFT_ALONE)
    beside, alone = together.add(call, rows), together.add(call, rows[:1])

    def finish() -> Result:
        one = in_input_time(bench.layer, beside())[0][:1]
        gap = difference(one, in_input_time(bench.layer, alone())[0])
        text = (
            f"ran a row alone and beside another one: its outputs differ by "
            f"{short(gap)}"
        )
        return {"max_difference": number(gap), "text": text}

    return finish


def stateful(together: Together, bench: Bench) -> Callable[[], Result]:
    """One sequence in two halves, stateful and not, against the whole."""
    x, layer = bench.x, bench.layer
    if x.shape[1] == 1:
        x = np.concatenate([x, x], 1)
    half = x.shape[1] // 2
    parts = [x[:, :half], x[:, half:]]
    if bench.back:
        parts.reverse()
    flags = {"stateful": True, "return_state": True, "return_sequences": False}
    for key in ("return_all_states", "time_major"):
        if hasattr(layer, key):
            flags[key] = False
    shape = (1, None, *x.shape[2:])
    if bench.inner is not None:
        shape = shapes.along((1, None), bench.inner)
    twin = shapes.twin_with_cell(layer, shape, **flags)

    def both(first: Any, second: Any) -> Any:
        given = memory.of(layer.cell, first.shape[0])
        twin(several.apart(first, bench.inner), **given)
        return list(twin(several.apart(second, bench.inner), **given))[1:]

    job = together.add(both, *parts, layer=twin)

    def finish() -> Result:
        whole, fresh = bench.run(x)[1], bench.run(parts[1])[1]
        carried = [in_rows(one, 1) for one in flat(job())]
        gap = max(difference(a, b) for a, b in zip(whole, carried, strict=True))
        lost = max(difference(a, b) for a, b in zip(whole, fresh, strict=True))
        text = (
            f"gave one sequence in two halves: with stateful=True it ends where the "
            f"whole one ends (apart by {short(gap)}), without it {short(lost)} away"
        )
        return {
            "carries_max_difference": number(gap),
            "fresh_difference": number(lost),
            "text": text,
        }

    return finish


def simple_rnn(together: Together, bench: Bench) -> Callable[[], Result]:
    """A SimpleRNN of the same width over the same step: does it store anything?"""
    if bench.kind == "convolutional":
        raise ValueError("each of its steps reads an image")
    units = kinds.width(bench.layer.cell)
    x = np.nan_to_num(bench.x[:, 0].reshape(1, -1), posinf=0.0, neginf=0.0)
    cell = keras.layers.SimpleRNNCell(
        units, kernel_initializer="zeros", recurrent_initializer="zeros", seed=0
    )
    cell.build(x.shape)
    random = np.random.default_rng(0)
    for weight in (cell.kernel, cell.recurrent_kernel):
        wide = np.sqrt(6 / sum(weight.shape))
        weight.assign(random.uniform(-wide, wide, weight.shape).astype("float32"))
    state = np.zeros((1, units), "float32")

    def both(x: Any, one: Any, other: Any) -> Any:
        return cell(x, [one])[0], cell(x, [other])[0]

    job = together.add(both, x, state, state + 0.5, layer=cell)

    def finish() -> Result:
        gap = difference(*flat(job()))
        text = (
            f"ran SimpleRNN({units}) on the same x_t from two different states: the "
            f"next h differs by {short(gap)}, so it carries {units:,} numbers on"
        )
        return {"state": units, "difference": number(gap), "text": text}

    return finish


class EveryStep(keras.layers.Layer):
    """Runs a cell and hands every step's h through a function of yours."""

    def __init__(self, cell, use, **kwargs):
        super().__init__(**kwargs)
        self.cell, self.use = cell, use
        self.state_size = cell.state_size
        if hasattr(cell, "get_initial_state"):  # else Keras starts from zeros
            self.get_initial_state = cell.get_initial_state

    def call(self, inputs, states):
        output, states = self.cell(inputs, states)
        return self.use(output), states  # here: h of this step, compiled with the loop


def every_step(together: Together, bench: Bench) -> Callable[[], Result]:
    if bench.inner is not None:
        raise ValueError("each of its steps reads several arrays")
    use: Any = keras.ops.tanh
    policy = bench.layer.dtype_policy
    cell = EveryStep(bench.layer.cell, use, dtype=policy)
    other = keras.layers.RNN(
        cell, return_sequences=True, go_backwards=bench.back, dtype=policy
    )
    other.build(bench.x.shape)
    job = together.add(other, bench.x, layer=other)

    def finish() -> Result:
        got = in_rows(flat(job())[0], 2)
        got = got[:, ::-1] if bench.back else got
        gap = difference(got, np.tanh(bench.run(bench.x)[0]))
        code = inspect.getsource(EveryStep)
        code += "\nlayer = keras.layers.RNN(EveryStep(cell, use=keras.ops.tanh))"
        text = (
            f"ran this wrapper around the layer's own cell: right to within "
            f"{short(gap)}"
        )
        return {"code": code, "max_difference": number(gap), "text": text}

    return finish


EXPERIMENTS: dict[str, Callable[[Together, Bench], Callable[[], Result]]] = {
    "rows_independent": rows_independent,
    "stateful": stateful,
    "simple_rnn": simple_rnn,
    "every_step": every_step,
}


def prepare(together: Together, bench: Bench) -> dict[str, Callable[[], Result]]:
    """Add all of them to `together`; one that cannot be made fails when it is asked."""
    later: dict[str, Callable[[], Result]] = {}
    for key, experiment in EXPERIMENTS.items():
        try:
            later[key] = experiment(together, bench)
        except Exception as error:  # a stranger's layer may raise anything
            later[key] = _failed(error)
    return later


def _failed(error: Exception) -> Callable[[], Result]:
    def fail() -> Result:
        raise error

    return fail
