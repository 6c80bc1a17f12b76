"""The stepper that users see: checks, rows, saved states."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ..cells.states import pack
from ..checks import require
from ..engine import native
from .compiled import Compiled
from .interpreted import Interpreted
from .layers import Start
from .program import Program
from .read import read
from .storage import STORAGES

Array = np.ndarray


def stream(
    model: Any,
    batch_size: int = 1,
    weights: str = "float32",
    memory: Any = None,
    memory_mask: Any = None,
) -> "Stream":
    """A stepper for a model: one time step a call, NumPy in, NumPy out.

    Args:
        model: a built Sequential or functional model whose layers form a single row,
            or one layer. It may hold SimpleRNN, LSTM and GRU of this package or of
            ``keras.layers``, RNN and StackedRNNCells of their cells or of any other,
            Dense, Embedding (first), activations, layer, batch and RMS normalization,
            dropout, and TimeDistributed of those. A cell of another class is stepped
            by the program that its layer runs, or, where it has none, by JAX, more
            slowly: `Stream.plan` says which, and why.
        batch_size: B, how many sequences are stepped side by side.
        weights: how the matrices are stored: ``"float32"``, ``"bfloat16"`` (half the
            memory) or ``"int8"`` (a quarter, one scale for each output column).
            Sums, states and outputs are float32 whatever is chosen. Cells of other
            classes than SimpleRNN, LSTM and GRU take ``"float32"`` alone.
        memory: what the cells read at every step, a tree of ``(B, ...)``, handed over
            once; only for a model with a cell that reads one.
        memory_mask: which of its entries count, as `RNN` takes it.

    Returns:
        A `Stream`, every row at the start of a sequence; of a layer with
        ``stateful=True``, where that layer would go on. The layer's own states stay
        as they are.

    Raises:
        ValueError: if the model holds what cannot be stepped; the message names it.

    Example:
        >>> import keras, numpy as np, unrolled
        >>> model = keras.Sequential(
        ...     [keras.Input((None, 3)), unrolled.LSTM(8), keras.layers.Dense(2)]
        ... )
        >>> stream = unrolled.stream(model)
        >>> for x_t in np.ones((5, 1, 3), "float32"):  # five steps of one row
        ...     y = stream.step(x_t)
        >>> bool(np.allclose(y, model(np.ones((1, 5, 3))), atol=1e-6))
        True
    """
    return Stream(model, batch_size, weights, memory, memory_mask)


class Stream:
    """A model with its states, advanced one time step at a time.

    Made by `unrolled.stream`, which describes the arguments. The weights are read and
    packed once, when it is made; after more training call `refresh`. Streams are
    independent of each other; several threads that step the same one take turns.

    Example:
        >>> import unrolled, keras
        >>> layer = unrolled.GRU(4)
        >>> y = layer(keras.ops.ones((2, 5, 3)))  # builds it
        >>> stream = unrolled.stream(layer, batch_size=2)
        >>> list(stream.states) == [layer.name]
        True
    """

    def __init__(
        self,
        model: Any,
        batch_size: int = 1,
        weights: str = "float32",
        memory: Any = None,
        memory_mask: Any = None,
    ) -> None:
        require(
            isinstance(batch_size, (int, np.integer))
            and not isinstance(batch_size, bool)
            and batch_size > 0,
            "batch_size",
            "must be a positive integer, the number of rows stepped side by side",
            repr(batch_size),
            "pass batch_size=1 for a single sequence",
        )
        require(
            weights in STORAGES,
            "weights",
            f"must be one of {', '.join(STORAGES)}",
            repr(weights),
            "float32 is exact",
        )
        given = (memory, memory_mask)
        program = read(model, Start(int(batch_size), weights, *given, _reason()))
        self._begin(model, int(batch_size), weights, given, program, None)
        if any(step.carried for step in program.steps):
            first = [s for step in program.steps for s in step.first(self.batch_size)]
            self._engine.write(first)

    def _begin(
        self,
        model: Any,
        batch_size: int,
        weights: str,
        memory: tuple[Any, Any],
        program: Program,
        states: list[Array] | None,
    ) -> None:
        self._model, self._memory = model, memory
        self.batch_size, self.weights = batch_size, weights
        self._run(program)
        if states is not None:
            self._engine.write(states)

    def _copied(self) -> tuple[Any, ...]:
        """What `_begin` takes, as of between two steps."""
        kept = (self._model, self.batch_size, self.weights, self._memory)
        return (*kept, self._program, self._engine.read())

    def __copy__(self) -> "Stream":
        """Another stream of the same model, which goes on from here by itself."""
        other = object.__new__(type(self))
        other._begin(*self._copied())
        return other

    def __getstate__(self) -> tuple[Any, ...]:
        """For `pickle` and `copy.deepcopy`, which take the model along."""
        traced = self._program.traced
        if traced:
            raise TypeError(
                "a stream must have a compiled form to be pickled or copied with its "
                f"model. Got one whose {', '.join(map(repr, traced))} JAX compiled for "
                "this process alone: use copy.copy, or make a stream of the other "
                "model and assign states."
            )
        return self._copied()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._begin(*state)

    def _run(self, program: Program) -> None:
        self._program = program
        engine = Interpreted if _reason() or self._program.traced else Compiled
        B, D = self.batch_size, self._program.features
        convert = functools.partial(_convert, B, self._program.takes_ids, D)
        self._engine = engine(self._program, B, self.weights, convert)
        self._step = self._engine.step

    def step(self, x: Array) -> Array:
        """Advance every row by one time step.

        Args:
            x: float32 ``(B, D)``; whole numbers ``(B,)`` where the model begins with
                an Embedding. float32, or int64, in row-major order is the fastest.

        Returns:
            float32 ``(B, U)``, an array of the caller's own: what the model gives for
            the sequence up to here, at its last step.

        Raises:
            ValueError: if `x` does not fit; the states are then as before.
        """
        return self._step(x)

    def reset(self, rows: Any = None) -> None:
        """Start sequences afresh: zero states, or the cell's own first ones.

        Args:
            rows: which of the B rows: indices, or a bool for each. Default: all.
        """
        if rows is None:
            self._engine.reset(None)
            return
        given = np.asarray(rows)
        B = self.batch_size
        fits = (given.dtype == bool and given.shape == (B,)) or (
            given.size == 0
            or (given.dtype.kind in "iu" and given.min() >= -B and given.max() < B)
        )
        require(
            bool(fits),
            "rows",
            f"must be indices below batch_size = {B}, or {B} bools",
            repr(rows),
            "leave it out to reset all rows",
        )
        marks = np.zeros(B, bool)
        marks[given if given.size else []] = True
        self._engine.reset(marks)

    @property
    def states(self) -> dict[str, list[Array]]:
        """Copies of the states, ``(B, ...)`` each, by the recurrent layer's name.

        ``[h]``, or ``[h, c]`` for an LSTM; of stacked cells one after another; of
        another cell in the order of its ``state_names``. What
        was read can be assigned later, here or in another stream of the same model; or
        a layer's states by name, ``{"lstm": {"h": h, "c": c}}``.
        """
        arrays = iter(self._engine.read())
        states: dict[str, list[Array]] = {}
        for step in self._program.steps:
            count = len(step.states(1))
            if count:
                states.setdefault(step.name, []).extend(
                    next(arrays) for _ in range(count)
                )
        return states

    @states.setter
    def states(self, states: Mapping[str, Sequence[Any]]) -> None:
        like = self.states
        require(
            isinstance(states, Mapping) and set(states) == set(like),
            "states",
            f"must hold the states of {sorted(like)}",
            sorted(states) if isinstance(states, Mapping) else type(states).__name__,
            "assign what stream.states gave",
        )
        arrays = []
        for name, want in like.items():
            got = [np.asarray(a) for a in self._in_a_row(name, states[name], want)]
            shapes = [a.shape for a in got]
            require(
                shapes == [a.shape for a in want],
                f"states['{name}']",
                f"must be arrays of shapes {[a.shape for a in want]}",
                shapes,
                "make the stream with the same batch_size",
            )
            pairs = zip(got, want, strict=True)
            arrays += [np.ascontiguousarray(a, w.dtype) for a, w in pairs]
        self._engine.write(arrays)

    def _in_a_row(self, name: str, states: Any, like: list[Array]) -> Sequence[Any]:
        """A layer's states in order, if they come by name."""
        if not isinstance(states, Mapping):
            return states
        layers = [self._model, *self._model._flatten_layers(include_self=False)]
        names = next(
            layer.state_names
            for layer in layers
            if layer.name == name and hasattr(layer, "state_names")
        )
        like = jax.tree.unflatten(jax.tree.structure(names), like)
        return jax.tree.leaves(pack(states, like, names, f"states['{name}']"))

    def refresh(self) -> None:
        """Read the model's weights again; the states stay.

        Not while another thread steps this stream: its step could be lost.

        Raises:
            ValueError: if the model no longer has the same layers.
        """
        states = self.states
        start = Start(self.batch_size, self.weights, *self._memory, _reason())
        self._run(read(self._model, start))
        self.states = states

    def plan(self) -> str:
        """Say in one sentence what runs the steps here, and why."""
        reason = _reason()
        with_weights = f"with {self.weights} weights"
        traced = self._program.traced
        if traced:
            said = "; ".join(f"{name!r}, as {why}" for name, why in traced.items())
            return f"NumPy, and JAX for the cell of {said}."
        if isinstance(self._engine, Interpreted):
            return f"plain NumPy, {with_weights}: {reason}."
        return f"the native stepper ({native.variant()}), {with_weights}."


# No method: the compiled step keeps it, and a stream that kept itself would stay.
def _convert(rows: int, ids: bool, features: int, x: Any) -> Array:
    """An array that a step reads, or an error that says why there is none."""
    array = np.asarray(x)
    if ids:
        require(
            array.shape == (rows,) and array.dtype.kind in "iu",
            "x",
            f"must be whole numbers of shape (batch_size,) = ({rows},)",
            f"{array.dtype} {array.shape}",
            "one id for each row: the model begins with an Embedding",
        )
        require(
            array.min() >= 0 and array.max() < features,
            "x",
            f"must hold ids from 0 to {features - 1}, as the Embedding has {features}",
            array.tolist(),
            "leave unknown ids out, or map them to one that is known",
        )
        return _copied(array, np.int64)
    require(
        array.shape == (rows, features) and array.dtype.kind in "fiu",
        "x",
        f"must be numbers of shape (batch_size, features) = ({rows}, {features})",
        f"{array.dtype} {array.shape}",
        "one time step of every row, without a time axis",
    )
    return _copied(array, np.float32)


def _copied(array: Array, dtype: type) -> Array:
    """In row-major order, and with NumPy's own dtype object, not an equal one."""
    out = np.empty(array.shape, dtype)
    out[...] = array
    return out


def _reason() -> str:
    """Why there is no compiled stepper, or nothing."""
    return native.refused() or native.library()[1]
