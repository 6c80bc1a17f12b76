"""A cell that looks into a memory at every step."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..cells.affine import check_positive, row_width
from ..cells.base import Tree, constants_of, is_dims
from ..cells.built import build_cell
from ..cells.checked import step_of
from ..cells.keras_style import as_cell
from ..cells.states import Shape, initial_states, is_tree, names_of
from ..cells.wrapper import CellWrapper
from ..checks import require
from .mechanism import dense


@keras.saving.register_keras_serializable("unrolled")
class AttentionCell(CellWrapper):
    """A cell whose output asks a memory, and which reads the answer at the next step.

    With x, the attention a of the step before, zeros at first, and the memory m::

        y, states = cell(cell_input_fn(x, a))        by default the cell reads [x, a]
        context, alignments = mechanism(y, m)
        a' = attention_layer([y, context])           by default the context itself
        output = a', or y if not output_attention

    Args:
        cell: any cell, stack or wrapper whose output is one row ``(B, U)``.
        mechanism: how to look: a `BahdanauAttention`, `LuongAttention` or other
            `AttentionMechanism`; or a list of such, which look each for itself, and
            whose attentions stand side by side in a.
        attention_layer_size: A, the width of a dense layer without bias that makes
            a of ``[y, context]``. Default: none. For a list of mechanisms a list.
        attention_layer: in place of that, a Keras layer or a function. For a list of
            mechanisms a list.
        cell_input_fn: makes what the cell reads, of x and a. Default: both side by
            side.
        output_attention: give a' to whoever is above, as Luong; otherwise y, as
            Bahdanau. Default True.

    The memory is ``(B, S, M)``; with a list of mechanisms it may be a list, with one
    for each. It is projected once a sequence. Its mask says which entries count.

    Its states are the cell's, ``attention (B, A)``, and those of the mechanism,
    ``alignments (B, S)``, with `return_all_states` at every step; of a list of
    mechanisms ``alignments_0``, ``alignments_1`` and so on. An `initial_state` of the
    cell's alone will do.

    Raises:
        ValueError: if a part does not fit another.

    Example:
        >>> import keras, unrolled
        >>> source, target = keras.ops.ones((2, 7, 3)), keras.ops.ones((2, 5, 3))
        >>> encoder = unrolled.GRU(4, return_sequences=True, return_state=True)
        >>> cell = unrolled.AttentionCell(
        ...     unrolled.GRUCell(4), unrolled.BahdanauAttention(8)
        ... )
        >>> decoder = unrolled.RNN(cell, return_sequences=True, return_all_states=True)
        >>> memory, h = encoder(source)
        >>> y, h, attention, alignments = decoder(target, [h], memory=memory)
        >>> y.shape, alignments.shape
        ((2, 5, 4), (2, 5, 7))

    Source: ``AttentionWrapper`` of TensorFlow Addons 0.23.
    """

    mechanism: Any
    attention_layer_size: Any = None
    _: KW_ONLY
    attention_layer: Any = None
    cell_input_fn: Any = None
    output_attention: bool = True

    # Width of the attention, once that is known.
    width = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for mechanism in self.mechanisms:
            require(
                isinstance(mechanism, keras.layers.Layer)
                and as_cell(mechanism).reads_memory != "no",
                "mechanism",
                "must look into a memory, as an AttentionMechanism does",
                repr(mechanism),
                "for example BahdanauAttention(64)",
            )
        size, layer = self.attention_layer_size, self.attention_layer
        require(
            size is None or layer is None,
            "attention_layer",
            "stands in place of attention_layer_size",
            "both",
            "pass one of them",
        )
        sizes = self._for_each("attention_layer_size", size)
        check_positive(**{f"attention_layer_size[{n}]": s for n, s in sizes.items()})
        own = {n: dense(self, s, "attention_layer") for n, s in sizes.items()}
        given = self._for_each("attention_layer", layer)
        for each in given.values():
            require(
                each is None or callable(each),
                "attention_layer",
                "must be a Keras layer or a function",
                repr(each),
                "for example keras.layers.Dense(64), or attention_layer_size=64",
            )
        self.attention_layers = [
            own.get(n, given.get(n)) for n in range(len(self.mechanisms))
        ]

    @property
    def mechanisms(self) -> list[Any]:
        """All of them."""
        return list(self.mechanism) if self._are_several else [self.mechanism]

    @property
    def _are_several(self) -> bool:
        return isinstance(self.mechanism, (list, tuple))

    def _for_each(self, name: str, value: Any) -> dict[int, Any]:
        """What is given for each mechanism, by its place."""
        if value is None:
            return {}
        several = isinstance(value, (list, tuple))
        require(
            several == self._are_several
            and (not several or len(value) == len(self.mechanisms)),
            name,
            f"must have one entry for each of {len(self.mechanisms)} mechanisms"
            if self._are_several
            else "must be alone, as the mechanism is",
            value,
            "make the two alike",
        )
        return dict(enumerate(value if several else [value]))

    # --- states and sizes ---

    @property
    def own_states(self) -> dict[str, Any]:
        """The attention, and what the mechanisms carry."""
        found: dict[str, Any] = {"attention": (self.width,)}
        for n, mechanism in enumerate(self.mechanisms):
            view = as_cell(mechanism)
            names, shapes = map(jax.tree.leaves, (names_of(view), view.state_shapes))
            for name, shape in zip(names, shapes, strict=True):
                found[f"{name}_{n}" if self._are_several else name] = shape.sizes
        return found

    @property
    def output_size(self) -> Any:
        """A, known once this is built; or the cell's."""
        return self.width if self.output_attention else super().output_size

    @property
    def output_shapes(self) -> Tree:
        """One row, if it is the attention."""
        return Shape((self.width,)) if self.output_attention else super().output_shapes

    def get_initial_state(self, batch_size: int, memory_shape: Tree) -> Tree:
        """The cell's, no attention, and what the mechanisms begin with."""
        attention = jnp.zeros((batch_size, self.width or 0), self.state_dtype)
        fresh: list[Any] = [attention]
        for mechanism, own in zip(
            self.mechanisms, self._each(memory_shape, _is_shape), strict=True
        ):
            states = initial_states(as_cell(mechanism), batch_size, own)
            fresh += jax.tree.leaves(states)
        inner = initial_states(as_cell(self.cell), batch_size, memory_shape)
        return self.join(inner, dict(zip(self.own_states, fresh, strict=True)))

    def _each(self, memory: Tree, is_one: Any = lambda m: not is_tree(m)) -> list[Any]:
        """The memory of each mechanism: the one memory, or its own."""
        count = len(self.mechanisms)
        if memory is None or is_one(memory):
            return [memory] * count
        require(
            isinstance(memory, (list, tuple)) and len(memory) == count,
            "memory",
            f"must be one array, or a list with one for each of {count} mechanism(s)",
            jax.tree.structure(memory),
            "pass memory=[first, second] to a list of two mechanisms",
        )
        return list(memory)

    # --- building ---

    def build(self, input_shape: Tree, memory_shape: Tree) -> None:
        """Build mechanisms and attention layers, and the cell for what it reads."""
        query = row_width(self.cell, self)
        require(
            query is not None,
            "cell",
            "inside AttentionCell must say how wide its output is before it is built",
            type(self.cell).__name__,
            "give it an output size",
        )
        widths = []
        each = zip(
            self.mechanisms,
            self._each(memory_shape, _is_shape),
            self.attention_layers,
            strict=True,
        )
        for mechanism, own, layer in each:
            build_cell(mechanism, (None, query), own)
            found = row_width(mechanism, self)
            widths.append(found if layer is None else _built(layer, query + found))
        self.width = sum(widths)
        super().build(self._read_shape(input_shape), memory_shape)

    def _read_shape(self, input_shape: Tree) -> Tree:
        """The shape of what the cell reads."""
        mixes = self.cell_input_fn is not None
        require(
            mixes or (is_dims(input_shape) and len(input_shape) == 2),
            "cell_input_fn",
            "must be given for steps that are no row of features",
            f"steps of shape {input_shape}",
            "pass a function of x and the attention that makes what the cell reads",
        )
        if not mixes:
            return (None, input_shape[-1] + self.width)
        kind = lambda s: self.compute_dtype if len(s) > 1 else "int32"  # noqa: E731
        x = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct((_ROWS, *s[1:]), kind(s)),
            input_shape,
            is_leaf=is_dims,
        )
        attention = jax.ShapeDtypeStruct((_ROWS, self.width), self.state_dtype)
        read = jax.eval_shape(self.cell_input_fn, x, attention)
        return jax.tree.map(lambda a: (None, *a.shape[1:]), read)

    # --- a step ---

    def get_constants(
        self, batch_size: int, training: bool, memory: Tree, memory_mask: Tree = None
    ) -> dict[str, Any]:
        """The cell's, and the memory as each mechanism prepares it."""
        rest = (batch_size, training)
        each = zip(
            self.mechanisms,
            self._each(memory),
            self._each(memory_mask),
            strict=True,
        )
        return {
            "cell": constants_of(as_cell(self.cell), *rest, memory, memory_mask),
            "mechanisms": [
                constants_of(as_cell(mechanism), *rest, own, mask)
                for mechanism, own, mask in each
            ],
        }

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Any, Tree]:
        """The formula above."""
        before, own = self.split(states)
        attention, *carried = own.values()
        mix = self.cell_input_fn or _side_by_side
        output, after = super().step(mix(x, attention), before, constants["cell"])
        found, left = [], []
        for n, mechanism in enumerate(self.mechanisms):
            count = len(jax.tree.leaves(as_cell(mechanism).state_shapes))
            mine, carried = carried[:count], carried[count:]
            given = mine, constants["mechanisms"][n]
            attention, mine = self.attend(n, output, *given)
            found.append(attention.astype(self.state_dtype))
            left += mine
        attention = jnp.concatenate(found, axis=-1)
        names = list(own)
        own = dict(zip(names, [attention, *left], strict=True))
        result = attention if self.output_attention else output
        return result, self.join(after, own)

    def attend(
        self, place: int, output: jax.Array, states: list[Any], constants: Tree
    ) -> tuple[jax.Array, list[Any]]:
        """Ask one mechanism.

        Args:
            place: which one.
            output: the cell's, ``(B, U)``.
            states: the mechanism's, in a row.
            constants: the mechanism's.

        Returns:
            Its attention, and its states after the step.
        """
        mechanism = self.mechanisms[place]
        view = as_cell(mechanism)
        form = jax.tree.structure(view.state_shapes)
        query = view.project_inputs(output, constants)
        states = jax.tree.unflatten(form, states)
        context, after = step_of(mechanism, query, states, constants)
        layer = self.attention_layers[place]
        if layer is not None:
            context = layer(_side_by_side(output, context))
        return context, jax.tree.leaves(after)


# Of a step whose shape alone is asked for.
_ROWS = 2


def _is_shape(shape: Any) -> bool:
    """Whether this is the shape of one memory; sizes may be symbolic."""
    return not any(isinstance(n, (list, tuple)) for n in shape)


def _built(layer: Any, rows: int) -> int:
    """How wide is what an attention layer makes of rows, once it is built."""
    if isinstance(layer, keras.layers.Layer) and not layer.built:
        layer.build((None, rows))
    with keras.StatelessScope():
        x = jax.ShapeDtypeStruct((_ROWS, rows), "float32")
        made = jax.eval_shape(layer, x)
    require(
        len(made.shape) == 2,
        "attention_layer",
        "must make a row (batch, A) of the cell's output and the context",
        made.shape,
        "for example keras.layers.Dense(64)",
    )
    return made.shape[-1]


def _side_by_side(*parts: jax.Array) -> jax.Array:
    """Rows side by side, in the dtype of the last."""
    return jnp.concatenate([p.astype(parts[-1].dtype) for p in parts], axis=-1)
