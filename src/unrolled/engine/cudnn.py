"""LSTM on cuDNN: which layers and calls, and how they behave under JAX's transforms.

One call gives the values, another the gradients. Everything else, and every other
device, has the time loop.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from .._borrowed import custom_vmap, has_cudnn_lstm, varying_alike
from . import derivatives, packed
from .foreign import Spec, partitioned

PLATFORM = "cuda"  # as JAX calls it while it compiles
# cuDNN refuses longer sequences: https://github.com/pytorch/pytorch/issues/133751
STEPS = 65_535
# With these JAX's own products of float32 are in TF32, where the GPU has it.
_TF32 = (
    *(None, "default", "fastest", "bfloat16", "high", "tensorfloat32", "bfloat16_3x"),
    "TF32_TF32_F32",
)

Scan = Callable[[Spec, tuple[Any, ...]], tuple[Any, ...]]


# --- which layers, and which calls of them ---


def why_not(cell: Any, kind: str, return_all_states: bool) -> str:
    """Why a layer cannot run on cuDNN here, or an empty string."""
    device = jax.devices()[0]
    if PLATFORM not in device.client.platform_version:
        return (
            "the native kernels run on the CPU, cuDNN on NVIDIA's GPUs, and JAX runs "
            f"on {device.platform}"
        )
    if not has_cudnn_lstm():
        return "JAX's plugin for CUDA has no cuDNN, or is of another version"
    if kind != "lstm":
        return f"of the layers on a GPU cuDNN runs LSTM alone, not {kind}"
    has = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    for role, name in has.items():
        function = getattr(cell, role)
        if function is not getattr(keras.activations, name):
            other = getattr(function, "__name__", type(function).__name__)
            return f"cuDNN's LSTM has {name} for {role}, and this one {other}"
    if cell.compute_dtype != "float32":
        return (
            f"cuDNN's LSTM is called in float32, and this one is {cell.compute_dtype}"
        )
    if return_all_states:
        return "cuDNN's LSTM does not give the states after each step"
    return ""


def refuses(rows: Any, steps: Any, resets: bool, recurrent_dropout: bool) -> str:
    """Why a call of such a layer runs in the time loop, or an empty string.

    Args:
        rows: B; it may be symbolic, as `steps` may.
        steps: T.
        resets: whether some are given.
        recurrent_dropout: whether there is a mask of it.
    """
    if resets:
        return "cuDNN knows no resets"
    if recurrent_dropout:
        return "cuDNN's LSTM has no recurrent dropout"
    if not (isinstance(rows, int) and isinstance(steps, int)):
        return "cuDNN is called for sizes that are known"
    if steps > STEPS:
        return f"cuDNN takes at most {STEPS:,} time steps, and these are {steps:,}"
    return "" if rows else "there are no rows"


def tf32() -> bool:
    """Whether JAX's own products would now be in TF32, where the GPU has it."""
    config: Any = jax.config
    return config.jax_default_matmul_precision in _TF32


# --- the call ---


def call(
    specs: Sequence[Spec],
    arrays: Sequence[Sequence[Any]],
    same: bool,
    tf32: bool,
    scan: Scan,
) -> list[Any]:
    """Of each layer y, y_last, hs, cs, h, c, as the native forward pass gives them.

    Args:
        specs: of each layer.
        arrays: of each layer, as in ``native/problem.h``.
        same: whether layers read the same inputs under the same mask.
        tf32: whether products may be in TF32.
        scan: one layer by the time loop.
    """
    if any(own[7] is not None or own[9] is not None for own in arrays):
        raise ValueError(
            "cuDNN takes neither resets nor masks of the recurrent dropout"
        )
    sizes = {tuple(a.shape for a in own[1:3]) for own in arrays}
    dropout = any(own[8] is not None for own in arrays)
    both = len(specs) == 2 and specs[0].reverse != specs[1].reverse
    if not (same and both and len(sizes) == 1 and not dropout):
        return [
            a
            for spec, own in zip(specs, arrays, strict=True)
            for a in _call((spec,), (own,), tf32, scan)
        ]
    turn = -1 if specs[0].reverse else 1  # cuDNN has the forward direction first
    results = _call(specs[::turn], arrays[::turn], tf32, scan)
    return [*results[6:], *results[:6]] if turn < 0 else [*results]


def _call(
    specs: Sequence[Spec], arrays: Sequence[Sequence[Any]], tf32: bool, scan: Scan
) -> tuple[Any, ...]:
    x, *_, mask, _, input_mask, _ = arrays[0]
    if input_mask is not None:
        x = x * jnp.broadcast_to(input_mask[:, None], x.shape)
    own = (a for each in arrays for a in each[1:6])
    return derivatives.call(_Layers(tuple(specs), tf32, scan), (x, mask, *own))


class _Layers(NamedTuple):
    """What `derivatives.call` asks for, of one layer or of both directions.

    Arrays: x and mask; then of each layer kernel, recurrent_kernel, bias, h, c.
    """

    specs: tuple[Spec, ...]
    tf32: bool
    by_loop: Scan

    def plain(self, x: Any, mask: Any, *own: Any) -> tuple[Any, ...]:
        """Of each layer y, y_last, hs, cs, h, c, by the time loop."""
        none = (None, None, None)
        each = zip(self.specs, packed.each(own), strict=True)
        return tuple(
            a
            for spec, arrays in each
            for a in self.by_loop(spec, (x, *arrays, mask, *none))
        )

    def forward(self, args: tuple[Any, ...], save: bool) -> tuple[Any, Any]:
        """The same by cuDNN; and what its backward pass reads."""
        return _forward(self, save, args)

    def backward(
        self, wanted: Sequence[bool], args: tuple[Any, ...], saved: Any, cotangents: Any
    ) -> tuple[Any, ...]:
        """Gradients in the order of the arguments."""
        found = _backward(self, args, saved, cotangents)
        pairs = zip(found, wanted, strict=True)
        return tuple(gradient if want else None for gradient, want in pairs)


def _have_rows(args: Sequence[Any]) -> list[bool]:
    """Of x, mask, and each layer's arrays whether their first axis is the batch."""
    return [True, True] + [False, False, False, True, True] * (len(args) // 5)


def _forward(layers: _Layers, save: bool, args: tuple[Any, ...]) -> tuple[Any, Any]:
    # What cuDNN keeps has no axis of rows; where arrays may be sharded by them, the
    # backward pass makes it again.
    keep = save and jax.device_count() == 1

    def on_cudnn(*args: Any) -> tuple[Any, Any]:
        results, kept = packed.run(*layers[:2], args)
        return results, kept if keep else None

    shapes = jax.eval_shape(on_cudnn, *args)

    def by_loop(*args: Any) -> tuple[Any, Any]:
        kept = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[1])
        return layers.plain(*args), kept

    rows = [n == 0 for n, part in enumerate(shapes) for _ in jax.tree.leaves(part)]
    given = [*zip(args, _have_rows(args), strict=True)]
    return _either(on_cudnn, by_loop, given, shapes, rows)


def _backward(
    layers: _Layers, args: tuple[Any, ...], saved: Any, cotangents: Any
) -> tuple[Any, ...]:
    count, kept = len(args), len(args) + len(cotangents)
    kept_leaves, kept_tree = jax.tree.flatten(saved)

    def on_cudnn(*given: Any) -> tuple[Any, ...]:
        args, results, saved = given[:count], given[count:kept], given[kept:]
        saved = (
            kept_tree.unflatten(saved) if saved else packed.run(*layers[:2], args)[1]
        )
        return packed.run_back(*layers[:2], args, saved, results)

    def by_loop(*given: Any) -> tuple[Any, ...]:
        x, mask, *own = given[:count]
        results, pull = jax.vjp(lambda x, own: layers.plain(x, mask, *own), x, own)
        dx, own = pull(derivatives.whole(results, given[count:kept]))
        return (dx, None, *own)

    rows = _have_rows(args)
    given = [*zip(args, rows, strict=True)]
    given += [(a, True) for a in cotangents] + [(a, False) for a in kept_leaves]
    shapes = jax.eval_shape(on_cudnn, *(a for a, _ in given))
    found = zip(shapes, rows, strict=True)
    out = [row for shape, row in found if shape is not None]
    return _either(on_cudnn, by_loop, given, shapes, out)


def _either(
    on_cudnn: Callable[..., Any],
    by_loop: Callable[..., Any],
    given: Sequence[tuple[Any, bool]],
    results: Any,
    rows_out: Sequence[bool],
) -> Any:
    """One of two functions that mean the same, as it turns out while compiling.

    Compiled for another device than a GPU, it is the loop. Mapped, rows become more
    rows for cuDNN; where weights or what it keeps would be mapped, it is the loop too,
    whose products then are over batches. Sharded by rows, each device takes its own.

    Args:
        on_cudnn: of arrays, some of them None.
        by_loop: the same.
        given: the arrays, and whether the first axis of each is the batch.
        results: shapes of what they return.
        rows_out: of each of these, None apart, whether its first axis is the batch.
    """
    present = [(array, rows) for array, rows in given if array is not None]
    rows_in = [rows for _, rows in present]

    def flat(function: Callable[..., Any]) -> Callable[..., Any]:
        def of(*arrays: Any) -> list[Any]:
            some = iter(arrays)
            out = function(*(None if a is None else next(some) for a, _ in given))
            return varying_alike((arrays, jax.tree.leaves(out)))[1]

        return of

    loop, calls = flat(by_loop), flat(on_cudnn)
    if jax.device_count() > 1:
        axes = ([0 if rows else None for rows in each] for each in (rows_in, rows_out))
        calls = partitioned(calls, *axes)

    @custom_vmap
    def function(*arrays: Any) -> list[Any]:
        options = {"default": loop, PLATFORM: calls}
        return jax.lax.platform_dependent(*arrays, **options)

    @function.def_vmap
    def rule(size: int, mapped: Sequence[bool], *arrays: Any) -> tuple[Any, Any]:
        pairs = [*zip(arrays, mapped, strict=True)]
        shared = any(m and not rows for m, rows in zip(mapped, rows_in, strict=True))
        if shared or not all(rows_out):
            axes = tuple(0 if m else None for m in mapped)
            found = jax.vmap(loop, axes)(*arrays)
        else:
            wide = [
                a if m or not rows else jnp.broadcast_to(a, (size, *a.shape))
                for (a, m), rows in zip(pairs, rows_in, strict=True)
            ]
            folded = [
                a.reshape(-1, *a.shape[2:]) if rows else a
                for a, rows in zip(wide, rows_in, strict=True)
            ]
            found = [a.reshape(size, -1, *a.shape[1:]) for a in function(*folded)]
        return found, [True] * len(found)

    found = function(*(array for array, _ in present))
    return jax.tree.structure(results).unflatten(found)
