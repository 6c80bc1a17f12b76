"""The mask that a layer hands on: however it came, whatever is called, in a chain."""

import unrolled

import keras
import numpy as np
import pytest

from ..cells_of_users import CellThenHidden
from ..harness import close, scatter

B, T, D, U = 3, 6, 4, 5
LENGTHS = np.array([6, 2, 4], "int32")
RIGHT = np.arange(T)[None] < LENGTHS[:, None]
HOLES = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]], bool)


def _both(**kwargs):
    return unrolled.Bidirectional(
        unrolled.GRU(U, return_sequences=True, **kwargs.pop("inside", {})), **kwargs
    )


LAYERS = {
    "SimpleRNN": lambda: unrolled.SimpleRNN(U, return_sequences=True),
    "LSTM": lambda: unrolled.LSTM(U, return_sequences=True),
    "GRU": lambda: unrolled.GRU(U, return_sequences=True),
    "zeros": lambda: unrolled.LSTM(U, return_sequences=True, zero_output_for_mask=True),
    "states": lambda: unrolled.LSTM(
        U, return_sequences=True, return_state=True, return_all_states=True
    ),
    "stack": lambda: unrolled.RNN(
        [unrolled.LSTMCell(U), unrolled.GRUCell(U)], return_sequences=True
    ),
    "user": lambda: unrolled.RNN(CellThenHidden(U), return_sequences=True),
    "backwards": lambda: unrolled.LSTM(U, return_sequences=True, go_backwards=True),
    "backwards user": lambda: unrolled.RNN(
        CellThenHidden(U), return_sequences=True, go_backwards=True
    ),
    "Bidirectional": _both,
    "sum": lambda: _both(merge_mode="sum"),
    "states of both": lambda: _both(inside={"return_state": True}),
    "apart": lambda: _both(merge_mode=None),
    "backwards first": lambda: _both(inside={"go_backwards": True}),
    "stock inside": lambda: unrolled.Bidirectional(
        keras.layers.LSTM(U, return_sequences=True)
    ),
}


class Chain(keras.Model):
    """Three layers, as people write them in a class."""

    def __init__(self, layer):
        super().__init__()
        self.supports_masking = True
        self.layer = layer
        self.middle = unrolled.LSTM(U, return_sequences=True, name="middle")
        self.end = unrolled.GRU(U, name="end")

    def call(self, x, mask=None, lengths=None):
        given = {"mask": mask, "lengths": lengths}
        given = {key: value for key, value in given.items() if value is not None}
        return self.end(self.middle(_first(self.layer(x, **given))))


def _first(returned):
    return returned[0] if isinstance(returned, (list, tuple)) else returned


def _law(chain, x, mask):
    """Each layer alone, its mask in hand."""
    y = np.asarray(_first(chain.layer(x, mask=mask)))
    own = getattr(chain.layer, "go_backwards", False)
    after = mask[:, ::-1] if own else mask
    return chain.end(np.asarray(chain.middle(y, mask=after)), mask=after)


def _given(way):
    return {"mask": HOLES} if way == "mask" else {"lengths": LENGTHS}


WAYS = ["mask", "lengths", "keras"]
# Compiled and functional models reach the same code: of each form of layer one.
_FORMS = ["LSTM", "backwards user", "Bidirectional"]
CASES = [("eager", kind, way) for kind in LAYERS for way in WAYS]
CASES += [(m, k, way) for m in ("jit", "functional") for k in _FORMS for way in WAYS]
# Keras's own layers take no lengths.
CASES.remove(("eager", "stock inside", "lengths"))


@pytest.mark.keras_ranks
@pytest.mark.parametrize(("model", "kind", "way"), CASES)
def test_a_chain_of_three(model, kind, way, rng):
    chain = Chain(LAYERS[kind]())
    x = rng.normal(size=(B, T, D)).astype("float32")
    mask = RIGHT if way == "lengths" else HOLES
    if way == "keras":
        x = np.where(mask[..., None], x, 0)
    masking = keras.layers.Masking() if way == "keras" else lambda x: x
    given = {} if way == "keras" else _given(way)
    chain(masking(x), **given)
    scatter(chain, rng)
    law = _law(chain, x, mask)
    if model == "eager":
        found = chain(masking(x), **given)
    elif model == "jit":
        outer = _Outer(masking, chain, given)
        outer.compile(jit_compile=True)
        found = outer.predict_on_batch(x)
    else:
        inputs = keras.Input((T, D))
        extra = {k: keras.Input(v.shape[1:], dtype=v.dtype) for k, v in given.items()}
        y = _first(chain.layer(masking(inputs), **extra))
        y = chain.end(chain.middle(y))
        functional = keras.Model([inputs, *extra.values()], y)
        found = functional.predict_on_batch([x, *given.values()])
    close(found, law)


class _Outer(keras.Model):
    def __init__(self, masking, chain, given):
        super().__init__()
        self.supports_masking = True
        self.masking, self.chain, self.given = masking, chain, given

    def call(self, x):
        return self.chain(self.masking(x), **self.given)


@pytest.mark.parametrize("backwards", [False, True])
def test_time_major(backwards, rng):
    layer = unrolled.LSTM(
        U, return_sequences=True, time_major=True, go_backwards=backwards
    )
    y = layer(rng.normal(size=(T, B, D)).astype("float32"), lengths=LENGTHS)
    expected = RIGHT.T[::-1] if backwards else RIGHT.T
    np.testing.assert_array_equal(y._keras_mask, expected)
    both = unrolled.Bidirectional(layer)
    y = both(rng.normal(size=(T, B, D)).astype("float32"), lengths=LENGTHS)
    np.testing.assert_array_equal(y._keras_mask, RIGHT.T)


@pytest.mark.parametrize("kind", ["states", "states of both", "apart"])
def test_states_and_last_outputs_have_no_mask(kind, rng):
    layer = LAYERS[kind]()
    x = rng.normal(size=(B, T, D)).astype("float32")
    returned = layer(x, lengths=LENGTHS)
    outputs = 2 if kind == "apart" else 1
    parts = returned if isinstance(returned, tuple) else (returned,)
    for part in parts[:outputs]:
        assert part._keras_mask.shape == (B, T)
    for part in parts[outputs:]:
        assert getattr(part, "_keras_mask", None) is None


@pytest.mark.keras_ranks
def test_keras_layers_read_it(rng):
    """Average pooling leaves masked steps out, here as after an Embedding."""
    x = rng.normal(size=(B, T, D)).astype("float32")
    both = _both()
    y = both(x, lengths=LENGTHS)
    mean = keras.layers.GlobalAveragePooling1D()(y)
    law = [np.asarray(y)[b, :n].mean(0) for b, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(mean, law, atol=1e-6)
