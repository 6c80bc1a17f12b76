"""A class of the user's that derives from ours keeps the `__init__` that it writes."""

import inspect

import unrolled

import keras
import numpy as np
import pytest

T, D, U = 4, 3, 3
register = keras.saving.register_keras_serializable("tests")


def _cell(units=U):
    return unrolled.GRUCell(units, bias_initializer="random_normal")


def _cells(units):
    return [_cell(units), unrolled.LSTMCell(units)]


# --- each takes `width`, an own `scale`, sets an argument of ours itself, and what is
# --- left goes on to Keras.


@register
class OwnLSTM(unrolled.LSTM):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(width, return_sequences=True, **kwargs)
        self.scale = scale


@register
class OwnGRU(unrolled.GRU):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(width, return_sequences=True, reset_after=False, **kwargs)
        self.scale = scale


@register
class OwnSimpleRNN(unrolled.SimpleRNN):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(width, "relu", return_sequences=True, **kwargs)
        self.scale = scale


@register
class OwnRNN(unrolled.RNN):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(_cell(width), return_sequences=True, **kwargs)
        self.scale = scale


@register
class OwnBidirectional(unrolled.Bidirectional):
    def __init__(self, width, scale=2.0, **kwargs):
        inner = unrolled.GRU(width, return_sequences=True)
        super().__init__(inner, merge_mode="sum", **kwargs)
        self.width, self.scale = width, scale

    def get_config(self):
        base = keras.layers.Layer.get_config(self)
        return {**base, "width": self.width, "scale": self.scale}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@register
class OwnLSTMCell(unrolled.LSTMCell):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(width, unit_forget_bias=False, **kwargs)
        self.scale = scale


@register
class OwnGRUCell(unrolled.GRUCell):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(width, reset_after=False, **kwargs)
        self.scale = scale


@register
class OwnSimpleRNNCell(unrolled.SimpleRNNCell):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(width, activation="relu", **kwargs)
        self.scale = scale


@register
class OwnStack(unrolled.StackedRNNCells):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(_cells(width), **kwargs)
        self.scale = scale


@register
class OwnCell(unrolled.Cell):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(**kwargs)
        self.width, self.scale = width, scale
        self.state_size, self.output_size = [width], width

    def step(self, x, states, constants):
        del constants
        y = 0.5 * states[0] + x
        return y, [y]

    def get_config(self):
        return {**super().get_config(), "width": self.width, "scale": self.scale}


@register
class OwnWrapper(unrolled.CellWrapper):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(_cell(width), **kwargs)
        self.scale = scale

    def step(self, x, states, constants):
        output, states = super().step(x, states, constants)
        return self.scale * output, states


@register
class OwnDropout(unrolled.DropoutWrapper):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(_cell(width), input_dropout=0.5, seed=3, **kwargs)
        self.scale = scale


@register
class OwnZoneout(unrolled.ZoneoutWrapper):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(_cell(width), {"h": 0.5}, **kwargs)
        self.scale = scale


@register
class OwnResidual(unrolled.ResidualWrapper):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(_cell(width), **kwargs)
        self.scale = scale


@register
class OwnHighway(unrolled.HighwayWrapper):
    def __init__(self, width, scale=2.0, **kwargs):
        super().__init__(_cell(width), carry_bias_init=-1.0, **kwargs)
        self.scale = scale


# One of each kind, and what each sets itself, and would lose with its __init__.
LAYERS = {
    OwnLSTM: {"return_sequences": True},
    OwnGRU: {"return_sequences": True, "reset_after": False},
    OwnSimpleRNN: {"return_sequences": True, "activation": keras.activations.relu},
    OwnRNN: {"return_sequences": True},
    OwnBidirectional: {"return_sequences": True, "merge_mode": "sum"},
}
CELLS = {
    OwnLSTMCell: {"unit_forget_bias": False},
    OwnGRUCell: {"reset_after": False},
    OwnSimpleRNNCell: {"activation": keras.activations.relu},
    OwnStack: {"state_size": [[U], [U, U]]},
    OwnCell: {"state_size": [U]},
    OwnWrapper: {"state_size": [U]},
    OwnDropout: {"input_dropout": 0.5, "seed": 3},
    OwnZoneout: {"zoneout": {"h": 0.5}},
    OwnResidual: {"state_size": [U]},
    OwnHighway: {"carry_bias_init": -1.0},
}
ALL = {**LAYERS, **CELLS}
EACH = pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)


def _model(made):
    layer = made if isinstance(made, tuple(LAYERS)) else unrolled.RNN(made)
    return keras.Sequential([keras.Input((T, D)), layer])


def _same_from_a_file(model, rng, path, custom=None):
    """The model as it comes out of a file, once it gave the same numbers."""
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    x = rng.normal(size=(2, T, D)).astype("float32")
    model.save(path)
    again = keras.saving.load_model(path, custom_objects=custom)
    np.testing.assert_allclose(
        again.predict_on_batch(x), model.predict_on_batch(x), atol=1e-6
    )
    return again.layers[0]


def _ours(layer, cls):
    return layer if isinstance(layer, cls) else layer.cell


@EACH
def test_signature_and_attributes_are_the_classs_own(cls):
    names = list(inspect.signature(cls).parameters)
    assert names == ["width", "scale", "kwargs"]
    made = cls(U, scale=5.0, name="mine")
    assert (made.scale, made.name) == (5.0, "mine")
    assert cls(width=U).scale == 2.0
    for name, value in ALL[cls].items():
        assert getattr(made, name) == value, name


@EACH
def test_a_wrong_argument_is_named(cls):
    with pytest.raises((TypeError, ValueError), match="widht"):
        cls(U, widht=3)
    with pytest.raises(TypeError, match=f"{cls.__name__}.*width"):
        cls()


@EACH
def test_configuration_and_file(cls, rng, tmp_path):
    """A configuration is what the class's own __init__ takes."""
    made = cls(U, scale=5.0, name="mine")
    config = made.get_config()
    assert (config["width"], config["scale"], config["name"]) == (U, 5.0, "mine")
    assert not {"cell", "cells", "units", "return_sequences"} & set(config)
    assert cls.from_config(config).get_config() == config
    again = _same_from_a_file(_model(made), rng, tmp_path / "model.keras")
    again = _ours(again, cls)
    assert type(again) is cls
    assert again.scale == 5.0


@pytest.mark.parametrize("cls", [OwnLSTM, OwnBidirectional, OwnGRUCell, OwnWrapper])
def test_a_subclass_of_the_subclass(cls, rng, tmp_path):
    """One that writes nothing has the __init__ above it, one that writes, its own."""

    @register
    class Plain(cls):
        pass

    @register
    class Deeper(cls):
        def __init__(self, width=U, *, shift=1.0, **kwargs):
            super().__init__(width, **kwargs)
            self.shift = shift

        def get_config(self):
            return {**super().get_config(), "shift": self.shift}

    assert Plain(U, 7.0).scale == 7.0
    assert list(inspect.signature(Plain).parameters) == ["width", "scale", "kwargs"]
    made = Deeper(shift=4.0, scale=9.0)
    assert (made.shift, made.scale) == (4.0, 9.0)
    for each in (Plain(U, 7.0), made):
        layer = each if isinstance(each, tuple(LAYERS)) else unrolled.RNN(each)
        model = keras.Sequential([keras.Input((T, D)), layer])
        again = _ours(
            _same_from_a_file(model, rng, tmp_path / "model.keras"), type(each)
        )
        assert type(again) is type(each)
        assert again.scale == each.scale
    assert again.shift == 4.0


@register
class Fields(unrolled.LSTM):
    """Only declares a field, as our own classes do."""

    scale: float = 1.0


@register
class FieldsCell(unrolled.GRUCell):
    scale: float = 1.0


@register
class FieldsWrapper(unrolled.ResidualWrapper):
    scale: float = 1.0


@register
class FieldsUnderInit(OwnLSTM):
    """Declares a field beneath a class that writes its __init__."""

    shift: float = 1.0


@pytest.mark.parametrize("cls", [Fields, FieldsCell, FieldsWrapper])
def test_one_that_only_declares_fields_gets_ours(cls, rng, tmp_path):
    first = _cell() if cls is FieldsWrapper else U
    made = cls(first, scale=3.0, name="mine")
    assert made.scale == 3.0
    assert inspect.signature(cls).parameters["scale"].default == 1.0
    assert cls(first).scale == 1.0
    assert made.get_config()["scale"] == 3.0
    layer = made if cls is Fields else unrolled.RNN(made)
    model = keras.Sequential([keras.Input((T, D)), layer])
    again = _ours(_same_from_a_file(model, rng, tmp_path / "model.keras"), cls)
    assert again.scale == 3.0


def test_fields_beneath_an_own_init_are_arguments():
    """As in a dataclass: who declares fields anew asks for an __init__ made of them."""
    made = FieldsUnderInit(U, shift=3.0)
    assert made.shift == 3.0
    assert made.get_config()["shift"] == 3.0
    assert "shift" in inspect.signature(FieldsUnderInit).parameters


class KerasStyleConfig(unrolled.LSTM):
    """As Keras's guide writes it: everything in its own get_config, no **kwargs."""

    def __init__(self, width, depth=2):
        super().__init__(width * depth, return_state=True)
        self.width, self.depth = width, depth

    def get_config(self):
        return {"width": self.width, "depth": self.depth}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class KerasStyleCell(unrolled.CellWrapper):
    """A wrapper that serialises its cell itself."""

    def __init__(self, cell, depth=2, **kwargs):
        super().__init__(cell, **kwargs)
        self.depth = depth

    def get_config(self):
        config = super().get_config()
        config.update(
            cell=keras.saving.serialize_keras_object(self.cell), depth=self.depth
        )
        return config

    @classmethod
    def from_config(cls, config):
        config["cell"] = keras.saving.deserialize_keras_object(config["cell"])
        return cls(**config)


def test_a_get_config_in_keras_style(rng, tmp_path):
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, KerasStyleConfig(2, depth=3)(inputs)[0])
    custom = {"KerasStyleConfig": KerasStyleConfig}
    model.save(tmp_path / "layer.keras")
    again = keras.saving.load_model(tmp_path / "layer.keras", custom_objects=custom)
    assert (again.layers[1].depth, again.layers[1].units) == (3, 6)
    x = rng.normal(size=(2, T, D)).astype("float32")
    np.testing.assert_allclose(
        again.predict_on_batch(x), model.predict_on_batch(x), atol=1e-6
    )
    wrapped = _model(KerasStyleCell(_cell(), depth=4))
    custom = {"KerasStyleCell": KerasStyleCell}
    again = _same_from_a_file(wrapped, rng, tmp_path / "cell.keras", custom)
    assert again.cell.depth == 4


class NoFurtherKeywords(unrolled.GRU):
    def __init__(self, width):
        super().__init__(width, return_sequences=True, name="fixed")


def test_an_init_without_further_keywords(rng, tmp_path):
    """Its configuration holds no name or dtype, which it could not take."""
    made = NoFurtherKeywords(U)
    assert made.get_config() == {"width": U}
    custom = {"NoFurtherKeywords": NoFurtherKeywords}
    model = keras.Sequential([keras.Input((T, D)), made])
    again = _same_from_a_file(model, rng, tmp_path / "model.keras", custom)
    assert again.return_sequences


class Optional(unrolled.CellWrapper):
    """A cell in a list, a layer, a function and an initializer among the arguments."""

    def __init__(self, width, layers=(), gain="tanh", kernel_initializer="ones"):
        super().__init__(_cell(width))
        self.layers, self.gain = list(layers), gain
        self.kernel_initializer = keras.initializers.get(kernel_initializer)


def test_arguments_that_are_objects_go_through_a_file(rng, tmp_path):
    given = keras.initializers.Constant(2.0)
    made = Optional(U, [keras.layers.Dropout(0.25)], kernel_initializer=given)
    model = keras.Sequential([keras.Input((T, D)), unrolled.RNN(made)])
    custom = {"Optional": Optional}
    again = _same_from_a_file(model, rng, tmp_path / "model.keras", custom).cell
    assert again.layers[0].rate == 0.25
    assert again.kernel_initializer.value == 2.0


@pytest.mark.keras_ranks
def test_a_configuration_written_for_keras_finds_what_it_renames(tmp_path):
    """`super().get_config()` has what the class itself passed on, asked for by name."""

    class Wide(unrolled.LSTM):
        def __init__(self, width, **kwargs):
            super().__init__(width, return_sequences=True, **kwargs)

        def get_config(self):
            config = super().get_config()
            return {**config, "width": config.pop("units")}

    class Gated(unrolled.RNN):
        def __init__(self, width, **kwargs):
            super().__init__(unrolled.GRUCell(width), **kwargs)

        def get_config(self):
            config = super().get_config()
            config.pop("cell")
            assert config["go_backwards"] is False
            assert config.get("unheard", 5) == 5
            with pytest.raises(KeyError):
                config["unheard"]
            return {**config, "width": self.cell.units}

    model = keras.Sequential([keras.Input((4, 3)), Wide(2), Gated(5)])
    model.save(tmp_path / "model.keras")
    own = {"Wide": Wide, "Gated": Gated}
    again = keras.saving.load_model(tmp_path / "model.keras", custom_objects=own)
    x = np.ones((2, 4, 3), "float32")
    np.testing.assert_array_equal(again(x), model(x))
