"""Where a peer runs: an environment of its own, made when it is first asked for.

None decides what versions another may have. Our own package is built into its
environment with its compiled core, and again once the checkout's sources changed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HOME = ROOT / ".venv-bench"

KERAS, JAX = "keras==3.15.1", "jax==0.10.2"
ON_GPU = {JAX: "jax[cuda12]==0.10.2"}  # torch as PyPI has it has CUDA anyway
BUILD = ("scikit-build-core==1.*", "cmake==4.*", "ninja==1.*")
NEEDS = {
    "unrolled": (KERAS, JAX, *BUILD),
    "keras": (KERAS, JAX),
    "flax": ("flax==0.12.*", JAX),
    "torch": ("torch==2.13.0", "numpy"),
    "onnxruntime": ("onnxruntime==1.32.*", "onnx==1.23.*", "numpy"),
    "tensorflow": ("tensorflow-cpu==2.21.*", KERAS),
    "keras_rnn": (KERAS, JAX, *BUILD),
    "tensorflow1": ("tensorflow==1.15.5", "protobuf<3.21", "numpy<1.19"),
    "addons": (
        *("tensorflow-cpu==2.15.1", "tensorflow-addons==0.23.0", "numpy<2"),
        # what newer ones ask of a state that is a tuple has no answer
        "typing-extensions<4.6",
    ),
    "core": (JAX, *BUILD),
    "page": (KERAS, JAX, *BUILD, "playwright==1.*", "mlxtend==0.*"),
}
PEERS = ("unrolled", "keras", "flax", "torch", "onnxruntime", "tensorflow")
GPU_PEERS = ("unrolled", "keras", "torch")
INSTALLED = ("unrolled", "keras_rnn", "page")  # have our package in them
OLD = {"tensorflow1": "3.7", "addons": "3.11"}  # what runs on another Python
OURS = (*INSTALLED, "core")  # another checkout has them too


class SetupError(Exception):
    """A peer cannot be set up here; shown in the table, not the end of the run."""


@dataclass(frozen=True)
class Who:
    """A peer as it was asked for: a file of peers/, an option, one of our builds."""

    name: str  # heads its column
    module: str
    option: str = ""
    checkout: Path = ROOT
    over: str = ""  # the column that its times are divided by, if not the first
    gpu: bool = False

    @property
    def log(self) -> Path:
        """What it printed."""
        return HOME / f"{self.name}.log"


def python(peer: Who, here: bool) -> str:
    """The interpreter of a peer, what it runs made first if it is not up to date.

    Args:
        peer: whose.
        here: run all in this interpreter, apart from a build of another checkout, and
            what needs another Python.
    """
    installed = peer.module in INSTALLED
    another = installed and peer.checkout != ROOT
    own = sys.executable
    if another or not here or peer.module in OLD:
        place = HOME / (peer.module + "-gpu" * peer.gpu + "-against" * another)
        swaps = ON_GPU if peer.gpu else {}
        needs = " ".join(swaps.get(need, need) for need in NEEDS[peer.module])
        own = str(place / "bin" / "python")
        pip = [own, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        base = interpreter(OLD[peer.module]) if peer.module in OLD else sys.executable
        make = [base, "-m", "venv", place], [*pip, *needs.split()]
        once(peer, place / "environment", needs, *make)
        if installed:
            state = f"{needs} {sources(peer.checkout)}"
            # kept, so that what did not change is not compiled again
            build = f"--config-settings=build-dir={place / 'build'}"
            build = [*pip, "--no-build-isolation", build, peer.checkout]
            once(peer, place / "package", state, build)
    if peer.module == "core":
        beside, folder = Path(own).parent / "cmake", peer.checkout / "build" / "core"
        cmake = beside if beside.exists() else "cmake"
        for_headers = f"-DPython3_EXECUTABLE={own}"
        run(peer, [cmake, "-S", peer.checkout, "-B", folder, for_headers])
        run(peer, [cmake, "--build", folder, "--target", "core_time", "--parallel"])
    return own


def interpreter(version: str) -> str:
    """A Python of another version, on the path or pyenv's."""
    found = shutil.which(f"python{version}")
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if not found and not kept:
        raise SetupError(f"needs Python {version}, and there is none here")
    return found or str(kept[-1])


def once(peer: Who, stamp: Path, state: str, *commands: list) -> None:
    """Run commands, unless they have been for the same state."""
    if stamp.exists() and stamp.read_text() == state:
        return
    print(f"bench: {stamp.name} for {peer.name}", file=sys.stderr, flush=True)
    stamp.unlink(missing_ok=True)
    for command in commands:
        run(peer, command)
    stamp.write_text(state)


def run(peer: Who, command: list) -> None:
    """Run a command of the set-up, its words in the peer's log."""
    HOME.mkdir(exist_ok=True)
    with peer.log.open("w") as log:
        try:
            subprocess.run(command, stdout=log, stderr=log, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = f"could not be set up (see {peer.log}): {error}"
            raise SetupError(said) from None


def sources(checkout: Path) -> str:
    """What a build of a checkout is made of, its place and a hash of every file."""
    found = hashlib.sha256(str(checkout).encode())
    files = [checkout / "CMakeLists.txt", checkout / "pyproject.toml"]
    for folder in ("native", "src/unrolled"):
        files += sorted((checkout / folder).rglob("*"))
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            found.update(f"{file.relative_to(checkout)}\n".encode())
            found.update(file.read_bytes())
    return found.hexdigest()


def commit(checkout: Path) -> str:
    """Which commit a checkout is at, `-dirty` if files differ; empty if unknown."""
    if not shutil.which("git"):
        return ""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    return done.stdout.strip()
