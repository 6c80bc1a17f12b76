"""Strictness, float64, hypothesis and the record of errors, for the whole suite.

JAX runs with strict dtype promotion and `rank_promotion = raise`. Keras itself
survives the first; the second it does not: the Orthogonal initializer scales
columns by a vector, and its layers (Dense, the stock recurrent ones, and others
with a bias) add (U,) to (B, U). So the initializer alone is let through for all,
and only tests that run Keras's own layers carry the mark `keras_ranks`.
"""

from __future__ import annotations

import contextlib
import os

import jaxlib

if jaxlib.version.__version_info__ < (0, 11):
    # Programs compile in half the time without them; later ones have no such choice.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

import unrolled  # noqa: F401  selects JAX for Keras: before anything of Keras

import jax
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings

from . import cudnn as gpu
from . import record

settings.register_profile(
    "unrolled",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    max_examples=24,
    phases=set(Phase) - {Phase.explain},  # costs minutes where a draw compiles
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("unrolled")


def _let_orthogonal_through() -> None:
    original = keras.initializers.Orthogonal.__call__

    def call(self, *args, **kwargs):
        with jax.numpy_rank_promotion("allow"):
            return original(self, *args, **kwargs)

    keras.initializers.Orthogonal.__call__ = call


def pytest_configure(config) -> None:
    """Register the mark and let Keras's initializer broadcast."""
    config.addinivalue_line(
        "markers",
        "keras_ranks: runs Keras's own layers, which rely on rank promotion",
    )
    config.addinivalue_line(
        "markers", "optimised: compiled as for users; others compile in less time"
    )
    # Keras 3.15 variables speak an older form of NumPy's array protocol.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy"
    )
    _let_orthogonal_through()


@pytest.fixture(autouse=True)
def strict(request):
    """Promote nothing implicitly; start from a clean, seeded Keras."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    ranks = "allow" if request.node.get_closest_marker("keras_ranks") else "raise"
    # Most compile a small program to run it once.
    quick = not request.node.get_closest_marker("optimised")
    jax.config.update("jax_disable_most_optimizations", quick)
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.numpy_dtype_promotion("strict"))
        stack.enter_context(jax.numpy_rank_promotion(ranks))
        yield


@pytest.fixture(scope="module", autouse=True)
def programs():
    """Let go of what a module compiled: a process may map so many pieces of memory.

    Each program has some of its own, and where the kernel gives no more (65,530 on
    Linux) LLVM stops the process.
    """
    yield
    jax.clear_caches()


@pytest.fixture
def rng(request):
    """A generator seeded by the test's name: the same numbers on every run."""
    seed = [ord(letter) for letter in request.node.nodeid]
    return np.random.default_rng(seed)


@pytest.fixture
def compilations():
    """A list that grows by one with each program that XLA compiles."""
    found = []

    def heard(event, *_, **__):
        found.extend([event] if "backend_compile" in event else [])

    jax.monitoring.register_event_duration_secs_listener(heard)
    yield found
    jax.monitoring.clear_event_listeners()


@pytest.fixture
def float64():
    """JAX with 64-bit types, for this test only."""
    # Not as a context: jax.enable_x64 came in 0.8, and the one before it went in 0.9.
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def scan_path(monkeypatch):
    """No native core: layers run the time loop of `unrolled.engine.loop`."""
    monkeypatch.setenv("UNROLLED_ISA", "scan")


@pytest.fixture
def cudnn(monkeypatch):
    """As on a GPU, with a model of cuDNN; the list of what it is told at each call."""
    yield gpu.stand_in(monkeypatch)
    gpu.forget()


@pytest.fixture(scope="session")
def need():
    """need(condition, what): skip for want of `what` (a compiler, a browser, a peer).

    Where CI=true that is an error, not a skip.
    """

    def check(condition: bool, what: str) -> None:
        if condition:
            return
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} is missing, and CI must have it")
        pytest.skip(f"{what} is missing")

    return check


def pytest_sessionfinish(session) -> None:
    """Hand a worker process's record to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["record"] = record.dump()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """Take a worker process's record."""
    record.merge(getattr(node, "workeroutput", {}).get("record", []))


def pytest_terminal_summary(terminalreporter) -> None:
    """Print what the closing note of a release quotes."""
    outcomes = {
        outcome: sum("test_keras_test_passes" in each.nodeid for each in reports)
        for outcome, reports in terminalreporter.stats.items()
        if outcome in ("passed", "failed", "xfailed", "skipped")
    }
    if any(outcomes.values()):
        terminalreporter.section("Keras's own recurrent tests, with our classes")
        named = {"xfailed": "differ on purpose", "skipped": "for other backends"}
        counts = [f"{n} {named.get(key, key)}" for key, n in outcomes.items() if n]
        terminalreporter.write_line(
            f"{sum(outcomes.values())} tests: {', '.join(counts)}"
        )
    lines = record.lines()
    if lines:
        terminalreporter.section("largest error against the float64 reference")
        for line in lines:
            terminalreporter.write_line(line)
