"""What attention is: a query looks into a memory."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Declared
from ..cells.base import Cell, Tree, is_dims
from ..checks import fits, require
from .probability import hardmax


@keras.saving.register_keras_serializable("unrolled")
class AttentionMechanism(Declared, Cell):
    """Finds in a memory what a query asks for. Subclass it, and write `score`.

    It is a cell: at each step it reads a query ``(B, Q)`` and gives the context ``(B,
    M)``, the mean of the memory's entries, weighted with their alignments::

        keys = memory_layer(memory)                         once a sequence
        alignments = probability_fn(score(query_layer(query), keys))
        context = sum_s alignments_s memory_s

    An `AttentionCell` asks with the output of another cell; in `unrolled.RNN` alone it
    looks up queries that are known beforehand.

    Args:
        query_layer: a Keras layer that the query goes through, ``(B, Q)`` to ``(B,
            U)``. Default: none.
        memory_layer: a Keras layer that makes the keys, ``(B, S, M)`` to ``(B, S,
            U)``. Default: none, the memory itself is compared with the query.
        probability_fn: makes alignments of scores ``(B, S)``: ``"softmax"``,
            ``"hardmax"`` (all of it at the largest score), another activation of
            Keras by name, or a function. Default ``"softmax"``.

    Its state is ``alignments (B, S)``, each row's shares of the last step, zeros at
    first. The memory is one array ``(B, S, M)``. Entries that its mask leaves out have
    share 0, and where it leaves out all of a row the context is 0.

    Raises:
        ValueError: if the memory is not one array of rank 3.

    Example:
        >>> import jax, keras, unrolled
        >>> class NearestAttention(unrolled.AttentionMechanism):
        ...     def score(self, query, keys, states):
        ...         return -((query[:, None] - keys) ** 2).sum(-1)
        >>> queries, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 3))
        >>> unrolled.RNN(NearestAttention())(queries, memory=memory).shape
        (2, 3)

    Source: ``AttentionMechanism`` of TensorFlow Addons 0.23.
    """

    _: KW_ONLY
    query_layer: Any = None
    memory_layer: Any = None
    probability_fn: Any = "softmax"

    state_names: ClassVar[Any] = ("alignments",)
    # Width of an entry of the memory, once that is known.
    width = None

    def __post_init__(self) -> None:
        for name in ("query_layer", "memory_layer"):
            layer = getattr(self, name, None)
            require(
                layer is None or isinstance(layer, keras.layers.Layer),
                name,
                "must be a Keras layer, or None",
                repr(layer),
                "for example keras.layers.Dense(64, use_bias=False)",
            )
        require(
            callable(getattr(self, "probability_fn", callable)),
            "probability_fn",
            "must be a function, or the name of one",
            "None",
            'leave it out for "softmax"',
        )

    def convert(self, name: str, value: Any) -> Any:
        """Keras knows no hardmax."""
        if name == "probability_fn" and value == "hardmax":
            return hardmax
        return super().convert(name, value)

    @property
    def state_size(self) -> list[Any]:
        """A share for each entry of a memory."""
        return [(None,)]

    @property
    def output_size(self) -> int | None:
        """M, known once this is built."""
        return self.width

    def build(self, input_shape: Tree, memory_shape: Tree) -> None:
        """Build the parts; `build_score` makes further weights."""
        kind = type(self).__name__
        require(
            is_dims(input_shape) and len(input_shape) == 2,
            "query",
            f"must have shape (batch, features) at a step of {kind}",
            input_shape,
            "flatten it to one row of features",
        )
        require(
            is_dims(memory_shape) and len(memory_shape) == 3,
            "memory",
            f"must be one array (batch, memory steps, features) for {kind}",
            memory_shape,
            "for several memories give AttentionCell a mechanism for each",
        )
        self.width = memory_shape[-1]
        self.build_score(*self.build_layers(input_shape[-1], memory_shape[-1]))
        self.built = True

    def build_layers(self, query: int, memory: int) -> tuple[int, int]:
        """Build what query and memory go through; return how wide they leave it.

        Args:
            query: Q.
            memory: M.
        """
        shapes = [(None, query), (None, None, memory)]
        for n, layer in enumerate((self.query_layer, self.memory_layer)):
            if layer is not None:
                if not layer.built:
                    layer.build(shapes[n])
                shapes[n] = layer.compute_output_shape(shapes[n])
        return shapes[0][-1], shapes[1][-1]

    def build_score(self, query: int, keys: int) -> None:
        """Create the weights of the score.

        Args:
            query: width of the query, after its layer.
            keys: width of the keys.
        """

    def get_initial_state(self, batch_size: int, memory_shape: Tree) -> list[Any]:
        """No share for any entry.

        Raises:
            ValueError: if the length of the memory is not known.
        """
        return [jnp.zeros((batch_size, self.steps(memory_shape)), self.state_dtype)]

    def steps(self, memory_shape: Tree) -> Any:
        """S, from the shape of the memory."""
        steps = None if memory_shape is None else memory_shape[1]
        require(
            steps is not None,
            "memory_shape",
            f"must say how many steps the memory has: {type(self).__name__} carries a "
            "share for each",
            memory_shape,
            "pass memory_shape=(B, S, M); call the layer with memory=...; or, where "
            "stateful=True or learn_initial_state=True, build it for a fixed S",
        )
        return steps

    def get_constants(
        self, batch_size: int, training: bool, memory: Tree, memory_mask: Any = None
    ) -> dict[str, Any]:
        """Keys and values, once a sequence, and what counts of them."""
        del batch_size
        values = jnp.asarray(memory, self.compute_dtype)
        if memory_mask is not None:
            # Whatever padding holds, also a NaN.
            kept = jnp.broadcast_to(memory_mask[..., None], values.shape)
            values = jnp.where(kept, values, jnp.zeros_like(values))
        keys, values = self.prepare(values)
        rest = {"mask": memory_mask, "training": training}
        return {"keys": keys, "values": values, **rest}

    def prepare(self, memory: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What the query is compared with, and what is found: once a sequence.

        Args:
            memory: ``(B, S, M)``, zeros where it does not count.
        """
        keys = memory if self.memory_layer is None else self.memory_layer(memory)
        return keys, memory

    def project_inputs(self, x: jax.Array, constants: Tree) -> jax.Array:
        """The query, through its layer."""
        del constants
        return x if self.query_layer is None else self.query_layer(x)

    def step(self, x: jax.Array, states: Tree, constants: Tree) -> tuple[Any, Tree]:
        """Look into the memory."""
        alignments = self.shares(x, states, constants)
        found = self.find(alignments, constants["values"])
        return found, self.after(alignments, states)

    def shares(self, x: jax.Array, states: Tree, constants: Tree) -> jax.Array:
        """The alignments of a query that went through its layer."""
        x = x.astype(self.state_dtype)
        score = self.score(x, constants["keys"].astype(x.dtype), states)
        self._check(score, "score", states)
        mask = constants["mask"]
        if mask is None:
            alignments = self.align(score, states, constants)
        else:
            axes = tuple(range(1, score.ndim - 1))  # heads
            mask = jnp.broadcast_to(jnp.expand_dims(mask, axes), score.shape)
            alignments = self.align_masked(score, mask, states, constants)
        self._check(alignments, "probability_fn", states)
        return alignments

    def align_masked(
        self, score: jax.Array, mask: jax.Array, states: Tree, constants: Tree
    ) -> jax.Array:
        """The share of each entry, none of those that do not count.

        Args:
            score: ``(B, S)``.
            mask: ``[B, S]``, true where an entry counts.
            states: before the step.
            constants: of the sequence.
        """
        # Not the lowest of all: sums of it, as sparsemax has, would overflow.
        lowest = jnp.full_like(score, max(jnp.finfo(score.dtype).min, -1e30))
        alignments = self.align(jnp.where(mask, score, lowest), states, constants)
        return jnp.where(mask, alignments, jnp.zeros_like(alignments))

    def _check(self, found: Any, name: str, states: Tree) -> None:
        """Raise unless there is a number for each share."""
        shape = getattr(found, "shape", None)
        require(
            shape is not None and fits(shape, states[0].shape),
            name,
            f"of {type(self).__name__} must return {tuple(states[0].shape)}, a number "
            "for each entry of the memory",
            type(found).__name__ if shape is None else tuple(shape),
            "see AttentionMechanism",
        )

    def score(self, query: jax.Array, keys: jax.Array, states: Tree) -> jax.Array:
        """How well each entry of the memory answers the query.

        Args:
            query: ``(B, U)``.
            keys: ``(B, S, U)``.
            states: before the step; the first is the alignments.

        Returns:
            ``(B, S)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define score.")

    def align(self, score: jax.Array, states: Tree, constants: Tree) -> jax.Array:
        """The share of each entry; scores of those that do not count are lowest."""
        del states, constants
        return self.probability_fn(score)

    def find(self, alignments: jax.Array, values: jax.Array) -> jax.Array:
        """The context: the entries, weighted."""
        return jnp.einsum(
            "bs,bsm->bm",
            alignments.astype(values.dtype),
            values,
            preferred_element_type=self.state_dtype,
        )

    def after(self, alignments: jax.Array, states: Tree) -> Tree:
        """The states after the step."""
        del states
        return [alignments]


def dense(of: Cell, units: int, name: str) -> keras.layers.Dense:
    """A projection without a bias, in the dtypes of `of`."""
    return keras.layers.Dense(units, use_bias=False, dtype=of.dtype_policy, name=name)
