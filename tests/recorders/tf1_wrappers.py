"""Cells around cells, and a neural Turing machine."""

from functools import partial

import tensorflow as tf
from tensorflow.contrib import rnn
from tensorflow.contrib.rnn.python.ops import rnn_cell as more

U, CLASSES, N, M = 4, 5, 5, 3


class Flat(rnn.RNNCell):
    """An NTMCell whose states are arrays of the batch; the time is one for each row."""

    def __init__(self, **kwargs):
        super().__init__()
        self.ntm = more.NTMCell(rnn.UGRNNCell(U), N, M, **kwargs)
        self.reads = kwargs["read_head_num"]
        self.heads = self.reads + kwargs["write_head_num"]

    @property
    def state_size(self):
        slots = tf.TensorShape([N, M])
        return (U,) + (M,) * self.reads + (N,) * self.heads + (slots, 1)

    @property
    def output_size(self):
        return self.ntm.output_size or 3

    def call(self, x, state):
        own = list(state[1:-2])
        before = more.NTMControllerState(
            controller_state=state[0],
            read_vector_list=own[: self.reads],
            w_list=own[self.reads :],
            M=state[-2],
            time=tf.cast(tf.reduce_max(state[-1]) > 0, tf.int32),
        )
        output, after = self.ntm(x, before)
        lists = [*after.read_vector_list, *after.w_list]
        return output, (after.controller_state, *lists, after.M, state[-1] + 1)


def _started(fresh, heads):
    """Initial states of an NTM: its addresses are shares; its time is 0 if fresh."""

    def start(states):
        first = len(states) - 2 - heads
        shares = [tf.nn.softmax(a) for a in states[first:-2]]
        time = tf.zeros_like(states[-1]) if fresh else tf.exp(states[-1])
        return [*states[:first], *shares, states[-2], time]

    return start


def _float64(make, *args, **kwargs):
    """Make a cell where also variables without a dtype are float64."""
    tf.compat.v1.get_variable_scope().set_dtype(tf.float64)
    return make(*args, **kwargs)


def _ids(x):
    return tf.cast(tf.math.floormod(tf.floor(x), CLASSES), tf.int32)


def record(case):
    """Record each."""
    case(
        "embedding",
        lambda: rnn.EmbeddingWrapper(rnn.UGRNNCell(U), CLASSES, 3),
        "wrappers.embedding_ugrnn",
        input_shape=(1,),
        inputs=_ids,
    )
    for name, activation in (("", None), ("_tanh", "tanh")):
        act = activation and tf.tanh
        case(
            "input_projection" + name,
            partial(rnn.InputProjectionWrapper, rnn.UGRNNCell(U), 2, act),
            "wrappers.input_projection_ugrnn",
            {"activation": activation},
        )
        case(
            "output_projection" + name,
            partial(rnn.OutputProjectionWrapper, rnn.UGRNNCell(U), 2, act),
            "wrappers.output_projection_ugrnn",
            {"activation": activation},
        )
    options = {"": {}, "_sizes": {"attn_size": 3, "attn_vec_size": 2, "input_size": 5}}
    for name, given in options.items():
        case(
            "attention" + name,
            partial(_float64, rnn.AttentionCellWrapper, rnn.LSTMCell(U), 3, **given),
            "wrappers.attention_lstm",
            {"attn_length": 3},
        )
    heads = {"read_head_num": 1, "write_head_num": 1}
    many = {"read_head_num": 2, "write_head_num": 2, "shift_range": 2}
    for name, given, more_given, fresh in (
        ("", heads, {}, False),
        ("_fresh", heads, {}, True),
        ("_many", many, {"output_dim": 2}, False),
        ("_many_fresh", dict(many, clip_value=0.7), {"output_dim": 2}, True),
    ):
        case(
            "ntm" + name,
            partial(Flat, **given, **more_given),
            "wrappers.ntm",
            given,
            dtype="float32",
            start=_started(fresh, given["read_head_num"] + given["write_head_num"]),
        )
