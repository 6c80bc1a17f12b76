"""Record what cells of TensorFlow Addons 0.23 give: Python 3.11.

    pip install tensorflow==2.15.1 tensorflow-addons==0.23.0
    python tests/recorders/addons.py [family ...]

Each family is a module beside this one, `addons_<family>.py`, with `record(case)`,
which calls `case(...)` once for each recording. All is float64.
"""

import importlib
import json
import os
import sys
import zlib
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf
import tensorflow_addons as tfa

# What a cell makes inside has no dtype of its own.
tf.keras.backend.set_floatx("float64")
HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("RECORDED", HERE.parent / "sources" / "recorded")) / "addons"
B, T, D = 3, 4, 3
LENGTHS = [4, 2, 3]


def case(name, make, reference, arguments=None, scale=0.5, initial=None):
    """Run a cell in `tf.keras.layers.RNN` with random weights; write `<name>.npz`.

    Args:
        name: of the recording.
        make: () -> the cell.
        reference: the function of `tests/sources/<family>.py` that has to give the
            same, as "family.function".
        arguments: what that function is given beside; plain numbers and words.
        scale: of the random weights, trained or not.
        initial: () -> the states to start from; random ones by default.
    """
    rng = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    draw = lambda *shape: tf.constant(rng.normal(size=shape))  # noqa: E731
    cell = make()
    layer = tf.keras.layers.RNN(
        cell,
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=True,
    )
    x = draw(B, T, D)
    sizes = tf.nest.flatten(cell.state_size)
    initial = initial() if initial else [0.5 * draw(B, size) for size in sizes]
    mask = tf.sequence_mask(LENGTHS, T)
    layer(x, mask=mask, initial_state=initial)
    for weight in cell.weights:
        weight.assign(scale * draw(*weight.shape))
    with tf.GradientTape() as tape:
        tape.watch([x, *initial, *cell.weights])
        found = layer(x, mask=mask, initial_state=initial)
        cotangents = [draw(*each.shape) for each in found]
        pairs = zip(found, cotangents, strict=True)
        loss = tf.add_n([tf.reduce_sum(f * c) for f, c in pairs])
    moved = [x, *initial, *cell.weights]
    grads = tape.gradient(loss, moved, unconnected_gradients="zero")
    got = {"x": x, "lengths": np.array(LENGTHS), "y": found[0], "cy": cotangents[0]}
    got["dx"] = grads[0]
    for n, leaf in enumerate(initial):
        got[f"initial/{n}"] = leaf
        got[f"state/{n}"] = found[n + 1]
        got[f"cstate/{n}"] = cotangents[n + 1]
        got[f"dinitial/{n}"] = grads[1 + n]
    for weight, grad in zip(cell.weights, grads[1 + len(initial) :], strict=True):
        # Keras writes the layer's name, the cell's, and those inside; not all of it.
        path = weight.name.partition(":")[0].split("/")
        own = [part for part in path if part not in (layer.name, cell.name)]
        key = "/".join(["rnn", cell.name, *own])
        got["weight/" + key] = weight
        got["dweight/" + key] = grad
    about = {
        "library": f"tensorflow-addons {tfa.__version__}, tensorflow {tf.__version__}",
        "reference": reference,
        "arguments": arguments or {},
    }
    got = {key: np.asarray(value) for key, value in got.items()}
    assert {a.dtype.name for k, a in got.items() if k != "lengths"} == {"float64"}, name
    got["about"] = np.array(json.dumps(about))
    OUT.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT / f"{name}.npz", **got)
    print(name, "recorded")


def main(families):
    """Record the families named, or all."""
    sys.path.insert(0, str(HERE))
    found = sorted(f.stem[7:] for f in HERE.glob("addons_*.py"))
    for family in families or found:
        importlib.import_module("addons_" + family).record(case)


if __name__ == "__main__":
    main(sys.argv[1:])
