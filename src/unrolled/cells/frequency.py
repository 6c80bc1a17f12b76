"""What LSTMs that walk along frequency inside each time step share."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..checks import require
from .gated import GatedCell, activate, dropped


class FrequencyCell(GatedCell):
    """What LSTMs along time and frequency share: windows, weights and the formula.

    The features of a step are cut into windows, each some features further than the one
    before it, in one block or several. Within a block one LSTM goes from window to
    window; each window has a state of its own along time.
    """

    # How many memories c a window has: along time and, apart from it, along frequency.
    memories: ClassVar[int]

    _: KW_ONLY
    feature_size: int
    num_frequency_blocks: Any = None
    frequency_skip: int = 1
    start_freqindex_list: Any = None
    end_freqindex_list: Any = None
    use_peepholes: bool = False
    couple_gates: bool = False
    forget_bias: float = 1.0
    cell_clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fitting = 1  # until it is known how many features there are
        self._check_windows()
        self._take_sizes()

    def _take_sizes(self) -> None:
        self.state_size = [self.units] * len(self.state_names)
        self.output_size = self.units * self.memories * len(self.state_names) // 2

    def _check_windows(self) -> None:
        for name in ("feature_size", "frequency_skip"):
            _check_count(name, getattr(self, name), "a number of features")
        for count in self.counts:
            _check_count("num_frequency_blocks", count, "how many windows a block has")
        names = ("start_freqindex_list", "end_freqindex_list")
        lists = {name: getattr(self, name) for name in names}
        whole = len(self.counts) == 1 and not any(lists.values())
        for name, given in lists.items():
            require(
                whole or (given is not None and len(given) == len(self.counts)),
                name,
                "must say of each block of num_frequency_blocks="
                f"{self.num_frequency_blocks} at which feature it starts, or ends",
                given,
                "pass both lists, or neither for one block of all features",
            )
        require(
            self.cell_clip is None or self.cell_clip > 0,
            "cell_clip",
            "must be positive, the largest absolute value, or None",
            repr(self.cell_clip),
            "pass for example cell_clip=3.0",
        )

    @property
    def state_names(self) -> tuple[str, ...]:
        """By block, window and kind: ``b0_f2_h``."""
        return tuple(
            f"{label}_f{place}_{kind}"
            for label, starts in self.blocks
            for place in range(len(starts))
            for kind in "hc"
        )

    @property
    def counts(self) -> list[int]:
        """How many windows each block has."""
        given = self.num_frequency_blocks
        if given is None:
            return [self._fitting]
        return list(given) if isinstance(given, (list, tuple)) else [given]

    @property
    def blocks(self) -> list[tuple[str, list[int]]]:
        """Of each block its name and where its windows start, in the order of steps."""
        first = self.start_freqindex_list or [0]
        skip = self.frequency_skip
        return [
            (f"b{n}", [start + place * skip for place in range(count)])
            for n, (start, count) in enumerate(zip(first, self.counts, strict=True))
        ]

    @property
    def gates(self) -> str:
        """In the order of the weights' columns."""
        return "ico" if self.couple_gates else "icfo"

    @property
    def sets(self) -> int:
        """How many sets of gates have weights of their own."""
        return self.memories

    @property
    def width(self) -> int:
        """Of all gates of all sets."""
        return self.sets * len(self.gates) * self.units

    def make_weights(self, features: int) -> None:
        """Create the weights of each block."""
        if self.num_frequency_blocks is None:
            start, end = self._ends(features)[0]
            fitting = (end - start - self.feature_size) // self.frequency_skip + 1
            self._fitting = max(fitting, 1)
            self._take_sizes()
        self._check_features(features)
        needed: list[tuple[str, str, tuple[int, ...]]] = [
            ("kernel", "kernel", (self.feature_size, self.width)),
            ("recurrent_kernel", "recurrent", (2 * self.units, self.width)),
        ]
        if self.use_bias:
            needed.append(("bias", "bias", (self.width,)))
        if self.use_peepholes:
            seeing = len(self.gates) - 1
            shape = (self.sets, seeing, self.memories, self.units)
            needed.append(("peephole", "kernel", shape))
        for label, _ in self.blocks:
            for name, role, shape in needed:
                weight = self.weight(f"{label}_{name}", shape, role)
                setattr(self, f"{label}_{name}", weight)

    def _ends(self, features: int) -> list[tuple[int, int]]:
        """Of each block, its first feature and the one after its last."""
        ends = self.end_freqindex_list or [features]
        return list(zip(self.start_freqindex_list or [0], ends, strict=True))

    def _check_features(self, features: int) -> None:
        size, skip = self.feature_size, self.frequency_skip
        blocks = self._ends(features)
        for (start, end), count in zip(blocks, self.counts, strict=True):
            fitting = (end - start - size) // skip + 1
            require(
                fitting == count and start >= 0 and end <= features,
                "num_frequency_blocks",
                f"must be how many windows of feature_size={size}, {skip} apart, fit "
                f"into features {start} to {end} of {features}: {fitting}",
                count,
                "change it, the windows or the features",
            )

    def project_inputs(self, x: jax.Array, constants: dict) -> list[list[jax.Array]]:
        """Of each window of each block, ``(..., B, W)``."""
        x = dropped(jnp.asarray(x, self.state_dtype), constants.get("input_mask"))
        starts = [start for _, starts in self.blocks for start in starts]
        before = max(0, -min(starts))
        after = max(0, max(starts) + self.feature_size - x.shape[-1])
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)])

        def projected(label: str, start: int) -> jax.Array:
            window = x[..., before + start : before + start + self.feature_size]
            z = self.multiply(window, f"{label}_kernel", {}, "")
            bias = getattr(self, f"{label}_bias") if self.use_bias else None
            return z if bias is None else z + self.spread(bias, z)

        return [
            [projected(label, start) for start in starts]
            for label, starts in self.blocks
        ]

    def step(self, x: list, states: list, constants: dict) -> tuple[jax.Array, list]:
        """Go from window to window within each block."""
        given = zip(states[::2], states[1::2], strict=True)
        outputs, after = [], []
        for (label, _), windows in zip(self.blocks, x, strict=True):
            below = [jnp.zeros_like(states[0])] * 2
            for z in windows:
                h_time, c_time = next(given)
                h = [
                    dropped(each, constants.get("recurrent_mask"))
                    for each in (h_time, below[0])
                ]
                h = jnp.concatenate(h, axis=-1)
                z = z + self.multiply(h, f"{label}_recurrent_kernel", {}, "")
                c = [c_time, below[1]][: self.memories]
                h, c = self._window(label, z, c)
                below = [h[-1], c[-1]]
                outputs += h
                after += [h[0], c[0]]
        return jnp.concatenate(outputs, axis=-1), after

    def _window(self, label: str, z: jax.Array, c: list) -> tuple[list, list]:
        """The LSTM at one window: h and c along time and, apart, along frequency."""
        count = len(self.gates)
        parts = jnp.split(z, self.sets * count, axis=-1)
        sets = [
            dict(zip(self.gates, parts[n * count :], strict=False))
            for n in range(self.sets)
        ]

        def opened(gate: str, n: int, seen: list) -> jax.Array:
            own = n % self.sets
            z = sets[own][gate]
            if self.use_peepholes:
                row = self.gates.replace("c", "").index(gate)
                weights = getattr(self, f"{label}_peephole").value[own, row]
                for k, memory in enumerate(seen):
                    z = z + self.spread(weights[k], memory) * memory
            return jax.nn.sigmoid(z + self.forget_bias if gate == "f" else z)

        def renewed(n: int) -> jax.Array:
            i = opened("i", n, c)
            f = 1 - i if self.couple_gates else opened("f", n, c)
            new = f * c[n] + i * activate(self.activation, sets[n % self.sets]["c"])
            limit = self.cell_clip
            return new if limit is None else jnp.clip(new, -limit, limit)

        places = range(self.memories)
        new = [renewed(n) for n in places]
        h = [opened("o", n, new) * activate(self.activation, new[n]) for n in places]
        return h, new

    @property
    def matrices(self) -> list[Any]:
        """None by which a file of another layer could be told."""
        return []

    load_own_variables = keras.layers.Layer.load_own_variables


def _check_count(name: str, value: Any, meaning: str) -> None:
    require(
        isinstance(value, int) and not isinstance(value, bool) and value > 0,
        name,
        f"must be a positive integer, {meaning}",
        repr(value),
        f"pass for example {name}=2",
    )
