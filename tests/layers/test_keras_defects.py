"""The fourteen defects of Keras 3.15.1 on JAX; ours does right."""

import unrolled

import jax
import keras
import numpy as np
import pytest

from .. import record, reference
from ..cells_of_users import CellThenHidden, Noisy, Outer, Projected
from ..harness import randomise
from ..table import BY_NAME, CELLS, draw_mask, draw_resets

B, T, D, U = 3, 6, 3, 4
MASK = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 1, 1]], bool)


def _x(rng, *shape):
    return rng.normal(size=shape or (B, T, D)).astype("float32")


def _weights(layer):
    return {v.name: np.asarray(v.value, "float64") for v in layer.trainable_variables}


def _hold(actual, expected, name):
    record.hold("values", "float32", actual, expected, name)


def _naive(step, x, initial, **kwargs):
    """The reference loop over a step that needs no pullback."""
    return reference.unroll(lambda x, s: (*step(x, s), None), x, initial, **kwargs)


@pytest.mark.parametrize("zero", [False, True])
def test_01_first_state_need_not_be_the_output(zero, rng):
    layer = unrolled.RNN(
        CellThenHidden(U), return_sequences=True, zero_output_for_mask=zero
    )
    x = _x(rng)
    y = layer(x, mask=MASK)
    w = _weights(layer)["w"]

    def step(x, states):
        c = 0.5 * states[0] + x @ w
        h = np.tanh(c) + 0.25 * states[1]
        return h, [c, h]

    law = _naive(step, x, [np.zeros((B, U))] * 2, mask=MASK, zero_masked=zero)
    _hold(y, law.outputs, "defect 1")


def test_02_output_width_need_not_be_the_states(rng):
    layer = unrolled.RNN(Projected(U, 2), return_sequences=True, return_state=True)
    x = _x(rng)
    y, c = layer(x, mask=MASK)
    weights = _weights(layer)

    def step(x, states):
        c = np.tanh(x @ weights["w"] + states[0])
        return c @ weights["p"], [c]

    law = _naive(step, x, [np.zeros((B, U))], mask=MASK)
    _hold(y, law.outputs, "defect 2")
    _hold(c, law.states[0], "defect 2 state")


@pytest.mark.keras_ranks
@pytest.mark.parametrize("kind", ["dropout", "noise", "norm"])
def test_03_layers_inside_a_cell_train_in_fit(kind, rng):
    model = keras.Sequential(
        [keras.Input((T, D)), unrolled.RNN(Noisy(U, [kind])), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    before = [np.array(v.value) for v in model.trainable_variables]
    model.fit(_x(rng, 8, T, D), _x(rng, 8, 1), epochs=1, batch_size=4, verbose=0)
    after = [np.array(v.value) for v in model.trainable_variables]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    assert all(np.isfinite(a).all() for a in after)


@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize("unroll", [False, True])
def test_04_a_leading_masked_step_emits_zeros(row, unroll, rng):
    """Not the initial state, which nothing has emitted yet."""
    layer = row.layer(U, return_sequences=True, unroll=unroll, **row.kwargs)
    initial = [_x(rng, B, U) for _ in range(row.states)]
    y = np.asarray(layer(_x(rng), mask=MASK, initial_state=initial))
    np.testing.assert_array_equal(y[1, 0], 0)
    np.testing.assert_array_equal(y[2, :3], 0)
    assert np.all(y[0, 0] != 0)


@pytest.mark.parametrize("row", CELLS, ids=str)
def test_05_zero_output_for_mask_holds_when_unrolled(row, rng):
    layer = row.layer(
        U, return_sequences=True, unroll=True, zero_output_for_mask=True, **row.kwargs
    )
    y = np.asarray(layer(_x(rng), mask=MASK))
    np.testing.assert_array_equal(y[~MASK], 0)
    assert np.all(y[MASK] != 0)


@pytest.mark.parametrize("unroll", [False, True])
def test_06_matrix_states_take_masks(unroll, rng):
    layer = unrolled.RNN(
        Outer(3), return_sequences=True, return_state=True, unroll=unroll
    )
    x = _x(rng)
    y, memory = layer(x, mask=MASK)
    w = _weights(layer)["w"]

    def step(x, states):
        v = np.tanh(x @ w)
        memory = 0.5 * states[0] + v[:, :, None] * v[:, None, :]
        return np.einsum("bij,bj->bi", memory, v), [memory]

    law = _naive(step, x, [np.zeros((B, 3, 3))], mask=MASK)
    _hold(y, law.outputs, "defect 6")
    _hold(memory, law.states[0], "defect 6 state")


def test_07_stateful_bidirectional_with_state_and_mask(rng):
    layer = unrolled.Bidirectional(
        unrolled.LSTM(U, return_sequences=True, return_state=True, stateful=True)
    )
    x = _x(rng)
    layer.build(x.shape)
    row = BY_NAME["lstm"]
    both = [
        randomise(part, row, rng, D, U)
        for part in (layer.forward_layer, layer.backward_layer)
    ]
    states = [[np.zeros((B, U))] * 2 for _ in both]
    for _ in range(2):  # the second call goes on from where the first ended
        y, *final = layer(x, mask=MASK)
        runs = [
            reference.unroll(
                row.reference_step(params),
                x,
                start,
                mask=MASK,
                reverse=reverse,
                zero_masked=True,
            )
            for params, start, reverse in zip(both, states, (False, True), strict=True)
        ]
        states = [run.states for run in runs]
        law = np.concatenate([runs[0].outputs, runs[1].outputs[:, ::-1]], -1)
        _hold(y, law, "defect 7")
        for ours, theirs in zip(final, states[0] + states[1], strict=True):
            _hold(ours, theirs, "defect 7 state")


def test_08_reset_state_takes_states(rng):
    layer = unrolled.GRU(U, stateful=True)
    x, start = _x(rng), _x(rng, B, U)
    layer(x)
    layer.reset_state(states=start)
    np.testing.assert_array_equal(layer.states[0].value, start)
    fresh = unrolled.GRU(U)
    fresh.build(x.shape)
    fresh.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(x), fresh(x, initial_state=[start]), atol=1e-7)


def _temporary_bytes(layer, steps):
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def run(x):
        return layer.stateless_call(weights, rest, x)[0]

    x = jax.ShapeDtypeStruct((2, steps, D), "float32")
    analysis = jax.jit(run).lower(x).compile().memory_analysis()
    return analysis.temp_size_in_bytes


@pytest.mark.usefixtures("scan_path")
def test_09_the_last_output_alone_stores_no_others():
    sizes = {}
    for sequences in (False, True):
        layer = unrolled.LSTM(64, return_sequences=sequences)
        layer.build((2, 400, D))
        sizes[sequences] = _temporary_bytes(layer, 4000) - _temporary_bytes(layer, 400)
    assert sizes[False] < 3600 * 2 * 64 * 4 / 2 < sizes[True]


@pytest.mark.keras_ranks
@pytest.mark.parametrize("how", ["fit", "predict", "train_on_batch"])
def test_10_states_are_carried_by(how, rng):
    model = keras.Sequential(
        [keras.Input((T, D), batch_size=2), unrolled.GRU(U, stateful=True)]
    )
    layer = model.layers[0]
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, target = _x(rng, 4, T, D), _x(rng, 4, U)
    if how == "fit":
        model.fit(x, target, batch_size=2, shuffle=False, verbose=0)
    elif how == "predict":
        model.predict(x, batch_size=2, verbose=0)
    else:
        for part in (slice(0, 2), slice(2, 4)):
            model.train_on_batch(x[part], target[part])
    row = BY_NAME["gru"]
    step = row.reference_step(_weights(layer))
    first = reference.unroll(step, x[:2], [np.zeros((2, U))])
    second = reference.unroll(step, x[2:], first.states)
    _hold(layer.states[0].value, second.states[0], "defect 10")


def test_11_a_stack_of_one_cell(rng):
    stack = unrolled.RNN(
        unrolled.StackedRNNCells([unrolled.LSTMCell(U)]), return_sequences=True
    )
    single = unrolled.LSTM(U, return_sequences=True)
    x = _x(rng)
    stack.build(x.shape)
    single.build(x.shape)
    stack.set_weights(single.get_weights())
    np.testing.assert_allclose(stack(x, mask=MASK), single(x, mask=MASK), atol=1e-7)


def _products(jaxpr, inside=False):
    """Shapes of every matrix product, and whether it sits inside a loop."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield inside, tuple(v.aval.shape for v in equation.invars)
        for value in equation.params.values():
            for each in value if isinstance(value, (list, tuple)) else [value]:
                inner = getattr(each, "jaxpr", each)
                if hasattr(inner, "eqns"):
                    loop = equation.primitive.name in ("scan", "while")
                    yield from _products(inner, inside or loop)


@pytest.mark.usefixtures("scan_path")
@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_12_the_input_product_leaves_the_loop(row, masked):
    """One product for all steps, masked or not, wherever that is the faster way."""
    layer = row.layer(U, **row.kwargs)
    layer.build((1, T, D))
    mask = np.ones((1, T), bool) if masked else None
    jaxpr = jax.make_jaxpr(lambda x: layer(x, mask=mask))(np.ones((1, T, D), "float32"))
    products = list(_products(jaxpr.jaxpr))
    kernel = (D, len(row.gates) * U)
    of_inputs = [(inside, shapes) for inside, shapes in products if kernel in shapes]
    assert [inside for inside, _ in of_inputs] == [False]
    assert any(inside for inside, _ in products)  # the recurrent ones


@pytest.mark.parametrize("row", CELLS, ids=str)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"use_bias": False},
        {"activation": "relu"},
        {"recurrent_dropout": 0.5, "seed": 3},
    ],
    ids=lambda change: next(iter(change), "mask"),
)
@pytest.mark.parametrize("kind", ["left", "holes", "all_masked_row"])
def test_13_no_condition_changes_the_meaning(row, change, kind, rng):
    """Any mask, no bias, another activation, recurrent dropout: all the reference."""
    arguments = {**row.kwargs, **change}
    layer = row.layer(U, return_sequences=True, **arguments)
    layer.build((B, T, D))
    params = row.params(rng, D, U, change.get("use_bias", True))
    for variable in layer.trainable_variables:
        variable.assign(params[variable.name])
    step = {}
    if "activation" in change:
        step["activation"] = "relu"
    if "seed" in change:
        twin = row.cell(U, **arguments)
        twin.build((B, D))
        masks = twin.get_constants(B, training=True)
        step["recurrent_mask"] = np.asarray(masks["recurrent_mask"], "float64")
    x = _x(rng)
    mask, resets = draw_mask(kind, rng, B, T), draw_resets(True, rng, B, T)
    law = reference.unroll(
        row.reference_step(_weights(layer), **step),
        x,
        [np.zeros((B, U))] * row.states,
        mask=mask,
        resets=resets,
    )
    y = layer(x, mask=mask, resets=resets, training="seed" in change)
    _hold(y, law.outputs, f"defect 13 {row} {kind} {change}")


def test_14_the_docstring_example_of_the_cell_runs(rng):
    """keras.layers.LSTMCell's own example, with our names, as it is written there."""
    inputs = rng.random((32, 10, 8))
    rnn = unrolled.RNN(unrolled.LSTMCell(4))
    output = rnn(inputs)
    assert output.shape == (32, 4)
    rnn = unrolled.RNN(unrolled.LSTMCell(4), return_sequences=True, return_state=True)
    whole_sequence_output, final_memory_state, final_carry_state = rnn(inputs)
    assert whole_sequence_output.shape == (32, 10, 4)
    assert final_memory_state.shape == final_carry_state.shape == (32, 4)
