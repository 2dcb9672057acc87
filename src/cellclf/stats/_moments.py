"""Means, standard deviations and row sums whose bits do not depend on how the matrix is stored.

Values are added in the order of the rows within fixed blocks of 4096 rows counted from row 0, zeros are accounted for by
their number, and blocks merge by Chan's rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._findings import Findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BLOCK_ROWS = 4096


class _Moments:
    """Number, mean and sum of squares about the mean of each gene, of merged blocks and of the block in hand."""

    def __init__(self, n_genes: int) -> None:
        self.n, self.mean, self.spread = np.zeros(n_genes), np.zeros(n_genes), np.zeros(n_genes)

    def merge(self, n: Any, mean: NDArray[np.float64], spread: NDArray[np.float64]) -> None:
        """Merge another group of rows by Chan's rule."""
        total = self.n + n
        share = np.divide(n, total, out=np.zeros_like(total), where=total > 0)
        delta = mean - self.mean
        self.spread += spread + delta * delta * self.n * share
        self.mean += delta * share
        self.n = total


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
    total, pieces = _Moments(x.shape[1]), _Pieces(rows, x.shape[1])
    for block in blocks(x):
        pieces.add(block)
        for piece in pieces.complete():
            total.merge(*piece)
    if not np.isfinite(total.spread).all():
        bad = ~np.isfinite(total.spread)
        Findings(not_finite=int(bad.sum()), gene_not_finite=int(np.argmax(bad))).require_finite()
    return total.mean, np.sqrt(total.spread / total.n)


class _Pieces:
    """Blocks of 4096 rows in the making: matrices may arrive in blocks of any shape, rows downwards."""

    def __init__(self, rows: NDArray[np.bool_], n_genes: int) -> None:
        self.rows, self.n_genes = rows, n_genes
        self.open: dict[int, tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = {}
        self.left: dict[int, int] = {}

    def add(self, block: Block) -> None:
        """Add the values of a block to the pieces it touches."""
        if block.n_rows == 0 or block.n_columns == 0:
            return
        block = block.in_order().to_rows()
        first, last = block.rows.start // BLOCK_ROWS, (block.rows.stop - 1) // BLOCK_ROWS
        _threads.run([self._task(block, number) for number in range(first, last + 1)])

    def _task(self, block: Block, number: int) -> Callable[[], None]:
        """Prepare the part of one piece that lies in a block."""
        start = max(block.rows.start, number * BLOCK_ROWS)
        stop = min(block.rows.stop, (number + 1) * BLOCK_ROWS)
        if number not in self.open:
            self.open[number] = (np.zeros(self.n_genes, np.int64), np.zeros(self.n_genes), np.zeros(self.n_genes))
            height = min(self.rows.size, (number + 1) * BLOCK_ROWS) - number * BLOCK_ROWS
            self.left[number] = height * self.n_genes
        self.left[number] -= (stop - start) * block.n_columns
        place = (start - block.rows.start, stop - block.rows.start, self.rows[block.rows])
        state = [values[block.columns] for values in self.open[number]]
        return lambda: _kernels.welford_rows(*block.arrays, *place, *state)

    def complete(self) -> list[tuple[Any, ...]]:
        """Hand over, in order, the pieces whose rows have all been seen."""
        done: list[int] = []
        for number in sorted(self.open):
            if self.left[number] or (done and done[-1] != number - 1):
                break
            done.append(number)
        return [self._with_zeros(number) for number in done]

    def _with_zeros(self, number: int) -> tuple[Any, ...]:
        """Add the zeros of a finished piece, which were only counted."""
        n, mean, spread = self.open.pop(number)
        height = int(self.rows[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS].sum())
        moments = _Moments(self.n_genes)
        moments.merge(n, mean, spread)
        moments.merge(height - n, np.zeros(self.n_genes), np.zeros(self.n_genes))
        return moments.n, moments.mean, moments.spread


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
