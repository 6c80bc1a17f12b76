"""What the layers take and return: options, composition, symbolic building."""

import inspect

import unrolled

import jax
import keras
import numpy as np
import pytest

from .. import record, reference
from ..harness import randomise
from ..table import CELLS, draw_mask, draw_resets

B, T, D, U = 3, 6, 4, 5
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)
LAYERS = [unrolled.SimpleRNN, unrolled.LSTM, unrolled.GRU]


def _x(rng, *shape):
    return rng.normal(size=shape or (B, T, D)).astype("float32")


def _layer(row, rng, **kwargs):
    layer = row.layer(U, **row.kwargs, **kwargs)
    layer.build((B, T, D))
    return layer, randomise(layer, row, rng, D, U)


def _law(row, params, x, **kwargs):
    initial = [np.zeros((x.shape[0], U))] * row.states
    return reference.unroll(row.reference_step(params), x, initial, **kwargs)


def _hold(actual, expected, name):
    record.hold("values", "float32", actual, expected, name)


@ROWS
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("all_states", [False, True])
def test_what_is_returned(row, sequences, state, all_states, rng):
    layer, params = _layer(
        row,
        rng,
        return_sequences=sequences,
        return_state=state,
        return_all_states=all_states,
    )
    x, mask = _x(rng), draw_mask("holes", rng, B, T)
    law = _law(row, params, x, mask=mask)
    expected = [law.outputs if sequences else law.last]
    expected += law.states * state + law.all_states * all_states
    out = layer(x, mask=mask)
    out = out if state or all_states else [out]
    assert len(out) == len(expected)
    for ours, theirs in zip(out, expected, strict=True):
        _hold(ours, theirs, f"{row} returns")
    shapes = layer.compute_output_shape((B, T, D))
    shapes = shapes if state or all_states else [shapes]
    assert [tuple(s) for s in shapes] == [e.shape for e in expected]


@ROWS
@pytest.mark.parametrize("backwards", [False, True])
def test_unroll_means_the_same(row, backwards, rng):
    layer, params = _layer(
        row,
        rng,
        unroll=True,
        return_sequences=True,
        go_backwards=backwards,
        zero_output_for_mask=True,
    )
    x, mask = _x(rng), draw_mask("holes", rng, B, T)
    resets = draw_resets(True, rng, B, T)
    law = _law(
        row, params, x, mask=mask, resets=resets, reverse=backwards, zero_masked=True
    )
    _hold(layer(x, mask=mask, resets=resets), law.outputs, f"{row} unroll")


@ROWS
def test_lengths_equal_a_right_padding_mask(row, rng):
    layer, params = _layer(row, rng, return_sequences=True)
    x, lengths = _x(rng), np.array([T, 0, 2])
    _hold(
        layer(x, lengths=lengths),
        _law(row, params, x, lengths=lengths).outputs,
        f"{row} lengths",
    )


@ROWS
def test_time_major(row, rng):
    layer, params = _layer(row, rng)
    major = row.layer(
        U, return_sequences=True, return_state=True, time_major=True, **row.kwargs
    )
    major.build((T, B, D))
    major.set_weights(layer.get_weights())
    x, mask = _x(rng), draw_mask("holes", rng, B, T)
    resets = draw_resets(True, rng, B, T)
    law = _law(row, params, x, mask=mask, resets=resets)
    y, *states = major(x.swapaxes(0, 1), mask=mask.T, resets=resets.T)
    _hold(np.swapaxes(y, 0, 1), law.outputs, f"{row} time major")
    for ours, theirs in zip(states, law.states, strict=True):
        _hold(ours, theirs, f"{row} time major state")
    assert major.compute_output_shape((T, B, D))[0] == (T, B, U)


@ROWS
@pytest.mark.parametrize("backwards", [False, True])
def test_resets_equal_the_pieces_apart(row, backwards, rng):
    """Also under an initial state, which only the first piece processed sees."""
    layer, _ = _layer(
        row, rng, return_sequences=True, go_backwards=backwards, return_state=True
    )
    x, initial = _x(rng, 1, T, D), [_x(rng, 1, U) for _ in range(row.states)]
    resets = np.zeros((1, T), bool)
    cut = 2
    resets[0, T - 1 - cut if backwards else cut] = True
    pieces = (
        [x[:, T - cut :], x[:, : T - cut]] if backwards else [x[:, :cut], x[:, cut:]]
    )
    whole, *states = layer(x, resets=resets, initial_state=initial)
    first, *_ = layer(pieces[0], initial_state=initial)
    second, *last = layer(pieces[1])
    np.testing.assert_allclose(whole, np.concatenate([first, second], 1), atol=1e-6)
    for ours, theirs in zip(states, last, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@ROWS
def test_a_reset_forgets_the_held_output(row, rng):
    """Masked steps after a reset emit zeros: nothing was emitted in that piece."""
    layer, _ = _layer(row, rng, return_sequences=True)
    mask = np.array([[True, True, False, False, True, True]])
    resets = np.array([[False, False, False, True, False, False]])
    y = np.asarray(layer(_x(rng, 1, T, D), mask=mask, resets=resets))
    np.testing.assert_array_equal(y[0, 2], y[0, 1])
    np.testing.assert_array_equal(y[0, 3], 0)
    assert np.all(y[0, 4] != 0)


@ROWS
def test_stateful_chunks_equal_the_whole(row, rng):
    layer, params = _layer(row, rng, stateful=True, return_sequences=True)
    x, mask = _x(rng), draw_mask("holes", rng, B, T)
    resets = draw_resets(True, rng, B, T)
    parts = [
        layer(x[:, s], resets=resets[:, s], mask=mask[:, s])
        for s in (slice(0, 1), slice(1, 4), slice(4, T))
    ]
    law = _law(row, params, x, resets=resets, mask=mask)
    # A held output does not outlive its call: compare the steps that count.
    ours = np.where(mask[..., None], np.concatenate(parts, 1), 0)
    _hold(ours, np.where(mask[..., None], law.outputs, 0), f"{row} stateful")
    for ours, theirs in zip(layer.states, law.states, strict=True):
        _hold(ours, theirs, f"{row} stateful")


@ROWS
def test_a_smaller_batch_continues_its_own_rows(row, rng):
    layer, params = _layer(row, rng, stateful=True)
    x, more = _x(rng), _x(rng, 2, T, D)
    layer(x)
    law = _law(row, params, x)
    after = reference.unroll(
        row.reference_step(params), more, [s[:2] for s in law.states]
    )
    _hold(layer(more), after.last, f"{row} smaller batch")
    for ours, theirs, old in zip(layer.states, after.states, law.states, strict=True):
        _hold(np.asarray(ours)[:2], theirs, f"{row} smaller batch")
        _hold(np.asarray(ours)[2:], old[2:], f"{row} untouched row")


@ROWS
def test_reset_state_forgets_or_sets(row, rng):
    layer, params = _layer(row, rng, stateful=True)
    x = _x(rng)
    first = np.asarray(layer(x))
    assert np.max(np.abs(np.asarray(layer(x)) - first)) > 1e-5
    layer.reset_state()
    np.testing.assert_array_equal(layer(x), first)
    start = [_x(rng, B, U) for _ in range(row.states)]
    layer.reset_state(states=start)
    law = reference.unroll(row.reference_step(params), x, start)
    _hold(layer(x), law.last, f"{row} reset_state")


@ROWS
@pytest.mark.parametrize("backwards", [False, True])
def test_mixed_bfloat16(row, backwards, rng):
    """Everything at the boundary is bfloat16; inside, states are float32.

    The law starts from the bfloat16 weights and inputs. What is left is rounding:
    of h before each product and of what is returned, each 2**-9 relative.
    """
    layer = row.layer(
        U,
        return_sequences=True,
        return_state=True,
        dtype="mixed_bfloat16",
        go_backwards=backwards,
        **row.kwargs,
    )
    layer.build((B, 17, D))
    randomise(layer, row, rng, D, U)
    narrow = lambda a: np.asarray(jax.numpy.asarray(a, "bfloat16"), "float64")  # noqa: E731
    params = {v.name: narrow(v.value) for v in layer.trainable_variables}
    x = _x(rng, B, 17, D)
    mask, resets = draw_mask("holes", rng, B, 17), draw_resets(True, rng, B, 17)
    law = _law(row, params, narrow(x), mask=mask, resets=resets, reverse=backwards)
    assert all(v.dtype == "float32" for v in layer.trainable_variables)
    out = layer(x, mask=mask, resets=resets)
    for ours, theirs in zip(out, [law.outputs, *law.states], strict=True):
        assert ours.dtype == "bfloat16"
        record.hold(
            "values",
            "mixed_bfloat16",
            np.asarray(ours, "float64"),
            theirs,
            f"{row} bfloat16",
        )


@ROWS
@pytest.mark.parametrize("batch", [None, B])
@pytest.mark.parametrize("steps", [None, T])
def test_symbolic_building(row, batch, steps, rng):
    inputs = keras.Input((steps, D), batch_size=batch)
    layer = row.layer(U, return_sequences=True, return_state=True, **row.kwargs)
    outputs = layer(inputs)
    assert outputs[0].shape == (batch, steps, U)
    assert [o.shape for o in outputs[1:]] == [(batch, U)] * row.states
    model = keras.Model(inputs, outputs)
    params = randomise(layer, row, rng, D, U)
    x = _x(rng)
    y = model.predict_on_batch(x)[0]
    _hold(y, _law(row, params, x).outputs, f"{row} functional")
    if steps is None:
        longer = _x(rng, B, 2 * T, D)
        y = model.predict_on_batch(longer)[0]
        _hold(y, _law(row, params, longer).outputs, f"{row} functional, longer")


@ROWS
def test_symbolic_initial_state_mask_and_resets(row, rng):
    x, mask = keras.Input((None, D)), keras.Input((None,), dtype="bool")
    resets = keras.Input((None,), dtype="bool")
    initial = [keras.Input((U,)) for _ in range(row.states)]
    layer = row.layer(U, **row.kwargs)
    y = layer(x, initial_state=initial, mask=mask, resets=resets)
    model = keras.Model([x, mask, resets, *initial], y)
    params = randomise(layer, row, rng, D, U)
    values = [_x(rng), draw_mask("holes", rng, B, T), draw_resets(True, rng, B, T)]
    start = [_x(rng, B, U) for _ in range(row.states)]
    law = reference.unroll(
        row.reference_step(params), values[0], start, mask=values[1], resets=values[2]
    )
    _hold(model.predict_on_batch([*values, *start]), law.last, f"{row} symbolic")


@pytest.mark.keras_ranks
def test_masks_propagate_from_embedding_through_the_stack():
    ids = np.array([[3, 1, 0, 0], [2, 0, 4, 0]])
    embedding = keras.layers.Embedding(5, D, mask_zero=True)
    first = unrolled.LSTM(U, return_sequences=True)
    x = embedding(ids)
    middle = first(x)
    np.testing.assert_array_equal(middle._keras_mask, ids != 0)
    np.testing.assert_allclose(middle, first(x, mask=ids != 0), atol=1e-7)
    assert np.max(np.abs(np.asarray(middle) - first(np.asarray(x)))) > 1e-4
    last = unrolled.GRU(U)
    np.testing.assert_allclose(last(middle), last(middle, mask=ids != 0), atol=1e-7)
    assert getattr(last(middle), "_keras_mask", None) is None


@pytest.mark.keras_ranks
@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "bidirectional"])
def test_masks_propagate_in_models(wrap):
    """A masked step changes nothing, whatever it holds."""
    make = unrolled.Bidirectional if wrap else (lambda layer: layer)
    model = keras.Sequential(
        [
            keras.Input((None, D)),
            keras.layers.Masking(),
            make(unrolled.LSTM(U, return_sequences=True)),
            make(unrolled.GRU(U)),
        ]
    )
    short = np.random.default_rng(0).normal(size=(B, T, D)).astype("float32")
    long = np.concatenate([short, np.zeros((B, 3, D), "float32")], axis=1)
    np.testing.assert_allclose(
        model.predict_on_batch(short), model.predict_on_batch(long), atol=1e-6
    )


class TwoInputs(keras.layers.Layer):
    """h' = tanh(a Wa + b Wb + h), from a dictionary of inputs."""

    state_size = U
    output_size = U

    def build(self, input_shape):
        self.wa = self.add_weight(shape=(input_shape["a"][-1], U), name="wa")
        self.wb = self.add_weight(shape=(input_shape["b"][-1], U), name="wb")

    def call(self, inputs, states):
        ops = keras.ops
        h = ops.matmul(inputs["a"], self.wa) + ops.matmul(inputs["b"], self.wb)
        h = ops.tanh(h + states[0])
        return h, [h]


def test_nested_inputs(rng):
    layer = unrolled.RNN(TwoInputs(), return_sequences=True)
    data = {"a": _x(rng, B, T, 2), "b": _x(rng, B, T, 3)}
    mask = draw_mask("holes", rng, B, T)
    y = np.asarray(layer(data, mask=mask))
    wa, wb = (np.asarray(w, "float64") for w in (layer.cell.wa, layer.cell.wb))
    h = np.zeros((B, U))
    for t in range(T):
        new = np.tanh(data["a"][:, t] @ wa + data["b"][:, t] @ wb + h)
        h = np.where(mask[:, t, None], new, h)
        _hold(y[:, t], h, "nested inputs")


@ROWS
def test_rnn_of_a_cell_is_the_layer(row, rng):
    layer, _ = _layer(row, rng, return_sequences=True)
    wrapped = unrolled.RNN(row.cell(U, **row.kwargs), return_sequences=True)
    wrapped.build((B, T, D))
    wrapped.set_weights(layer.get_weights())
    x = _x(rng)
    np.testing.assert_array_equal(wrapped(x), layer(x))


@pytest.mark.parametrize("as_list", [False, True], ids=["StackedRNNCells", "list"])
def test_stacked_cells_equal_layers_one_above_the_other(as_list, rng):
    rows, widths = CELLS[:3], [3, 4, 5]
    cells = [row.cell(u, **row.kwargs) for row, u in zip(rows, widths, strict=True)]
    stack = cells if as_list else unrolled.StackedRNNCells(cells)
    layer = unrolled.RNN(stack, return_sequences=True, return_state=True)
    layer.build((B, T, D))
    x = _x(rng)
    y, *states = layer(x)
    assert [len(jax.tree.leaves(s)) for s in states] == [r.states for r in rows]
    features = D
    law_x = x.astype("float64")
    for row, cell, units in zip(rows, layer.cell.cells, widths, strict=True):
        params = row.params(rng, features, units)
        for variable in cell.trainable_variables:
            variable.assign(params[variable.name])
        features = units
    y, *states = layer(x)
    for row, cell, units, state in zip(
        rows, layer.cell.cells, widths, states, strict=True
    ):
        params = {
            v.name: np.asarray(v.value, "float64") for v in cell.trainable_variables
        }
        run = reference.unroll(
            row.reference_step(params), law_x, [np.zeros((B, units))] * row.states
        )
        law_x = run.outputs
        for ours, law in zip(jax.tree.leaves(state), run.states, strict=True):
            _hold(ours, law, f"stack {row}")
    _hold(y, law_x, "stack")


@pytest.mark.parametrize("layer", LAYERS, ids=lambda c: c.__name__)
def test_the_signature_is_explicit(layer):
    """Editors and help() show every argument Keras has, and ours."""
    ours = inspect.signature(layer).parameters
    stock = inspect.signature(getattr(keras.layers, layer.__name__)).parameters
    for name, parameter in stock.items():
        if name in ("kwargs", "use_cudnn"):
            continue
        assert name in ours
        if parameter.default is not inspect.Parameter.empty:
            assert ours[name].default == parameter.default, name
    positional = [n for n, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional[:2] == ["units", "activation"]
    assert {"return_all_states", "time_major"} <= set(ours)
    call = inspect.signature(layer.call).parameters
    assert {"initial_state", "mask", "training", "resets", "lengths"} <= set(call)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda c: c.__name__)
def test_old_arguments_are_accepted(layer):
    assert layer(3, implementation=1).units == 3
    with pytest.raises((TypeError, ValueError), match="recurent_dropout"):
        layer(3, recurent_dropout=0.5)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda c: c.__name__)
def test_get_config_round_trip(layer):
    made = layer(
        7,
        activation="relu",
        use_bias=False,
        dropout=0.1,
        recurrent_dropout=0.2,
        seed=4,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.3),
        kernel_regularizer=keras.regularizers.L2(0.1),
        recurrent_constraint="max_norm",
        return_sequences=True,
        return_all_states=True,
        go_backwards=True,
        time_major=True,
        zero_output_for_mask=True,
        name="named",
    )
    config = made.get_config()
    again = layer.from_config(config)
    assert again.get_config() == config
    assert (again.units, again.dropout, again.seed, again.name) == (7, 0.1, 4, "named")
    assert again.return_all_states
    assert again.time_major
    assert again.go_backwards
    assert again.kernel_initializer.stddev == 0.3
    assert again.cell.kernel_regularizer.l2 == pytest.approx(0.1)
    assert isinstance(again.cell.recurrent_constraint, keras.constraints.MaxNorm)


def test_activity_regularizer():
    layer = unrolled.LSTM(3, activity_regularizer="l2")
    y = np.asarray(layer(np.ones((2, 3, 4), "float32")), "float64")
    expected = 0.01 * np.sum(y**2) / 2  # Keras divides by the batch
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)
