"""What each code of a program computes, in NumPy; see `interpreter`."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from scipy import special


def _sign(x):
    return np.where(x == 0, x, np.sign(x))


def _round_half_away(x):
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.sign(x), whole)


def _digamma(x):
    pole = (x <= 0) & (x == np.floor(x))
    return np.where(pole, np.nan, special.digamma(x))


UNARY = {
    0: ("copy", lambda x: x),
    1: ("neg", np.negative),
    2: ("abs", np.abs),
    3: ("sign", _sign),
    4: ("exp", np.exp),
    5: ("exp2", np.exp2),
    6: ("expm1", np.expm1),
    7: ("log", np.log),
    8: ("log1p", np.log1p),
    9: ("tanh", np.tanh),
    10: ("logistic", special.expit),
    11: ("sqrt", np.sqrt),
    12: ("rsqrt", lambda x: 1 / np.sqrt(x)),
    13: ("cbrt", np.cbrt),
    14: ("erf", special.erf),
    15: ("erfc", special.erfc),
    16: ("erf_inv", special.erfinv),
    17: ("sin", np.sin),
    18: ("cos", np.cos),
    19: ("tan", np.tan),
    20: ("asin", np.arcsin),
    21: ("acos", np.arccos),
    22: ("atan", np.arctan),
    23: ("sinh", np.sinh),
    24: ("cosh", np.cosh),
    25: ("asinh", np.arcsinh),
    26: ("acosh", np.arccosh),
    27: ("atanh", np.arctanh),
    28: ("floor", np.floor),
    29: ("ceil", np.ceil),
    30: ("round_half_even", np.rint),
    31: ("round_half_away", _round_half_away),
    32: ("is_finite", np.isfinite),
    33: ("not", lambda x: x == 0),
    34: ("to_bfloat16", lambda x: x.astype("float32").astype(ml_dtypes.bfloat16)),
    35: ("trunc", np.trunc),
    36: ("reciprocal", lambda x: 1 / x),
    37: ("lgamma", special.gammaln),
    38: ("digamma", _digamma),
}
BINARY = {
    48: ("add", np.add),
    49: ("sub", np.subtract),
    50: ("mul", np.multiply),
    51: ("div", np.divide),
    52: ("max", np.maximum),
    53: ("min", np.minimum),
    54: ("pow", np.power),
    55: ("rem", np.fmod),
    56: ("atan2", np.arctan2),
    57: ("eq", np.equal),
    58: ("ne", np.not_equal),
    59: ("lt", np.less),
    60: ("le", np.less_equal),
    61: ("gt", np.greater),
    62: ("ge", np.greater_equal),
    63: ("and", lambda x, y: (x != 0) & (y != 0)),
    64: ("or", lambda x, y: (x != 0) | (y != 0)),
    65: ("xor", lambda x, y: (x != 0) ^ (y != 0)),
}
TERNARY = {
    72: ("select", lambda chosen, x, y: np.where(chosen != 0, x, y)),
    73: ("clamp", lambda low, x, high: np.minimum(np.maximum(x, low), high)),
    74: ("muladd", lambda x, y, z: x * y + z),
}
ELEMENTWISE = UNARY | BINARY | TERNARY
# Over the last axis of a view.
REDUCTIONS = {
    80: ("reduce_sum", np.sum),
    81: ("reduce_max", np.max),
    82: ("reduce_min", np.min),
}
CONTRACT, PRODUCT, SUM_PRODUCT, SUM_ROWS = 83, 96, 97, 98
NAMES = {code: name for code, (name, _) in (ELEMENTWISE | REDUCTIONS).items()}
NAMES |= {CONTRACT: "contract", PRODUCT: "product"}
NAMES |= {SUM_PRODUCT: "sum_product", SUM_ROWS: "sum_rows"}
# How many operands each reads; an optional one may be missing at the end.
READS = dict.fromkeys((*UNARY, *REDUCTIONS, SUM_ROWS), (1, 1))
READS |= dict.fromkeys((*BINARY, SUM_PRODUCT), (2, 2))
READS |= dict.fromkeys(TERNARY, (3, 3))
READS |= {CONTRACT: (2, 3), PRODUCT: (2, 3)}
