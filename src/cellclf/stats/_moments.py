"""Means, standard deviations and row sums whose bits do not depend on how the matrix is stored.

Values are added in the order of the rows within fixed blocks of 4096 rows counted from row 0, zeros are accounted for by
their number, and blocks merge by Chan's rule.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._findings import Findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BLOCK_ROWS = 4096


class _Moments(NamedTuple):
    """Number, mean and sum of squares about the mean of the rows seen so far, of each gene."""

    n: NDArray[np.float64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def none(cls, n_genes: int) -> _Moments:
        """Return the moments of no rows."""
        return cls(np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes))

    def of(self, genes: slice) -> _Moments:
        """View those of some genes."""
        return _Moments(*(values[genes] for values in self))

    def merge(self, n: Any, mean: Any, spread: Any) -> None:
        """Merge another group of rows by Chan's rule."""
        total = self.n + n
        share = np.divide(n, total, out=np.zeros_like(total), where=total > 0)
        delta = mean - self.mean
        self.spread[:] += spread + delta * delta * self.n * share
        self.mean[:] += delta * share
        self.n[:] = total

    def clear(self) -> None:
        """Forget all rows."""
        for values in self:
            values[:] = 0


def mean_std(x: Any, rows: NDArray[np.bool_] | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each gene.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask; never changed.
    rows
        Mask (n_obs) of the rows that count; all by default.

    Returns
    -------
    Mean and standard deviation (divided by the number of rows, not by one less), float64 (n_genes) each; the same bits
    for every way of storing the same values.

    Raises
    ------
    ValueError
        No row, or values among the rows that are not finite.

    Examples
    --------
    >>> mean_std(np.array([[1.0, 0.0], [3.0, 0.0]]))
    (array([2., 0.]), array([1., 0.]))
    """
    rows = np.ones(x.shape[0], bool) if rows is None else np.asarray(rows, dtype=bool)
    check_shape(x, rows.size, "rows")
    if not rows.any():
        msg = "No row counts, so there is no mean. Give at least one row."
        raise ValueError(msg)
    running = RunningMoments(x.shape[1], rows)
    for block in blocks(x):
        running.add(block)
    return running.mean_std()


class RunningMoments:
    """Moments of the marked rows of the blocks added so far."""

    def __init__(self, n_genes: int, rows: NDArray[np.bool_]) -> None:
        self.rows, self.total, self.unfinished = rows, _Moments.none(n_genes), _Moments.none(n_genes)

    def add(self, block: Block) -> None:
        """Add the next block."""
        if block.n_rows:
            lying, genes = block.in_order().to_rows(), block.columns
            _add(lying, self.rows, self.total.of(genes), self.unfinished.of(genes))

    def mean_std(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of each gene."""
        if not np.isfinite(self.total.spread).all():
            bad = ~np.isfinite(self.total.spread)
            Findings(not_finite=int(bad.sum()), gene_not_finite=int(np.argmax(bad))).require_finite()
        return self.total.mean, np.sqrt(self.total.spread / self.total.n)


def _add(block: Block, rows: NDArray[np.bool_], total: _Moments, unfinished: _Moments) -> None:
    """Add a block: the piece of 4096 rows left unfinished by the block above, and those that begin here."""
    first, last = block.rows.start // BLOCK_ROWS, (block.rows.stop - 1) // BLOCK_ROWS
    together = 2 * _kernels.n_threads()
    for start in range(first, last + 1, together):
        numbers = range(start, min(start + together, last + 1))
        pieces = [unfinished if number == first else _Moments.none(block.n_columns) for number in numbers]
        _threads.run([_task(block, rows, number, piece) for number, piece in zip(numbers, pieces, strict=True)])
        for number, piece in zip(numbers, pieces, strict=True):
            seen = rows[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS]
            if block.rows.stop >= number * BLOCK_ROWS + seen.size:
                piece.merge(seen.sum() - piece.n, 0.0, 0.0)  # the zeros, which were not visited
                total.merge(*piece)
                piece.clear()
            elif piece is not unfinished:
                unfinished.merge(*piece)


def _task(block: Block, rows: NDArray[np.bool_], number: int, piece: _Moments) -> Callable[[], None]:
    """Prepare to add the rows of one piece that lie in a block."""
    start = max(block.rows.start, number * BLOCK_ROWS) - block.rows.start
    stop = min(block.rows.stop, (number + 1) * BLOCK_ROWS) - block.rows.start
    return partial(_kernels.welford_rows, *block.arrays, start, stop, rows[block.rows], *piece)


def row_sums(x: Any) -> NDArray[np.float64]:
    """Sum of each row.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask; never changed.

    Returns
    -------
    Float64 (n_obs); values are added in the order of the columns, so that the bits do not depend on storage.

    Raises
    ------
    ValueError
        Values that are not finite.
    """
    check_shape(x, x.shape[0], "x")
    out = np.zeros(x.shape[0])
    for block in blocks(x):
        block, part = block.in_order(), out[block.rows]
        if block.by_rows:
            _threads.over_ranges(lambda *r, b=block, p=part: _kernels.sums_rows(b.data, b.indptr, *r, p), block.n_rows)
        else:
            _kernels.sums_columns(*block.arrays, part)
    if not np.isfinite(out).all():
        msg = (
            f"Row {int(np.argmin(np.isfinite(out)))} (counted from 0) holds NaN or infinite values. Remove or fill it."
        )
        raise ValueError(msg)
    return out
