"""The originals, run anew: each still gives what is recorded of it.

`make parity` makes their environments: TensorFlow 1.15.5 wants Python 3.7, TensorFlow
2.15 with Addons Python 3.11. Where one is missing, the rows that nobody could check are
said.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from .reference import max_relative
from .test_recorded import LIMITS, RECORDED

ROOT = Path(__file__).parent.parent
RECORDERS = Path(__file__).parent / "recorders"
# Of each folder of recordings: the script that makes it, and whose Python runs it.
# Then the families, if not all.
ORIGINALS = {
    "tf1": ("tf1.py", ".venv-tf1"),
    "tf1_drivers": ("tf1.py", ".venv-tf1", "drivers", "checkpoint"),
    "tf1_losses": ("tf1.py", ".venv-tf1", "losses"),
    "tf1_legacy": ("tf1.py", ".venv-tf1", "legacy"),
    "addons_crf": ("addons.py", ".venv-addons", "crf"),
    "addons_seq2seq": ("addons.py", ".venv-addons", "seq2seq"),
    "addons": ("addons.py", ".venv-addons"),
}


@pytest.mark.parity
@pytest.mark.parametrize("library", ORIGINALS)
def test_a_library_gives_what_is_recorded_of_it(library, tmp_path):
    script, environment, *families = ORIGINALS[library]
    python = ROOT / environment / "bin" / "python"
    recorded = sorted(path.stem for path in (RECORDED / library).glob("*.npz"))
    if not python.exists():
        rows = ", ".join(recorded)
        pytest.skip(f"no {environment} here, so these were not checked: {rows}")
    # TensorFlow 1 stops at a flag of XLA that it does not know.
    inherited = {
        name: value for name, value in os.environ.items() if name != "XLA_FLAGS"
    }
    subprocess.run(
        [python, RECORDERS / script, *families],
        env={**inherited, "RECORDED": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    made = sorted(path.stem for path in (tmp_path / library).glob("*.npz"))
    assert made == recorded
    for name in made:
        with np.load(tmp_path / library / f"{name}.npz") as given:
            live = dict(given)
        with np.load(RECORDED / library / f"{name}.npz") as given:
            kept = dict(given)
        assert live.keys() == kept.keys()
        # Attention there has a softmax in float32, whatever all else is in.
        inside = any("Attn" in key for key in live)
        coarse = inside or any(array.dtype == "float32" for array in live.values())
        limit = LIMITS["float32" if coarse else "float64"]
        for key in live.keys() - {"about"}:
            # A beam that nothing leads to has no number.
            finite = np.isfinite(kept[key])
            np.testing.assert_array_equal(live[key][~finite], kept[key][~finite])
            error = max_relative(live[key][finite], kept[key][finite])
            assert error <= limit, f"{name} {key} off by {error:.3g}"


def test_every_folder_of_recordings_has_its_script():
    folders = {path.name for path in RECORDED.iterdir() if list(path.glob("*.npz"))}
    assert folders == set(ORIGINALS)
