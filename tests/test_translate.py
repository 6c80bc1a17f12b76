"""The command `unrolled translate`, and the example that trains a translator."""

import io
import json
import re
import sys
from pathlib import Path

import unrolled
from unrolled.cli import app
from unrolled.explain.show.text import clean

import keras
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import catalogues  # noqa: E402  (the examples are scripts, not a package)
import judge  # noqa: E402
import pairs  # noqa: E402
import translate  # noqa: E402
from catalogues import Pair  # noqa: E402
from folder import RequestError  # noqa: E402

# The models have Keras's own Dense on top.
pytestmark = pytest.mark.keras_ranks

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ZAHLEN = ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"]
TEXTS = [
    (f"{a} and {b}", f"{x} et {y}")
    for a, x in zip(NUMBERS, ZAHLEN, strict=True)
    for b, y in zip(NUMBERS, ZAHLEN, strict=True)
]


# All that is short lies in one bucket, so that one program is compiled.
SIZES = {"units": 8, "layers": 1, "vocabulary": 400, "batch": 16}


# --- the command ---


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = unrolled.Seq2Seq.from_texts(
        TEXTS, 8, vocabulary_size=280, num_layers=1, max_length=12
    )
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path


def command(*arguments, given=None):
    result = CliRunner().invoke(
        app, ["translate", *(str(part) for part in arguments)], input=given
    )
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_texts_and_lines_are_translated_as_the_model_does(model_file):
    texts = ["one and two", "", "nine"]
    model = keras.models.load_model(model_file)
    found = model.translate(texts, beam_width=2)
    # It has learnt nothing, and writes bytes that would move a terminal's cursor.
    assert any(ord(letter) < 32 for letter in "".join(found))
    expected = [clean(" ".join(text.split())) for text in found]
    result = command(model_file, *texts, "--beam", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout.split("\n")[:-1] == expected
    assert expected[1] == ""
    assert expected[0] != expected[2]
    piped = command(model_file, "--beam", 2, given="one and two\n\nnine")
    assert piped.stdout == result.stdout
    assert command(model_file, given="").stdout == ""


def test_lines_come_many_together_or_as_they_are_typed(monkeypatch):
    from unrolled import cli

    for terminal, sizes in ((False, [256, 44]), (True, [1] * 300)):
        given = io.StringIO("word\r\n" * 300)
        given.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stdin", given)
        found = list(cli.lines())
        assert [len(some) for some in found] == sizes
        assert found[0][0] == "word"


def test_what_cannot_be_translated_is_told(model_file, tmp_path):
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(other)
    long = "nine " * 40
    for arguments, given, said in [
        ((other, "a"), None, "other.keras holds a Sequential, and a Seq2Seq is wanted"),
        ((tmp_path / "none.keras", "a"), None, "there is no file"),
        ((model_file, "one", long), None, "text 2 must have at most max_length=12"),
        ((model_file,), f"one\n\n{long}\n", "line 3 must have at most max_length=12"),
        ((model_file,), b"caf\xe9\n", "standard input must be text in utf-8"),
    ]:
        result = command(*arguments, given=given)
        assert result.exit_code == 1
        assert said in " ".join(result.stderr.split())
    assert command(model_file, "a", "--beam", 0).exit_code == 2


# --- judging ---


def held_out(*rows):
    return [Pair(source, target, "app", source) for source, target in rows]


def test_the_nearest_sentence_is_that_of_the_same_characters():
    training = held_out(("open the file", "A"), ("close window", "B"), ("help", "C"))
    asked = ["open a file", "closing windows", "helping"]
    assert judge.nearest(training, asked) == ["A", "B", "C"]


def test_scores_are_those_of_sacrebleu_at_their_ends():
    texts = ["ouvrir le fichier maintenant", "fermer la fenêtre du bas"]
    assert judge.scores(texts, texts) == (pytest.approx(100), pytest.approx(100))
    bleu, chrf = judge.scores(["xyz", "xyz"], texts)
    assert bleu < 1
    assert chrf < 1


def test_placeholders_that_are_due_are_counted():
    test = held_out(
        ("%(n)s of {x} for %(n)s", "{x}, %(n)s, %(n)s"),
        ("{gone} {kept}", "{kept}"),  # the reference has not the first either
    )
    assert judge.survivors(["%(n)s {x}", "{gone}"], test) == (2, 4)
    assert judge.survivors([pair.target for pair in test], test) == (4, 4)


def test_examples_are_chosen_by_rule():
    test = held_out(*[(f"a b c d {n:03}", "abcdefghij" * 4) for n in range(50)])
    test += held_out(("too short", "x"))
    texts = [("abcdefghij" * 4)[: 40 - n // 2] + "z" * (n // 2) for n in range(51)]
    good, bad = judge.by_rule(texts, test, count=3)
    assert good == [0, 4, 9]  # of the best ten
    assert bad == [49, 45, 40]  # of the worst
    report = judge.report([judge.Way("copy", texts, 0.5)], test)
    assert "| copy | " in report
    assert report.count("\n| a b c d") == 20
    assert judge.by_rule(["x"], held_out(("a b c d", "x"))) == ([], [])


# --- the example ---


def run(*arguments):
    application = typer.Typer()
    application.command()(translate.main)
    return CliRunner().invoke(application, [str(part) for part in arguments])


TINY = translate.Settings(**SIZES, dropout=0.3, epochs=3, minutes=1e6)


@pytest.fixture
def sides():
    return pairs.split(held_out(*TEXTS), valid=0.1, test=0.1)


def test_a_resumed_run_equals_an_unbroken_one(tmp_path, sides, monkeypatch):
    expected, history = translate.train(TINY, sides, tmp_path / "unbroken")
    assert [row["epoch"] for row in history] == [1, 2, 3]
    real = translate.begin_epoch

    def interrupted(model, settings, epoch, used):
        if epoch == 2:
            raise KeyboardInterrupt
        real(model, settings, epoch, used)

    monkeypatch.setattr(translate, "begin_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        translate.train(TINY, sides, tmp_path / "broken")
    monkeypatch.setattr(translate, "begin_epoch", real)
    model, resumed = translate.train(TINY, sides, tmp_path / "broken", resume=True)
    assert [(r["loss"], r["val_loss"]) for r in resumed] == [
        (r["loss"], r["val_loss"]) for r in history
    ]
    for ours, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), other.numpy())
    with pytest.raises(RequestError, match="already holds a run"):
        translate.train(TINY, sides, tmp_path / "broken")


def test_no_epoch_begins_that_has_no_room(tmp_path, sides, monkeypatch):
    """And the rate falls with the minutes."""
    rates = []
    real = translate.begin_epoch

    def noted(model, settings, epoch, used):
        real(model, settings, epoch, used)
        rates.append(float(np.asarray(model.optimizer.learning_rate)))

    clock = iter(range(0, 100_000, 25))  # an epoch takes 25 seconds of it
    monkeypatch.setattr(translate.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(translate, "begin_epoch", noted)
    monkeypatch.setattr(unrolled.Seq2Seq, "fit", lambda *_, **__: History)
    settings = translate.replace(TINY, epochs=30, minutes=1.3)
    _, history = translate.train(settings, sides, tmp_path)
    assert [row["seconds"] for row in history] == [25, 25, 25]
    expected = [1, 1 - 25 / 78, 1 - 50 / 78]
    np.testing.assert_allclose(rates, 2e-3 * np.array(expected), rtol=1e-6)


class History:
    history = {"loss": [1.0], "val_loss": [1.0]}  # noqa: RUF012  (as Keras has it)


def test_a_whole_run_leaves_a_report_and_a_model(tmp_path):
    file = tmp_path / "pairs.tsv"
    ends = [
        ("now", "maintenant"),
        ("here", "ici"),
        ("again", "encore"),
        ("so", "ainsi"),
    ]
    file.write_text(
        "".join(f"{s} {v}\t{t} {w}\n" for s, t in TEXTS for v, w in ends), "utf-8"
    )
    options = [part for k, v in SIZES.items() for part in (f"--{k}", v)]
    out = tmp_path / "run"
    result = run(*options, "--epochs", 1, "--data", file, "--out", out)
    assert result.exit_code == 0, result.output
    report = (out / "report.md").read_text("utf-8")
    assert re.search(r"324 messages, 324 pairs .*: 30\d to train on", report)
    for way in ("copy the source", "nearest sentence", "greedy", "beam 5"):
        assert f"| {way} |" in report
    settings = json.loads((out / "settings.json").read_text())
    assert settings["units"] == 8
    refused = run("--resume", "--units", 9, "--data", file, "--out", out)
    assert refused.exit_code == 1
    assert "begun with --units 8, so it cannot be resumed with" in refused.stderr


def test_a_run_that_was_stopped_says_what_is_left(tmp_path, sides, monkeypatch):
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{s}\t{t}\n" for s, t in TEXTS), "utf-8")
    monkeypatch.setattr(translate, "split", lambda _: sides)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(translate, "train", stopped)
    result = run("--data", file, "--out", tmp_path)
    assert result.exit_code == 130
    assert "Stopped. Nothing was saved." in result.stderr
    (tmp_path / "model.keras").touch()
    result = run("--data", file, "--out", tmp_path)
    assert "as it was after the last whole epoch; --resume goes on" in result.stderr


def test_too_few_messages_and_damaged_runs_are_told_of(tmp_path, sides):
    file = tmp_path / "pairs.tsv"
    file.write_text("yes\toui\n", "utf-8")
    result = run("--data", file, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "Got 1, 0 and 0 of 1 pairs: give more of them." in result.stderr
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 not all of it")
    with pytest.raises(RequestError, match=r"model\.keras cannot be read"):
        translate.train(TINY, sides, tmp_path, resume=True)


def test_a_network_learns_messages_by_heart(tmp_path):
    """The shortest ones of a real catalogue, placeholders and all."""
    package = pytest.importorskip("jupyterlab_language_pack_fr_FR")
    raw = catalogues.read_package(Path(package.__path__[0]), "fr")
    kept, _ = pairs.cleaned(raw, longest=11)
    kept = kept[:120]
    settings = translate.replace(
        TINY, units=64, vocabulary=700, dropout=0.0, epochs=25, rate=1e-2
    )
    sides = pairs.Split(kept, kept[:16], kept[:16])
    model, _ = translate.train(settings, sides, tmp_path)
    found = model.translate([pair.source for pair in kept])
    bleu, chrf = judge.scores(found, [pair.target for pair in kept])
    assert min(bleu, chrf) > 90
    assert judge.survivors(found, kept)[0] >= 10
