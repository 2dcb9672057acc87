"""Run kernels in plain threads: they release the GIL, so no thread pool of numba's is ever started."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


def run(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the tasks, several at a time, and return their results in order."""
    n_threads = min(_kernels.n_threads(), len(tasks))
    if n_threads <= 1:
        return [task() for task in tasks]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(lambda task: task(), tasks))


def parts(costs: NDArray[Any], n_parts: int | None = None) -> list[tuple[int, int]]:
    """Cut 0..len(costs) into consecutive ranges of about equal cost, two for each thread by default."""
    n_parts = 2 * _kernels.n_threads() if n_parts is None else n_parts
    total = np.cumsum(costs, dtype=np.float64)
    if total.size == 0:
        return []
    borders = np.searchsorted(total, np.arange(1, n_parts) * (total[-1] / n_parts))
    borders = np.unique(np.concatenate([[0], borders, [total.size]])).astype(np.int64)
    return list(zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True))


def over_ranges(kernel: Callable[[int, int], Any], n: int) -> list[Any]:
    """Call a kernel on consecutive ranges that cover 0..n; many, since their costs may differ."""
    return run([partial(kernel, first, stop) for first, stop in parts(np.ones(n), 8 * _kernels.n_threads())])
