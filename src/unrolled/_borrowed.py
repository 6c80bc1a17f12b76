"""What we use of others that is private, or that moves from version to version.

Of JAX, Keras and, where somebody has loaded it, jax2onnx.

Nobody else imports it from there, so a release that moves something is met here, and
here alone. All of it is where it stands from jax 0.7.2 with Keras 3.12.0 to jax 0.12.0
with Keras 3.15.1; `make versions` tries both ends. What is said of moves lies between.
"""

import copy
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import jax
import keras.src

# Public, but as young as its C++ half, whose versions engine/native.py speaks of.
from jax import ffi

# Primitives that are to know their devices when they are lowered, as those must that
# become a `custom_partitioning`.
from jax._src.dispatch import (
    prim_requires_devices_during_lowering as lowered_per_device,
)

# Most of jax.core went to jax.extend.core between 0.7 and 0.10. These two stayed.
# eval_jaxpr takes a jaxpr and its constants apart, so that nobody needs ClosedJaxpr,
# which became one with Jaxpr in 0.12.
from jax.core import Tracer, eval_jaxpr

# These have not moved, but are documented only in part.
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero, zero_from_primal
from jax.experimental import rnn
from jax.experimental.custom_partitioning import (
    ArrayMapping,
    SdyShardingRule,
    custom_partitioning,
)
from jax.extend.core import Literal, Primitive

# Most of what was in ad and batching left them between 0.7 and 0.10. In use, and still
# there: of ad Zero, is_undefined_primal, primitive_jvps and primitive_transposes; of
# batching bdim_at_front and primitive_batchers; of mlir lower_fun and
# register_lowering.
from jax.interpreters import ad, batching, mlir

# Public, but its flags were not declared as its attributes until after 0.10.
config: Any = jax.config

# The two halves of the function that Keras's LSTM calls on a GPU.
lstm_fwd: Any = rnn.lstm_fwd
lstm_bwd: Any = rnn.lstm_bwd

# All of keras.src is private, and has no types; these have not moved.
AutocastScope: Any = keras.src.backend.AutocastScope
compute_output_spec: Any = keras.src.backend.compute_output_spec
Functional: Any = keras.src.models.Functional
get_keras_mask: Any = keras.src.backend.get_keras_mask
in_symbolic_scope: Any = keras.src.backend.common.symbolic_scope.in_symbolic_scope
set_keras_mask: Any = keras.src.backend.set_keras_mask
# What keeps an eye on a layer's attributes, and the lists in which it keeps them (the
# ordered dict is younger than 3.12).
_LISTS = ("TrackedList", "TrackedDict", "TrackedSet", "TrackedOrderedDict")
tracking: tuple[Any, ...] = (
    keras.src.utils.tracking.Tracker,
    *(
        getattr(keras.src.utils.tracking, name)
        for name in _LISTS
        if hasattr(keras.src.utils.tracking, name)
    ),
)
is_default: Any = keras.src.utils.python_utils.is_default
no_automatic_dependency_tracking: Any = (
    keras.src.utils.tracking.no_automatic_dependency_tracking
)


def has_cudnn_lstm() -> bool:
    """Whether JAX's plugin for CUDA is there, in a version that fits, with cuDNN."""
    # The module is there without a plugin, too.
    found = getattr(rnn, "gpu_rnn", None)
    return hasattr(found, "compute_rnn_workspace_reserve_space_sizes")


def arrays_below(store: Any) -> int:
    """How many arrays a weights file holds for a layer and for all that is in it.

    Args:
        store: what Keras hands to `load_own_variables`; of a file's own kind. 0 for
            others, which say nothing of what is in the layer.
    """
    file, path = (getattr(store, n, None) for n in ("h5_file", "_h5_entry_path"))
    if file is None or not path or path not in file:
        return 0
    found: list[str] = []
    file[path].visititems(
        lambda name, each: found.append(name) if hasattr(each, "shape") else None
    )
    return len(found)


@contextmanager
def no_names_taken() -> Iterator[None]:
    """What is named `lstm_1` in this block takes that name from nobody after it.

    Keras counts automatic names for each thread.
    """
    state, key = keras.src.backend.common.global_state, "object_name_uids"
    before = state.get_global_attribute(key)
    state.set_global_attribute(key, copy.copy(before))
    try:
        yield
    finally:
        state.set_global_attribute(key, before)


def reading_old_files(
    naming: Callable[[Any, Any], None],
    held: Callable[[Any, list[Any], list[Any], bool], list[Any]],
) -> None:
    """Give layers a say in how Keras reads files of Keras 2.

    Keras 2 asked what each array of a file is for the layer that takes it, and took a
    class from `custom_objects` wherever it was named; Keras 3 has no place for either.
    Where loading an HDF5 file fails, no weight of the model is changed.

    Args:
        naming: ``naming(config, custom_objects)`` changes a configuration in place.
        held: ``held(layer, weights, arrays, check)`` gives the arrays to set; it is to
            check their shapes unless Keras was asked to skip what does not fit.
    """
    files = keras.src.legacy.saving.legacy_h5_format
    making = keras.src.legacy.saving.saving_utils
    newer = keras.src.saving.saving_lib
    make, set_weights = making.model_from_config, files._set_weights
    make_newer = newer._model_from_config

    @functools.wraps(make)
    def model_from_config(config: Any, custom_objects: Any = None) -> Any:
        naming(config, custom_objects)
        return make(config, custom_objects=custom_objects)

    @functools.wraps(make_newer)
    def model_from_json(text: Any, custom_objects: Any, *args: Any, **kw: Any) -> Any:
        config = json.loads(text)
        naming(config, custom_objects)
        return make_newer(json.dumps(config), custom_objects, *args, **kw)

    @functools.wraps(set_weights)
    def set_held(
        layer: Any, weights: Any, arrays: Any, name: Any, skip_mismatch: bool = False
    ) -> None:
        arrays = held(layer, weights, arrays, not skip_mismatch)
        set_weights(layer, weights, arrays, name, skip_mismatch=skip_mismatch)

    def wholly(load: Any) -> Any:
        @functools.wraps(load)
        def load_all(group: Any, model: Any, *args: Any, **kwargs: Any) -> None:
            before = [(variable, variable.value) for variable in model.variables]
            try:
                load(group, model, *args, **kwargs)
            except Exception:
                for variable, value in before:
                    variable.assign(value)
                raise

        return load_all

    making.model_from_config, files._set_weights = model_from_config, set_held
    newer._model_from_config = model_from_json
    for by in ("load_weights_from_hdf5_group", "load_weights_from_hdf5_group_by_name"):
        setattr(files, by, wholly(getattr(files, by)))


def call_context() -> Any:
    """What Keras knows of the outermost call of a layer that is under way, or None."""
    state = keras.src.backend.common.global_state
    return state.get_global_attribute("current_call_ctx")


def varying_alike(tree: Any) -> Any:
    """Arrays, so marked that inside `shard_map` all differ over the same mesh axes.

    JAX marks them so for functions of its own. Where a function of ours reads arrays
    that are the same everywhere beside others, gradients of the former are summed over
    the mesh only if they were marked.
    """
    leaves, structure = jax.tree.flatten(tree)
    axes = [_varying(leaf) for leaf in leaves]
    whole = frozenset().union(*axes)
    if not whole:
        return tree
    pairs = zip(leaves, axes, strict=True)
    return structure.unflatten(_vary(leaf, whole - own) for leaf, own in pairs)


def _varying(array: Any) -> frozenset[Any]:
    kind: Any = jax.typeof(array)
    # `vma` until 0.9; then an attribute of what says more.
    return getattr(getattr(kind, "manual_axis_type", kind), "varying", None) or getattr(
        kind, "vma", frozenset()
    )


def _vary(array: Any, axes: frozenset[Any]) -> Any:
    if not axes:
        return array
    cast: Any = getattr(jax.lax, "pcast", None)
    if cast is None:
        return jax.lax.pvary(array, tuple(axes))  # pyright: ignore
    return cast(array, tuple(axes), to="varying")


def read_by_converters(name: str, program: Callable[[Any], Any]) -> None:
    """Let jax2onnx, if it is loaded, read a primitive as a program in its place.

    Args:
        name: the primitive's.
        program: from an equation of it to a jaxpr of primitives that are JAX's own.
    """
    plugins: Any = sys.modules.get("jax2onnx.plugins.plugin_system")
    if plugins is None or name in plugins.PLUGIN_REGISTRY:
        return

    def lower(context: Any, equation: Any) -> None:
        # As it reads every function with a program inside and a derivative of its own.
        read = plugins.PLUGIN_REGISTRY["custom_jvp_call"]
        read.lower(
            context,
            SimpleNamespace(
                invars=equation.invars,
                outvars=equation.outvars,
                params={"call_jaxpr": program(equation)},
            ),
        )

    plugins.PLUGIN_REGISTRY[name] = SimpleNamespace(lower=lower)


def apply(equation: Any, values: Sequence[Any]) -> Sequence[Any]:
    """The results of an equation of a jaxpr, of values in place of its variables."""
    primitive = equation.primitive
    params = primitive.get_bind_params(equation.params)
    # Functions among them came apart from the others until 0.9.
    functions, params = params if isinstance(params, tuple) else ((), params)
    with equation.ctx.manager:
        out = primitive.bind(*functions, *values, **params)
    return out if primitive.multiple_results else [out]


__all__ = [
    "ArrayMapping",
    "AutocastScope",
    "Functional",
    "Literal",
    "Primitive",
    "SdyShardingRule",
    "SymbolicZero",
    "Tracer",
    "ad",
    "apply",
    "arrays_below",
    "batching",
    "call_context",
    "compute_output_spec",
    "config",
    "custom_partitioning",
    "custom_vmap",
    "eval_jaxpr",
    "ffi",
    "get_keras_mask",
    "has_cudnn_lstm",
    "in_symbolic_scope",
    "is_default",
    "lowered_per_device",
    "lstm_bwd",
    "lstm_fwd",
    "mlir",
    "no_automatic_dependency_tracking",
    "no_names_taken",
    "read_by_converters",
    "reading_old_files",
    "set_keras_mask",
    "tracking",
    "varying_alike",
    "zero_from_primal",
]
