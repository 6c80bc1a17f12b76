"""Cells: the functions applied at one time step."""

from .augru import AUGRUCell
from .base import Cell
from .gru import GRUCell
from .independent import IndRNNCell, IndyGRUCell, IndyLSTMCell
from .inputgated import MinGRUCell, MinLSTMCell, SRUCell
from .intersection import IntersectionRNNCell
from .lstm import LSTMCell
from .minimal import CFNCell, MGUCell, MinimalRNNCell
from .nas import NASCell
from .phased import PhasedLSTMCell
from .simple_rnn import SimpleRNNCell
from .slstm import SLSTMCell
from .stacked import StackedRNNCells
from .ugrnn import UGRNNCell
from .wrapper import CellWrapper
from .wrappers import DropoutWrapper, HighwayWrapper, ResidualWrapper, ZoneoutWrapper

__all__ = [
    "AUGRUCell",
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
    "SimpleRNNCell",
    "StackedRNNCells",
    "UGRNNCell",
    "ZoneoutWrapper",
]
