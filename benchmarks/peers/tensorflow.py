"""Keras's own recurrent layers on TensorFlow, as a graph or through XLA."""

from __future__ import annotations

import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf

from cases import Case
from peers import THREADS, Ready
from peers.given import arrays
from peers.on_keras import make_layer, make_model

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)


def versions() -> dict[str, str]:
    """Keras and TensorFlow."""
    return {"keras": keras.__version__, "tensorflow": tf.__version__}


def faster(function, args):
    """The quicker of the graph and the XLA build of a function."""
    best, chosen, failure = float("inf"), None, None
    for xla in (False, True):
        try:
            made = tf.function(function, jit_compile=xla, autograph=False)
            made(*args)
            started = time.perf_counter()
            made(*args)
            took = time.perf_counter() - started
        except Exception as error:
            failure = error
            continue
        if took < best:
            best, chosen = took, made
    if chosen is None:
        raise failure
    return chosen


def build(case: Case) -> Ready:
    """Forward, or forward and all gradients."""
    given = arrays(case)
    layer = make_layer(keras.layers, case, return_sequences=True)
    training = case.mode == "training"
    x = tf.constant(given.x, layer.compute_dtype)
    states = [tf.constant(s, layer.compute_dtype) for s in given.states]
    mask = None if given.mask is None else tf.constant(given.mask)

    def forward(x, *states):
        return layer(x, initial_state=list(states), mask=mask, training=training)

    if not training:
        compiled = faster(forward, (x, *states))

        def run():
            y = compiled(x, *states)
            y.numpy()  # waits
            return y

        return Ready(run, lambda y: {"y": tf.cast(y, "float32").numpy()})

    dy = tf.constant(given.dy, layer.compute_dtype)
    weights = [v.value for v in layer.trainable_variables]

    def forward_and_gradients(x, dy, *states):
        with tf.GradientTape() as tape:
            for v in (x, *states):
                tape.watch(v)
            y = forward(x, *states)
        return y, tape.gradient(y, [x, *weights, *states], dy)

    compiled = faster(forward_and_gradients, (x, dy, *states))

    def run():
        y, gradients = compiled(x, dy, *states)
        gradients[0].numpy()  # waits
        return y, gradients

    def results(result):
        y, gradients = result
        named = {"y": y, "dx": gradients[0]}
        return {k: tf.cast(v, "float32").numpy() for k, v in named.items()}

    return Ready(run, results)


def build_fit(case: Case) -> Ready:
    """One epoch of the main job with Keras's own `fit`."""
    return make_model(keras.layers, case)
