"""Our mechanisms and `AttentionCell` give what Addons' were recorded to give.

With the recorded weights, values and gradients, in float64. The source is held to the
same recordings by `tests/test_recorded.py`.
"""

import json
from pathlib import Path

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..reference import max_relative

RECORDED = Path(__file__).parent.parent / "sources" / "recorded" / "addons"
FILES = sorted(RECORDED.glob("attention_*.npz"))
# Each other one differs from these by an option that has a test of its own.
QUICK = {
    "bahdanau_normalised",
    "luong_scaled",
    "luong_hardmax",
    "bahdanau_parallel",
    "luong_hard",
    "size_cell_output",
    "input_fn",
    "two_layers",
    "lstm",
}
LIMIT = 1e-11
DTYPE = {"dtype": "float64"}
SCOPE = "weight/rnn/attending/"


def _added(x, attention):
    return x + attention


def _make(about, arrays):
    """The cell that was recorded, of ours."""
    given = about["arguments"]
    widths = {
        key.split("/")[-3]: weight.shape[1]
        for key, weight in arrays.items()
        if key.startswith(SCOPE) and key.endswith("memory_layer/kernel")
    }
    made = [
        getattr(unrolled, kind)(widths[f"mechanism_{n}"], **options, **DTYPE)
        for n, (kind, options) in enumerate(given["mechanisms"])
    ]
    inside = {"simple": unrolled.SimpleRNNCell, "lstm": unrolled.LSTMCell}
    options = {}
    if given.get("layers"):
        names = ("attention_layer", "layer_0", "layer_1")
        keys = [f"{SCOPE}own/{name}/kernel" for name in names]
        shapes = [arrays[key].shape for key in keys if key in arrays]
        # Keras's own computes in float32.
        tanh = jnp.tanh if given.get("activation") else None
        if tanh or len(shapes) > 1:
            layers = [keras.layers.Dense(shape[1], tanh, **DTYPE) for shape in shapes]
            options["attention_layer"] = layers if len(made) > 1 else layers[0]
        else:
            options["attention_layer_size"] = shapes[0][1]
    if given.get("added"):
        options["cell_input_fn"] = _added
    return unrolled.AttentionCell(
        inside[given.get("cell", "simple")](4, **DTYPE),
        made if len(made) > 1 else made[0],
        output_attention=given.get("output_attention", True),
        **options,
        **DTYPE,
    )


def _theirs(cell, arrays, kind):
    """Of each of our weights the recorded array; `kind` "weight" or "dweight"."""
    found = []
    for weight in cell.trainable_weights:
        *_, scope, name = weight.path.split("/")
        place = [n for n, m in enumerate(cell.mechanisms) if _within(weight, m)]
        if place:
            inside = f"mechanism_{place[0]}/"
            outer = "" if scope == "memory_layer" else "own/"
            inside += "memory_layer/" if scope == "memory_layer" else ""
        else:
            outer, inside = "own/", "cell/" if _within(weight, cell.cell) else ""
            if not inside:
                layers = cell.attention_layers
                n = next(n for n, layer in enumerate(layers) if _within(weight, layer))
                inside = "attention_layer/" if len(layers) == 1 else f"layer_{n}/"
        found.append(arrays[f"{kind}/rnn/attending/{outer}{inside}{name}"])
    return found


def _within(weight, layer):
    return any(weight is each for each in layer.weights)


def _case(file):
    name = file.stem.partition("_")[2]
    marks = [] if name in QUICK else [pytest.mark.parity]
    return pytest.param(file, id=name, marks=marks)


@pytest.mark.keras_ranks
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("file", [_case(file) for file in FILES])
def test_what_addons_gave(file):
    with np.load(file) as given:
        arrays = dict(given)
    about = json.loads(str(arrays["about"]))
    cell = _make(about, arrays)
    layer = unrolled.RNN(
        cell,
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=True,
        **DTYPE,
    )
    several = len(cell.mechanisms) > 1
    memory = [arrays[f"{SCOPE}memory_{n}"] for n in range(len(cell.mechanisms))]
    given = {"lengths": arrays["lengths"]}
    if "mask" in about["arguments"]:
        given["memory_mask"] = np.array(about["arguments"]["mask"], bool)
    shapes = [m.shape for m in memory]
    layer.build(arrays["x"].shape, memory_shape=shapes if several else shapes[0])
    initial = [arrays[f"initial/{n}"] for n in range(_count(arrays, "initial"))]

    def run(weights, x, initial, memory):
        found, _ = layer.stateless_call(
            weights,
            [v.value for v in layer.non_trainable_variables],
            x,
            initial_state=initial,
            memory=memory if several else memory[0],
            **given,
        )
        return list(found)

    @jax.jit
    def both(weights, cotangents):
        out, pull = jax.vjp(run, weights, jnp.asarray(arrays["x"]), initial, memory)
        return out, pull(cotangents)

    cotangents = [arrays["cy"]]
    cotangents += [arrays[f"cstate/{n}"] for n in range(len(initial))]
    out, (d_weights, dx, d_initial, d_memory) = both(
        _theirs(cell, arrays, "weight"), cotangents
    )
    pairs = {"y": (out[0], arrays["y"]), "dx": (dx, arrays["dx"])}
    for n in range(len(initial)):
        pairs[f"state {n}"] = out[n + 1], arrays[f"state/{n}"]
        pairs[f"dinitial {n}"] = d_initial[n], arrays[f"dinitial/{n}"]
    for n, found in enumerate(d_memory):
        pairs[f"dmemory {n}"] = found, arrays[f"d{SCOPE}memory_{n}"]
    theirs = _theirs(cell, arrays, "dweight")
    for weight, ours, their in zip(
        layer.trainable_weights, d_weights, theirs, strict=True
    ):
        pairs[f"d{weight.path}"] = ours, their
    for label, (ours, theirs) in pairs.items():
        error = max_relative(np.asarray(ours), theirs)
        assert error <= LIMIT, f"{label} off by {error:.3g}"


def _count(arrays, kind):
    return sum(key.startswith(f"{kind}/") for key in arrays)
