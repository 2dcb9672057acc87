"""The ways to compare genes that visit only cells in which both are found, and the choice between these and laying genes out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._gene_forms import bin_codes, centred, distributions, expressed
from cellclf.stats._gene_values import RUN
from cellclf.stats._similarity_measures import (
    Correlation,
    Divergence,
    Information,
    Jaccard,
    Measure,
    in_nats,
    one_where,
    undefined,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins
    from cellclf.stats._gene_forms import Distributions
    from cellclf.stats._gene_values import GeneValues

# Up to this share of (pair, cell) in which both genes are found, visiting only these is faster than laying genes out.
SPARSE_PRODUCTS, SPARSE_DIVERGENCE = 0.05, 0.15


def measure(values: GeneValues, metric: str, genes: NDArray[np.int64], bins: Bins | None) -> Measure:
    """Choose how to compare: by the metric, and by how many values are zero, whatever the storage."""
    if metric == "jsd":
        shares = distributions(values, genes)
        if shares.shares.share_shared <= SPARSE_DIVERGENCE:
            return SharedDivergence(shares)
        return Divergence(shares)
    if metric == "correlation":
        return (SharedCorrelation if values.share_shared <= SPARSE_PRODUCTS else Correlation)(values)
    return Jaccard(expressed(values)) if bins is None else Information(bin_codes(values, bins))


class SharedCorrelation(Measure):
    """Pearson correlation from sums over the cells in which both genes are found."""

    def __init__(self, values: GeneValues) -> None:
        super().__init__(values.n_genes)
        self.centre, self.n_cells = centred(values), values.n_cells
        self.arrays = values.by_cell()

    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare a band with all that follow."""
        sums = np.zeros((stop - first, self.n_genes))
        _over_band(lambda *part: _kernels.shared_products(*self.arrays, *part), sums, first, stop)
        mean, length = self.centre
        found = sums[:, first:] - self.n_cells * mean[first:stop, None] * mean[first:]
        out[...] = np.clip(found / length[first:stop, None] / length[first:], -1, 1)

    def itself(self) -> NDArray[np.float64]:
        """Return one, or NaN for a constant gene."""
        return one_where(~np.isnan(self.centre.length))


class SharedDivergence(Measure):
    """Jensen-Shannon divergence with one logarithm for each cell in which both genes are found."""

    def __init__(self, shares: Distributions) -> None:
        super().__init__(shares.shares.n_genes)
        self.sums, self.whole = shares.sums, shares.whole
        by_cell = shares.shares.by_cell()
        logs = np.empty_like(by_cell.data)
        for start in range(0, logs.size, RUN):
            exact = by_cell.data[start : start + RUN].astype(np.float64)
            logs[start : start + RUN] = exact * np.log2(exact)
        self.arrays = (by_cell.data, logs, *by_cell[1:])

    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare a band with all that follow."""
        shared = np.zeros((stop - first, self.n_genes))
        _over_band(lambda *part: _kernels.shared_divergence(*self.arrays, *part), shared, first, stop)
        own = self.sums[first:stop, None] + self.sums[first:]
        found = in_nats(own - shared[:, first:], self.whole)
        out[...] = undefined(found, self.sums[first:stop] == 0, self.sums[first:] == 0)

    def itself(self) -> NDArray[np.float64]:
        """Return zero, or NaN for a gene without values."""
        return one_where(self.sums > 0) - 1


def _over_band(kernel: Any, sums: NDArray[np.float64], first: int, stop: int) -> None:
    """Let threads add up the genes of a band; sums[i] belongs to gene first + i."""
    parts = _threads.parts(np.ones(stop - first), 4 * _kernels.n_threads())
    _threads.run([partial(kernel, first + a, first + b, sums[a:b]) for a, b in parts])
