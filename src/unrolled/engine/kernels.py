"""Which layers run on the native core, and how they behave under JAX's transforms.

`plan` answers with a `Fused` function or with one sentence that says why not.
"""

import functools
import warnings
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from ..cells import GRUCell, LSTMCell, SimpleRNNCell
from . import cudnn, derivatives, foreign, forms, loop, native
from .foreign import Spec

_ACTIVATIONS = {getattr(keras.activations, name): name for name in foreign.ACTIVATIONS}


class Weights(NamedTuple):
    """A cell's weights as arrays, shaped as in Keras; bias may be None."""

    kernel: Any  # (D, G*U)
    recurrent_kernel: Any  # (U, G*U)
    bias: Any  # (G*U,), or (2, 3*U) for a GRU with reset_after


class Fused(NamedTuple):
    """A whole layer in one foreign call, and its whole gradient in another.

    Pure, and differentiable in every way; jit, vmap, remat and arrays sharded by batch
    work. Forward mode and second derivatives go through a scan.
    """

    spec: Spec
    tf32: bool | None = None  # on cuDNN: whether products may be; None: on the core

    def __call__(
        self,
        x: jax.Array,
        states: Sequence[jax.Array],
        weights: Weights,
        *,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        constants: Mapping[str, jax.Array] | None = None,
    ) -> loop.Result:
        """Run the layer.

        Args:
            x: ``(B, T, D)``.
            states: ``[h]`` or ``[h, c]``, each ``(B, U)``.
            weights: the cell's; see `weights_of`.
            mask: bool ``(B, T)``; see `loop.unroll`.
            resets: bool ``(B, T)``.
            constants: may hold ``input_mask (B, D)`` and ``recurrent_mask (B, U)``.
                No gradient flows into them.

        Returns:
            What `loop.unroll` returns, in float32.
        """
        given = (x, states, weights, mask, resets, constants)
        return together([(self, given)])[0]

    def refuses(
        self, rows: Any, steps: Any, resets: bool, recurrent_dropout: bool
    ) -> str:
        """Why such a call runs in the time loop, or an empty string; see `cudnn`."""
        if self.tf32 is None:
            return ""
        return cudnn.refuses(rows, steps, resets, recurrent_dropout)

    def __str__(self) -> str:
        if self.tf32 is not None:
            products = " (products in TF32 where the GPU has it)" if self.tf32 else ""
            return f"cuDNN's LSTM, in float32{products}; with resets, the scan."
        dtype = "bfloat16 products, float32 states" if self.spec.bf16 else "float32"
        return f"the native {self.spec.kind} kernel ({native.variant()}), in {dtype}."

    def _result(self, out: Sequence[Any]) -> loop.Result:
        y, y_last, hs, cs, h, c = out
        spec = self.spec
        states = [h] if c is None else [h, c]
        sequences = None
        if spec.return_all_states:
            sequences = [hs] if cs is None else [hs, cs]
        return loop.Result(y_last, y, states, sequences, ())


def together(layers: Sequence[tuple[Fused, Sequence[Any]]]) -> list[loop.Result]:
    """Run layers that do not wait for each other in one call, at once if it can be.

    Args:
        layers: of each the function, and the arguments `Fused` takes, in that order.
    """
    specs = tuple(fused.spec for fused, _ in layers)
    flat = [_flat(*given) for _, given in layers]
    tf32 = layers[0][0].tf32
    if tf32 is None:
        out = derivatives.call(_Layers(specs), tuple(a for own in flat for a in own))
    else:
        first = layers[0][1]
        same = all(g[0] is first[0] and g[3] is first[3] for _, g in layers)
        out = cudnn.call(specs, flat, same, tf32, _scan)
    each = zip(layers, _split(out, len(layers)), strict=True)
    return [fused._result(found) for (fused, _), found in each]


class _Layers(NamedTuple):
    """What `derivatives.call` asks for; arrays of one layer after those of another.

    Each layer's are as in ``native/problem.h``.
    """

    specs: tuple[Spec, ...]

    def plain(self, *args: Any) -> tuple[Any, ...]:
        """y, y_last, hs, cs, h, c, by the time loop."""
        each = zip(self.specs, self._each(args), strict=True)
        return tuple(a for spec, own in each for a in _scan(spec, own))

    def forward(self, args: tuple[Any, ...], save: bool) -> tuple[Any, Any]:
        """The same natively; and h of every step, and the gates."""
        results, saved = [], []
        found = foreign.forward(self.specs, save, self._each(args))
        for spec, (y, y_last, hs, cs, h, c, gates) in zip(
            self.specs, found, strict=True
        ):
            shown = (hs, cs) if spec.return_all_states else (None, None)
            results += [y, y_last, *shown, h, c]
            saved += [y if hs is None else hs, gates]
        return tuple(results), saved

    def backward(
        self, wanted: Sequence[bool], args: tuple[Any, ...], saved: Any, cotangents: Any
    ) -> tuple[Any, ...]:
        """Gradients in the order of the arguments."""
        parts = map(self._each, (args, saved, cotangents))
        arrays = [[*a, *s, *c] for a, s, c in zip(*parts, strict=True)]
        of_layers = [[own[i] for i in (0, 4, 5)] for own in self._each(wanted)]
        found = foreign.backward(self.specs, of_layers, arrays)
        gradients = [g for own in found for g in (*own, *4 * [None])]
        pairs = zip(gradients, wanted, strict=True)
        return tuple(gradient if want else None for gradient, want in pairs)

    def _each(self, arrays: Sequence[Any]) -> list[tuple[Any, ...]]:
        return _split(arrays, len(self.specs))


def _split(arrays: Sequence[Any], count: int) -> list[tuple[Any, ...]]:
    each = len(arrays) // count
    return [tuple(arrays[i * each : (i + 1) * each]) for i in range(count)]


def agrees(fused: Fused) -> bool:
    """Whether a small layer gives what the time loop gives."""
    units, gates = 5, foreign.GATES[fused.spec.kind]
    numbers = iter(jnp.sin(jnp.arange(1.0, 6.0) + k) for k in range(100))
    draw = lambda *shape: jnp.resize(next(numbers), shape)  # noqa: E731
    weights = Weights(draw(3, gates * units), draw(units, gates * units), None)
    mask = jnp.array([[True, True, True, False], [False, True, False, True]])
    given = (draw(2, 4, 3), [draw(2, units), draw(2, units)], weights, mask)
    got = together([(fused, given)])[0]
    want = fused._result(_scan(fused.spec, _flat(*given)))
    far = jnp.abs(got.last - want.last).max()
    return bool(far < (1e-2 if fused.tf32 else 1e-5))


def weights_of(cell: Any) -> Weights:
    """The present weights of a cell, with the bias that its step adds."""
    return Weights(cell.kernel.value, cell.recurrent_kernel.value, cell.step_bias)


def plan(
    cell: Any,
    *,
    return_sequences: bool = False,
    return_all_states: bool = False,
    reverse: bool = False,
    zero_masked: bool = False,
) -> Fused | str:
    """The fused function for a cell, or one sentence saying why there is none.

    Args:
        cell: any cell; the exact classes SimpleRNNCell, LSTMCell, GRUCell are fused.
        return_sequences: the outputs of all steps are wanted.
        return_all_states: the states after each step are wanted.
        reverse: process the last step first; sequences leave in processing order.
        zero_masked: emit zeros on masked steps.
    """
    if forms.refused():
        return f"{forms.refused()}."
    kind = _kind(cell)
    if kind is None:
        return f"{type(cell).__name__} has no fused kernel."
    if cell.variant:
        return f"{type(cell).__name__} with {cell.variant} has no fused kernel."
    on_gpu = jax.default_backend() != "cpu"
    if on_gpu and (why := cudnn.why_not(cell, kind, return_all_states)):
        return f"{why}."
    names = []
    for role in ("activation", "recurrent_activation"):
        function = getattr(cell, role, keras.activations.sigmoid)
        if function not in _ACTIVATIONS:
            name = getattr(function, "__name__", type(function).__name__)
            known = ", ".join(foreign.ACTIVATIONS)
            return f"the {role} {name} is not among those fused ({known})."
        names.append(_ACTIVATIONS[function])
    dtype = cell.compute_dtype
    if dtype not in ("float32", "bfloat16"):
        return f"{dtype} has no fused kernel; float32 and bfloat16 have."
    missing = "" if on_gpu else native.missing()
    if missing:
        _warn_once(missing)
        return f"{missing}."
    return Fused(
        Spec(
            kind,
            *names,
            reverse=reverse,
            flip=True,
            zero_masked=zero_masked,
            bf16=dtype == "bfloat16",
            return_sequences=return_sequences,
            return_all_states=return_all_states,
        ),
        cudnn.tf32() if on_gpu else None,
    )


_CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "simple_rnn": (SimpleRNNCell, {}),
    "lstm": (LSTMCell, {}),
    "gru_after": (GRUCell, {"reset_after": True}),
    "gru_before": (GRUCell, {"reset_after": False}),
}


def _kind(cell: Any) -> str | None:
    for kind, (made, options) in _CELLS.items():
        if type(cell) is made and options.items() <= vars(cell).items():
            return kind
    return None


@functools.cache
def _warn_once(missing: str) -> None:
    warnings.warn(f"unrolled runs its slower scan path: {missing}.", stacklevel=3)


# --- arrays ---


def _flat(
    x: Any,
    states: Any,
    weights: Weights,
    mask: Any = None,
    resets: Any = None,
    constants: Any = None,
) -> tuple[Any, ...]:
    """The arguments as in ``native/problem.h``; None where absent."""
    constants = constants or {}
    h, c = (*states, None)[:2]
    masks = (constants.get("input_mask"), constants.get("recurrent_mask"))
    if x.shape[-1] == 0:  # the core takes an empty array for none: one feature of zeros
        none = jnp.zeros((1, weights.kernel.shape[1]), jnp.float32)
        x, weights = jnp.zeros((*x.shape[:-1], 1)), weights._replace(kernel=none)
        masks = (None, masks[1])
    floats = (x, *weights, h, c, *jax.lax.stop_gradient(masks))
    floats = [None if a is None else jnp.asarray(a, jnp.float32) for a in floats]
    flags = [None if a is None else jnp.asarray(a, bool) for a in (mask, resets)]
    return (*floats[:6], *flags, *floats[6:])


# --- the same in plain JAX ---


def _scan(spec: Spec, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """y, y_last, hs, cs, h, c as the native forward pass gives them."""
    x, kernel, recurrent, bias, h, c, mask, resets, input_mask, recurrent_mask = args
    masks = {"input_mask": input_mask, "recurrent_mask": recurrent_mask}
    constants = {name: each for name, each in masks.items() if each is not None}
    cell = _cell(spec, Weights(kernel, recurrent, bias))
    fresh = cell.get_initial_state(x.shape[0])
    states = [f if s is None else s for s, f in zip((h, c), fresh, strict=False)]

    # Whole steps: products of all steps at once would gather a batch that is sharded.
    def step(x: Any, states: Any, none: Any) -> tuple[Any, Any, Any]:
        return *cell.step(cell.project_inputs(x, constants), states, constants), none

    result = loop.unroll(
        step,
        x,
        states,
        mask=mask,
        resets=resets,
        fresh=fresh,
        reverse=spec.reverse,
        zero_masked=spec.zero_masked,
        keep_outputs=spec.return_sequences,
        keep_states=spec.return_all_states,
    )
    outputs, all_states = result.outputs, result.all_states
    if spec.reverse and not spec.flip:
        outputs, all_states = jax.tree.map(
            lambda a: jnp.flip(a, 1), (outputs, all_states)
        )
    hs, cs = (*(all_states or ()), None, None)[:2]
    h, c = (*result.states, None)[:2]
    return outputs, result.last, hs, cs, h, c


def _cell(spec: Spec, weights: Weights) -> Any:
    """A cell of this kind that reads these arrays; it has no weights of its own."""
    made, options = _CELLS[spec.kind]
    units = weights.recurrent_kernel.shape[0]
    dtype = "mixed_bfloat16" if spec.bf16 else "float32"
    cell = made(units, **options, dtype=dtype, seed=0, name="plain")
    cell.activation = getattr(keras.activations, spec.activation)
    cell.recurrent_activation = getattr(keras.activations, spec.recurrent_activation)
    for name, array in weights._asdict().items():
        setattr(cell, name, None if array is None else SimpleNamespace(value=array))
    return cell
