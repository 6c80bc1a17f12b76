"""Unrolled: recurrent networks for Keras 3 on JAX."""

from . import _backend as _backend  # isort: skip  (Keras must not load before)

from .accelerate import accelerate
from .cells import Cell, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .explain import explain
from .layers import GRU, LSTM, RNN, Bidirectional, SimpleRNN
from .stream import Stream, stream

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "Stream",
    "accelerate",
    "explain",
    "stream",
]
