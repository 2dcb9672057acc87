"""Sums, means and spreads."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled


@compiled
def welford_rows(
    data: Any, indices: Any, indptr: Any, shared: bool, first: int, stop: int, rows: Any, n: Any, mean: Any, spread: Any
) -> None:
    """Running mean and sum of squares of the non-zero values of each gene over some rows."""
    for row in range(first, stop):
        if not rows[row]:
            continue
        start, stop = indptr[row], indptr[row + 1]
        values, genes = data[start:stop], indices if shared else indices[start:stop]
        for k in range(values.shape[0]):
            value = np.float64(values[k])
            if value != 0.0:
                gene = genes[k]
                n[gene] += 1
                delta = value - mean[gene]
                mean[gene] += delta / n[gene]
                spread[gene] += delta * (value - mean[gene])


@compiled
def sums_rows(data: Any, indptr: Any, first: int, stop: int, out: Any) -> None:
    """Add the stored values of each row, in the order of the columns."""
    for row in range(first, stop):
        for k in range(indptr[row], indptr[row + 1]):
            out[row] += np.float64(data[k])


@compiled
def sums_columns(data: Any, indices: Any, indptr: Any, shared: bool, out: Any) -> None:
    """Add the stored values of each row of a matrix stored by columns, in the order of the columns."""
    for gene in range(indptr.shape[0] - 1):
        start, stop = indptr[gene], indptr[gene + 1]
        values, rows = data[start:stop], indices if shared else indices[start:stop]
        for k in range(values.shape[0]):
            out[rows[k]] += np.float64(values[k])
