"""The float64 sources give what the libraries gave whose cells they are."""

import importlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from . import reference
from .sources import with_pullback

RECORDED = Path(__file__).parent / "sources" / "recorded"
# What cells gave; what functions and drivers gave is read in the rooms of ours.
CELLS = ("tf1", "addons")
FILES = sorted(f for f in RECORDED.rglob("*.npz") if f.parent.name in CELLS)
# Relative to the largest number: of what the recording itself was computed in.
LIMITS = {"float64": 1e-11, "float32": 2e-5}


def _in_order(arrays, kind):
    """Arrays recorded as ``kind/0``, ``kind/1`` ..."""
    count = sum(key.startswith(f"{kind}/") for key in arrays)
    return [np.float64(arrays[f"{kind}/{n}"]) for n in range(count)]


def _weights(arrays, kind="weight"):
    """Weights by the names that they have inside the cell's own scope.

    That is rnn/<cell>/...; a wrapper's own may stand beside it.
    """
    paths = {key: key.split("/") for key in arrays if key.startswith(f"{kind}/")}
    own = {key: path[3:] or path[2:] for key, path in paths.items()}
    return {"/".join(path): np.float64(arrays[key]) for key, path in own.items()}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}-{f.stem}")
def test_a_source_gives_what_was_recorded(file):
    with np.load(file) as given:
        arrays = dict(given)
    about = json.loads(str(arrays["about"]))
    family, name = about["reference"].split(".")
    module = importlib.import_module(f"tests.sources.{family}")
    step = partial(getattr(module, name), **about["arguments"])
    weights, backwards = _weights(arrays), about.get("backwards", False)
    run = reference.unroll(
        lambda x, states: with_pullback(step)(weights, x, states),
        np.float64(arrays["x"]),
        _in_order(arrays, "initial"),
        lengths=arrays["lengths"],
        reverse=backwards,
        zero_masked=True,
    )
    # Backwards the outputs stand in the order in which they were made.
    turn = slice(None, None, -1 if backwards else 1)
    dx, d_initial, d_weights = run.pull(
        np.float64(arrays["cy"])[:, turn], None, _in_order(arrays, "cstate")
    )
    pairs = {
        "y": (run.outputs[:, turn], arrays["y"]),
        "dx": (dx, arrays["dx"]),
        **_paired("state", run.states, _in_order(arrays, "state")),
        **_paired("dinitial", d_initial, _in_order(arrays, "dinitial")),
    }
    recorded = _weights(arrays, "dweight")
    assert set(recorded) == set(weights)
    pairs |= {f"d {key}": (d_weights[key], recorded[key]) for key in recorded}
    limit = LIMITS[str(arrays["x"].dtype)]
    for label, (ours, theirs) in pairs.items():
        error = reference.max_relative(ours, theirs)
        assert error <= limit, f"{label} off by {error:.3g}"


def _paired(label, ours, theirs):
    assert len(ours) == len(theirs)
    each = enumerate(zip(ours, theirs, strict=True))
    return {f"{label} {n}": pair for n, pair in each}


def test_every_source_is_recorded_or_says_of_which_paper_it_is():
    """A cell's source that no library holds has its paper in its docstring."""
    recorded = set()
    for file in FILES:
        with np.load(file) as given:
            recorded.add(json.loads(str(given["about"]))["reference"])
    for path in sorted(RECORDED.parent.glob("[a-z]*.py")):
        if path.stem in ("decoding", "losses", "seq2seq", "translation"):
            continue  # no cells; their modules say which papers, others record them
        module = importlib.import_module(f"tests.sources.{path.stem}")
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", "") == module.__name__
            if own and callable(thing) and not name.startswith("_"):
                known = f"{path.stem}.{name}" in recorded
                assert known or "arXiv" in thing.__doc__, f"{path.stem}.{name}"
