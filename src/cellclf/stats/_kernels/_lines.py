"""Order of the indices of sparse lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled


@compiled
def line_order(places: Any, n_places: int) -> int:
    """Say whether the indices of a line increase (0), do not (1), or reach beyond the matrix (2)."""
    falls, n = np.int32(0), places.shape[0]
    for k in range(1, n):
        falls += np.int32(places[k] <= places[k - 1])
    if falls == 0 and (n == 0 or (places[0] >= 0 and places[n - 1] < n_places)):
        return 0
    for k in range(n):
        if places[k] < 0 or places[k] >= n_places:
            return 2
    return 1


@compiled
def order(indices: Any, indptr: Any, n_minor: int, first: int, stop: int) -> int:
    """Say whether the indices of all lines increase (0), do not (1), or reach beyond the matrix (2)."""
    worst = 0
    for line in range(first, stop):
        worst = max(worst, line_order(indices[indptr[line] : indptr[line + 1]], n_minor))
    return worst


@compiled
def has_duplicates(indices: Any, indptr: Any, n_minor: int, first: int, stop: int) -> bool:
    """Whether some row (CSR) or column (CSC) names the same place twice."""
    seen = np.full(n_minor, -1, np.int64)
    for major in range(first, stop):
        for k in range(indptr[major], indptr[major + 1]):
            if seen[indices[k]] == major:
                return True
            seen[indices[k]] = major
    return False
