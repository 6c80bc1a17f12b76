"""accelerate(model): same weights, same outputs, our layers; or a refusal."""

import unrolled

import keras
import numpy as np
import pytest

from .cells_of_users import CellThenHidden, Noisy

T, D, U = 5, 3, 4
K = keras.layers
pytestmark = pytest.mark.keras_ranks


def _sequential():
    return keras.Sequential(
        [
            keras.Input((T, D)),
            K.Masking(),
            K.SimpleRNN(U, return_sequences=True),
            K.LSTM(U, return_sequences=True),
            K.GRU(U, reset_after=False, go_backwards=True),
            K.Dense(2),
        ]
    )


def _functional():
    x = keras.Input((None, D))
    y, h, c = K.LSTM(U, return_sequences=True, return_state=True)(x)
    z = K.LSTM(U)(y, initial_state=[h, c])
    return keras.Model(x, [K.Dense(2)(z), h])


def _nested():
    inner = keras.Sequential([K.GRU(U, return_sequences=True), K.Dense(3)], name="in")
    return keras.Sequential([keras.Input((T, D)), inner, K.LSTM(U)])


def _bidirectional():
    return keras.Sequential(
        [
            keras.Input((T, D)),
            K.Bidirectional(K.LSTM(U, return_sequences=True)),
            K.Bidirectional(
                K.GRU(U), merge_mode="sum", backward_layer=K.GRU(U, go_backwards=True)
            ),
        ]
    )


def _stacked():
    cells = K.StackedRNNCells([K.LSTMCell(U), K.GRUCell(3), K.SimpleRNNCell(2)])
    return keras.Sequential([keras.Input((T, D)), K.RNN(cells)])


def _custom_cell():
    return keras.Sequential(
        [keras.Input((T, D)), K.RNN(CellThenHidden(U), return_sequences=True), K.GRU(2)]
    )


def _time_distributed():
    return keras.Sequential([keras.Input((2, T, D)), K.TimeDistributed(K.LSTM(U))])


MODELS = [
    _sequential,
    _functional,
    _nested,
    _bidirectional,
    _stacked,
    _custom_cell,
    _time_distributed,
]


def _recurrent(model):
    kinds = (
        K.SimpleRNN,
        K.LSTM,
        K.GRU,
        K.RNN,
        K.Bidirectional,
        K.StackedRNNCells,
        K.SimpleRNNCell,
        K.LSTMCell,
        K.GRUCell,
    )
    return [p for p in model._flatten_layers() if isinstance(p, kinds)]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__[1:])
def test_same_weights_same_outputs_our_layers(make, rng):
    stock = make()
    stock.set_weights(
        [rng.normal(size=w.shape).astype("float32") * 0.5 for w in stock.get_weights()]
    )
    before = [type(p) for p in stock._flatten_layers()]
    fast = unrolled.accelerate(stock)
    assert _recurrent(stock)
    assert not _recurrent(fast)
    assert [type(p) for p in stock._flatten_layers()] == before
    shape = (2, 2, T, D) if make is _time_distributed else (2, T, D)
    x = rng.normal(size=shape).astype("float32")
    if make is _sequential:
        x[0, 3:] = 0.0
    ours, theirs = fast.predict(x, verbose=0), stock.predict(x, verbose=0)
    ours, theirs = ([y] if isinstance(y, np.ndarray) else y for y in (ours, theirs))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    for a, b in zip(fast.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in fast.layers] == [p.name for p in stock.layers]


def test_a_compiled_model_stays_compiled(rng):
    stock = _sequential()
    stock.compile("adam", "mse", metrics=["mae"])
    fast = unrolled.accelerate(stock)
    x = rng.normal(size=(4, T, D)).astype("float32")
    fast.fit(x, np.zeros((4, 2), "float32"), verbose=0)
    assert type(fast.optimizer) is keras.optimizers.Adam


def test_the_copy_does_not_share_weights():
    stock = _sequential()
    fast = unrolled.accelerate(stock)
    kept = stock.get_weights()
    fast.set_weights([w + 1 for w in kept])
    for a, b in zip(stock.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_and_options_survive():
    stock = keras.Sequential(
        [
            keras.Input((T, D), batch_size=2),
            K.LSTM(
                U,
                dropout=0.2,
                recurrent_dropout=0.3,
                stateful=True,
                unroll=True,
                zero_output_for_mask=True,
                kernel_regularizer="l2",
                name="mine",
            ),
        ]
    )
    ours = unrolled.accelerate(stock).layers[0]
    assert (ours.dropout, ours.recurrent_dropout, ours.name) == (0.2, 0.3, "mine")
    assert ours.stateful
    assert ours.unroll
    assert ours.zero_output_for_mask
    assert len(ours.losses) == 1


def test_a_cell_stock_keras_cannot_train_trains(rng):
    """Defect 3 ends where the layer around the cell is ours."""
    stock = keras.Sequential([keras.Input((T, D)), K.RNN(Noisy(U, ["norm"]))])
    fast = unrolled.accelerate(stock)
    fast.compile("sgd", "mse")
    fast.fit(rng.normal(size=(4, T, D)).astype("float32"), np.zeros((4, U)), verbose=0)


@keras.saving.register_keras_serializable("tests")  # Keras's Bidirectional asks for it
class HeldLSTM(keras.layers.LSTM):
    """A user's subclass with code of its own."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(2 * sequences, initial_state, mask, training)


def test_refuses_where_nothing_can_be_swapped():
    model = keras.Sequential([keras.Input((T, D)), HeldLSTM(U, name="own")])
    with pytest.raises(ValueError, match=r"'own' \(HeldLSTM: code .*unrolled"):
        unrolled.accelerate(model)


@pytest.mark.parametrize("both", [False, True], ids=["alone", "bidirectional"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutional_layers_are_swapped(dims, both, rng):
    kind = f"ConvLSTM{dims}D"
    layer = getattr(K, kind)(2, 2, padding="same", stateful=not both, name="conv")
    shape = (2, T, *(4, 3, 3)[:dims], D)
    wrapped = K.Bidirectional(layer) if both else layer
    stock = keras.Sequential([keras.Input(shape[1:], batch_size=2), wrapped])
    for weight in stock.trainable_weights:
        weight.assign(rng.normal(size=weight.shape).astype("float32") * 0.3)
    x = rng.normal(size=shape).astype("float32")
    stock(x)
    fast = unrolled.accelerate(stock)
    ours = fast.layers[0].forward_layer if both else fast.layers[0]
    assert type(ours) is getattr(unrolled, kind)
    np.testing.assert_allclose(fast(x), stock(x), atol=2e-6)


@pytest.mark.parametrize(
    ("left", "shape", "name"),
    [
        (lambda: HeldLSTM(U, name="own"), (T, D), "'own' .HeldLSTM: code of its own"),
        (
            lambda: K.Bidirectional(HeldLSTM(U, name="own"), name="both"),
            (T, D),
            "'both' .Bidirectional: what is inside",
        ),
    ],
)
def test_what_has_no_counterpart_stays(left, shape, name, rng):
    """The rest is swapped, and one warning says what was not, and why."""
    x = keras.Input(shape)
    flat = K.TimeDistributed(K.Flatten())(x)
    stock = keras.Model(x, [K.Flatten()(left()(x)), K.LSTM(U, name="lstm")(flat)])
    for weight in stock.weights:
        if "float" in weight.dtype:
            weight.assign(rng.normal(size=weight.shape).astype("float32") * 0.3)
    with pytest.warns(UserWarning, match=name) as warned:
        fast = unrolled.accelerate(stock)
    assert sum("left as they are" in str(each.message) for each in warned) == 1
    assert type(fast.get_layer("lstm")) is unrolled.LSTM
    data = rng.normal(size=(2, *shape)).astype("float32")
    for ours, theirs in zip(fast(data), stock(data), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: K.LSTM(U, stateful=True),
        lambda: K.GRU(U, stateful=True),
        lambda: K.RNN([K.LSTMCell(U), K.GRUCell(3)], stateful=True),
        lambda: K.Bidirectional(K.LSTM(U, stateful=True)),
    ],
)
def test_a_stateful_layer_goes_on(make, rng):
    stock = keras.Sequential([keras.Input((T, D), batch_size=2), make()])
    x = rng.normal(size=(2, T, D)).astype("float32")
    stock(x)
    fast = unrolled.accelerate(stock)
    np.testing.assert_allclose(fast(x), stock(x), atol=2e-6)


class Whole(keras.Model):
    """A subclassed model that no configuration describes."""

    def __init__(self, units):
        super().__init__()
        self.layer = keras.layers.LSTM(int(units.split()[0]))
        self.units = object()

    def call(self, x):
        return self.layer(x)

    def get_config(self):
        raise NotImplementedError("Whole has no configuration")


def test_refuses_models_without_configuration():
    model = Whole("4 units")
    model(np.ones((1, T, D), "float32"))
    with pytest.raises(ValueError, match=r"model must be .*configuration.*Whole"):
        unrolled.accelerate(model)


def test_refuses_what_is_no_built_model():
    for thing in (K.LSTM(3), keras.Sequential([K.LSTM(3)]), "model"):
        with pytest.raises(ValueError, match=r"model must be a built Keras model"):
            unrolled.accelerate(thing)
