"""Unrolled: recurrent networks for Keras 3 on JAX."""

from . import _backend as _backend  # isort: skip  (Keras must not load before)

from .accelerate import accelerate
from .cells import (
    AUGRUCell,
    Cell,
    CellWrapper,
    CFNCell,
    DropoutWrapper,
    GRUCell,
    HighwayWrapper,
    IndRNNCell,
    IndyGRUCell,
    IndyLSTMCell,
    IntersectionRNNCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    MinimalRNNCell,
    MinLSTMCell,
    NASCell,
    PhasedLSTMCell,
    ResidualWrapper,
    SimpleRNNCell,
    SLSTMCell,
    SRUCell,
    StackedRNNCells,
    UGRNNCell,
    ZoneoutWrapper,
)
from .engine.forms import kernels
from .explain import explain
from .layers import GRU, LSTM, RNN, Bidirectional, SimpleRNN
from .stream import Stream, stream

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AUGRUCell",
    "Bidirectional",
    "CFNCell",
    "Cell",
    "CellWrapper",
    "DropoutWrapper",
    "GRUCell",
    "HighwayWrapper",
    "IndRNNCell",
    "IndyGRUCell",
    "IndyLSTMCell",
    "IntersectionRNNCell",
    "LSTMCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MinimalRNNCell",
    "NASCell",
    "PhasedLSTMCell",
    "ResidualWrapper",
    "SLSTMCell",
    "SRUCell",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "Stream",
    "UGRNNCell",
    "ZoneoutWrapper",
    "accelerate",
    "explain",
    "kernels",
    "stream",
]
