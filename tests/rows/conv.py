"""Rows of `tests/sources/conv.py`."""

from functools import partial

import unrolled

from autograd import numpy as anp

from ..sources import conv
from . import Formula


def _images(*space, channels=None):
    """Draws sequences of images of this size; of D channels if no number is given."""
    return lambda rng, rows, features: rng.normal(
        size=(*rows, *space, channels or features)
    )


def _lstm(rank, *window, padding="same", **kwargs):
    """Makes the cell of so many filters."""
    return lambda units, **given: unrolled.ConvLSTMCell(
        rank, units, window, padding=padding, **kwargs, **given
    )


def _gru(rank, *window, padding="same", **kwargs):
    return lambda units, **given: unrolled.ConvGRUCell(
        rank, units, window, padding=padding, **kwargs, **given
    )


def _contrib(ours):
    """One kernel over [x, h], gates in the order i j f o."""
    kernel = anp.concatenate([ours["kernel"], ours["recurrent_kernel"]], axis=-2)
    order = lambda w: anp.concatenate(  # noqa: E731
        [anp.split(w, 4, axis=-1)[n] for n in (0, 2, 1, 3)], axis=-1
    )
    bias = {"biases": order(ours["bias"])} if "bias" in ours else {}
    return {"kernel": order(kernel), **bias}


def _separate(ours):
    """The paper's kernels gate by gate; its z is what our 1 - z is."""
    theirs = {}
    names = {"kernel": "W", "recurrent_kernel": "U", "bias": "b"}
    for name, letter in names.items():
        z, r, h = anp.split(ours[name], 3, axis=-1)
        theirs |= {f"{letter}_z": -z, f"{letter}_r": r, f"{letter}_h": h}
    return theirs


def _groups(groups):
    """Kernels ``((D + P) / K, 4 * U / K)`` of each of K groups, a bias of each gate."""

    def to_source(ours):
        rows = [ours["kernel"], ours["recurrent_kernel"]]
        kernel = anp.concatenate(rows, axis=0)
        units = kernel.shape[1] // 4
        columns = anp.reshape(kernel, (-1, 4, groups, units // groups))
        theirs = {
            f"group{k}/kernel": anp.reshape(columns[:, :, k], (kernel.shape[0], -1))
            for k in range(groups)
        }
        biases = zip("ijfo", anp.split(ours["bias"], 4), strict=True)
        theirs |= {f"bias_{name}": bias for name, bias in biases}
        if "projection_kernel" in ours:
            theirs["projection/kernel"] = ours["projection_kernel"]
        return theirs

    return to_source


def _pairs(rng, rows, features):
    """As many features as two groups share."""
    return rng.normal(size=(*rows, 2 * features))


ROWS = [
    Formula(
        "conv1_lstm",
        _lstm(1, 3, padding="valid"),
        partial(conv.conv_lstm, padding="valid"),
        to_source=dict,
        inputs=_images(5),
    ),
    Formula(
        "conv2_lstm",
        _lstm(2, 3, 2),
        conv.conv_lstm,
        to_source=dict,
        inputs=_images(4, 3),
    ),
    Formula(
        "conv2_lstm_strides",
        _lstm(2, 2, 3, strides=2),
        partial(conv.conv_lstm, strides=2),
        to_source=dict,
        inputs=_images(5, 4),
        brief=True,
    ),
    Formula(
        "conv2_lstm_dilation",
        _lstm(2, 3, 2, padding="valid", dilation_rate=2, use_bias=False),
        partial(conv.conv_lstm, padding="valid", dilation_rate=2),
        to_source=dict,
        inputs=_images(6, 4),
        brief=True,
    ),
    Formula(
        "conv3_lstm",
        _lstm(3, 2, 1, 2),
        conv.conv_lstm,
        to_source=dict,
        inputs=_images(2, 2, 3),
        brief=True,
    ),
    Formula(
        "contrib_conv2_lstm",
        _lstm(2, 3, 2, forget_bias=1.0, unit_forget_bias=False),
        conv.contrib_conv_lstm,
        to_source=_contrib,
        order=(1, 0),
        inputs=_images(3, 3),
        brief=True,
    ),
    Formula(
        "contrib_conv1_lstm_skip",
        _lstm(1, 2, forget_bias=-0.5, skip_connection=True),
        partial(conv.contrib_conv_lstm, forget_bias=-0.5, skip_connection=True),
        to_source=_contrib,
        order=(1, 0),
        inputs=_images(5, channels=2),
    ),
    Formula(
        "conv1_gru",
        _gru(1, 3, padding="valid"),
        partial(conv.conv_gru, padding="valid"),
        to_source=_separate,
        inputs=_images(5),
    ),
    Formula(
        "conv2_gru",
        _gru(2, 2, 3, strides=2),
        partial(conv.conv_gru, strides=2),
        to_source=_separate,
        inputs=_images(4, 4),
        brief=True,
    ),
    Formula(
        "conv3_gru",
        _gru(3, 2, 1, 2),
        conv.conv_gru,
        to_source=_separate,
        inputs=_images(2, 2, 2),
        brief=True,
    ),
    Formula(
        "glstm",
        partial(unrolled.GLSTMCell, groups=2),
        partial(conv.glstm, number_of_groups=2),
        to_source=_groups(2),
        order=(1, 0),
        inputs=_pairs,
    ),
    Formula(
        "glstm_projection",
        partial(unrolled.GLSTMCell, groups=2, projection_size=6, forget_bias=-0.5),
        partial(conv.glstm, number_of_groups=2, forget_bias=-0.5),
        to_source=_groups(2),
        order=(1, 0),
        inputs=_pairs,
    ),
]
