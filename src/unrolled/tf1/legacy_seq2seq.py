"""The old models of ``tf.contrib.legacy_seq2seq``: encoder and decoder, over lists.

``from unrolled import tf1`` and ``tf1.legacy_seq2seq`` in place of it. What a graph
kept by scope, the cell keeps that a function is called with: the same weights at every
call. Build a model of ``keras.Input(())`` for each step, as there were placeholders,
and they are the model's, for ``fit``, files and `tf1.load`; arrays are taken, too.

Now: an `unrolled.RNN` as encoder and an `unrolled.Decoder`, over an
`unrolled.AttentionCell` where there is a memory.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ..arguments import remade
from ..cells.base import Tree
from ..checks import require
from . import legacy_parts as parts
from .base import RNNCell, check_cell
from .drivers import below_scope
from .legacy_decoders import (
    attention_decoder,
    check_projection,
    either,
    embedding_attention_decoder,
    embedding_rnn_decoder,
    look_back,
    rnn_decoder,
)
from .legacy_losses import (
    model_with_buckets,
    sequence_loss,
    sequence_loss_by_example,
)
from .lists import static_rnn
from .scoped import EmbeddingWrapper, OutputProjectionWrapper

__all__ = [
    "attention_decoder",
    "basic_rnn_seq2seq",
    "embedding_attention_decoder",
    "embedding_attention_seq2seq",
    "embedding_rnn_decoder",
    "embedding_rnn_seq2seq",
    "embedding_tied_rnn_seq2seq",
    "model_with_buckets",
    "one2many_rnn_seq2seq",
    "rnn_decoder",
    "sequence_loss",
    "sequence_loss_by_example",
    "tied_rnn_seq2seq",
]


def _reader(cell: RNNCell, count: int, size: int, scope: str) -> RNNCell:
    """A cell like `cell`, behind a table of its own."""

    def make() -> RNNCell:
        return EmbeddingWrapper(remade(cell), count, size, dtype=cell.dtype_policy)

    return parts.kept(cell, "reader", scope, make)


def _projected(cell: RNNCell, count: int, scope: str) -> RNNCell:
    """The cell, with a projection of its outputs to so many symbols."""

    def make() -> RNNCell:
        return OutputProjectionWrapper(cell, count, dtype=cell.dtype_policy)

    return parts.kept(cell, "projected", scope, make)


def _settle(cell: RNNCell, dtype: Any) -> None:
    if dtype is not None:
        cell.settle(dtype)


def basic_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    dtype: Any = "float32",
    scope: Any = None,
) -> tuple[list[Any], Tree]:
    """Read with one cell, then write with another, which begins with its state.

    Args:
        encoder_inputs: S arrays ``(B, D)``.
        decoder_inputs: T arrays ``(B, D)``.
        cell: an old cell, the decoder's; the encoder's is like it.
        dtype: of a cell that has neither weights nor a dtype of its own.
        scope: default ``"basic_rnn_seq2seq"``.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: if the cell is none of these, or there are no steps.

    Now: ``unrolled.LSTM(units, return_state=True)``, and another with
    ``initial_state=``.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> steps = [keras.ops.ones((2, 3))] * 4
        >>> cell = tf1.GRUCell(5)
        >>> outputs, state = tf1.legacy_seq2seq.basic_rnn_seq2seq(steps, steps, cell)
        >>> len(outputs), outputs[0].shape, state.shape
        (4, (2, 5), (2, 5))

    Source: ``tf.contrib.legacy_seq2seq.basic_rnn_seq2seq`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    scope = below_scope(scope, "basic_rnn_seq2seq")
    _settle(cell, dtype)
    reader = parts.kept(cell, "reader", scope, lambda: remade(cell))
    _, state = static_rnn(reader, encoder_inputs, dtype=dtype, scope=f"{scope}/rnn")
    return rnn_decoder(decoder_inputs, state, cell, scope=f"{scope}/rnn_decoder")


def tied_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    loop_function: Any = None,
    dtype: Any = "float32",
    scope: Any = None,
) -> tuple[list[Any], Tree]:
    """`basic_rnn_seq2seq` with one cell for both.

    Args:
        encoder_inputs: S arrays ``(B, D)``.
        decoder_inputs: T arrays ``(B, D)``.
        cell: an old cell.
        loop_function: as of `rnn_decoder`.
        dtype: of a cell that has neither weights nor a dtype of its own.
        scope: default ``"tied_rnn_seq2seq"``, below ``combined_tied_rnn_seq2seq``.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: as of `basic_rnn_seq2seq`.

    Now: one `unrolled.RNN` layer called twice.

    Source: ``tf.contrib.legacy_seq2seq.tied_rnn_seq2seq`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    return _tied(
        encoder_inputs,
        decoder_inputs,
        cell,
        loop_function,
        dtype,
        f"combined_tied_rnn_seq2seq/{below_scope(scope, 'tied_rnn_seq2seq')}",
    )


def _tied(
    encoder_inputs: Any,
    decoder_inputs: Any,
    cell: Any,
    again: Any,
    dtype: Any,
    path: str,
) -> tuple[list[Any], Tree]:
    _, state = static_rnn(cell, encoder_inputs, dtype=dtype, scope=path)
    return rnn_decoder(decoder_inputs, state, cell, again, path)


def embedding_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    num_encoder_symbols: int,
    num_decoder_symbols: int,
    embedding_size: int,
    output_projection: Any = None,
    feed_previous: Any = False,
    dtype: Any = None,
    scope: Any = None,
) -> tuple[list[Any], Tree]:
    """`basic_rnn_seq2seq` over ids, each side with a table of its own.

    Args:
        encoder_inputs: S arrays ``(B,)`` of ids.
        decoder_inputs: T arrays ``(B,)`` of ids.
        cell: an old cell, the decoder's; the encoder's is like it.
        num_encoder_symbols: ids that are read.
        num_decoder_symbols: V, ids that are written.
        embedding_size: the width of a row.
        output_projection: None: outputs are projected to V logits. Or the pair that
            would do so, ``(U, V)`` and ``(V,)``: outputs are the cell's, and the pair
            only chooses what is fed back.
        feed_previous: read the likeliest id of the last output; of `decoder_inputs` the
            first alone. A bool; or an array of one, then both are computed, and no
            gradient goes through the ids fed back.
        dtype: of a cell that has neither weights nor a dtype of its own.
        scope: default ``"embedding_rnn_seq2seq"``.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: as of `basic_rnn_seq2seq`, and if the projection does not fit.

    Now: ``keras.layers.Embedding`` before the two layers.

    Source: ``tf.contrib.legacy_seq2seq.embedding_rnn_seq2seq`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    check_projection(output_projection, num_decoder_symbols)
    scope = below_scope(scope, "embedding_rnn_seq2seq")
    _settle(cell, dtype)
    reader = _reader(cell, num_encoder_symbols, embedding_size, scope)
    _, state = static_rnn(reader, encoder_inputs, scope=f"{scope}/rnn")
    if output_projection is None:
        cell = _projected(cell, num_decoder_symbols, scope)
    return either(
        feed_previous,
        lambda back: embedding_rnn_decoder(
            decoder_inputs,
            state,
            cell,
            num_decoder_symbols,
            embedding_size,
            output_projection,
            back,
            isinstance(feed_previous, bool),
            f"{scope}/embedding_rnn_decoder",
        ),
    )


def embedding_tied_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    num_symbols: int,
    embedding_size: int,
    num_decoder_symbols: int | None = None,
    output_projection: Any = None,
    feed_previous: Any = False,
    dtype: Any = None,
    scope: Any = None,
) -> tuple[list[Any], Tree]:
    """`tied_rnn_seq2seq` over ids, with one table for both sides.

    Args:
        encoder_inputs: S arrays ``(B,)`` of ids.
        decoder_inputs: T arrays ``(B,)`` of ids.
        cell: an old cell.
        num_symbols: ids of both sides.
        embedding_size: the width of a row.
        num_decoder_symbols: V, ids that are written. Default: all.
        output_projection: as of `embedding_rnn_seq2seq`, to all symbols.
        feed_previous: as of `embedding_rnn_seq2seq`.
        dtype: of a cell that has neither weights nor a dtype of its own.
        scope: default ``"embedding_tied_rnn_seq2seq"``.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: as of `embedding_rnn_seq2seq`.

    Now: one ``keras.layers.Embedding`` and one `unrolled.RNN`, called twice.

    Source: ``tf.contrib.legacy_seq2seq.embedding_tied_rnn_seq2seq`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    check_projection(output_projection, num_symbols)
    scope = below_scope(scope, "embedding_tied_rnn_seq2seq")
    _settle(cell, dtype)
    rows = parts.table(cell, num_symbols, embedding_size, scope, cell.dtype_policy)
    read = [rows(ids) for ids in encoder_inputs]
    written = [rows(ids) for ids in decoder_inputs]
    again = look_back(rows, output_projection, isinstance(feed_previous, bool))
    if output_projection is None:
        cell = _projected(cell, num_decoder_symbols or num_symbols, scope)
    path = f"{scope}/combined_tied_rnn_seq2seq/tied_rnn_seq2seq"
    return either(
        feed_previous,
        lambda back: _tied(read, written, cell, again if back else None, dtype, path),
    )


def embedding_attention_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    num_encoder_symbols: int,
    num_decoder_symbols: int,
    embedding_size: int,
    num_heads: int = 1,
    output_projection: Any = None,
    feed_previous: Any = False,
    dtype: Any = None,
    scope: Any = None,
    initial_state_attention: bool = False,
) -> tuple[list[Any], Tree]:
    """`embedding_rnn_seq2seq` whose decoder attends to the encoder's outputs.

    Args:
        encoder_inputs: S arrays ``(B,)`` of ids.
        decoder_inputs: T arrays ``(B,)`` of ids.
        cell: an old cell, the decoder's; the encoder's is like it.
        num_encoder_symbols: ids that are read.
        num_decoder_symbols: V, ids that are written.
        embedding_size: the width of a row.
        num_heads: how many read the memory, side by side.
        output_projection: as of `embedding_rnn_seq2seq`.
        feed_previous: as of `embedding_rnn_seq2seq`.
        dtype: of a cell that has neither weights nor a dtype of its own.
        scope: default ``"embedding_attention_seq2seq"``.
        initial_state_attention: as of `attention_decoder`.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: as of `embedding_rnn_seq2seq`, and if there are no heads.

    Now: an encoder, and a decoder whose cell reads its outputs as ``memory``.

    Source: ``embedding_attention_seq2seq`` of TensorFlow 1.15's
    ``tf.contrib.legacy_seq2seq``.
    """
    check_cell("cell", cell)
    check_projection(output_projection, num_decoder_symbols)
    scope = below_scope(scope, "embedding_attention_seq2seq")
    _settle(cell, dtype)
    reader = _reader(cell, num_encoder_symbols, embedding_size, scope)
    found, state = static_rnn(reader, encoder_inputs, scope=f"{scope}/rnn")
    memory, size = keras.ops.stack(found, axis=1), None
    if output_projection is None:
        size = num_decoder_symbols
        cell = _projected(cell, size, scope)
    return either(
        feed_previous,
        lambda back: embedding_attention_decoder(
            decoder_inputs,
            state,
            memory,
            cell,
            num_decoder_symbols,
            embedding_size,
            num_heads,
            size,
            output_projection,
            back,
            isinstance(feed_previous, bool),
            dtype,
            f"{scope}/embedding_attention_decoder",
            initial_state_attention,
        ),
    )


def one2many_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs_dict: Mapping[str, Sequence[Any]],
    enc_cell: RNNCell,
    dec_cells_dict: Mapping[str, RNNCell],
    num_encoder_symbols: int,
    num_decoder_symbols_dict: Mapping[str, int],
    embedding_size: int,
    feed_previous: Any = False,
    dtype: Any = None,
    scope: Any = None,
) -> tuple[dict[str, list[Any]], dict[str, Tree]]:
    """One encoder over ids, and several decoders that begin with its state.

    Args:
        encoder_inputs: S arrays ``(B,)`` of ids.
        decoder_inputs_dict: of each decoder T arrays ``(B,)`` of ids, by its name.
        enc_cell: an old cell.
        dec_cells_dict: of each decoder its cell.
        num_encoder_symbols: ids that are read.
        num_decoder_symbols_dict: of each decoder the ids that it writes.
        embedding_size: the width of a row.
        feed_previous: as of `embedding_rnn_seq2seq`.
        dtype: of cells that have neither weights nor a dtype of their own.
        scope: default ``"one2many_rnn_seq2seq"``.

    Returns:
        Of each decoder the list of outputs, and the state.

    Raises:
        ValueError: if the dictionaries have not the same names, or a cell is none of
            these.

    Now: an encoder, and an `unrolled.RNN` for each task.

    Source: ``tf.contrib.legacy_seq2seq.one2many_rnn_seq2seq`` of TensorFlow 1.15.
    """
    names = set(decoder_inputs_dict)
    require(
        names == set(dec_cells_dict) == set(num_decoder_symbols_dict),
        "decoder_inputs_dict, dec_cells_dict, num_decoder_symbols_dict",
        "must have the same names",
        [sorted(names), sorted(dec_cells_dict), sorted(num_decoder_symbols_dict)],
        "give each decoder its inputs, cell and number of symbols",
    )
    check_cell("enc_cell", enc_cell)
    scope = below_scope(scope, "one2many_rnn_seq2seq")
    _settle(enc_cell, dtype)
    reader = parts.kept(
        enc_cell,
        "reader itself",
        scope,
        lambda: EmbeddingWrapper(
            enc_cell, num_encoder_symbols, embedding_size, dtype=enc_cell.dtype_policy
        ),
    )
    _, state = static_rnn(reader, encoder_inputs, scope=f"{scope}/rnn")
    found: dict[str, tuple[list[Any], Tree]] = {}
    for name, inputs in decoder_inputs_dict.items():
        cell, count = dec_cells_dict[name], num_decoder_symbols_dict[name]
        check_cell(f"dec_cells_dict[{name!r}]", cell)
        _settle(cell, dtype)
        path = f"{scope}/one2many_decoder_{name}"
        projected = _projected(cell, count, path)

        def run(
            back: bool,
            inputs: Any = inputs,
            projected: Any = projected,
            count: int = count,
            path: str = path,
        ) -> Tree:
            return embedding_rnn_decoder(
                inputs,
                state,
                projected,
                count,
                embedding_size,
                feed_previous=back,
                scope=f"{path}/embedding_rnn_decoder",
            )

        found[name] = either(feed_previous, run)
    outputs = {name: each for name, (each, _) in found.items()}
    return outputs, {name: each for name, (_, each) in found.items()}
