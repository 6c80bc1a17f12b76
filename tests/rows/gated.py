"""Rows of `tests/sources/gated.py`."""

from functools import partial

import unrolled

import numpy as np
from autograd import numpy as anp

from ..sources import gated
from . import Formula, joined


def named(rest=lambda weights: weights, **names):
    """Weights under other names; `rest` makes of ours what the source has."""
    return lambda weights: {names.get(k, k): v for k, v in rest(weights).items()}


def by_gate(gates, w, r=None, heads=False):
    """Matrices and biases gate by gate: ``<w>_i``, ``<r>_i``, ``b_i`` and so on."""

    def split(weights):
        roles = {"kernel": w, "bias": "b", **({"recurrent_kernel": r} if r else {})}
        found = {}
        for role, letter in roles.items():
            parts = anp.split(weights[role], len(gates), axis=-1)
            parts = map(_diagonal, parts) if heads and letter == r else parts
            found |= {
                f"{letter}_{g}": part for g, part in zip(gates, parts, strict=True)
            }
        return found

    return split


def _diagonal(blocks):
    """Blocks ``(K, S, S)`` as one matrix ``(K*S, K*S)``."""
    count, size, _ = blocks.shape
    place = anp.eye(count)
    rows = anp.einsum("ks,kij->kisj", place, blocks)
    return anp.reshape(rows, (count * size, count * size))


def _independent(weights):
    return {
        "kernel_w": weights["kernel"],
        "kernel_u": weights["recurrent_kernel"][None],
        "bias": weights["bias"],
    }


def _independent_gru(weights):
    gates, candidate = {}, {}
    for name, weight in _independent(weights).items():
        units = weight.shape[-1] // 3
        gates[name] = weight[..., : 2 * units]
        candidate[name] = weight[..., 2 * units :]
    candidate["kernel"] = candidate.pop("kernel_w")
    both = {"gates": gates, "candidate": candidate}
    return {f"{k}/{n}": w for k, part in both.items() for n, w in part.items()}


def _minimal(weights):
    parts = [weights[k] for k in ("kernel", "gate_kernel", "recurrent_kernel")]
    return {"kernel": anp.concatenate(parts), "bias": weights["bias"]}


def _phased(weights):
    both = joined({k: weights[k] for k in ("kernel", "recurrent_kernel", "bias")})
    units = both["bias"].shape[0] // 4
    places = {"mask_gates": (0, 2), "new_input": (2, 3), "output_gate": (3, 4)}
    peepholes = {"mask_gates": (0, 2), "output_gate": (2, 3)}
    found = {k: v for k, v in weights.items() if k in ("period", "phase", "ratio_on")}
    for scope, (first, last) in places.items():
        columns = slice(first * units, last * units)
        kernel = both["kernel"][:, columns]
        if "peephole_kernel" in weights and scope in peepholes:
            first, last = peepholes[scope]
            more = weights["peephole_kernel"][:, first * units : last * units]
            kernel = anp.concatenate([kernel, more])
        found |= {f"{scope}/kernel": kernel, f"{scope}/bias": both["bias"][columns]}
    return found


def _mgu(weights):
    parts = by_gate("fh", "x", "h")(weights)
    rows = {g: anp.concatenate([parts[f"h_{g}"], parts[f"x_{g}"]]) for g in "fh"}
    return {f"W_{g}": rows[g] for g in "fh"} | {f"b_{g}": parts[f"b_{g}"] for g in "fh"}


def _timed(rng, rows, features):
    """Times that bfloat16 holds too, as the first column."""
    time = rng.integers(0, 3, (rows[0], 1)) + np.arange(rows[1])
    return np.concatenate([time[..., None], rng.normal(size=(*rows, features))], -1)


def _scored(rng, rows, features):
    score = rng.uniform(size=(*rows, 1))
    return np.concatenate([rng.normal(size=(*rows, features)), score], -1)


def _between(low, high):
    return lambda rng, shape: rng.uniform(low, high, shape)


PHASED = {
    "to_source": _phased,
    "order": (1, 0),
    "inputs": _timed,
    "to_cell": lambda x: (x[..., :1], x[..., 1:]),
    "draws": {"period": _between(2, 4), "ratio_on": _between(0.4, 0.8)},
}
SLSTM = {
    "to_source": by_gate("ifzo", "W", "R", heads=True),
    "draws": {"n": _between(0.5, 1.5)},
}
INTERSECTION = named(
    joined, input_kernel="in_projection/kernel", input_bias="in_projection/bias"
)
NAS = named(projection_kernel="projection_weights")

ROWS = [
    Formula("ugrnn", unrolled.UGRNNCell, gated.ugrnn),
    Formula(
        "ugrnn_forget_bias",
        partial(unrolled.UGRNNCell, forget_bias=-0.5),
        partial(gated.ugrnn, forget_bias=-0.5),
    ),
    Formula(
        "intersection",
        unrolled.IntersectionRNNCell,
        gated.intersection,
        INTERSECTION,
    ),
    Formula(
        "intersection_options",
        partial(unrolled.IntersectionRNNCell, forget_bias=-0.5, y_activation="tanh"),
        partial(gated.intersection, forget_bias=-0.5, y_activation="tanh"),
        inputs=lambda rng, rows, _: rng.normal(size=(*rows, 4)),  # as wide as the state
        brief=True,
    ),
    Formula("nas", unrolled.NASCell, gated.nas, NAS, order=(1, 0)),
    Formula(
        "nas_projected",
        partial(unrolled.NASCell, use_bias=True, projection_size=3),
        gated.nas,
        NAS,
        order=(1, 0),
    ),
    Formula("indrnn", unrolled.IndRNNCell, gated.indrnn, _independent),
    Formula(
        "indrnn_relu",
        partial(unrolled.IndRNNCell, activation="relu"),
        partial(gated.indrnn, activation="relu"),
        _independent,
        brief=True,
    ),
    Formula(
        "indylstm",
        unrolled.IndyLSTMCell,
        gated.indylstm,
        _independent,
        order=(1, 0),
    ),
    Formula(
        "indylstm_options",
        partial(unrolled.IndyLSTMCell, forget_bias=-0.5, activation="relu"),
        partial(gated.indylstm, forget_bias=-0.5, activation="relu"),
        _independent,
        order=(1, 0),
        brief=True,
    ),
    Formula("indygru", unrolled.IndyGRUCell, gated.indygru, _independent_gru),
    Formula(
        "indygru_relu",
        partial(unrolled.IndyGRUCell, activation="relu"),
        partial(gated.indygru, activation="relu"),
        _independent_gru,
        brief=True,
    ),
    Formula("sru", unrolled.SRUCell, gated.sru, named()),
    Formula(
        "sru_relu",
        partial(unrolled.SRUCell, activation="relu"),
        partial(gated.sru, activation="relu"),
        named(),
        brief=True,
    ),
    Formula("cfn", unrolled.CFNCell, gated.cfn, named()),
    Formula(
        "cfn_relu",
        partial(unrolled.CFNCell, activation="relu"),
        partial(gated.cfn, activation="relu"),
        named(),
        brief=True,
    ),
    Formula("minimalrnn", unrolled.MinimalRNNCell, gated.minimalrnn, _minimal),
    Formula(
        "minimalrnn_relu",
        partial(unrolled.MinimalRNNCell, activation="relu"),
        partial(gated.minimalrnn, activation="relu"),
        _minimal,
        brief=True,
    ),
    Formula("phased", unrolled.PhasedLSTMCell, gated.phased, **PHASED),
    Formula(
        "phased_options",
        partial(
            unrolled.PhasedLSTMCell,
            use_peepholes=True,
            leak=0.1,
            ratio_on=0.5,
            trainable_ratio_on=False,
        ),
        partial(gated.phased, peepholes=True, leak=0.1, ratio_on=0.5),
        **PHASED,
    ),
    Formula("mgu", unrolled.MGUCell, gated.mgu, _mgu),
    Formula("mingru", unrolled.MinGRUCell, gated.mingru, by_gate("zh", "W")),
    Formula("minlstm", unrolled.MinLSTMCell, gated.minlstm, by_gate("fih", "W")),
    Formula("slstm", partial(unrolled.SLSTMCell, heads=2), gated.slstm, **SLSTM),
    Formula("slstm_one_head", unrolled.SLSTMCell, gated.slstm, **SLSTM, brief=True),
    Formula(
        "slstm_exponential",
        partial(unrolled.SLSTMCell, heads=2, exponential_forget=True),
        partial(gated.slstm, exponential_forget=True),
        **SLSTM,
        brief=True,
    ),
    Formula(
        "augru",
        unrolled.AUGRUCell,
        gated.augru,
        by_gate("urh", "W", "U"),
        inputs=_scored,
        to_cell=lambda x: (x[..., :-1], x[..., -1:]),
    ),
]
