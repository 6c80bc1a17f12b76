"""Cells around cells: files, names of states, states of their own, and errors."""

from functools import partial

import unrolled

import jax
import keras
import numpy as np
import pytest

from ..cells_of_users import CellThenHidden
from ..harness import close, scatter
from ..table import draw_mask, draw_resets

B, T, U = 5, 6, 3


@pytest.mark.parametrize("coupled", [True, False])
def test_the_bias_of_a_highway_begins_as_asked(coupled):
    cell = unrolled.HighwayWrapper(unrolled.GRUCell(U), coupled, 1.5)
    cell.build((None, U))
    np.testing.assert_array_equal(cell.carry_bias, [1.5] * U)
    assert cell.carry_kernel.shape == (U, U)
    assert hasattr(cell, "transform_bias") != coupled
    if not coupled:
        np.testing.assert_array_equal(cell.transform_bias, [-1.5] * U)
    assert len(cell.trainable_variables) == (5 if coupled else 7)


WRAPPERS = {
    "dropout": partial(
        unrolled.DropoutWrapper, state_dropout=0.25, states=["h"], seed=4
    ),
    "zoneout": partial(unrolled.ZoneoutWrapper, zoneout={"h": 0.2}, seed=5),
    "residual": unrolled.ResidualWrapper,
    "highway": partial(
        unrolled.HighwayWrapper,
        carry_bias_init=-0.5,
        couple_carry_transform_gates=False,
        kernel_initializer="orthogonal",
    ),
}


@pytest.mark.parametrize("outer", WRAPPERS)
def test_saved_around_each_other(outer, rng, tmp_path):
    """One layer for each wrapper inside: around an LSTM, a stack, a user's cell."""
    inputs = keras.Input((T, U))
    x = inputs
    for inner in WRAPPERS.values():
        x = unrolled.RNN(
            WRAPPERS[outer](inner(unrolled.LSTMCell(U))), return_sequences=True
        )(x)
    cells = [unrolled.LSTMCell(U), WRAPPERS[outer](unrolled.GRUCell(U))]
    x = unrolled.RNN(WRAPPERS[outer](unrolled.StackedRNNCells(cells)))(x)
    model = keras.Model(inputs, x)
    scatter(model, rng)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    data = rng.normal(size=(2, T, U)).astype("float32")
    np.testing.assert_array_equal(loaded(data), model(data))
    configs = [[each.get_config() for each in m.layers] for m in (model, loaded)]
    assert configs[0] == configs[1]
    assert len(loaded.weights) == len(model.weights)


def test_names_of_states_go_through():
    cell = unrolled.ResidualWrapper(unrolled.ZoneoutWrapper(unrolled.LSTMCell(U)))
    assert cell.named_states([1, 2]) == {"h": 1, "c": 2}
    stack = unrolled.DropoutWrapper(
        unrolled.StackedRNNCells([unrolled.LSTMCell(U), cell])
    )
    names = {"0": {"h": 1, "c": 2}, "1": {"h": 3, "c": 4}}
    assert stack.named_states([[1, 2], [3, 4]]) == names
    user = unrolled.ZoneoutWrapper(CellThenHidden(U))
    assert user.named_states([1, 2]) == {"0": 1, "1": 2}
    x, ones = np.ones((2, T, U), "float32"), np.ones((2, U), "float32")
    layer = unrolled.RNN(cell)
    close(layer(x, {"c": ones, "h": 2 * ones}), layer(x, [2 * ones, ones]))


class Traced(unrolled.CellWrapper):
    """Says beside the cell's states how often it stepped, and a trace of outputs."""

    own_states = {"steps": 1, "trace": (U, 1)}  # noqa: RUF012

    def step(self, x, states, constants):
        """The cell's; counts one."""
        states, own = self.split(states)
        output, states = super().step(x, states, constants)
        trace = 0.5 * own["trace"] + output[..., None]
        return output, self.join(states, {"steps": own["steps"] + 1, "trace": trace})


@keras.saving.register_keras_serializable("users")
class Dict(unrolled.Cell):
    """Its states are a dict."""

    def __init__(self, names=("a", "z"), **kwargs):
        """One state for each name."""
        super().__init__(**kwargs)
        self.names = list(names)
        self.state_size = dict.fromkeys(names, U)
        self.output_size = U

    def step(self, x, states, constants):
        """Each state adds up x."""
        del constants
        after = {name: state + x for name, state in states.items()}
        return after[self.names[0]], after


@pytest.mark.parametrize(
    "inner", [lambda: unrolled.LSTMCell(U), Dict, lambda: CellThenHidden(U)]
)
def test_states_of_its_own_stand_beside_the_cells(inner, rng):
    cell = Traced(inner())
    layer = unrolled.RNN(cell, return_state=True, return_sequences=True)
    x = rng.normal(size=(B, T, U)).astype("float32")
    mask, resets = draw_mask("holes", rng, B, T), draw_resets(True, rng, B, T)
    resets[:, 0] = True
    y, *states = layer(x, mask=mask, resets=resets)
    whole = states[0] if isinstance(cell.state_size, dict) else list(states)
    named = cell.named_states(whole)
    plain = unrolled.RNN(inner(), return_sequences=True, return_state=True)
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    expected, *rest = plain(x, mask=mask, resets=resets)
    close(y, expected)
    leaves = jax.tree.leaves(rest)
    own = {"steps", "trace"}
    close(
        [named[name] for name in sorted(named) if name not in own],
        _sorted(leaves, named, own),
    )
    last = T - 1 - np.argmax(resets[:, ::-1], 1)
    counts = [mask[row, start:].sum() for row, start in enumerate(last)]
    np.testing.assert_array_equal(named["steps"][:, 0], counts)
    for row, start in enumerate(last):
        trace = np.zeros(U)
        for t in range(start, T):
            trace = (
                0.5 * trace + np.asarray(expected[row, t]) if mask[row, t] else trace
            )
        np.testing.assert_allclose(
            named["trace"][row, :, 0], trace, rtol=1e-5, atol=1e-6
        )
    again = layer(x, dict(named), mask=mask)
    close(again, layer(x, whole, mask=mask))


def _sorted(leaves, named, own):
    """The plain cell's states in the order of sorted names."""
    names = [name for name in named if name not in own]
    return [leaf for _, leaf in sorted(zip(names, leaves, strict=True))]


class Clashing(unrolled.CellWrapper):
    """Its own state is called as one of the cell's."""

    own_states = {"h": 2, "a": 1}  # noqa: RUF012


@pytest.mark.parametrize(
    "inner",
    [
        lambda: unrolled.LSTMCell(U),
        lambda: unrolled.ResidualWrapper(unrolled.GRUCell(U)),
        lambda: Dict(("a", "b")),
    ],
)
def test_names_that_clash_are_an_error(inner):
    x = np.ones((2, T, U), "float32")
    with pytest.raises(ValueError, match="rename the wrapper's own state"):
        unrolled.RNN(Clashing(inner()))(x)


def test_an_old_state_at_the_same_place_is_not_a_name():
    """A stack's states go by their places, so that h is free for the wrapper."""
    stack = unrolled.StackedRNNCells([unrolled.GRUCell(U), unrolled.GRUCell(U)])
    names = unrolled.RNN(Clashing(stack)).state_names
    assert jax.tree.leaves(names) == ["h", "h", "h", "a"]


CELL = unrolled.LSTMCell
ERRORS = {
    "input_dropout must be between 0 and 1": lambda: unrolled.DropoutWrapper(
        CELL(U), input_dropout=1.5
    ),
    "state_dropout must be between 0 and 1": lambda: unrolled.DropoutWrapper(
        CELL(U), state_dropout=-0.1
    ),
    "output_dropout must be a finite number": lambda: unrolled.DropoutWrapper(
        CELL(U), output_dropout=True
    ),
    "zoneout must be between 0 and 1": lambda: unrolled.ZoneoutWrapper(CELL(U), 2),
    "zoneout must be between 0 and 1, a share of the numbers. Got '1'": lambda: (
        unrolled.ZoneoutWrapper(CELL(U), {"h": "1"})
    ),
    r"states must name states of the cell, ['c', 'h']. Got ['m']": lambda: (
        unrolled.DropoutWrapper(CELL(U), states=["m", "h"])
    ),
    r"zoneout must name states of the cell, ['c', 'h']. Got ['d']": lambda: (
        unrolled.ZoneoutWrapper(CELL(U), {"d": 0.1})
    ),
    r"states must be a list of names": lambda: unrolled.DropoutWrapper(
        CELL(U), states="h"
    ),
    "cell must have `call`": lambda: unrolled.ResidualWrapper(3),
    "inside ResidualWrapper must give outputs shaped like its inputs": lambda: (
        unrolled.RNN(unrolled.ResidualWrapper(CELL(U + 1))).build((2, T, U))
    ),
    "inside HighwayWrapper must give outputs shaped like its inputs": lambda: (
        unrolled.RNN(unrolled.HighwayWrapper(CELL(U + 1))).build((2, T, U))
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors(message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        ERRORS[message]()
    assert message in str(error.value)
