"""`lengths` and `resets` of a whole model: who takes them, and who refuses."""

import unrolled

import jax
import keras
import numpy as np
import pytest

K = keras.layers
B, T, D, U = 2, 5, 3, 4
LENGTHS = np.array([5, 2])
RESETS = np.zeros((B, T), bool)
RESETS[0, 3] = RESETS[1, 1] = True

pytestmark = pytest.mark.keras_ranks


@pytest.fixture
def x(rng):
    return rng.normal(size=(B, T, D)).astype("float32")


def functional(*layers, shape=(T, D), **options):
    """A functional model of layers in a row."""
    tensor = inputs = keras.Input(shape, **options)
    for layer in layers:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor)


def sequential(*layers, **_):
    """A Sequential model that is not built before its first call."""
    return keras.Sequential(list(layers))


EACH = pytest.mark.parametrize("model_of", [functional, sequential])


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


BETWEEN = {
    "nothing": list,
    "dense": lambda: [K.Dense(3, activation="relu"), K.Dropout(0.5)],
    "norms": lambda: [K.LayerNormalization(), K.BatchNormalization()],
    "a mask": lambda: [K.Masking(), K.Activation("tanh"), K.ReLU()],
    "steps apart": lambda: [K.TimeDistributed(K.Dense(2))],
    "both directions": lambda: [
        unrolled.Bidirectional(unrolled.GRU(2, return_sequences=True))
    ],
}


@EACH
@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("given", [{"lengths": LENGTHS}, {"resets": RESETS}])
def test_layers_on_the_models_own_steps_take_them(model_of, name, given, x):
    first = unrolled.LSTM(U, return_sequences=True)
    between = BETWEEN[name]()
    last = unrolled.GRU(U)
    model = model_of(first, *between, last)
    got = [model(x, **given) for _ in range(2)]  # the second one goes another way
    h = first(x, **given)
    for layer in between:
        h = layer(h, **given) if isinstance(layer, unrolled.Bidirectional) else layer(h)
    want = last(h, **given)
    same(got[0], want)
    same(got[1], want)
    plain = x
    for layer in (first, *between, last):
        plain = layer(plain)
    same(model(x), plain)
    assert abs(plain - want).max() > 1e-3


def test_a_mask_of_the_graphs_own_counts_too(x):
    x[0, 1] = 0
    layer = unrolled.LSTM(U)
    model = functional(K.Masking(), layer)
    mask = (np.arange(T) < LENGTHS[:, None]) & (x != 0).any(-1)
    for _ in range(2):
        same(model(x, lengths=LENGTHS), layer(x, mask=mask))
    with pytest.raises(ValueError, match="lengths must lie between 0 and"):
        model(x, lengths=LENGTHS + T)


@EACH
def test_lists_gradients_and_jit(model_of, x):
    layer = unrolled.LSTM(U)
    model = model_of(layer)
    same(model(x, lengths=LENGTHS.tolist()), layer(x, lengths=LENGTHS))
    whole = jax.jit(jax.grad(lambda x, n: model(x, lengths=n).sum()))
    alone = jax.grad(lambda x: layer(x, lengths=LENGTHS).sum())
    same(whole(x, LENGTHS), alone(x))


def test_branches_that_meet(x):
    a, b, c = (unrolled.LSTM(U, return_sequences=True) for _ in range(3))
    inputs = keras.Input((T, D))
    model = keras.Model(
        inputs, c(K.Concatenate()([a(inputs), K.Add()([b(inputs)] * 2)]))
    )
    n = {"lengths": LENGTHS}
    h = np.concatenate([a(x, **n), 2 * b(x, **n)], -1)
    same(model(x, **n), c(h, **n))


def test_ids(rng):
    ids = rng.integers(0, 7, (B, T))
    embed, layer = K.Embedding(7, D), unrolled.LSTM(U)
    model = functional(embed, layer, shape=(T,), dtype="int32")
    same(model(ids, lengths=LENGTHS), layer(embed(ids), lengths=LENGTHS))


@EACH
def test_a_decoder_has_steps_of_its_own(model_of, x):
    encoder, decoder = unrolled.LSTM(U), unrolled.LSTM(D, return_sequences=True)
    repeat = K.RepeatVector(3)
    model = model_of(encoder, repeat, decoder)
    for _ in range(2):
        got = model(x, lengths=LENGTHS)
        same(got, decoder(repeat(encoder(x, lengths=LENGTHS))))


class Within(K.Layer):
    """A cell with a recurrent layer inside."""

    def __init__(self):
        super().__init__()
        self.state_size = U
        self.layer = unrolled.LSTM(U)

    def build(self, shape):
        self.layer.build((shape[0], 1, shape[-1]))
        self.built = True

    def call(self, inputs, states):
        y = self.layer(inputs[:, None]) + states[0]
        return y, [y]


@EACH
def test_a_layer_inside_a_cell_has_steps_of_its_own(model_of, x):
    layer = unrolled.RNN(Within())
    model = model_of(layer)
    for _ in range(2):
        same(model(x, lengths=LENGTHS), layer(x, lengths=LENGTHS))


def test_what_a_layer_was_given_in_the_graph_stays(x):
    inputs, n = keras.Input((T, D)), keras.Input((), dtype="int32")
    layer = unrolled.LSTM(U)
    model = keras.Model([inputs, n], layer(inputs, lengths=n))
    for _ in range(2):
        got = model([x, LENGTHS], lengths=np.array([1, 1]))
        same(got, layer(x, lengths=LENGTHS))


def test_a_layer_called_with_and_without_them_does_both(x):
    inputs, n = keras.Input((T, D)), keras.Input((), dtype="int32")
    layer = unrolled.LSTM(U)
    model = keras.Model([inputs, n], [layer(inputs, lengths=n), layer(inputs)])
    for _ in range(2):
        cut, whole = model([x, LENGTHS])
        same(cut, layer(x, lengths=LENGTHS))
        same(whole, layer(x))


def test_a_call_of_ones_own_decides_for_itself(x):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = unrolled.LSTM(U, return_sequences=True)
            self.second = unrolled.GRU(U)

        def call(self, x, lengths=None):
            return self.second(self.first(x, lengths=lengths))

    model = Mine()
    for _ in range(2):
        got = model(x, lengths=LENGTHS)
        same(got, model.second(model.first(x, lengths=LENGTHS)))


def test_copies_and_files(x, tmp_path):
    model = functional(unrolled.LSTM(U))
    want = model(x, lengths=LENGTHS)
    model.save(tmp_path / "m.keras")
    same(keras.models.load_model(tmp_path / "m.keras")(x, lengths=LENGTHS), want)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    same(clone(x, lengths=LENGTHS), want)


# --- where it cannot be said ---


class Own(K.Layer):
    """A layer of the user's around a recurrent one."""

    def __init__(self):
        super().__init__(name="own")
        self.layer = unrolled.LSTM(U, name="it")

    def build(self, shape):
        self.layer.build(shape)
        self.built = True

    def call(self, x):
        return self.layer(x)


def it(**options):
    return unrolled.LSTM(U, name="it", **options)


def backwards():
    return unrolled.GRU(2, return_sequences=True, go_backwards=True, name="before")


REFUSED = {
    "Conv1D": (lambda: [K.Conv1D(2, 2, strides=2, name="c"), it()], "behind 'c'"),
    "reshaped": (lambda: [K.Reshape((3, 5), name="r"), it()], "behind 'r'"),
    "turned round": (lambda: [backwards(), it()], r"behind 'before' \(GRU\)"),
    "own layer": (lambda: [K.Lambda(lambda x: x, name="f"), it()], "behind 'f'"),
    "Keras's own": (lambda: [K.GRU(2, return_sequences=True), it()], ".*takes none"),
    "Keras's own behind": (
        lambda: [it(return_sequences=True), K.Bidirectional(K.GRU(2), name="b")],
        r"and 'b' \(Keras's Bidirectional\) takes none",
    ),
    "a function": (
        lambda: [K.Dense(2, activation=lambda z: z[:, ::-1], name="d"), it()],
        "behind 'd'",
    ),
    "norms of steps": (
        lambda: [K.UnitNormalization(axis=1, name="u"), it()],
        "behind 'u'",
    ),
    "inside a layer": (lambda: [Own()], "inside another layer"),
    "time_major": (lambda: [it(time_major=True)], "time_major"),
}


@pytest.mark.parametrize("name", ["lengths", "resets"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, name, x):
    layers, why = REFUSED[case]
    model = functional(*layers())
    given = {"lengths": LENGTHS, "resets": RESETS}[name]
    for _ in range(2):
        with pytest.raises(ValueError, match=f"'it' {why}.*keras.Input"):
            model(x, **{name: given})
    model(x)


def test_two_inputs_are_refused(x):
    a, b = keras.Input((T, D), name="a"), keras.Input((T, D), name="b")
    model = keras.Model([a, b], [it()(a), unrolled.LSTM(U)(b)])
    with pytest.raises(ValueError, match=r"'\w+' behind '\w', one of 2 inputs"):
        model([x, x], lengths=LENGTHS)


def test_inside_another_model_they_are_refused_once_it_has_run(x):
    """Before, Keras drops them, and tells nobody inside."""
    outer = functional(functional(it()))
    outer(x)
    with pytest.raises(ValueError, match="'it' inside another layer"):
        outer(x, lengths=LENGTHS)
