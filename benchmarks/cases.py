"""What is measured: a case is one row of a table. Read in every peer's environment."""

from __future__ import annotations

from dataclasses import dataclass

GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
STATES = {"SimpleRNN": 1, "LSTM": 2, "GRU": 1}

# (B, T, D, U): batch, time steps, features, units
LAYERS = (
    (1, 100, 128, 128),
    (1, 100, 512, 512),
    (32, 28, 28, 128),
    (64, 100, 128, 128),
    (256, 28, 28, 128),
    (64, 50, 512, 512),
    (64, 50, 1024, 1024),
)
SHAPES = {
    "forward": LAYERS,
    "training": LAYERS,
    "fit": ((128, 28, 28, 128), (128, 28, 28, 32)),
    "stream": ((1, 1, 128, 128), (1, 1, 512, 512)),
}
QUICK_SHAPES = ((1, 100, 128, 128), (32, 28, 28, 128), (256, 28, 28, 128))
EXAMPLES = 12_800  # of the main job


@dataclass(frozen=True)
class Case:
    """A layer and what it does; a peer turns it into a function to call."""

    cell: str
    mode: str  # forward | training | fit | stream
    shape: tuple[int, int, int, int]
    dtype: str = "float32"
    mask: str = "none"  # none | right | random
    recurrent_dropout: float = 0.0
    use_bias: bool = True

    @property
    def group(self) -> str:
        """Name the table."""
        return f"{self.cell} {self.mode}" + (", µs" if self.mode == "stream" else "")

    @property
    def scale(self) -> float:
        """What a second is in the table."""
        return 1e6 if self.mode == "stream" else 1e3

    @property
    def label(self) -> str:
        """Name the row: shape, then whatever departs from the plain layer."""
        extras = []
        if self.mask != "none":
            extras.append(f"{self.mask} mask")
        if self.recurrent_dropout:
            extras.append(f"recurrent_dropout {self.recurrent_dropout:g}")
        if not self.use_bias:
            extras.append("no bias")
        if self.dtype != "float32":
            extras.append(self.dtype)
        return ", ".join([",".join(map(str, self.shape)), *extras])

    @property
    def compared(self) -> bool:
        """Whether all peers should get the same numbers."""
        return not self.recurrent_dropout

    @property
    def flops(self) -> float:
        """Multiply-adds of the matrix products, counted as two each."""
        b, t, d, u = self.shape
        forward = 2.0 * b * t * (d + u) * GATES[self.cell] * u
        return forward if self.mode in ("forward", "stream") else 3 * forward


@dataclass(frozen=True)
class Images:
    """A convolutional layer, padding "same", and what it does."""

    cell: str
    mode: str  # forward | training
    rows: tuple[int, int]  # (B, T)
    space: tuple[int, ...]  # sizes of a step between batch and channels
    widths: tuple[int, int]  # (C, F): channels of the input, filters
    window: int = 3
    scale: float = 1e3
    compared: bool = True

    @property
    def group(self) -> str:
        """Name the table."""
        return f"{self.cell} {self.mode}"

    @property
    def label(self) -> str:
        """Name the row."""
        size = "x".join(map(str, self.space))
        sizes = ",".join(map(str, (*self.rows, size, *self.widths)))
        return f"{sizes}, window {self.window}"


# Cells that are formulas, by what their rows are called; peers say what each is.
FORMULAS = (
    *("LSTM, peepholes", "LSTM, projection", "LSTM, coupled", "LSTM, layer norm"),
    *("LSTM, weight norm", "UGRNN", "Intersection", "NAS", "IndRNN", "IndyLSTM"),
    *("IndyGRU", "SRU", "CFN", "MinimalRNN", "GLSTM", "Phased", "MGU", "minGRU"),
    *("minLSTM", "sLSTM", "ESN", "Attention", "Grid2LSTM", "NTM"),
)


@dataclass(frozen=True)
class Formula:
    """A cell in the time loop, and what it does."""

    cell: str
    mode: str  # forward | training
    shape: tuple[int, int, int, int]  # B, T, D, U
    scale: float = 1e3
    compared: bool = False  # each peer draws weights of its own

    @property
    def group(self) -> str:
        """Name the table."""
        return f"formula cells, {self.mode}, {','.join(map(str, self.shape))}"

    @property
    def label(self) -> str:
        """Name the row."""
        return self.cell


# Cells that users write (user_cells.py): multiply-adds a row and step, of D and U.
MEMORY_STEPS = 30  # S of the one that attends
USER_CELLS = {
    "peephole": lambda d, u: (d + u) * 4 * u,
    "peephole, projection": lambda d, u: (d + u // 2) * 4 * u + u * (u // 2),
    "coupled": lambda d, u: (d + u) * 3 * u,
    "layer norm": lambda d, u: (d + u) * 4 * u,
    "minimal gated": lambda d, u: (d + u) * 2 * u,
    "IndRNN": lambda d, u: d * u,
    "GRU, reset before": lambda d, u: (d + u) * 3 * u,
    "zoneout": lambda d, u: (d + u) * 4 * u,
    "two stacked": lambda d, u: (d + 3 * u) * 4 * u,
    "fed back": lambda d, u: (d + 2 * u) * 4 * u + u * u,
    "attention": lambda d, u: (d + 2 * u) * 4 * u + u * u + 2 * MEMORY_STEPS * u,
}
# Cells that have a kernel, run by what they compute in place of it.
FORMULAS_OF = {
    "LSTM by its formula": lambda d, u: (d + u) * 4 * u,
    "GRU by its formula": lambda d, u: (d + u) * 3 * u,
    "SimpleRNN by its formula": lambda d, u: (d + u) * u,
}
USER_SHAPES = (
    *((1, 100, 128, 128), (64, 100, 128, 128)),
    *((256, 28, 28, 128), (64, 50, 512, 512)),
)


@dataclass(frozen=True)
class UserCell:
    """A cell that a user wrote, and what it does."""

    cell: str
    mode: str  # forward | training
    shape: tuple[int, int, int, int]  # B, T, D, U
    scale: float = 1e3
    compared: bool = True

    @property
    def group(self) -> str:
        """Name the table."""
        return f"cells of users, {self.mode}, {','.join(map(str, self.shape))}"

    @property
    def label(self) -> str:
        """Name the row."""
        return self.cell

    @property
    def kernel(self) -> str:
        """The layer with a kernel that its time is set beside."""
        return self.cell.split()[0] if self.cell in FORMULAS_OF else "LSTM"

    @property
    def products(self) -> float:
        """Its multiply-adds over those of a plain LSTM."""
        _, _, d, u = self.shape
        return (USER_CELLS | FORMULAS_OF)[self.cell](d, u) / ((d + u) * 4 * u)


@dataclass(frozen=True)
class Decoding:
    """A decoder with Bahdanau's attention, and what it does."""

    mode: str  # training | greedy | beam
    rows: tuple[int, int, int] = (64, 30, 30)  # B, T, S
    widths: tuple[int, int, int] = (8000, 512, 2)  # V, U, layers
    beam: int = 5  # K
    group: str = "decoding"
    scale: float = 1e3
    compared: bool = True

    @property
    def label(self) -> str:
        """Name the row."""
        return f"beam {self.beam}" if self.mode == "beam" else self.mode


@dataclass(frozen=True)
class View:
    """A view of the page of `explain`, and what happens to it."""

    name: str
    moves: str  # step | unit, or "" where the page is opened
    place: str = ""  # id of the element that is brought into view
    first: str = ""  # a script that is run there first
    frames: int = 1  # a round
    mode: str = "page"
    group: str = "page, ms"
    scale: float = 1e3
    compared: bool = False

    @property
    def label(self) -> str:
        """Name the row."""
        return ": ".join(filter(None, [self.name, self.moves]))
