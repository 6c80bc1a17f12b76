"""`unrolled explain` on the models that people have, and on broken files."""

import json
from importlib.metadata import version
from pathlib import Path

from unrolled.cli import app

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import HOSTILE, random, sequential

pytestmark = pytest.mark.keras_ranks

L = keras.layers
KERAS_2 = Path(__file__).parents[1] / "data" / "keras2"


def command(*arguments):
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, " ".join(result.output.split())


def saved(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return path


def test_digits(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[1])
    path = saved(digits[0], tmp_path)
    options = ["--svg", tmp_path / "f.svg", "--facts", tmp_path / "f.json", "--text"]
    code, said = command(path, "--sample", tmp_path / "x.npy", *options)
    assert code == 0
    assert "4 × 128 × (28 + 128 + 1) = 80,384" in said
    facts = json.loads((tmp_path / "f.json").read_text("utf-8"))
    assert facts["sentence"] == digits[2]["sentence"]
    assert (tmp_path / "f.svg").read_text("utf-8").startswith("<svg")


def test_stateful_gru_without_a_sample(tmp_path):
    layers = keras.Input(batch_shape=(3, 5, 2)), L.GRU(4, stateful=True)
    code, said = command(saved(keras.Sequential(layers), tmp_path))
    assert code == 0
    assert "One GRU cell, 4 units wide, applied 5 times" in said
    assert "synthetic input, seed 0" in said


@pytest.mark.parametrize("name", ["lstm", "cudnn_lstm", "cudnn_bidirectional", "gru"])
def test_files_of_keras_2(name):
    code, said = command(KERAS_2 / f"{name}.h5")
    assert code == 0
    assert "One LSTM cell" in said or "One GRU cell" in said


def test_no_recurrent_layer(tmp_path):
    path = saved(sequential(L.Dense(3), shape=(4,)), tmp_path)
    code, said = command(path, "--svg", tmp_path / "f.svg")
    assert code == 0
    assert "no recurrent layer" in said
    assert "no recurrent layer" in (tmp_path / "f.svg").read_text("utf-8")


def test_hostile_file_name_and_broken_file(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04 broken")
    code, said = command(path)
    assert code == 1
    assert "could not be read as a Keras model" in said
    assert "Traceback" not in said
    code, said = command(tmp_path / "none.keras")
    assert code == 1
    assert "there is no file" in said
    (tmp_path / "model.txt").write_text("x")
    code, said = command(tmp_path / "model.txt")
    assert code == 1
    assert "is not a model file" in said


def test_bad_samples_and_names(tmp_path):
    path = saved(sequential(L.SimpleRNN(2, name="rnn"), shape=(3, 2)), tmp_path)
    (tmp_path / "x.npy").write_text("no numbers")
    code, said = command(path, "--sample", tmp_path / "x.npy")
    assert code == 1
    assert "could not be read as .npy" in said
    np.save(tmp_path / "x.npy", random(7))
    code, said = command(path, "--sample", tmp_path / "x.npy")
    assert code == 1
    assert "(3, 2) or (B, 3, 2)" in said
    code, said = command(path, "-o", tmp_path / "page.pdf")
    assert code == 1
    assert "ends in .html" in said
    code, said = command(path, "--open")
    assert code == 1
    assert "-o page.html" in said


@pytest.mark.parametrize("width", ["40", "100"])
def test_narrow_terminals_and_hostile_layer_names(
    hostile, width, monkeypatch, tmp_path
):
    import unrolled.cli as cli

    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(cli, "load_model", lambda path, classes: hostile[0])
    monkeypatch.setattr(cli, "load_sample", lambda path: hostile[1])
    code, said = command(tmp_path / "m.keras")
    assert code == 0
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert HOSTILE.replace(" ", "") in said.replace(" ", "")


def test_version_is_that_of_the_package():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"unrolled {version('unrolled')}\n")
