"""The way every kernel is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the GIL; without a cache where no folder for it can be written."""
    return _compile(function)


def compiled_sums(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile alike, but let floating sums be taken in any order, so that they run in vector registers."""
    return _compile(function, fastmath={"reassoc", "contract", "nsz"})


def _compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile, with a cache where there can be one."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy", **options)(function)


def n_threads() -> int:
    """How many threads numba was told to use; asking `numba.get_num_threads` would start its own pool."""
    return int(vars(numba.config)["NUMBA_NUM_THREADS"])
