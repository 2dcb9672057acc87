"""What labels permuted at random would give: mean and variance of each bin's part of the information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellclf.stats import _kernels, _threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._contingency import ContingencyTable

EXACT_SIZE = 128  # bins of up to so many rows get the exact variance
MARKED_ROWS = 2**24  # up to so many rows, distinct bin sizes are found by marking rather than sorting


class BinExcess(NamedTuple):
    """Law of the sum over classes of n log(n / μ) in one bin, by the size of the bin; all genes share the class sizes.

    `place` says for each bin of the table which of the distinct `sizes` it has.
    """

    sizes: NDArray[np.int64]
    place: NDArray[np.int64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def expected_information(table: ContingencyTable) -> NDArray[np.float64]:
    """Mean of the mutual information over all permutations of the labels, nats, float64 (n_genes)."""
    excess = bin_excess(table)
    return per_gene(excess.mean, excess.place, table) / max(1, table.total)


def bin_excess(table: ContingencyTable) -> BinExcess:
    """Compute the law for every bin size that occurs.

    The mean is exact (a sum over the hypergeometric law, or its expansion, good to 1e-6, for expected counts above 64).
    The variance is exact for bins of up to 128 rows; for larger ones each class's own variance is exact or asymptotic
    in the same way and the covariance between classes asymptotic.
    """
    sizes, place = _distinct(table.bin_sizes, table.total)
    class_sizes, total = table.class_sizes[table.class_sizes > 0], table.total
    mean, variance = np.zeros(sizes.size), np.zeros(sizes.size)
    _threads.over_ranges(
        lambda first, stop: _kernels.bin_excess(sizes, class_sizes, total, first, stop, mean, variance), sizes.size
    )
    n_small = int(np.searchsorted(sizes, EXACT_SIZE, side="right"))
    if n_small:
        variance[:n_small] = _kernels.bin_variance(class_sizes, total, min(EXACT_SIZE, total))[sizes[:n_small]]
    return BinExcess(sizes, place, mean, variance)


def per_gene(values: NDArray[Any], place: NDArray[np.int64], table: ContingencyTable) -> NDArray[np.float64]:
    """Sum over the bins of each gene what belongs to their sizes."""
    if not place.size:
        return np.zeros(table.n_genes)
    return np.add.reduceat(values[place], table.offsets[:-1], dtype=np.float64)


def _distinct(sizes: NDArray[np.int64], total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct sizes in order, and the place of each size among them."""
    if total > MARKED_ROWS:
        distinct, place = np.unique(sizes, return_inverse=True)
        return distinct, place
    present = np.zeros(total + 1, dtype=bool)
    present[sizes] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[sizes]
