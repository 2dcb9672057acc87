"""The range of each gene's values, and whether they are counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._findings import Findings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def holds_counts(x: Any, rows: NDArray[np.bool_]) -> bool:
    """Whether the rows hold counts: whole numbers, none negative, some larger than one.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask.
    rows
        Mask (n_obs) of the rows that may be seen.

    Examples
    --------
    >>> holds_counts(np.array([[0.0, 3.0], [1.0, 0.5]]), np.array([True, False]))
    True
    """
    rows = np.asarray(rows, dtype=bool)
    check_shape(x, rows.size, "rows")
    _, highest, findings = extremes(x, rows)
    return findings.not_finite == 0 and findings.not_whole == 0 and bool(highest.max(initial=0) > 1)


def extremes(x: Any, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64], Findings]:
    """Return the smallest and largest value of each gene over the rows, and what was found wrong."""
    n_genes = x.shape[1]
    lowest, highest, n_stored = np.full(n_genes, np.inf), np.full(n_genes, -np.inf), np.zeros(n_genes, np.int64)
    findings = Findings()
    for block in blocks(x):
        seen = rows[block.rows]
        low, high, stored, found = _block_extremes(block, seen)
        if found.disorder and block.has_duplicates():
            low, high, stored, found = _block_extremes(block.canonical(), seen)
        columns = block.columns
        lowest[columns] = np.minimum(lowest[columns], low)
        highest[columns] = np.maximum(highest[columns], high)
        n_stored[columns] += stored
        findings |= found.shifted(columns.start)
    with_zeros = n_stored < rows.sum()
    lowest[with_zeros] = np.minimum(lowest[with_zeros], 0.0)
    highest[with_zeros] = np.maximum(highest[with_zeros], 0.0)
    return lowest, highest, findings


_Extremes = tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.int64]", Findings]


def _block_extremes(block: Block, rows: NDArray[np.bool_]) -> _Extremes:
    """Return the extremes over the stored values of a block, how many there are and what was found wrong."""
    if not block.by_rows:
        state = _no_extremes(block.n_columns)
        ranges = _threads.parts(block.line_sizes)
        by_column = [lambda r=r: _kernels.extremes_columns(*block.arrays, *r, rows, *state) for r in ranges]
        return *state, Findings.of(_threads.run(by_column))
    picked = np.flatnonzero(rows)
    ranges = _threads.parts(block.line_sizes[picked])
    states = [_no_extremes(block.n_columns) for _ in ranges]
    by_row = [
        lambda r=r, state=state: _kernels.extremes_rows(*block.arrays, picked[r[0] : r[1]], *state)
        for r, state in zip(ranges, states, strict=True)
    ]
    findings = Findings.of(_threads.run(by_row))
    lowest, highest, n_stored = zip(_no_extremes(block.n_columns), *states, strict=True)
    return np.min(lowest, axis=0), np.max(highest, axis=0), np.sum(n_stored, axis=0), findings


def _no_extremes(n_genes: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the extremes of no values."""
    return np.full(n_genes, np.inf), np.full(n_genes, -np.inf), np.zeros(n_genes, np.int64)
