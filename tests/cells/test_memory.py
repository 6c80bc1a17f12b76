"""A cell with a memory: values and gradients against the reference, and every way in.

Forms of memories and of cells are in `test_memory_cells.py`, models, files and errors
in `test_memory_models.py`.
"""

from functools import cache, partial

import unrolled

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from .. import record, reference
from ..cells_of_users import Attend, Attending
from ..harness import close, scatter
from ..table import draw_mask, draw_resets

T, D, U, S, M = 5, 3, 4, 6, 2
LARGE = 5  # more rows than `HOIST_UP_TO_ROWS`: inputs are projected step by step
DIRECTIONS = pytest.mark.parametrize("reverse", [False, True], ids=["fwd", "bwd"])
BATCHES = pytest.mark.parametrize("batch", [1, LARGE], ids=["B1", "B5"])


@pytest.fixture(scope="module", autouse=True)
def _forget_compilations():
    yield
    _compiled.cache_clear()


@cache
def _compiled(dtype, reverse, last_only):
    """A layer, and its results and gradients as a compiled function."""
    layer = unrolled.RNN(
        Attending(U, dtype=dtype),
        return_sequences=not last_only,
        return_state=True,
        go_backwards=reverse,
        dtype=dtype,
    )
    layer.build((None, None, D), memory_shape=(None, None, M))
    names = [v.name for v in layer.trainable_variables]

    def apply(params, x, h, patterns):
        weights = [params[name] for name in names]
        memory = params["memory"]
        given = {"initial_state": [h], "memory": memory, **patterns}
        return list(layer.stateless_call(weights, [], x, **given)[0])

    @jax.jit
    def run(params, x, h, patterns, cotangents):
        out, pull = jax.vjp(lambda *at: apply(*at, patterns), params, x, h)
        return out, pull(cotangents)

    return run


def _hold(rng, batch, steps=T, dtype="float32", reverse=False, last=False, **patterns):
    single = lambda a: np.asarray(a, "float32").astype("float64")  # noqa: E731
    shapes = {"W": (D, U), "R": (U, U), "keys": (M, U), "memory": (batch, S, M)}
    params = {n: single(rng.normal(0, s[-2] ** -0.5, s)) for n, s in shapes.items()}
    x = single(rng.normal(size=(batch, steps, D)))
    h = single(rng.normal(size=(batch, U)))
    d_y = rng.normal(size=(batch, U) if last else (batch, steps, U))
    cotangents = [single(d_y), single(rng.normal(size=(batch, U)))]
    given = {name: value for name, value in patterns.items() if value is not None}
    cast = lambda tree: jax.tree.map(lambda a: np.asarray(a, dtype), tree)  # noqa: E731
    out, (d_params, dx, dh) = _compiled(dtype, reverse, last)(
        cast(params), cast(x), cast(h), given, cast(cotangents)
    )
    step = partial(
        reference.attending, params, memory_mask=patterns.pop("memory_mask", None)
    )
    run = reference.unroll(step, x, [h], reverse=reverse, **patterns)
    pulls = (None, cotangents[0]) if last else (cotangents[0], None)
    law_dx, (law_dh,), law_params = run.pull(*pulls, cotangents[1:], None)
    expected = [run.last if last else run.outputs, *run.states]
    for label, ours, law in zip(("y", "h"), out, expected, strict=True):
        record.hold("values", dtype, ours, law, f"memory {label}")
    for name, law in {**law_params, "x": law_dx, "h": law_dh}.items():
        ours = {**d_params, "x": dx, "h": dh}[name]
        record.hold("gradients", dtype, ours, law, f"memory d{name}")
    assert last or all(
        np.any(law_params["memory"][row]) for row in _read(patterns, batch)
    )


def _read(patterns, batch):
    mask = patterns.get("mask")
    return [row for row in range(batch) if mask is None or mask[row].any()]


def _memory_mask(kind, rng, batch):
    """Of kinds as for the inputs; an all-masked row finds the mean of the memory."""
    return draw_mask(kind, rng, batch, S)


@BATCHES
@DIRECTIONS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["none", "right", "holes", "all_masked_row"])
def test_values_and_gradients_equal_the_reference(
    batch, reverse, dtype, kind, rng, request
):
    if dtype == "float64":
        request.getfixturevalue("float64")
    for read in ("none", "holes"):
        _hold(
            rng,
            batch,
            dtype=dtype,
            reverse=reverse,
            mask=draw_mask(kind, rng, batch, T),
            resets=draw_resets(kind != "none", rng, batch, T),
            memory_mask=_memory_mask(read, rng, batch),
        )


@BATCHES
@pytest.mark.parametrize("kind", ["right", "left", "all_masked_row"])
def test_masks_of_the_memory(batch, kind, rng):
    _hold(rng, batch, memory_mask=_memory_mask(kind, rng, batch))


@BATCHES
@DIRECTIONS
def test_one_step(batch, reverse, rng):
    mask = _memory_mask("holes", rng, batch)
    _hold(rng, batch, steps=1, reverse=reverse, memory_mask=mask)


@BATCHES
def test_the_last_output_alone(batch, rng):
    """Chunk after chunk: longer than one."""
    mask = draw_mask("holes", rng, batch, 70)
    resets = draw_resets(True, rng, batch, 70)
    _hold(rng, batch, steps=70, last=True, mask=mask, resets=resets)


def test_the_memory_is_projected_once_a_sequence():
    """No product over all S entries of the memory with its weights inside the loop."""
    layer = unrolled.RNN(Attending(U))
    x, memory = jnp.ones((LARGE, T, D)), jnp.ones((LARGE, S, M))
    layer(x, memory=memory)
    jaxpr = jax.make_jaxpr(lambda x, m: layer(x, memory=m))(x, memory)
    products = [e for e in jaxpr.eqns if e.primitive.name == "dot_general"]
    assert [e.outvars[0].aval.shape for e in products] == [(LARGE, S, U)]


# --- a small layer, and one call that everything below is compared with ---


def _draw(rng, batch=2):
    x = rng.normal(size=(batch, T, D)).astype("float32")
    return x, rng.normal(size=(batch, S, M)).astype("float32")


def _layer(rng, cell=None, **kwargs):
    layer = unrolled.RNN(cell or Attending(U), **kwargs)
    layer.build((2, None, D), memory_shape=(2, None, M))
    return scatter(layer, rng)


def _alike(layer, cell, **kwargs):
    """A layer with the same weights, configured otherwise."""
    twin = unrolled.RNN(cell, **kwargs)
    twin.build((2, None, D), memory_shape=(2, None, M))
    twin.set_weights(layer.get_weights())
    return twin


def test_stateful_in_two_chunks_equals_the_whole(rng):
    layer = _layer(rng, return_sequences=True)
    x, memory = _draw(rng)
    chunks = _alike(layer, Attending(U), return_sequences=True, stateful=True)
    parts = [chunks(part, memory=memory) for part in (x[:, :2], x[:, 2:])]
    close(np.concatenate(parts, 1), layer(x, memory=memory))


def test_time_major_leaves_the_memory_as_it_is(rng):
    layer = _layer(rng, return_sequences=True)
    x, memory = _draw(rng, 5)
    mask = _memory_mask("holes", rng, 5)
    turned = unrolled.RNN(Attending(U), return_sequences=True, time_major=True)
    y = turned(x.swapaxes(0, 1), memory=memory, memory_mask=mask)
    turned.set_weights(layer.get_weights())
    y = turned(x.swapaxes(0, 1), memory=memory, memory_mask=mask)
    close(y.swapaxes(0, 1), layer(x, memory=memory, memory_mask=mask))


def test_initial_state_by_name_and_returned(rng):
    layer = _layer(rng, Attend(unrolled.LSTMCell(U)), return_state=True)
    x, memory = _draw(rng)
    _, h, c = layer(x[:, :2], memory=memory)
    whole = layer(x, memory=memory)
    close(layer(x[:, 2:], {"c": c, "h": h}, memory=memory), whole)


def test_a_stack_of_cells_with_and_without(rng):
    """Each cell that reads gets the memory: as layers one above the other."""
    cells = [unrolled.GRUCell(3), Attending(U), Attend(unrolled.LSTMCell(2))]
    stack = unrolled.RNN(cells, return_sequences=True)
    x, memory = _draw(rng)
    mask = _memory_mask("holes", rng, 2)
    stack(x, memory=memory)
    scatter(stack, rng)
    y = x
    for cell in cells:
        one = unrolled.RNN(cell, return_sequences=True)
        reads = cell.reads_memory == "must"
        y = one(y, **({"memory": memory, "memory_mask": mask} if reads else {}))
    close(stack(x, memory=memory, memory_mask=mask), y)
    assert np.abs(stack(x, memory=memory) - y).max() > 1e-3


@pytest.mark.parametrize("reads", [(1, 1), (1, 0), (0, 1)], ids=str)
def test_bidirectional(reads, rng):
    """Both directions read the memory, or only one."""

    def one(read, **kwargs):
        kwargs["return_sequences"] = True
        cell = Attend(unrolled.GRUCell(U)) if read else unrolled.GRUCell(U)
        return unrolled.RNN(cell, **kwargs)

    x, memory = _draw(rng)
    mask = _memory_mask("right", rng, 2)
    both = unrolled.Bidirectional(
        one(reads[0]), backward_layer=one(reads[1], go_backwards=True)
    )
    both(x, memory=memory)
    scatter(both, rng)
    y = both(x, memory=memory, memory_mask=mask)
    forward, backward = (
        layer(x, **({"memory": memory, "memory_mask": mask} if read else {}))
        for layer, read in zip(both._layers_of, reads, strict=True)
    )
    close(y, np.concatenate([forward, backward[:, ::-1]], -1))
    moved = np.abs(both(x, memory=memory) - y)
    for half, read in zip((slice(U), slice(U, None)), reads, strict=True):
        assert (moved[..., half].max() > 1e-3) == read


def test_bidirectional_from_one_layer(rng):
    x, memory = _draw(rng)
    both = unrolled.Bidirectional(unrolled.RNN(Attending(U), return_state=True))
    y, forward, backward = both(x, memory=memory)
    close(y, np.concatenate([forward, backward], -1))
    again = both(x, {"forward": {"h": forward}, "backward": [backward]}, memory=memory)
    assert np.abs(again[0] - y).max() > 1e-3


WRAPPERS = {
    "residual": unrolled.ResidualWrapper,
    "dropout": partial(unrolled.DropoutWrapper, state_dropout=0.3, input_dropout=0.2),
    "zoneout": partial(unrolled.ZoneoutWrapper, zoneout=0.0),
    "highway": unrolled.HighwayWrapper,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_around(wrapper, rng):
    """The memory reaches the cell inside."""
    x, memory = _draw(rng)
    x = np.concatenate([x, x], -1)[..., :U]
    mask = _memory_mask("holes", rng, 2)
    around = WRAPPERS[wrapper](Attend(unrolled.LSTMCell(U)))
    layer = unrolled.RNN(around, return_sequences=True)
    layer(x, memory=memory)
    scatter(layer, rng)
    inner = unrolled.RNN(around.cell, return_sequences=True)
    y = inner(x, memory=memory, memory_mask=mask)
    made = {"residual": lambda: y + x, "highway": lambda: _highway(around, x, y)}
    expected = made.get(wrapper, lambda: y)()
    close(layer(x, memory=memory, memory_mask=mask), expected)
    trained = layer(x, memory=memory, memory_mask=mask, training=True)
    assert np.allclose(trained, expected, atol=1e-5) == (wrapper != "dropout")
    assert np.abs(layer(x, memory=memory) - expected).max() > 1e-3


@pytest.mark.parametrize("wrapper", ["dropout", "zoneout"])
def test_wrappers_inside(wrapper, rng):
    """What looks into the memory goes around any cell."""
    x, memory = _draw(rng)
    layer = _layer(rng, Attend(WRAPPERS[wrapper](unrolled.GRUCell(U))))
    plain = _alike(layer, Attend(unrolled.GRUCell(U)))
    close(layer(x, memory=memory), plain(x, memory=memory))
    assert np.isfinite(layer(x, memory=memory, training=True)).all()


def _highway(wrapper, x, y):
    z = x @ np.asarray(wrapper.carry_kernel) + np.asarray(wrapper.carry_bias)
    carry = 1 / (1 + np.exp(-z))
    return carry * x + (1 - carry) * y
