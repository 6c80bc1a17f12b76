"""States by name: every kind of layer, and every place that takes states.

The names come in another order than the states. What states mean, in the order in which
they are returned, is held against the float64 reference elsewhere.
"""

import unrolled

import jax
import keras
import numpy as np
import pytest

B, T, D, U = 3, 4, 3, 4


def zoneout(cell):
    return unrolled.ZoneoutWrapper(cell, {"c": 0.2, "h": 0.1})


@keras.saving.register_keras_serializable("states by name")
class Named(unrolled.LSTMCell):
    """A cell whose states are a dict, in an order of its own."""

    state_names = ("out", "in")


LAYERS = {
    "SimpleRNN": lambda **o: unrolled.SimpleRNN(U, **o),
    "LSTM": lambda **o: unrolled.LSTM(U, **o),
    "GRU": lambda **o: unrolled.GRU(U, **o),
    "names of its own": lambda **o: unrolled.RNN(Named(U), **o),
    "stack": lambda **o: unrolled.RNN(
        [unrolled.LSTMCell(U), unrolled.GRUCell(2), unrolled.LSTMCell(3)], **o
    ),
    "wrapper": lambda **o: unrolled.RNN(zoneout(unrolled.LSTMCell(U)), **o),
    "wrapper in a stack": lambda **o: unrolled.RNN(
        [zoneout(unrolled.LSTMCell(D)), unrolled.ResidualWrapper(unrolled.LSTMCell(D))],
        **o,
    ),
    "Bidirectional": lambda **o: unrolled.Bidirectional(unrolled.LSTM(U, **o)),
    "Bidirectional of a stack": lambda **o: unrolled.Bidirectional(
        unrolled.RNN([unrolled.LSTMCell(U), unrolled.LSTMCell(2)], **o)
    ),
}
EACH = pytest.mark.parametrize("kind", LAYERS)


def by_name(names, states):
    """A dict of dicts, the last name first."""
    if isinstance(names, str):
        return next(states)
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    found = [
        (each, next(states))
        if isinstance(each, str)
        else (str(place), by_name(each, states))
        for place, each in pairs
    ]
    return dict(reversed(found))


def made(kind, rng, **options):
    """A layer with random weights, its input, its states in a row and by name."""
    layer = LAYERS[kind](**options)
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer.build(x.shape)
    weights = [rng.normal(size=w.shape).astype("float32") for w in layer.get_weights()]
    layer.set_weights(weights)
    both = isinstance(layer, unrolled.Bidirectional)
    halves = [layer.forward_layer] * 2 if both else [layer]
    row = [
        rng.normal(size=each.shape).astype("float32")
        for half in halves
        for each in jax.tree.leaves(half.get_initial_state(B))
    ]
    return layer, x, row, by_name(layer.state_names, iter(row))


def same(a, b):
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(one, other)


@EACH
def test_of_a_call(kind, rng):
    layer, x, row, named = made(kind, rng, return_state=True)
    want = layer(x, initial_state=row)
    same(layer(x, initial_state=named), want)
    same(jax.jit(layer)(x, named), want)
    assert np.abs(want[0] - layer(x)[0]).max() > 1e-3


@EACH
def test_of_a_functional_model(kind, rng, tmp_path):
    layer, x, row, named = made(kind, rng)
    leaves, shape = jax.tree.flatten(named)
    inputs = [keras.Input(leaf.shape[1:]) for leaf in leaves]
    steps = keras.Input((T, D))
    y = layer(steps, initial_state=shape.unflatten(inputs))
    model = keras.Model([steps, *inputs], y)
    want = layer(x, initial_state=row)
    same(model([x, *leaves]), want)
    model.save(tmp_path / "m.keras")
    same(keras.models.load_model(tmp_path / "m.keras")([x, *leaves]), want)


@EACH
def test_of_reset_state(kind, rng):
    layer, x, row, named = made(kind, rng, stateful=True)
    layer.reset_state(row)
    want = [layer(x), layer(x)]
    layer.reset_state(states=named)
    same([layer(x), layer(x)], want)


@pytest.mark.parametrize("kind", [k for k in LAYERS if "Bidirectional" not in k])
def test_of_a_stream(kind, rng):
    """The states of a stream, and those that a stateful layer carries into one."""
    layer, x, row, named = made(kind, rng)
    want = layer(x, initial_state=row)
    stream = unrolled.stream(layer, batch_size=B)
    for given in (row, named):
        stream.states = {layer.name: given}
        y = [stream.step(x[:, t]) for t in range(T)][-1]
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
    carrying, _, _, _ = made(kind, rng, stateful=True)
    carrying.set_weights(layer.get_weights())
    carrying.reset_state(states=named)
    stream = unrolled.stream(carrying, batch_size=B)
    y = [stream.step(x[:, t]) for t in range(T)][-1]
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"h": np.zeros((B, U))}, r"states\['it'\].*c"),
        ({"h": 0, "c": 0, "d": 0}, r"states\['it'\].*leave out \['d'\]"),
        ({"h": np.zeros((B, 1)), "c": np.zeros((B, U))}, r"states\['it'\]\[0\] \(h\)"),
    ],
)
def test_a_streams_names_are_checked(given, message):
    layer = unrolled.LSTM(U, name="it")
    layer.build((B, T, D))
    stream = unrolled.stream(layer, batch_size=B)
    before = stream.states
    with pytest.raises(ValueError, match=message):
        stream.states = {"it": given}
    same(stream.states, before)


def test_places_of_a_stack_may_be_numbers(rng):
    layer, x, row, named = made("stack", rng)
    by_number = {int(place): states for place, states in named.items()}
    same(layer(x, initial_state=by_number), layer(x, initial_state=row))


@pytest.mark.parametrize("options", [{"stateful": True}, {}], ids=["unbuilt", "not"])
def test_states_for_who_carries_none_are_an_error(options):
    layer = unrolled.LSTM(U, **options)
    if not options:
        layer.build((B, T, D))
    with pytest.raises(ValueError, match="states are carried by a stateful layer"):
        layer.reset_state(states=[np.zeros((B, U))] * 2)
    layer.reset_state()
