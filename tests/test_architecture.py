"""The house rules of the source: imports run one way, files stay small."""

import ast
import inspect
from pathlib import Path

import unrolled

import pytest

ROOT = Path(unrolled.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# The rooms, lowest first; a room may import from itself and from those below.
FLOORS = [
    {"_partition", "deferred", "foreign"},
    {
        *("arguments", "carried", "checks", "loop", "pure", "samplers", "losses"),
        *("_backend", "_native"),
    },
    {"cells"},
    {"kernels", "parts", "wrappers", "attention"},
    {"running"},
    {"rnn"},
    {"layers", "bidirectional", "decoding"},
    {"accelerate", "doctor"},
    {"explain", "interop", "stream"},
    {"cli", "__main__"},
    {"__init__"},
]
LEAVES = {"deferred", "foreign", "samplers"}
# Rooms on one floor that know each other.
NEIGHBOURS = {
    ("carried", "arguments"),
    ("checks", "arguments"),
    ("wrappers", "attention"),
    ("attention", "wrappers"),
    ("explain", "interop"),
    ("bidirectional", "layers"),
    ("__main__", "cli"),
    ("wrappers", "kernels"),
}


def _room(file):
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def _floor(room):
    floors = [n for n, rooms in enumerate(FLOORS) if room in rooms]
    assert floors, f"{room}: say in FLOORS on which floor this room is"
    return floors[0]


def _imports(file):
    """Rooms of ours that `file` imports, wherever the import stands."""
    package = file.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = list(package)[: len(package) - (node.level - 1)]
            elif (node.module or "").split(".")[0] == "unrolled":
                base = []
            else:
                continue
            parts = [p for p in (node.module or "").split(".") if p != "unrolled" and p]
            path = base + parts
            for alias in node.names:
                yield (path or [alias.name])[0]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "unrolled":
                    yield ([*alias.name.split("."), "__init__"])[1]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_run_one_way(file):
    room = _room(file)
    for other in set(_imports(file)) - {room}:
        allowed = _floor(other) < _floor(room) or (room, other) in NEIGHBOURS
        assert allowed, f"{room} must not import {other}"
        assert room not in LEAVES, f"{room} is a leaf and imports nothing of ours"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_files_stay_small(file):
    assert len(file.read_text().splitlines()) <= 450


def test_loop_knows_neither_keras_nor_cells():
    assert list(_imports(ROOT / "loop.py")) == ["deferred"]
    assert "keras" not in _modules(ROOT / "loop.py")


def _modules(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_only_interop_names_other_engines(file):
    if _room(file) != "interop":
        foreign = {"torch", "tensorflow", "flax", "onnx", "onnxruntime"}
        assert not foreign & set(_modules(file))


# What runs the model; all else in explain/ reads the plain facts it wrote down.
DESCRIBERS = {
    "capture",
    "claims",
    "describe",
    "everystep",
    "experiments",
    "layer_facts",
    "shapes",
    "stepping",
    "together",
    "trace",
}


def test_explain_renderers_never_see_keras():
    files = [f for f in FILES if _room(f) == "explain" and f.stem not in DESCRIBERS]
    assert {"text", "svg"} <= {f.stem for f in files}
    for file in files:
        if file.stem != "__init__":
            assert not {"keras", "jax"} & set(_modules(file)), file.stem
            drawn = {"describe", *DESCRIBERS} & set(_within(file))
            assert file.stem in ("kinds", "ledger", "pack", "walk") or not drawn


def _within(file):
    """Files of explain/ that a file of explain/ imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and "explain" in (node.module or ""):
            yield node.module.split(".")[-1]
            yield from (alias.name for alias in node.names)


def test_the_time_axis_is_walked_in_one_place():
    """One loop in all of the package (decoding stops on data)."""
    walkers = {
        str(file.relative_to(ROOT))
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("scan", "fori_loop", "while_loop", "associative_scan")
    }
    assert "loop.py" in walkers
    assert walkers <= {"loop.py", "deferred.py", "decoding.py"}


def test_everything_exported_exists_and_is_documented():
    assert len(unrolled.__all__) == len(set(unrolled.__all__))
    for name in unrolled.__all__:
        thing = getattr(unrolled, name)
        assert inspect.getdoc(thing), name
        assert thing.__module__.startswith("unrolled"), name
