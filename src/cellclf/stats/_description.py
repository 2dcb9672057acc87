"""What a first look needs, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellclf.stats._bin_edges import SMALLEST
from cellclf.stats._bins import Bins
from cellclf.stats._blocks import blocks
from cellclf.stats._contingency import ContingencyTable, checked_codes, with_zeros
from cellclf.stats._extremes import Extremes
from cellclf.stats._findings import Findings
from cellclf.stats._moments import RunningMoments
from cellclf.stats._tally import count_block, table_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGNS = np.array([-np.inf, 0.0, SMALLEST])  # negative, zero, positive


class Description(NamedTuple):
    """Zeros of each gene in each group of rows (n_groups × n_genes), range over all rows, moments over the first group."""

    zeros: NDArray[np.int64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def sign_bins(n_genes: int) -> Bins:
    """Tell negative values, zeros and positive values apart."""
    return Bins(np.tile(SIGNS, n_genes), np.arange(n_genes + 1, dtype=np.int64) * SIGNS.size, "quantile")


def zeros_of(table: ContingencyTable) -> NDArray[np.int64]:
    """Return the number of zeros of each gene in each class of a table of signs."""
    return table.counts[:, 1 :: SIGNS.size].astype(np.int64)


def describe(x: Any, groups: NDArray[np.integer[Any]], n_groups: int) -> Description:
    """Count zeros, find extremes and measure mean and spread, reading each row once.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask; never changed.
    groups
        Group of each row (n_obs), -1 for rows that are only looked at for the extremes.
    n_groups
        Number of groups.

    Raises
    ------
    ValueError
        The first group is empty, or values in a group are not finite.
    """
    codes, bins = checked_codes(x, groups, n_groups), sign_bins(x.shape[1])
    if not (codes == 0).any():
        msg = "The first group has no row, so there is no mean. Give it at least one row."
        raise ValueError(msg)
    counts = np.zeros((n_groups, bins.edges.size), table_type(codes.size))
    findings, extremes = Findings(), Extremes.none(x.shape[1])
    moments, everything = RunningMoments(x.shape[1], codes == 0), np.ones(codes.size, bool)
    for block in blocks(x):
        findings |= count_block(block, codes[block.rows], bins, counts)
        extremes.add(block, everything[block.rows])
        if not findings.not_finite:  # what is refused below
            moments.add(block)
    findings.require_finite()
    table = with_zeros(counts, np.bincount(codes[codes >= 0], minlength=n_groups), bins)
    lowest, highest, _ = extremes.of_rows(codes.size)
    return Description(zeros_of(table), lowest, highest, *moments.mean_std())
