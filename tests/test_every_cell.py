"""The table of docs/every-cell.md: no name missing, and what holds a row is there."""

import inspect
import re
from pathlib import Path

import unrolled
from unrolled import tf1

import pytest

from .cells.test_formulas import FORMULAS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "every-cell.md").read_text()
TABLE = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| there")
]
# What people had: TensorFlow 1.15's cells, wrappers and drivers, then Addons'.
# fmt: off
NAMES = [
    "BasicRNNCell", "BasicLSTMCell", "LSTMCell", "GRUCell", "CudnnCompatibleGRUCell",
    "CudnnCompatibleLSTMCell", "LayerNormBasicLSTMCell", "LayerNormLSTMCell",
    "LSTMBlockCell", "LSTMBlockFusedCell", "GRUBlockCell", "GRUBlockCellV2",
    "CoupledInputForgetGateLSTMCell", "UGRNNCell", "IntersectionRNNCell", "NASCell",
    "IndRNNCell", "IndyLSTMCell", "IndyGRUCell", "PhasedLSTMCell", "GridLSTMCell",
    "TimeFreqLSTMCell", "BidirectionalGridLSTMCell", "WeightNormLSTMCell", "SRUCell",
    "CFNCell", "MinimalRNNCell", "GLSTMCell", "NTMCell", "Conv1DLSTMCell",
    "Conv2DLSTMCell", "Conv3DLSTMCell", "MultiRNNCell", "DropoutWrapper",
    "ResidualWrapper", "HighwayWrapper", "DeviceWrapper", "AttentionCellWrapper",
    "EmbeddingWrapper", "InputProjectionWrapper", "OutputProjectionWrapper",
    "CompiledWrapper", "static_rnn", "dynamic_rnn", "raw_rnn",
    "bidirectional_dynamic_rnn", "static_bidirectional_rnn",
    "stack_bidirectional_rnn", "stack_bidirectional_dynamic_rnn", "state_saving_rnn",
    "TimeReversedFusedRNN", "FusedRNNCellAdaptor", "LayerNormSimpleRNNCell",
    "PeepholeLSTMCell", "ESNCell", "MGU", "minGRU", "minLSTM", "sLSTM", "AUGRU",
    "ConvGRU", "zoneout", "proj_size", "num_layers", "clip", "input_forget",
    "sequence_lens", "ResetCore", "grid_rnn.GridRNNCell", "AttentionWrapper",
    "BahdanauAttention", "LuongAttention", "BahdanauMonotonicAttention",
    "LuongMonotonicAttention", "SimpleCell",
    "OptimizedLSTMCell", "ConvLSTMCell", "seq_lengths", "VanillaRNN", "Conv1DLSTM",
    "Conv2DLSTM", "Conv3DLSTM", "DeepRNN", "deep_rnn_with_skip_connections",
    "dynamic_unroll", "IdentityCore", "linear_before_reset", "bidirectional",
]
# fmt: on


# A row may name an argument, or a call of any layer.
ARGUMENTS = {*inspect.signature(unrolled.LSTM).parameters, "layer"}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_old_world_has_a_row(name):
    word = rf"(?<!\w){re.escape(name)}(?!\w)"
    assert any(re.search(word, row[0]) for row in TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_what_a_row_says_is_there(row):
    there, here, _, held, _ = row
    if here.startswith("left out"):
        return
    for code in re.findall(r"`([\w.]+)", here):
        place, _, name = code.rpartition(".")
        found = hasattr({"": unrolled, "tf1": tf1}[place], name)
        assert found or code in ARGUMENTS, f"{there}: {code}"
    rows = {formula.name for formula in FORMULAS}
    recorded = ROOT / "tests" / "sources" / "recorded"
    for code in re.findall(r"`([\w/.]+)`", held):
        known = code in rows or (ROOT / code).exists()
        assert known or (recorded / f"{code}.npz").exists(), f"{there}: {code}"
