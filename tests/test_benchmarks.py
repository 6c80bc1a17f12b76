"""The benchmarks run; no figure is judged."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import unrolled

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# Runs a tool with another checkout's build stood in for by the one of the tests: to
# build one takes minutes.
STAND_IN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import environments, bench
environments.python = lambda peer, here: sys.executable
sys.exit(bench.main())
"""


def run(*command):
    """Run Python on something; what came of it."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def tabled(tmp_path, *command):
    """Run a tool with this Python for every peer; its exit code and file."""
    keep = ("--results", tmp_path, "--name", "smoke")
    done = run(*command, "--here", *keep)
    assert (tmp_path / "smoke.md").exists(), done.stderr
    return done.returncode, (tmp_path / "smoke.md").read_text()


def bench(tmp_path, *options):
    """Run the driver so."""
    return tabled(tmp_path, BENCHMARKS / "bench.py", "--rounds", "2", *options)


def rows(table, label):
    """The cells of all rows of a label."""
    lines = [line for line in table.splitlines() if line.startswith(f"| {label} |")]
    return [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]


def test_ours_beside_keras(tmp_path):
    code, table = bench(
        tmp_path,
        *("--peers", "unrolled", "keras", "--shapes", "2,3,4,5", "--cells", "LSTM"),
        *("--mode", "forward", "training"),
    )
    assert code == 0, table
    for mode in ("forward", "training"):
        assert f"| LSTM {mode} | unrolled | keras | difference |" in table
    found = rows(table, "2,3,4,5")
    assert len(found) == 2
    for ours, keras, difference in found:
        assert "±" in ours
        assert "±" in keras
        assert float(difference) < 1e-4  # the peers agree


def test_convolutional_layers_beside_keras(tmp_path):
    code, table = tabled(
        tmp_path,
        *(BENCHMARKS / "conv.py", "--rounds", "2", "--cells", "ConvLSTM1D"),
    )
    assert code == 0, table
    for mode in ("forward", "training"):
        assert f"| ConvLSTM1D {mode} | unrolled | keras | difference |" in table
    found = rows(table, "16,20,64,8,32, window 3")
    assert len(found) == 2
    for _, _, difference in found:
        assert float(difference) < 1e-4


def test_a_decoder_beside_keras(tmp_path):
    """Both have the same loss, gradients and tokens."""
    code, table = tabled(
        tmp_path,
        *(BENCHMARKS / "decode.py", "--rounds", "2", "--peers", "unrolled"),
        *("keras_rnn", "--rows", "2,3,4", "--widths", "9,4,2", "--beam", "2"),
    )
    assert code == 0, table
    for mode in ("training", "greedy"):
        [(ours, keras, difference)] = rows(table, mode)
        assert "±" in ours
        assert "±" in keras
        assert float(difference) < 1e-4
    [(ours, keras, _)] = rows(table, "beam 2")
    assert "±" in ours
    assert keras == "-"
    assert "keras_rnn: a beam search is not an RNN" in table


def test_a_cell_of_a_user_on_the_scan_and_in_keras(tmp_path):
    """All have the same outputs and gradients; the plain LSTM is another cell."""
    code, table = tabled(
        tmp_path,
        *(BENCHMARKS / "fused.py", "--rounds", "2", "--shapes", "2,3,4,6"),
        *("--cells", "attention", "--mode", "training"),
        *("--peers", "unrolled", "scan", "keras_rnn", "LSTM"),
    )
    assert code == 0, table
    assert "\n- attention: the " in table  # what `plan` says
    [figures] = rows(table, "attention")
    assert all("±" in figure for figure in figures[:4])
    assert [float(difference) < 1e-5 for difference in figures[-2:]] == [True, True]


def test_a_failing_peer_is_shown(tmp_path):
    """Flax has an environment of its own: it is not in the one of the tests."""
    code, table = bench(
        tmp_path,
        *("--peers", "keras", "flax", "--shapes", "2,3,4,5", "--cells", "LSTM"),
        *("--mode", "forward"),
    )
    assert code == 1
    assert "flax: FAILED to start: ModuleNotFoundError" in table


def test_ours_beside_another_build(tmp_path):
    """In a forward pass, training and a stream, its ratio to ours beside it."""
    code, table = tabled(
        tmp_path,
        *("-c", STAND_IN, BENCHMARKS, "--rounds", "3", "--cells", "LSTM"),
        *("--against", BENCHMARKS.parent, "--against-name", "before"),
        *("--peers", "keras", "unrolled", "--shapes", "2,1,4,5"),
        *("--mode", "forward", "training", "stream"),
    )
    assert code == 0, table
    for name in ("unrolled", "before"):
        assert f"\n- {name}: commit " in table
        assert f", unrolled {unrolled.__version__}, LSTM(8) in " in table
    for mode in ("forward", "training", "stream, µs"):
        assert f"| LSTM {mode} | keras | unrolled | before | difference |" in table
    compiled = "native" in unrolled.LSTM(8).plan((1, 1, 8))
    found = rows(table, "2,1,4,5")
    assert len(found) == 3
    for keras, ours, theirs, difference in found[: 2 + compiled]:
        assert "[" not in keras
        assert "[" in ours
        assert "[" in theirs
        assert float(difference) < 1e-4
    assert ("no compiled core here" in table) is not compiled


@pytest.fixture
def tools(monkeypatch):
    """The modules of the driver, which import each other by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("cases", "driver", "environments", "report")
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        del sys.modules[name]


def test_a_ratio_is_to_its_own_column(tools):
    """Another build is divided by the same of this one, round by round."""
    who = tools.environments.Who
    peers = [who("a", "keras"), who("b", "unrolled"), who("c", "unrolled", over="b")]
    times = {"a": [1.0, 1.0, 1.0], "b": [2.0, 4.0, 8.0], "c": [4.0, 4.0, 24.0]}
    timings = {name: tools.driver.Timing(seconds) for name, seconds in times.items()}
    row = tools.driver.Row(tools.cases.Case("LSTM", "forward", (1, 2, 3, 4)), timings)
    [figures] = rows(tools.report.tables(peers, [row], lambda row: {}), "1,2,3,4")
    assert figures[0] == "1e+03 ±0"
    assert figures[1].endswith("[4.00; 3.00-6.00]")
    assert figures[2].endswith("[2.00; 1.50-2.50]")
    assert tools.driver.quartiles([3.0]) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--against", "nowhere"), "--against: must be a checkout of this project"),
        (
            ("--against", BENCHMARKS.parent, "--against-name", "unrolled"),
            "--against-name must be a word that heads no other column. Got unrolled",
        ),
        (("--peers", "unrolled:int4"), "must be one of unrolled, keras, "),
        (("--shapes", "1,2,3"), "must be B,T,D,U, four positive sizes. Got 1,2,3"),
        (("--mode", "stream", "--shapes", "1,2,3,4"), "T = 1 for stream"),
        (("--gpu", "--mode", "fit"), "--gpu measures forward and training alone"),
        (("--gpu", "--peers", "flax"), "--gpu is for unrolled, keras, torch"),
    ],
)
def test_what_cannot_be_measured_is_said(options, said):
    done = run(BENCHMARKS / "bench.py", *options)
    assert done.returncode
    assert said in done.stderr


def test_memory(tmp_path):
    small = ("--steps", "3", "5", "--units", "4", "--features", "2", "--batch", "1")
    peaks = ("--cells", "GRU", "--peak-batch", "3")
    code, table = tabled(tmp_path, BENCHMARKS / "memory.py", *small, *peaks)
    assert code == 0, table
    assert "| peak / held: B,T,D,U | unrolled | keras | its input |" in table
    for mode in ("forward", "training"):
        [(*both, given, made)] = rows(table, f"GRU {mode}, 3,2,2,4")
        for peer in both:
            assert len([float(figure) for figure in peer.split(" / ")]) == 2
        assert float(given) == float(made) == 0  # of a MiB
    assert "| scratch: B,D,U | unrolled, T=3 | unrolled, T=5 | keras, T=3 |" in table
    [figures] = rows(table, "GRU, 1,2,4")
    assert len([float(figure) for figure in figures]) == 7


class TestEnvironments:
    """What a peer runs in is made once, and anew if what it is made of changed."""

    @pytest.fixture
    def environments(self, tools, tmp_path, monkeypatch):
        """The module, with commands noted instead of run."""
        module = tools.environments
        monkeypatch.setattr(module, "HOME", tmp_path / "home")
        module.commands = []

        def note(_, command):
            module.commands.append([str(word) for word in command])
            for name in ("keras", "keras-gpu", "unrolled-against"):
                (module.HOME / name).mkdir(parents=True, exist_ok=True)

        monkeypatch.setattr(module, "run", note)
        return module

    @pytest.fixture
    def checkout(self, tmp_path):
        """Another checkout, of two files."""
        folder = tmp_path / "before"
        for name in ("native/core.cc", "src/unrolled/__init__.py"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text("\n")
        for name in ("CMakeLists.txt", "pyproject.toml"):
            (folder / name).write_text("\n")
        return folder

    def test_only_what_is_asked_for(self, environments, monkeypatch):
        peer = environments.Who("keras", "keras")
        python = environments.python(peer, here=False)
        assert python == str(environments.HOME / "keras" / "bin" / "python")
        venv, install = environments.commands
        assert venv[1:] == ["-m", "venv", str(environments.HOME / "keras")]
        assert install[-2:] == list(environments.NEEDS["keras"])
        environments.python(peer, here=False)
        assert len(environments.commands) == 2
        monkeypatch.setitem(environments.NEEDS, "keras", ("keras==4.0",))
        environments.python(peer, here=False)
        assert environments.commands[-1][-1] == "keras==4.0"

    def test_on_a_gpu(self, environments):
        peer = environments.Who("keras", "keras", gpu=True)
        python = environments.python(peer, here=False)
        assert python == str(environments.HOME / "keras-gpu" / "bin" / "python")
        install = environments.commands[-1]
        keras, jax = environments.NEEDS["keras"]
        assert install[-2:] == [keras, jax.replace("jax", "jax[cuda12]")]

    def test_this_python(self, environments):
        peer = environments.Who("unrolled", "unrolled")
        assert environments.python(peer, here=True) == sys.executable
        assert not environments.commands

    @pytest.mark.parametrize("here", [False, True])
    def test_another_checkout(self, environments, checkout, here):
        peer = environments.Who("before", "unrolled", checkout=checkout)
        own = environments.HOME / "unrolled-against" / "bin" / "python"
        assert environments.python(peer, here) == str(own)
        assert environments.commands[-1][0] == str(own)
        assert environments.commands[-1][-1] == str(checkout)
        environments.python(peer, here)
        assert len(environments.commands) == 3
        (checkout / "native" / "core.cc").write_text("int changed;\n")
        environments.python(peer, here)
        assert len(environments.commands) == 4
        assert environments.commands[-1][-1] == str(checkout)

    def test_what_does_not_install_is_said(self, tools, tmp_path, monkeypatch):
        environments = tools.environments
        monkeypatch.setattr(environments, "HOME", tmp_path)
        monkeypatch.setitem(environments.NEEDS, "keras", ("--no-such-option",))
        peer = environments.Who("keras", "keras")
        for _ in range(2):  # and tried again
            with pytest.raises(environments.SetupError, match="could not be set up"):
                environments.python(peer, here=False)
        assert "no such option" in (tmp_path / "keras.log").read_text()


def test_what_checkpoint_saves():
    done = run(BENCHMARKS / "checkpoint.py", "--shape", 40, 2, 3, 4)
    assert done.returncode == 0, done.stderr
    for label in ("kernel", "scan"):
        found = rows(done.stdout, label)
        assert [name for name, *_ in found] == ["without", "checkpoint=True"]
        assert all(float(figure) >= 0 for _, *figures in found for figure in figures)


def test_a_cell_beside_a_python_loop():
    done = run(BENCHMARKS / "each_step.py", "--shape", 2, 3, 3, 4, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    for label in ("h fed back", "attention"):
        found = rows(done.stdout, label)
        assert [name for name, *_ in found] == ["a cell in `RNN`", "a Python loop"]
        assert all(float(figure) >= 0 for _, *figures in found for figure in figures)
