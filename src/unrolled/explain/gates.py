"""The gates of the three cells whose formula is known, and the weights it counts.

Beneath both rooms: facts read a layer by these names, the page sets the three cells
side by side. Letters: D features, U units.
"""

from __future__ import annotations

SIGMOID, TANH = "recurrent_activation", "activation"
# (key, column name in Keras, long name, which activation), in weight order.
GATES: dict[str, list[tuple[str, str, str, str]]] = {
    "LSTM": [
        ("i", "i", "input gate", SIGMOID),
        ("f", "f", "forget gate", SIGMOID),
        ("g", "c", "candidate", TANH),
        ("o", "o", "output gate", SIGMOID),
    ],
    "GRU": [
        ("z", "z", "update gate", SIGMOID),
        ("r", "r", "reset gate", SIGMOID),
        ("hh", "h", "candidate", TANH),
    ],
    "SimpleRNN": [("h", "h", "new state", TANH)],
}


def count_weights(kind: str, d: int, u: int, bias: int, window: int = 1) -> int:
    """The formula G * U * (D + U + bias rows); of images, with a window for D and U."""
    return len(GATES[kind]) * u * (window * (d + u) + bias)
