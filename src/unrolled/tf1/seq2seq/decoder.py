"""The old decoders' base, and the loop that runs them: compiled, with our own loops."""

import abc
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..._borrowed import Tracer
from ...cells.signatures import takes
from ...checks import require
from ...engine import stopping
from ...engine.pure import Pure, purify
from ..raw import TensorArray
from .stepping import arrays

Tree = Any


class Decoder(abc.ABC):
    """Base of decoders that hold all they read; derive from it to write your own.

    Its `step` is traced: it decides by ``jnp.where``, and not by ``if``. Layers that it
    calls are made and built before.

    Now: `unrolled.search` with a step of your own.

    Source: ``Decoder`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """

    # The most steps that there can be, where that is known.
    most_steps: Any = None

    @abc.abstractmethod
    def initialize(self, name: Any = None) -> tuple[Any, Tree, Tree]:
        """``(finished [B], first inputs, first state)``."""

    @abc.abstractmethod
    def step(
        self, time: Any, inputs: Tree, state: Tree
    ) -> tuple[Tree, Tree, Tree, Any]:
        """``(outputs, next state, next inputs, finished [B])``."""

    def finalize(
        self, outputs: Tree, final_state: Tree, sequence_lengths: Any
    ) -> tuple[Tree, Tree]:
        """Outputs, time first, and state as they are returned."""
        del sequence_lengths
        return outputs, final_state

    @property
    def tracks_own_finished(self) -> bool:
        """Whether `finished` of a step says all, not only which rows it finished."""
        return False


class BaseDecoder(keras.layers.Layer):
    """Base of decoders that are layers, called with what they read.

    A subclass has ``initialize(inputs, initial_state=None, **kwargs)`` and ``step(time,
    inputs, state, training)``, as `Decoder` has; what the call is given beside
    goes to ``initialize``.

    Args:
        output_time_major: outputs are ``(T, B, ...)``. Default False.
        impute_finished: after its end a row keeps its state, and its outputs are
            zeros. Default False.
        maximum_iterations: the most steps there are.
        parallel_iterations: read by nobody.
        swap_memory: read by nobody.
        **kwargs: what a Keras layer takes.

    Now: `unrolled.Decoder`.

    Source: ``BaseDecoder`` of TensorFlow Addons 0.23.
    """

    most_steps: Any = None

    def __init__(
        self,
        output_time_major: bool = False,
        impute_finished: bool = False,
        maximum_iterations: Any = None,
        parallel_iterations: int = 32,
        swap_memory: bool = False,
        **kwargs: Any,
    ) -> None:
        del parallel_iterations, swap_memory
        super().__init__(autocast=False, **kwargs)
        self.output_time_major, self.impute_finished = (
            output_time_major,
            impute_finished,
        )
        self.maximum_iterations = maximum_iterations
        # What is inside is built by the first call.
        self.built = True

    def call(
        self,
        inputs: Any,
        initial_state: Any = None,
        training: Any = None,
        **kwargs: Any,
    ) -> tuple[Tree, Tree, Any]:
        """``(outputs, final state, lengths)``."""
        return dynamic_decode(
            self,
            output_time_major=self.output_time_major,
            impute_finished=self.impute_finished,
            maximum_iterations=self.maximum_iterations,
            training=training,
            decoder_init_input=inputs,
            decoder_init_kwargs={"initial_state": initial_state, **kwargs},
        )

    def initialize(
        self, inputs: Any, initial_state: Any = None, **kwargs: Any
    ) -> tuple[Any, Tree, Tree]:
        """``(finished [B], first inputs, first state)``."""
        raise NotImplementedError(f"{type(self).__name__} must define initialize.")

    def step(
        self, time: Any, inputs: Tree, state: Tree, training: Any = None
    ) -> tuple[Tree, Tree, Tree, Any]:
        """``(outputs, next state, next inputs, finished [B])``."""
        raise NotImplementedError(f"{type(self).__name__} must define step.")

    finalize = Decoder.finalize
    tracks_own_finished = Decoder.tracks_own_finished


def dynamic_decode(
    decoder: Any,
    output_time_major: bool = False,
    impute_finished: bool = False,
    maximum_iterations: Any = None,
    parallel_iterations: int = 32,
    swap_memory: bool = False,
    training: Any = None,
    scope: Any = None,
    enable_tflite_convertible: bool = False,
    *,
    decoder_init_input: Any = None,
    decoder_init_kwargs: dict[str, Any] | None = None,
) -> tuple[Tree, Tree, Any]:
    """Run a decoder until every row has finished: one compiled loop.

    Where the most steps that there can be are known, by `maximum_iterations` or a
    training sampler, the loop has every derivative and runs inside ``jit`` and ``fit``;
    compiled so it gives as many steps, zeros after the end. Otherwise, and outside, it
    gives as many as were taken.

    Args:
        decoder: a `Decoder` or `BaseDecoder`.
        output_time_major: outputs are ``(T, B, ...)``. Default False.
        impute_finished: after its end a row keeps its state, and its outputs are
            zeros. Default False.
        maximum_iterations: the most steps there are. Default: until all have finished.
        parallel_iterations: read by nobody.
        swap_memory: read by nobody.
        training: whether dropout is on.
        scope: read by nobody.
        enable_tflite_convertible: read by nobody.
        decoder_init_input: of a `BaseDecoder`, what it reads.
        decoder_init_kwargs: of a `BaseDecoder`, what its ``initialize`` takes beside.

    Returns:
        ``(outputs, final state, lengths)``, the lengths ``(B,)``; of a beam search
        ``(B, K)``.

    Raises:
        ValueError: if `maximum_iterations` is needed and was not given, or a step
            changes the form of state or inputs.

    Now: `unrolled.search`, `unrolled.Decoder`.

    Source: ``dynamic_decode`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """
    del parallel_iterations, swap_memory, scope, enable_tflite_convertible
    require(
        isinstance(decoder, (Decoder, BaseDecoder)),
        "decoder",
        "must be a Decoder or BaseDecoder of unrolled.tf1.seq2seq",
        type(decoder).__name__,
        "for example BasicDecoder(cell, sampler)",
    )
    most = _most(maximum_iterations)
    require(
        not (impute_finished and decoder.tracks_own_finished),
        "impute_finished",
        f"must be False for a {type(decoder).__name__}, whose rows change places",
        "True",
        "leave it out; what comes after a beam's end is the end token",
    )
    if isinstance(decoder, Decoder):
        begun = decoder.initialize()
    else:
        begun = decoder.initialize(decoder_init_input, **(decoder_init_kwargs or {}))
    finished, inputs, state = begun
    known = [each for each in (most, decoder.most_steps) if each is not None]
    outputs, state, lengths = _run(
        decoder,
        jnp.asarray(finished).astype(bool),
        arrays(inputs),
        arrays(state),
        min(known) if known else None,
        impute_finished,
        training,
    )
    outputs, state = decoder.finalize(outputs, state, lengths)
    if not output_time_major:
        outputs = jax.tree.map(_batch_first, outputs)
    return outputs, state, lengths


def _most(given: Any) -> int | None:
    """The most steps, as a number.

    Raises:
        ValueError: if it is not positive, or is known only while it runs.
    """
    if given is None:
        return None
    require(
        not isinstance(given, (Tracer, keras.KerasTensor)),
        "maximum_iterations",
        "must be a number when the loop is compiled",
        given,
        "pass a bound that holds for every batch, for example 2 * source.shape[1]",
    )
    shape = jnp.shape(given)
    require(
        shape == () and int(given) > 0 and int(given) == given,
        "maximum_iterations",
        "must be one positive whole number",
        given if shape == () else shape,
        "leave it out to decode until all rows have finished",
    )
    return int(given)


def _batch_first(array: jax.Array) -> jax.Array:
    return jnp.swapaxes(array, 0, 1) if array.ndim > 1 else array


def _run(
    decoder: Any,
    finished: jax.Array,
    inputs: Tree,
    state: Tree,
    most: int | None,
    impute: bool,
    training: Any,
) -> tuple[Tree, Tree, jax.Array]:
    """Outputs, time first, the state, and the lengths."""
    before, state = _taken(state)
    named = {"training": training} if takes(decoder.step, "training") else {}

    def one(read: tuple, state: Tree) -> tuple[Tree, Tree]:
        time, inputs = read
        returned = decoder.step(time, inputs, state, **named)
        outputs, after, following, done = returned
        written, after = _taken(after)
        after = _like(state, after, "state", decoder)
        following = _like(inputs, following, "inputs", decoder)
        return (outputs, following, done, written), after

    time = jnp.zeros((), "int32")
    spec = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (time, inputs)
    )
    pure = purify(one, decoder, spec, state)
    step = _Step(decoder, pure, impute)
    carry = {
        "time": time,
        "state": state,
        "inputs": inputs,
        "finished": finished,
        "lengths": jnp.zeros(finished.shape, "int32"),
        "variables": pure.variables,
    }
    stop = lambda carry: jnp.all(carry["finished"])  # noqa: E731
    if most is None:
        require(
            not stopping.is_traced(step, carry),
            "maximum_iterations",
            "must be given where decoding is differentiated or compiled (grad, jit, "
            "fit): a loop that stops on data has no gradient, and its outputs no size",
            "None",
            "pass the most steps there can be",
        )
        last, emitted, count = stopping.until(step, stop, carry)
    else:
        last, emitted, count = stopping.at_most(step, stop, carry, most)
        if not isinstance(count, Tracer):
            taken = int(count)
            emitted = jax.tree.map(lambda a: a[:taken], emitted)
    pure.finish(last["variables"])
    outputs, written = emitted
    return outputs, _put_back(last["state"], before, written), last["lengths"]


class _Step:
    """One step of a decoder: ``carry -> (carry, (outputs, what was written))``."""

    def __init__(self, decoder: Any, pure: Pure, impute: bool) -> None:
        self.decoder, self.pure, self.impute = decoder, pure, impute

    def __call__(self, carry: Tree) -> tuple[Tree, Tree]:
        time, done, lengths = carry["time"], carry["finished"], carry["lengths"]
        read = time, carry["inputs"]
        found, state, variables = self.pure.step(
            read, carry["state"], carry["variables"]
        )
        outputs, inputs, finished, written = found
        finished = jnp.asarray(finished).astype(bool)
        require(
            finished.shape == done.shape,
            "finished",
            f"must have shape {done.shape}, as initialize gave it",
            finished.shape,
            f"return it so from step of {type(self.decoder).__name__}",
        )
        own = getattr(state, "lengths", None)
        if not self.decoder.tracks_own_finished:
            own, finished = None, jnp.logical_or(finished, done)
        if own is None:
            lengths = jnp.where(done, lengths, jnp.broadcast_to(time + 1, done.shape))
        else:
            lengths = own.astype("int32")
        if self.impute:
            nothing = jax.tree.map(jnp.zeros_like, outputs)
            outputs = jax.tree.map(lambda a, b: _where(done, a, b), nothing, outputs)
            old = carry["state"]
            state = jax.tree.map(lambda a, b: _where(done, a, b), old, state)
        new = {
            "time": time + 1,
            "state": state,
            "inputs": inputs,
            "finished": finished,
            "lengths": lengths,
            "variables": variables,
        }
        return new, (outputs, written)


def _where(rows: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    """`yes` in some rows; a number for all rows is the new one."""
    if not no.ndim:
        return no
    rows = rows.reshape(rows.shape + (1,) * (no.ndim - rows.ndim))
    return jnp.where(jnp.broadcast_to(rows, no.shape), yes, no)


def _is_array_of_steps(node: Any) -> bool:
    return isinstance(node, TensorArray)


def _taken(state: Tree) -> tuple[list[Any], Tree]:
    """What `TensorArray`s in a state hold, and the state with empty ones.

    A loop's state has one form; what grows with time is emitted.
    """
    leaves, form = jax.tree.flatten(state, is_leaf=_is_array_of_steps)
    held = [leaf for leaf in leaves if _is_array_of_steps(leaf)]
    empty = [TensorArray() if _is_array_of_steps(leaf) else leaf for leaf in leaves]
    values = [None if each.is_empty else each.stack() for each in held]
    return values, jax.tree.unflatten(form, empty)


def _put_back(state: Tree, before: list[Any], written: list[Any]) -> Tree:
    """The state with its `TensorArray`s: what they held, and what each step wrote."""
    leaves, form = jax.tree.flatten(state, is_leaf=_is_array_of_steps)
    pairs = iter(zip(before, written, strict=True))

    def whole() -> TensorArray:
        old, new = next(pairs)
        if new is None:
            return TensorArray(old)
        # Of each step one: without the axis of those that a step wrote.
        new = new.reshape(-1, *new.shape[2:])
        return TensorArray(new if old is None else jnp.concatenate([old, new]))

    return jax.tree.unflatten(
        form, [whole() if _is_array_of_steps(leaf) else leaf for leaf in leaves]
    )


def _like(old: Tree, new: Tree, name: str, decoder: Any) -> Tree:
    """What a step returned, if it has the form that it had before."""
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (old, new)]
    require(
        jax.tree.structure(old) == jax.tree.structure(new) and shapes[0] == shapes[1],
        name,
        f"must keep its form in step of {type(decoder).__name__}, {shapes[0]}",
        shapes[1],
        "return the structure and shapes that initialize gave",
    )
    return jax.tree.map(lambda a, b: jnp.asarray(b).astype(a.dtype), old, new)
