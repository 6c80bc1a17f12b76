"""Weights that the old sequence-to-sequence functions made beside those of cells.

TensorFlow found them by scope. Here the cell that a function is called with keeps them,
and gives the same at a second call of the same scope.
"""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from .._borrowed import call_context
from ..arguments import Declared
from ..cells.base import Tree
from ..checks import require
from ..engine import eager
from ..engine.loop import unroll
from ..engine.pure import purify
from .base import Kept, RNNCell, package
from .checkpoint import Held


def kept(cell: RNNCell, kind: str, scope: str, make: Callable[[], Any]) -> Any:
    """What `make` gave when it was first asked for with this cell, kind and scope.

    Raises:
        ValueError: if a layer of the user's own would have to keep it.
    """
    key = (kind, scope)
    if key not in cell.kept.made:
        context = call_context()
        require(
            context is None or getattr(context, "entry_layer", None) is None,
            "scope",
            f"{scope} has weights that no layer would keep",
            "a call inside a layer or model of your own",
            "build the model of keras.Input(...) for each step, as there were "
            "placeholders",
        )
        with jax.ensure_compile_time_eval():
            cell.kept.made[key] = make()
    return cell.kept.made[key]


class Part(Declared, keras.layers.Layer):
    """A layer with the variables of a scope."""

    def __post_init__(self) -> None:
        """Keep the scope apart from what Keras follows."""
        object.__setattr__(self, "kept", Kept())

    @property
    def above(self) -> str:
        """What names of variables begin with: the scope of a function."""
        return self.kept.above

    def own_entries(self) -> list[Held]:
        """The variables, as TensorFlow made them."""
        raise NotImplementedError

    def entries(self, scope: str) -> dict[str, Held]:
        """By their paths in a checkpoint, below `scope`."""
        return {f"{scope}{held.name}": held for held in self.own_entries()}


@package
class Table(Part):
    """A row for each id."""

    num_symbols: int
    embedding_size: int

    def build(self, input_shape: Any) -> None:
        """Make the rows."""
        del input_shape
        self.embedding = self.add_weight(
            name="embedding",
            shape=(self.num_symbols, self.embedding_size),
            initializer="glorot_uniform",
        )

    def call(self, ids: Any) -> Any:
        """The rows of ids."""
        return self.embedding.value[jnp.asarray(ids).astype("int32")]

    def own_entries(self) -> list[Held]:
        """The rows."""
        return [Held("embedding", [self.embedding])]


def table(cell: RNNCell, count: int, size: int, scope: str, dtype: Any) -> Table:
    """The table of a scope."""

    def make() -> Table:
        made = Table(count, size, dtype=dtype)
        made.build(None)
        made.built = True
        made.kept.scope = scope
        return made

    return kept(cell, "table", scope, make)


@package
class AttentionDecoder(Part):
    """What `attention_decoder` does at every step, and its variables.

    With h the cell's new states side by side, and of each head the memory's features
    ``m W``::

        y, states = cell([x, attns] @ K + b)
        a = softmax(sum(v * tanh(m W + h Q + q)))
        attns = sum(a m), of each head
        output = [y, attns] @ O + o
    """

    cell: Any
    decoder_size: int
    num_heads: int = 1

    def settle(self, width: int, attended: int, states: list[Any]) -> None:
        """Make the variables, for inputs and a memory so wide."""
        if self.built:
            return
        carried = sum(state.shape[-1] for state in states)
        heads = range(self.num_heads)
        shapes = {
            "kernel": (width + self.num_heads * attended, width),
            "bias": (width,),
            "AttnOutputProjection/kernel": (
                self.cell.output_size + self.num_heads * attended,
                self.decoder_size,
            ),
            "AttnOutputProjection/bias": (self.decoder_size,),
        }
        for head in heads:
            shapes |= {
                f"AttnW_{head}": (attended, attended),
                f"AttnV_{head}": (attended,),
                f"Attention_{head}/kernel": (carried, attended),
                f"Attention_{head}/bias": (attended,),
            }
        self.held = [
            self.add_weight(
                name=name.replace("/", "_"),
                shape=shape,
                initializer="zeros" if name.endswith("bias") else "glorot_uniform",
            )
            for name, shape in shapes.items()
        ]
        object.__setattr__(self, "places", {name: n for n, name in enumerate(shapes)})
        object.__setattr__(self, "sizes", (width, attended, carried))
        self.built = True

    def get_build_config(self) -> dict[str, Any]:
        """The widths."""
        return {"sizes": list(self.sizes)}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """The inverse."""
        width, attended, carried = config["sizes"]
        self.cell.build((None, width))
        self.settle(width, attended, [jax.ShapeDtypeStruct((1, carried), "float32")])

    def weight(self, name: str) -> jax.Array:
        """A variable by its name in TensorFlow."""
        return self.held[self.places[name]].value

    def linear(self, scope: str, *parts: jax.Array) -> jax.Array:
        """TensorFlow's ``_Linear``: all side by side, times a kernel, and a bias."""
        whole = jnp.concatenate(parts, axis=-1) @ self.weight(f"{scope}kernel")
        return whole + self.weight(f"{scope}bias")[None]

    def attend(self, features: list[Any], memory: Any, query: list[Any]) -> list[Any]:
        """What each head finds for these states."""
        found = []
        for head, feature in enumerate(features):
            y = self.linear(f"Attention_{head}/", *query)
            hidden = jnp.tanh(feature + y[:, None])
            score = jnp.einsum("bsa,a->bs", hidden, self.weight(f"AttnV_{head}"))
            # There it is in float32, whatever all else is in.
            share = jax.nn.softmax(score.astype("float32"), axis=-1)
            share = share.astype(memory.dtype)
            found.append(jnp.einsum("bs,bsa->ba", share, memory))
        return found

    def call(
        self,
        inputs: list[Any],
        states: list[Any],
        memory: Any,
        loop_function: Any = None,
        attend_first: bool = False,
    ) -> tuple[list[Any], list[Any]]:
        """Outputs of every step, and the last states, flat."""
        count = range(self.num_heads)
        features = [
            jnp.einsum("bsa,ac->bsc", memory, self.weight(f"AttnW_{n}")) for n in count
        ]
        nothing = jnp.zeros((memory.shape[0], memory.shape[2]), memory.dtype)
        attns = [nothing for _ in count]
        if attend_first:
            attns = self.attend(features, memory, states)
        form = jax.tree.structure(self.cell.state_size)

        def step(x: Any, carried: Any) -> tuple[Any, Any]:
            states, attns = carried
            x = self.linear("", jnp.asarray(x).astype(memory.dtype), *attns)
            output, state = self.cell(x, jax.tree.unflatten(form, states))
            states = jax.tree.leaves(state)
            attns = self.attend(features, memory, states)
            return self.linear("AttnOutputProjection/", output, *attns), (states, attns)

        carried = (states, attns)
        if loop_function is None:
            return self.compiled(step, inputs, carried)
        outputs = []
        for place, x in enumerate(inputs):
            x = loop_function(outputs[-1], place) if outputs else x
            output, carried = step(x, carried)
            outputs.append(output)
        return outputs, carried[0]

    def compiled(
        self, step: Callable[..., Any], inputs: list[Any], carried: Any
    ) -> tuple[list[Any], list[Any]]:
        """All steps in one loop, where all inputs are known before."""
        steps = jnp.stack([jnp.asarray(x) for x in inputs], axis=1)
        one = jax.ShapeDtypeStruct(inputs[0].shape, steps.dtype)
        pure = purify(step, self, one, carried)

        def run(steps: Any, carried: Any, variables: Any) -> Any:
            return unroll(pure.step, steps, carried, variables=variables)

        found = eager.run(run, steps, carried, pure.variables)
        pure.finish(found.variables)
        outputs = [found.outputs[:, place] for place in range(len(inputs))]
        return outputs, found.states[0]

    def compute_output_spec(
        self, inputs: Any, states: Any, memory: Any, **options: Any
    ) -> Any:
        """As many outputs as inputs; the states are as they were."""
        del memory, options
        rows, dtype = inputs[0].shape[0], self.compute_dtype
        outputs = [keras.KerasTensor((rows, self.decoder_size), dtype) for _ in inputs]
        return outputs, [keras.KerasTensor(state.shape, dtype) for state in states]

    def own_entries(self) -> list[Held]:
        """The variables of the heads and of what is around the cell."""
        entries = []
        for name, place in self.places.items():
            lead = 2 if name.startswith("AttnW_") else 0
            entries.append(Held(name, [self.held[place]], lead=lead))
        return entries

    def entries(self, scope: str) -> dict[str, Held]:
        """And the cell's."""
        return {**super().entries(scope), **self.cell.entries(scope)}


def decoder(
    cell: RNNCell,
    size: int,
    heads: int,
    scope: str,
    widths: tuple[Any, Any],
    states: Tree,
) -> AttentionDecoder:
    """The decoder of a scope, with its variables.

    Args:
        cell: an old cell, built.
        size: of an output.
        heads: how many read the memory.
        scope: of the variables.
        widths: of the inputs and of the memory.
        states: flat.
    """

    def make() -> AttentionDecoder:
        made = AttentionDecoder(cell, size, heads, dtype=cell.dtype_policy)
        made.settle(*widths, states)
        made.kept.scope = scope
        return made

    return kept(cell, f"attention of {heads} to {size}", scope, make)
