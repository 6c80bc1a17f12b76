"""Batch-parallel foreign calls: each device takes its own rows, nothing is gathered."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec


def partitioned(
    function: Callable[..., Any], axes_in: Sequence[Any], axes_out: Sequence[Any]
) -> Callable[..., Any]:
    """`function` of arrays, to be split along its batch axis.

    Args:
        function: takes and returns arrays; the first has its batch axis at 0.
        axes_in: the batch axis of each argument; None: replicated.
        axes_out: the same of each result; None: a sum over the batch, added up
            across devices.
    """
    call = custom_partitioning(function)

    def mesh_axis(arguments: Any) -> Any:
        spec = getattr(arguments[0].sharding, "spec", None)
        return spec[0] if spec else None

    def spec_of(axis: Any, mesh_axes: Any) -> PartitionSpec:
        return (
            PartitionSpec()
            if axis is None
            else PartitionSpec(*[None] * axis, mesh_axes)
        )

    def infer(mesh: Any, arguments: Any, results: Any) -> Any:
        del results
        name = mesh_axis(arguments)
        return [NamedSharding(mesh, spec_of(axis, name)) for axis in axes_out]

    def partition(mesh: Any, arguments: Any, results: Any) -> Any:
        del results
        name = mesh_axis(arguments)

        def lower(*arrays: Any) -> Any:
            out = function(*arrays)
            return [
                jax.lax.psum(a, name) if axis is None and name is not None else a
                for a, axis in zip(out, axes_out, strict=True)
            ]

        sharded_in = tuple(NamedSharding(mesh, spec_of(a, name)) for a in axes_in)
        sharded_out = [NamedSharding(mesh, spec_of(a, name)) for a in axes_out]
        return mesh, lower, sharded_out, sharded_in

    def rule(mesh: Any, arguments: Any, results: Any) -> Any:
        from jax.experimental.custom_partitioning import ArrayMapping, SdyShardingRule

        del mesh
        count = iter(range(10000))

        def mapping(value: Any, axis: Any) -> Any:
            names = [
                "b" if i == axis else f"f{next(count)}" for i in range(len(value.shape))
            ]
            return ArrayMapping(*names)

        return SdyShardingRule(
            tuple(mapping(v, a) for v, a in zip(arguments, axes_in, strict=True)),
            tuple(mapping(v, a) for v, a in zip(results, axes_out, strict=True)),
        )

    call.def_partition(
        partition=partition, infer_sharding_from_operands=infer, sharding_rule=rule
    )
    return call
