"""The old LSTMs that walk along frequency inside each time step."""

import functools
from collections import namedtuple
from typing import Any, ClassVar

import keras
import numpy as np

from .. import cells
from ..arguments import Initializer
from ..checks import require
from .base import OldCell, Tree, joined, package, parted
from .checkpoint import Held


class AnyFrequency(OldCell):
    """An old cell over one of ours whose states are h and c of each window."""

    kind: ClassVar[Any]
    # What memories c gates see, and what their matrices are of: by our places.
    seen: ClassVar[str] = "tf"
    state_is_tuple = True

    def options(self) -> dict[str, Any]:
        """Arguments of our cell beside those of all."""
        return {}

    def make(self) -> Any:
        """Our cell."""
        given: Any = self
        cell = self.kind(
            given.num_units,
            feature_size=given.feature_size,
            frequency_skip=given.frequency_skip,
            use_peepholes=given.use_peepholes,
            forget_bias=float(given.forget_bias),
            cell_clip=given.cell_clip,
            dtype=self.dtype_policy,
            **self.options(),
        )
        # Glorot's, for the matrix of x and both h; TensorFlow did not look at its own
        # argument.
        rows = cell.feature_size + 2 * cell.units
        limit = float(np.sqrt(6 / (rows + len(cell.gates) * cell.units)))
        for role in ("kernel", "recurrent"):
            draw = keras.initializers.RandomUniform(-limit, limit)
            setattr(cell, f"{role}_initializer", draw)
        return cell

    def to_old(self, states: Tree) -> Tree:
        """C and h of each window: a tuple, or side by side in one array."""
        turned = [states[place ^ 1] for place in range(len(states))]
        return self.named(turned) if self.state_is_tuple else joined(turned)

    def from_old(self, state: Tree) -> Tree:
        """The inverse."""
        count = len(self.inner.state_names)
        if not self.state_is_tuple:
            state = parted(state, [self.inner.units] * count)
        require(
            isinstance(state, (list, tuple)) and len(state) == count,
            "state",
            f"must be a tuple with c and h of each of {count // 2} windows",
            type(state).__name__,
            "pass what zero_state or a driver returns",
        )
        return [state[place ^ 1] for place in range(count)]

    def named(self, states: list[Any]) -> tuple:
        """States by TensorFlow's names, ``state_f02_b00_c`` of window 2 of block 0."""
        names = []
        for label, starts in self.inner.blocks:
            way, _, block = label.rpartition("b")
            for place in range(len(starts)):
                name = f"{way}state_f{place:02}_b{int(block):02}"
                names += [f"{name}_c", f"{name}_m"]
        kind = type(self).__name__.removesuffix("Cell")
        return _state_tuple(f"{kind}StateTuple", tuple(names))(*states)

    @property
    def shared(self) -> bool:
        """Whether one matrix serves time and frequency."""
        return self.inner.sets == 1

    def own_entries(self) -> list[Held]:
        """Of each block matrices and biases, for frequency and time, and peepholes."""
        if not self.inner.built:
            return []
        return [held for label, _ in self.inner.blocks for held in self.of_block(label)]

    def of_block(self, label: str) -> list[Held]:
        """Those of one block."""
        cell, found = self.inner, []
        scope = "".join(f"{way}/" for way in label.split("_")[:-1])
        block = label.rpartition("b")[2]
        width = len(cell.gates) * cell.units
        both = [getattr(cell, f"{label}_{n}") for n in ("kernel", "recurrent_kernel")]
        owners = {"freq": 0} if self.shared else {"freq": 1, "time": 0}
        for own, place in owners.items():
            at = np.arange(width) + place * width
            kernel, bias = self.called(own[0], block)
            found.append(Held(scope + kernel, both, at))
            found.append(Held(scope + bias, [getattr(cell, f"{label}_bias")], at))
        if not cell.use_peepholes:
            return found
        weight, seeing = getattr(cell, f"{label}_peephole"), cell.gates.replace("c", "")
        for own, place in owners.items():
            for gate in "fio" if "f" in seeing else "io":
                for memory in reversed(range(len(self.seen))):
                    name = self.called_peephole(own, self.seen[memory], block)
                    at = (place, seeing.index(gate), memory)
                    name = f"{scope}W_{gate.upper()}_diag{name}"
                    found.append(Held(name, [weight], row=at))
        return found

    def called(self, own: str, block: str) -> tuple[str, str]:
        """What TensorFlow calls a matrix and its bias; of its shards there is one."""
        return f"W_{own}_{block}_0", f"B_{own}_{block}"

    def called_peephole(self, own: str, seen: str, block: str) -> str:
        """The end of what it calls a peephole."""
        return f"_{own}{seen}_{block}"


@functools.cache
def _state_tuple(kind: str, names: tuple[str, ...]) -> Any:
    return namedtuple(kind, names)


@package
class TimeFreqLSTMCell(AnyFrequency):
    """An LSTM that reads each window of the features beside what it gave for the last.

    The state is one array, c and h of each window. How many there are is counted when
    the cell is built; until then, and in TensorFlow always, sizes are those of one.

    Args:
        num_units: U, the width of each c and h.
        use_peepholes: let the gates see c. Default False.
        cell_clip: c is kept within plus and minus this.
        initializer: read by nobody, nor by TensorFlow.
        num_unit_shards: TensorFlow's; a checkpoint of more than one is not read.
        forget_bias: added to the forget gate at each step. Default 1.0.
        feature_size: features in a window.
        frequency_skip: features from the start of a window to that of the next.
            Default 1.
        reuse: TensorFlow's; a cell here has its own weights.

    Raises:
        ValueError: if there is no `feature_size`, or no window fits.

    Now: ``unrolled.RNN(unrolled.TimeFreqLSTMCell(units, feature_size=...))``.

    Source: ``tf.contrib.rnn.TimeFreqLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    use_peepholes: bool = False
    cell_clip: float | None = None
    initializer: Initializer = None
    num_unit_shards: int = 1
    forget_bias: float = 1.0
    feature_size: int | None = None
    frequency_skip: int = 1
    reuse: Any = None

    kind: ClassVar[Any] = cells.TimeFreqLSTMCell
    seen: ClassVar[str] = "t"
    state_is_tuple = False

    def called(self, own: str, block: str) -> tuple[str, str]:
        """There are no blocks."""
        del own, block
        return "W_0", "B"

    def called_peephole(self, own: str, seen: str, block: str) -> str:
        """Nor here."""
        del own, seen, block
        return ""


class AnyGridLSTM(AnyFrequency):
    """An old cell of windows in blocks, which are said."""

    def options(self) -> dict[str, Any]:
        """As given."""
        given: Any = self
        require(
            given.num_frequency_blocks is not None,
            "num_frequency_blocks",
            "must be a list, of each block how many windows fit into its features",
            None,
            "pass for example num_frequency_blocks=[3]",
        )
        names = ("num_frequency_blocks", "start_freqindex_list", "end_freqindex_list")
        names = (*names, "share_time_frequency_weights")
        found = {name: getattr(given, name) for name in names}
        return {**found, "couple_gates": given.couple_input_forget_gates}


@package
class GridLSTMCell(AnyGridLSTM):
    """At each window of the features an LSTM along time and one along frequency.

    The state is a named tuple, ``state_f00_b00_c``, ``state_f00_b00_m`` and so on, of
    window and block, as `state_tuple_type` says.

    Args:
        num_units: U, the width of each c and h.
        use_peepholes: let the gates see both c. Default False.
        share_time_frequency_weights: the same gates for both. Default False.
        cell_clip: c is kept within plus and minus this.
        initializer: read by nobody, nor by TensorFlow.
        num_unit_shards: TensorFlow's; a checkpoint of more than one is not read.
        forget_bias: added to forget gates at each step. Default 1.0.
        feature_size: features in a window.
        frequency_skip: features from the start of a window to that of the next.
        num_frequency_blocks: a list, how many windows each block has.
        start_freqindex_list: of each block, its first feature.
        end_freqindex_list: of each block, the feature after its last.
        couple_input_forget_gates: forget as much as is let in. Default False.
        state_is_tuple: if False, the state is one array. TensorFlow then let all blocks
            read the states of the first; here each reads its own.
        reuse: TensorFlow's; a cell here has its own weights.

    Raises:
        ValueError: if the windows do not cover the features as said.

    Now: ``unrolled.RNN(unrolled.GridLSTMCell(units, feature_size=...))``.

    Source: ``tf.contrib.rnn.GridLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    use_peepholes: bool = False
    share_time_frequency_weights: bool = False
    cell_clip: float | None = None
    initializer: Initializer = None
    num_unit_shards: int = 1
    forget_bias: float = 1.0
    feature_size: int | None = None
    frequency_skip: int | None = None
    num_frequency_blocks: Any = None
    start_freqindex_list: Any = None
    end_freqindex_list: Any = None
    couple_input_forget_gates: bool = False
    state_is_tuple: bool = True
    reuse: Any = None

    kind: ClassVar[Any] = cells.GridLSTMCell

    @property
    def state_tuple_type(self) -> Any:
        """The class of the states; None where they are one array."""
        return type(self.state_size) if self.state_is_tuple else None


@package
class BidirectionalGridLSTMCell(AnyGridLSTM):
    """A `GridLSTMCell` up along frequency, and another down; both forwards in time.

    The state is a named tuple, ``fwd_state_f00_b00_c`` and so on, then ``bwd_...``.

    Args:
        num_units: U, the width of each c and h.
        use_peepholes: let the gates see both c. Default False.
        share_time_frequency_weights: the same gates for both. Default False.
        cell_clip: c is kept within plus and minus this.
        initializer: read by nobody, nor by TensorFlow.
        num_unit_shards: TensorFlow's; a checkpoint of more than one is not read.
        forget_bias: added to forget gates at each step. Default 1.0.
        feature_size: features in a window.
        frequency_skip: features from the start of a window to that of the next.
        num_frequency_blocks: a list, how many windows each block has.
        start_freqindex_list: of each block, its first feature.
        end_freqindex_list: of each block, the feature after its last.
        couple_input_forget_gates: forget as much as is let in. Default False.
        backward_slice_offset: by how many features the windows on the way down lie
            further up. Default 0.
        reuse: TensorFlow's; a cell here has its own weights.

    Raises:
        ValueError: if the windows do not cover the features as said.

    Now: ``unrolled.RNN(unrolled.BidirectionalGridLSTMCell(units, feature_size=...))``.

    Source: ``tf.contrib.rnn.BidirectionalGridLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    use_peepholes: bool = False
    share_time_frequency_weights: bool = False
    cell_clip: float | None = None
    initializer: Initializer = None
    num_unit_shards: int = 1
    forget_bias: float = 1.0
    feature_size: int | None = None
    frequency_skip: int | None = None
    num_frequency_blocks: Any = None
    start_freqindex_list: Any = None
    end_freqindex_list: Any = None
    couple_input_forget_gates: bool = False
    backward_slice_offset: int = 0
    reuse: Any = None

    kind: ClassVar[Any] = cells.BidirectionalGridLSTMCell

    def options(self) -> dict[str, Any]:
        """As given."""
        return {
            **super().options(),
            "backward_slice_offset": self.backward_slice_offset,
        }
