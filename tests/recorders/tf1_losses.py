"""Losses that sample, CRFs and sequence losses: into `recorded/tf1_losses`.

Each recording has what a function was given by name, what it returned, and of each
floating argument the gradient of a random sum of that. `tests/tf1` calls ours.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.contrib import crf, legacy_seq2seq

HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("RECORDED", HERE.parent / "sources" / "recorded"))
nn = tf.compat.v1.nn


def call(name, given, run):
    """Write `<name>.npz`.

    Args:
        name: of the recording.
        given: ``(numbers) -> {name: array}``; `numbers` draws of a shape.
        run: ``(**tensors) -> returned``.
    """
    rng = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    numbers = lambda *shape: rng.normal(size=shape)  # noqa: E731
    arrays = given(numbers)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(3)
        tensors = {key: tf.constant(array) for key, array in arrays.items()}
        found = tf.nest.flatten(run(**tensors))
        values = session.run(found)
        floating = [v.dtype.kind == "f" for v in values]
        cotangents = [np.asarray(numbers(*v.shape), v.dtype) for v in values]
        parts = [
            tf.reduce_sum(f * c)
            for f, c, real in zip(found, cotangents, floating)
            if real
        ]
        moved = [key for key, array in arrays.items() if array.dtype.kind == "f"]
        grads = tf.gradients(tf.add_n(parts), [tensors[key] for key in moved])
        got = {"given/" + key: array for key, array in arrays.items()}
        for n, (value, cotangent) in enumerate(zip(values, cotangents)):
            got["returned/%d" % n] = value
            got["cotangent/%d" % n] = cotangent
        for key, grad in zip(moved, grads):
            if grad is not None:
                grad = session.run(tf.convert_to_tensor(grad))
                got["d/" + key] = grad
        folder = OUT / "tf1_losses"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(str(folder / (name + ".npz")), **got)
        print(name, "recorded")


def sampled(true):
    """Of 10 ids; 3 comes twice, and is a target; 7 is one, too."""

    def given(numbers):
        labels = [[3, 7], [5, 3], [0, 8], [7, 9]]
        return {
            "weights": numbers(10, 3),
            "biases": numbers(10),
            "labels": np.array(labels)[:, :true],
            "inputs": numbers(4, 3),
            "ids": np.array([3, 7, 3, 1, 9]),
            "true_expected": np.abs(numbers(4, true)) + 0.1,
            "sampled_expected": np.abs(numbers(5)) + 0.1,
        }

    return given


def of_sampled(loss, true, remove):
    """The loss with the sample given."""

    def run(weights, biases, labels, inputs, ids, true_expected, sampled_expected):
        return loss(
            weights,
            biases,
            labels,
            inputs,
            num_sampled=5,
            num_classes=10,
            num_true=true,
            sampled_values=(ids, true_expected, sampled_expected),
            remove_accidental_hits=remove,
            partition_strategy="div",
        )

    return run


def candidates(unique):
    """What the sampler counts; floats for a gradient are given beside."""

    def run(labels, scale):
        found = tf.random.log_uniform_candidate_sampler(
            labels, 2, 20, unique, 50, seed=5
        )
        ids, true, sampled = found
        return ids, scale * true, scale * sampled

    return run


def chain(length, lengths):
    """Potentials of a CRF and what goes with them, in float32, which it wants."""

    def given(numbers):
        rows, tags = len(lengths), 3
        return {
            "inputs": numbers(rows, length, tags).astype("float32"),
            "tags": (np.arange(rows * length).reshape(rows, length) ** 2 % tags).astype(
                "int32"
            ),
            "bitmap": numbers(rows, length, tags) > -0.8,
            "lengths": np.array(lengths, "int32"),
            "transitions": numbers(tags, tags).astype("float32"),
        }

    return given


def of_chain(inputs, tags, bitmap, lengths, transitions):
    """Every function of contrib.crf."""
    bitmap = tf.logical_or(bitmap, tf.one_hot(tags, 3, True, False, dtype=tf.bool))
    more = []
    if inputs.shape[1] > 1:
        more = [
            crf.crf_unary_score(tags, lengths, inputs),
            crf.crf_binary_score(tags, lengths, transitions),
        ]
    return [
        crf.crf_sequence_score(inputs, tags, lengths, transitions),
        crf.crf_multitag_sequence_score(inputs, bitmap, lengths, transitions),
        crf.crf_log_norm(inputs, lengths, transitions),
        crf.crf_log_likelihood(inputs, tags, lengths, transitions)[0],
        *crf.crf_decode(inputs, transitions, lengths),
        bitmap,
        *more,
    ]


def steps(numbers):
    """Three steps of four rows; one row has no weight at all."""
    weights = np.abs(numbers(3, 4))
    weights[:, 1], weights[2, 2] = 0, 0
    return {
        "logits": numbers(3, 4, 5),
        "targets": np.array([[0, 1, 2, 3], [4, 3, 2, 1], [0, 0, 4, 4]]),
        "weights": weights,
    }


def of_steps(logits, targets, weights):
    """Both losses, with all that they average."""
    lists = [tf.unstack(each) for each in (logits, targets, weights)]
    mine = lambda labels, logits: tf.reduce_sum(  # noqa: E731
        (logits - tf.one_hot(labels, 5, dtype=logits.dtype)) ** 2, 1
    )
    found = [
        legacy_seq2seq.sequence_loss(
            *lists, average_across_timesteps=t, average_across_batch=b
        )
        for t in (True, False)
        for b in (True, False)
    ]
    found += [
        legacy_seq2seq.sequence_loss_by_example(*lists, average_across_timesteps=t)
        for t in (True, False)
    ]
    found.append(legacy_seq2seq.sequence_loss(*lists, softmax_loss_function=mine))
    return found


def record(case):
    """Record each."""
    del case
    for kind in ("sampled_softmax", "nce"):
        loss = getattr(nn, kind + "_loss")
        call(kind, sampled(1), of_sampled(loss, 1, True))
        call(kind + "_hits", sampled(1), of_sampled(loss, 1, False))
        call(kind + "_two", sampled(2), of_sampled(loss, 2, True))
    labels = lambda numbers: {  # noqa: E731
        "labels": np.array([[0, 1], [49, 7]]),
        "scale": np.float32(1),
    }
    call("candidates", labels, candidates(True))
    call("candidates_repeated", labels, candidates(False))
    call("crf", chain(4, [4, 1, 0, 3]), of_chain)
    call("crf_one_step", chain(1, [1, 0]), of_chain)
    call("sequence_loss", steps, of_steps)
