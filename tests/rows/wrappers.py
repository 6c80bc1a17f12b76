"""Rows of `tests/sources/wrappers.py`."""

from functools import partial

import unrolled

import numpy as np
from autograd import numpy as anp

from ..sources import wrappers
from . import Formula, joined

CLASSES, SLOTS, WIDTH = 5, 5, 3


def _around(wrapper, *args, inner=unrolled.UGRNNCell, **options):
    """A cell in a wrapper: ``(units, **keywords of any layer) -> the wrapper``."""

    def make(units, **kwargs):
        return wrapper(inner(units, **kwargs), *args, **options, **kwargs)

    return make


def _scoped(weights, scope, own):
    """Weights of the wrapper by the source's names, and the cell's in their scope."""
    rest = {name: w for name, w in weights.items() if name not in own}
    inner = {f"{scope}/{name}": w for name, w in joined(rest).items()}
    return {**inner, **{theirs: weights[ours] for ours, theirs in own.items()}}


def _named(**own):
    return lambda weights: _scoped(weights, "ugrnn_cell", own)


def _ifco_to_ijfo(weight):
    i, f, c, o = anp.split(weight, 4, axis=-1)
    return anp.concatenate([i, c, f, o], axis=-1)


def _attention(weights):
    own = {
        "input_kernel": "kernel",
        "input_bias": "bias",
        "score": "attention/attn_v",
        "query_bias": "attention/bias",
        "output_kernel": "attn_output_projection/kernel",
        "output_bias": "attn_output_projection/bias",
    }
    rest = {
        k: w for k, w in weights.items() if k not in ("query_kernel", "window_kernel")
    }
    made = _scoped(rest, "lstm_cell", own)
    for name in ("lstm_cell/kernel", "lstm_cell/bias"):
        made[name] = _ifco_to_ijfo(made[name])
    # Our states are h, c; TensorFlow's c, h.
    h, c = anp.split(weights["query_kernel"], 2, axis=0)
    made["attention/kernel"] = anp.concatenate([c, h], axis=0)
    made["attention/attn_w"] = weights["window_kernel"][None, None]
    return made


def _ntm_weights(weights, reads, heads):
    own = {
        f"{name}_{kind}": f"ntm_cell/{name}_{kind}"
        for name in ("parameters", "output")
        for kind in ("kernel", "bias")
    }
    own["initial_slots"] = "ntm_cell/memory"
    lists = (
        ("initial_read_vectors", "initial_read_vector", reads),
        ("initial_addresses", "initial_address_weights", heads),
    )
    rest = {k: w for k, w in weights.items() if k not in [ours for ours, *_ in lists]}
    made = _scoped(rest, "ntm_cell/ugrnn_cell", own)
    for ours, theirs, count in lists:
        for n in range(count):
            made[f"ntm_cell/{theirs}_{n}"] = weights[ours][n : n + 1]
    return made


def _ntm_step(weights, x, states, *, reads, heads, **options):
    """The source's step, from states of all heads in one array."""
    h, read, address, slots, time = states
    lists = [read[:, n] for n in range(reads)] + [address[:, n] for n in range(heads)]
    output, after = wrappers.ntm(
        weights,
        x,
        [h, *lists, slots, time],
        read_head_num=reads,
        write_head_num=heads - reads,
        **options,
    )
    h, *lists, slots, time = after
    both = [anp.stack(part, axis=1) for part in (lists[:reads], lists[reads:])]
    return output, [h, *both, slots, time]


def _shares(rng, shape):
    shares = np.exp(0.5 * rng.normal(size=shape))
    return shares / shares.sum(axis=-1, keepdims=True)


def _times(_, shape):
    """The first sequence begins."""
    return (np.arange(shape[0]) > 0).astype(float).reshape(shape)


def _ntm(name, reads, writes, brief=False, **options):
    sizes = {"reads": reads, "heads": reads + writes}
    told = {k: v for k, v in options.items() if k != "output_dim"}
    cell = _around(unrolled.NTMCell, SLOTS, WIDTH, reads, writes, **options)
    return Formula(
        name,
        cell,
        partial(_ntm_step, **sizes, **told),
        partial(_ntm_weights, **sizes),
        draws={"addresses": _shares, "time": _times},
        brief=brief,
    )


def _stacked(units, **kwargs):
    cells = [unrolled.UGRNNCell(size, **kwargs) for size in (units, 2)]
    return unrolled.StackedRNNCells(cells, skip_connections=True, **kwargs)


def _levels(weights):
    levels = [{}, {}]
    for name, weight in weights.items():
        levels[name.endswith("_1")][name.removesuffix("_1")] = weight
    return {
        f"{n}/{name}": weight
        for n, level in enumerate(levels)
        for name, weight in joined(level).items()
    }


def _projection(name, where, brief=False, **options):
    kinds = {"input": "InputProjectionWrapper", "output": "OutputProjectionWrapper"}
    own = {f"{where}_kernel": "kernel", f"{where}_bias": "bias"}
    return Formula(
        name,
        _around(getattr(unrolled, kinds[where]), 2, **options),
        partial(getattr(wrappers, f"{where}_projection_ugrnn"), **options),
        _named(**own),
        brief=brief,
    )


# With small weights tanh is nearly linear, and the query's gradient, a sum of shares'
# that add up to nothing, nearly zero.
_ATTENDING = partial(_around, unrolled.AttentionCellWrapper, inner=unrolled.LSTMCell)
_SOURCE = partial(wrappers.attention_lstm, forget_bias=0.0)

ROWS = [
    Formula(
        "embedding",
        _around(unrolled.EmbeddingWrapper, CLASSES, 3),
        wrappers.embedding_ugrnn,
        _named(embeddings="embedding"),
        inputs=lambda rng, rows, _: rng.integers(CLASSES, size=rows) + 0.0,
        to_cell=lambda x: x.astype("int32"),
    ),
    _projection("input_projection", "input"),
    _projection("input_projection_tanh", "input", activation="tanh", brief=True),
    _projection("output_projection", "output"),
    _projection("output_projection_tanh", "output", activation="tanh", brief=True),
    Formula(
        "attention",
        _ATTENDING(3),
        partial(_SOURCE, attn_length=3),
        _attention,
        order=(1, 0, 2, 3),
        scale=2.0,
        narrow=(2, 4),
    ),
    Formula(
        "attention_sizes",
        _ATTENDING(2, attn_size=3, attn_vec_size=2, input_size=5),
        partial(_SOURCE, attn_length=2),
        _attention,
        order=(1, 0, 2, 3),
        scale=2.0,
        brief=True,
    ),
    _ntm("ntm", 1, 1, output_dim=2),
    _ntm("ntm_many", 2, 2, shift_range=2, output_dim=3, clip_value=0.7, brief=True),
    Formula("skip_connections", _stacked, wrappers.skip_connections, _levels),
    Formula(
        "esn",
        partial(unrolled.ESNCell, connectivity=0.5),
        wrappers.esn,
        to_source=dict,
    ),
    Formula(
        "esn_leaky",
        partial(unrolled.ESNCell, leaky=0.3, use_bias=False, activation="linear"),
        partial(wrappers.esn, leaky=0.3, activation=None),
        to_source=dict,
        brief=True,
    ),
]
