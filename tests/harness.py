"""Run a layer of ours, compiled once, and hold it to the reference."""

from __future__ import annotations

import re

import jax
import numpy as np

from . import record, reference
from .table import Row, assign


class Compiled:
    """A layer returning everything it can, and its pullback, under one jit.

    `run` takes the weights, the inputs and the patterns as arguments, so cases
    that share shapes share one compilation; None and an array are two.
    """

    def __init__(
        self,
        row: Row,
        features: int,
        units: int,
        dtype="float32",
        last_only=False,
        **kwargs,
    ):
        """Build the layer for D = features and U = units.

        last_only: return the last output and the final states, the path that
        stores nothing per step.
        """
        self.row, self.features, self.units = row, features, units
        self.dtype, self.last_only = dtype, last_only
        self.layer = row.layer(
            units,
            return_sequences=not last_only,
            return_state=True,
            return_all_states=not last_only,
            dtype=dtype,
            **row.kwargs,
            **kwargs,
        )
        self.layer.build(row.to_cell_shape((None, None, *row.input_shape(features))))
        self.names = names_of(self.layer.trainable_variables)
        # Weights that are not trained are drawn too; the state of a seed is not.
        fixed = names_of(self.layer.non_trainable_variables)

        def apply(weights, x, initial, mask, resets, rest):
            out, _ = self.layer.stateless_call(
                [weights[name] for name in self.names],
                [weights.get(name, v) for name, v in zip(fixed, rest, strict=True)],
                row.to_cell(x),
                initial_state=initial,
                mask=mask,
                resets=resets,
            )
            return jax.tree.leaves(out)

        @jax.jit
        def run(weights, x, initial, mask, resets, cotangents, rest):
            out, pull = jax.vjp(
                lambda w, x, s: apply(w, x, s, mask, resets, rest),
                weights,
                x,
                initial,
            )
            return out, pull(cotangents)

        self._run = run

    def __call__(self, params, x, initial, mask, resets, cotangents):
        """Outputs [y, *states, *all states], and gradients (weights, x, initial)."""
        kind = "float64" if self.dtype == "float64" else "float32"
        cast = lambda a: np.asarray(a, kind)  # noqa: E731
        rest = [v.value for v in self.layer.non_trainable_variables]
        return self._run(
            jax.tree.map(cast, params),
            cast(x),
            jax.tree.map(cast, initial),
            mask,
            resets,
            jax.tree.map(cast, cotangents),
            rest,
        )


def hold_to_reference(
    compiled,
    rng,
    batch,
    steps,
    *,
    mask=None,
    resets=None,
    initial=True,
    reverse=False,
    zero_masked=False,
    name="",
):
    """Draw weights and data, run both, and compare every value and gradient."""
    row, units, dtype = compiled.row, compiled.units, compiled.dtype
    # Both sides start from the same float32 numbers.
    single = lambda a: np.asarray(a, "float32").astype("float64")  # noqa: E731
    params = jax.tree.map(single, row.params(rng, compiled.features, units))
    x = single(row.draw_inputs(rng, batch, steps, compiled.features))
    output, states = row.output_shape(units), row.state_shapes(units)
    fresh = row.fresh(units, batch)
    start = [single(state) for state in row.draw_states(rng, batch, units)]
    start = start if initial else fresh
    final, along = ([(batch, *n, *s) for s in states] for n in ((), (steps,)))
    shapes = [(batch, steps, *output), *final, *along]
    if compiled.last_only:
        shapes = [(batch, *output), *final]
    cotangents = [single(rng.normal(size=shape)) for shape in shapes]

    out, (d_params, dx, d_initial) = compiled(
        params, x, start if initial else None, mask, resets, cotangents
    )
    run = reference.unroll(
        row.reference_step(params),
        x,
        start,
        fresh=fresh,
        mask=mask,
        resets=resets,
        reverse=reverse,
        zero_masked=zero_masked,
    )
    count = row.states
    d_y, d_states, d_all = (
        cotangents[0],
        cotangents[1 : 1 + count],
        cotangents[1 + count :],
    )
    labels = ["y", *[f"state{n}" for n in range(count)]]
    if compiled.last_only:
        laws = run.pull(None, d_y, d_states, None)
        expected = [run.last, *run.states]
    else:
        laws = run.pull(d_y, None, d_states, d_all)
        expected = [run.outputs, *run.states, *run.all_states]
        labels += [f"all_states{n}" for n in range(count)]
    ref_dx, ref_initial, ref_params = laws
    assert len(out) == len(expected)
    for label, ours, law in zip(labels, out, expected, strict=True):
        assert ours.dtype == dtype
        record.hold("values", dtype, ours, law, f"{name} {label}")
    record.hold("gradients", dtype, dx, ref_dx, f"{name} dx")
    for key, law in ref_params.items():
        record.hold("gradients", dtype, d_params[key], law, f"{name} d{key}")
    if initial:
        for n, law in enumerate(ref_initial):
            record.hold("gradients", dtype, d_initial[n], law, f"{name} dstate{n}")


def names_of(variables) -> list[str]:
    """Their names; the second of a name ends in _1, the third in _2."""
    plain = [variable.name for variable in variables]
    before = [plain[:place].count(name) for place, name in enumerate(plain)]
    return [f"{n}_{k}" if k else n for n, k in zip(plain, before, strict=True)]


def stock_params(layer) -> dict[str, np.ndarray]:
    """A layer's weights by name, float64."""
    return {v.name: np.asarray(v.value, np.float64) for v in layer.trainable_variables}


def randomise(layer, row, rng, features, units):
    """Give a built layer random weights and return them, float64."""
    params = row.params(rng, features, units)
    assign(layer.trainable_variables, params)
    return stock_params(layer)


def scatter(layer, rng):
    """Give a built layer, whatever is in it, random weights."""
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape).astype("float32"))
    return layer


def close(actual, expected) -> None:
    """Assert that two trees are the same numbers but for float32's rounding."""
    pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def program_of(model, x) -> str:
    """What a built model computes of x, as JAX reads it, with all that it closes over.

    Two models with the same one and the same weights give the same, to the last bit.
    """
    variables = model.trainable_variables, model.non_trainable_variables
    values = [[v.value for v in each] for each in variables]
    traced = jax.make_jaxpr(model.stateless_call)(*values, x)
    text = re.sub(r" at 0x[0-9a-f]+|0x[0-9a-f]+", "", str(traced))
    return f"{text}\n{traced.consts}"
