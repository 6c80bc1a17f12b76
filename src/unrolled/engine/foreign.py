"""The core in JAX: two functions, forward and backward, that map and shard by rows.

Arrays are float32; None stands for an optional one that is absent. What each means is
written in ``native/problem.h``.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from .._borrowed import (
    ArrayMapping,
    SdyShardingRule,
    custom_partitioning,
    custom_vmap,
    ffi,
)
from . import native

KINDS = ("simple_rnn", "lstm", "gru_after", "gru_before")
ACTIVATIONS = ("tanh", "sigmoid", "hard_sigmoid", "relu", "linear")
GATES = {"simple_rnn": 1, "lstm": 4, "gru_after": 3, "gru_before": 3}

Arrays = Sequence[Any]  # of one layer


class Spec(NamedTuple):
    """What is fixed while compiling. Hashable."""

    kind: str
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reverse: bool = False
    flip: bool = False  # sequences leave in processing order
    zero_masked: bool = False
    bf16: bool = False
    return_sequences: bool = True
    return_all_states: bool = False


class Layout(NamedTuple):
    """Where the batch axis of each array of a call lies; None: it has none."""

    target: str
    batch_in: tuple[int | None, ...]
    batch_out: tuple[int | None, ...]


# x, kernel, recurrent, bias, h0, c0, mask, resets, input_mask, recurrent_mask
_INPUTS = (0, None, None, None, 0, 0, 0, 0, 0, 0)
# -> y, y_last, hs, cs, h_last, c_last, saved (T, B, floats)
_FORWARD = Layout("unrolled_forward", _INPUTS, (0, 0, 0, 0, 0, 0, 1))
# ... h_seq, saved, dy, dy_last, dhs, dcs, dh_last, dc_last
# -> dx, dkernel, drecurrent, dbias, dh0, dc0
_BACKWARD = Layout(
    "unrolled_backward",
    (*_INPUTS, 0, 1, 0, 0, 0, 0, 0, 0),
    (0, None, None, None, 0, 0),
)


def forward(
    specs: Sequence[Spec], save: bool, arrays: Sequence[Arrays]
) -> list[list[Any]]:
    """Of each layer y, y_last, hs, cs, h_last, c_last, saved; None if not asked for."""
    shapes = [_results(*each, save) for each in zip(specs, arrays, strict=True)]
    return _call(_FORWARD, specs, [0] * len(specs), shapes, arrays)


def _results(spec: Spec, arrays: Arrays, save: bool) -> list[Any]:
    x, _, recurrent = arrays[:3]
    B, T, _ = x.shape
    U = recurrent.shape[0]
    lstm = spec.kind == "lstm"
    # The backward pass needs h of every step; y has it, unless y shows something else.
    own = save and not shows_states(spec, arrays)
    return [
        (B, T, U) if spec.return_sequences else None,
        None if spec.return_sequences else (B, U),
        (B, T, U) if own or spec.return_all_states else None,
        (B, T, U) if spec.return_all_states and lstm else None,
        (B, U),
        (B, U) if lstm else None,
        _saved_shape(spec, B, T, U) if save else None,
    ]


def shows_states(spec: Spec, arrays: Arrays) -> bool:
    """Whether the outputs are h after every step."""
    return spec.return_sequences and not (spec.zero_masked and arrays[6] is not None)


def backward(
    specs: Sequence[Spec], wanted: Sequence[Sequence[bool]], arrays: Sequence[Arrays]
) -> list[list[Any]]:
    """Of each layer dx, dkernel, drecurrent, dbias, dh0, dc0.

    `wanted` says which of dx, dh0, dc0; `arrays` are those of the forward pass, then
    h_seq, saved, and the cotangents of its results.
    """
    flags = [16 * shows_states(*each) for each in zip(specs, arrays, strict=True)]
    shapes = [_gradients(*each) for each in zip(specs, wanted, arrays, strict=True)]
    return _call(_BACKWARD, specs, flags, shapes, arrays)


def _gradients(spec: Spec, wanted: Sequence[bool], arrays: Arrays) -> list[Any]:
    x, kernel, recurrent, bias = arrays[:4]
    state = (x.shape[0], recurrent.shape[0])
    return [
        x.shape if wanted[0] else None,
        kernel.shape,
        recurrent.shape,
        None if bias is None else bias.shape,
        state if wanted[1] else None,
        state if wanted[2] and spec.kind == "lstm" else None,
    ]


def _saved_shape(spec: Spec, B: int, T: int, U: int) -> tuple[int, ...] | None:
    floats = native.library()[0].unrolled_saved(KINDS.index(spec.kind), U)
    return (T, B, floats) if floats else None


def _call(
    layout: Layout,
    specs: Sequence[Spec],
    flags: Sequence[int],
    shapes: Sequence[Sequence[Any]],
    arrays: Sequence[Arrays],
) -> list[list[Any]]:
    """One foreign call. Only arrays that are there go through the transformations."""
    missing = native.missing()
    if missing:
        raise RuntimeError(missing)
    given = [a for each in arrays for a in each]
    present = tuple(a is not None for a in given)
    asked = tuple(None if s is None else tuple(s) for each in shapes for s in each)
    call = _transformable(layout, tuple(specs), tuple(flags), present, asked)
    results = iter(call(*(a for a in given if a is not None)))
    return [[None if s is None else next(results) for s in each] for each in shapes]


@functools.lru_cache(maxsize=512)
def _transformable(
    layout: Layout, specs: tuple, flags: tuple, present: tuple, asked: tuple
) -> Callable[..., Any]:
    """The call of one signature, with its rules for vmap and for sharded arrays."""
    layers = [_attributes(*each) for each in zip(specs, flags, strict=True)]
    batch_out = layout.batch_out * len(specs)
    pairs = zip(layout.batch_in * len(specs), present, strict=True)
    axes_in = [axis for axis, there in pairs if there]
    axes_out = [a for a, s in zip(batch_out, asked, strict=True) if s is not None]

    def with_batch(shape: tuple, axis: int | None, size: int) -> tuple:
        return shape if axis is None else (*shape[:axis], size, *shape[axis + 1 :])

    def plain(*arrays: Any) -> list[Any]:
        given, size = iter(arrays), arrays[0].shape[0]
        if size == 0:  # no rows: nothing to do, and sums over them are zero
            shapes = zip(asked, batch_out, strict=True)
            each = [with_batch(s, a, 0) for s, a in shapes if s is not None]
            return [jnp.zeros(shape, jnp.float32) for shape in each]
        none = jnp.zeros((0,), jnp.float32)
        operands = [next(given) if there else none for there in present]
        results = [
            jax.ShapeDtypeStruct(
                (0,) if shape is None else with_batch(shape, axis, size), np.float32
            )
            for shape, axis in zip(asked, batch_out, strict=True)
        ]
        function = ffi.ffi_call(layout.target, results)
        out = function(*operands, layers=np.array(layers, np.int64).reshape(-1))
        return [o for o, shape in zip(out, asked, strict=True) if shape is not None]

    return by_rows(plain, axes_in, axes_out)


def by_rows(
    function: Callable[..., list[Any]],
    axes_in: Sequence[int | None],
    axes_out: Sequence[int | None],
) -> Callable[..., list[Any]]:
    """`function` of arrays, with rules for vmap and for arrays sharded by batch.

    Args:
        function: of any number of rows; the first array has its batch axis at 0.
        axes_in: the batch axis of each argument; None: it has none.
        axes_out: the same of each result; None: a sum over the batch.
    """
    sharded = partitioned(function, axes_in, axes_out)
    shared_out = all(axis is not None for axis in axes_out)

    @custom_vmap
    def call(*arrays: Any) -> list[Any]:
        return sharded(*arrays)

    @call.def_vmap
    def rule(size: int, mapped: Sequence[bool], *arrays: Any) -> tuple[Any, Any]:
        foldable = shared_out and not any(
            m and axis is None for m, axis in zip(mapped, axes_in, strict=True)
        )
        if not foldable:
            fixed = [a for a, m in zip(arrays, mapped, strict=True) if not m]

            def one(moving: Any) -> Any:
                rest, moving = iter(fixed), iter(moving)
                return call(*(next(moving) if m else next(rest) for m in mapped))

            moving = [a for a, m in zip(arrays, mapped, strict=True) if m]
            return jax.lax.map(one, moving), [True] * len(axes_out)
        folded = []
        for a, m, axis in zip(arrays, mapped, axes_in, strict=True):
            if axis is None:
                folded.append(a)
                continue
            a = a if m else jnp.broadcast_to(a, (size, *a.shape))
            a = jnp.moveaxis(a, 0, axis)
            folded.append(a.reshape(*a.shape[:axis], -1, *a.shape[axis + 2 :]))
        batch = arrays[0].shape[1 if mapped[0] else 0]
        out = []
        results: Any = zip(call(*folded), axes_out, strict=True)
        for a, axis in results:
            a = a.reshape(*a.shape[:axis], size, batch, *a.shape[axis + 1 :])
            out.append(jnp.moveaxis(a, axis, 0))
        return out, [True] * len(out)

    return call


def _attributes(spec: Spec, flags: int) -> list[int]:
    flags += spec.reverse + 2 * spec.flip + 4 * spec.zero_masked + 8 * spec.bf16
    activations = (spec.activation, spec.recurrent_activation)
    return [KINDS.index(spec.kind), *map(ACTIVATIONS.index, activations), flags]


# --- arrays sharded by batch: each device takes its own rows, nothing is gathered ---


def partitioned(
    function: Callable[..., Any], axes_in: Sequence[Any], axes_out: Sequence[Any]
) -> Callable[..., Any]:
    """`function` of arrays, to be split along its batch axis.

    Args:
        function: takes and returns arrays; the first has its batch axis at 0.
        axes_in: the batch axis of each argument; None: replicated.
        axes_out: the same of each result; None: a sum over the batch, added up
            across devices.
    """
    call = custom_partitioning(function)

    def mesh_axis(arguments: Any) -> Any:
        spec = getattr(arguments[0].sharding, "spec", None)
        return spec[0] if spec else None

    def spec_of(axis: Any, mesh_axes: Any) -> PartitionSpec:
        return (
            PartitionSpec()
            if axis is None
            else PartitionSpec(*[None] * axis, mesh_axes)
        )

    def infer(mesh: Any, arguments: Any, results: Any) -> Any:
        del results
        name = mesh_axis(arguments)
        return [NamedSharding(mesh, spec_of(axis, name)) for axis in axes_out]

    def partition(mesh: Any, arguments: Any, results: Any) -> Any:
        del results
        name = mesh_axis(arguments)

        def lower(*arrays: Any) -> Any:
            out = function(*arrays)
            return [
                jax.lax.psum(a, name) if axis is None and name is not None else a
                for a, axis in zip(out, axes_out, strict=True)
            ]

        sharded_in = tuple(NamedSharding(mesh, spec_of(a, name)) for a in axes_in)
        sharded_out = [NamedSharding(mesh, spec_of(a, name)) for a in axes_out]
        return mesh, lower, sharded_out, sharded_in

    def rule(mesh: Any, arguments: Any, results: Any) -> Any:
        del mesh
        count = iter(range(10000))

        def mapping(value: Any, axis: Any) -> Any:
            names = [
                "b" if i == axis else f"f{next(count)}" for i in range(len(value.shape))
            ]
            return ArrayMapping(*names)

        return SdyShardingRule(
            tuple(mapping(v, a) for v, a in zip(arguments, axes_in, strict=True)),
            tuple(mapping(v, a) for v, a in zip(results, axes_out, strict=True)),
        )

    call.def_partition(
        partition=partition, infer_sharding_from_operands=infer, sharding_rule=rule
    )
    return call
