"""The examples that read text: characters, and the classic configuration."""

import re
import sys
from pathlib import Path

import unrolled  # noqa: F401  (before keras: it selects the JAX backend)

import jax
import keras
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import characters  # noqa: E402  (the examples are scripts, not a package)
import classic  # noqa: E402
from catalogues import Pair  # noqa: E402
from folder import RequestError  # noqa: E402

# The models have Keras's own Dense on top.
pytestmark = pytest.mark.keras_ranks


def run(main, *arguments):
    application = typer.Typer()
    application.command()(main)
    return CliRunner().invoke(application, [str(part) for part in arguments])


# --- characters ---


def test_text_is_english_and_the_same_every_time():
    text = characters.read_text(20_000)
    assert len(text) == 20_000
    assert text == characters.read_text(20_000)
    assert text.isascii()
    assert text.count(" the ") > 50


def test_rows_go_on_from_window_to_window():
    ids = np.arange(1000, dtype="int32")
    windows = characters.Windows(ids, alphabet=1000, rows=3, steps=50)
    assert windows.begins == [0, 300, 600]
    read = []
    for k in range(len(windows)):
        x, y = windows[k]
        assert x.shape == (3, 50, 1000)
        np.testing.assert_array_equal(x.sum(-1), np.ones((3, 50)))
        np.testing.assert_array_equal(y, x.argmax(-1) + 1)
        read.append(x.argmax(-1))
    whole = np.concatenate(read, axis=1)
    for row, begin in zip(whole, windows.begins, strict=True):
        np.testing.assert_array_equal(row, np.arange(begin, begin + 300))
    with pytest.raises(RequestError, match=r"more than rows x steps = 150 .* Got 150"):
        characters.Windows(ids[:150], 1000, 3, 50)


def test_writing_on_reads_what_was_written(monkeypatch):
    """At next to no temperature it is the likeliest character, of one whole pass."""
    monkeypatch.setattr(characters, "TEMPERATURES", (1e-4, 1e-4, 1.0))
    keras.utils.set_random_seed(3)
    model = characters.build(8, rows=3, steps=5, alphabet=4)
    kernel, *rest = model.layers[0].get_weights()
    rng = np.random.default_rng(0)
    model.layers[0].set_weights([3 * rng.normal(size=kernel.shape), *rest])
    first, second, drawn = characters.write_on(model, "abcd", "bad", 20, seed=1)
    assert first == second
    assert drawn != first
    assert len(set(first[3:])) > 1
    x = np.eye(4, dtype="float32")[[["abcd".index(c) for c in first]] * 3]
    model.layers[0].reset_state()
    likeliest = np.asarray(model.layers[1](model.layers[0](x)))[0].argmax(-1)
    assert first[:3] == "bad"
    assert first[3:] == "".join("abcd"[k] for k in likeliest[2:-1])


def test_a_run_over_characters(tmp_path):
    options = ["--units", 24, "--length", 9000, "--epochs", 4, "--out", tmp_path]
    result = run(characters.main, *options)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert re.search(r"A batch is 3 x 50 x \d\d, and 56 batches make an epoch", said)
    assert "begin at the characters 0, 2,800, 5,600" in said
    reached = [float(n) for n in re.findall(r"([\d.]+) in text that was not", said)]
    assert reached[-1] < reached[0] < 6.6  # bits; of 97 characters alike it is 6.6
    assert reached[-1] < 5
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.input_shape[:2] == (3, 50)
    drawn = (tmp_path / "unit.svg").read_text("utf-8")
    assert drawn.count("<rect") == 150
    assert "batch" in (tmp_path / "explain.html").read_text("utf-8")


# --- classic ---

TINY = classic.Settings(
    vocabulary=40, size=6, layers=2, batch=3, sampled=4, steps=1, seed=1
)


def few_pairs():
    return [
        Pair(f"open file {n}", f"ouvrir le fichier {n}", "app", "") for n in range(9)
    ]


def test_words_are_numbered_by_how_frequent_they_are():
    assert classic.words("It's 1994!") == ["It", "'", "s", "0000", "!"]
    ids = classic.ids_of([["b", "a", "b"], ["c", "b", "a"]], size=6)
    assert ids == [[4, 5, 4], [classic.UNKNOWN, 4, 5]]


def test_pairs_lie_in_the_shortest_bucket_with_room_for_the_end():
    given = [
        Pair("a " * source, "b " * target, "app", "")
        for source, target in [(5, 9), (5, 10), (6, 2), (41, 2), (40, 49)]
    ]
    found = classic.in_buckets(given, 10)
    counts = {bucket: len(rows) for bucket, rows in found.items()}
    assert counts == {(5, 10): 1, (10, 15): 2, (40, 50): 1}


def test_a_batch_is_read_from_its_end():
    batch = classic.draw([([7, 8], [9])], (3, 4), 2, np.random.default_rng(0))
    assert batch.source.tolist() == [[8, 7, 0]] * 2
    assert batch.given.tolist() == [[classic.GO, 9, 0, 0]] * 2
    assert batch.target.tolist() == [[9, classic.END, 0, 0]] * 2


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_greedy_is_the_likeliest_of_what_is_taught(cell):
    """Fed its own words, the taught network says them again."""
    keras.utils.set_random_seed(0)
    settings = classic.Settings(cell=cell, vocabulary=9, size=5, layers=2)
    model = classic.Classic(settings, "full")
    source = np.array([[4, 5, 6, 0], [8, 0, 0, 0]], "int32")
    found = np.asarray(model.greedy(source, 6))
    given = np.concatenate([np.full((2, 1), classic.GO), found[:, :-1]], axis=1)
    again = np.asarray(model((source, given.astype("int32"))).argmax(-1))
    for row, own in zip(found, again, strict=True):
        ended = row.tolist().index(classic.END) + 1 if classic.END in row else 6
        np.testing.assert_array_equal(row[:ended], own[:ended])


def test_full_and_sampled_are_measured(tmp_path, monkeypatch):
    """Here in one process, for the sake of time."""
    monkeypatch.setattr(classic, "alone", classic.measure)
    file = tmp_path / "pairs.tsv"
    lines = [f"{pair.source}\t{pair.target}" for pair in few_pairs()]
    file.write_text("\n".join(lines), "utf-8")
    found = []
    monkeypatch.setattr(classic, "report", lambda *given: found.extend(given[2]))
    options = "--vocabulary 40 --size 6 --layers 1 --batch 3 --sampled 4 --steps 1"
    result = run(classic.main, *options.split(), "--data", file)
    assert result.exit_code == 0, result.output
    full, sampled = found
    assert full["weights"] == sampled["weights"]
    # V = 40 words alike; a sample of 4 and the right one beside them have less to say.
    assert full["perplexity"][0] == pytest.approx(40, rel=0.1)
    assert sampled["perplexity"][0] < 30
    for each in found:
        assert list(each["ms"]) == [(5, 10)]
        assert each["ms"][5, 10] > 0
        assert each["memory"] > 50


def test_the_rate_falls_when_the_loss_does_not(monkeypatch):
    losses = iter([3.0, 2.0, 1.0, 2.5, 3.5, 0.5])

    class Given(classic.Classic):
        def train_on_batch(self, *_):
            return next(losses)

        def greedy(self, *_):
            return np.zeros(3)

        def count_params(self):
            return 0

    monkeypatch.setattr(classic, "Classic", Given)
    found = classic.measure(
        classic.Settings(vocabulary=40, size=4, layers=1, batch=3, steps=5),
        "full",
        few_pairs(),
    )
    # 2.5 is less than 3.0, one of the last three; 3.5 is more than all of them.
    assert found["rate"] == pytest.approx(0.5 * 0.99)


def test_a_table_of_both(capsys):
    one = {
        "softmax": "full",
        "weights": 10,
        "ms": {(5, 10): 12.0},
        "perplexity": (40.0, 30.0),
        "rate": 0.5,
        "greedy": 3.0,
        "memory": 99.0,
    }
    classic.report(TINY, few_pairs(), [one, {**one, "softmax": "sampled"}])
    said = capsys.readouterr().out
    assert "sampled softmax" in said
    assert "40 to 30" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sampled", 50, "--vocabulary", 40], "--sampled must be at most 40"),
        (["--folder", "nowhere"], "run make catalogues"),
    ],
)
def test_what_cannot_be_measured_is_told(options, said):
    result = run(classic.main, *options)
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())


def test_a_memory_of_its_own_is_that_of_a_process():
    """A process of its own runs what it is given, and gives it back."""
    assert jax.devices()  # JAX runs here already, with threads: nothing is forked
    with pytest.raises(KeyError, match="no-cell"):
        classic.alone(classic.Settings(cell="no-cell"), "full", few_pairs())
