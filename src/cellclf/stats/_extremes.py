"""The range of each gene's values, and whether they are counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._distributed import over
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
    return over(x, _tally, rows, combine=Extremes.merge).of_rows(int(rows.sum()))


@dataclass(eq=False)
class Extremes:
    """Smallest and largest stored value of each gene so far, how many there are, and what was found wrong."""

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    n_stored: NDArray[np.int64]
    findings: Findings

    @classmethod
    def none(cls, n_genes: int) -> Extremes:
        """Return those of no values."""
        return cls(np.full(n_genes, np.inf), np.full(n_genes, -np.inf), np.zeros(n_genes, np.int64), Findings())

    def add(self, block: Block, rows: NDArray[np.bool_]) -> None:
        """Add the marked rows of a block."""
        found = _of_block(block, rows)
        if found.findings.disorder and block.has_duplicates():
            found = _of_block(block.canonical(), rows)
        genes = block.columns
        self.lowest[genes] = np.minimum(self.lowest[genes], found.lowest)
        self.highest[genes] = np.maximum(self.highest[genes], found.highest)
        self.n_stored[genes] += found.n_stored
        self.findings |= found.findings.shifted(genes.start)

    def merge(self, other: Extremes) -> Extremes:
        """Return the extremes of both."""
        lowest, highest = np.minimum(self.lowest, other.lowest), np.maximum(self.highest, other.highest)
        return Extremes(lowest, highest, self.n_stored + other.n_stored, self.findings | other.findings)

    def of_rows(self, n_rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64], Findings]:
        """Return the extremes of so many rows, whose values that were not stored are zero."""
        zeros = self.n_stored < n_rows
        lowest, highest = np.minimum(self.lowest, 0.0), np.maximum(self.highest, 0.0)
        return np.where(zeros, lowest, self.lowest), np.where(zeros, highest, self.highest), self.findings


def _tally(x: Any, rows: NDArray[np.bool_]) -> Extremes:
    """Go through all blocks."""
    found = Extremes.none(x.shape[1])
    for block in blocks(x):
        found.add(block, rows[block.rows])
    return found


def _of_block(block: Block, rows: NDArray[np.bool_]) -> Extremes:
    """Return the extremes of the marked rows of a block."""
    if not block.by_rows:
        total = Extremes.none(block.n_columns)
        state = (total.lowest, total.highest, total.n_stored)
        ranges = _threads.parts(block.line_sizes)
        by_column = [lambda r=r: _kernels.extremes_columns(*block.arrays, *r, rows, *state) for r in ranges]
        return replace(total, findings=Findings.of(_threads.run(by_column)))
    picked = np.flatnonzero(rows)
    ranges = _threads.parts(block.line_sizes[picked])
    parts = [Extremes.none(block.n_columns) for _ in ranges]
    by_row = [
        lambda r=r, p=p: _kernels.extremes_rows(*block.arrays, picked[r[0] : r[1]], p.lowest, p.highest, p.n_stored)
        for r, p in zip(ranges, parts, strict=True)
    ]
    findings = Findings.of(_threads.run(by_row))
    return replace(reduce(Extremes.merge, parts, Extremes.none(block.n_columns)), findings=findings)
