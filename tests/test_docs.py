"""Every example in a docstring runs and gives what it says."""

import doctest
import importlib
import pkgutil

import unrolled

import pytest

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(unrolled.__path__, "unrolled.")
    if not module.name.endswith(("__main__", "._core"))  # the latter is no module
)
FINDER = doctest.DocTestFinder(exclude_empty=True)


def _tests(name):
    module = importlib.import_module(name)
    return [t for t in FINDER.find(module, name) if t.examples]


@pytest.mark.keras_ranks
@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in _tests(name):
        output = []
        runner.run(test, out=output.append)
        assert not runner.failures, "".join(output)


@pytest.mark.parametrize("name", unrolled.__all__)
def test_public_names_have_a_docstring_of_their_own(name):
    thing = getattr(unrolled, name)
    if callable(thing):
        assert thing.__doc__
        if isinstance(thing, type):
            assert "Args:" in thing.__doc__ or ">>>" in thing.__doc__


def test_layers_and_accelerate_carry_examples():
    for name in (
        "SimpleRNN",
        "LSTM",
        "GRU",
        "RNN",
        "Bidirectional",
        "StackedRNNCells",
        "accelerate",
    ):
        assert ">>>" in getattr(unrolled, name).__doc__, name
