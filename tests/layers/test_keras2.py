"""Files that Keras 2 wrote: they load, and give what they gave there.

`tests/data/keras2/make.py` wrote them. `outputs.npz` has the inputs and what each model
gave in Keras 2.15.
"""

import json
import pathlib
import shutil
import zipfile

import unrolled
from unrolled.cells import keras2

import h5py
import jax
import keras
import numpy as np
import pytest

from .. import reference
from ..harness import scatter
from ..table import BY_NAME

pytestmark = [
    pytest.mark.keras_ranks,
    # Of Keras's own layers, from old files.
    pytest.mark.filterwarnings("ignore:Argument `input_length` is deprecated"),
    pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`"),
]

OLD = pathlib.Path(__file__).parent.parent / "data" / "keras2"
RECORDED = np.load(OLD / "outputs.npz")
FILES = sorted(p.stem for p in OLD.glob("*.h5") if not p.stem.endswith("weights"))
NEWER = sorted(p.stem for p in OLD.glob("*.keras"))
WEIGHTS = [name for name in FILES if (OLD / f"{name}_weights.h5").exists()]
OURS = {
    name: getattr(unrolled, name)
    for name in (
        *("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "StackedRNNCells"),
        *("LSTMCell", "GRUCell", "SimpleRNNCell"),
    )
} | {"CuDNNLSTM": unrolled.LSTM, "CuDNNGRU": unrolled.GRU}
T, D, U = 6, 3, 4


def _config(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def _classes(config):
    """The names of the classes in a configuration."""
    if isinstance(config, dict):
        own = {config["class_name"]} if "class_name" in config else set()
        return own.union(*map(_classes, config.values()))
    return set().union(*map(_classes, config)) if isinstance(config, list) else set()


def _load(path, **others):
    """As a user would: with the classes that the file names, and no others."""
    named = _classes(_config(path)) & set(OURS)
    objects = {name: OURS[name] for name in named} | others
    return keras.models.load_model(path, custom_objects=objects, compile=False)


def _inputs(name):
    x = RECORDED["x"]
    if name == "masked":
        return RECORDED["ids"]
    if name == "time_major":
        return x.swapaxes(0, 1)
    return [x, x[:, ::-1]] if name == "encoder_decoder" else x


def _gives_what_it_gave(model, name):
    for call in range(2 if "stateful" in name else 1):
        found = jax.tree.leaves(model.predict_on_batch(_inputs(name)))
        wanted = [each for each in RECORDED.files if each.startswith(f"{name} {call} ")]
        assert len(found) == len(wanted)
        for place, each in enumerate(found):
            np.testing.assert_allclose(
                each, RECORDED[f"{name} {call} {place}"], atol=1e-6, rtol=1e-6
            )


def _recurrent(model):
    return [each for each in model._flatten_layers() if hasattr(each, "state_size")]


def test_every_file_has_its_outputs_and_cudnn_is_among_them():
    assert {key.split()[0] for key in RECORDED.files} == {*FILES, "x", "ids"}
    found = set().union(*(_classes(_config(OLD / f"{name}.h5")) for name in FILES))
    assert set(OURS) <= found


@pytest.mark.parametrize("name", FILES)
def test_a_model_gives_what_it_gave(name, tmp_path):
    """Also after it was saved as of today, which needs no names."""
    model = _load(OLD / f"{name}.h5")
    assert _recurrent(model)
    assert all(type(e).__module__.startswith("unrolled") for e in _recurrent(model))
    _gives_what_it_gave(model, name)
    model.save(tmp_path / "again.keras")
    _gives_what_it_gave(keras.saving.load_model(tmp_path / "again.keras"), name)


@pytest.mark.parametrize("name", NEWER)
def test_a_model_in_a_keras_file(name):
    # Keras 3 looks for this one in a module that it has no more.
    model = _load(OLD / f"{name}.keras", Functional=keras.Model)
    assert all(type(e).__module__.startswith("unrolled") for e in _recurrent(model))
    _gives_what_it_gave(model, name)


@pytest.mark.parametrize("name", NEWER)
def test_weights_in_files_of_a_later_form(name, rng):
    model = _load(OLD / f"{name}.h5")
    for suffix in (".weights.h5", ".keras"):
        scatter(model, rng)
        model.load_weights(OLD / f"{name}{suffix}")
        _gives_what_it_gave(model, name)


@pytest.mark.parametrize("name", FILES)
def test_configurations_of_earlier_versions(name, tmp_path):
    """Until 2.12 classes had no modules, and at first a Sequential no input layer.

    Keras 3 makes the input of such a model without its batch size.
    """
    path = pathlib.Path(shutil.copy(OLD / f"{name}.h5", tmp_path))
    with h5py.File(path, "r+") as file:
        config = _as_earlier(json.loads(file.attrs["model_config"]))
        file.attrs["model_config"] = json.dumps(config)
    if "stateful" in name:
        with pytest.raises(ValueError, match="batch_size must be known where stateful"):
            _load(path)
        return
    # What has no module Keras does not find inside a wrapper, be it Keras's own.
    inside = name == "cudnn_time_distributed"
    others = {"Sequential": keras.Sequential} if inside else {}
    _gives_what_it_gave(_load(path, **others), name)


def _as_earlier(config):
    if isinstance(config, list):
        return [_as_earlier(each) for each in config]
    if not isinstance(config, dict):
        return config
    gone = ("module", "registered_name", "build_config", "build_input_shape")
    gone = (*gone, "time_major") if config.get("time_major") is False else gone
    config = {k: _as_earlier(v) for k, v in config.items() if k not in gone}
    if config.get("class_name") == "Sequential":
        parts = config["config"]["layers"]
        first = parts[1]["config"] if len(parts) > 1 else {}
        # Of Keras's own first layers, Keras 3 takes B for one axis more.
        ours = len(parts) > 1 and parts[1]["class_name"] in OURS
        if ours and "batch_input_shape" in first:
            del parts[0]
    return config


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_alone(name, rng):
    """Of a weights file, and of a model's, into a model with weights of its own."""
    model = _load(OLD / f"{name}.h5")
    for path in (OLD / f"{name}_weights.h5", OLD / f"{name}.h5"):
        scatter(model, rng)
        model.load_weights(path)
        for each in model.layers:
            if getattr(each, "stateful", False):
                each.reset_state()
        _gives_what_it_gave(model, name)


def test_weights_by_name(rng):
    model = _load(OLD / "cudnn_bidirectional.h5")
    scatter(model, rng)
    model.load_weights(OLD / "cudnn_bidirectional_weights.h5", by_name=True)
    _gives_what_it_gave(model, "cudnn_bidirectional")


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_cudnn_against_the_reference(kind):
    """As cuDNN means its numbers: a matrix (U, D) for each gate, and two biases."""
    row = BY_NAME[kind]
    path = OLD / f"cudnn_{kind}_weights.h5"
    with h5py.File(path) as file:
        first = next(iter(file.attrs["layer_names"]))
        names = list(file[first].attrs["weight_names"])
        arrays = [np.asarray(file[first][name], "float64") for name in names]
    gates = len(row.gates)
    kernels = []
    for array in arrays[:2]:
        each = [array[:, g * U : (g + 1) * U].reshape(U, -1) for g in range(gates)]
        kernels.append(np.concatenate(each).T)
    bias = arrays[2][: gates * U], arrays[2][gates * U :]
    params = dict(zip(("kernel", "recurrent_kernel"), kernels, strict=True))
    params["bias"] = bias[0] + bias[1] if kind == "lstm" else np.stack(bias)
    x = RECORDED["x"]
    run = reference.unroll(
        row.reference_step(params),
        x.astype("float64"),
        [np.zeros((len(x), U))] * row.states,
        reverse=kind == "gru",
    )
    whole = _load(OLD / f"cudnn_{kind}.h5")
    head = keras.Model(whole.inputs, whole.layers[0].output)
    found = head.predict_on_batch(x)
    np.testing.assert_allclose(found, run.outputs, atol=2e-6)


# --- what does not fit ---


def _sequential(*parts):
    return keras.Sequential([keras.Input((T, D)), *parts])


WRONG = {
    "another cell": (
        "cudnn_gru",
        lambda: [unrolled.LSTM(U, return_sequences=True), unrolled.LSTM(U + 1)],
        (
            r"kernel must have shape \(features, 4\*units\) = \(3, 16\)\. "
            r"Got \(3, 12\): that is a GRU kernel; load it with GRU"
        ),
    ),
    "another width": (
        "cudnn_lstm",
        lambda: [unrolled.LSTM(U, return_sequences=True), unrolled.LSTM(U)],
        (
            r"kernel must have shape .* = \(4, 16\)\. Got \(4, 20\): "
            r"make the layer as it was saved, LSTM\(5\)"
        ),
    ),
    "reset before": (
        "cudnn_gru",
        lambda: [
            unrolled.GRU(U, return_sequences=True),
            unrolled.GRU(U + 1, reset_after=False),
        ],
        (
            r"reset_after must be True for the weights of a CuDNNGRU\. "
            r"Got reset_after=False for .*gru_cell: "
            r"make the layer as GRU\(\.\.\., reset_after=True\)"
        ),
    ),
    "no bias": (
        "cudnn_gru",
        lambda: [
            unrolled.GRU(U, return_sequences=True),
            unrolled.GRU(U + 1, use_bias=False),
        ],
        r"Layer expects 2 weight\(s\)\. Received 3 saved weight\(s\)",
    ),
    "one reset for the other": (
        "gru",
        lambda: [
            unrolled.GRU(U, return_sequences=True),
            unrolled.GRU(U, return_sequences=True),
            unrolled.GRU(U, return_sequences=True, use_bias=False),
            unrolled.SimpleRNN(U),
        ],
        (
            r"bias must have shape \(2, 3\*units\) = \(2, 12\)\. Got \(12,\): "
            r"make the layer as it was saved, GRU\(\.\.\., reset_after=False\)"
        ),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_changes_nothing(case):
    """Nor does it in the layers before, which would fit."""
    name, parts, message = WRONG[case]
    model = _sequential(*parts())
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.load_weights(OLD / f"{name}_weights.h5")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_does_not_fit_is_skipped_where_keras_is_asked_to(rng):
    whole = _load(OLD / "cudnn_lstm.h5")
    other = unrolled.LSTM(U + 2, go_backwards=True)
    model = _sequential(unrolled.LSTM(U, return_sequences=True), other)
    scatter(model, rng)
    before = other.get_weights()
    with pytest.warns(UserWarning, match="Skipping loading weights"):
        model.load_weights(OLD / "cudnn_lstm_weights.h5", skip_mismatch=True)
    fitting = zip(model.layers[0].get_weights(), whole.layers[0].get_weights())  # noqa: B905
    for ours, theirs in [*fitting, *zip(other.get_weights(), before, strict=True)]:
        np.testing.assert_array_equal(ours, theirs)


def test_layers_of_keras_are_left_to_keras():
    """Nothing of what ours read is done for others."""
    stock = _sequential(
        keras.layers.LSTM(U, return_sequences=True), keras.layers.LSTM(U + 1)
    )
    with pytest.raises(ValueError, match="Shape mismatch in layer #0"):
        stock.load_weights(OLD / "cudnn_lstm_weights.h5")

    class Mine(keras.layers.Layer):
        pass

    path = OLD / "cudnn_time_distributed.h5"
    with pytest.raises(ValueError, match=r"keras\.layers\.CuDNNGRU"):
        keras.models.load_model(path, custom_objects={"CuDNNGRU": Mine}, compile=False)


def test_classes_of_a_file_are_taken_by_their_names():
    """Inside Keras's own wrappers too; without the name it is Keras's class."""
    path = OLD / "bidirectional.h5"
    both = {"LSTM": unrolled.LSTM, "GRU": unrolled.GRU}
    model = keras.models.load_model(path, custom_objects=both, compile=False)
    layer = model.layers[1]
    assert type(layer) is keras.layers.Bidirectional
    assert type(layer.forward_layer) is unrolled.LSTM


# --- what Keras 3 reads otherwise ---


def test_hard_sigmoid_is_that_of_the_file(rng):
    x = rng.normal(0, 3, (50,)).astype("float32")
    wanted = np.clip(0.2 * x + 0.5, 0, 1)
    np.testing.assert_allclose(keras2.hard_sigmoid_of_keras_2(x), wanted, atol=1e-7)
    model = _load(OLD / "hard_sigmoid.h5")
    assert model.layers[0].recurrent_activation is keras2.hard_sigmoid_of_keras_2
    assert "native lstm" not in model.layers[0].plan()
    # What Keras 3 wrote means Keras 3's, of stock layers and of ours.
    for made in (keras.layers.LSTM, unrolled.LSTM):
        config = made(U, recurrent_activation="hard_sigmoid").get_config()
        again = unrolled.LSTM.from_config(config)
        assert again.recurrent_activation is keras.activations.hard_sigmoid
    ours = unrolled.LSTM.from_config(
        {"units": U, "recurrent_activation": "hard_sigmoid"}
    )
    assert ours.recurrent_activation is keras.activations.hard_sigmoid


def test_hard_sigmoid_of_the_user_goes_first():
    def mine(x):
        return keras.ops.sigmoid(x)

    objects = OURS | {"hard_sigmoid": mine}
    path = OLD / "hard_sigmoid.h5"
    model = keras.models.load_model(path, custom_objects=objects, compile=False)
    assert model.layers[0].recurrent_activation is mine
    assert model.layers[2].forward_layer.cell.recurrent_activation is mine
    assert model.layers[3].cell.recurrent_activation is mine


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_hard_sigmoid_is_saved_again(suffix, tmp_path):
    model = _load(OLD / "hard_sigmoid.h5")
    model.save(tmp_path / f"again{suffix}")
    again = keras.models.load_model(tmp_path / f"again{suffix}")
    assert again.layers[0].recurrent_activation is keras2.hard_sigmoid_of_keras_2
    _gives_what_it_gave(again, "hard_sigmoid")


@pytest.mark.parametrize("wrap", [lambda layer: layer, unrolled.Bidirectional])
def test_states_in_a_list_with_the_sequences(wrap, rng):
    """As in Keras 2, and in the functional models that it saved."""
    layer = wrap(unrolled.LSTM(U))
    x = rng.normal(size=(2, T, D)).astype("float32")
    count = 4 if isinstance(layer, unrolled.Bidirectional) else 2
    states = [rng.normal(size=(2, U)).astype("float32") for _ in range(count)]
    wanted = layer(x, initial_state=states)
    np.testing.assert_array_equal(layer([x, *states]), wanted)
    np.testing.assert_array_equal(layer(sequences=(x, *states)), wanted)
    with pytest.raises(ValueError, match="constants are called a memory"):
        layer([x, *states], constants=states)
