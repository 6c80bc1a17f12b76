"""The core's elementwise functions, compiled alone, against float64."""

import ctypes
import functools
import os
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import special

ROOT = Path(__file__).parents[2]
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
FLAGS = "-std=c++17 -O1 -fPIC -shared -fno-math-errno -fno-trapping-math -Wno-psabi"
V3 = "-mavx2 -mfma"
V4 = f"{V3} -mavx512f -mavx512bw -mavx512vl -mavx512dq"
# As in CMakeLists.txt; `plain` is what stands in where there are no intrinsics of ours.
X86 = {"sse2": "-msse2", "avx2": V3, "avx512": V4, "plain": "-DUNROLLED_MODEL"}
VARIANTS = X86 if platform.machine() in ("x86_64", "AMD64") else {"generic": ""}
FLOATS = ctypes.POINTER(ctypes.c_float)
SMALLEST = float(np.finfo(np.float32).tiny)
LARGEST = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module", params=VARIANTS)
def core(request, tmp_path_factory):
    """The functions, as compiled for one instruction set."""
    if not COMPILER:
        assert os.environ.get("CI") != "true", "no C++ compiler, and CI must have one"
        pytest.skip("no C++ compiler")
    target = tmp_path_factory.mktemp("functions") / f"{request.param}.so"
    command = [COMPILER, *FLAGS.split(), "-ffp-contract=fast", f"-I{ROOT}/native"]
    command += [*VARIANTS[request.param].split(), f"-DUNROLLED_NS={request.param}"]
    source = str(Path(__file__).with_name("functions.cc"))
    subprocess.run([*command, source, "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    library.is_supported.restype = ctypes.c_bool
    if not library.is_supported():
        pytest.skip(f"this processor has no {request.param}")
    return library


def call(core, name, a, b, flush):
    """A function of the core over arrays."""
    out = np.empty_like(a)
    function = getattr(core, f"{name}_")
    function.argtypes = [FLOATS, FLOATS, FLOATS, ctypes.c_long, ctypes.c_bool]
    function.restype = None
    function(*(x.ctypes.data_as(FLOATS) for x in (a, b, out)), a.size, flush)
    return out


def larger(a, b):
    """The maximum, +0 above -0."""
    return np.where((a == 0) & (b == 0), a + b, np.maximum(a, b))


def logistic(x):
    """Without overflow and with every digit on both sides."""
    t = np.exp(-np.abs(x))
    return np.where(x < 0, t, 1.0) / (1 + t)


def digamma(x):
    """As JAX: no number at the poles, 0 among them."""
    return np.where((x <= 0) & (x == np.floor(x)), np.nan, special.psi(x))


ONE = {
    "abs": np.abs,
    "sign": lambda x: np.copysign(np.sign(x), x),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "logistic": logistic,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "cbrt": np.cbrt,
    "erf": special.erf,
    "erfc": special.erfc,
    "erf_inv": lambda x: np.where(
        x == 0, x, np.where(abs(x) > 1, np.nan, special.erfinv(x))
    ),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "round_half_even": np.rint,
    "round_half_away": lambda x: np.copysign(np.floor(abs(x) + 0.5), x),
    "is_finite": lambda x: np.isfinite(x).astype(float),
    "trunc": np.trunc,
    "reciprocal": lambda x: 1 / x,
    "lgamma": lambda x: np.where(np.isinf(x), np.inf, special.gammaln(x)),
    "digamma": digamma,
}
TWO = {
    "pow": np.power,
    "rem": np.fmod,
    "atan2": np.arctan2,
    "max": larger,
    "min": lambda a, b: -larger(-a, -b),
}
EXACT = {"abs", "sign", "floor", "ceil", "round_half_even", "round_half_away", "trunc"}
EXACT |= {"is_finite", "max", "min", "rem"}

# fmt: off
CORNERS = np.array([
    0, np.inf, np.nan, 1, 0.5, 1.5, 2.5, 0.7, 0.2, 0.49999997, 8388607.5, 8388609,
    4194304.5, 16777216, 1.1754944e-38, 3e-39, 1e-45, 3.4028235e38, 3e38, 88.72283,
    88.72284, 88.8, 89, 87.33654, 87.33655, 87.4, 100, 103.9, 104, 128, 127.99999,
    126, 126.00001, 149, 9.1, 10.05, 10.06, 1e6, 1000001, 1e10, 0.99999994,
    1.0000001, 2, 3, 5, 8, 18, 1e-9, 1e-20, 0.55, 0.85,
], np.float32)
# fmt: on
CORNERS = np.concatenate([CORNERS, -CORNERS])


def some_floats(n, seed):
    """Corners, every exponent of either sign, and more of where functions bend."""
    r = np.random.default_rng(seed)
    bits = np.arange(n, dtype=np.uint64) * (2**32 // n) + r.integers(0, 2**32 // n, n)
    usual = np.exp(r.uniform(-14, 5.3, n)) * r.choice([-1, 1], n)
    near = [r.uniform(-12, 12, n), 1 + r.uniform(-1, 1, n) * 10 ** r.uniform(-6, 0, n)]
    every = bits.astype(np.uint32).view(np.float32)
    return np.concatenate([CORNERS, every, *np.array([usual, *near], np.float32)])


def some_pairs(n):
    """Every pair of corners, pairs of any floats, and powers that are no overflow."""
    r = np.random.default_rng(3)
    corners = np.meshgrid(CORNERS, CORNERS)
    a, b = some_floats(n, 1), r.permutation(some_floats(n, 2))
    base = np.exp(r.uniform(-5, 5, n)).astype(np.float32)
    power = (r.uniform(-87, 88, n) / np.log(base.astype(float))).astype(np.float32)
    return tuple(
        np.concatenate([x.ravel(), y, z])
        for x, y, z in zip(corners, (a, b), (base, power), strict=True)
    )


def errors(got, true):
    """The error of each float in units of the last place; infinite where wrong."""
    size = np.abs(true)
    # What rounds to no float is infinity; just there either will do.
    over = size > LARGEST * (1 + 2**-25)
    edge = (np.abs(size / LARGEST - 1) < 2**-22) & np.isinf(got)
    normal = np.isfinite(true) & (size >= SMALLEST) & ~over & ~edge
    unit = np.ldexp(1.0, np.frexp(np.where(normal, true, 1.0))[1] - 24)
    error = np.nan_to_num(np.abs(got.astype(np.float64) - true) / unit, nan=np.inf)
    same = (got == true) & (np.signbit(got) == np.signbit(true))
    right = same | (np.isnan(got) & np.isnan(true)) | edge
    right |= over & (
        (got == np.copysign(np.inf, true)) | (size < LARGEST * (1 + 2**-22))
    )
    # Subnormal: itself, or zero, or the smallest normal that it rounds to.
    small = (size < SMALLEST) & (true != 0)
    right |= (
        small & (np.abs(got - true) < SMALLEST) & (np.abs(got) <= 1.0001 * SMALLEST)
    )
    return np.where(normal, error, np.where(right, 0.0, np.inf))


def zeroed(x):
    """Without subnormal numbers."""
    return np.where(np.abs(x) < SMALLEST, np.copysign(0, x), x)


LINE, PAIRS = (some_floats(50_000, 0),) * 2, some_pairs(40_000)
FEW = slice(None, None, 9)


@functools.cache
def expected(name):
    """In float64, for all the floats; and for a few without what is subnormal."""
    f, arguments = (ONE[name], LINE[:1]) if name in ONE else (TWO[name], PAIRS)
    wide = [x.astype(np.float64) for x in arguments]
    return f(*wide), f(*(zeroed(x[FEW]) for x in wide))


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_every_function(core, name):
    a, b = LINE if name in ONE else PAIRS
    limit = 0 if name in EXACT else 2
    with np.errstate(all="ignore"):
        true, flushed = expected(name)
        error = errors(call(core, name, a, b, flush=False), true)
        at = int(np.argmax(error))
        assert error[at] <= limit, f"{name} of {a[at]}, {b[at]}: {error[at]}"
        # Where a thread reads subnormal numbers as zero: as they are, or as zeros.
        a, b = a[FEW].copy(), b[FEW].copy()
        got = call(core, name, a, b, flush=True)
        error = np.minimum(errors(got, true[FEW]), errors(zeroed(got), flushed))
        at = int(np.argmax(error))
        assert error[at] <= limit, f"{name} of {a[at]}, {b[at]}, flushed: {error[at]}"


def test_the_measure_finds_what_is_wrong():
    true = np.array([1.0, 1.0, np.inf, np.nan, 0.0, 1e-40, 1e300])
    wrong = np.array([1 + 2**-21, np.inf, LARGEST, 0.0, -0.0, 1.0, LARGEST])
    with np.errstate(all="ignore"):
        assert (errors(wrong, true) >= 4).all()
        right = np.array([1.0, 1.0, np.inf, np.nan, 0.0, 0.0, np.inf])
        assert (errors(right, true) == 0).all()
