"""The old decoders over lists: plain, with an embedding, with attention."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras

from ..cells.base import Tree
from ..checks import require, sizes
from . import legacy_parts as parts
from .base import RNNCell, check_cell
from .drivers import below_scope, ready, settle_like
from .lists import static_rnn


def _check_steps(name: str, steps: Any) -> None:
    require(
        isinstance(steps, (list, tuple)) and len(steps) > 0,
        name,
        "must be a list with an array for each step, one or more",
        type(steps).__name__,
        "pass keras.ops.unstack(inputs, axis=1)",
    )


def _spec(step: Any) -> jax.ShapeDtypeStruct:
    dtype = keras.backend.standardize_dtype(step.dtype)
    return jax.ShapeDtypeStruct((1, *sizes(step.shape)[1:]), dtype)


def look_back(
    rows: parts.Table, output_projection: Any, update: bool = True
) -> Callable[[Any, int], Any]:
    """The loop function that reads the row of the likeliest id of an output."""

    def loop_function(previous: Any, place: int) -> Any:
        del place
        if output_projection is not None:
            kernel, bias = output_projection
            bias = keras.ops.expand_dims(bias, 0)
            previous = keras.ops.matmul(previous, kernel) + bias
        found = rows(keras.ops.argmax(previous, axis=1))
        return found if update else keras.ops.stop_gradient(found)

    return loop_function


def check_projection(output_projection: Any, count: int) -> None:
    """Raise unless a pair of weights gives so many symbols.

    Raises:
        ValueError: saying what their shapes are.
    """
    if output_projection is None:
        return
    shapes = [tuple(part.shape) for part in output_projection]
    require(
        len(shapes) == 2 and shapes[0][-1:] == (count,) and shapes[1] == (count,),
        "output_projection",
        f"must be arrays (n, {count}) and ({count},), {count} being the symbols",
        shapes,
        "pass the pair (W, B) that turns an output into logits",
    )


def either(given: Any, run: Callable[[bool], Tree]) -> Tree:
    """``run(given)``; where only an array knows it, the one of both that it says."""
    if isinstance(given, bool):
        return run(given)
    yes, no = run(True), run(False)
    return jax.tree.map(lambda a, b: keras.ops.where(given, a, b), yes, no)


def rnn_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Tree,
    cell: RNNCell,
    loop_function: Any = None,
    scope: Any = None,
) -> tuple[list[Any], Tree]:
    """Run a cell over a list, or over what a function makes of its last output.

    Args:
        decoder_inputs: T arrays ``(B, D)``.
        initial_state: in the old form.
        cell: an old cell.
        loop_function: ``(previous output, step) -> (B, D)``, the next input; then of
            `decoder_inputs` the first alone is read. Without one all steps run in one
            compiled loop.
        scope: default ``"rnn_decoder"``.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: if the cell is none of these, or there are no steps.

    Now: ``unrolled.RNN(cell)(x, initial_state=...)``.

    Source: ``tf.contrib.legacy_seq2seq.rnn_decoder`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    decoder_inputs = list(decoder_inputs)
    _check_steps("decoder_inputs", decoder_inputs)
    scope = below_scope(scope, "rnn_decoder")
    if loop_function is None:
        return static_rnn(cell, decoder_inputs, initial_state, scope=scope)
    ready(cell, _spec(decoder_inputs[0]))
    cell.kept.scope = scope
    state, outputs = initial_state, []
    for place, x in enumerate(decoder_inputs):
        x = loop_function(outputs[-1], place) if outputs else x
        output, state = cell(x, state)
        outputs.append(output)
    return outputs, state


def embedding_rnn_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Tree,
    cell: RNNCell,
    num_symbols: int,
    embedding_size: int,
    output_projection: Any = None,
    feed_previous: bool = False,
    update_embedding_for_previous: bool = True,
    scope: Any = None,
) -> tuple[list[Any], Tree]:
    """`rnn_decoder` over ids, which are looked up.

    Args:
        decoder_inputs: T arrays ``(B,)`` of ids.
        initial_state: in the old form.
        cell: an old cell.
        num_symbols: V.
        embedding_size: the width of a row.
        output_projection: None, or arrays ``(n, V)`` and ``(V,)`` that make logits of
            an output, to choose the next id by.
        feed_previous: read the likeliest id of the last output; of `decoder_inputs` the
            first alone.
        update_embedding_for_previous: let gradients into rows that are read so.
        scope: default ``"embedding_rnn_decoder"``.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: if the projection does not give V numbers.

    Now: ``keras.layers.Embedding`` before `unrolled.RNN`.

    Source: ``tf.contrib.legacy_seq2seq.embedding_rnn_decoder`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    check_projection(output_projection, num_symbols)
    scope = below_scope(scope, "embedding_rnn_decoder")
    settle_like(cell, initial_state)
    rows = parts.table(cell, num_symbols, embedding_size, scope, cell.dtype_policy)
    again = look_back(rows, output_projection, update_embedding_for_previous)
    return rnn_decoder(
        [rows(ids) for ids in decoder_inputs],
        initial_state,
        cell,
        again if feed_previous else None,
        f"{scope}/rnn_decoder",
    )


def attention_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Tree,
    attention_states: Any,
    cell: RNNCell,
    output_size: int | None = None,
    num_heads: int = 1,
    loop_function: Any = None,
    dtype: Any = None,
    scope: Any = None,
    initial_state_attention: bool = False,
) -> tuple[list[Any], Tree]:
    """`rnn_decoder` that attends to a memory at every step.

    Args:
        decoder_inputs: T arrays ``(B, D)``.
        initial_state: in the old form.
        attention_states: the memory ``(B, S, A)``.
        cell: an old cell.
        output_size: of an output. Default: the cell's.
        num_heads: how many read the memory, side by side.
        loop_function: as of `rnn_decoder`.
        dtype: of a cell that has neither weights nor a dtype of its own.
        scope: default ``"attention_decoder"``.
        initial_state_attention: begin with what the initial state finds, not zeros.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: if there are no steps or no heads, or the memory's width is unknown.

    Now: a cell that reads ``memory``, in `unrolled.RNN`.

    Source: ``tf.contrib.legacy_seq2seq.attention_decoder`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    decoder_inputs = list(decoder_inputs)
    _check_steps("decoder_inputs", decoder_inputs)
    require(
        num_heads >= 1,
        "num_heads",
        "must be at least 1",
        num_heads,
        "call rnn_decoder for a decoder without attention",
    )
    shape = tuple(attention_states.shape)
    require(
        len(shape) == 3 and shape[2] is not None,
        "attention_states",
        "must have shape (batch, steps, width), the width known",
        shape,
        "stack the encoder's outputs along axis 1",
    )
    scope = below_scope(scope, "attention_decoder")
    first = _spec(decoder_inputs[0])
    ready(cell, first, dtype)
    cell.kept.scope = scope
    states = jax.tree.leaves(initial_state)
    widths = (first.shape[-1], shape[2])
    size = cell.output_size if output_size is None else output_size
    layer = parts.decoder(cell, size, num_heads, scope, widths, states)
    outputs, states = layer(
        decoder_inputs,
        states,
        attention_states,
        loop_function=loop_function,
        attend_first=initial_state_attention,
    )
    return outputs, jax.tree.unflatten(jax.tree.structure(initial_state), states)


def embedding_attention_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Tree,
    attention_states: Any,
    cell: RNNCell,
    num_symbols: int,
    embedding_size: int,
    num_heads: int = 1,
    output_size: int | None = None,
    output_projection: Any = None,
    feed_previous: bool = False,
    update_embedding_for_previous: bool = True,
    dtype: Any = None,
    scope: Any = None,
    initial_state_attention: bool = False,
) -> tuple[list[Any], Tree]:
    """`attention_decoder` over ids, which are looked up.

    Args:
        decoder_inputs: T arrays ``(B,)`` of ids.
        initial_state: in the old form.
        attention_states: the memory ``(B, S, A)``.
        cell: an old cell.
        num_symbols: V.
        embedding_size: the width of a row.
        num_heads: as of `attention_decoder`.
        output_size: of an output. Default: the cell's.
        output_projection: as of `embedding_rnn_decoder`.
        feed_previous: as of `embedding_rnn_decoder`.
        update_embedding_for_previous: as of `embedding_rnn_decoder`.
        dtype: of a cell that has neither weights nor a dtype of its own.
        scope: default ``"embedding_attention_decoder"``.
        initial_state_attention: as of `attention_decoder`.

    Returns:
        ``(list of T outputs, state)``.

    Raises:
        ValueError: as of `attention_decoder`, and if the projection does not give V
            numbers.

    Now: ``keras.layers.Embedding`` before a cell that reads ``memory``.

    Source: ``embedding_attention_decoder`` of TensorFlow 1.15's
    ``tf.contrib.legacy_seq2seq``.
    """
    check_cell("cell", cell)
    check_projection(output_projection, num_symbols)
    scope = below_scope(scope, "embedding_attention_decoder")
    if dtype is not None:
        cell.settle(dtype)
    else:
        settle_like(cell, initial_state)
    rows = parts.table(cell, num_symbols, embedding_size, scope, cell.dtype_policy)
    again = look_back(rows, output_projection, update_embedding_for_previous)
    return attention_decoder(
        [rows(ids) for ids in decoder_inputs],
        initial_state,
        attention_states,
        cell,
        output_size,
        num_heads,
        again if feed_previous else None,
        dtype,
        f"{scope}/attention_decoder",
        initial_state_attention,
    )
