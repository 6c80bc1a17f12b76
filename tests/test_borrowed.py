"""What is private in JAX and Keras, or moves, is imported in one file."""

import ast
from pathlib import Path

import unrolled
from unrolled import _borrowed

import pytest

ROOT = Path(unrolled.__file__).parent
FILES = [f for f in sorted(ROOT.rglob("*.py")) if f.name != "_borrowed.py"]
PRIVATE = (
    *("jax._src", "jax.core", "jax.extend", "jax.experimental", "jax.interpreters"),
    *("jax.ffi", "jax.custom_batching", "jax.custom_derivatives", "keras.src"),
)


def _named(tree):
    """Every dotted name that a module imports or writes out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def _is_private(name):
    return any(f"{name}.".startswith(f"{module}.") for module in PRIVATE)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_others_import_it_from_there(file):
    found = sorted(set(filter(_is_private, _named(ast.parse(file.read_text())))))
    assert not found, f"import it from _borrowed.py: {', '.join(found)}"


def test_it_is_a_leaf_and_all_of_it_is_in_use():
    nodes = list(ast.walk(ast.parse(Path(_borrowed.__file__).read_text())))
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes)
    taken = {
        alias.name
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "_borrowed"
        for alias in node.names
    }
    assert taken == set(_borrowed.__all__)
