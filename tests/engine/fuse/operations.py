"""What a drawn cell may do with numbers, by name.

Each keeps what is about 3 at most about 3 at most, and stays where its derivative is
finite. Where a name says what is compared or chosen, `x` and `y` have gradients. What
jumps does so nowhere near 0, 1 and other numbers that rounding makes of some results.
"""

from __future__ import annotations

import jax
import numpy as np
from jax import nn
from jax import numpy as jnp
from jax.scipy import special


def _safe(x):
    return 0.8 * jnp.tanh(x)


def _log_add(x, y):
    return 0.7 * jnp.logaddexp(x, y)


@jax.custom_vjp
def _spike(x):
    return (x > 0.43).astype(x.dtype)


_spike.defvjp(lambda x: (_spike(x), x), lambda x, ct: (ct / (1 + jnp.abs(x)) ** 2,))


@jax.custom_jvp
def _steep(x):
    return jnp.tanh(x)


@_steep.defjvp
def _steep_jvp(given, tangents):
    (x,), (dx,) = given, tangents
    return _steep(x), dx * (1 - jnp.tanh(x) ** 2 + 0.1)  # a rule of its own


@jax.checkpoint
def _again(x, y):
    return jnp.tanh(x * jnp.sin(y)) + _spike(x)


@jax.jit
def _compiled(x, y):
    return nn.sigmoid(x) * jnp.tanh(y)


def _straight_through(x, to):
    return x + jax.lax.stop_gradient(to(x) - x)


def _bfloat16(x):
    return _straight_through(x, lambda a: a.astype("bfloat16").astype("float32"))


UNARY = {
    "neg": lambda x: -x,
    "abs": jnp.abs,
    "exp": lambda x: jnp.exp(0.3 * x),
    "exp2": lambda x: jnp.exp2(0.4 * x),
    "expm1": lambda x: jnp.expm1(0.4 * x),
    "log": lambda x: jnp.log(x * x + 0.5),
    "log1p": lambda x: jnp.log1p(x * x),
    "tanh": jnp.tanh,
    "logistic": nn.sigmoid,
    "sqrt": lambda x: jnp.sqrt(x * x + 0.3),
    "rsqrt": lambda x: jax.lax.rsqrt(x * x + 0.5),
    "cbrt": lambda x: jnp.cbrt(x + 5),
    "erf": special.erf,
    "erfc": special.erfc,
    "erf_inv": lambda x: special.erfinv(_safe(x)),
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": lambda x: jnp.tan(_safe(x)),
    "asin": lambda x: jnp.arcsin(_safe(x)),
    "acos": lambda x: jnp.arccos(_safe(x)),
    "atan": jnp.arctan,
    "sinh": lambda x: jnp.sinh(0.5 * x),
    "cosh": lambda x: jnp.cosh(0.5 * x) - 1,
    "asinh": jnp.arcsinh,
    "acosh": lambda x: jnp.arccosh(x * x + 1.5),
    "atanh": lambda x: jnp.arctanh(_safe(x)),
    "is_finite": lambda x: jnp.where(jnp.isfinite(x), x, 0.0),
    "reciprocal": lambda x: 1 / (x * x + 0.7),
    "square": lambda x: jnp.square(x) / 3,
    "integer_pow": lambda x: x**3 / 9,
    "integer_pow, negative": lambda x: (x * x + 1.2) ** -2,
    "pow, of a number": lambda x: (x * x + 0.5) ** 0.7,
    "lgamma": lambda x: special.gammaln(x * x / 3 + 1.0),
    "stop_gradient": lambda x: x * jax.lax.stop_gradient(jnp.cos(x)),
    "custom_vjp": lambda x: x * 0.5 + _spike(x),
    "custom_jvp": _steep,
    "gelu": nn.gelu,
    "gelu, exact": lambda x: nn.gelu(x, approximate=False),
    "silu": nn.silu,
    "softsign": nn.soft_sign,
    "mish": nn.mish,
    "log_sigmoid": nn.log_sigmoid,
    "squareplus": nn.squareplus,
}
BINARY = {
    "add": lambda x, y: 0.6 * (x + y),
    "sub": lambda x, y: 0.6 * (x - y),
    "mul": lambda x, y: x * y / 3,
    "mul by a gate": lambda x, y: x * nn.sigmoid(y),
    "div": lambda x, y: x / (y * y + 1),
    "max": jnp.maximum,
    "min": jnp.minimum,
    "pow": lambda x, y: (x * x / 3 + 0.5) ** (y / 3),
    "rem": lambda x, y: jnp.fmod(x + 0.11, 1.43) + 0.1 * y,
    "remainder": lambda x, y: jnp.remainder(x + 0.11, jnp.abs(y) + 1.37),
    "atan2": lambda x, y: jnp.arctan2(x, y * y + 0.5),
    "lt": lambda x, y: jnp.where(x < y, x, 0.5 * y),
    "le": lambda x, y: jnp.where(x <= y, x, 0.5 * y),
    "gt": lambda x, y: jnp.where(x > y, jnp.sin(x), y),
    "ge": lambda x, y: jnp.where(x >= y, x, -y),
    "and": lambda x, y: jnp.where((x > -0.83) & (y > -0.71), x, 0.5 * y),
    "or": lambda x, y: jnp.where((x > 0.83) | (y > 0.71), x, 0.5 * y),
    "xor": lambda x, y: jnp.where((x > 0.13) ^ (y > 0.17), x, 0.5 * y),
    "not": lambda x, y: jnp.where(~(x > 0.13), x, 0.5 * y),
    "clamp": lambda x, y: jax.lax.clamp(-jnp.abs(y), x, jnp.abs(y) + 0.3),
    "clip": lambda x, y: jnp.clip(x, -1, 1.2) * jnp.cos(y),
    "muladd": lambda x, y: 0.5 * (x * nn.sigmoid(y) + y),
    "mixture": lambda x, y: nn.sigmoid(x) * x + (1 - nn.sigmoid(x)) * y,
    "logaddexp": _log_add,
    "sign": lambda x, y: jnp.sign(x - 0.13) * y,
    "floor": lambda x, y: jnp.floor(x - 0.37) * y / 3 + 0.2 * x,
    "ceil": lambda x, y: jnp.ceil(x - 0.37) * y / 3 + 0.2 * x,
    "round": lambda x, y: jnp.round(x - 0.13) * y / 3 + 0.2 * x,
    "trunc": lambda x, y: jnp.trunc(x - 0.37) * y / 3 + 0.2 * x,
    "as a number": lambda x, y: (x > 0.13).astype("float32") * y + 0.2 * x,
    "checkpoint": lambda x, y: _again(x, y) / 2,
    "jit": _compiled,
}
# Of numbers that are -3, -1.5, 0, 1.5 or 3: at corners, and with ties.
KINKS = {
    "relu": nn.relu,
    "relu6": lambda q: nn.relu6(2 * q) / 2,
    "relu of zeros": lambda q: nn.relu(q - q) + 0.3 * q,
    "hard_sigmoid": nn.hard_sigmoid,
    "hard_tanh": lambda q: nn.hard_tanh(q / 1.5),
    "hard_silu": lambda q: nn.hard_silu(q),
    "leaky_relu": nn.leaky_relu,
    "elu": nn.elu,
    "selu": lambda q: nn.selu(q) / 2,
    "softplus": nn.softplus,
    "abs at 0": jnp.abs,
    "sign at 0": lambda q: jnp.sign(q) + 0.1 * q,
    "max of equals": lambda q: jnp.maximum(q, q[..., ::-1]),
    "max with itself": lambda q: jnp.maximum(q, q),
    "min of equals": lambda q: jnp.minimum(q, q[..., ::-1]),
    "max with 0": lambda q: jnp.maximum(q, 0),
    "clip at its ends": lambda q: jnp.clip(q, -1.5, 1.5),
    "clamp at its ends": lambda q: jax.lax.clamp(-1.5, q, 1.5),
    "eq": lambda q: jnp.where(q == 1.5, 2 * q, 0.5 * q),
    "ne": lambda q: jnp.where(q != 0, q, 0.0),
    "ge at 0": lambda q: jnp.where(q >= 0, q, 0.1 * q),
    "max of a row": lambda q: q - q.max(-1, keepdims=True) / 2,
    "min of a row": lambda q: q.min(-1, keepdims=True) / 2 + 0.5 * q,
    "rounded half to even": lambda q: _straight_through(q, jnp.round),
    "to bfloat16": lambda q: _bfloat16(0.1 * q),
    "floor of halves": lambda q: _straight_through(q, jnp.floor),
}


def _norm(x, axis=-1):
    mean = x.mean(axis, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(x.var(axis, keepdims=True) + 0.1)


def _of_unit_length(x):
    return x / (0.5 + jnp.linalg.norm(x + 0.01, axis=-1, keepdims=True))


# Of a row: (B, ..., W) to the same shape, by sums, maxima and minima along it.
ROWS = {
    "mean": lambda x: x - x.mean(-1, keepdims=True),
    "layer norm": _norm,
    "rms norm": lambda x: x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 0.1),
    "softmax": lambda x: 2 * nn.softmax(x, axis=-1),
    "log_softmax": lambda x: nn.log_softmax(x, axis=-1) / 2,
    "logsumexp": lambda x: x - special.logsumexp(x, axis=-1, keepdims=True) / 2,
    "max": lambda x: x - 0.5 * x.max(-1, keepdims=True),
    "min": lambda x: x - 0.5 * x.min(-1, keepdims=True),
    "unit length": _of_unit_length,
    "any": lambda x: jnp.where((x > 0.83).any(-1, keepdims=True), x, 0.5 * x),
    "all": lambda x: jnp.where((x > -0.83).all(-1, keepdims=True), x, 0.5 * x),
}


def _reversed(x):
    return x[..., ::-1]


def _rolled(x):
    return jnp.roll(x, 1, axis=-1)


def _joined(x):
    half = (x.shape[-1] + 1) // 2
    return jnp.concatenate([x[..., half:], jnp.tanh(x[..., :half])], -1)


def _split(x):
    first, *rest = jnp.split(x, x.shape[-1], axis=-1)
    return jnp.concatenate([*rest, first], -1)


def _unstacked(x):
    columns = jnp.unstack(x, axis=-1)
    return jnp.stack([columns[-1], *columns[:-1]], axis=-1)


def _padded(x):
    wide = [(0, 0)] * (x.ndim - 1) + [(1, 0)]
    return jnp.pad(x, wide)[..., : x.shape[-1]] + 0.1 * x


def _every_other(x):
    return jnp.concatenate([x[..., ::2], x[..., 1::2]], -1)


def _repeated(x):
    return jnp.repeat(x, 2, axis=-1)[..., : x.shape[-1]] + 0.1 * x


def _tiled(x):
    return jnp.tile(x[..., :1], (1,) * (x.ndim - 1) + (x.shape[-1],)) + 0.1 * x


def _halves(x):
    """In two, the two added, side by side again; an odd width stays out."""
    n = x.shape[-1] // 2
    if not n:
        return x
    both = x[..., : 2 * n].reshape(*x.shape[:-1], 2, n)
    both = jnp.swapaxes(both, -1, -2).reshape(*x.shape[:-1], 2 * n)
    return jnp.concatenate([both, x[..., 2 * n :]], -1)


LAYOUT = {
    "reverse": _reversed,
    "roll": _rolled,
    "slice, concatenate": _joined,
    "split": _split,
    "unstack, stack": _unstacked,
    "pad": _padded,
    "strided slice": _every_other,
    "repeat": _repeated,
    "tile": _tiled,
    "reshape, transpose": _halves,
    "squeeze, expand": lambda x: jnp.expand_dims(x[..., :1].squeeze(-1), -1) + 0.3 * x,
}


# (B, W) with a vector (W,), a number or a row's own (B, W) of the sequence.
def _with_gain(x, v):
    return x * v


BROADCASTS = {
    "vector": (lambda w: (w,), lambda x, v: x * v / 2),
    "vector, of rank 2": (lambda w: (1, w), lambda x, v: x + 0.5 * v),
    "number": (lambda w: (), lambda x, v: x * v / 2),
    "number, a vector of one": (lambda w: (1,), lambda x, v: x + v),
    "gain of a norm": (lambda w: (w,), lambda x, v: _norm(x) * (1 + 0.3 * v) / 2),
    "softmax of weights": (lambda w: (w,), lambda x, v: x * nn.softmax(v) * 2),
    "log of weights": (lambda w: (w,), lambda x, v: x * jnp.exp(-jnp.exp(v))),
}
# (B, W), (B, W): a number of each row.
OF_ROWS = {
    "a row's mean": lambda x, y: 0.7 * x * y.mean(-1, keepdims=True) + 0.2 * x,
    "a row's max": lambda x, y: 0.5 * x + 0.3 * y.max(-1, keepdims=True),
    "a row's gate": lambda x, y: x * nn.sigmoid(y.sum(-1, keepdims=True)),
    "a row's dot": lambda x, y: 0.3 * x * (x * y).sum(-1, keepdims=True) / x.shape[-1],
    "outer": lambda x, y: jnp.einsum("bi,bj->bij", x, y).mean(-1) / 2,
}


def gauss(rng, *shape):
    """Normal numbers, float32."""
    return rng.normal(size=shape).astype(np.float32)
