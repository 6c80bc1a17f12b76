"""Cells whose products are convolutions, or made group by group."""

from functools import partial

from tensorflow.contrib import rnn


class Kept(rnn.Conv1DLSTMCell):
    """Its state stays as wide as it says: h, without the inputs beside it.

    The library's own carries the whole output, which no loop takes as its state.
    """

    def call(self, inputs, state, scope=None):
        output, (c, _) = super().call(inputs, state, scope)
        return output, rnn.LSTMStateTuple(c, output[..., : self._output_channels])


def record(case):
    """Record each."""
    sizes = {1: ([5], [3]), 2: ([3, 2], [3, 2]), 3: ([2, 1, 3], [2, 1, 2])}
    kinds = {1: rnn.Conv1DLSTMCell, 2: rnn.Conv2DLSTMCell, 3: rnn.Conv3DLSTMCell}
    for rank, (space, kernel) in sizes.items():
        shape = [*space, 2]
        given = {"input_shape": shape, "kernel_shape": kernel, "output_channels": 3}
        case(
            "conv%d_lstm" % rank,
            partial(kinds[rank], **given),
            "conv.contrib_conv_lstm",
            input_shape=tuple(shape),
        )

    def narrow(kind, **kwargs):
        return kind(input_shape=[5, 2], output_channels=3, kernel_shape=[2], **kwargs)

    case(
        "conv1_lstm_forget_bias",
        lambda: narrow(rnn.Conv1DLSTMCell, forget_bias=-0.5, use_bias=False),
        "conv.contrib_conv_lstm",
        {"forget_bias": -0.5},
        input_shape=(5, 2),
    )
    case(
        "conv1_lstm_skip",
        lambda: narrow(Kept, skip_connection=True),
        "conv.contrib_conv_lstm",
        {"skip_connection": True},
        input_shape=(5, 2),
    )
    case(
        "glstm",
        lambda: rnn.GLSTMCell(4, number_of_groups=2),
        "conv.glstm",
        {"number_of_groups": 2},
        input_shape=(6,),
    )
    case(
        "glstm_projection",
        lambda: rnn.GLSTMCell(6, number_of_groups=3, num_proj=3, forget_bias=-0.5),
        "conv.glstm",
        {"number_of_groups": 3, "forget_bias": -0.5},
        input_shape=(6,),
    )
