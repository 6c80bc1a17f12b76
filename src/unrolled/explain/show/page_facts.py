"""Facts made small for the page: blobs in base 91, ledgers without what follows.

Base 91 keeps thirteen bits in two characters, base64 twelve: a page of weights is a
twelfth smaller. The characters are those of ASCII that need no escape in JSON or in
a script element.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from . import captions, images

Facts = dict[str, Any]
# The experiments that the script speaks of.
TOLD = (
    *("other_steps", "other_units", "other_features", "sweep"),
    *("forget", "zero_or_mask", "units_talk"),
)
# Printable, and neither a quote, a backslash nor the sign that opens a tag.
ALPHABET = np.array([k for k in range(33, 127) if chr(k) not in '"\\<'], np.uint8)


def base91(raw: bytes) -> str:
    """Thirteen bits at a time as two characters."""
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))
    bits = np.concatenate([bits, np.zeros(-len(bits) % 13, np.uint8)]).reshape(-1, 13)
    values = bits @ (1 << np.arange(13)[::-1])
    pairs = np.stack([values // 91, values % 91], 1)
    return ALPHABET[pairs].tobytes().decode("ascii")


def smaller(facts: Facts) -> Facts:
    """The facts a page needs: claims and dictionary are words in it already."""
    lean = {
        k: v for k, v in facts.items() if k not in ("claims", "dictionary", "limits")
    }
    lean["layers"] = [_layer(layer) for layer in facts["layers"]]
    # Of the inputs themselves only ids are said; what a layer reads is in its trace.
    said = {layer["tokens"] for layer in facts["layers"]}
    lean["inputs"] = [
        one if number in said else one | {"values": None}
        for number, one in enumerate(facts["inputs"])
    ]
    lean["input"] = facts["input"] | {"values": None}
    return _recode(lean)


def _layer(layer: Facts) -> Facts:
    trace = {k: v for k, v in layer["trace"].items() if k != "output"}
    tests = {k: _said(v) for k, v in layer["experiments"].items() if k in TOLD}
    drop = ("sentences", "axes", "collisions", "plan", "claims", "tried_on", "reads")
    drop += ("image", "attention")
    lean = {k: v for k, v in layer.items() if k not in drop}
    lean["captions"] = captions.captions(layer)
    if layer.get("image"):  # each position is a step of one of the three
        lean["kind"] = "LSTM" if len(layer["states"]) > 1 else "GRU"
        lean["states"] = [state | {"size": layer["U"]} for state in layer["states"]]
    ledgers = [_ledger(one) for one in layer["ledgers"]]
    return lean | {"trace": trace, "experiments": tests, "ledgers": ledgers}


def _said(found: Any) -> Any:
    """What was tried, in words; the numbers are in the facts."""
    if isinstance(found, list):
        return [_said(one) for one in found]
    return {k: v for k, v in found.items() if k in ("ran", "text", "why", "units")}


def _ledger(ledger: Facts) -> Facts:
    keys = ("from", "index", "weight", "value")
    kept = ("key", "rest", "bias", "scaled_by", "sum", "value", "difference")
    gates = [
        {k: gate[k] for k in kept}
        | {"terms": [[_told(t[k], k) for k in keys] for t in gate["terms"]]}
        for gate in ledger["gates"]
    ]
    return ledger | {"gates": gates}


def _told(value: Any, key: str) -> Any:
    """An index as people count."""
    if key != "index":
        return value
    return images.place(value) if isinstance(value, list) else value + 1


def _recode(value: Any) -> Any:
    if isinstance(value, dict):
        if "data" in value and "code" in value and "shape" in value:
            raw = base64.b64decode(value["data"])
            return value | {"bytes": len(raw), "data": base91(raw)}
        return {k: _recode(v) for k, v in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [_recode(v) for v in value]
    return value
