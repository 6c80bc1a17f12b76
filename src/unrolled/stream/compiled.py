"""A program in the compiled core; see native/program.h and native/bind.cc."""

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import foreign, native
from .fused import FusedStep
from .program import STATES, Program, Step
from .storage import STORAGES, Stored, store

_KINDS = (*foreign.KINDS, "dense", "pointwise", "affine", "normalize", "softmax")
_ACTIVATIONS = (*foreign.ACTIVATIONS, "ramp", "silu", "elu", "softplus", "gelu")
_Floats = ctypes.POINTER(ctypes.c_float)


class _Recipe(ctypes.Structure):
    """``StepRecipe`` of native/program.h."""

    _fields_ = [
        ("code", ctypes.POINTER(ctypes.c_int64)),
        ("numbers", ctypes.c_int64),
        ("arrays", ctypes.POINTER(_Floats)),
        ("sizes", ctypes.POINTER(ctypes.c_int64)),
        ("count", ctypes.c_int64),
    ]


class _Layer(ctypes.Structure):
    """``StepLayer`` of native/program.h."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("kind", "activation", "recurrent")),
        *((name, ctypes.c_float) for name in "abc"),
        *((name, ctypes.c_int64) for name in "DU"),
        *((f"array{n}", _Floats) for n in range(5)),
        ("recipe", ctypes.POINTER(_Recipe)),
    ]


class Compiled:
    """Steps `rows` rows through a program.

    Args:
        program: what to step.
        rows: B.
        storage: of the matrices' weights.
        convert: makes of anything the array ``step`` reads, or raises.

    Raises:
        MemoryError: if there is not enough of it.
        ValueError: if a cell's program is malformed.
    """

    def __init__(
        self,
        program: Program,
        rows: int,
        storage: str,
        convert: Callable[[Any], np.ndarray],
    ) -> None:
        program.check()
        self._states = [each for step in program.steps for each in step.states(rows)]
        self._core = core = native.library()[0]
        core.unrolled_stream_make.restype = ctypes.c_void_p
        packed = [_layer(step, storage) for step in program.steps]
        why = ctypes.c_char_p()
        self._handle = ctypes.c_void_p(
            core.unrolled_stream_make(
                (_Layer * len(packed))(*(layer for layer, _ in packed)),
                len(packed),
                ctypes.c_int64(rows),
                ctypes.c_int64(program.features),
                STORAGES.index(storage),
                ctypes.byref(why),
            )
        )
        if not self._handle and why.value:
            raise ValueError(why.value.decode())
        if not self._handle:
            raise MemoryError("not enough memory for a stream's weights and states")
        held = ctypes.PyDLL(core._name, handle=core._handle)
        bind = held.unrolled_stream_bind
        bind.restype = ctypes.py_object
        bind.argtypes = [ctypes.c_void_p, ctypes.py_object]
        dtype = np.dtype(np.int64 if program.takes_ids else np.float32)
        shape = (rows, program.units)
        # The function owns the stream: both go together.
        self.step: Callable[[Any], np.ndarray] = bind(
            self._handle,
            (np.empty, shape, dtype, "dtype", np.dtype(np.float32), convert),
        )

    def reset(self, rows: np.ndarray | None) -> None:
        """Begin afresh in the rows marked, bool ``(B,)``; None: in all."""
        marks = None if rows is None else np.ascontiguousarray(rows, np.uint8)
        self._core.unrolled_stream_reset(
            self._handle, None if marks is None else ctypes.c_void_p(marks.ctypes.data)
        )

    def read(self) -> list[np.ndarray]:
        """The states between two steps, the lowest cell's first, each ``(B, ...)``."""
        sizes = [math.prod(shape) for shape, _ in self._states]
        whole = np.empty(sum(sizes), np.float32)
        data = ctypes.c_void_p(whole.ctypes.data)
        self._core.unrolled_stream_read(self._handle, data)
        parts = np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []
        pairs = zip(parts, self._states, strict=True)
        return [part.reshape(shape).astype(dtype) for part, (shape, dtype) in pairs]

    def write(self, states: Sequence[np.ndarray]) -> None:
        """Set all states at once, in the order of `read`."""
        whole = np.concatenate([np.zeros(0), *map(np.ravel, states)], dtype=np.float32)
        assert whole.size == sum(math.prod(shape) for shape, _ in self._states)
        data = ctypes.c_void_p(whole.ctypes.data)
        self._core.unrolled_stream_write(self._handle, data)


def _layer(step: Step, storage: str) -> tuple[_Layer, list[Any]]:
    """The structure, and the arrays that it points to."""
    exact = step.kind not in STATES and step.kind != "dense"
    kernel, recurrent = (
        None if a is None else Stored(a) if exact else store(a, storage)
        for a in (step.kernel, step.recurrent)
    )
    numbers = [None if s is None else s.numbers for s in (kernel, recurrent)]
    scales = [None if s is None else s.scale for s in (kernel, recurrent)]
    arrays = [
        None if a is None else np.ascontiguousarray(a, np.float32)
        for a in (*numbers, step.bias, *scales)
    ]
    pointers = [None if a is None else a.ctypes.data_as(_Floats) for a in arrays]
    layer = _Layer(
        (*_KINDS, "embedding", "fused").index(step.kind),
        _ACTIVATIONS.index(step.activation),
        _ACTIVATIONS.index(step.recurrent_activation),
        *step.numbers,
        step.features,
        step.units,
        *pointers,
    )
    if step.kind == "fused":
        recipe, own = _recipe(step.cell)
        layer.recipe = ctypes.pointer(recipe)
        arrays += own
    return layer, arrays


def _recipe(step: FusedStep) -> tuple[_Recipe, list[Any]]:
    count = len(step.arrays)
    code = np.ascontiguousarray(step.code, np.int64)
    arrays = [
        None if a is None else np.ascontiguousarray(a, np.float32) for a in step.arrays
    ]
    pointers = [None if a is None else a.ctypes.data_as(_Floats) for a in arrays]
    sizes = [0 if a is None else a.size for a in arrays]
    recipe = _Recipe(
        code.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)),
        code.size,
        (_Floats * count)(*pointers),
        (ctypes.c_int64 * count)(*sizes),
        count,
    )
    return recipe, [code, *arrays]
