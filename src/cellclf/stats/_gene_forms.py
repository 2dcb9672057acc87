"""What the comparisons of genes are computed from: shares of cells, means and lengths, bins."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._findings import BadValueError
from cellclf.stats._gene_values import GeneValues

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins

FAINTEST = 1e-30  # smaller shares of a gene's sum count as none: float32 would be slow and coarse


class Distributions(NamedTuple):
    """Each gene as a distribution over the cells, in units of 1 / `whole`.

    `shares` (float32, `whole` for each gene but for rounding), their sums, and the sums of share × log2(share); both are zero
    for a gene without values.
    """

    shares: GeneValues
    whole: float
    sums: NDArray[np.float64]
    entropies: NDArray[np.float64]


def distributions(values: GeneValues, genes: NDArray[np.int64]) -> Distributions:
    """Turn the values of each gene into shares of its sum, in units that keep the logarithms of most of them small."""
    negative = np.flatnonzero(values.of_each_gene(np.minimum) < 0)
    if negative.size:
        gene = int(genes[negative[0]])
        msg = (
            f"Gene {gene} (counted from 0) holds negative values, so it is no distribution over cells. "
            "Give counts or their logarithm, e.g. by `layer=`, or use metric='correlation'."
        )
        raise BadValueError(msg, gene)
    totals = values.sums(values.matrix.data)
    scaled = values.room.empty(values.matrix.nnz, np.float32)

    def share(own: slice, gene: NDArray[np.int64]) -> NDArray[np.float64]:
        found = values.matrix.data[own] / totals[gene]
        found[found < FAINTEST] = 0
        return found

    def fill(own: slice, gene: NDArray[np.int64]) -> None:
        scaled[own] = share(own, gene) * whole

    bits = -values.summed(lambda own, gene: _log_weighted(share(own, gene)))
    whole = float(2.0 ** np.round(bits[totals > 0].mean())) if (totals > 0).any() else 1.0
    values.over_runs(fill)
    shares = values.with_data(scaled)
    exact = shares.matrix.data
    entropies = shares.summed(lambda own, _: _log_weighted(exact[own].astype(np.float64)))
    return Distributions(shares, whole, shares.sums(exact), entropies)


def _log_weighted(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return share × log2(share), 0 for 0."""
    return share * np.log2(np.where(share > 0, share, 1))


class Centred(NamedTuple):
    """Mean of each gene, and the length of the gene less its mean (NaN for a constant gene)."""

    mean: NDArray[np.float64]
    length: NDArray[np.float64]


def centred(values: GeneValues) -> Centred:
    """Find means and lengths."""
    mean, squares = np.zeros(values.n_genes), np.zeros(values.n_genes)
    arrays = values.matrix.data, values.matrix.indptr, values.n_cells, mean, squares
    _threads.over_ranges(partial(_kernels.centre, *arrays), values.n_genes)
    return Centred(mean, np.where(_constant(values), np.nan, np.sqrt(squares)))


def _constant(values: GeneValues) -> NDArray[np.bool_]:
    """Tell which genes have one value in all cells."""
    n_stored = np.diff(values.matrix.indptr)
    lowest, highest = values.of_each_gene(np.minimum), values.of_each_gene(np.maximum)
    return (lowest == highest) & ((n_stored == values.n_cells) | (n_stored == 0))


class Codes(NamedTuple):
    """Each of the values as the number of its bin: 0 for the bin of zero, else 1..n_planes; `sizes` (genes × bins), 0 last."""

    codes: NDArray[np.uint8]
    values: GeneValues
    n_planes: int
    sizes: NDArray[np.int64]


def bin_codes(values: GeneValues, bins: Bins) -> Codes:
    """Replace each value by its bin."""
    codes = values.room.empty(values.matrix.nnz, np.uint8)
    indptr, zero_bins = values.matrix.indptr, bins.zero_bins

    def fill(first: int, stop: int) -> None:
        for gene in range(first, stop):
            own, zero = slice(indptr[gene], indptr[gene + 1]), zero_bins[gene]
            found = np.searchsorted(bins.of_gene(gene), values.matrix.data[own], side="right") - 1
            codes[own] = np.where(found == zero, 0, found + (found < zero))

    _threads.over_ranges(fill, values.n_genes)
    return _counted(values, codes, int(bins.n_bins.max(initial=1)) - 1)


def expressed(values: GeneValues) -> Codes:
    """Replace each value by 1 if it is above zero."""
    codes = values.room.empty(values.matrix.nnz, np.uint8)
    np.greater(values.matrix.data, 0, out=codes.view(bool))
    return _counted(values, codes, 1)


def _counted(values: GeneValues, codes: NDArray[np.uint8], n_planes: int) -> Codes:
    """Count the cells in each bin."""
    sizes = np.zeros((values.n_genes, n_planes + 1), np.int64)

    def count(own: slice, gene: NDArray[np.int64]) -> None:
        first, last = (int(gene[0]), int(gene[-1]) + 1) if gene.size else (0, 0)
        found = np.bincount((gene - first) * (n_planes + 1) + codes[own], minlength=(last - first) * (n_planes + 1))
        sizes[first:last] = found.reshape(-1, n_planes + 1)

    values.over_runs(count)
    sizes = np.roll(sizes, -1, axis=1)
    sizes[:, -1] = values.n_cells - sizes[:, :-1].sum(axis=1)
    return Codes(codes, values, n_planes, sizes)
