"""The house rules of the source: imports run one way, files stay small."""

import ast
import graphlib
import inspect
from pathlib import Path

import unrolled

import pytest

ROOT = Path(unrolled.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# The rooms, lowest first: a room imports from itself and from floors below.
FLOORS = [
    {"_backend", "_borrowed", "checks", "files"},
    {"kinds", "misnamed"},
    {"arguments"},
    {"cells"},
    {"attention", "engine"},
    {"layers"},
    {"decoding"},
    {"translation"},
    {"accelerate", "doctor", "explain", "stream", "tf1"},
    {"cli"},
    {"__main__", "__init__"},
]
# In explain: words and pixels are made of plain facts.
EXPLAIN = [{"blobs", "gates"}, {"words"}, {"facts", "show"}, {"__init__"}]


def _name(file):
    """A file as its path inside the package: ``("cells", "lstm")``."""
    return file.relative_to(ROOT).with_suffix("").parts


NAMES = {_name(file): file for file in FILES}


def _imports(file):
    """The files of ours that `file` imports, wherever the import stands."""
    package = _name(file)[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            ours = (node.module or "").split(".")
            if node.level:
                base = package[: len(package) - node.level + 1]
                path = (*base, *(part for part in ours if part))
            elif ours[0] == "unrolled":
                path = tuple(ours[1:])
            else:
                continue
            for alias in node.names:
                yield _file((*path, alias.name), path)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "unrolled":
                    yield _file(tuple(alias.name.split(".")[1:]))


def _file(*paths):
    """The first of some paths that is a file, a package standing for its own."""
    tried = [each for path in paths for each in (path, (*path, "__init__"))]
    return next(NAMES[path] for path in tried if path in NAMES)


IMPORTS = {file: set(_imports(file)) - {file} for file in FILES}
EACH = pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))


def _floor(room, floors):
    found = [n for n, rooms in enumerate(floors) if room in rooms]
    assert found, f"{room}: say on which floor this room is"
    return found[0]


def _hold(file, floors, depth):
    room = _name(file)[depth]
    for other in IMPORTS[file]:
        if len(_name(other)) > depth and (there := _name(other)[depth]) != room:
            below = _floor(there, floors) < _floor(room, floors)
            assert below, f"{room} must not import {there}"


@EACH
def test_imports_run_one_way(file):
    _hold(file, FLOORS, 0)
    if _name(file)[0] == "explain":
        inside = {f for f in IMPORTS[file] if _name(f)[0] == "explain"}
        assert inside <= set(NAMES.values())
        for other in inside:
            here, there = _name(file)[1], _name(other)[1]
            below = _floor(there, EXPLAIN) < _floor(here, EXPLAIN)
            assert here == there or below, f"{here} must not import {there}"


def test_every_room_is_on_one_floor():
    rooms = {_name(file)[0] for file in FILES}
    listed = [room for floor in FLOORS for room in floor]
    assert len(listed) == len(set(listed))
    assert set(listed) == rooms


def test_no_files_import_each_other_in_a_circle():
    # A package that gathers its own files is no step of a circle.
    graph = {
        file: {other for other in others if other.stem != "__init__"}
        for file, others in IMPORTS.items()
        if file.stem != "__init__"
    }
    list(graphlib.TopologicalSorter(graph).static_order())


def test_a_circle_would_be_found():
    a, b, c = "abc"
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({a: {b}, b: {c}, c: {a}}).static_order())


@EACH
def test_files_stay_small(file):
    assert len(file.read_text().splitlines()) <= 450


def test_loop_knows_neither_keras_nor_cells():
    loop = NAMES["engine", "loop"]
    assert IMPORTS[loop] <= {NAMES["engine", "deferred"], NAMES["engine", "__init__"]}
    assert "keras" not in _modules(loop)


def _modules(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


@EACH
def test_nothing_names_other_engines(file):
    foreign = {"torch", "tensorflow", "flax", "onnx", "onnxruntime"}
    assert not foreign & set(_modules(file))


@EACH
def test_what_makes_words_and_pixels_never_sees_keras(file):
    if _name(file)[0] == "explain" and _name(file)[1] not in ("facts", "__init__"):
        assert not {"keras", "jax"} & set(_modules(file))


def test_explain_has_both_rooms():
    rooms = {_name(file)[1] for file in FILES if _name(file)[0] == "explain"}
    assert {"facts", "show"} <= rooms
    assert rooms == set().union(*EXPLAIN)


def test_the_time_axis_is_walked_in_one_place():
    """One loop over time in all of the package, and two that stop on data.

    Monotonic attention walks along a memory, at one step of time. Of a fused loop, what
    no row has a part in runs ahead of it; and a scan says what the loop means, for
    derivatives that the core does not take.
    """
    walkers = {
        _name(file)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("scan", "fori_loop", "while_loop", "associative_scan")
    }
    assert walkers == {
        ("attention", "monotonic"),
        ("engine", "loop"),
        ("engine", "deferred"),
        ("engine", "fuse", "ahead"),
        ("engine", "fuse", "loops"),
        ("engine", "stopping"),
        ("decoding", "hypotheses"),
    }


def test_tests_stand_in_the_rooms_of_what_they_test():
    here = Path(__file__).parent
    rooms = {path.name for path in here.iterdir() if list(path.glob("test_*.py"))}
    folders = {path.name for path in ROOT.iterdir() if list(path.glob("*.py"))}
    assert rooms == folders


def test_everything_exported_exists_and_is_documented():
    assert len(unrolled.__all__) == len(set(unrolled.__all__))
    for name in unrolled.__all__:
        thing = getattr(unrolled, name)
        assert inspect.getdoc(thing), name
        assert thing.__module__.startswith("unrolled"), name
