"""Files that an earlier version wrote: they load, and give what they gave then.

`tests/data/saved` was written before the package got its rooms. `outputs.npz` has the
inputs and the outputs of each model as they were.
"""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest

SAVED = pathlib.Path(__file__).parent.parent / "data" / "saved"
FILES = sorted(path.stem for path in SAVED.glob("*.keras"))
WITH_OUTPUTS = np.load(SAVED / "outputs.npz")

# What users' files say of each class of ours, for good.
REGISTERED = {
    "unrolled>LSTM",
    "unrolled>GRU",
    "unrolled>SimpleRNN",
    "unrolled>RNN",
    "unrolled>Bidirectional",
    "unrolled>StackedRNNCells",
    "unrolled>LSTMCell",
    "unrolled>GRUCell",
    "unrolled>SimpleRNNCell",
}


def _named(config, key):
    """What every part of ours in a configuration has at `key`, in order."""
    if isinstance(config, list):
        return [name for each in config for name in _named(each, key)]
    if not isinstance(config, dict):
        return []
    own = str(config.get("registered_name")).startswith("unrolled>")
    here = [config[key] if key in config else config["config"][key]] if own else []
    return here + [name for each in config.values() for name in _named(each, key)]


def _config(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def _same_outputs(model, name):
    y = model.predict_on_batch(WITH_OUTPUTS["x"])
    np.testing.assert_allclose(y, WITH_OUTPUTS[name], atol=1e-6)


def test_every_class_is_among_the_files():
    found = [
        n for f in FILES for n in _named(_config(SAVED / f"{f}.keras"), "class_name")
    ]
    assert {f"unrolled>{name}" for name in found} == REGISTERED
    assert {*FILES, "x"} == set(WITH_OUTPUTS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_what_it_gave(name, tmp_path):
    """Also after it was saved again, with the names that it had."""
    old = SAVED / f"{name}.keras"
    model = keras.saving.load_model(old)
    _same_outputs(model, name)
    model.save(tmp_path / "again.keras")
    _same_outputs(keras.saving.load_model(tmp_path / "again.keras"), name)
    before, after = _config(old), _config(tmp_path / "again.keras")
    for key in ("class_name", "registered_name", "name"):
        assert _named(after, key) == _named(before, key)


@pytest.mark.parametrize("name", ["lstm", "rnn_stack", "bidirectional_pair"])
def test_weights_lie_where_they_lay(name):
    """The weights of an old file go into a model made anew."""
    old = SAVED / f"{name}.keras"
    config = _config(old)
    model = keras.saving.deserialize_keras_object(config)
    model.load_weights(old)
    _same_outputs(model, name)
