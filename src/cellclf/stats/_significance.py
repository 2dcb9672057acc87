"""P-values of independence between a gene and the class, and their adjustment for many genes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaincc

from cellclf.stats._information import mutual_information
from cellclf.stats._null import bin_excess, excess_variance, per_gene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._contingency import ContingencyTable

ENOUGH = 5.0  # expected counts from which the chi-squared law may be trusted ...
ENOUGH_SHARE = 0.8  # ... if so many of a table reach it


@dataclass(frozen=True, eq=False)
class Independence:
    """The statistic G = 2 N I of each gene and its law where gene and class are independent; strata add.

    `degrees` of freedom, and how many of the `cells` of the table are `filled` with an expected count of five or more,
    serve the chi-squared law; `mean` and `variance` under permuted labels the gamma law.
    """

    statistic: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    degrees: NDArray[np.float64]
    filled: NDArray[np.float64]
    cells: NDArray[np.float64]

    def __add__(self, other: Independence) -> Independence:
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Independence(*(mine + yours for mine, yours in pairs))

    def pvalue(self) -> NDArray[np.float64]:
        """Return the probability of a statistic as large as this; 1 for a constant gene or statistic."""
        asymptotic = self.filled >= ENOUGH_SHARE * self.cells
        mean = np.where(asymptotic, self.degrees, self.mean)
        variance = np.where(asymptotic, 2.0 * self.degrees, self.variance)
        p = np.ones_like(self.statistic)
        usable = (self.degrees > 0) & (variance > 0) & (mean > 0)
        m, v = mean[usable], variance[usable]
        p[usable] = gammaincc(m * m / v, self.statistic[usable] * m / v)
        return p


def mutual_information_pvalue(table: ContingencyTable) -> NDArray[np.float64]:
    """P-value of the hypothesis that a gene and the class are independent.

    The statistic is G = 2 N I. Where at least 80 % of the expected counts of a gene are five or more, its law is
    chi-squared; elsewhere a gamma law with the exact mean and variance that G has when labels are permuted.

    Parameters
    ----------
    table
        Counts of bins and classes.

    Returns
    -------
    Float64 (n_genes); 1 for a constant gene and where permuted labels do not change G, 0 where it is too small for float64.
    """
    return independence(table).pvalue()


def benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values so that rejecting those below q holds the false discovery rate at q :cite:p:`Benjamini1995`.

    Parameters
    ----------
    p
        P-values (n); NaN is passed over and stays NaN.

    Returns
    -------
    Adjusted p-values, float64 (n).

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.04, 0.04])
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * order.size / np.arange(1, order.size + 1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def independence(table: ContingencyTable) -> Independence:
    """Return of each gene the statistic G and its law under permuted labels; those of several batches add."""
    total = max(1, table.total)
    excess = bin_excess(table)
    class_sizes = np.sort(table.class_sizes[table.class_sizes > 0])
    n_classes = class_sizes.size
    n_bins = per_gene((excess.sizes > 0).astype(np.float64), excess.place, table)
    filled = n_classes - np.searchsorted(class_sizes, ENOUGH * total / np.maximum(excess.sizes, 1))
    filled[excess.sizes == 0] = 0
    return Independence(
        statistic=2.0 * total * mutual_information(table),
        mean=2.0 * per_gene(excess.mean, excess.place, table),
        variance=4.0 * excess_variance(table, excess),
        degrees=np.maximum(n_bins - 1.0, 0.0) * max(0, n_classes - 1),
        filled=per_gene(filled.astype(np.float64), excess.place, table),
        cells=n_bins * n_classes,
    )
