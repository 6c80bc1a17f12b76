"""Cells that are drawn at random: a step made of whatever can be fused.

A cell is a list of operations over what is there so far: the inputs of a step, the
states, and the results before. All kinds of operation are dealt like cards, so that
few cells have them all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jax import numpy as jnp

from .operations import (
    BINARY,
    BROADCASTS,
    KINKS,
    LAYOUT,
    OF_ROWS,
    ROWS,
    UNARY,
    gauss,
)
from .products import MEMORY, OF_TWO, PRODUCTS

EXACT = 4  # so many inputs are -3, -1.5, 0, 1.5 or 3
LAYOUTS = ("plain", "heads", "one number", "unread", "untouched", "swapped")
UPDATES = ("tanh", "mixed", "added")
DECKS = {
    "unary": (UNARY, 4),
    "binary": (BINARY, 4),
    "kink": (KINKS, 2),
    "row": (ROWS, 1),
    "layout": (LAYOUT, 2),
    "broadcast": (BROADCASTS, 1),
    "number of a row": (OF_ROWS, 1),
    "product": (PRODUCTS, 1),
    "product of two": (OF_TWO, 1),
    "memory": (MEMORY, 0),  # in a third of the cells
    "state": (dict.fromkeys(LAYOUTS), 0),
}
LABELS = [f"{deck}: {name}" for deck, (names, _) in DECKS.items() for name in names]
LABELS += [f"update: {name}" for name in UPDATES]
LABELS += ["vector of a sequence", "output: a state", "output: its own"]


class Node(NamedTuple):
    """A result: what of, by which function, with which weights."""

    label: str
    function: Any
    inputs: tuple[int, ...]
    weights: tuple[int, ...] = ()


class Drawn:
    """A cell by its number.

    Attributes:
        x: ``(B, T, D)``.
        states: list of ``(B, ...)``, before the first step.
        weights: list of arrays.
        rows: ``memory (B, S, M)``, ``vector (B, W)``, if there are such.
        mask: bool ``(B, S)``.
        dy, dlast: cotangents of the outputs and of the last states.
        reverse: whether the last step comes first.
    """

    def __init__(self, number: int):
        self.rng = rng = np.random.default_rng([20, number])
        self.number = number
        self.batch, self.steps = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        self.reverse = bool(rng.random() < 0.3)
        self.nodes: list[Node] = []
        self.weights: list[np.ndarray] = []
        self.rows: dict[str, np.ndarray] = {}
        self.unused: set[int] = set()
        self.widths = rng.choice([2, 3, 4, 5, 6], 3).tolist()
        self.features = EXACT + int(rng.integers(1, 5))
        self._draw_states()
        # What is there: x's exact numbers, its others, and what is read of the states.
        self.shapes = [(EXACT,), (self.features - EXACT,), *self.state_shapes]
        self.pool = [0, 1]
        for at, layout in enumerate(self.layouts):
            if layout != "unread":
                self.pool.append(self._flat(2 + at))
        self.carried = self.pool[2:] or []
        for deck, name in self._dealt():
            self._add(deck, name)
        self._finish()
        self._fill()

    # --- what is dealt ---

    def _dealt(self) -> list[tuple[str, str]]:
        cards = []
        for deck, (names, count) in DECKS.items():
            every = list(names)
            if deck == "memory":
                count = int(self.number % 3 == 0)
            for k in range(count):
                at = self.number // 3 if deck == "memory" else self.number * count + k
                cards.append((deck, every[_shuffled(at, len(every), deck)]))
        # A third product in some cells.
        if self.number % 4 == 0:
            cards.append(("product", self.rng.choice(list(PRODUCTS))))
        if self.number % 3 == 1:
            cards.append(("vector", "vector of a sequence"))
        order = self.rng.permutation(len(cards))
        return [cards[i] for i in order]

    def _draw_states(self) -> None:
        count = 1 + self.number % 3
        deck = [_shuffled(self.number * 3 + k, len(LAYOUTS), "state") for k in range(3)]
        self.layouts = [LAYOUTS[k] for k in deck[:count]]
        if all(each == "unread" for each in self.layouts):
            self.layouts[0] = "plain"
        self.state_shapes = []
        for at, layout in enumerate(self.layouts):
            width = self.widths[at]
            shape = {"heads": (2, width), "one number": (1,)}.get(layout, (width,))
            self.state_shapes.append(shape)

    # --- nodes ---

    def _node(self, label, function, inputs, shape, weights=()) -> int:
        made = []
        for each in weights:
            scale = 0.8 * (np.prod(each[:-1]) ** -0.5 if len(each) > 1 else 1)
            made.append(len(self.weights))
            array = gauss(self.rng, *each) * np.float32(scale)
            self.weights.append(np.asarray(array, "float32"))
        self.nodes.append(Node(label, function, tuple(inputs), tuple(made)))
        self.shapes.append(shape)
        self.unused -= set(inputs)
        self.unused.add(len(self.shapes) - 1)
        return len(self.shapes) - 1

    def _flat(self, at: int) -> int:
        shape = self.shapes[at]
        if len(shape) == 1:
            return at
        flat = int(np.prod(shape))
        return self._node("", lambda v: v.reshape(-1, flat), [at], (flat,))

    def _any(self, states=False) -> int:
        """Something that is there, rather what nothing read yet."""
        fresh = [n for n in self.pool if n in self.unused]
        if states and self.carried:
            return int(self.rng.choice(self.carried))
        if fresh and self.rng.random() < 0.6:
            return int(self.rng.choice(fresh))
        return int(self.rng.choice(self.pool))

    def _fit(self, at: int, width: int) -> int:
        """The same with another width."""
        (own,) = self.shapes[at]
        if own == width:
            return at
        if own > width:
            first = int(self.rng.integers(0, own - width + 1))
            cut = lambda v: v[:, first : first + width]  # noqa: E731
        elif own == 1:
            cut = lambda v: jnp.broadcast_to(v, (v.shape[0], width))  # noqa: E731
        else:
            times = -(-width // own)
            cut = lambda v: jnp.concatenate([v] * times, -1)[:, :width]  # noqa: E731
        return self._node("", cut, [at], (width,))

    def _add(self, deck: str, name: str) -> None:
        self.pool.append(getattr(self, f"_add_{deck.replace(' ', '_')}")(name))

    def _add_unary(self, name: str) -> int:
        at = self._any()
        return self._node(f"unary: {name}", UNARY[name], [at], self.shapes[at])

    def _add_row(self, name: str) -> int:
        at = self._any()
        return self._node(f"row: {name}", ROWS[name], [at], self.shapes[at])

    def _add_layout(self, name: str) -> int:
        at = self._any()
        return self._node(f"layout: {name}", LAYOUT[name], [at], self.shapes[at])

    def _add_binary(self, name: str) -> int:
        at, other = self._any(), self._any(states=self.rng.random() < 0.5)
        other = self._fit(other, self.shapes[at][0])
        both = [at, other]
        return self._node(f"binary: {name}", BINARY[name], both, self.shapes[at])

    def _add_number_of_a_row(self, name: str) -> int:
        at, other = self._any(), self._any()
        label = f"number of a row: {name}"
        if name == "a row's dot":
            other = self._fit(other, self.shapes[at][0])
        return self._node(label, OF_ROWS[name], [at, other], self.shapes[at])

    def _add_kink(self, name: str) -> int:
        return self._node(f"kink: {name}", KINKS[name], [0], (EXACT,))

    def _add_broadcast(self, name: str) -> int:
        at = self._any()
        shape, function = BROADCASTS[name]
        weights = [shape(*self.shapes[at])]
        label = f"broadcast: {name}"
        return self._node(label, function, [at], self.shapes[at], weights)

    def _add_product(self, name: str) -> int:
        at = self._fit(self._any(self.rng.random() < 0.5), int(self.rng.choice([2, 4])))
        n = int(self.rng.choice([2, 4, 6]))
        shapes, function = PRODUCTS[name]
        weights = shapes(*self.shapes[at], n)
        return self._node(f"product: {name}", function, [at], (n,), weights)

    def _add_product_of_two(self, name: str) -> int:
        at, other = self._any(), self._any(states=True)
        n = int(self.rng.choice([1, 3, 4, 6]))
        shapes, function = OF_TWO[name]
        weights = shapes(*self.shapes[at], *self.shapes[other], n)
        label = f"product of two: {name}"
        return self._node(label, function, [at, other], (n,), weights)

    def _add_memory(self, name: str) -> int:
        m = int(self.rng.choice([2, 4]))
        at = self._any(states=True)
        size = int(self.rng.integers(2, 6))
        self.rows["memory"] = gauss(self.rng, self.batch, size, m)
        shapes, function = MEMORY[name]
        weights = shapes(*self.shapes[at], m)
        inputs = [at, "memory", "mask"]
        return self._node(f"memory: {name}", function, inputs, (m,), weights)

    def _add_vector(self, name: str) -> int:
        at = self._any()
        self.rows["vector"] = 1 + gauss(self.rng, self.batch, *self.shapes[at]) / 2
        times = lambda v, w: v * w / 1.5  # noqa: E731
        return self._node(name, times, [at, "vector"], self.shapes[at])

    # --- what leaves ---

    def _finish(self) -> None:
        after = []
        for at, (layout, shape) in enumerate(
            zip(self.layouts, self.state_shapes, strict=True)
        ):
            label = f"state: {layout}"
            if layout == "untouched":
                after.append(self._node(label, lambda v: v, [2 + at], shape))
                continue
            if layout == "swapped":  # what another, or itself, was before
                flat = self._fit(self._flat(2 + (at + 1) % len(self.layouts)), *shape)
                after.append(self._node(label, lambda v: v, [flat], shape))
                continue
            width = int(np.prod(shape))
            value = self._fit(self._any(), width)
            update = UPDATES[self.rng.integers(0, 3)]
            old = [self._flat(2 + at)] if layout != "unread" else []
            update = update if old else "tanh"
            function = {
                "tanh": lambda z: jnp.tanh(z),
                "mixed": lambda z, s: 0.6 * s + 0.4 * jnp.tanh(z),
                "added": lambda z, s: jnp.tanh(s + z),
            }[update]
            inputs = [value, *old] if update != "tanh" else [value]
            new = self._node(f"update: {update}", function, inputs, (width,))
            to = lambda v, shape=shape: v.reshape(v.shape[0], *shape)  # noqa: E731
            after.append(self._node(label, to, [new], shape))
        self.after = after
        plain = [n for n in after if len(self.shapes[n]) == 1]
        if plain and self.rng.random() < 0.3:
            kind, first = "output: a state", plain[0]
        else:
            kind, first = "output: its own", self._any()
        left = sorted(self.unused - set(after) - {first})
        if not left:
            self.output = self._node(kind, lambda v: v, [first], self.shapes[first])
            return

        def gathered(v, *rest):
            """What nothing else reads has a part in it."""
            for each in rest:
                flat = each.reshape(each.shape[0], -1)
                v = v + 0.3 * flat.mean(-1, keepdims=True)
            return v

        inputs = [first, *left]
        self.output = self._node(kind, gathered, inputs, self.shapes[first])

    def _fill(self) -> None:
        """Numbers of the inputs, the states and the cotangents."""
        b, t, rng = self.batch, self.steps, self.rng
        exact = rng.integers(-2, 3, (b, t, EXACT)).astype("float32") * np.float32(1.5)
        rest = gauss(rng, b, t, self.features - EXACT)
        self.x = np.concatenate([exact, rest], -1)
        self.states = [gauss(rng, b, *s) / 2 for s in self.state_shapes]
        self.mask = None
        if "memory" in self.rows:
            s = self.rows["memory"].shape[1]
            self.mask = np.arange(s) < rng.integers(1, s + 1, (b, 1))
        self.dy = gauss(rng, b, t, *self.shapes[self.output])
        self.dlast = [gauss(rng, b, *s) for s in self.state_shapes]

    # --- the cell ---

    def step(self, x, states, weights, rows, mask, probes=None):
        """One step: ``(output, states)``.

        Args:
            x: ``(B, D)``.
            states: list of ``(B, ...)``.
            weights: list of arrays.
            rows: arrays with rows, the same at all steps.
            mask: of the memory.
            probes: added to the results, by number: zeros; their gradients tell what
                gradient arrives at each.
        """
        values = [x[:, :EXACT], x[:, EXACT:], *states]
        more = {**rows, "mask": mask}
        for at, node in enumerate(self.nodes):
            given = [more[n] if isinstance(n, str) else values[n] for n in node.inputs]
            value = node.function(*given, *(weights[n] for n in node.weights))
            if probes is not None and node.label:
                value = value + probes[at]
            values.append(value)
        return values[self.output], [values[n] for n in self.after]

    @property
    def probes(self) -> dict[int, np.ndarray]:
        """Zeros for each result that has a label."""
        first = len(self.shapes) - len(self.nodes)
        return {
            at: np.zeros((self.batch, *self.shapes[first + at]), "float32")
            for at, node in enumerate(self.nodes)
            if node.label
        }

    def __str__(self) -> str:
        first = len(self.shapes) - len(self.nodes)
        lines = [f"cell {self.number}: B={self.batch} T={self.steps}"]
        lines.append(f"x 0 {self.shapes[0]} 1 {self.shapes[1]}, states {self.layouts}")
        for at, node in enumerate(self.nodes):
            shape = self.shapes[first + at]
            lines.append(
                f"{first + at} {shape}: {node.label or 'fit'} of {node.inputs}"
            )
        lines.append(f"output {self.output}, states {self.after}")
        return "\n".join(lines)


def _shuffled(at: int, size: int, deck: str) -> int:
    """Which card comes at a place, each deck shuffled anew once it is through."""
    round_, place = divmod(at, size)
    seed = [round_, *map(ord, deck)]
    return int(np.random.default_rng(seed).permutation(size)[place])
