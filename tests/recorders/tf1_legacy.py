"""Models and decoders of contrib.legacy_seq2seq. Recorded into `recorded/tf1_legacy`.

As `tf1_drivers` has it; `tests/tf1/test_legacy_seq2seq.py` calls ours of the same name.
"""

import numpy as np
import tensorflow as tf
from tensorflow.contrib import legacy_seq2seq as legacy
from tf1_drivers import B, U, cells, drive, state


def copied(cell, memo):
    """A cell like it: those of 1.15 hold locks, which no deepcopy can copy."""
    if isinstance(cell, cells.MultiRNNCell):
        made = cells.MultiRNNCell([copied(each, memo) for each in cell._cells])
    else:
        made = type(cell)(cell._num_units)
    made._name, made._base_name = cell._name, cell._base_name
    return made


cells.RNNCell.__deepcopy__ = copied
# Of each row the ids that are read, and those that are written.
READ = np.array([[3, 1, 4], [1, 5, 2], [0, 3, 5]])
WRITTEN = np.array([[1, 2, 0, 4], [1, 3, 3, 2], [1, 0, 4, 4]])
IDS = (6, 5, 2)


def _steps(x):
    return tf.unstack(x, axis=1)


def _ids(array):
    return [tf.constant(step) for step in array.T]


def plain_decoder(x, draw):
    """Inputs as they are."""
    start = state(draw)
    cell = cells.BasicLSTMCell(U)
    return legacy.rnn_decoder(_steps(x), start, cell), list(start)


def looped_decoder(x, draw):
    """What a function makes of the last output."""
    start, kernel = draw(B, U), draw(U, 2)
    again = lambda last, place: tf.matmul(last, kernel) + place  # noqa: E731
    cell = cells.GRUCell(U)
    return legacy.rnn_decoder(_steps(x), start, cell, again), [start, kernel]


def basic(x, draw):
    """Two cells of one kind."""
    del draw
    cell = cells.BasicLSTMCell(U)
    return legacy.basic_rnn_seq2seq(_steps(x)[:2], _steps(x), cell, x.dtype), []


def tied(x, draw):
    """One cell for both."""
    del draw
    cell = cells.GRUCell(U)
    return legacy.tied_rnn_seq2seq(_steps(x), _steps(x)[1:], cell, dtype=x.dtype), []


def embedding(x, draw, feed_previous=False):
    """Ids; logits come out."""
    del draw
    cell = cells.BasicLSTMCell(U)
    return legacy.embedding_rnn_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        *IDS,
        feed_previous=feed_previous,
        dtype=x.dtype,
    ), []


def embedding_fed(x, draw):
    """It reads what it wrote."""
    return embedding(x, draw, True)


def embedding_told(x, draw):
    """An array says whether it does."""
    return embedding(x, draw, tf.constant(True))


def embedding_projected(x, draw):
    """Outputs are the cell's; the projection chooses what is fed back."""
    pair = draw(U, 5), draw(5)
    cell = cells.MultiRNNCell([cells.GRUCell(U), cells.BasicLSTMCell(U)])
    return legacy.embedding_rnn_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        *IDS,
        output_projection=pair,
        feed_previous=True,
        dtype=x.dtype,
    ), list(pair)


def embedding_decoder(x, draw):
    """No gradient into the rows fed back; a scope of its own."""
    del x
    start = draw(B, U)
    return legacy.embedding_rnn_decoder(
        _ids(WRITTEN),
        start,
        cells.GRUCell(U),
        U,
        2,
        feed_previous=True,
        update_embedding_for_previous=False,
        scope="writer",
    ), [start]


def embedding_tied(x, draw, feed_previous=True):
    """One table and one cell; fewer ids are written than read."""
    del draw
    cell = cells.GRUCell(U)
    return legacy.embedding_tied_rnn_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        6,
        2,
        num_decoder_symbols=5,
        feed_previous=feed_previous,
        dtype=x.dtype,
    ), []


def embedding_tied_told(x, draw):
    """An array says that it reads what is given."""
    return embedding_tied(x, draw, tf.constant(False))


def attention(x, draw):
    """Two heads, that begin with what the initial state finds."""
    start, memory = state(draw), draw(B, 5, 4)
    return legacy.attention_decoder(
        _steps(x),
        start,
        memory,
        cells.BasicLSTMCell(U),
        output_size=2,
        num_heads=2,
        dtype=x.dtype,
        initial_state_attention=True,
    ), [*start, memory]


def attention_looped(x, draw):
    """One head; what a function makes of the last output is read."""
    start, memory, kernel = draw(B, U), draw(B, 5, 4), draw(U, 2)
    again = lambda last, place: tf.tanh(tf.matmul(last, kernel)) * place  # noqa: E731
    return legacy.attention_decoder(
        _steps(x), start, memory, cells.GRUCell(U), loop_function=again, dtype=x.dtype
    ), [start, memory, kernel]


def embedding_attention(x, draw, feed_previous=False):
    """Ids, and a memory of the encoder's outputs."""
    del draw
    cell = cells.BasicLSTMCell(U)
    return legacy.embedding_attention_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        *IDS,
        feed_previous=feed_previous,
        dtype=x.dtype,
    ), []


def embedding_attention_told(x, draw):
    """An array says that it reads what it wrote."""
    return embedding_attention(x, draw, tf.constant(True))


def embedding_attention_projected(x, draw):
    """Two heads; the projection chooses what is fed back."""
    pair = draw(U, 5), draw(5)
    cell = cells.MultiRNNCell([cells.GRUCell(U), cells.GRUCell(U)])
    return legacy.embedding_attention_seq2seq(
        _ids(READ),
        _ids(WRITTEN),
        cell,
        *IDS,
        num_heads=2,
        output_projection=pair,
        feed_previous=True,
        dtype=x.dtype,
        initial_state_attention=True,
    ), list(pair)


def one_to_many(x, draw):
    """Two decoders."""
    del draw
    return legacy.one2many_rnn_seq2seq(
        _ids(READ),
        {"a": _ids(WRITTEN), "b": _ids(WRITTEN[:, :2])},
        cells.GRUCell(U),
        {"a": cells.GRUCell(U), "b": cells.GRUCell(U)},
        6,
        {"a": 5, "b": 7},
        2,
        dtype=x.dtype,
    ), []


def buckets(x, draw):
    """Outputs and losses of two lengths, with the same weights."""
    cell, weights = cells.GRUCell(U), tf.unstack(tf.abs(draw(4, B)))
    run = lambda read, written: legacy.embedding_attention_seq2seq(  # noqa: E731
        read, written, cell, *IDS, dtype=x.dtype
    )
    return legacy.model_with_buckets(
        _ids(READ), _ids(WRITTEN), _ids(WRITTEN), weights, [(2, 2), (3, 4)], run
    ), weights


def record(case):
    """Record each."""
    del case
    for run in (
        *(plain_decoder, looped_decoder, basic, tied, embedding, embedding_fed),
        *(embedding_told, embedding_projected, embedding_decoder, embedding_tied),
        *(embedding_tied_told, attention, attention_looped, embedding_attention),
        *(embedding_attention_told, embedding_attention_projected, one_to_many),
        buckets,
    ):
        drive(run.__name__, run, folder="tf1_legacy")
