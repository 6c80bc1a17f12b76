"""A traced function evaluated in NumPy, and a loop over time with its gradient.

The reference that fused loops are held to: equation by equation, in float64, with the
derivative rules that JAX has for a step and nothing of the engine's.
"""

from __future__ import annotations

import functools

import jax
import ml_dtypes
import numpy as np
from jax import numpy as jnp

from .functions import ELEMENTWISE

NUMPY = dict(ELEMENTWISE.values())
_INNER = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "remat": "jaxpr",
}


def _dot(x, y, *, dimension_numbers, **_):
    (of_x, of_y), (along_x, along_y) = dimension_numbers
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left = [next(letters) for _ in range(x.ndim)]
    right = [next(letters) for _ in range(y.ndim)]
    for a, b in zip((*of_x, *along_x), (*of_y, *along_y), strict=True):
        right[b] = left[a]
    free_x = [c for i, c in enumerate(left) if i not in (*of_x, *along_x)]
    free_y = [c for i, c in enumerate(right) if i not in (*of_y, *along_y)]
    out = [left[i] for i in along_x] + free_x + free_y
    return np.einsum(f"{''.join(left)},{''.join(right)}->{''.join(out)}", x, y)


def _broadcast(x, *, shape, broadcast_dimensions, **_):
    wide = [1] * len(shape)
    for axis, to in enumerate(broadcast_dimensions):
        wide[to] = x.shape[axis]
    return np.broadcast_to(x.reshape(wide), shape)


def _slice(x, *, start_indices, limit_indices, strides):
    steps = strides or (1,) * x.ndim
    cut = zip(start_indices, limit_indices, steps, strict=True)
    return x[tuple(slice(*each) for each in cut)]


def _pad(x, value, *, padding_config):
    shape, inside, kept = [], [], []
    for n, (low, high, between) in zip(x.shape, padding_config, strict=True):
        step, end = between + 1, n + max(n - 1, 0) * between
        shape.append(max(low, 0) + end + max(high, 0))
        inside.append(slice(max(low, 0), max(low, 0) + end, step))
        kept.append(slice(max(-low, 0), shape[-1] - max(-high, 0)))
    out = np.full(shape, value, x.dtype)
    out[tuple(inside)] = x
    return out[tuple(kept)]


def _convert(x, *, new_dtype, **_):
    if new_dtype == jnp.bfloat16:
        return x.astype("float32").astype(ml_dtypes.bfloat16).astype("float64")
    floating = jnp.issubdtype(new_dtype, jnp.floating)
    return x.astype("float64" if floating else new_dtype)


def _round(x, *, rounding_method):
    name = {0: "round_half_away", 1: "round_half_even"}[int(rounding_method)]
    return NUMPY[name](x)


def _select(which, *cases):
    assert which.dtype == bool
    return np.where(which, cases[1], cases[0])


def _split(x, *, sizes, axis):
    return np.split(x, np.cumsum(sizes)[:-1], axis)


def _iota(*, dtype, shape, dimension, **_):
    along = wide(np.arange(shape[dimension]).astype(dtype))
    form = [1] * len(shape)
    form[dimension] = -1
    return np.broadcast_to(along.reshape(form), shape)


def _over(reduce):
    return lambda x, *, axes, **_: reduce(x, axis=tuple(axes))


OTHERS = {
    "add_any": np.add,
    "and": np.logical_and,
    "not": np.logical_not,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "square": np.square,
    "integer_pow": lambda x, *, y: x**y,
    "select_n": _select,
    "dot_general": _dot,
    "broadcast_in_dim": _broadcast,
    "reshape": lambda x, *, new_sizes, **_: x.reshape(new_sizes),
    "squeeze": lambda x, *, dimensions: np.squeeze(x, tuple(dimensions)),
    "expand_dims": lambda x, *, dimensions: np.expand_dims(x, tuple(dimensions)),
    "transpose": lambda x, *, permutation: np.transpose(x, permutation),
    "slice": _slice,
    "split": _split,
    "concatenate": lambda *xs, dimension: np.concatenate(xs, dimension),
    "pad": _pad,
    "rev": lambda x, *, dimensions: np.flip(x, dimensions),
    "convert_element_type": _convert,
    "round": _round,
    "iota": _iota,
    "reduce_sum": _over(np.sum),
    "reduce_max": _over(np.max),
    "reduce_min": _over(np.min),
    "reduce_and": _over(np.all),
    "reduce_or": _over(np.any),
    "tile": lambda x, *, reps: np.tile(x, reps),
    "stack": lambda *xs, axis: np.stack(xs, axis),
    "unstack": lambda x, *, axis: list(np.moveaxis(x, axis, 0)),
    "stop_gradient": lambda x: x,
    "copy": lambda x: x,
    "copy_p": lambda x: x,
    "optimization_barrier": lambda *xs: list(xs),
}
# What these have for parameters changes no number.
_PLAIN = frozenset(NUMPY) - frozenset(OTHERS)


def apply(equation, inputs):
    """The results of one equation."""
    name, params = equation.primitive.name, equation.params
    inputs = [wide(a) for a in inputs]
    if name in _INNER:
        inner = params[_INNER[name]]
        consts = [wide(c) for c in getattr(inner, "consts", ())]
        return evaluate(getattr(inner, "jaxpr", inner), consts, inputs)
    if name in OTHERS:
        found = OTHERS[name](*inputs, **params)
    else:
        assert name in _PLAIN, f"{name} is not known here"
        found = NUMPY[name](*inputs)
    return found if equation.primitive.multiple_results else [found]


def evaluate(jaxpr, constants, given):
    """The results of a jaxpr, in NumPy."""
    variables = (*jaxpr.constvars, *jaxpr.invars)
    known = dict(zip(variables, (*constants, *given), strict=True))

    def value(atom):
        return known[atom] if not hasattr(atom, "val") else wide(atom.val)

    for each in jaxpr.eqns:
        found = apply(each, [value(v) for v in each.invars])
        known |= zip(each.outvars, found, strict=True)
    return [np.asarray(value(v)) for v in jaxpr.outvars]


def wide(array):
    """Floating point in float64."""
    array = np.asarray(array)
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    return array.astype("float64") if floating else array


class Reference:
    """A step along time and all its gradients, in float64.

    Args:
        step: ``(x, states, moved) -> (output, states)``, trees of float arrays.
        x: ``(B, T, ...)``.
        states: list of ``(B, ...)``.
        moved: what else has gradients; a tree.
    """

    def __init__(self, step, x, states, moved):
        shapes = jax.tree.map(_shape, (x[:, 0], states, moved))
        y, after = jax.eval_shape(step, *shapes)

        def joint(given, cotangents):
            out, pull = jax.vjp(step, *given)
            return out, pull(cotangents)

        traced = jax.make_jaxpr(joint)(shapes, (y, after))
        self._joint = functools.partial(
            evaluate, traced.jaxpr, [wide(c) for c in traced.consts]
        )
        self._step = jax.tree.structure((y, after))
        self._given = jax.tree.structure(shapes)
        self.x, self.states = wide(x), [wide(s) for s in states]
        self.moved = jax.tree.map(wide, moved)
        self.y_shape, self.state_shapes = y.shape, [s.shape for s in after]

    def _call(self, given, cotangents):
        leaves = jax.tree.leaves((given, cotangents))
        with np.errstate(all="ignore"):
            found = self._joint(leaves)
        n = self._step.num_leaves
        return self._step.unflatten(found[:n]), self._given.unflatten(found[n:])

    def run(self, dy, dlast, reverse=False):
        """Outputs ``(B, T, ...)``, last states, and gradients of x, states, moved.

        Args:
            dy: of the outputs.
            dlast: of the last states.
            reverse: process the last step first.
        """
        steps = range(self.x.shape[1])
        order = list(reversed(steps)) if reverse else list(steps)
        none = (np.zeros(self.y_shape), [np.zeros(s) for s in self.state_shapes])
        before, states, ys = {}, self.states, {}
        for t in order:
            before[t] = states
            (ys[t], states), _ = self._call((self.x[:, t], states, self.moved), none)
        last, dstates, dxs = states, [wide(d) for d in dlast], {}
        dmoved = jax.tree.map(np.zeros_like, self.moved)
        for t in reversed(order):
            given = (self.x[:, t], before[t], self.moved)
            _, (dxs[t], dstates, more) = self._call(given, (wide(dy[:, t]), dstates))
            dmoved = jax.tree.map(np.add, dmoved, more)
        y, dx = (np.stack([each[t] for t in steps], 1) for each in (ys, dxs))
        return y, last, (dx, dstates, dmoved)


def _shape(array):
    return jax.ShapeDtypeStruct(np.shape(array), "float32")
