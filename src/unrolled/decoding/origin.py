"""What an output was made of, for a loss that wants more than the output.

The tags that a CRF chose say nothing of how likely others were, and logits of a large
vocabulary need not be computed where a loss reads only some of them. So a layer returns
what people want to see, and notes of that array what its loss reads. What no loss and
no metric reads, the compiler leaves out.
"""

import weakref
from typing import Any

from .._borrowed import in_symbolic_scope
from ..checks import require

# By the identity of an output, as long as that lives: arrays that are being traced take
# no attributes, and have no hash.
_ORIGINS: dict[int, tuple[Any, Any]] = {}


def set_origin(output: Any, origin: Any) -> Any:
    """Note of `output` what it was made of, and return it.

    Args:
        output: an array, traced or not, as a layer is about to return it.
        origin: a tree of arrays, made before it.
    """
    key = id(output)
    _ORIGINS[key] = (weakref.ref(output, lambda _: _ORIGINS.pop(key, None)), origin)
    return output


def origin_of(output: Any, kind: type, made_by: str) -> Any:
    """What is noted of a layer's output; None while Keras asks for shapes alone.

    Args:
        output: what a loss is called with.
        kind: of what has to be noted of it.
        made_by: the layer that notes it.

    Raises:
        ValueError: if it is no output of such a layer.
    """
    _, found = _ORIGINS.get(id(output), (None, None))
    if found is None and in_symbolic_scope():
        return None
    require(
        isinstance(found, kind),
        "y_pred",
        f"must be what {made_by} returned, as it returned it",
        f"an array {tuple(output.shape)} of another origin",
        f"let {made_by} be the last layer of the model, outside jax.jit and remat",
    )
    return found
