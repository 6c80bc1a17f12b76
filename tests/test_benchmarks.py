"""The benchmark driver runs; no figure is judged."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def bench(tmp_path, *options):
    """Run the driver with this Python for every peer; its exit code and table."""
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--here"]
    command += ["--rounds", "2", "--results", str(tmp_path), "--name", "smoke"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=300, check=False
    )
    assert (tmp_path / "smoke.md").exists(), done.stderr
    return done.returncode, (tmp_path / "smoke.md").read_text()


def test_ours_beside_keras(tmp_path):
    code, table = bench(
        tmp_path,
        *("--peers", "unrolled", "keras", "--shapes", "2,3,4,5", "--cells", "LSTM"),
        *("--mode", "forward", "training"),
    )
    assert code == 0, table
    for mode in ("forward", "training"):
        assert f"| LSTM {mode} | unrolled | keras |" in table
    rows = [line for line in table.splitlines() if line.startswith("| 2,3,4,5 |")]
    assert len(rows) == 2
    for row in rows:
        assert row.count("±") == 2
        assert float(row.split("|")[-2]) < 1e-4  # the peers agree


def test_a_failing_peer_is_shown(tmp_path):
    """Flax has an environment of its own: it is not in the one of the tests."""
    code, table = bench(
        tmp_path,
        *("--peers", "keras", "flax", "--shapes", "2,3,4,5", "--cells", "LSTM"),
        *("--mode", "forward"),
    )
    assert code == 1
    assert "flax: FAILED to start: ModuleNotFoundError" in table
