"""Damaged and hostile files: one line, exit status 1, nothing half-written."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from unrolled import files
from unrolled.cli import app

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import sequential

pytestmark = pytest.mark.keras_ranks

X = np.ones((3, 2), "float32")
HUGE = 10**12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    model = sequential(keras.layers.SimpleRNN(2, name="rnn"), shape=(3, 2))
    model.save(folder / "m.keras")
    model.save(folder / "m.h5")
    np.save(folder / "x.npy", X)
    np.savez(folder / "x.npz", a=X)
    return folder


def command(*arguments):
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output.strip()


def refused(*arguments):
    code, said = command(*arguments)
    assert code == 1, said
    assert len(said.splitlines()) == 1
    assert said.startswith("Error: ")
    return said


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def header(shape, dtype="<f4"):
    made = io.BytesIO()
    known = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(made, known)
    return made.getvalue()


def archive(**members):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for name, data in members.items():
            out.writestr(name.replace("_", "."), data)
    return made.getvalue()


def objects():
    made = io.BytesIO()
    np.save(made, np.array([{}], object), allow_pickle=True)
    return made.getvalue()


def configured(folder, old, new):
    """The model with its configuration changed."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(folder / "m.keras") as given,
        zipfile.ZipFile(made, "w") as out,
    ):
        for name in given.namelist():
            data = given.read(name)
            if name == "config.json":
                assert old.encode() in data
                data = data.replace(old.encode(), new.encode())
            out.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_samples_cut_short_and_with_a_wrong_byte(folder, tmp_path, suffix):
    whole = (folder / f"x.{suffix}").read_bytes()
    path = tmp_path / f"x.{suffix}"
    for at in range(0, len(whole) - 1, max(1, len(whole) // 25)):
        for data in (whole[:at], flipped(whole, at)):
            path.write_bytes(data)
            code, said = command(folder / "m.keras", "--sample", path)
            if code:  # a wrong byte may be one of the numbers
                refused(folder / "m.keras", "--sample", path)
            assert "Traceback" not in said


SAMPLES = {
    "huge.npy": (lambda: header((HUGE,)), "4,000,000,000,000 bytes, and at most 2,147"),
    "huge.npz": (lambda: archive(a_npy=header((HUGE,))), "says that it holds 4,000,0"),
    "some.npz": (
        lambda: archive(a_npy=header((1 << 28,)), b_npy=header((1 << 29,))),
        "says that it holds 3,221,225,472 bytes",
    ),
    "text.npz": (lambda: archive(a_npy=b"hello"), "could not be read"),
    "other.npz": (lambda: archive(a_txt=b"hello" * 9), "could not be read"),
    "none.npz": (archive, "it holds no array"),
    "objects.npz": (lambda: archive(a_npy=objects()), "Object arrays"),
    "objects.npy": (objects, "Object arrays"),
    "empty.npy": (bytes, "could not be read"),
    "dates.npy": (lambda: header((1,), "<M8[Y]") + bytes(8), "must hold numbers"),
    "minus.npy": (lambda: header((-1, 3)) + bytes(24), "could not be read"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_hostile_samples(folder, tmp_path, name):
    make, words = SAMPLES[name]
    (tmp_path / name).write_bytes(make())
    assert words in refused(folder / "m.keras", "--sample", tmp_path / name)


def test_models_cut_short_and_with_a_wrong_byte(folder, tmp_path):
    for suffix in ("keras", "h5"):
        whole = (folder / f"m.{suffix}").read_bytes()
        path = tmp_path / f"m.{suffix}"
        for at in range(0, len(whole) - 1, len(whole) // 7):
            for data in (whole[:at], flipped(whole, at)):
                path.write_bytes(data)
                code, _ = command(path, "--text")
                assert not code or refused(path, "--text")


MODELS = {
    "features": ("[null, 3, 2]", f"[null, 3, {HUGE}]", "8,000,000,000,032 bytes"),
    "units": ('"units": 2', f'"units": {10**6}', "4,000,012,000,008 bytes"),
    "steps": ("[null, 3, 2]", f"[null, {HUGE}, 2]", "2,000,000,000,000, of the shape"),
    "batch": ("[null, 3, 2]", f"[{HUGE}, 3, 2]", "6,000,000,000,000, of the shape"),
}


@pytest.mark.parametrize("what", MODELS)
def test_models_that_declare_too_much(folder, tmp_path, what):
    old, new, words = MODELS[what]
    path = tmp_path / "m.keras"
    path.write_bytes(configured(folder, old, new))
    said = refused(path, "--text")
    assert words in said
    assert "at most" in said


def test_a_batch_that_a_sample_would_be_repeated_to(folder, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(configured(folder, "[null, 3, 2]", f"[{HUGE}, 3, 2]"))
    assert "at most" in refused(path, "--sample", folder / "x.npy")


def test_an_hdf5_file_that_says_more_than_it_stores(tmp_path):
    import h5py

    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (HUGE,), "f4", chunks=(1024,))
        file.attrs["model_config"] = json.dumps({})
    assert path.stat().st_size < 10_000
    assert "4,000,000,000,000 bytes, and at most 2,147" in refused(path)


def test_a_zip_that_unpacks_to_too_much(folder, monkeypatch):
    monkeypatch.setattr(files, "LIMIT", 100)
    said = refused(folder / "m.keras")
    assert "bytes, and at most 100 are read" in said


def test_half_a_surrogate_pair(folder, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(configured(folder, '"rnn"', '"r\\ud800n"'))
    to = [tmp_path / name for name in ("p.html", "f.svg", "f.json")]
    options = ["-o", to[0], "--svg", to[1], "--facts", to[2], "--text"]
    code, said = command(path, *options)
    assert code == 0
    assert "r\ufffdn" in said
    assert all("r\ufffdn" in each.read_text("utf-8") for each in to)


@pytest.mark.parametrize("name", ["X.KERAS", "X.H5"])
def test_suffixes_in_capitals(folder, tmp_path, name):
    source = folder / ("m.keras" if name == "X.KERAS" else "m.h5")
    shutil.copy(source, tmp_path / name)
    shutil.copy(folder / "x.npy", tmp_path / "X.NPY")
    code, said = command(tmp_path / name, "--text", "--sample", tmp_path / "X.NPY")
    assert code == 0, said


def test_where_nothing_can_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    (tmp_path / "d.html").mkdir()
    whole = tmp_path / "f.svg"
    model = folder / "m.keras"
    long = "a" * 300 + ".html"
    for path, words in (
        (tmp_path / long, "File name too long"),
        (tmp_path / "file" / "p.html", "is no folder"),
        (tmp_path / "none" / "p.html", "is no folder"),
        (tmp_path / "d.html", "wants a file"),
    ):
        assert words in refused(model, "-o", path, "--svg", whole)
        assert not whole.exists()  # told before anything is written
    for mode, words in ((os.W_OK, "cannot be changed"), (os.R_OK, "it may not be")):
        with monkeypatch.context() as patch:  # for root everything may be
            patch.setattr(os, "access", lambda path, asked, mode=mode: asked != mode)
            assert words in refused(model, "-o", tmp_path / "p.html")
    # As long as a name may be, although it is written under another first.
    code, said = command(model, "-o", tmp_path / ("a" * 250 + ".html"))
    assert code == 0, said


def test_a_disk_that_is_full_when_the_page_is_written(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "p.html"
    path.write_text("what was there")
    monkeypatch.setattr(Path, "replace", full)
    assert "No space left on device." in refused(folder / "m.keras", "-o", path)
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_and_names_that_are_no_files(folder, tmp_path):
    (tmp_path / "d.keras").mkdir()
    (tmp_path / "d.npy").mkdir()
    assert "is no file" in refused(tmp_path / "d.keras")
    assert "is no file" in refused(folder / "m.keras", "--sample", tmp_path / "d.npy")
    assert "File name too long" in refused("a" * 300 + ".keras")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["doctor"], ["explain", "m.keras"]])
def test_words_that_do_not_get_out(folder, words):
    code = "from unrolled.cli import app; app()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            check=False,
            timeout=300,
        )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "arning" not in line]
    assert said[-1].startswith("Error: standard output could not be written: No space")
    assert "Traceback" not in done.stderr
