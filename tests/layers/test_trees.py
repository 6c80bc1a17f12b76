"""Inputs, states and outputs of a layer are trees, for both kinds of cell."""

from collections import namedtuple

import unrolled

import jax
import keras
import numpy as np
import pytest

B, T, D, U = 2, 4, 2, 3
register = keras.saving.register_keras_serializable("trees")

Inputs = namedtuple("Inputs", "left right")
States = namedtuple("States", "total last")

INPUTS = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "named_tuple": Inputs,
    "dict": lambda a, b: {"b": b, "a": a},
    "nested": lambda a, b: {"one": (a,), "two": [{"b": b}]},
}
STATES = {
    "list": lambda total, last: [total, last],
    "tuple": lambda total, last: (total, last),
    "named_tuple": States,
    # The order of its keys is not that of the alphabet.
    "dict": lambda total, last: {"total": total, "last": last},
}


def _pair(form, tree):
    if form == "dict":
        return tree["total"], tree["last"]
    return tree


def _step(form, inputs, states):
    """Total' = total / 2 + a b summed; last' = b: told apart in any order."""
    a, b = jax.tree.leaves(inputs)
    total, last = _pair(form, states)
    total = 0.5 * total + (a * b).sum(-1, keepdims=True) * 1.0
    return total + last[:, :1], STATES[form](total, b[:, :1] + 0.25 * last)


@register
class Plain(keras.layers.Layer):
    def __init__(self, form, **kwargs):
        super().__init__(**kwargs)
        self.form, self.output_size = form, U
        self.state_size = STATES[form](U, 1)

    def call(self, inputs, states):
        assert type(states) is type(STATES[self.form](0, 0))
        return _step(self.form, inputs, states)

    def get_config(self):
        return {**super().get_config(), "form": self.form}


@register
class Ours(unrolled.Cell):
    def __init__(self, form, **kwargs):
        super().__init__(**kwargs)
        self.form, self.output_size = form, U
        self.state_size = STATES[form](U, 1)

    def step(self, x, states, constants):
        del constants
        assert type(states) is type(STATES[self.form](0, 0))
        return _step(self.form, x, states)

    def get_config(self):
        return {**super().get_config(), "form": self.form}


KINDS = pytest.mark.parametrize("kind", [Plain, Ours])
pytestmark = pytest.mark.keras_ranks


def _draw(rng, *sizes):
    return rng.normal(size=(B, T, *sizes)).astype("float32")


def _law(a, b, start=None):
    """Outputs, and the two states after the last step, in float64."""
    total, last = start or (np.zeros((B, U)), np.zeros((B, 1)))
    outputs = []
    for t in range(a.shape[1]):
        total = 0.5 * total + (a[:, t] * b[:, t]).sum(-1, keepdims=True)
        outputs.append(total + last)
        last = b[:, t, :1] + 0.25 * last
    return np.stack(outputs, 1), total, last


def _close(actual, expected):
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def _symbols(tree):
    # Keras wants the inputs of a dict to be called by its keys.
    named = tree if isinstance(tree, dict) else {}
    names = {id(value): key for key, value in named.items()}
    make = lambda a: keras.Input(a.shape[1:], name=names.get(id(a)))  # noqa: E731
    return jax.tree.map(make, tree)


@KINDS
@pytest.mark.parametrize("form", INPUTS)
def test_inputs_in_every_form(kind, form, rng):
    a, b = _draw(rng, D), _draw(rng, D)
    inputs = INPUTS[form](a.astype("float64"), b.astype("float64"))
    inputs = jax.tree.map(np.float32, inputs)
    layer = unrolled.RNN(kind("list"), return_sequences=True)
    law = _law(a, b)[0]
    _close(layer(inputs), law)
    symbols = _symbols(inputs)
    model = keras.Model(symbols, layer(symbols))
    _close(model(inputs), law)
    turned = jax.tree.map(lambda x: x.swapaxes(0, 1), inputs)
    major = unrolled.RNN(kind("list"), time_major=True)
    _close(major(turned), law[:, -1])
    both = unrolled.Bidirectional(unrolled.RNN(kind("list")))
    back = _law(a[:, ::-1], b[:, ::-1])[0]
    _close(both(inputs), np.concatenate([law[:, -1], back[:, -1]], -1))
    mask = np.array([[True] * T, [True, True, False, False]])
    masked = unrolled.RNN(kind("list"))(inputs, mask=mask)
    _close(masked, [law[0, -1], law[1, 1]])


@KINDS
@pytest.mark.parametrize("form", STATES)
def test_states_in_every_form(kind, form, rng):
    """Returned in the form of state_size, and taken in it again; carried as well."""
    a, b = _draw(rng, D), _draw(rng, D)
    inputs, law = (a, b), _law(a, b)
    layer = unrolled.RNN(kind(form), return_state=True, return_all_states=True)
    y, *rest = layer(inputs)
    states = rest[: len(rest) // 2]
    given = states[0] if form == "dict" else type(STATES[form](0, 0))
    if form == "named_tuple":
        given = States(*states)
    elif form != "dict":
        given = given(states)
    for ours, theirs in zip(
        [y, *_pair(form, given)], [law[0][:, -1], *law[1:]], strict=True
    ):
        _close(ours, theirs)
    everything = rest[-1] if form == "dict" else rest[2:]
    total, last = _pair(form, everything)
    assert (total.shape, last.shape) == ((B, T, U), (B, T, 1))
    _close(total[:, -1], law[1])
    onward = _law(a, b, law[1:])
    _close(layer(inputs, initial_state=given)[0], onward[0][:, -1])
    _close(layer(inputs, initial_state=states)[0], onward[0][:, -1])
    carrying = unrolled.RNN(kind(form), stateful=True)
    carrying(inputs)
    _close(carrying(inputs), onward[0][:, -1])


@KINDS
@pytest.mark.parametrize("form", STATES)
def test_states_in_a_stack_a_wrapper_and_a_file(kind, form, rng, tmp_path):
    a, b = _draw(rng, D), _draw(rng, D)

    @register
    class Second(unrolled.Cell):
        """Between two cells of two inputs: doubles what comes."""

        state_size, output_size = {"n": 1}, (U,)

        def step(self, x, states, constants):
            del constants
            return 2.0 * x, {"n": states["n"] + 1.0}

    symbols = (keras.Input((T, D)), keras.Input((T, D)))
    cells = [unrolled.CellWrapper(kind(form)), Second()]
    layer = unrolled.RNN(cells, return_state=True)
    model = keras.Model(symbols, layer(symbols))
    law = _law(a, b)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        y, lower, upper = each((a, b))
        _close(y, 2 * law[0][:, -1])
        for ours, theirs in zip(_pair(form, lower), law[1:], strict=True):
            _close(ours, theirs)
        _close(upper["n"], np.full((B, 1), T))


@KINDS
def test_one_state_of_two_axes(kind, rng):
    """`[(3, 2)]` is one state (B, 3, 2), and `(3, 2)` are two."""
    x = _draw(rng, 2)
    steps = {
        "one": lambda x, s: (s[0][:, 0], [s[0] + x[:, None, :]]),
        "two": lambda x, s: (s[1], [s[0] + x[:, :1], s[1] + x]),
    }

    class Sums(kind):
        def __init__(self, size, step):
            super(kind, self).__init__()
            self.state_size, self.output_size, self.take = size, 2, steps[step]

        def call(self, inputs, states):
            return self.take(inputs, states)

    one = unrolled.RNN(Sums([(3, 2)], "one"), return_state=True)
    y, state = one(x)
    assert state.shape == (B, 3, 2)
    _close(state, np.repeat(x.sum(1)[:, None], 3, 1))
    _close(y, x[:, :-1].sum(1))
    _, first, second = unrolled.RNN(Sums((3, 2), "two"), return_state=True)(x)
    _close(first, np.repeat(x.sum(1)[:, :1], 3, 1))
    _close(second, x.sum(1))


# --- outputs ---


def _tell(x, states):
    """y = x + h and whether to halt; h' = h + x."""
    h = states[0]
    return {"y": x + h, "halt": keras.ops.cast(h[:, :1] > 0.5, x.dtype)}, [h + x]


@register
class Telling(keras.layers.Layer):
    state_size, output_size = D, {"y": D, "halt": 1}

    def call(self, inputs, states):
        return _tell(inputs, states)


@register
class TellingOurs(unrolled.Cell):
    state_size, output_size = [D], {"y": D, "halt": 1}

    def step(self, x, states, constants):
        del constants
        return _tell(x, states)


TELLING = pytest.mark.parametrize("kind", [Telling, TellingOurs])


def _tell_law(x, mask=None, zero=False):
    h, held = np.zeros((B, D)), {"y": np.zeros((B, D)), "halt": np.zeros((B, 1))}
    outputs = []
    for t in range(T):
        on = np.ones((B, 1), bool) if mask is None else mask[:, t, None]
        new = {"y": x[:, t] + h, "halt": (h[:, :1] > 0.5) * 1.0}
        held = {k: np.where(on, new[k], held[k] * (not zero)) for k in new}
        h = np.where(on, h + x[:, t], h)
        outputs.append(held)
    return {k: np.stack([o[k] for o in outputs], 1) for k in held}


@TELLING
@pytest.mark.parametrize("sequences", [False, True])
def test_outputs_in_a_dict(kind, sequences, rng, tmp_path):
    """On data, time-major, and in a model that goes through a file."""
    x, mask = _draw(rng, D), np.array([[True] * T, [True, False, True, False]])
    law = _tell_law(x, mask)
    law = law if sequences else {k: v[:, -1] for k, v in law.items()}
    layer = unrolled.RNN(kind(), return_sequences=sequences)
    jax.tree.map(_close, dict(layer(x, mask=mask)), law)
    shapes = {k: v.shape for k, v in law.items()}
    assert dict(layer.compute_output_shape(x.shape)) == shapes
    major = unrolled.RNN(kind(), return_sequences=sequences, time_major=True)
    found = major(x.swapaxes(0, 1), mask=mask.T)
    flip = lambda a: np.swapaxes(a, 0, 1) if sequences else np.asarray(a)  # noqa: E731
    jax.tree.map(lambda ours, theirs: _close(flip(ours), theirs), dict(found), law)
    inputs = keras.Input((T, D))
    outputs = layer(keras.layers.Masking()(inputs))
    assert {k: v.shape[1:] for k, v in outputs.items()} == {
        k: v.shape[1:] for k, v in law.items()
    }
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        jax.tree.map(_close, each.predict_on_batch(x * mask[..., None]), law)


@TELLING
def test_masks_go_on_with_each_output(kind, rng):
    mask = np.array([[True] * T, [True, True, False, False]])
    x = _draw(rng, D) * mask[..., None]
    layer = unrolled.RNN(kind(), return_sequences=True)
    after = unrolled.GRU(U)
    found = layer(x, mask=mask)
    for each in found.values():
        np.testing.assert_array_equal(each._keras_mask, mask)
    inputs = keras.Input((T, D))
    told = layer(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, after(told["y"]))
    expected = after(np.asarray(found["y"]), mask=mask)
    _close(model.predict_on_batch(x.astype("float32")), expected)
    without = after(np.asarray(found["y"]))
    assert np.max(np.abs(np.asarray(expected) - without)) > 1e-4


@TELLING
@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", None])
def test_outputs_of_two_directions(kind, merge, rng):
    x = _draw(rng, D)
    layer = unrolled.Bidirectional(
        unrolled.RNN(kind(), return_sequences=True), merge_mode=merge
    )
    forward, back = _tell_law(x), _tell_law(x[:, ::-1])
    back = {k: v[:, ::-1] for k, v in back.items()}
    merged = {
        "concat": lambda a, b: np.concatenate([a, b], -1),
        "sum": np.add,
        "mul": np.multiply,
        "ave": lambda a, b: (a + b) / 2,
        None: lambda a, b: (a, b),
    }[merge]
    law = {k: merged(forward[k], back[k]) for k in forward}
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, layer(inputs))
    for found in (layer(x), model.predict_on_batch(x)):
        if merge is None:
            pairs = {k: (found[0][k], found[1][k]) for k in law}
        else:
            pairs = dict(found)
        jax.tree.map(_close, pairs, law)


def test_directions_that_cannot_be_merged(rng):
    """One output and a dict of them; two widths where one is wanted."""
    told = unrolled.RNN(Telling(), return_sequences=True)
    plain = unrolled.GRU(D, return_sequences=True, go_backwards=True)
    x = _draw(rng, D)
    for given in (x, keras.Input((T, D))):
        layer = unrolled.Bidirectional(told, backward_layer=plain)
        with pytest.raises(ValueError, match=r"merge_mode can merge only.*Got.*None"):
            layer(given)
        narrow = unrolled.GRU(1, return_sequences=True, go_backwards=True)
        layer = unrolled.Bidirectional(
            unrolled.GRU(U, return_sequences=True), "sum", backward_layer=narrow
        )
        with pytest.raises(ValueError, match=r"merge_mode 'sum' needs.*one shape"):
            layer(given)
    apart = unrolled.Bidirectional(told, None, backward_layer=plain)
    forward, backward = apart(x)
    assert (set(forward), backward.shape) == ({"y", "halt"}, (B, T, D))
