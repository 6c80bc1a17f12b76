"""What a model is fed."""

from unrolled.explain.facts import sample, watch

import keras
import numpy as np


class Named(keras.Model):
    """Called with a dict, and says nothing of its inputs beforehand."""

    def call(self, inputs, training=False):
        del training
        return inputs["ids"].sum(1, keepdims=True).astype("float32") * inputs["numbers"]


def test_a_dict_reaches_a_model_that_declares_no_inputs():
    """By its keys, and every array is a batch: ids (B, T) are no example (T, D)."""
    given = {
        "numbers": np.ones((2, 1), "float32"),
        "ids": np.array([[1, 2, 3], [4, 5, 6]]),
    }
    data = sample.fit(Named(), given)
    assert data.names == ["numbers", "ids"]
    assert [a.shape for a in data.arrays] == [(2, 1), (2, 3)]
    np.testing.assert_array_equal(watch.run(Named(), data), [[6], [15]])
