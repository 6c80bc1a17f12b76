"""What leaves a cell is checked, in words, while its step is traced; dtypes stay."""

import inspect

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp
from keras import ops

B, T, D, U = 2, 5, 3, 4


def _x(rng):
    return rng.normal(size=(B, T, D)).astype("float32")


class Stepping(keras.layers.Layer):
    """Keras style, with a step handed in; `start` gives the fresh states."""

    def __init__(self, step, state_size=U, output_size=U, start=None, **kwargs):
        super().__init__(**kwargs)
        self.function, self.start = step, start
        self.state_size, self.output_size = state_size, output_size

    def get_initial_state(self, batch_size=None):
        if self.start is not None:
            return self.start(batch_size)
        sizes = self.state_size
        sizes = sizes if isinstance(sizes, (list, tuple)) else [sizes]
        return [ops.zeros((batch_size, n)) for n in sizes]

    def call(self, inputs, states):
        return self.function(inputs, states)

    def get_config(self):
        own = ("function", "state_size", "output_size", "start")
        given = {name.replace("function", "step"): getattr(self, name) for name in own}
        return {**super().get_config(), **given}


class SteppingOurs(unrolled.Cell):
    """The same as a `Cell`."""

    __init__ = lambda self, *args, **kwargs: _initialise(self, *args, **kwargs)  # noqa: E731
    get_initial_state = Stepping.get_initial_state

    def step(self, x, states, constants):
        del constants
        return self.function(x, states)


def _initialise(self, step, state_size=U, output_size=U, start=None):
    unrolled.Cell.__init__(self)
    self.function, self.start = step, start
    self.state_size, self.output_size = state_size, output_size


KINDS = pytest.mark.parametrize("kind", [Stepping, SteppingOurs])
AROUND = {
    "alone": unrolled.RNN,
    "below": lambda cell: unrolled.RNN([cell, unrolled.GRUCell(U)]),
    "above": lambda cell: unrolled.RNN([unrolled.GRUCell(D), cell]),
    "wrapped": lambda cell: unrolled.RNN(unrolled.CellWrapper(cell)),
    "stacked_wrapped": lambda cell: unrolled.RNN(
        [unrolled.GRUCell(D), unrolled.ZoneoutWrapper(cell, 0.1)]
    ),
}


def _refuses(kind, step, *parts, **sizes):
    """On data and in a model, alone, in a stack and in a wrapper."""
    for name, around in AROUND.items():
        symbolic = name in ("alone", "above")
        inputs = [np.ones((B, T, D), "float32"), *[keras.Input((T, D))] * symbolic]
        for x in inputs:
            with pytest.raises(ValueError, match="Got ") as caught:
                around(kind(step, **sizes))(x)
            message = str(caught.value)
            for part in (kind.__name__, *parts):
                assert part in message, f"{name}: {part!r} not in {message}"
            assert "Tracer" not in message


# --- what a step returns ---


def _wide(x, width=U):
    return ops.tile(x[:, :1], (1, width))


@KINDS
@pytest.mark.parametrize(
    ("step", "parts"),
    [
        (lambda x, s: (_wide(x), s[:1]), ["2 new state(s)", ": 0, 1.", "Got 1:"]),
        (lambda x, s: (_wide(x), [*s, s[0]]), ["2 new state(s)", "Got 3:"]),
        (lambda x, s: _wide(x), ["(output, new_states)", "one array of shape (2, 4)"]),
        (lambda x, s: (_wide(x), *s), ["(output, new_states)", "a tuple of 3"]),
        (lambda x, s: None, ["(output, new_states)", "NoneType"]),
    ],
    ids=["too_few", "too_many", "output_alone", "states_loose", "nothing"],
)
def test_a_step_returns_an_output_and_all_states(kind, step, parts):
    _refuses(kind, step, *parts, state_size=[U, U])


@KINDS
def test_a_state_of_another_shape_is_named(kind):
    step = lambda x, s: (_wide(x), [s[0], x])  # noqa: E731
    parts = ["state 1 of", f"= ({B}, {U})", f"Got ({B}, {D})"]
    _refuses(kind, step, *parts, state_size=[U, U])

    class Named(kind):
        state_names = ("h", "c")

    with pytest.raises(ValueError, match="state c of Named must have shape"):
        unrolled.RNN(Named(step, [U, U]))(np.ones((B, T, D), "float32"))


@KINDS
def test_an_output_of_another_shape(kind):
    """Width 3 where 4 was declared; a row too few; an axis too many."""
    declared = f"output_size of {kind.__name__} declares"
    want = f"= ({B}, {U}) at a step"
    for output, got in [
        (lambda x: x, f"Got ({B}, {D})"),
        (lambda x: _wide(x)[:1], f"Got (1, {U})"),
        (lambda x: _wide(x)[:, None], f"Got ({B}, 1, {U})"),
        (lambda x: {"y": _wide(x)}, f"Got {{'y': ({B}, {U})}}"),
        (lambda x: [_wide(x)], f"Got [({B}, {U})]"),
    ]:
        _refuses(kind, lambda x, s, o=output: (o(x), s), declared, want, got)


@KINDS
def test_outputs_in_a_dict_keep_their_keys(kind):
    """Two of one shape would change places unseen."""
    step = lambda x, s: ({"y": x, "stop": x}, s)  # noqa: E731
    cell = kind(step, output_size={"y": D, "halt": D})
    with pytest.raises(ValueError, match=r"output_size of .*'halt'.*Got .*'stop'"):
        unrolled.RNN(cell)(np.ones((B, T, D), "float32"))
    loose = kind(lambda x, s: ([x, x], s), output_size={"y": D, "halt": D})
    with pytest.raises(ValueError, match=r"output_size of .*'halt'.*Got \[\("):
        unrolled.RNN(loose)(np.ones((B, T, D), "float32"))


@KINDS
def test_what_fits_passes(kind, rng):
    """An output that is not said is believed, as in Keras."""
    x = _x(rng)
    step = lambda x, s: (x, [s[0] + ops.sum(x)])  # noqa: E731
    y = unrolled.RNN(kind(step, [U], None), return_sequences=True)(x)
    np.testing.assert_array_equal(y, x)


# --- decisions on values ---


def _if(x, states):
    if ops.sum(x) > 0:
        return _wide(x), states
    return -_wide(x), states


def _for(x, states):
    for _ in range(int(ops.sum(x))):
        x = x + 1
    return _wide(x), states


def _while(x, states):
    while (x < 0).any():
        x = x + 1
    return _wide(x), states


def _numpy(x, states):
    return _wide(ops.convert_to_tensor(np.tanh(np.asarray(x)))), states


def _pick(x, states):
    rows = x[x[:, 0] > 0]
    return _wide(rows), states


@KINDS
@pytest.mark.parametrize("step", [_if, _for, _while, _numpy, _pick])
def test_a_decision_on_values_is_named_by_its_line(step, kind):
    lines, first = inspect.getsourcelines(step)
    marked = ("if ", "for ", "while ", "asarray", "rows = ")
    at = next(n for n, line in enumerate(lines) if any(m in line for m in marked))
    _refuses(
        kind,
        step,
        f"line {first + at} of {__file__}",
        f"`{lines[at].strip()}`",
        "jnp.where or keras.ops.where",
        "fixed number",
    )


def test_other_errors_of_a_step_stay_as_they_are():
    def step(*_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        unrolled.RNN(SteppingOurs(step))(np.ones((B, T, D), "float32"))


# --- dtypes of states ---


def _turn(x, states):
    turn = jnp.asarray(0.6 + 0.8j, "complex64")
    turned = states[0] * turn + x[:, :1].astype("complex64")
    return jnp.real(turned) + jnp.imag(turned), [turned]


def _turn_law(x, states):
    turned = states[0] * (0.6 + 0.8j) + x[:, :1]
    return turned.real + turned.imag, [turned]


def _count(x, states):
    (seen, any_yet) = states
    seen = seen + jnp.asarray(x[:, :1] > 0, "int32")
    return seen.astype(x.dtype) * x[:, :1], [seen, any_yet | (x[:, :1] > 1)]


def _count_law(x, states):
    seen = states[0] + (x[:, :1] > 0)
    return seen * x[:, :1], [seen, states[1] | (x[:, :1] > 1)]


def _keyed(x, states):
    keys = jax.vmap(lambda k: jax.random.fold_in(k, 7))(states[0])
    noise = jax.vmap(lambda k: jax.random.uniform(k, (1,)))(keys)
    return x[:, :1].astype("float32") + noise, [keys]


def _keyed_law(x, states):
    keys = [jax.random.fold_in(jnp.asarray(k, "uint32"), 7) for k in states[0]]
    noise = np.stack([np.float64(jax.random.uniform(k, (1,))) for k in keys])
    return x[:, :1] + noise, [np.stack(keys)]


CARRIED = {
    "complex": (_turn, _turn_law, [1], ["complex64"]),
    "counters": (_count, _count_law, [1, 1], ["int32", "bool"]),
    "keys": (_keyed, _keyed_law, [(2,)], ["uint32"]),
}


def _start(dtypes, sizes, rows):
    shapes = [size if isinstance(size, tuple) else (size,) for size in sizes]
    pairs = zip(shapes, dtypes, strict=True)
    return [jnp.full((rows, *shape), kind != "bool", kind) for shape, kind in pairs]


@KINDS
@pytest.mark.parametrize("name", CARRIED)
def test_states_keep_their_dtype(kind, name, rng):
    """Handed in again, or carried: the same as the whole sequence in one run."""
    step, law, sizes, dtypes = CARRIED[name]

    def layer(**kwargs):
        cell = kind(step, sizes, 1, lambda rows: _start(dtypes, sizes, rows))
        return unrolled.RNN(cell, return_sequences=True, return_state=True, **kwargs)

    x, states, outputs = _x(rng), [np.asarray(s) for s in _start(dtypes, sizes, B)], []
    for t in range(T):
        output, states = law(x[:, t].astype("float64"), states)
        outputs.append(output)
    whole = np.stack(outputs, 1)
    one, carrying, mixed = layer(), layer(stateful=True), layer(dtype="mixed_bfloat16")
    first, *kept = one(x[:, :2])
    second, *last = one(x[:, 2:], initial_state=kept)
    parts = [carrying(x[:, :2])[0], carrying(x[:, 2:])[0]]
    for ours in (np.concatenate([first, second], 1), np.concatenate(parts, 1)):
        np.testing.assert_allclose(ours, whole, atol=1e-5)
    for found in (kept, last, jax.tree.leaves(carrying.get_initial_state(B))):
        assert [str(s.dtype) for s in found] == dtypes
    assert [str(v.dtype) for v in carrying.states] == dtypes
    for ours, theirs in zip(last, states, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert [str(s.dtype) for s in mixed(x)[1:]] == dtypes


@KINDS
def test_states_keep_their_dtype_in_a_stack_a_wrapper_and_a_model(kind, rng):
    step, _, sizes, dtypes = CARRIED["counters"]

    def cell():
        return kind(step, sizes, 1, lambda n: [jnp.zeros((n, 1), k) for k in dtypes])

    cells = [unrolled.CellWrapper(cell()), cell()]
    layer = unrolled.RNN(cells, return_state=True, return_all_states=True)
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, layer(inputs))
    x = _x(rng)
    for found in (layer(x), model(x), model.outputs):
        kinds = [str(a.dtype) for a in jax.tree.leaves(list(found))]
        assert kinds == ["float32", *["int32", "bool"] * 4]


@KINDS
def test_a_state_does_not_become_another_kind(kind):
    start = lambda n: [jnp.zeros((n, 1), "int32")]  # noqa: E731
    cell = kind(lambda x, s: (x[:, :1], [x[:, :1]]), [1], 1, start)
    with pytest.raises(ValueError, match=r"state h of .*keep its dtype, int32.*float"):
        unrolled.RNN(cell)(np.ones((B, T, D), "float32"))


# --- integers ---


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
@pytest.mark.parametrize("make", [unrolled.LSTM, unrolled.GRU, unrolled.SimpleRNN])
def test_whole_numbers_are_cast_where_they_are_multiplied(make, dtype, rng):
    layer, x = make(U), rng.integers(0, 2, (B, T, D)).astype(dtype)
    y = layer(x)
    assert str(y.dtype) == "float32"
    np.testing.assert_array_equal(y, layer(x.astype("float32")))
    inputs = keras.Input((T, D), dtype=dtype)
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(model.predict_on_batch(x), y, atol=1e-6)


class LooksUp(keras.layers.Layer):
    """Sums the vectors of the ids it is given: K of them, or one, for each row."""

    state_size = output_size = U

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.vectors = keras.layers.Embedding(7, U)

    def call(self, inputs, states):
        self.got = str(inputs.dtype)
        found = self.vectors(inputs)
        found = ops.sum(found, 1) if len(inputs.shape) == 2 else found
        return states[0] + found, [states[0] + found]


@pytest.mark.parametrize("shape", [(B, T), (B, T, 2)], ids=str)
@pytest.mark.parametrize("time_major", [False, True])
def test_a_cell_gets_ids_as_they_are(shape, time_major, rng):
    ids = rng.integers(0, 7, shape)
    layer = unrolled.RNN(LooksUp(), time_major=time_major)
    turned = ids.swapaxes(0, 1) if time_major else ids
    y = layer(turned.astype("int32"))
    assert layer.cell.got == "int32"
    table = np.asarray(layer.cell.vectors.embeddings.value, "float64")
    law = table[ids].reshape(B, -1, U).sum(1)
    np.testing.assert_allclose(y, law, atol=1e-5)
    if not time_major:
        inputs = keras.Input(shape[1:], dtype="int32")
        model = keras.Model(inputs, unrolled.RNN(layer.cell)(inputs))
        np.testing.assert_allclose(model.predict_on_batch(ids), law, atol=1e-5)


@pytest.mark.parametrize("make", [unrolled.LSTM, unrolled.Bidirectional])
def test_ids_into_a_layer_that_multiplies(make):
    layer = make(U) if make is unrolled.LSTM else make(unrolled.LSTM(U))
    for ids in (np.ones((B, T), "int32"), keras.Input((T,), dtype="int32")):
        with pytest.raises(ValueError, match=r"rank 3.*Embedding before the layer"):
            layer(ids)
