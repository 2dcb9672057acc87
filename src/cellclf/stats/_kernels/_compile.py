"""The way every kernel is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the GIL; without a cache where no folder for it can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(function)


def n_threads() -> int:
    """How many threads numba was told to use; asking `numba.get_num_threads` would start its own pool."""
    return int(vars(numba.config)["NUMBA_NUM_THREADS"])
