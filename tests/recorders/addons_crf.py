"""The CRF of TensorFlow Addons, functions and layer: into `recorded/addons_crf`."""

import os
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("RECORDED", HERE.parent / "sources" / "recorded"))
V = 3


def call(name, length, lengths, run):
    """Write `<name>.npz`: given, returned, and the gradients of a random sum.

    Args:
        name: of the recording.
        length: T.
        lengths: of the rows.
        run: ``(inputs, tags, bitmap, lengths, transitions) -> (returned, weights)``.
    """
    rng = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    rows = len(lengths)
    given = {
        "inputs": tf.constant(rng.normal(size=(rows, length, V))),
        "tags": tf.constant(rng.randint(V, size=(rows, length)).astype("int32")),
        "lengths": tf.constant(np.array(lengths, "int32")),
        "transitions": tf.constant(rng.normal(size=(V, V))),
    }
    bitmap = rng.uniform(size=(rows, length, V)) > 0.4
    one = np.eye(V, dtype=bool)[given["tags"].numpy()]
    given["bitmap"] = tf.constant(bitmap | one)
    moved = [key for key, value in given.items() if value.dtype == tf.float64]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([given[key] for key in moved])
        found, weights = run(rng, **given)
        cotangents = [rng.normal(size=each.shape) for each in found]
        pairs = [
            (f, c)
            for f, c in zip(found, cotangents, strict=True)
            if f.dtype.is_floating
        ]
        loss = tf.add_n([tf.reduce_sum(f * c) for f, c in pairs])
    got = {"given/" + key: value for key, value in given.items()}
    for key in moved:
        grad = tape.gradient(loss, given[key])
        if grad is not None:
            got["d/" + key] = grad
    for n, (value, cotangent) in enumerate(zip(found, cotangents, strict=True)):
        got[f"returned/{n}"], got[f"cotangent/{n}"] = value, cotangent
    for key, weight in weights.items():
        got["weight/" + key] = weight
        got["dweight/" + key] = tape.gradient(loss, weight)
    folder = OUT / "addons_crf"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / f"{name}.npz", **{key: np.asarray(value) for key, value in got.items()}
    )
    print(name, "recorded")


def functions(rng, inputs, tags, bitmap, lengths, transitions):
    """Every function of tfa.text.crf."""
    del rng
    text = tfa.text
    found = [
        text.crf_sequence_score(inputs, tags, lengths, transitions),
        text.crf_multitag_sequence_score(inputs, bitmap, lengths, transitions),
        text.crf_log_norm(inputs, lengths, transitions),
        text.crf_log_likelihood(inputs, tags, lengths, transitions)[0],
        *text.crf_decode(inputs, transitions, lengths),
        *text.crf_constrained_decode(inputs, bitmap, transitions, lengths),
    ]
    if inputs.shape[1] > 1:
        found += [
            text.crf_unary_score(tags, lengths, inputs),
            text.crf_binary_score(tags, lengths, transitions),
        ]
    return found, {}


def layer(rng, inputs, tags, bitmap, lengths, transitions):
    """tfa.layers.CRF, with its loss."""
    del bitmap, transitions
    crf = tfa.layers.CRF(V, dtype="float64")
    mask = tf.sequence_mask(lengths, inputs.shape[1])
    crf(inputs, mask=mask)
    for weight in crf.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    decoded, potentials, lengths, kernel = crf(inputs, mask=mask)
    found = tfa.text.crf_log_likelihood(potentials, tags, lengths, kernel)[0]
    names = [weight.name.partition(":")[0].split("/")[-1] for weight in crf.weights]
    return [decoded, found], dict(zip(names, crf.weights, strict=True))


def record(case):
    """Record each."""
    del case
    call("crf", 4, [4, 1, 0, 3], functions)
    call("crf_one_step", 1, [1, 0], functions)
    call("crf_layer", 4, [4, 1, 3], layer)
