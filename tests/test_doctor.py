"""`unrolled doctor` says what runs here, and how to get what does not."""

import importlib.metadata

from unrolled import doctor
from unrolled.cli import app
from unrolled.engine import native, packed

from typer.testing import CliRunner

from .core import need_core


def examined():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    rows = dict(line.split("  ", 1) for line in result.output.splitlines())
    return result.exit_code, {name: found.strip() for name, found in rows.items()}


@need_core
def test_with_kernels(monkeypatch):
    monkeypatch.setenv("UNROLLED_THREADS", "3")
    code, rows = examined()
    assert code == 0
    assert rows["unrolled"] == importlib.metadata.version("unrolled")
    assert rows["backend of Keras"] == "jax"
    assert rows["kernels"] == f"{native.variant()}, they work"
    assert native.variant() in rows["instruction sets"].split(", ")
    assert rows["threads of a call"] == "3" == rows["UNROLLED_THREADS"]


def test_without_a_library(monkeypatch):
    reason = "the native kernels were not built when unrolled was installed"
    monkeypatch.setattr(native, "library", lambda: (None, reason))
    code, rows = examined()
    assert code == 1
    assert rows["kernels"] == f"none: {reason}."
    assert rows["advice"] == doctor.ADVICE


def test_a_library_that_does_not_fit(monkeypatch):
    reason = "jaxlib 0 does not take the native kernels (they are of a later one)"
    monkeypatch.setattr(native, "library", lambda: (object(), ""))
    monkeypatch.setattr(native, "missing", lambda: reason)
    code, rows = examined()
    assert code == 1
    assert rows["kernels"] == f"none: {reason}."
    assert rows["advice"] == doctor.ADVICE_ON_JAXLIB


def test_the_time_loop_asked_for(monkeypatch):
    monkeypatch.setenv("UNROLLED_ISA", "scan")
    code, rows = examined()
    assert code == 1
    assert rows["kernels"] == "none: UNROLLED_ISA=scan asks for the time loop."
    assert "advice" not in rows


def test_an_unknown_instruction_set(monkeypatch):
    def unknown():
        raise ValueError('UNROLLED_ISA must be one of those. Got "mmx".')

    monkeypatch.setattr(native, "library", unknown)
    code, rows = examined()
    assert code == 1
    assert 'Got "mmx"' in rows["kernels"]
    assert "advice" not in rows


@need_core
def test_on_a_gpu(cudnn, monkeypatch):
    code, rows = examined()
    assert code == 0
    assert rows["LSTM there"] == "cuDNN, it works"
    assert cudnn
    right = packed.lstm_fwd

    def wrong(x, *args):
        return right(2 * x, *args)

    monkeypatch.setattr(packed, "lstm_fwd", wrong)
    cudnn.clear()
    code, rows = examined()
    assert code == 1
    assert rows["LSTM there"] == "cuDNN, it FAILS"

    def stops(*_):
        raise RuntimeError("no libcudnn\nand a trace")

    monkeypatch.setattr(packed, "lstm_fwd", stops)
    cudnn.clear()
    code, rows = examined()
    assert code == 1
    assert rows["LSTM there"] == "cuDNN FAILS: no libcudnn"


def test_on_another_gpu(cudnn, monkeypatch):
    del cudnn
    monkeypatch.setattr("unrolled.engine.cudnn.PLATFORM", "cuda")
    says = examined()[1]["LSTM there"]
    assert says.startswith(
        "the scan: the native kernels run on the CPU, cuDNN on NVIDIA"
    )
