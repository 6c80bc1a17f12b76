"""`unrolled explain` as people run it: a process of its own, then its page opened."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import unrolled

import keras
import numpy as np
import pytest

from conftest import random, sequential

from .conftest import READY, Visit, settle, until

pytestmark = pytest.mark.keras_ranks
L = keras.layers
HERE = str(Path(unrolled.__file__).parents[1])
HOSTILE = "<script><img src=x onerror=alert(1)>"
CELL = '''
import keras

class Slow(keras.layers.Layer):
    """Two states of different widths; Keras is not told of the class."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units, self.state_size = units, [units, 2]

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w")

    def call(self, inputs, states):
        h = 0.5 * states[0] + keras.ops.tanh(inputs @ self.w)
        return h, [h, 0.5 * states[1] + inputs[:, :2]]

    def get_config(self):
        return super().get_config() | {"units": self.units}
'''


def explain(folder, *arguments):
    """Exit status and words of the installed command."""
    script = shutil.which("unrolled", path=str(Path(sys.executable).parent))
    command = [script] if script else [sys.executable, "-m", "unrolled.cli"]
    result = subprocess.run(
        [*command, "explain", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "100", "PYTHONPATH": HERE},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = " ".join((result.stdout + result.stderr).split())
    assert "Traceback" not in said, said
    return result.returncode, said


def rename(path, name):
    """Give the layer `plain` in a saved model a name that Keras would let through."""
    with zipfile.ZipFile(path) as file:
        parts = {one: file.read(one) for one in file.namelist()}
    parts["config.json"] = parts["config.json"].replace(
        b'"plain"', json.dumps(name).encode()
    )
    with zipfile.ZipFile(path, "w") as file:
        for one, data in parts.items():
            file.writestr(one, data)


def digits():
    return sequential(L.LSTM(16), L.Dense(10), shape=(28, 28)), random(28, 28)


def gru():
    inputs = keras.Input(batch_shape=(4, 6, 3))
    return keras.Sequential([inputs, L.GRU(5, stateful=True)]), None


def masks():
    layers = [
        L.Embedding(30, 6, mask_zero=True),
        L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.Bidirectional(L.GRU(3)),
    ]
    ids = np.array([[3, 7, 4, 9, 0, 0], [5, 1, 0, 0, 0, 0]])
    return sequential(*layers, shape=(None,), dtype="int32"), ids


def custom():
    found = {}
    exec(CELL, found)
    return sequential(L.RNN(found["Slow"](4)), shape=(6, 3)), random(2, 6, 3)


def long():
    cell = L.LSTM(256, recurrent_initializer="zeros")
    return sequential(cell, shape=(300, 4)), random(300, 4)


def plain():
    return sequential(L.LSTM(3, name="plain"), shape=(5, 2)), None


def dense():
    return sequential(L.Dense(3), shape=(4,)), None


def whole():
    return plain()[0], np.arange(10).reshape(5, 2)


def holes():
    x = random(5, 2)
    x[2, 1] = np.nan
    return plain()[0], x


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (digits, [], "One LSTM cell, 16 units wide, applied 28 times"),
        (gru, [], "synthetic input, seed 0"),
        (masks, [], "bidirectional, forward"),
        (custom, ["--import", "slow"], "Its 2 states are 4 and 2 numbers per example"),
        (long, [], "256 units wide, applied 300 times"),
        (plain, [], HOSTILE),
        (whole, [], "5 steps"),
        (holes, [], "NaN"),
        (dense, [], "This model has no recurrent layer"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_page_from_the_command(browser, tmp_path, make, options, words):
    model, sample = make()
    model.save(tmp_path / "model.keras")
    if make is plain:
        rename(tmp_path / "model.keras", HOSTILE)
    if sample is not None:
        np.save(tmp_path / "x.npy", sample)
        options = [*options, "--sample", "x.npy"]
    (tmp_path / "slow.py").write_text(CELL)
    code, said = explain(tmp_path, "model.keras", *options, "-o", "page.html")
    assert code == 0, said
    assert "Wrote page.html" in said
    look = {"theme": "light", "width": 1280, "height": 9000, "scripts": True}
    one = Visit(browser, tmp_path / "page.html", **look)
    try:
        if make is not dense:
            until(one.tab, READY)
        settle(one.tab)
        assert words in one.tab.locator("body").inner_text()
        assert one.tab.evaluate("document.images.length") == 0
        one.check()
    finally:
        one.context.close()


def test_a_class_that_nobody_named(tmp_path):
    custom()[0].save(tmp_path / "model.keras")
    code, said = explain(tmp_path, "model.keras")
    assert code == 1
    assert "class Slow is not known here" in said
    assert "--import my_module" in said
    code, said = explain(tmp_path, "model.keras", "--import", "nothing_here")
    assert code == 1
    assert "--import nothing_here failed: ModuleNotFoundError" in said


def test_half_a_file(tmp_path):
    plain()[0].save(tmp_path / "model.keras")
    data = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(data[: len(data) // 2])
    code, said = explain(tmp_path, "model.keras", "-o", "page.html")
    assert code == 1
    assert "no .keras archive, or only a part of one" in said
    assert not (tmp_path / "page.html").exists()
