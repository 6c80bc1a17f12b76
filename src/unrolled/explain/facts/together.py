"""Run several small programs of a model as one compiled program.

XLA needs about as long for twenty short loops in one module as for one alone, so
everything that must be executed on a layer is collected first and compiled once.
Nothing of the model changes: variables are read through a scope that is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

Tree = Any
# All of it runs once, so compiling fast beats running fast.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = "Exception encountered when calling"


class Job:
    """One execution: call it after `Together.run` for NumPy arrays, or its error."""

    def __init__(self, function: Callable[..., Tree], arrays: tuple[Any, ...]) -> None:
        self.function, self.arrays = function, arrays
        self.value: Tree = None
        self.assigned: set[int] = set()  # ids of variables that it would have changed
        self.error: Exception | None = RuntimeError("it has not run yet")

    def __call__(self) -> Tree:
        if self.error is not None:
            raise self.error
        return self.value


class Together:
    """Jobs that share one compilation.

    Args:
        *layers: whose variables the jobs read.
    """

    def __init__(self, *layers: Any) -> None:
        self.layers = list(layers)
        self.jobs: list[Job] = []

    def add(
        self, function: Callable[..., Tree], *arrays: Any, layer: Any = None
    ) -> Job:
        """Have `function(*arrays)` executed by `run`; `layer` brings more variables."""
        if layer is not None:
            self.layers.append(layer)
        job = Job(function, arrays)
        self.jobs.append(job)
        return job

    def run(self) -> None:
        """Execute all jobs; one that fails keeps its error and stops no other."""
        found = {id(v): v for layer in self.layers for v in variables(layer)}
        holders = list(found.values())
        values = [v.value for v in holders]

        def program(jobs: list[Job]) -> Callable[..., list[Tree]]:
            def call(values: list[Any], arrays: list[Any]) -> list[Tree]:
                import keras

                pairs = list(zip(holders, values, strict=True))
                results = []
                for job, own in zip(jobs, arrays, strict=True):
                    with keras.StatelessScope(pairs) as scope:
                        before = [scope.get_current_value(v) for v in holders]
                        results.append(job.function(*own))
                    for v, value in zip(holders, before, strict=True):
                        if scope.get_current_value(v) is not value:
                            job.assigned.add(id(v))
                return results

            return call

        if not self.jobs:
            return
        try:
            self._finish(self.jobs, program(self.jobs), values)
        except Exception:  # one of them, for a stranger's layer may raise anything
            for job in self.jobs:
                try:
                    self._finish([job], program([job]), values)
                except Exception as error:
                    job.error = error

    @staticmethod
    def _finish(jobs: list[Job], program: Any, values: list[Any]) -> None:
        compiled = jax.jit(program, compiler_options=QUICK)
        results = compiled(values, [job.arrays for job in jobs])
        for job, result in zip(jobs, results, strict=True):
            job.value, job.error = jax.tree.map(np.asarray, result), None


def variables(layer: Any) -> list[Any]:
    """All variables of a layer, carried states too."""
    import keras

    found = list(getattr(layer, "variables", []))
    holders = layer._flatten_layers() if hasattr(layer, "_flatten_layers") else []
    for inner in holders:
        found += jax.tree.leaves(
            getattr(inner, "states", None),
            is_leaf=lambda leaf: isinstance(leaf, keras.Variable),
        )
    return [v for v in found if isinstance(v, keras.Variable) and v.value is not None]


def execute(function: Callable[..., Tree], *arrays: Any, layer: Any) -> Tree:
    """One execution alone."""
    batch = Together(layer)
    job = batch.add(function, *arrays)
    batch.run()
    return job()


def reason(error: Exception) -> str:
    """The first line of an error that says something, without Keras's frame."""
    lines = [_COLOUR.sub("", line).strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_FRAME)]
    return (said[0] if said else type(error).__name__)[:300]
