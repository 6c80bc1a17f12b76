"""Makes the tables of docs/fused.md: what `plan` says of the cells that stand there.

``python docs/make_fused.py`` writes the second column anew, from the first.
"""

import re
from pathlib import Path

import unrolled
from unrolled import tf1

PAGE = Path(__file__).with_name("fused.md")
ROW = re.compile(r"^\| `(.*)` \| .* \|$", re.MULTILINE)
X, NUMBER, MEMORY = (None, None, 8), (None, None, 1), (None, 5, 8)
# Of cells whose inputs are others than X.
SHAPES = {
    "AUGRUCell": (X, NUMBER),
    "PhasedLSTMCell": (NUMBER, X),
    "EmbeddingWrapper": (None, None),
    "ConvGRUCell": (None, None, 6, 6, 3),
    "ConvLSTMCell": (None, None, 6, 6, 3),
    "Conv1DLSTMCell": (None, None, 6, 3),
    "Conv2DLSTMCell": (None, None, 6, 6, 3),
    "Conv3DLSTMCell": (None, None, 4, 4, 4, 3),
}


def runs(code: str) -> str:
    """What `plan` says of a cell, but for the instruction set."""
    cell = eval(code, {**vars(unrolled), "tf1": tf1})
    name = code.partition("(")[0]
    old = name.startswith("tf1.")
    layer = cell.layer() if old else unrolled.RNN(cell)
    shape = SHAPES.get(name.removeprefix("tf1."), X)
    memory = MEMORY if name == "AttentionCell" else None
    said = layer.plan(shape, memory_shape=memory).rstrip(".")
    said = re.sub(r"the native kernel \(\w+\): (.*?), in float32", r"fused: \1", said)
    return re.sub(r" \(\w+\), in float32", "", said)


def row(code: str) -> str:
    """A line of a table."""
    return f"| `{code}` | {runs(code)} |"


if __name__ == "__main__":
    PAGE.write_text(ROW.sub(lambda found: row(found[1]), PAGE.read_text()))
