"""The old decoder: a cell, an output layer, and a sampler or helper that feeds it."""

from types import SimpleNamespace
from typing import Any, NamedTuple, overload

import jax
import keras

from ..._borrowed import get_keras_mask
from ...cells.signatures import takes
from ...cells.states import plain
from ...checks import require
from . import stepping
from .decoder import BaseDecoder
from .helpers import Helper
from .samplers import Sampler

Tree = Any


class BasicDecoderOutput(NamedTuple):
    """What a `BasicDecoder` gives.

    rnn_output: of the output layer, or of the cell, ``(B, T, V)``.
    sample_id: what the sampler chose, ``(B, T)``.
    """

    rnn_output: Any
    sample_id: Any


class BasicDecoder(BaseDecoder):
    """A cell that reads what a sampler makes of its outputs, or what that is given.

    In the form of Addons it is a layer, ``BasicDecoder(cell, sampler, output_layer)``,
    called with the sampler's inputs and ``initial_state``. In that of TensorFlow 1 it
    holds them, ``BasicDecoder(cell, helper, initial_state, output_layer)``, and is run
    by `dynamic_decode`.

    Args:
        cell: an old cell, one of ours or of Keras.
        sampler: a `Sampler`; or a `Helper`, then also by the name `helper`.
        initial_state: of the cell; with a helper. Default: zeros.
        output_layer: a Keras layer above the cell, or None.
        **kwargs: as of `BaseDecoder`.

    Raises:
        ValueError: if the parts are none of these.

    Now: `unrolled.Decoder`.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> from unrolled.tf1 import seq2seq
        >>> table, cell = keras.layers.Embedding(10, 3), unrolled.GRUCell(4)
        >>> dense = keras.layers.Dense(10)
        >>> helper = seq2seq.GreedyEmbeddingHelper(table, [1, 1], end_token=2)
        >>> decoder = seq2seq.BasicDecoder(cell, helper, np.ones((2, 4), "f4"), dense)
        >>> outputs, state, lengths = seq2seq.dynamic_decode(
        ...     decoder, maximum_iterations=5
        ... )
        >>> outputs.rnn_output.shape[::2]
        (2, 10)

    Source: ``BasicDecoder`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """

    @overload
    def __init__(
        self,
        cell: Any,
        sampler: Sampler,
        output_layer: Any = None,
        *,
        output_time_major: bool = False,
        impute_finished: bool = False,
        maximum_iterations: Any = None,
        **kwargs: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        cell: Any,
        helper: Helper,
        initial_state: Any = None,
        output_layer: Any = None,
    ) -> None: ...

    def __init__(self, cell: Any, *args: Any, **kwargs: Any) -> None:
        first = "helper" if "helper" in kwargs else "sampler"
        sampler = args[0] if args else kwargs.pop(first, None)
        names = ["output_layer"]
        if isinstance(sampler, Helper):
            names.insert(0, "initial_state")
        require(
            len(args) <= 1 + len(names),
            "BasicDecoder",
            f"takes cell, {first} and {', '.join(names)} in this order",
            f"{1 + len(args)} arguments",
            "pass further ones by name",
        )
        given = dict(zip(names, args[1:], strict=False))
        parts = {name: kwargs.pop(name, given.get(name)) for name in names}
        super().__init__(**kwargs)
        stepping.check(cell)
        require(
            isinstance(sampler, Sampler),
            first,
            "must be a Sampler or Helper of unrolled.tf1.seq2seq",
            type(sampler).__name__,
            "derive your own from Sampler",
        )
        layer = parts["output_layer"]
        require(
            layer is None or isinstance(layer, keras.layers.Layer),
            "output_layer",
            "must be a Keras layer",
            type(layer).__name__,
            "for example keras.layers.Dense(vocabulary)",
        )
        self.cell, self.sampler, self.output_layer = cell, sampler, layer
        # Its layers and its generators are the decoder's, which is trained and saved.
        self.embedding_layer = getattr(sampler, "embedding_fn", None)
        self.generators = list(sampler.seeds)
        # No attribute that Keras would look into.
        self.held = SimpleNamespace(state=parts.get("initial_state"))

    @property
    def batch_size(self) -> Any:
        """B, once it is initialized."""
        return self.sampler.batch_size

    @property
    def most_steps(self) -> Any:
        """As many as the sampler says."""
        return self.sampler.most_steps

    @property
    def output_size(self) -> BasicDecoderOutput:
        """Shapes of what a row gives at a step."""
        width = stepping.width(self.cell)
        if self.output_layer is not None:
            width = self.output_layer.compute_output_shape((None, width))[-1]
        return BasicDecoderOutput((width,), tuple(self.sampler.sample_ids_shape))

    def initialize(
        self, inputs: Any = None, initial_state: Any = None, **kwargs: Any
    ) -> tuple[Any, Tree, Tree]:
        """What the sampler begins with, and the cell's state; makes the weights."""
        if isinstance(self.sampler, Helper):
            helper: Any = self.sampler
            finished, first = helper.initialize()
            if initial_state is None:
                initial_state = self.held.state
        else:
            mask = get_keras_mask(inputs)
            takes_mask = takes(self.sampler.initialize, "mask")
            if mask is not None and takes_mask and "sequence_length" not in kwargs:
                kwargs.setdefault("mask", mask)
            finished, first = self.sampler.initialize(inputs, **kwargs)
        first = stepping.arrays(first)
        stepping.prepare(self.cell, first)
        rows = jax.tree.leaves(first)[0].shape[0]
        if initial_state is None:
            initial_state = stepping.fresh(self.cell, rows, None)
        state = stepping.arrays(plain(initial_state))
        found = stepping.rows_of(state)
        require(
            all(n == rows for n in found),
            "initial_state",
            f"must have a row for each of {rows} that the sampler begins with",
            found,
            "pass the encoder's state of the same batch",
        )
        layer = self.output_layer
        if layer is not None and not layer.built:
            with jax.ensure_compile_time_eval():
                layer.build((None, stepping.width(self.cell)))
        return finished, first, state

    def step(
        self, time: Any, inputs: Tree, state: Tree, training: Any = None
    ) -> tuple[Tree, Tree, Tree, Any]:
        """The cell, the layer above it, the sampler."""
        outputs, state = stepping.step(self.cell, inputs, state, training)
        if self.output_layer is not None:
            outputs = self.output_layer(outputs)
        ids = self.sampler.sample(time=time, outputs=outputs, state=state)
        finished, following, state = self.sampler.next_inputs(
            time=time, outputs=outputs, state=state, sample_ids=ids
        )
        return BasicDecoderOutput(outputs, ids), state, following, finished
