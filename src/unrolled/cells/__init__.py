"""Cells: the functions applied at one time step."""

from .attention_wrapper import AttentionCellWrapper
from .augru import AUGRUCell
from .base import Cell
from .conv_gru import ConvGRUCell
from .conv_lstm import ConvLSTMCell
from .esn import ESNCell
from .glstm import GLSTMCell
from .grid_lstm import BidirectionalGridLSTMCell, GridLSTMCell, TimeFreqLSTMCell
from .grid_rnn import GridRNNCell
from .grids import (
    Grid1BasicLSTMCell,
    Grid1BasicRNNCell,
    Grid1LSTMCell,
    Grid2BasicLSTMCell,
    Grid2BasicRNNCell,
    Grid2GRUCell,
    Grid2LSTMCell,
    Grid3LSTMCell,
)
from .gru import GRUCell
from .independent import IndRNNCell, IndyGRUCell, IndyLSTMCell
from .inputgated import MinGRUCell, MinLSTMCell, SRUCell
from .intersection import IntersectionRNNCell
from .lstm import LSTMCell
from .minimal import CFNCell, MGUCell, MinimalRNNCell
from .nas import NASCell
from .ntm import NTMCell
from .phased import PhasedLSTMCell
from .projections import (
    EmbeddingWrapper,
    InputProjectionWrapper,
    OutputProjectionWrapper,
)
from .simple_rnn import SimpleRNNCell
from .slstm import SLSTMCell
from .stacked import StackedRNNCells
from .ugrnn import UGRNNCell
from .wrapper import CellWrapper
from .wrappers import DropoutWrapper, HighwayWrapper, ResidualWrapper, ZoneoutWrapper

__all__ = [
    "AUGRUCell",
    "AttentionCellWrapper",
    "BidirectionalGridLSTMCell",
    "CFNCell",
    "Cell",
    "CellWrapper",
    "ConvGRUCell",
    "ConvLSTMCell",
    "DropoutWrapper",
    "ESNCell",
    "EmbeddingWrapper",
    "GLSTMCell",
    "GRUCell",
    "Grid1BasicLSTMCell",
    "Grid1BasicRNNCell",
    "Grid1LSTMCell",
    "Grid2BasicLSTMCell",
    "Grid2BasicRNNCell",
    "Grid2GRUCell",
    "Grid2LSTMCell",
    "Grid3LSTMCell",
    "GridLSTMCell",
    "GridRNNCell",
    "HighwayWrapper",
    "IndRNNCell",
    "IndyGRUCell",
    "IndyLSTMCell",
    "InputProjectionWrapper",
    "IntersectionRNNCell",
    "LSTMCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MinimalRNNCell",
    "NASCell",
    "NTMCell",
    "OutputProjectionWrapper",
    "PhasedLSTMCell",
    "ResidualWrapper",
    "SLSTMCell",
    "SRUCell",
    "SimpleRNNCell",
    "StackedRNNCells",
    "TimeFreqLSTMCell",
    "UGRNNCell",
    "ZoneoutWrapper",
]
