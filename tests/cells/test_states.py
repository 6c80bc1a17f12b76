"""States go by their names, and keep their form and dtype."""

from collections import namedtuple

import unrolled

import jax
import keras
import numpy as np
import pytest
from keras import ops

from .. import record, reference
from ..harness import randomise
from ..table import BY_NAME, CELLS

B, T, D, U = 2, 5, 3, 4
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)
NAMES = {1: ["h"], 2: ["h", "c"]}


def _draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def _hold(actual, expected, name):
    record.hold("values", "float32", actual, expected, name)


def _law(row, params, x, start):
    return reference.unroll(row.reference_step(params), x.astype("float64"), start)


# --- a dict in any order ---


@ROWS
def test_initial_state_by_name(row, rng):
    """In any order of keys; the states returned are in Keras's order all the same."""
    layer = row.layer(U, return_state=True, **row.kwargs)
    layer.build((B, T, D))
    params = randomise(layer, row, rng, D, U)
    x, start = _draw(rng, B, T, D), [_draw(rng, B, U) for _ in range(row.states)]
    law = _law(row, params, x, start)
    named = dict(zip(NAMES[row.states], start, strict=True))
    for given in (named, dict(reversed(named.items()))):
        y, *after = layer(x, initial_state=given)
        for ours, theirs in zip([y, *after], [law.last, *law.states], strict=True):
            _hold(ours, theirs, f"{row} by name")


@ROWS
def test_carried_states_by_name(row, rng):
    layer = row.layer(U, stateful=True, **row.kwargs)
    layer.build((B, T, D))
    params = randomise(layer, row, rng, D, U)
    x, start = _draw(rng, B, T, D), [_draw(rng, B, U) for _ in range(row.states)]
    named = dict(reversed(list(zip(NAMES[row.states], start, strict=True))))
    layer.reset_state(states=named)
    first = _law(row, params, x, start)
    _hold(layer(x), first.last, f"{row} carried by name")
    _hold(layer(x), _law(row, params, x, first.states).last, f"{row} carried on")
    with pytest.raises(ValueError, match=r"states given by name.*add \[.*'h'\]"):
        layer.reset_state(states={})


def _stack_law(cells, rows, starts, x):
    """Last output and final states of LSTM-like cells one above the other."""
    after = []
    for cell, row, start in zip(cells, rows, starts, strict=True):
        params = {v.name: np.float64(v.value) for v in cell.trainable_variables}
        run = _law(row, params, x, start)
        x, states = run.outputs, run.states
        after.append(states)
    return run.last, after


@pytest.mark.parametrize("nested", [False, True], ids=["stack", "nested"])
def test_a_stack_is_called_by_places(nested, rng):
    rows = [BY_NAME["lstm"], BY_NAME["gru"], BY_NAME["lstm"]]
    cells = [row.cell(U, bias_initializer="random_normal") for row in rows]
    upper = unrolled.StackedRNNCells(cells[1:])
    layer = unrolled.RNN([cells[0], upper] if nested else cells, return_state=True)
    x = _draw(rng, B, T, D)
    layer.build(x.shape)
    starts = [[_draw(rng, B, U) for _ in range(row.states)] for row in rows]
    (h0, c0), (h1,), (h2, c2) = starts
    given = {"1": {"h": h1}, "2": {"c": c2, "h": h2}, "0": {"c": c0, "h": h0}}
    if nested:
        inner = {"1": given.pop("2"), "0": given["1"]}
        given["1"] = inner
    y, *after = layer(x, initial_state=given)
    last, states = _stack_law(cells, rows, starts, x)
    _hold(y, last, "stack by name")
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(states), strict=True)
    for ours, theirs in pairs:
        _hold(ours, theirs, "stack by name")
    names = layer.cell.named_states(layer.get_initial_state(B))
    assert set(names) == set(given)
    assert set(names["0"]) == {"h", "c"}
    mixed = [given["0"], *([given["1"]] if nested else [[h1], [h2, c2]])]
    again = layer(x, initial_state=mixed)[0]
    np.testing.assert_array_equal(again, y)


def test_bidirectional_is_called_by_directions(rng):
    layer = unrolled.Bidirectional(unrolled.LSTM(U, return_state=True))
    x = _draw(rng, B, T, D)
    layer.build(x.shape)
    starts = [[_draw(rng, B, U) for _ in "hc"] for _ in range(2)]
    (h, c), (backward_h, backward_c) = starts
    given = {"backward": {"c": backward_c, "h": backward_h}, "forward": [h, c]}
    y, *after = layer(x, initial_state=given)
    row, laws = BY_NAME["lstm"], []
    pieces = (layer.forward_layer, x), (layer.backward_layer, x[:, ::-1])
    for (one, turned), start in zip(pieces, starts, strict=True):
        params = {v.name: np.float64(v.value) for v in one.trainable_variables}
        laws.append(_law(row, params, turned, start))
    _hold(y, np.concatenate([law.last for law in laws], -1), "directions")
    for ours, theirs in zip(after, laws[0].states + laws[1].states, strict=True):
        _hold(ours, theirs, "directions")
    assert layer.state_names == {"forward": ["h", "c"], "backward": ["h", "c"]}
    for wrong in ({"forward": [h, c]}, {**given, "sideways": h}):
        with pytest.raises(ValueError, match=r"initial_state given by name.*forward"):
            layer(x, initial_state=wrong)
    with pytest.raises(ValueError, match=r"leave out \['d'\]"):
        layer(x, initial_state={**given, "forward": {"h": h, "c": c, "d": c}})


class Counted(unrolled.CellWrapper):
    """Counts the steps and sums the outputs, in states of its own."""

    own_states = {"sum": U, "steps": 1}  # noqa: RUF012  as users write it

    def step(self, x, states, constants):
        inner, own = self.split(states)
        output, inner = super().step(x, inner, constants)
        own = {"sum": own["sum"] + output, "steps": own["steps"] + 1}
        return output, self.join(inner, own)


WRAPPERS = {
    "dropout": lambda cell: unrolled.DropoutWrapper(cell, input_dropout=0.5),
    "zoneout": lambda cell: unrolled.ZoneoutWrapper(cell, {"h": 0.0}),
    "own": Counted,
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrappers_states_are_its_cells_and_its_own(kind, rng):
    row = BY_NAME["lstm"]
    cell = row.cell(U)
    layer = unrolled.RNN(WRAPPERS[kind](cell), return_state=True)
    x = _draw(rng, B, T, D)
    layer.build(x.shape)
    h, c, total = (_draw(rng, B, U) for _ in range(3))
    given = {"c": c, "h": h}
    if kind == "own":
        given = {"steps": np.full((B, 1), 2, "float32"), "sum": total, **given}
    y, *after = layer(x, initial_state=given)
    params = {v.name: np.float64(v.value) for v in cell.trainable_variables}
    law = _law(row, params, x, [h, c])
    expected = [law.last, *law.states]
    if kind == "own":
        expected += [total + law.outputs.sum(1), np.full((B, 1), 2 + T)]
    for ours, theirs in zip([y, *after], expected, strict=True):
        _hold(ours, theirs, f"{kind} by name")


def test_a_wrappers_own_name_must_not_clash():
    class Clash(unrolled.CellWrapper):
        own_states = {"c": 2}  # noqa: RUF012

    layer = unrolled.RNN(Clash(unrolled.LSTMCell(U)))
    with pytest.raises(ValueError, match=r"state_names must differ.*'c'.*rename"):
        layer(np.ones((B, T, D), "float32"), initial_state={"h": 0, "c": 0})


# --- names that are missing, unknown, or do not fit ---


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (["h"], r"\['h', 'c'\].*Got \['h'\]: add \['c'\]"),
        (["h", "c", "m"], r"leave out \['m'\]"),
        (["h", "d"], r"add \['c'\] and leave out \['d'\]"),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_a_missing_or_unknown_name_is_listed(given, advice, symbolic):
    x = keras.Input((T, D)) if symbolic else np.ones((B, T, D), "float32")
    states = {
        name: keras.Input((U,)) if symbolic else np.ones((B, U), "float32")
        for name in given
    }
    with pytest.raises(ValueError, match=f"initial_state given by name.*{advice}"):
        unrolled.LSTM(U)(x, initial_state=states)


def test_a_state_of_another_shape_is_named():
    x = np.ones((B, T, D), "float32")
    states = {"c": np.ones((B, U + 1), "float32"), "h": np.ones((B, U), "float32")}
    with pytest.raises(ValueError, match=rf"\(c\).*\({B}, {U}\). Got \({B}, {U + 1}\)"):
        unrolled.LSTM(U)(x, initial_state=states)


Pair = namedtuple("Pair", "left right")


class Held(keras.layers.Layer):
    """Keeps what it carries; `size` and `names` are what people may write."""

    def __init__(self, size, names=None, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = size, 1
        if names is not None:
            self.state_names = names

    def call(self, inputs, states):
        return inputs[:, :1], states


class HeldOurs(unrolled.Cell):
    def __init__(self, size, names=None, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = size, 1
        if names is not None:
            self.state_names = names

    def step(self, x, states, constants):
        del constants
        return x[:, :1], states


KINDS = pytest.mark.parametrize("kind", [Held, HeldOurs])


@KINDS
@pytest.mark.parametrize(
    ("size", "named"),
    [
        (4, {"h": (4,)}),
        ([(3, 2)], {"h": (3, 2)}),
        ((4, 5), {"1": (5,), "0": (4,)}),
        ({"b": 4, "a": 5}, {"b": (4,), "a": (5,)}),
        (Pair(4, 5), {"right": (5,), "left": (4,)}),
        ({"b": 3, "a": [4, 5]}, {"b": (3,), "a": {"1": (5,), "0": (4,)}}),
    ],
    ids=str,
)
def test_names_where_a_cell_says_nothing(kind, size, named, rng):
    layer = unrolled.RNN(kind(size), return_state=True)
    x = np.ones((B, T, D), "float32")
    is_shape = lambda each: isinstance(each, tuple)  # noqa: E731
    given = jax.tree.map(lambda s: _draw(rng, B, *s), named, is_leaf=is_shape)
    _, *after = layer(x, initial_state=given)
    found = {each.shape: np.asarray(each) for each in jax.tree.leaves(after)}
    assert len(found) == len(jax.tree.leaves(given))
    for each in jax.tree.leaves(given):
        np.testing.assert_array_equal(found[each.shape], each)
    with pytest.raises(ValueError, match="given by name") as caught:
        layer(x, initial_state={"other": x})
    assert all(repr(name) in str(caught.value) for name in named)


@KINDS
@pytest.mark.parametrize(
    ("size", "names", "rule"),
    [
        ([4, 5], ("h",), "a name for each state"),
        ([4, 5], "h", "a name for each state"),
        ([4, 5], ("h", "h"), "must differ .*Got"),
        ([4], (("h", "c"),), "a name for each state"),
        ({"a": 4}, {"b": "h"}, "a name for each state"),
    ],
    ids=str,
)
def test_names_that_do_not_fit(kind, size, names, rule):
    with pytest.raises(
        ValueError, match=f"state_names must.*{rule}|state_names {rule}"
    ):
        unrolled.RNN(kind(size, names))(np.ones((B, T, D), "float32"))


# --- form ---


class Swapped(keras.layers.Layer):
    """States in a dict come back in a list: in which order?"""

    state_size, output_size = {"h": 1, "c": 1}, 1

    def __init__(self, give, start=None):
        super().__init__()
        self.give, self.start = give, start

    def get_initial_state(self, batch_size=None):
        zeros = ops.zeros((batch_size, 1))
        return self.start(zeros) if self.start else {"h": zeros, "c": zeros}

    def call(self, inputs, states):
        return inputs[:, :1], self.give(states["h"], states["c"])


@pytest.mark.parametrize("give", [lambda h, c: [h, c], lambda h, c: {"h": h, "d": c}])
def test_a_dict_of_states_comes_back_as_one(give):
    """In a row, or with other keys, two of one shape would change places unseen."""
    with pytest.raises(ValueError, match=r"in a dict with the keys.*'c'|keys"):
        unrolled.RNN(Swapped(give))(np.ones((B, T, D), "float32"))
    with pytest.raises(ValueError, match=r"get_initial_state of .* in form"):
        unrolled.RNN(Swapped(dict, lambda zero: give(zero, zero)))(
            np.ones((B, T, D), "float32")
        )


def test_a_dict_of_states_is_handed_in_again(rng):
    """As a dict, and as the list of one dict that `y, *states` makes."""
    layer = unrolled.RNN(Held({"h": U, "c": U}), return_state=True)
    x, h, c = _draw(rng, B, T, D), _draw(rng, B, U), _draw(rng, B, U)
    _, *after = layer(x, initial_state={"h": h, "c": c})
    _, again = layer(x, initial_state=after)
    np.testing.assert_array_equal(again["h"], h)
    np.testing.assert_array_equal(again["c"], c)
    with pytest.raises(ValueError, match=r"must be a dict by name.*in a row"):
        layer(x, initial_state=[h, c])
    both = unrolled.Bidirectional(unrolled.RNN(Held({"h": U, "c": U}), stateful=True))
    both.build(x.shape)
    both.reset_state({"forward": {"c": c, "h": h}, "backward": {"h": c, "c": h}})
    both(x)
    np.testing.assert_array_equal(both.states[0]["h"], h)
    np.testing.assert_array_equal(both.states[1]["h"], c)


class Started(keras.layers.Layer):
    """Starts from weights that it keeps in a list or dict, which Keras tracks."""

    def __init__(self, named):
        super().__init__()
        self.named, self.rnn = named, unrolled.LSTM(U)

    def build(self, input_shape):
        del input_shape
        h, c = (self.add_weight(shape=(B, U), name=name) for name in "hc")
        self.start = {"c": c, "h": h} if self.named else [h, c]

    def call(self, inputs):
        return self.rnn(inputs, initial_state=self.start)


@pytest.mark.parametrize("named", [False, True])
def test_states_in_what_keras_tracks(named, rng):
    layer, x = Started(named), _draw(rng, B, T, D)
    layer(x)
    h, c = (np.float64(v.value) for v in layer.trainable_variables[:2])
    params = {v.name: np.float64(v.value) for v in layer.rnn.trainable_variables}
    _hold(layer(x), _law(BY_NAME["lstm"], params, x, [h, c]).last, "tracked")
