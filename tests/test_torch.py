"""torch's recurrent layers, run anew, and ours with their weights, `dropout=0`."""

import unrolled

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from .peers import agree, called

pytestmark = [
    pytest.mark.parity,
    pytest.mark.usefixtures("float64"),
]
B, T, D, U = 3, 5, 3, 4
LENGTHS = np.array([2, T, 1])
KINDS = {
    "RNN": (unrolled.SimpleRNN, {}, {}),
    "RNN-relu": (unrolled.SimpleRNN, {"nonlinearity": "relu"}, {"activation": "relu"}),
    "LSTM": (unrolled.LSTM, {}, {}),
    "LSTM-proj_size": (unrolled.LSTM, {"proj_size": 2}, {"projection_size": 2}),
    "LSTM-no_bias": (unrolled.LSTM, {"bias": False}, {"use_bias": False}),
    "GRU": (unrolled.GRU, {}, {}),
}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def _of_level(kind, params, end):
    """The weights of one cell of ours, by name, from torch's with this end."""
    own = {name.removesuffix(end): p for name, p in params.items() if _ends(name, end)}

    def columns(name):
        a = own[name]
        if kind is unrolled.GRU:  # torch: r, z, n
            a = jnp.concatenate([a[U : 2 * U], a[:U], a[2 * U :]])
        return a.T

    weights = {"kernel": columns("weight_ih"), "recurrent_kernel": columns("weight_hh")}
    if "bias_ih" in own:
        both = jnp.stack([columns("bias_ih"), columns("bias_hh")])
        weights["bias"] = both if kind is unrolled.GRU else both.sum(0)
    if "weight_hr" in own:
        weights["projection_kernel"] = own["weight_hr"].T
    return weights


def _ends(name, end):
    return name.endswith(end) and (end.endswith("_reverse") or "reverse" not in name)


def _weights(kind, params, levels, both):
    """Ours by name: one direction after the other, in each the lowest cell first."""
    weights = {}
    for way in ("", "_reverse")[: 1 + both]:
        for level in range(levels):
            number = (
                len(weights) and f"_{len([n for n in weights if 'recurrent' in n])}"
            )
            own = _of_level(kind, params, f"_l{level}{way}")
            weights |= {f"{name}{number or ''}": w for name, w in own.items()}
    return weights


def _theirs(torch, module, states, lengths):
    """Outputs and gradients of torch's, in the form of `peers.Pulled`."""

    def run(given, cotangents):
        leaf = lambda a: torch.tensor(np.asarray(a), requires_grad=True)  # noqa: E731
        leaves = jax.tree.map(leaf, given)
        # State by state, each (layers * directions, B, ...); ours cell by cell.
        start = [torch.stack(leaves["states"][k::states]) for k in range(states)]
        x = leaves["x"]
        if lengths is not None:
            x = torch.nn.utils.rnn.pack_padded_sequence(
                x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
            )
        y, final = torch.func.functional_call(
            module, leaves["params"], (x, tuple(start) if states > 1 else start[0])
        )
        if lengths is not None:
            y = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0]
        final = list(final) if states > 1 else [final]
        many = len(given["states"]) // states
        outputs = [y, *(s[n] for n in range(many) for s in final)]
        sent = [torch.tensor(np.asarray(c)) for c in cotangents]
        torch.autograd.backward(outputs, sent)
        values = [out.detach().numpy() for out in outputs]
        return values, jax.tree.map(lambda a: a.grad.numpy(), leaves)

    return run


@pytest.mark.parametrize("both", [False, True], ids=["one_way", "both_ways"])
@pytest.mark.parametrize(("levels", "lengths"), [(1, LENGTHS), (2, None)], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_a_layer(name, levels, lengths, both, torch, rng):
    """Packed sequences are our `lengths`, with zeros past them."""
    kind, of_torch, of_ours = KINDS[name]
    module = getattr(torch.nn, name.split("-")[0])(
        D,
        U,
        num_layers=levels,
        bidirectional=both,
        batch_first=True,
        dtype=torch.float64,
        **of_torch,
    )
    layer = kind(
        U,
        num_layers=levels,
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=True,
        dtype="float64",
        **of_ours,
    )
    layer = unrolled.Bidirectional(layer, dtype="float64") if both else layer
    layer.build((B, T, D))
    sizes = [of_ours.get("projection_size", U), U][: 1 + (kind is unrolled.LSTM)]
    given = {
        "params": {
            key: rng.normal(size=tuple(p.shape)) / 2
            for key, p in module.named_parameters()
        },
        "x": rng.normal(size=(B, T, D)),
        "states": [
            rng.normal(size=(B, size))
            for _ in range(levels * (1 + both))
            for size in sizes
        ],
    }

    def ours(given):
        weights = _weights(kind, given["params"], levels, both)
        more = {} if lengths is None else {"lengths": lengths}
        start = given["states"]
        return called(layer, weights, given["x"], initial_state=start, **more)

    theirs = _theirs(torch, module, len(sizes), lengths)
    agree(f"torch.{name}", ours, theirs, given, rng)
