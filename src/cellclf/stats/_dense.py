"""Chosen rows and columns of any matrix, as dense float32 blocks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from cellclf._types import CSBase, CSCBase
from cellclf.stats._moments import row_sums
from cellclf.stats._pieces import computed, is_at_hand, lies_by_columns, stream
from cellclf.stats._read_ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellclf._types import Matrix

BLOCK = 4096


class DenseBlock(NamedTuple):
    """Some rows: their positions `rows`, `values` (n, n_columns) float32, and `totals` (n) over all columns of the matrix."""

    rows: np.ndarray
    values: np.ndarray
    totals: np.ndarray


def dense_blocks(x: Matrix, rows: np.ndarray, columns: np.ndarray) -> Iterator[DenseBlock]:
    """Read `x[rows][:, columns]` block by block; column -1 stands for a missing gene and gives NaN.

    `rows` is a mask (n_obs). Nothing is made dense beyond what is asked for, and other rows are never looked at. Outside
    of memory, the next block is read in the background.
    """
    present = columns >= 0
    wanted = columns[present]
    every_total = None
    if isinstance(x, CSCBase):  # columns first: that is how CSC lies in memory
        every_total = x @ np.ones(x.shape[1])
        x, wanted = x[:, wanted].tocsr(), np.arange(present.sum())
    elif lies_by_columns(x):
        every_total = row_sums(x)
        x, wanted = _stored_columns(x, wanted).tocsr(), np.arange(present.sum())
    for start, picked, block in _bands(x, rows):
        taken = block[:, wanted]
        taken = taken.toarray() if isinstance(taken, CSBase) else taken
        with np.errstate(over="ignore"):  # numbers beyond float32 become infinite, which callers refuse by name
            values = taken.astype(np.float32, order="C")
        if not present.all():
            given, values = values, np.full((len(picked), len(columns)), np.nan, dtype=np.float32)
            values[:, present] = given
        totals = block @ np.ones(block.shape[1]) if every_total is None else every_total[start + picked]
        yield DenseBlock(start + picked, values, totals)


def _bands(x: Matrix, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, Matrix]]:
    """Bring the wanted rows into memory, a few at a time, with the number of the first row of each band."""

    def reader(start: int) -> tuple[int, np.ndarray, Matrix]:
        picked = np.flatnonzero(rows[start : start + BLOCK])
        return start, picked, _rows_in_memory(x[start : start + BLOCK], picked)

    starts = [start for start in range(0, x.shape[0], BLOCK) if rows[start : start + BLOCK].any()]
    return map(reader, starts) if is_at_hand(x) else read_ahead(partial(reader, start) for start in starts)


def _stored_columns(x: Matrix, columns: np.ndarray) -> CSCBase:
    """Read some columns of a dataset that lies by columns, in one pass."""
    order = np.argsort(columns, kind="stable")
    ascending = columns[order]
    kept = []
    for part in stream(x):
        first, stop = np.searchsorted(ascending, [part.column, part.column + part.values.shape[1]])
        kept.append(part.values[:, ascending[first:stop] - part.column])
    return sparse.hstack(kept, format="csc")[:, np.argsort(order)]


def dense(x: Matrix, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `x[rows][:, columns]` as one float32 array, and the totals of these rows over all columns."""
    values = np.empty((int(rows.sum()), len(columns)), dtype=np.float32)
    totals = np.empty(len(values), dtype=np.float64)
    done = 0
    for block in dense_blocks(x, rows, columns):
        values[done : done + len(block.rows)] = block.values
        totals[done : done + len(block.rows)] = block.totals
        done += len(block.rows)
    return values, totals


def _rows_in_memory(block: Matrix, rows: np.ndarray) -> Matrix:
    """Bring a slice of a matrix into memory, as an array or CSR, and keep some of its rows."""
    if hasattr(block, "compute"):
        (block,) = computed([block])
    if isinstance(block, CSBase):
        return block.tocsr()[rows]
    return np.asarray(block)[rows]
