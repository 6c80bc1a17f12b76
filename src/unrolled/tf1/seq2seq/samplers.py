"""What chooses a token of an output, and makes the next input of it: Addons' samplers.

A decoder calls ``initialize`` once, then at every step ``sample`` and ``next_inputs``,
which are traced: they decide by ``jnp.where``, and not by ``if``.
"""

import abc
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ..._borrowed import Tracer
from ...checks import require
from ...decoding.beam import likeliest
from .stepping import arrays

Tree = Any


class Sampler(abc.ABC):
    """Base of the samplers; derive from it to write your own.

    Its functions are traced inside the compiled loop.

    Now: ``adjust_logits`` and ``sampler`` of `unrolled.search`, `unrolled.Decoder`.

    Source: ``Sampler`` of TensorFlow Addons 0.23.
    """

    _batch_size: Any = None
    # The most steps that there can be, where that is known.
    most_steps: Any = None
    # Keras's generators of what is drawn.
    seeds: Any = ()

    @abc.abstractmethod
    def initialize(self, inputs: Any, **kwargs: Any) -> tuple[Any, Tree]:
        """``(finished [B], first inputs)``."""

    @abc.abstractmethod
    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """What is chosen of the outputs, ``(B, ...)``."""

    @abc.abstractmethod
    def next_inputs(
        self, time: Any, outputs: Any, state: Tree, sample_ids: Any
    ) -> tuple[Any, Tree, Tree]:
        """``(finished [B], next inputs, next state)``."""

    @property
    def batch_size(self) -> Any:
        """B, once it is initialized."""
        require(
            self._batch_size is not None,
            "batch_size",
            "is known after initialize",
            "a sampler that was not initialized",
            "call the decoder, or sampler.initialize(...)",
        )
        return self._batch_size

    @property
    def sample_ids_shape(self) -> Any:
        """The shape of what a row chooses."""
        return ()

    @property
    def sample_ids_dtype(self) -> Any:
        """Its dtype."""
        return "int32"


class CustomSampler(Sampler):
    """A sampler of three functions.

    Args:
        initialize_fn: ``(inputs, **kwargs) -> (finished, inputs)``.
        sample_fn: ``(time, outputs, state) -> sample_ids``.
        next_inputs_fn: ``(time, outputs, state, sample_ids) -> (finished, next inputs,
            next state)``.
        sample_ids_shape: of a row's choice. Default: one number.
        sample_ids_dtype: default int32.

    Source: ``CustomSampler`` of TensorFlow Addons 0.23.
    """

    def __init__(
        self,
        initialize_fn: Callable[..., Any],
        sample_fn: Callable[..., Any],
        next_inputs_fn: Callable[..., Any],
        sample_ids_shape: Any = None,
        sample_ids_dtype: Any = None,
    ) -> None:
        self._initialize_fn, self._sample_fn = initialize_fn, sample_fn
        self._next_inputs_fn = next_inputs_fn
        self._shape = tuple(sample_ids_shape or ())
        self._dtype = sample_ids_dtype or "int32"

    @property
    def sample_ids_shape(self) -> Any:
        """As given."""
        return self._shape

    @property
    def sample_ids_dtype(self) -> Any:
        """As given."""
        return self._dtype

    def initialize(self, inputs: Any = None, **kwargs: Any) -> tuple[Any, Tree]:
        """The user's."""
        finished, first = self._initialize_fn(inputs, **kwargs)
        self._batch_size = jnp.size(finished)
        return finished, first

    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """The user's."""
        return self._sample_fn(time=time, outputs=outputs, state=state)

    def next_inputs(
        self, time: Any, outputs: Any, state: Tree, sample_ids: Any
    ) -> tuple[Any, Tree, Tree]:
        """The user's."""
        return self._next_inputs_fn(
            time=time, outputs=outputs, state=state, sample_ids=sample_ids
        )


class TrainingSampler(Sampler):
    """Reads its inputs; what is chosen is the likeliest id of each output.

    ``initialize(inputs, sequence_length=None, mask=None)``: inputs ``(B, T, D)`` or a
    tree of such, and how many steps of each row there are, ``(B,)``, or a right-padding
    mask ``[B, T]``.

    Args:
        time_major: inputs are ``(T, B, D)``, the mask ``[T, B]``. Default False.

    Raises:
        ValueError: if lengths or mask do not fit the inputs.

    Now: `unrolled.RNN`, or ``Decoder`` called with targets.

    Source: ``TrainingSampler`` of TensorFlow Addons 0.23.
    """

    def __init__(self, time_major: bool = False) -> None:
        self.time_major = time_major

    def initialize(
        self, inputs: Any, sequence_length: Any = None, mask: Any = None
    ) -> tuple[Any, Tree]:
        """The first step's inputs."""
        inputs = arrays(inputs)
        self.inputs = inputs
        shapes = {a.shape[:2] for a in jax.tree.leaves(inputs)}
        require(
            len(shapes) == 1 and all(len(shape) == 2 for shape in shapes),
            "inputs",
            "must have shape (batch, time, features), or be a tree of such",
            [a.shape for a in jax.tree.leaves(inputs)],
            "pass embedded tokens; time_major=True where time comes first",
        )
        steps = self._by_time(inputs)
        most, rows = jax.tree.leaves(steps)[0].shape[:2]
        self._steps, self.most_steps, self._batch_size = steps, most, rows
        require(
            sequence_length is None or mask is None,
            "mask",
            "says the same as sequence_length",
            "both",
            "pass one of them",
        )
        if mask is not None:
            lengths = _lengths_of(mask, rows, most, self.time_major)
        elif sequence_length is not None:
            lengths = jnp.asarray(sequence_length, "int32")
            _check_lengths(lengths, rows, most)
        else:
            lengths = jnp.full((rows,), most, "int32")
        self.sequence_length = lengths
        return lengths == 0, self._read(0)

    def _by_time(self, tree: Tree) -> Tree:
        """Time before the batch."""
        if self.time_major:
            return tree
        return jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), tree)

    def _read(self, time: Any) -> Tree:
        """The inputs of a step; past the end, which nobody reads, those of the last."""
        return at(self._steps, time, self.most_steps)

    def sample(self, time: Any, outputs: Any, state: Tree) -> Any:
        """The likeliest."""
        del time, state
        return likeliest(outputs)

    def next_inputs(
        self, time: Any, outputs: Any, state: Tree, sample_ids: Any
    ) -> tuple[Any, Tree, Tree]:
        """Those of the next step."""
        del outputs, sample_ids
        return time + 1 >= self.sequence_length, self._read(time + 1), state


def at(steps: Tree, time: Any, most: int) -> Tree:
    """Of so many steps, time first, the one at `time`, or the last."""
    if not most:
        return jax.tree.map(lambda a: jnp.zeros(a.shape[1:], a.dtype), steps)
    return jax.tree.map(lambda a: a[jnp.minimum(time, most - 1)], steps)


def _check_lengths(lengths: jax.Array, rows: int, most: int) -> None:
    require(
        lengths.shape == (rows,),
        "sequence_length",
        f"must have shape (batch,) = {(rows,)}",
        lengths.shape,
        "pass how many steps each row has",
    )
    if not isinstance(lengths, Tracer):
        longest = int(np.max(lengths, initial=0))
        require(
            longest <= most,
            "sequence_length",
            f"must be at most the steps of the inputs, {most}",
            longest,
            "pass inputs with as many steps as the longest row",
        )


def _lengths_of(mask: Any, rows: int, most: int, time_major: bool) -> jax.Array:
    mask = jnp.asarray(mask)
    mask = mask.T if time_major and mask.ndim == 2 else mask
    require(
        mask.shape == (rows, most) and mask.dtype == bool,
        "mask",
        f"must be truth values of shape (batch, time) = {(rows, most)}",
        f"{mask.dtype} of shape {mask.shape}",
        "pass True where a step counts",
    )
    lengths = jnp.sum(mask.astype("int32"), axis=1, dtype="int32")
    if not isinstance(mask, Tracer):
        time = np.broadcast_to(np.arange(most), (rows, most))
        padded = time < np.asarray(lengths)[:, None]
        require(
            bool((np.asarray(mask) == padded).all()),
            "mask",
            "must be right padding: in each row first True, then False",
            "another",
            "sort what counts to the front",
        )
    return lengths
