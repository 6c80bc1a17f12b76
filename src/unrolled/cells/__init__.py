"""Cells: the functions applied at one time step."""

from .base import Cell
from .gru import GRUCell
from .lstm import LSTMCell
from .simple_rnn import SimpleRNNCell
from .stacked import StackedRNNCells
from .ugrnn import UGRNNCell
from .wrapper import CellWrapper
from .wrappers import DropoutWrapper, HighwayWrapper, ResidualWrapper, ZoneoutWrapper

__all__ = [
    "Cell",
    "CellWrapper",
    "DropoutWrapper",
    "GRUCell",
    "HighwayWrapper",
    "LSTMCell",
    "ResidualWrapper",
    "SimpleRNNCell",
    "StackedRNNCells",
    "UGRNNCell",
    "ZoneoutWrapper",
]
