"""`copy`, `deepcopy` and `pickle` of a stream: each goes on alone, or says why not."""

import copy
import pickle

import unrolled

import keras
import numpy as np
import pytest
from jax import numpy as jnp
from keras import layers

from .test_stream import B, D, T, engine, inputs, randomize, run, sequence  # noqa: F401

pytestmark = pytest.mark.keras_ranks

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda stream: pickle.loads(pickle.dumps(stream)),
}


@pytest.fixture(params=COPIES)
def copied(request):
    return COPIES[request.param]


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
def test_a_copy_goes_on_by_itself(copied, weights):
    model = sequence(
        unrolled.LSTM(7, return_sequences=True), unrolled.GRU(3), layers.Dense(2)
    )
    x = inputs(B, 2 * T, D)
    stream = unrolled.stream(model, batch_size=B, weights=weights)
    run(stream, x[:, :T])
    other = copied(stream)
    # What was packed is what is stepped, whatever became of the model since.
    randomize(model, seed=9)
    ahead = run(other, x[:, T:])
    np.testing.assert_array_equal(run(stream, x[:, T:]), ahead)
    assert other.plan() == stream.plan()
    other.reset([0])
    assert stream.states["gru"][0][0].any()
    with pytest.raises(ValueError, match=r"x must be numbers of shape .*\(3, 5\)"):
        other.step(x[0])


def test_which_model_a_copy_refreshes_from(copied):
    model = sequence(unrolled.GRU(3), layers.Dense(2))
    stream = unrolled.stream(model, batch_size=B)
    other = copied(stream)
    x = inputs(B, 1, D)
    before = run(stream, x)
    randomize(model, seed=9)
    other.refresh()
    shares = copied is copy.copy
    assert np.array_equal(run(other, x), before) == (not shares)


def test_ids(copied):
    model = keras.Sequential([keras.Input((None,)), layers.Embedding(11, 5)])
    stream = copied(unrolled.stream(randomize(model)))
    assert stream.step([3]).shape == (1, 5)
    with pytest.raises(ValueError, match="ids from 0 to 10"):
        stream.step([11])


class Sorts(unrolled.Cell):
    """What it does has no fused form."""

    output_size = state_size = 4

    def step(self, x, states, constants):
        del constants
        h = jnp.sort(states[0] + x[:, :1], axis=-1)
        return h, [h]


def test_a_stream_that_jax_steps():
    layer = unrolled.RNN(Sorts(), name="z")
    layer.build((None, None, D))
    x = inputs(B, T, D)
    stream = unrolled.stream(layer, batch_size=B)
    run(stream, x)
    np.testing.assert_array_equal(run(copy.copy(stream), x), run(stream, x))
    for make in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"one whose 'z' JAX compiled .*copy.copy"):
            make(stream)
