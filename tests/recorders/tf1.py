"""Record what cells and drivers of TensorFlow 1.15.5 give: Python 3.7.

    pip install tensorflow==1.15.5 'protobuf<3.21' 'numpy<1.19'
    python tests/recorders/tf1.py [family ...]

Each family is a module beside this one, `tf1_<family>.py`, with `record(case)`, which
calls `case(...)` once for each recording. Values and gradients are float64 where the
library can.
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

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("RECORDED", HERE.parent / "sources" / "recorded")) / "tf1"
B, T, D = 3, 4, 3
LENGTHS = [4, 2, 3]


def case(
    name,
    make,
    reference,
    arguments=None,
    input_shape=(D,),
    dtype="float64",
    scale=0.5,
    batch=B,
    inputs=None,
    lengths=LENGTHS,
    start=None,
    run=None,
    backwards=False,
):
    """Run a cell under `dynamic_rnn` with random weights; write `<name>.npz`.

    Args:
        name: of the recording.
        make: () -> the cell, made inside the graph.
        reference: the function of `tests/sources/<family>.py` that has to give the
            same, as "family.function".
        arguments: what that function is given beside; plain numbers and words.
        input_shape: of one step, the batch apart.
        dtype: of all arrays.
        scale: of the random weights.
        batch: B.
        inputs: (x) -> what the cell reads, if it is not x itself, (B, T, ...).
        lengths: of the sequences.
        start: (random tensors) -> the initial states, if not all numbers may be.
        run: (cell, inputs, lengths, initial state) -> (y, states), in place of
            `dynamic_rnn`.
        backwards: whether it begins at the end of each sequence.
    """
    rng = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    lengths = lengths[:batch]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        cell = make()
        draw = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
        x = tf.constant(draw(batch, T, *input_shape))
        zeros = cell.zero_state(batch, dtype)
        leaves = tf.nest.flatten(zeros)
        initial = [tf.constant(0.5 * draw(*leaf.shape.as_list())) for leaf in leaves]
        initial = start(initial) if start else initial
        y, states = (run or _dynamic)(
            cell,
            inputs(x) if inputs else x,
            lengths,
            tf.nest.pack_sequence_as(zeros, initial),
        )
        weights = tf.compat.v1.trainable_variables()
        session.run(tf.compat.v1.global_variables_initializer())
        for weight in weights:
            value = scale * draw(*weight.shape.as_list())
            session.run(weight.assign(value))
        found = [y, *tf.nest.flatten(states)]
        cotangents = [tf.constant(draw(*session.run(each).shape)) for each in found]
        loss = tf.add_n([tf.reduce_sum(f * c) for f, c in zip(found, cotangents)])
        moved = [x, *initial, *weights]
        grads = tf.gradients(loss, moved)
        arrays = {"x": x, "lengths": tf.constant(lengths), "y": y, "cy": cotangents[0]}
        arrays["dx"] = grads[0]
        for n, leaf in enumerate(initial):
            arrays[f"initial/{n}"] = leaf
            arrays[f"state/{n}"] = found[n + 1]
            arrays[f"cstate/{n}"] = cotangents[n + 1]
            arrays[f"dinitial/{n}"] = grads[1 + n]
        for weight, grad in zip(weights, grads[1 + len(initial) :]):
            key = weight.op.name
            arrays["weight/" + key] = weight
            arrays["dweight/" + key] = grad
        arrays = {
            k: tf.convert_to_tensor(v) if v is not None else None
            for k, v in arrays.items()
        }
        # What nothing depends on has no gradient; zeros say so.
        absent = [k for k, v in arrays.items() if v is None]
        got = session.run({k: v for k, v in arrays.items() if v is not None})
        for key in absent:
            of = {"dx": "x"}.get(key, key[1:])
            got[key] = np.zeros_like(got[of])
        about = {
            "library": "tensorflow " + tf.__version__,
            "reference": reference,
            "arguments": arguments or {},
            "backwards": backwards,
        }
        got["about"] = np.array(json.dumps(about))
        OUT.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(OUT / f"{name}.npz", **got)
        print(name, "recorded")


def _dynamic(cell, x, lengths, initial):
    return tf.compat.v1.nn.dynamic_rnn(
        cell, x, sequence_length=lengths, initial_state=initial
    )


def main(families):
    """Record the families named, or all."""
    sys.path.insert(0, str(HERE))
    found = sorted(f.stem[4:] for f in HERE.glob("tf1_*.py"))
    for family in families or found:
        importlib.import_module("tf1_" + family).record(case)


if __name__ == "__main__":
    main(sys.argv[1:])
