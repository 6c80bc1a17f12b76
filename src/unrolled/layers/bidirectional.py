"""Two directions over the same sequences."""

from typing import Any, Literal

import jax
import keras
from jax import numpy as jnp

from .. import misnamed
from ..arguments import deserialize, forget, from_file, remade
from ..cells.base import narrowed
from ..cells.keras_style import as_cell
from ..cells.signatures import takes
from ..checks import require
from . import checks, levels, masks, merging, whole_model
from .rnn import RNN

_MERGES = ("concat", "sum", "mul", "ave", None)
_IN_COMMON = ("return_sequences", "return_state", "stateful")


@keras.saving.register_keras_serializable("unrolled")
class Bidirectional(keras.layers.Layer):
    """One layer reads the sequence forwards, another backwards.

    Args:
        layer: a recurrent layer; the forward layer is made from its configuration.
        merge_mode: how the two outputs become one: ``"concat"`` (2*U wide), the
            default, ``"sum"``, ``"mul"``, ``"ave"``, or None for both apart.
        weights: initial weights, the forward layer's first.
        backward_layer: the layer for the other direction, default one like `layer`.
        name: of the layer.
        **kwargs: as for ``keras.layers.Layer``.

    Call arguments are those of `RNN`. `initial_state` holds the forward states,
    then the backward ones, or both by name, ``{"forward": ..., "backward": ...}``; so
    do the states returned. A memory goes to both layers. Outputs of both layers are in
    the order of the input. `resets` mark where a new piece begins: neither
    direction looks beyond it, so that the result equals running the pieces apart.
    On masked steps a layer with return_sequences=True emits zeros, as in Keras.

    With ``LSTM(..., num_layers=2)`` inside, each layer is bidirectional, as in torch:
    the one above reads both directions side by side, and states come layer by layer.
    With ``RNN([cells])`` inside, each direction is a stack of its own.

    Raises:
        ValueError: if the two layers do not fit each other, or `merge_mode` is
            none of those above.

    Example:
        >>> import keras, unrolled
        >>> unrolled.Bidirectional(unrolled.GRU(8))(keras.ops.ones((2, 5, 3))).shape
        (2, 16)

    Source: Schuster and Paliwal, 1997; ``keras.layers.Bidirectional``.
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: Literal["concat", "sum", "mul", "ave"] | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for argument in kwargs:
            require(
                argument not in RNN.argument_names(),
                argument,
                "is an argument of the layer inside Bidirectional",
                f"{argument} beside it",
                f"pass it there: Bidirectional(LSTM(64, {argument}=...))",
            )
        misnamed.check("Bidirectional", kwargs, ())
        for argument, value in (("layer", layer), ("backward_layer", backward_layer)):
            require(
                _runs_along_time(value)
                or (value is None and argument == "backward_layer"),
                argument,
                "must be a recurrent layer",
                f"the class {value.__name__}"
                if isinstance(value, type)
                else repr(value),
                "for example unrolled.LSTM(64); a cell goes into unrolled.RNN(cell)",
            )
        require(
            merge_mode in _MERGES,
            "merge_mode",
            f"must be one of {_MERGES}",
            repr(merge_mode),
            "None returns both outputs",
        )
        super().__init__(name=name, **kwargs)
        self.merge_mode = merge_mode
        self.forward_layer = _remake(layer, "forward", layer.go_backwards)
        if backward_layer is None:
            self.backward_layer = _remake(layer, "backward", not layer.go_backwards)
        else:
            self.backward_layer = backward_layer
        self._check_pair()
        if self._num_layers > 1:
            width = sum(map(levels.width, self._layers_of))
            for each in self._layers_of:
                each.width_between = width
        for each in (self.forward_layer, self.backward_layer):
            each.zero_output_for_mask = each.return_sequences
        self.supports_masking = True
        self._weights_to_set = weights

    def _check_pair(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        require(
            forward.go_backwards != backward.go_backwards,
            "backward_layer",
            "must differ from layer in go_backwards",
            f"go_backwards={backward.go_backwards} for both",
            "pass go_backwards=True to one of them",
        )
        for name in _IN_COMMON:
            require(
                getattr(forward, name) == getattr(backward, name),
                "backward_layer",
                f"must have the same value for {name} as layer, "
                f"{getattr(forward, name)}",
                getattr(backward, name),
                "make the two agree",
            )
        levels.check_pair(forward, backward, self._is_only_its_loop)

    @property
    def _num_layers(self) -> int:
        return getattr(self.forward_layer, "num_layers", 1)

    @property
    def return_sequences(self) -> bool:
        """Whether the output has a time axis."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self) -> bool:
        """Whether final states follow the output."""
        return self.forward_layer.return_state

    @property
    def return_all_states(self) -> bool:
        """Whether the states after every step follow."""
        return getattr(self.forward_layer, "return_all_states", False)

    @property
    def stateful(self) -> bool:
        """Whether states are carried from batch to batch."""
        return self.forward_layer.stateful

    @property
    def states(self) -> Any:
        """The carried states, forward first; None if there are none."""
        if self.forward_layer.states is None:
            return None
        both = (levels.in_a_row(each, each.states) for each in self._layers_of)
        return merging.states(*both, layers=self._num_layers)

    @property
    def state_names(self) -> dict[str, Any]:
        """What the states of each layer are called."""
        return {
            "forward": self.forward_layer.state_names,
            "backward": self.backward_layer.state_names,
        }

    def reset_state(self, states: Any = None) -> None:
        """Forget the carried states of both layers.

        Args:
            states: what to carry instead, as `initial_state` takes it.
        """
        for layer, own in zip(self._layers_of, self._halves(states), strict=True):
            if own is None:
                layer.reset_state()
            else:
                layer.reset_state(own)

    reset_states = reset_state

    @property
    def _time_axis(self) -> int:
        return 0 if getattr(self.forward_layer, "time_major", False) else 1

    @property
    def _layers_of(self) -> tuple[Any, Any]:
        return self.forward_layer, self.backward_layer

    def _halves(self, states: Any) -> list[Any]:
        """What each layer starts from; None for its own."""
        return merging.halves(states, self._num_layers)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As any Keras layer; see the class."""
        args, kwargs = checks.as_called(args, kwargs)
        checks.build_at_first_call(self, self._time_axis == 0, args, kwargs)
        with whole_model.arguments(self, args, kwargs) as kwargs:
            return super().__call__(*args, **kwargs)

    def build(
        self,
        sequences_shape: Any,
        initial_state_shape: Any = None,
        memory_shape: Any = None,
    ) -> None:
        """Build both layers."""
        del initial_state_shape
        for each in self._layers_of:
            if not each.built:
                reads = memory_shape is not None and reads_memory(each)
                given = {"memory_shape": memory_shape} if reads else {}
                each.build(sequences_shape, **given)
                each.built = True
        if self._weights_to_set is not None:
            self.set_weights(self._weights_to_set)
        self.built = True

    def compute_output_shape(
        self,
        sequences_shape: Any,
        initial_state_shape: Any = None,
        memory_shape: Any = None,
    ) -> Any:
        """Shapes of what `call` returns."""
        del initial_state_shape, memory_shape
        both = [each.compute_output_shape(sequences_shape) for each in self._layers_of]
        return self._together(merging.shape, *map(_as_tuple, both))

    def compute_output_spec(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
        resets: Any = None,
        lengths: Any = None,
        memory: Any = None,
        memory_mask: Any = None,
    ) -> Any:
        """What both layers say of symbolic arguments."""
        del mask, training, resets, lengths
        given = {"memory": memory, "memory_mask": memory_mask}
        calls = [self._for(each, given) for each in self._layers_of]
        self._halves(initial_state)
        both = [
            _as_tuple(layer.compute_output_spec(sequences, **own))
            for layer, own in zip(self._layers_of, calls, strict=True)
        ]

        def merged(mode: str, forward: Any, backward: Any) -> Any:
            shape = merging.shape(mode, tuple(forward.shape), tuple(backward.shape))
            return keras.KerasTensor(shape, forward.dtype)

        def cast(spec: Any) -> Any:
            floating = "float" in spec.dtype
            dtype = self.compute_dtype if floating else spec.dtype
            return keras.KerasTensor(spec.shape, dtype)

        return jax.tree.map(cast, self._together(merged, *both))

    def _together(self, merge: Any, forward: Any, backward: Any) -> Any:
        """What is returned, from what each layer returns."""
        outputs = merging.outputs(self.merge_mode, merge, forward[0], backward[0])
        returned = [*outputs, *self._interleave(forward[1:], backward[1:])]
        return tuple(returned) if len(returned) > 1 else returned[0]

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The mask goes on with the outputs of every step."""
        passed = masks.all_of(mask) if self.return_sequences else None
        one = self.forward_layer.compute_mask(inputs, mask)
        alone = self.merge_mode is not None and not isinstance(one, list)
        each = len(one) if isinstance(one, list) else 1
        return passed if alone else [passed] * each * (1 + (self.merge_mode is None))

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
        resets: Any = None,
        lengths: Any = None,
        memory: Any = None,
        memory_mask: Any = None,
    ) -> Any:
        """Run both layers and merge; see the class."""
        given = {"mask": mask, "resets": resets, "lengths": lengths}
        given |= {"memory": memory, "memory_mask": memory_mask}
        halves = zip(self._layers_of, self._halves(initial_state), strict=True)
        calls = [
            {
                "initial_state": own,
                "training": training,
                **self._turned(layer, self._for(layer, given)),
            }
            for layer, own in halves
        ]
        returned = self._run(self._layers_of, sequences, calls)
        both = map(self._in_order, self._layers_of, returned)
        returned = self._together(merging.arrays, *both)
        returned = jax.tree.map(lambda a: narrowed(a, self.compute_dtype), returned)
        if self.return_sequences:
            mask = masks.given(sequences, mask, lengths, self._time_axis == 0)
            outputs = _as_tuple(returned)[: 2 if self.merge_mode is None else 1]
            masks.attach(outputs, mask)
        return returned

    def _for(self, layer: Any, given: dict[str, Any]) -> dict[str, Any]:
        """Of the arguments given those for `layer`; a memory if its cell reads one."""
        given = {name: value for name, value in given.items() if value is not None}
        reads = [reads_memory(each) for each in self._layers_of]
        if any(reads) and not reads_memory(layer):
            given = {k: v for k, v in given.items() if not k.startswith("memory")}
        for name in given:
            require(
                takes(layer.call, name),
                name,
                f"can only go to layers that take {name}",
                f"{name} for {type(layer).__name__}",
                "use unrolled's layers inside Bidirectional",
            )
        return given

    def _turned(self, layer: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The same, with resets as `layer` meets them."""
        if "resets" in given and layer.go_backwards:
            # A piece that begins at t ends, read backwards, after t: before t - 1.
            resets = jnp.roll(jnp.asarray(given["resets"], bool), -1, self._time_axis)
            last = [slice(None), slice(None)]
            last[self._time_axis] = slice(-1, None)
            given["resets"] = resets.at[tuple(last)].set(False)
        return given

    def _run(self, layers: Any, sequences: Any, calls: list[dict[str, Any]]) -> Any:
        """What the layers return; their time loops run at once where they can."""
        pairs = [*zip(layers, calls, strict=True)]
        if not all(each.built and self._is_only_its_loop(each) for each in layers):
            return [layer(sequences, **given) for layer, given in pairs]
        ready = [layer.prepare(sequences, **given) for layer, given in pairs]
        if layers[0].time_major == layers[1].time_major:
            # The same objects, so that whoever runs both sees that they read the same.
            first = ready[0]
            ready[1] = ready[1]._replace(inputs=first.inputs, mask=first.mask)
        found = levels.run(layers, ready, calls[0]["training"])
        results = zip(layers, ready, found, strict=True)
        return [layer.hand_out(*own) for layer, *own in results]

    def _is_only_its_loop(self, layer: Any) -> bool:
        """Whether calling `layer` from here does no more than `RNN.call`."""
        return (
            getattr(layer.call, "__func__", None) is RNN.call
            and layer.compute_dtype == self.compute_dtype
            and layer.activity_regularizer is None
        )

    def _in_order(self, layer: Any, returned: Any) -> list[Any]:
        """What `layer` returned, in the order of the input."""
        returned = list(_as_tuple(returned))
        if not layer.go_backwards:
            return returned
        flip = [self.return_sequences] + [False] * (len(returned) - 1)
        if self.return_all_states:
            count = self._state_count(returned)
            flip[len(returned) - count :] = [True] * count
        return [
            jax.tree.map(lambda a: jnp.flip(a, self._time_axis), r) if f else r
            for r, f in zip(returned, flip, strict=True)
        ]

    def _state_count(self, returned: Any) -> int:
        return (len(returned) - 1) // (2 if self.return_state else 1)

    def _interleave(self, forward: Any, backward: Any) -> list[Any]:
        """Final states of both, then all states of both."""
        count = 2 if self.return_state and self.return_all_states else 1
        parts = [
            [own[at * len(own) // count :][: len(own) // count] for at in range(count)]
            for own in (forward, backward)
        ]
        each = zip(*parts, strict=True)
        n = self._num_layers
        return [s for pair in each for s in merging.states(*pair, layers=n)]

    def get_config(self) -> dict[str, Any]:
        """The arguments, both layers among them; not for what these were built."""
        names = ("layer", "backward_layer")
        layers = map(keras.saving.serialize_keras_object, self._layers_of)
        config = {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            **dict(zip(names, layers, strict=True)),
        }
        for name in names:
            forget(config[name], "build_config")
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The inverse of `get_config`."""
        config = dict(config)
        for name in ("layer", "backward_layer"):
            config[name] = deserialize(config.get(name), custom_objects)
        return from_file(cls, config)


def reads_memory(layer: Any) -> bool:
    """Whether a layer's cell may read a memory; only ours hand one on."""
    return isinstance(layer, RNN) and as_cell(layer.cell).reads_memory != "no"


def _runs_along_time(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Layer) and hasattr(layer, "go_backwards")


def _remake(layer: Any, direction: str, go_backwards: bool) -> Any:
    """A layer like `layer`, without its weights, for one direction."""
    name = f"{direction}_{layer.name.removeprefix(direction + '_')}"
    return remade(layer, go_backwards=go_backwards, name=name)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """What a layer returns, or its shapes, as a tuple of parts."""
    if (
        isinstance(value, (list, tuple))
        and value
        and isinstance(value[0], (int, type(None)))
    ):
        return (tuple(value),)
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
