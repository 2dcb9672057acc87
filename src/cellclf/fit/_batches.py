"""Which rows make up each step: derived from counters, so a run can be repeated from any epoch."""

from __future__ import annotations

import math

import numpy as np

from cellclf.fit._balance import balanced_order


def n_batches(n_rows: int, batch_size: int | None) -> int:
    """Return the steps in an epoch; a row left over joins another batch, since batch normalisation cannot digest one alone."""
    if batch_size is None:
        return 1
    return (
        math.ceil(n_rows / batch_size) if batch_size == 1 else max(1, min(math.ceil(n_rows / batch_size), n_rows // 2))
    )


def batches(
    n_rows: int, batch_size: int | None, *, seed: int, epoch: int, balanced: np.ndarray | None = None
) -> list[np.ndarray]:
    """Shuffle the rows, or draw them by class (`balanced`: the class of each), and cut them into batches of even size."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(n_rows) if balanced is None else balanced_order(balanced, random)
    return np.array_split(order, n_batches(n_rows, batch_size))
