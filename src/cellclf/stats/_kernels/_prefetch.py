"""Asking for values before they are needed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from cellclf.stats._kernels._compile import compiled

PREFETCH = 16  # elements of four bytes in a cache line


def _prefetching(typing: Any, array: Any, place: Any) -> Any:
    """Write the instruction that asks for the cache line of an element, without waiting; the address is never read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        read, keep, data_cache = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(function, [address, read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


prefetch: Any = intrinsic(_prefetching)


@compiled
def prefetch_line(data: Any, indices: Any, start: int, stop: int) -> None:
    """Ask for a row that comes next: rows of one class lie far apart, where the hardware does not look ahead."""
    for k in range(start, stop, PREFETCH):
        prefetch(data, k)
        prefetch(indices, k)
