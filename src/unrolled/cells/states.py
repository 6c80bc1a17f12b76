"""The states of a cell as a tree: their shapes, their names, and what fits them.

States keep the form that ``state_size`` has: a list, tuple, named tuple or dict. One
size alone is a list of one state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ..checks import fits, require, sizes
from .signatures import takes

Tree = Any


@dataclass(frozen=True)
class Shape:
    """The shape of one state or output, the batch apart. A leaf of a tree.

    A size that the cell's `build` finds is None before it.
    """

    sizes: tuple[Any, ...]


def state_shapes(size: Any) -> Tree:
    """What a ``state_size`` says: a tree of `Shape`, a list or more at the top.

    ``4`` and ``[4]`` are one state ``(B, 4)``, ``(3, 2)`` are two, and ``[(3, 2)]`` is
    one ``(B, 3, 2)``.
    """
    return _inside(size, _state_shape) if is_tree(size) else [_state_shape(size)]


def _state_shape(size: Any) -> Tree:
    if isinstance(size, tuple) and _are_sizes(size) and not hasattr(size, "_fields"):
        return Shape(sizes(size))
    return _inside(size, _state_shape) if is_tree(size) else _width(size, "state_size")


def output_shapes(size: Any, states: Tree) -> Tree:
    """What an ``output_size`` says: a `Shape`, or a tree of them.

    A list or tuple of numbers is the shape of one output. None is the shape of the
    first of `states`, as in Keras.
    """
    return jax.tree.leaves(states)[0] if size is None else _output_shape(size)


def _output_shape(size: Any) -> Tree:
    alone = isinstance(size, (list, tuple)) and not hasattr(size, "_fields")
    if alone and _are_sizes(size):
        return Shape(sizes(size))
    return (
        _inside(size, _output_shape) if is_tree(size) else _width(size, "output_size")
    )


def _width(size: Any, argument: str) -> Shape:
    require(
        isinstance(size, (int, np.integer)) and not isinstance(size, bool),
        argument,
        "must hold whole numbers, the widths",
        repr(size),
        "for example [4, 4] for two states of 4 numbers",
    )
    return Shape((int(size),))


def _are_sizes(size: Sequence[Any]) -> bool:
    return all(each is None or isinstance(each, (int, np.integer)) for each in size)


def is_tree(value: Any) -> bool:
    """Whether `value` holds states, and is none itself."""
    return isinstance(value, (list, tuple, Mapping))


def _inside(tree: Any, make: Any) -> Tree:
    """A plain container like `tree`, of what `make` makes of its entries."""
    if isinstance(tree, Mapping):
        return {key: make(each) for key, each in tree.items()}
    if hasattr(tree, "_fields"):
        return type(tree)(*map(make, tree))
    return tuple(map(make, tree)) if isinstance(tree, tuple) else list(map(make, tree))


def plain(tree: Tree) -> Tree:
    """The same in plain containers: to JAX one that Keras tracks is an array."""
    return _inside(tree, plain) if is_tree(tree) else tree


def has_keys_of(tree: Tree, like: Tree) -> bool:
    """Whether dicts stand where `like` has dicts, with the same keys.

    Leaves of others come in the same order, so that it matters little how they nest.
    """
    if isinstance(tree, Mapping) and isinstance(like, Mapping):
        return set(tree) == set(like) and all(
            has_keys_of(tree[key], like[key]) for key in like
        )
    rows = [each for each in (tree, like) if isinstance(each, (list, tuple))]
    if len(rows) == 2 and len(tree) == len(like):
        return all(map(has_keys_of, tree, like))
    return not (_has_dict(tree) or _has_dict(like))


def _has_dict(tree: Tree) -> bool:
    entries = tree if isinstance(tree, (list, tuple)) else []
    return isinstance(tree, Mapping) or any(map(_has_dict, entries))


def zeros(size: Any, batch_size: Any, dtype: Any) -> Tree:
    """States of zeros for a ``state_size``."""
    return jax.tree.map(
        lambda shape: jnp.zeros((batch_size, *shape.sizes), dtype), state_shapes(size)
    )


def initial_states(cell: Any, batch_size: Any, memory_shape: Tree = None) -> Tree:
    """The states of fresh sequences, in the form that ``state_size`` has.

    Args:
        cell: ours, or a view of one.
        batch_size: B.
        memory_shape: a tree of ``(B, ...)``, for a cell whose signature names it.

    Raises:
        ValueError: if the cell's `get_initial_state` gives others than it declares.
    """
    own = cell.get_initial_state
    more = {"memory_shape": memory_shape} if takes(own, "memory_shape") else {}
    given = plain(own(batch_size, **more))
    leaves = jax.tree.leaves(given)
    shapes, form = jax.tree.flatten(cell.state_shapes)
    declared = [shape.sizes for shape in shapes]
    got = [tuple(np.shape(leaf)[1:]) for leaf in leaves]
    require(
        len(got) == len(declared)
        and all(map(fits, got, declared))
        and has_keys_of(given, cell.state_shapes),
        "get_initial_state",
        f"of {cell.name} must give the states that state_size declares, (batch, ...) "
        f"of {declared}",
        got,
        "make the two agree, in form and sizes",
    )
    return jax.tree.unflatten(form, leaves)


# --- names ---


def names_of(cell: Any) -> Tree:
    """The states' names, as a tree like the states.

    What a cell's ``state_names`` says. Where it says nothing: the keys of a dict, the
    fields of a named tuple, ``h`` for a single state, else numbers.

    Raises:
        ValueError: if ``state_names`` does not fit ``state_size``, or names two alike.
    """
    like, own = cell.state_shapes, cell.state_names
    names = _numbered(like) if own is None else _named(own, like, own)
    _entries(names, names)
    return names


def _numbered(like: Tree) -> Tree:
    if isinstance(like, Mapping):
        keys: list[Any] = list(like)
    elif hasattr(like, "_fields"):
        keys = list(like._fields)
    else:
        keys = ["h"] if len(like) == 1 else [str(n) for n in range(len(like))]
    entries = like.values() if isinstance(like, Mapping) else like
    named = iter(
        key if isinstance(each, Shape) else _numbered(each)
        for key, each in zip(keys, entries, strict=True)
    )
    return _inside(like, lambda _: next(named))


def _named(own: Any, like: Tree, whole: Any) -> Tree:
    fit = isinstance(own, str) == isinstance(like, Shape)
    if fit and not isinstance(own, str):
        keys = isinstance(own, Mapping) and isinstance(like, Mapping)
        fit = set(own) == set(like) if keys else len(own) == len(like)
    require(
        fit,
        "state_names",
        "must have a name for each state of state_size",
        repr(whole),
        'for example ("h", "c") for two',
    )
    if isinstance(own, str):
        return own
    if isinstance(like, Mapping):
        return {key: _named(own[key], like[key], whole) for key in like}
    named = iter([_named(o, e, whole) for o, e in zip(own, like, strict=True)])
    return _inside(like, lambda _: next(named))


def _entries(names: Tree, like: Tree) -> list[tuple[str, Any, Any]]:
    """Of each entry, in the order of leaves: what a user calls it, its names, itself.

    A state goes by its name; what holds several, by its key or its place.
    """
    if isinstance(like, Mapping):
        keys = sorted(like)
        places = [(str(key), names[key], like[key]) for key in keys]
    else:
        keys = getattr(like, "_fields", map(str, range(len(like))))
        places = list(zip(keys, names, like, strict=True))
    found = [
        (name if isinstance(name, str) else place, name, entry)
        for place, name, entry in places
    ]
    called = [name for name, *_ in found]
    require(
        len(set(called)) == len(called),
        "state_names",
        "must differ from each other",
        called,
        "rename the wrapper's own state, or the cell's",
    )
    return found


def by_name(names: Tree, states: Tree) -> dict[str, Any]:
    """States as a dict, nested as the names are."""
    return {
        called: entry if isinstance(name, str) else by_name(name, entry)
        for called, name, entry in _entries(names, states)
    }


# --- what is handed in ---


def pack(given: Any, like: Tree, names: Tree, argument: str = "initial_state") -> Tree:
    """Give `given` the structure of `like`, after checking names and shapes.

    Args:
        given: arrays: flat, nested as the states are, or dicts by name.
        like: tree of arrays or shapes ``(B, ...)``; None in a shape is unknown.
        names: tree of names, from `names_of`.
        argument: its name in the error.

    Raises:
        ValueError: if a name is missing or unknown, or a number or shape differs.
    """
    given = plain(given)
    if isinstance(like, Mapping) and isinstance(given, (list, tuple)):
        # `y, *states = layer(x)` makes a list of one dict.
        given = given[0] if len(given) == 1 and is_tree(given[0]) else given
    leaves = _in_order(given, like, names, argument)
    wanted, structure = jax.tree.flatten(like)
    called = jax.tree.leaves(names)
    want = [tuple(each.shape) for each in wanted]
    got = [tuple(np.shape(each)) for each in leaves]
    require(
        len(got) == len(want),
        argument,
        f"must hold {len(want)} state(s), {_listed(called, want)}",
        f"{len(got)}, of shapes {got}",
        "pass the states that return_state=True returns",
    )
    for index, (have, need) in enumerate(zip(got, want, strict=True)):
        require(
            fits(have, need),
            f"{argument}[{index}]",
            f"({called[index]}) must have shape (batch, ...) = {need}",
            have,
            "one row for each sequence, one column for each unit",
        )
    return jax.tree.unflatten(structure, leaves)


def _in_order(given: Any, like: Tree, names: Tree, argument: str) -> list[Any]:
    """The leaves of `given` in the order of those of `like`."""
    if isinstance(given, Mapping):
        require(
            is_tree(like),
            argument,
            "must be an array here",
            f"a dict of {sorted(map(str, given))}",
            "pass the state itself",
        )
        # Places in a stack are numbers; in JSON, and so in files, they are text.
        given = {str(n) if isinstance(n, int) else n: s for n, s in given.items()}
        entries = _entries(names, like)
        called = [name for name, *_ in entries]
        require(
            set(given) == set(called),
            argument,
            f"given by name must have the names {called}",
            sorted(map(str, given)),
            _difference(set(called), set(given)),
        )
        parts = [(given[name], own, entry) for name, own, entry in entries]
    elif (
        is_tree(given)
        and is_tree(like)
        and any(isinstance(each, Mapping) for each in given)
    ):
        entries = _entries(names, like)
        require(
            len(given) == len(entries),
            argument,
            f"must hold {len(entries)} part(s): {[name for name, *_ in entries]}",
            len(given),
            "pass one for each",
        )
        parts = [(g, own, e) for g, (_, own, e) in zip(given, entries, strict=True)]
    else:
        require(
            not _has_dict(like),
            argument,
            "must be a dict by name where state_size is one",
            f"{len(jax.tree.leaves(given))} array(s) in a row",
            "pass the states that return_state=True returns",
        )
        return jax.tree.leaves(given)
    return [
        leaf for each, own, e in parts for leaf in _in_order(each, e, own, argument)
    ]


def _difference(want: set[str], got: set[Any]) -> str:
    missing, unknown = sorted(want - got), sorted(map(str, got - want))
    parts = [f"add {missing}"] if missing else []
    return " and ".join([*parts, *([f"leave out {unknown}"] if unknown else [])])


def _listed(names: Sequence[str], shapes: Sequence[tuple]) -> str:
    return ", ".join(f"{n} {s}" for n, s in zip(names, shapes, strict=True))
