"""What labels permuted at random would give: mean and variance of the information."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from itertools import pairwise
from math import factorial, prod, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import digamma

from cellclf.stats import _kernels, _threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._contingency import ContingencyTable

MARKED_ROWS = 2**24  # up to so many rows, distinct bin sizes are found by marking rather than sorting
KEPT_VALUES = 2**20  # so many coefficients of sizes that come again are kept, or as much as the table holds
DIGITS = 60  # of the differences of n log n, whose terms cancel


class BinExcess(NamedTuple):
    """Mean of the sum over classes of n log(n / μ) in one bin, by the size of the bin; all genes share the class sizes.

    `place` says for each bin of the table which of the distinct `sizes` it has.
    """

    sizes: NDArray[np.int64]
    place: NDArray[np.int64]
    mean: NDArray[np.float64]


def expected_information(table: ContingencyTable) -> NDArray[np.float64]:
    """Mean of the mutual information over all permutations of the labels, nats, float64 (n_genes)."""
    excess = bin_excess(table)
    return per_gene(excess.mean, excess.place, table) / max(1, table.total)


def bin_excess(table: ContingencyTable) -> BinExcess:
    """Compute the mean for every bin size that occurs.

    It is exact: a sum over the hypergeometric law, or, for expected counts from 24, its expansion in inverse factorials,
    good to 1e-8.
    """
    sizes, place = _distinct(table.bin_sizes, table.total)
    class_sizes, total = _class_sizes(table), table.total
    lags, class_lags = _lag(sizes), _lag(class_sizes) - _lag(np.array([total]))
    mean = np.zeros(sizes.size)
    _threads.over_ranges(
        lambda first, stop: _kernels.bin_excess(sizes, lags, class_sizes, class_lags, total, first, stop, mean),
        sizes.size,
    )
    return BinExcess(sizes, place, mean)


def excess_variance(table: ContingencyTable, excess: BinExcess) -> NDArray[np.float64]:
    """Variance over all permutations of the labels of N times the mutual information, float64 (n_genes).

    It is exact: a sum over degrees of polynomials in the counts (`_kernels._null_variance`), cut at sixteen and where
    the rest is below 1e-7. It is 0 where permuted labels do not change the information.
    """
    sizes, place, _ = excess
    class_sizes, total = _class_sizes(table), table.total
    out = np.zeros(table.n_genes)
    if class_sizes.size < 2:
        return out
    scale, factors = _by_total(total)
    classes, shared = _described(class_sizes, total, scale), (factors, _differences())
    memory = _memory(sizes, place, total, class_sizes.size, max(KEPT_VALUES, table.counts.size // 2))
    genes, psi = (table.offsets, place), digamma(sizes)
    _threads.over_ranges(
        lambda first, stop: _kernels.bin_laws(sizes, psi, total, classes, shared, memory, first, stop), sizes.size
    )
    _threads.over_ranges(
        lambda first, stop: _kernels.information_variance(
            genes, sizes, psi, total, classes, shared, memory, first, stop, out
        ),
        table.n_genes,
    )
    return out


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


def _class_sizes(table: ContingencyTable) -> NDArray[np.int64]:
    """Return the sizes of the classes that have rows, in order."""
    return np.sort(table.class_sizes[table.class_sizes > 0])


def _described(class_sizes: NDArray[np.int64], total: int, scale: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
    """Return sizes, ψ, and by degree scale, q_k, leads and inverse rising factorials of the classes, as kernels take them."""
    n_rows = (_kernels.DEGREES + 1,) * 3 + (_kernels.SERIES.size,)
    tables = [np.zeros((class_sizes.size, n)) for n in n_rows]
    for i, size in enumerate(class_sizes.tolist()):
        _kernels.describe(size, total, *(table[i] for table in tables))
    scales, ratios, leads, rising = (np.ascontiguousarray(table.T) for table in tables)
    scales *= scale[:, None]
    return class_sizes, digamma(class_sizes) - digamma(total - 1), scales, ratios, scales * leads, rising


def _lag(n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ψ(n) - log n, by its expansion where the two would cancel."""
    x = np.maximum(n, 1).astype(np.float64)
    series = -1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6)
    return np.where(x < 64, digamma(x) - np.log(x), series)


def _memory(
    sizes: NDArray[np.int64], place: NDArray[np.int64], total: int, n_classes: int, n_values: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Make room for the coefficients of sizes of more than one bin; say where that of each size is (-1 without)."""
    often = (np.bincount(place, minlength=sizes.size) > 1) & (sizes > 0) & (sizes < total)
    kept = np.flatnonzero(often)[: n_values // (n_classes * (_kernels.DEGREES + 1))]
    slot = np.full(sizes.size, -1)
    slot[kept] = np.arange(kept.size)
    return slot, np.zeros((_kernels.DEGREES + 1, kept.size, n_classes)), np.zeros((kept.size, 3))


def _by_total(total: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by degree the part of the scale that depends on the number of rows alone, and the factors of the series."""
    degrees, terms = _kernels.DEGREES, _kernels.SERIES.size
    scale, factors = np.ones(degrees + 1), np.zeros((degrees + 1, terms))
    for k in range(1, min(degrees, total // 2) + 1):
        top = total - k + 1
        step = total**4 * (top + 1) / (k * (top - k + 2) * (top - k + 1) ** 2 * (top - k))
        scale[k] = scale[k - 1] * sqrt(step)
        for j in range(k == 1, terms):
            rising = prod((total - 2 * k + i) / total for i in range(1, k + j))
            factors[k, j] = _kernels.SERIES[j] * factorial(k - 2 + j) * rising / total ** (k - 1 + j)
    return scale, factors


@cache
def _differences() -> NDArray[np.float64]:
    """Return the absolute differences of each degree of n log n, whose signs alternate with the degree."""
    with localcontext() as context:
        context.prec = DIGITS
        n = _kernels.SPAN
        line = [i * Decimal(max(1, i)).ln() for i in range(n + _kernels.DEGREES)]
        out = np.zeros((_kernels.DEGREES + 1, n))
        for k in range(_kernels.DEGREES + 1):
            out[k] = [float(value) * (-1) ** k for value in line[:n]]
            line = [second - first for first, second in pairwise(line)]
    return out
