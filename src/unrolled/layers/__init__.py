"""The recurrent layers: sequences, masks, carried state, and what is returned."""

from . import old_files as old_files
from .bidirectional import Bidirectional
from .conv import (
    ConvGRU1D,
    ConvGRU2D,
    ConvGRU3D,
    ConvLSTM1D,
    ConvLSTM2D,
    ConvLSTM3D,
)
from .named import GRU, LSTM, SimpleRNN
from .rnn import RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "ConvGRU1D",
    "ConvGRU2D",
    "ConvGRU3D",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "SimpleRNN",
]
