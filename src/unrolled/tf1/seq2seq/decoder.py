"""The old decoders' base, and the loop that runs them: compiled, with our own loops."""

import abc
import inspect
from types import SimpleNamespace
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..._borrowed import Tracer
from ...cells.states import plain
from ...checks import require
from .loop import is_array_of_steps, run
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
        # Between a call and `call`; no attribute that Keras would look into.
        self.aside = SimpleNamespace(state=None)
        # A mask is read, and goes no further: what comes past an end counts in a loss.
        self.supports_masking = True
        # What is inside is built by the first call.
        self.built = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As `call`, in a form that Keras takes: arrays alone.

        Numbers become arrays, and a state that holds a `TensorArray` is a list until
        `call` puts it together again.
        """
        names = list(inspect.signature(self.call).parameters)
        kwargs |= dict(zip(names[1:], args[1:], strict=False))
        kwargs = {name: _array(value) for name, value in kwargs.items()}
        state = plain(kwargs.get("initial_state"))
        leaves, form = jax.tree.flatten(state, is_leaf=is_array_of_steps)
        written = [leaf if is_array_of_steps(leaf) else None for leaf in leaves]
        self.aside.state = (written, form) if any(written) else None
        if any(written):
            pairs = zip(leaves, written, strict=True)
            kwargs["initial_state"] = [leaf for leaf, own in pairs if own is None]
        return super().__call__(*args[:1], **kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None."""
        del inputs, previous_mask

    def _whole(self, initial_state: Tree) -> Tree:
        """The state that this was called with."""
        if self.aside.state is None:
            return initial_state
        written, form = self.aside.state
        arrays = iter(initial_state)
        leaves = [next(arrays) if own is None else own for own in written]
        return jax.tree.unflatten(form, leaves)

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
            decoder_init_kwargs={
                "initial_state": self._whole(initial_state),
                **kwargs,
            },
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


def _array(value: Any) -> Any:
    """Numbers and lists of numbers as arrays; what else there is as it is."""
    each = value if isinstance(value, list) else [value]
    numbers = all(isinstance(n, (int, float, np.number)) for n in each)
    is_flag = isinstance(value, bool)
    return np.asarray(value) if numbers and each and not is_flag else value


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
    outputs, state, lengths = run(
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
