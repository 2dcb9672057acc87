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
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins
    from cellclf.stats._gene_forms import Distributions
    from cellclf.stats._gene_values import ByCell, GeneValues

# Up to this share of (pair, cell) in which both genes are found, visiting only these is faster than laying genes out.
SPARSE_PRODUCTS, SPARSE_DIVERGENCE = 0.05, 0.15
SHARED_BAND = 128  # genes compared with all that follow


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


class Shared(Measure):
    """Adds up what two genes have in common over the cells in which both are found."""

    band = SHARED_BAND

    def __init__(self, by_cell: ByCell, kernel: Callable[..., None], *arrays: NDArray[Any]) -> None:
        super().__init__(by_cell.borders.size - 1)
        self.by_cell, self.kernel = by_cell, kernel
        self.arrays = (by_cell.data, *arrays, *by_cell[1:-1])

    def sums(self, first: int, stop: int) -> NDArray[np.float64]:
        """Let threads add up the genes of a band, some cells at a time; row 0 belongs to gene `first`."""
        sums, begun = np.zeros((stop - first, self.n_genes)), self.by_cell.borders[first:stop].copy()
        parts = _threads.parts(np.ones(stop - first), 4 * _kernels.n_threads())

        def add(end: int, a: int, b: int) -> None:
            self.kernel(*self.arrays, end, begun[a:b], first + a, first + b, sums[a:b])

        for end in self.by_cell.steps[1:]:
            _threads.run([partial(add, end, *part) for part in parts])
        return sums


class SharedCorrelation(Shared):
    """Pearson correlation from sums over the cells in which both genes are found."""

    def __init__(self, values: GeneValues) -> None:
        super().__init__(values.by_cell(), _kernels.shared_products)
        self.centre, self.n_cells = centred(values), values.n_cells

    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare a band with all that follow."""
        mean, length = self.centre
        found = self.sums(first, stop)[:, first:] - self.n_cells * mean[first:stop, None] * mean[first:]
        out[...] = np.clip(found / length[first:stop, None] / length[first:], -1, 1)

    def itself(self) -> NDArray[np.float64]:
        """Return one, or NaN for a constant gene."""
        return one_where(~np.isnan(self.centre.length))


class SharedDivergence(Shared):
    """Jensen-Shannon divergence with one logarithm for each cell in which both genes are found."""

    def __init__(self, shares: Distributions) -> None:
        self.totals, self.whole = shares.sums, shares.whole
        by_cell = shares.shares.by_cell()
        logs = shares.shares.room.empty(by_cell.data.size, by_cell.data.dtype)
        for start in range(0, logs.size, RUN):
            exact = by_cell.data[start : start + RUN].astype(np.float64)
            logs[start : start + RUN] = exact * np.log2(exact)
        super().__init__(by_cell, _kernels.shared_divergence, logs)

    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare a band with all that follow."""
        own = self.totals[first:stop, None] + self.totals[first:]
        found = in_nats(own - self.sums(first, stop)[:, first:], self.whole)
        out[...] = undefined(found, self.totals[first:stop] == 0, self.totals[first:] == 0)

    def itself(self) -> NDArray[np.float64]:
        """Return zero, or NaN for a gene without values."""
        return one_where(self.totals > 0) - 1
