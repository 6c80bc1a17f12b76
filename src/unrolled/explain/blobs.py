"""Numbers as short text: blobs that a page decodes with what browsers have.

Beneath both rooms: facts are stored in them, the figure and the words read them.
A blob is a dict: `code` (how each number is stored), `shape`, `min`, `max`,
`precision` (the largest rounding error of a finite value) and `data`: base64 of a
zlib stream. Five codes:

- `u8d`: one byte a value, delta-coded along the last axis modulo 256. Byte b is
  `min + b * (max - min) / 252` for b <= 252; 253 is -inf, 254 +inf, 255 NaN.
- `f16`, `f32`: little-endian IEEE floats.
- `i32`: little-endian int32: token ids, which no rounding may touch.
- `q16`: int16 q, all their low bytes and then all their high bytes, which are alike and
  so pack smaller; value `q * scale` (`scale` is in the blob); -32768 is NaN, -32767 and
  32767 are -inf and +inf where `infinite` is true.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np

TOP = 252  # the largest finite byte of `u8d`


def _pack(raw: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(raw.tobytes(), 9)).decode("ascii")


def _bounds(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def number(value: Any) -> float | int | str | None:
    """A JSON number; non-finite ones become "NaN", "Infinity", "-Infinity"."""
    if value is None:
        return None
    if isinstance(value, (bool, int, np.integer)):
        return int(value)
    value = float(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def encode(values: Any, code: str) -> dict[str, Any]:
    """Store an array as a blob of the given code (see the module's docstring)."""
    values = np.asarray(values)
    wide = values.astype(np.float64)
    low, high = _bounds(wide)
    blob: dict[str, Any] = {"code": code, "shape": list(values.shape)}
    blob |= {"min": low, "max": high}
    if code == "u8d":
        span = (high - low) or 1.0
        with np.errstate(invalid="ignore"):
            byte = np.rint((wide - low) / span * TOP)
        byte = np.where(np.isneginf(wide), 253, np.where(np.isposinf(wide), 254, byte))
        byte = np.where(np.isnan(wide), 255, byte).astype(np.uint8)
        raw = np.diff(byte, axis=-1, prepend=np.uint8(0)).astype(np.uint8)
        blob["precision"] = (high - low) / TOP / 2
    elif code == "q16":
        scale = max(abs(low), abs(high)) / 32766 or 1.0
        with np.errstate(invalid="ignore"):
            q = np.nan_to_num(np.rint(wide / scale), nan=0.0, posinf=0.0, neginf=0.0)
        q = np.where(np.isposinf(wide), 32767, np.where(np.isneginf(wide), -32767, q))
        both = np.where(np.isnan(wide), -32768, q).astype("<i2").reshape(-1)
        raw = np.ascontiguousarray(both.view(np.uint8).reshape(-1, 2).T)
        blob |= {"scale": scale, "precision": scale / 2}
        blob["infinite"] = bool(np.isinf(wide).any())
    elif code in ("f16", "f32"):
        with np.errstate(over="ignore"):
            raw = values.astype("<f2" if code == "f16" else "<f4")
        back = raw.astype(np.float64)
        both = np.isfinite(back) & np.isfinite(wide)
        gap = np.abs(back[both] - wide[both])
        blob["precision"] = float(gap.max()) if gap.size else 0.0
    elif code == "i32":
        raw = values.astype("<i4")
        blob["precision"] = 0.0
    else:
        raise ValueError(f"code must be u8d, q16, f16, f32 or i32. Got {code!r}.")
    blob["data"] = _pack(raw)
    return blob


def decode(blob: dict[str, Any]) -> np.ndarray:
    """The array of a blob, as float64: what a page sees, in Python."""
    raw = zlib.decompress(base64.b64decode(blob["data"]))
    shape, code = blob["shape"], blob["code"]
    if code == "u8d":
        byte = np.frombuffer(raw, np.uint8).reshape(shape)
        byte = np.cumsum(byte, axis=-1, dtype=np.uint8)
        values = blob["min"] + byte * ((blob["max"] - blob["min"]) / TOP)
        for mark, meaning in ((253, -np.inf), (254, np.inf), (255, np.nan)):
            values[byte == mark] = meaning
        return values
    if code == "q16":
        both = np.frombuffer(raw, np.uint8).reshape(2, -1)
        q = np.ascontiguousarray(both.T).view("<i2").reshape(shape)
        values = q * blob["scale"]
        values[q == -32768] = np.nan
        if blob["infinite"]:
            values[q == 32767], values[q == -32767] = np.inf, -np.inf
        return values
    kind = {"f16": "<f2", "f32": "<f4", "i32": "<i4"}[code]
    return np.frombuffer(raw, kind).reshape(shape).astype(np.float64)
