"""Keras's own recurrent tests, from the installed package, with our classes.

Each test module of `keras.src.layers.rnn` is loaded anew with `layers` replaced by
a namespace in which every recurrent class is ours and all else is Keras's.
"""

import importlib.util
import sys
import types
import unittest
from pathlib import Path

import unrolled

import keras
import pytest

MODULES = [
    "lstm_test",
    "gru_test",
    "simple_rnn_test",
    "rnn_test",
    "bidirectional_test",
    "stacked_rnn_cells_test",
    "dropout_rnn_cell_test",
    "conv_lstm1d_test",
    "conv_lstm2d_test",
    "conv_lstm3d_test",
]
OURS = [
    "SimpleRNN",
    "SimpleRNNCell",
    "LSTM",
    "LSTMCell",
    "GRU",
    "GRUCell",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "RNN",
    "Bidirectional",
    "StackedRNNCells",
]
# Where our meaning deliberately differs: each must fail, for this reason.
_NO_CUDNN = "no cuDNN switch: use_cudnn is accepted from old code and not kept"
DIFFERENCES: dict[str, str] = {
    "rnn_test-test_stateful_batch_size_mismatch_raises": (
        "a smaller last batch continues its own rows; only a larger one is refused"
    ),
    "bidirectional_test-test_keeps_use_cudnn": _NO_CUDNN,
    "bidirectional_test-test_fused_lstm_eligibility": _NO_CUDNN,
    "bidirectional_test-test_fused_gru_eligibility": _NO_CUDNN,
}
# Tests of another backend's kernels: they say so themselves.
OTHER_BACKENDS = [
    "gru_test-test_stateful_with_symbolic_batch_size",
    "gru_test-test_torch_cudnn_dispatch_fires",
    "lstm_test-test_torch_cudnn_dispatch_fires",
    "bidirectional_test-test_torch_cudnn_bidirectional_gru_dispatch_fires",
]


class _Layers(types.ModuleType):
    """`keras.src.layers` with our classes in place of Keras's."""

    def __getattr__(self, name):
        return getattr(unrolled if name in OURS else keras.src.layers, name)


def _load(name):
    spec = importlib.util.find_spec(f"keras.src.layers.rnn.{name}")
    source = Path(spec.origin).read_text()
    line = "from keras.src import layers\n"
    assert source.count(line) == 1
    module = types.ModuleType(spec.name)
    module.substituted = _Layers("substituted")
    # Serialization finds the cells that the tests define by their module's name.
    sys.modules[spec.name] = module
    source = source.replace(line, "layers = substituted\n")
    exec(compile(source, spec.origin, "exec"), module.__dict__)
    return module


def _collect():
    for name in MODULES:
        module = _load(name)
        for each in list(vars(module).values()):
            if (
                isinstance(each, type)
                and issubclass(each, unittest.TestCase)
                and each.__module__ == module.__name__
            ):
                for method in unittest.TestLoader().getTestCaseNames(each):
                    yield pytest.param(each, method, id=f"{name}-{method}")


CASES = list(_collect())
# Keras's test case trains from a generator without saying shuffle=False.
pytestmark = pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")


def _skipped_by_mark(function):
    for mark in getattr(function, "pytestmark", []):
        if mark.name in ("skip", "skipif") and (not mark.args or mark.args[0]):
            return mark.kwargs.get("reason", "")
    return None


@pytest.mark.parametrize(("case", "method"), CASES)
def test_keras_test_passes_with_our_classes(case, method, request):
    name = request.node.callspec.id
    reason = _skipped_by_mark(getattr(case, method))
    result = unittest.TestResult()
    if reason is None:
        case(method).run(result)
        reason = result.skipped[0][1] if result.skipped else None
    if reason is not None:
        assert name in OTHER_BACKENDS, f"Keras skipped its own test: {reason}"
        pytest.skip(f"not for JAX: {reason}")
    problems = [text for _, text in result.failures + result.errors]
    if name in DIFFERENCES:
        assert problems, f"passes now: take it off the list ({DIFFERENCES[name]})"
        pytest.xfail(DIFFERENCES[name])
    assert not problems, "\n".join(problems)
    assert result.testsRun == 1


def test_the_suite_is_whole():
    """Every module gave its tests, and they see our classes."""
    names = [case.id for case in CASES]
    for module in MODULES:
        assert any(name.startswith(f"{module}-") for name in names)
    assert len(names) >= 55
    assert len(set(names)) == len(names)
    assert set(DIFFERENCES) <= set(names)
    for name in OURS:
        loaded = sys.modules[f"keras.src.layers.rnn.{MODULES[0]}"]
        assert getattr(loaded.layers, name) is getattr(unrolled, name)
        assert getattr(unrolled, name) is not getattr(keras.layers, name)
    assert loaded.layers.Input is keras.layers.Input
