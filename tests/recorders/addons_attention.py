"""Attention of TensorFlow Addons: every mechanism, and what `AttentionWrapper` takes.

A recorded cell has its memory as a weight, and shows it to its mechanisms at every
step, so that gradients reach it.
"""

import numpy as np
import tensorflow as tf
from tensorflow_addons import seq2seq

B, S, M, U = 3, 5, 3, 4
# True where an entry counts: right and left padding, and holes.
MASK = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 1], [1, 0, 1, 0, 1]]


class Attending(tf.keras.layers.Layer):
    """An `AttentionWrapper` whose memories are weights, and whose states are a row.

    The cell's, the attention, and the alignments, which are the mechanisms' state too.
    """

    def __init__(self, cell, mechanisms, mask=None, several=False, **kwargs):
        """Show the mechanisms a first memory each, so that they know its length."""
        super().__init__(name="attending")
        lengths = [S - n for n in range(len(mechanisms))]
        for mechanism, length in zip(mechanisms, lengths, strict=True):
            mechanism.setup_memory(tf.zeros([B, length, M], tf.float64))
        one = mechanisms if several else mechanisms[0]
        self.wrapper = seq2seq.AttentionWrapper(cell, one, name="own", **kwargs)
        self.mechanisms = mechanisms
        self.mask = None if mask is None else tf.constant(np.array(mask, bool))
        self.memories = [
            self.add_weight(f"memory_{n}", [B, length, M], tf.float64)
            for n, length in enumerate(lengths)
        ]

    @property
    def state_size(self):
        """Widths, in a row."""
        size = self.wrapper.state_size
        inner = tf.nest.flatten(size.cell_state)
        return [*inner, size.attention, *tf.nest.flatten(size.alignments)]

    @property
    def output_size(self):
        """The wrapper's."""
        return self.wrapper.output_size

    def call(self, inputs, states):
        """Show the memories, then a step."""
        for mechanism, memory in zip(self.mechanisms, self.memories, strict=True):
            mechanism.setup_memory(tf.convert_to_tensor(memory), None, self.mask)
        count = len(self.mechanisms)
        *inner, attention = states[:-count]
        like = self.wrapper.state_size
        alignments = tf.nest.pack_sequence_as(like.alignments, states[-count:])
        state = seq2seq.AttentionWrapperState(
            tf.nest.pack_sequence_as(like.cell_state, inner),
            attention,
            alignments,
            like.alignment_history,
            alignments,
        )
        output, after = self.wrapper(inputs, state)
        row = [after.cell_state, after.attention, after.alignments]
        return output, tf.nest.flatten(row)


def _added(inputs, attention):
    """An input function: not side by side."""
    return inputs + attention


def _begun():
    """States as monotonic attention may find them: one entry is attended to."""
    draw = np.random.RandomState(0).normal
    rows = [tf.constant(0.5 * draw(size=(B, width))) for width in (U, M)]
    return [*rows, tf.one_hot([0, 1, 0], S, dtype=tf.float64)]


def record(case):
    """Each mechanism alone, then the options of the wrapper.

    The mode "recursive" is not recorded: Addons' own works in float32 alone.
    """

    def one(
        name,
        mechanisms,
        cell=tf.keras.layers.SimpleRNNCell,
        told=(),
        initial=None,
        **options,
    ):
        """`mechanisms`: of each the class, its units, and its options."""
        kinds = [[kind.__name__, given] for kind, _, given in mechanisms]

        def make():
            made = [
                kind(units, name=f"mechanism_{n}", **given)
                for n, (kind, units, given) in enumerate(mechanisms)
            ]
            inside = cell(U, name="cell")
            return Attending(inside, made, several=len(made) > 1, **options)

        told = {"mechanisms": kinds, **dict(told)}
        plain = {k: v for k, v in options.items() if k in ("mask", "output_attention")}
        told = {**told, **plain}
        case(f"attention_{name}", make, "attention.wrapper", told, initial=initial)

    bahdanau = (seq2seq.BahdanauAttention, 3, {})
    luong = (seq2seq.LuongAttention, U, {})
    scaled = (seq2seq.LuongAttention, U, {"scale": True})
    for name, each in {
        "bahdanau": bahdanau,
        "bahdanau_normalised": (*bahdanau[:2], {"normalize": True}),
        "luong": luong,
        "luong_scaled": scaled,
        "luong_hardmax": (*luong[:2], {"probability_fn": "hardmax"}),
    }.items():
        one(name, [each], mask=MASK)
    for mode in ("parallel", "hard"):
        given = {"mode": mode, "score_bias_init": -0.5}
        add = (seq2seq.BahdanauMonotonicAttention, 3, {"normalize": True, **given})
        one(f"bahdanau_{mode}", [add], initial=_begun)
        times = (seq2seq.LuongMonotonicAttention, U, {"scale": True, **given})
        one(f"luong_{mode}", [times], initial=_begun, mask=MASK)
    one("unmasked", [bahdanau])
    one("cell_output", [bahdanau], output_attention=False)
    layers = {"layers": 1}
    one("size", [luong], told=layers, attention_layer_size=6, mask=MASK)
    one(
        "size_cell_output",
        [luong],
        told=layers,
        attention_layer_size=6,
        output_attention=False,
    )
    dense = tf.keras.layers.Dense
    one(
        "layer",
        [luong],
        told={**layers, "activation": "tanh"},
        attention_layer=dense(5, "tanh", name="attention_layer"),
    )
    one("input_fn", [bahdanau], told={"added": True}, cell_input_fn=_added)
    one("two", [bahdanau, scaled])
    one(
        "two_layers",
        [bahdanau, luong],
        told={"layers": 2},
        attention_layer=[dense(5, name="layer_0"), dense(2, name="layer_1")],
    )
    lstm = tf.keras.layers.LSTMCell
    one("lstm", [bahdanau], cell=lstm, told={"cell": "lstm"}, mask=MASK)
