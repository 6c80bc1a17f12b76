"""The model: loss and gradients in float64 NumPy, then learnt, saved and resumed."""

import json
import zipfile

import unrolled

import jax
import keras
import numpy as np
import pytest
from autograd import value_and_grad

from ..harness import scatter
from ..sources import translation as law
from .texts import reversed_digits, tokenizer

# The embedding, the bridge and the output layer are Keras's own.
pytestmark = pytest.mark.keras_ranks

PAIRS = [("1", "31"), ("205", "2"), ("", "47"), ("98", "")]


def _weights(model):
    """Variables by the names of `law`."""
    found = {"source": model.encoder.embedding.embeddings}
    for level, layer in enumerate(model.encoder.levels):
        if isinstance(layer, unrolled.Bidirectional):
            for way in ("forward", "backward"):
                cell = getattr(layer, f"{way}_layer").cell
                found |= _of(cell, f"encoder/{level}/{way}/")
        else:
            found |= _of(layer.cell, f"encoder/{level}/")
    for n, join in enumerate(model.bridge.joins):
        found |= _of(join, f"bridge/{n}/")
    attending = model.decoder.cell
    stack = getattr(attending.cell, "cells", [attending.cell])
    for level, cell in enumerate(stack):
        found |= _of(getattr(cell, "cell", cell), f"decoder/{level}/")
    found |= {
        "target": model.decoder.embedding.embeddings,
        "query": attending.mechanism.query_layer.kernel,
        "keys": attending.mechanism.memory_layer.kernel,
        "v": attending.mechanism.attention_v,
        "attention": attending.attention_layers[0].kernel,
        **_of(model.decoder.output_layer, "out/"),
    }
    return found


def _of(layer, scope):
    return {scope + variable.name: variable for variable in layer.weights}


@pytest.mark.parametrize(
    ("kind", "layers", "both", "residual", "dtype"),
    [
        ("lstm", 1, True, False, "float32"),
        ("gru", 3, True, True, "float32"),
        ("gru", 2, False, True, "mixed_bfloat16"),
    ],
)
def test_loss_and_gradients(kind, layers, both, residual, dtype, rng):
    """Of a padded batch: those of its rows, which nothing pads; and what it writes."""
    model = unrolled.Seq2Seq(
        tokenizer(),
        5,
        embedding_size=4,
        cell=kind,
        num_layers=layers,
        bidirectional=both,
        residual=residual,
        dtype=dtype,
    )
    variables = _weights(scatter(model, rng))
    paths = [variable.path for variable in variables.values()]
    assert sorted(paths) == sorted(v.path for v in model.trainable_variables)
    weights = {n: np.asarray(v.value, "float64") * 0.5 for n, v in variables.items()}
    for name, variable in variables.items():
        variable.assign(weights[name])
    (x, wanted), *_ = unrolled.Pairs(PAIRS, tokenizer(), buckets=[(6, 5)])
    model.compile("sgd")

    @jax.jit
    def ours(trainable, x, wanted):
        return jax.value_and_grad(
            lambda t: model.compute_loss_and_updates(t, rest, [], x, wanted, None)[0]
        )(trainable)

    rest = [v.value for v in model.non_trainable_variables]
    trainable = [v.value for v in model.trainable_variables]
    loss, gradients = ours(trainable, x, wanted)
    ids = [tuple(map(tokenizer().encode, pair)) for pair in PAIRS]
    expected, slopes = value_and_grad(law.loss)(
        weights, ids, 1, 2, kind, layers, both, residual
    )
    narrow = dtype != "float32"
    np.testing.assert_allclose(loss, expected, rtol=2e-2 if narrow else 1e-5)
    by_path = dict(
        zip((v.path for v in model.trainable_variables), gradients, strict=True)
    )
    for name, variable in variables.items():
        gradient, slope = by_path[variable.path], slopes[name]
        largest = np.abs(slope).max()
        assert largest > 0, name
        error = np.abs(gradient - slope).max()
        assert error < (0.1 if narrow else 2e-5) * max(largest, 0.05), name
    assert model.compute_dtype == ("bfloat16" if narrow else "float32")

    texts = ["1", "205", "98"]
    written, looked = model.translate(texts, max_length=5, return_alignments=True)
    for text, found, where in zip(texts, written, looked, strict=True):
        tokens, shares = law.greedy(
            weights, tokenizer().encode(text), 1, 2, 5, kind, layers, both, residual
        )
        if not narrow:  # whose tokens may differ where two are as likely
            assert found == tokenizer().decode(tokens)
            assert where.target == tokenizer().pieces(tokens)
            np.testing.assert_allclose(where.shares, shares, rtol=1e-3, atol=1e-5)


def test_it_learns_to_reverse_digits(tmp_path, monkeypatch):
    """And what it learnt is in its file: the same texts, greedily and by beams."""
    pairs = reversed_digits(1500)
    taught, held = pairs[200:], pairs[:200]
    model = unrolled.Seq2Seq(
        tokenizer(), 32, cell="gru", num_layers=1, dropout=0.02, max_length=9
    )
    metrics = [unrolled.TokenAccuracy(), unrolled.Perplexity()]
    model.compile(keras.optimizers.Adam(1e-2), metrics=metrics)
    history = model.fit(
        taught, epochs=12, verbose=0, validation_data=held, batch_size=100
    ).history
    assert history["val_token_accuracy"][-1] > 0.97
    np.testing.assert_allclose(
        history["val_perplexity"][-1], np.exp(history["val_loss"][-1]), rtol=0.02
    )
    traces = []
    monkeypatch.setattr(
        model, "read", lambda *a, read=model.read: traces.append(a) or read(*a)
    )
    sources, targets = zip(*held, strict=True)
    written = model.translate(sources, batch_size=100)
    right = [w == t for w, t in zip(written, targets, strict=True)]
    assert np.mean(right) >= 0.9
    assert len(traces) == 1
    # Other texts of such lengths, of other weights even, compile nothing.
    assert model.translate(targets[::-1], batch_size=100) != written
    assert len(traces) == 1

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.translate(sources, batch_size=100) == written
    beams = {"beam_width": 3, "coverage_penalty": 0.1, "return_alignments": True}
    few = ["", "1234", "  ", "7", "87"]
    found, looked = model.translate(few, **beams)
    found_again, _ = again.translate(few, **beams)
    assert found == found_again
    assert found == ["", "4321", "", "7", "78"]
    assert looked[1].source == [*"1234", "<end>"]
    assert looked[1].target == [*"4321", "<end>"]
    np.testing.assert_allclose(looked[1].shares.sum(1), 1, rtol=1e-5)
    assert looked[1].shares.shape == (5, 5)
    assert looked[0].shares.shape == (0, 0)
    # The optimizer goes on where it was.
    assert again.optimizer.iterations == model.optimizer.iterations
    assert isinstance(again.loss, unrolled.SequenceLoss)

    draw = unrolled.sampler(temperature=3.0)
    drawn = [model.translate(["1234"] * 3, sampler=draw, seed=s) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]

    # One at a time, and with others of other lengths, scripts and signs.
    mixed = ["1", "123456789", "<end>", "98765432", "你好", "", "7"]
    alone = model.translate(mixed, batch_size=1)
    assert model.translate(mixed) == alone
    assert alone[0] == "1"

    # What its file says of the tokenizer may be damaged, or the file itself.
    half = (tmp_path / "model.keras").read_bytes()[:50_000]
    (tmp_path / "half.keras").write_bytes(half)
    with pytest.raises(ValueError, match="ensure the file is an accessible"):
        keras.models.load_model(tmp_path / "half.keras")
    damaged = tmp_path / "damaged.keras"
    whole = zipfile.ZipFile(tmp_path / "model.keras")
    with whole, zipfile.ZipFile(damaged, "w") as changed:
        for name in whole.namelist():
            data = whole.read(name)
            if name == "config.json":
                config = json.loads(data)
                config["config"]["tokenizer"]["config"]["json"] = "{}"
                data = json.dumps(config)
            changed.writestr(name, data)
    with pytest.raises(ValueError, match="the file is damaged"):
        keras.models.load_model(damaged)

    model.decoder.output_layer.bias.assign(np.full(259, np.nan, "float32"))
    with pytest.raises(ValueError, match="the model must have numbers for weights"):
        model.translate(sources, batch_size=100)


def test_buckets_change_no_loss(rng):
    pairs = reversed_digits(30, longest=7)
    model = unrolled.Seq2Seq(tokenizer(), 4, cell="gru", num_layers=1)
    scatter(model, rng)
    model.compile("sgd", metrics=[unrolled.Perplexity()])
    found = [
        model.evaluate(
            unrolled.Pairs(pairs, tokenizer(), 32, buckets=buckets),
            verbose=0,
            return_dict=True,
        )["perplexity"]
        for buckets in ([(4, 4), (8, 8)], [(10, 12)])
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_training_goes_on_where_it_was_interrupted(tmp_path):
    """The weights are those of training at one go, also with batches by threads."""
    pairs = reversed_digits(40)
    model = unrolled.Seq2Seq(tokenizer(), 3, cell="gru", num_layers=1)
    model.compile(keras.optimizers.Adam(0.1))
    model.optimizer.build(model.trainable_variables)
    state = [*model.variables, *model.optimizer.variables]
    at_first = [v.numpy() for v in state]
    fit = lambda data, **given: model.fit(data, batch_size=20, verbose=0, **given)  # noqa: E731
    fit(pairs, epochs=3)
    at_one_go = [v.numpy() for v in state]

    def restart():
        for variable, value in zip(state, at_first, strict=True):
            variable.assign(value)
        return keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)

    last = keras.callbacks.ModelCheckpoint(tmp_path / "last.keras")
    fit(pairs, epochs=1, callbacks=[restart(), last])
    saved = keras.models.load_model(tmp_path / "last.keras")
    for one, other in zip(saved.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    threads = unrolled.Pairs(pairs, tokenizer(), 20, workers=2)
    model.fit(threads, verbose=0, epochs=3, callbacks=restart())
    for variable, value in zip(state, at_one_go, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-5, err_msg=variable.path)


@keras.saving.register_keras_serializable("tests")
def zoned(units):
    return unrolled.ZoneoutWrapper(unrolled.LSTMCell(units), 0.1)


def test_a_configuration_makes_it_anew():
    """With cells of a function, and a mechanism and tokenizer of one's own."""
    other = unrolled.Tokenizer.train(["ab"] * 3, 260)
    with keras.StatelessScope(initialize_variables=False):
        model = unrolled.Seq2Seq(
            tokenizer(),
            6,
            cell=zoned,
            dropout=0.1,
            mechanism=unrolled.LuongAttention(6, scale=True),
            target_tokenizer=other,
        )
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
        again = keras.saving.deserialize_keras_object(config)
    shapes = [(v.name, v.shape) for v in model.weights]
    assert [(v.name, v.shape) for v in again.weights] == shapes
    assert again.decoder.output_layer.units == other.vocabulary_size
    assert again.encoder.embedding.input_dim == tokenizer().vocabulary_size
    assert isinstance(again.decoder.cell.mechanism, unrolled.LuongAttention)
    assert isinstance(again.encoder.levels[1].cell, unrolled.ZoneoutWrapper)
    assert again.target_tokenizer.encode("ab") == other.encode("ab")


# --- what does not fit ---


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tokenizer": "bpe"}, "tokenizer must be a Tokenizer. Got 'bpe'"),
        ({"target_tokenizer": 3}, "target_tokenizer must be a Tokenizer"),
        ({"units": 0}, "units must be a positive integer"),
        ({"num_layers": 0}, "num_layers must be a positive integer"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
        ({"cell": "lstmm"}, "cell must be the name of one of our cells.*'lstmm'"),
        ({"cell": "cell"}, "cell must be the name of one of our cells"),
        ({"cell": unrolled.LSTMCell}, "cell must be the name of a cell, or a function"),
        ({"hidden_size": 3}, "hidden_size is no argument of Seq2Seq.*pass units"),
    ],
)
def test_arguments_that_do_not_fit(given, said):
    with pytest.raises(ValueError, match=said):
        unrolled.Seq2Seq(**({"tokenizer": tokenizer(), "units": 4} | given))


@pytest.fixture(scope="module")
def untaught():
    with keras.StatelessScope(initialize_variables=False):
        model = unrolled.Seq2Seq(
            tokenizer(), 2, cell="gru", num_layers=1, max_length=20
        )
    keras.utils.clear_session(free_memory=False)
    return model


@pytest.mark.parametrize(
    ("texts", "given", "said"),
    [
        ("one text", {}, r"texts must be a list of texts. Got 'one text'.*\[text\]"),
        (["a", b"b"], {}, r"texts\[1\] must be a text, str. Got bytes"),
        (["a", "\ud800"], {}, r"texts\[1\] must have a form in UTF-8"),
        (
            ["a" * 10_000],
            {},
            r"texts\[0\] must have at most max_length=20 tokens. .*: cut",
        ),
        (["a"], {"max_length": 0}, "max_length must be a positive integer"),
        (["a"], {"batch_size": 1.5}, "batch_size must be a positive integer"),
        (["a"], {"batch_size": True}, "batch_size must be a positive integer"),
        (["a"], {"beam_width": [2]}, "beam_width must be a positive integer"),
        (["a"], {"length_penalty": [1]}, "length_penalty must be a number"),
        (["a"], {"coverage_penalty": "1"}, "coverage_penalty must be a number"),
        (["a"], {"sampler": [1]}, "sampler must be a function"),
        (["a"], {"seed": "a"}, "seed must be a whole number"),
    ],
)
def test_texts_that_are_not_translated(untaught, texts, given, said):
    with pytest.raises(ValueError, match=said):
        untaught.translate(texts, **given)


def test_batches_of_a_generator_are_all_read(untaught):
    """The first too, which was looked at."""
    batches = [untaught._batches(iter([x]), None, False) for x in (1, 2)]
    assert [list(each) for each in batches] == [[1], [2]]
    again = untaught._batches((n for n in range(3)), None, False)
    assert list(again) == [0, 1, 2]


def test_weights_that_fit_has(untaught, monkeypatch):
    """While it runs Keras leaves none in the model, for another thread too."""
    for name in ("_value", "_initializer"):
        monkeypatch.setattr(untaught.encoder.embedding.embeddings, name, None)
    with pytest.raises(ValueError, match=r"the model must have its weights. Got none"):
        untaught.translate(["1"])


def test_calls_that_do_not_fit(untaught):
    with pytest.raises(ValueError, match="inputs must be a dict of ids"):
        untaught(np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match=r"pairs\[0\] must be two texts"):
        untaught.fit(["one", "two"])
    with pytest.raises(ValueError, match=r"pairs\[0\] must be two texts"):
        untaught.evaluate(np.array(["one", "two"]))
    with pytest.raises(ValueError, match="validation_split cuts arrays, not pairs"):
        untaught.fit(np.array(PAIRS), validation_split=0.5)
    for texts in (["one"], PAIRS, np.array(["one"])):
        with pytest.raises(ValueError, match=r"x must be ids.* translate writes"):
            untaught.predict(texts)
    assert repr(untaught.tokenizer).startswith("Tokenizer(vocabulary_size=")
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        untaught.fit([("a", "b")], batch_size=0)
    for x, got in (
        ([], "nothing"),
        (zip("ab", "cd", strict=True), "zip"),
        ("text", "str"),
        ((pair for pair in [("a", "b")]), "generator"),
    ):
        with pytest.raises(ValueError, match=rf"x must be a list .* Got {got}"):
            untaught.fit(x)
    with pytest.raises(ValueError, match=r"x must be a list .* Got nothing"):
        untaught.evaluate([])
    with pytest.raises(ValueError, match="embedding_size must be a positive integer"):
        unrolled.Seq2Seq(tokenizer(), 4, embedding_size=0)
    with pytest.raises(ValueError, match="mechanism must look into a memory"):
        unrolled.Seq2Seq(tokenizer(), 4, mechanism="luong")
    assert untaught.translate([]) == []
    assert untaught.translate(["", " \n"]) == ["", ""]
