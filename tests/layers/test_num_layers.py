"""`num_layers`: several layers in one, held to ours one by one."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..table import draw_mask

B, T, D, U, N = 3, 6, 4, 5, 3
KINDS = pytest.mark.parametrize(
    "kind", [unrolled.SimpleRNN, unrolled.LSTM, unrolled.GRU], ids=lambda k: k.__name__
)
WAYS = pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
EVERYTHING = {"return_sequences": True, "return_state": True, "return_all_states": True}


def _several(kind, both, **options):
    layer = kind(U, num_layers=N, **options)
    layer = unrolled.Bidirectional(layer) if both else layer
    layer.build((B, T, D))
    return layer


def _one_by_one(several, kind, both, **options):
    """As many layers with the weights of `several`, each built."""
    halves = [several.forward_layer, several.backward_layer] if both else [several]
    made, shape = [], (B, T, D)
    for place in range(N):
        layer = kind(U, **options | {"return_sequences": True})
        if place == N - 1:
            layer.return_sequences = options.get("return_sequences", False)
        layer = unrolled.Bidirectional(layer) if both else layer
        layer.build(shape)
        weights = [w for half in halves for w in half.cell.cells[place].get_weights()]
        layer.set_weights(weights)
        made.append(layer)
        shape = (B, T, U * (1 + both))
    return made


def _in_turn(layers, x, start=None, backwards=False, **given):
    """What the top one gives; states of each after the other, final and all."""
    final, along = [], []
    each = len(start) // N if start else 0
    for place, layer in enumerate(layers):
        own = start[place * each : (place + 1) * each] if start else None
        x, *states = layer(x, initial_state=own, **given)
        half = len(states) // 2
        final, along = final + states[:half], along + states[half:]
        if backwards and place < N - 1:
            x = x[:, ::-1]
    return [x, *final, *along]


def _hold(got, want):
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)


@WAYS
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (unrolled.SimpleRNN, "kernel"),
        (unrolled.LSTM, "kernel"),
        (unrolled.GRU, "kernel"),
        (unrolled.LSTM, "scan"),
    ],
)
def test_it_is_the_layers_one_by_one(kind, both, path, rng, monkeypatch):
    if path == "scan":
        monkeypatch.setenv("UNROLLED_ISA", "scan")
    x = rng.normal(size=(B, T, D)).astype("float32")
    several = _several(kind, both, **EVERYTHING)
    alone = _one_by_one(several, kind, both, **EVERYTHING)
    _hold(several(x), _in_turn(alone, x))
    mask, resets = draw_mask("holes", rng, B, T), rng.random((B, T)) < 0.2
    count = len(jax.tree.leaves(several.state_names))
    start = [rng.normal(size=(B, U)).astype("float32") for _ in range(count)]
    given = {"mask": jnp.asarray(mask), "resets": jnp.asarray(resets)}
    _hold(several(x, initial_state=start, **given), _in_turn(alone, x, start, **given))
    lengths = np.array([T, 2, 4])
    _hold(several(x, lengths=lengths), _in_turn(alone, x, lengths=lengths))


@KINDS
@WAYS
def test_gradients(kind, both, rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    mask = jnp.asarray(draw_mask("right", rng, B, T))
    several = _several(kind, both)
    alone = _one_by_one(several, kind, both, return_all_states=True, return_state=True)
    halves = [several.forward_layer, several.backward_layer] if both else [several]
    order = [w for h in halves for cell in h.cell.cells for w in cell.weights[:3]]
    weights = [w.value for w in order]
    rest = [v.value for v in several.non_trainable_variables]

    def ours(weights, x):
        return jnp.sum(jnp.sin(several.stateless_call(weights, rest, x, mask=mask)[0]))

    def theirs(weights, x):
        each = 3 * N
        for place, layer in enumerate(alone):
            own = [
                w
                for way in range(1 + both)
                for w in weights[way * each + 3 * place : way * each + 3 * place + 3]
            ]
            other = [v.value for v in layer.non_trainable_variables]
            x = layer.stateless_call(own, other, x, mask=mask)[0][0]
        return jnp.sum(jnp.sin(x))

    found = (jax.grad(f, (0, 1))(weights, x) for f in (ours, theirs))
    _hold(*map(jax.tree.leaves, found))


def test_backwards_and_time_major(rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    options = {"go_backwards": True, **EVERYTHING}
    several = _several(unrolled.LSTM, False, **options)
    alone = _one_by_one(several, unrolled.LSTM, False, **options)
    want = _in_turn(alone, x, backwards=True)
    _hold(several(x), want)
    major = unrolled.LSTM(U, num_layers=N, time_major=True, **options)
    major.build((T, B, D))
    major.set_weights(several.get_weights())
    y, *states = major(x.swapaxes(0, 1))
    _hold([y.swapaxes(0, 1), *states[: 2 * N]], want[: 1 + 2 * N])


@WAYS
def test_each_layer_has_a_kernel(both):
    layer = _several(unrolled.LSTM, both)
    half = layer.forward_layer if both else layer
    one = unrolled.LSTM(U).plan((B, T, D))
    assert "the native lstm kernel" in one
    assert half.plan((B, T, D)) == f"each of {N} layers, one after the other: {one}"
    program = jax.jit(lambda x: layer(x)).lower(jnp.ones((B, T, D))).as_text()
    calls = program.count("custom_call @unrolled_forward")
    assert calls == N
    assert "while" not in program


@WAYS
def test_states_by_name_and_nested(both, rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer = _several(unrolled.LSTM, both, return_state=True)
    _, *states = layer(x)
    want = layer(x, initial_state=states)
    if both:
        f, b = (
            [states[4 * n + k] for n in range(N) for k in way]
            for way in ((0, 1), (2, 3))
        )
        name = lambda s: {  # noqa: E731
            str(n): {"h": s[2 * n], "c": s[2 * n + 1]} for n in range(N)
        }
        _hold(layer(x, initial_state={"forward": name(f), "backward": name(b)}), want)
        with pytest.raises(ValueError, match="each direction of 3 layers"):
            layer(x, initial_state=states[:-1])
        return
    pairs = [states[2 * n : 2 * n + 2] for n in range(N)]
    _hold(layer(x, initial_state=pairs), want)
    named = {str(n): {"c": c, "h": h} for n, (h, c) in enumerate(pairs)}
    _hold(layer(x, initial_state=named), want)


@WAYS
@pytest.mark.keras_ranks
def test_stateful_in_fit(both, rng):
    x = rng.normal(size=(B, 2 * T, D)).astype("float32")
    inputs = keras.Input((T, D), batch_size=B)
    layer = unrolled.GRU(U, num_layers=N, stateful=True, return_state=True)
    layer = unrolled.Bidirectional(layer) if both else layer
    model = keras.Model(inputs, layer(inputs)[0])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    y = np.zeros((2 * B, U * (1 + both)), "float32")
    pieces = np.concatenate([x[:, :T], x[:, T:]])
    model.fit(pieces, y, batch_size=B, shuffle=False, verbose=0)
    carried = [np.asarray(leaf.value) for leaf in _variables(layer.states)]
    layer.reset_state()
    _, *states = layer(x[:, :T])
    layer.reset_state(states)
    _hold(carried, layer(x[:, T:])[1:])


def _variables(states):
    is_leaf = lambda v: isinstance(v, keras.Variable)  # noqa: E731
    return jax.tree.leaves(states, is_leaf=is_leaf)


@WAYS
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_file_brings_it_back(both, dtype, rng, tmp_path):
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer = unrolled.LSTM(U, num_layers=N, layer_dropout=0.3, dtype=dtype)
    if both:
        layer = unrolled.Bidirectional(layer, dtype=dtype)
    model = keras.Sequential([keras.Input((T, D)), layer])
    want = model(x)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x), want)
    for weight in again.weights:
        weight.assign(0 * weight.value)
    again.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(again(x), want)


def test_one_layer_is_as_it_was():
    layer = unrolled.LSTM(U)
    layer.build((B, T, D))
    assert [w.path for w in layer.weights] == [
        f"lstm/lstm_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert type(layer.cell) is unrolled.LSTMCell


def test_layers_are_drawn_apart():
    layer = _several(unrolled.LSTM, False, seed=3)
    one, two, three = (np.asarray(c.recurrent_kernel.value) for c in layer.cell.cells)
    assert np.abs(one - two).max() > 0.1
    assert np.abs(two - three).max() > 0.1


@WAYS
def test_layer_dropout(both):
    """New at each step, between layers alone, scaled, off in inference."""
    x = np.ones((B, 400, D), "float32")
    layer = _several(unrolled.SimpleRNN, both, return_sequences=True)
    dropped = _several(
        unrolled.SimpleRNN, both, return_sequences=True, layer_dropout=0.5
    )
    dropped.set_weights(layer.get_weights())
    np.testing.assert_array_equal(dropped(x), layer(x))
    assert np.abs(dropped(x, training=True) - layer(x)).max() > 0.01
    two = unrolled.SimpleRNN(
        1,
        num_layers=2,
        activation="linear",
        layer_dropout=0.25,
        return_sequences=True,
        use_bias=False,
    )
    two.build((B, 400, D))
    # The first gives ones, the second what it reads.
    two.set_weights([np.eye(D, 1), np.zeros((1, 1)), np.ones((1, 1)), np.zeros((1, 1))])
    y = np.asarray(two(x, training=True))
    np.testing.assert_allclose(np.unique(y.round(5)), [0, 1.33333], atol=1e-4)
    assert 0.2 < (y == 0).mean() < 0.3
    assert 0 < (y[:, 1:] == y[:, :-1]).mean() < 0.9
    again = np.asarray(two(x, training=True))
    assert (again != y).any()
    one = unrolled.SimpleRNN(U, num_layers=2, layer_dropout=1.0)
    grad = jax.grad(lambda x: jnp.sum(one(x, training=True)))(x)
    np.testing.assert_array_equal(grad, 0)


def test_in_windows_and_learned(rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    options = {"truncate": 4, "learn_initial_state": True}
    several = _several(unrolled.LSTM, False, **options, **EVERYTHING)
    names = [f"initial_{n}_{s}" for n in range(N) for s in "hc"]
    assert [w.name for w in several.weights[: 2 * N]] == names
    start = [rng.normal(size=(U,)).astype("float32") for _ in names]
    for weight, value in zip(several.weights, start, strict=False):
        weight.assign(value)
    alone = _one_by_one(several, unrolled.LSTM, False, **EVERYTHING)
    rows = [np.broadcast_to(s, (B, U)) for s in start]
    _hold(several(x), _in_turn(alone, x, rows))


def test_stream_steps_all_of_them(rng):
    x = rng.normal(size=(1, T, D)).astype("float32")
    layer = unrolled.LSTM(U, num_layers=N, return_sequences=True)
    model = keras.Sequential([keras.Input((None, D)), layer])
    steps = unrolled.stream(model)
    y = np.stack([steps.step(row[None]) for row in x[0]])
    np.testing.assert_allclose(y.reshape(T, U), model(x)[0], atol=1e-5)


@WAYS
def test_the_next_layer_reads_a_projected_h(both, rng):
    layer = _several(unrolled.LSTM, both, projection_size=2, return_state=True)
    x = rng.normal(size=(B, T, D)).astype("float32")
    assert layer.compute_output_shape(x.shape)[0] == (B, 2 * (1 + both))
    y, *states = layer(x)
    assert y.shape == (B, 2 * (1 + both))
    assert [s.shape for s in states] == [(B, 2), (B, U)] * N * (1 + both)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_layers": 0}, "num_layers must be a positive integer"),
        ({"num_layers": 1.5}, "num_layers must be a positive integer"),
        ({"num_layers": True}, "num_layers must be a positive integer"),
        (
            {"num_layers": 2, "layer_dropout": 1.5},
            "layer_dropout must be between",
        ),
        (
            {"num_layers": 2, "layer_dropout": "a"},
            "layer_dropout must be a finite number",
        ),
        ({"layer_dropout": 0.2}, "layer_dropout acts between layers"),
    ],
)
def test_errors(options, said):
    for kind in (unrolled.LSTM, unrolled.GRU, unrolled.SimpleRNN):
        with pytest.raises(ValueError, match=said):
            kind(U, **options)


def test_errors_of_two_directions():
    two = unrolled.LSTM(U, num_layers=2)
    back = unrolled.LSTM(U, go_backwards=True)
    with pytest.raises(ValueError, match="backward_layer must have num_layers=2"):
        unrolled.Bidirectional(two, backward_layer=back)
    with pytest.raises(ValueError, match="num_layers in Bidirectional goes with"):
        unrolled.Bidirectional(
            unrolled.LSTM(U, num_layers=2, activity_regularizer="l2")
        )
    both = unrolled.Bidirectional(two)
    both.build((B, T, D))
    with pytest.raises(ValueError, match="layer is one direction of a Bidirectional"):
        both.forward_layer(np.ones((B, T, D), "float32"))
