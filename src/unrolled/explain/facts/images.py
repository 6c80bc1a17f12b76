"""Cells whose states are images: their gates, one position of all, whole images.

A ConvLSTM or ConvGRU is stepped whole and held to its layer (trace.py). Rows of units
are then the channels of one position, the one where h moves most; whole images of a few
channels are recorded beside them. Letters: B T; C channels of x, F of h, S the sizes of
an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import keras
import numpy as np

from ..blobs import encode
from ..gates import GATES, SIGMOID
from . import kinds
from .activations import activation
from .stepping import before, read_weights

MOST_STEPS, MOST_CHANNELS, MOST_SIDE = 6, 3, 32


def shape(cell: Any, read: list[int]) -> dict[str, Any]:
    """How large the images are, and how the convolution of x goes over them.

    Args:
        cell: a convolutional cell, built.
        read: the shape of what one step of one row reads.
    """
    given = kinds.state_sizes(cell)[0]
    last = cell.data_format == "channels_last"
    space = slice(0, -1) if last else slice(1, None)
    return {
        "reads": [int(n) for n in read[space]],
        "gives": [int(n) for n in given[space]],
        "kernel_size": list(cell.kernel_size),
        "strides": list(cell.strides),
        "padding": cell.padding,
        "dilation_rate": list(cell.dilation_rate),
        "data_format": cell.data_format,
    }


def gate_values(cell: Any, x: np.ndarray, h: np.ndarray) -> tuple[Any, Any]:
    """Pre-activations and values of each gate, for x and h before (B,T,*S,channels)."""
    kind = kinds.convolved(cell) or ""
    keys = [gate[0] for gate in GATES[kind]]
    weights = _weights(cell)
    from_x = _convolve(cell, x, weights["kernel"], of_x=True)
    if "bias" in weights:
        behind = cell.rank if cell.data_format == "channels_first" else 0
        from_x = from_x + weights["bias"].reshape(-1, *[1] * behind)
    kernel = weights["recurrent_kernel"]
    sig, act = (activation(getattr(cell, key)) for key in (SIGMOID, "activation"))
    if kind == "GRU":
        wide = 2 * cell.filters
        parts = _split(cell, from_x, 3)
        early = _split(cell, _convolve(cell, h, kernel[..., :wide]), 2)
        pre = {"z": parts[0] + early[0], "r": parts[1] + early[1]}
        r = sig(pre["r"])
        pre["hh"] = parts[2] + _convolve(cell, r * h, kernel[..., wide:])
        return pre, {"z": sig(pre["z"]), "r": r, "hh": act(pre["hh"])}
    parts = _split(cell, from_x + _convolve(cell, h, kernel), 4)
    pre = dict(zip(keys, parts, strict=True))
    how = {gate[0]: sig if gate[3] == SIGMOID else act for gate in GATES[kind]}
    return pre, {key: how[key](values) for key, values in pre.items()}


def _weights(cell: Any) -> dict[str, np.ndarray]:
    """Those of the cell, with what it adds to the forget gate beside its bias."""
    found = read_weights(cell)
    more = getattr(cell, "forget_bias", 0.0)
    if more:
        gates = found.get("bias", np.zeros(found["kernel"].shape[-1], "float32"))
        found["bias"] = gates + np.repeat([0, more, 0, 0], cell.filters).astype(
            "float32"
        )
    return found


def _convolve(
    cell: Any, x: np.ndarray, kernel: np.ndarray, of_x: bool = False
) -> np.ndarray:
    """The convolution of all steps; that of h keeps its size."""
    rows = np.asarray(x, "float32").reshape(-1, *x.shape[2:])
    rest = {"strides": 1, "padding": "same", "dilation_rate": 1}
    if of_x:
        rest = {key: getattr(cell, key) for key in rest}
    z = keras.ops.conv(rows, kernel, data_format=cell.data_format, **rest)
    return np.asarray(z).reshape(*x.shape[:2], *z.shape[1:])


def _split(cell: Any, z: np.ndarray, many: int) -> list[np.ndarray]:
    return np.split(z, many, axis=_channels(cell))


def _channels(cell: Any) -> int:
    return -1 if cell.data_format == "channels_last" else -1 - cell.rank


# --- one position ---


def liveliest(cell: Any, h: np.ndarray) -> tuple[int, ...]:
    """The position of h (B,T,*S,F) that moves most, over all channels."""
    clean = np.nan_to_num(h.astype("float64"), posinf=0.0, neginf=0.0)
    moved = np.moveaxis(clean.var((0, 1)), _channels(cell), -1).sum(-1)
    return tuple(int(n) for n in np.unravel_index(moved.argmax(), moved.shape))


def at(cell: Any, values: np.ndarray, place: tuple[int, ...]) -> np.ndarray:
    """The channels of one position, of images (..., *S, channels)."""
    return np.moveaxis(values, _channels(cell), -1)[(..., *place, slice(None))]


def by_position(cell: Any, moved: np.ndarray) -> np.ndarray:
    """Whether any channel of a position is true, of one image of the output, flat."""
    sizes = kinds.state_sizes(cell)[0]
    space = prod(sizes) // cell.filters
    last = cell.data_format == "channels_last"
    rows = moved.reshape((space, -1) if last else (-1, space))
    return np.asarray(rows.any(1 if last else 0))


def said(place: Sequence[int]) -> str:
    """A position in words."""
    axes = (["position"], ["row", "column"], ["layer", "row", "column"])
    return ", ".join(
        f"{axis} {p + 1}" for axis, p in zip(axes[len(place) - 1], place, strict=True)
    )


def read_from(cell: Any, sizes: tuple[int, ...]) -> list[int]:
    """Where the window of x begins for the first position of h: below 0 in padding."""
    low = []
    for size, wide, by, apart in zip(
        sizes, cell.kernel_size, cell.strides, cell.dilation_rate, strict=True
    ):
        reach = (wide - 1) * apart + 1
        whole = max((-(-size // by) - 1) * by + reach - size, 0)
        low.append(-(whole // 2) if cell.padding == "same" else 0)
    return low


def of_place(
    cell: Any, reading: Any, found: Any, place: tuple[int, ...]
) -> tuple[Any, Any]:
    """Reading and trace of one position: x in the middle of its window, and (B,T,F)."""
    sizes = np.moveaxis(reading.x[0, 0], _channels(cell), -1).shape[:-1]
    middle = tuple(
        int(np.clip(low + p * by + (wide - 1) // 2 * apart, 0, size - 1))
        for low, p, by, wide, apart, size in zip(
            read_from(cell, sizes),
            place,
            cell.strides,
            cell.kernel_size,
            cell.dilation_rate,
            sizes,
            strict=True,
        )
    )

    def cut(values: Any) -> Any:
        if isinstance(values, dict):
            return {key: cut(one) for key, one in values.items()}
        if isinstance(values, list):
            return [cut(one) for one in values]
        return at(cell, values, place)

    names = ("states", "gates", "pre", "output", "initial", "final", "layer_output")
    parts = {name: cut(getattr(found, name)) for name in names}
    note = f"one position of the images, {said(place)}: where h moves most"
    return (
        replace(reading, x=at(cell, reading.x, middle)),
        replace(found, notes=[*found.notes, note], **parts),
    )


# --- whole images ---


def recorded(cell: Any, reading: Any, found: Any) -> dict[str, Any]:
    """Whole images of the first example, at a few steps: x, gates, states."""
    steps = found.output.shape[1]
    chosen = np.unique(np.linspace(0, steps - 1, min(steps, MOST_STEPS)).astype(int))
    read = np.ones(steps, bool) if reading.mask is None else reading.mask[0]
    order = _order(cell, found.states["h"])
    base = kinds.convolved(cell) or ""
    wanted = [("x", "what it reads", "input", reading.x, range(MOST_CHANNELS))]
    wanted += [
        (key, name, "gate", found.gates[key], order[:1])
        for key, _, name, _ in GATES[base]
        if key in found.gates
    ]
    wanted += [
        (key, kinds.state_name(key), "state", values, order[: _many(key)])
        for key, values in reversed(found.states.items())
    ]
    rows = []
    for key, name, role, values, channels in wanted:
        images = _flat(cell, values[0, chosen])
        said = {"key": key, "name": name, "role": role}
        rows += [said | _channel(images, k) for k in channels if k < images.shape[1]]
    place = liveliest(cell, found.states["h"])
    return {
        "place": list(place),
        "windows": {
            "x": _spans(cell, place, _last(cell, reading.x[0, 0]).shape[:-1]),
            "h": _spans(cell, place, None),
        },
        "steps": [int(t) for t in chosen],
        "of": steps,
        "skipped": [int(t) for t in chosen if not read[t]],
        "rows": rows,
    }


def _spans(cell: Any, place: Sequence[int], sizes: Any) -> list[list[int]]:
    """From where to where a window goes along each axis: that of x, or that of h."""
    found = []
    begin = read_from(cell, sizes) if sizes else [0] * cell.rank
    for k, (p, wide) in enumerate(zip(place, cell.kernel_size, strict=True)):
        first, apart = p - (wide - 1) // 2, 1
        if sizes:
            first = begin[k] + p * cell.strides[k]
            apart = cell.dilation_rate[k]
        found.append([int(first), int(first + (wide - 1) * apart + 1)])
    return found


def _many(key: str) -> int:
    """How many channels of a state are kept."""
    return MOST_CHANNELS if key == "h" else 1


def _order(cell: Any, h: np.ndarray) -> list[int]:
    """Channels of h by falling variance."""
    clean = np.nan_to_num(h.astype("float64"), posinf=0.0, neginf=0.0)
    moved = np.moveaxis(clean.var((0, 1)), _channels(cell), -1)
    return [int(k) for k in np.argsort(-moved.reshape(-1, cell.filters).sum(0))]


def _flat(cell: Any, images: np.ndarray) -> np.ndarray:
    """Images (T, *S, channels) as (T, channels, rows, columns).

    A line of positions is one row. Of a block of more than two axes the first ones lie
    one below the other.
    """
    images = np.moveaxis(images, _channels(cell), 1)
    steps, many, *sizes = images.shape
    return images.reshape(steps, many, prod(sizes[:-1]), sizes[-1])


def _channel(images: np.ndarray, channel: int) -> dict[str, Any]:
    """One channel of images (T, channels, rows, columns), at most 32 positions wide."""
    one = images[:, channel]
    by = -(-max(one.shape[1:]) // MOST_SIDE)
    for axis in (1, 2) if by > 1 else ():
        size = one.shape[axis]
        begin = np.arange(0, size, by)
        many = np.diff([*begin, size]).reshape((-1, 1) if axis == 1 else (-1,))
        one = np.add.reduceat(one, begin, axis) / many
    return {
        "channel": int(channel),
        "of": int(images.shape[1]),
        "shape": [int(n) for n in images.shape[2:]],
        "means_over": int(by),
        "blob": encode(one, "u8d"),
    }


# --- the terms of one gate ---


def terms(
    cell: Any, reading: Any, found: Any, place: tuple[int, ...], unit: int, step: int
) -> list[tuple[list[Any], list[float]]]:
    """Of each gate of one channel at one position of the first example: what it adds.

    Args:
        cell: the cell.
        reading: whole images that it read.
        found: its trace, of whole images.
        place: the position.
        unit: the channel of h.
        step: t.

    Returns:
        For each gate its products, as (from, where, weight, value, product), and its
        biases. What lies beyond an edge is 0.
    """
    w = {key: value.astype("float64") for key, value in _weights(cell).items()}
    old = before(found.states["h"], found.initial[0], found.stepper.backwards)
    x, h = (_last(cell, a[0, step]) for a in (reading.x, old))
    first, around = (
        [low for low, _ in _spans(cell, place, sizes)] for sizes in (x.shape[:-1], None)
    )
    found_terms = []
    for k, (key, *_) in enumerate(GATES[kinds.convolved(cell) or ""]):
        column = k * cell.filters + unit
        late = key == "hh"
        source = h * _last(cell, found.gates["r"][0, step]) if late else h
        own = _products("x", x, w["kernel"][..., column], first, cell.dilation_rate)
        own += _products(
            "r*h" if late else "h",
            source,
            w["recurrent_kernel"][..., column],
            around,
            [1] * cell.rank,
        )
        biases = [float(w["bias"][column])] if "bias" in w else []
        found_terms.append((own, biases))
    return found_terms


def _last(cell: Any, image: np.ndarray) -> np.ndarray:
    """An image in float64, its channels last."""
    return np.moveaxis(image.astype("float64"), _channels(cell), -1)


def _products(
    label: str, image: np.ndarray, kernel: np.ndarray, first: Any, apart: Any
) -> list[Any]:
    """The products of one window: kernel (*W, channels) on an image (*S, channels)."""
    found = []
    for tap in np.ndindex(*kernel.shape):
        *inside, channel = tap
        where = [a + n * d for a, n, d in zip(first, inside, apart, strict=True)]
        spot = (*(int(n) for n in where), channel)
        in_it = all(0 <= n < size for n, size in zip(spot, image.shape, strict=True))
        weight, value = float(kernel[tap]), float(image[spot]) if in_it else 0.0
        found.append((label, list(spot), weight, value, weight * value))
    return found
