"""Compiled loops: the only module that imports numba.

Each kernel is serial, releases the GIL and works on its own part of the data, so that parts run in plain threads: any
number of callers may be inside at once, and a process may fork afterwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WHOLE, TABLE, CUTS = 0, 1, 2  # how a value finds its bin: it is the bin, it is looked up, it is compared with cuts
NOT_FINITE, NOT_WHOLE = -1, -2
PREFETCH = 16  # elements of four bytes in a cache line
LANE = 8  # cuts are padded to a multiple of this, so that the comparisons of one value become vector instructions
SERIES_FROM = 64.0  # expected count from which the expansion replaces the sum; it is then good to 1e-6
WEIGHT_FLOOR = 1e-19


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the GIL; without a cache where no folder for it can be written."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(function)


def n_threads() -> int:
    """How many threads numba was told to use; asking `numba.get_num_threads` would start its own pool."""
    return int(vars(numba.config)["NUMBA_NUM_THREADS"])


@_compiled
def _bin_of(value: Any, gene: int, kind: int, lookup: Any, cuts: Any, n_bins: int) -> int:
    """Bin of any value, or a negative code for one that has none; the slow way, for lines that hold such values."""
    if value - value != 0:
        return NOT_FINITE
    if kind == WHOLE:
        if value < 0 or math.floor(value) != value:
            return NOT_WHOLE
        return n_bins - 1 if value >= n_bins else np.int64(value)
    found = np.int64(0)
    if kind == CUTS:
        for k in range(cuts.shape[1]):
            found += value >= cuts[gene, k]
    elif value >= lookup.shape[0]:
        found = n_bins - 1
    elif value > 0:
        found = np.int64(lookup[np.int64(value)])
    return found


@_compiled
def _is_plain(values: Any, whole: bool) -> bool:
    """Whether every value of a line is finite and, if asked for, a count; loops that become vector instructions."""
    odd = np.int32(0)
    if whole:
        for k in range(values.shape[0]):
            odd += np.int32((values[k] < 0) | (math.floor(values[k]) - values[k] != 0))
    else:
        for k in range(values.shape[0]):
            odd += np.int32(values[k] - values[k] != 0)
    return odd == 0


@_compiled
def _order(places: Any, n_places: int) -> int:
    """Say whether the indices of a line increase (0), do not (1), or reach beyond the matrix (2)."""
    falls, n = np.int32(0), places.shape[0]
    for k in range(1, n):
        falls += np.int32(places[k] <= places[k - 1])
    if falls == 0 and (n == 0 or (places[0] >= 0 and places[n - 1] < n_places)):
        return 0
    for k in range(n):
        if places[k] < 0 or places[k] >= n_places:
            return 2
    return 1


def _prefetching(typing: Any, array: Any, place: Any) -> Any:
    """Write the instruction that asks for the cache line of an element, without waiting; the address is never read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        read, keep, data_cache = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(function, [address, read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


_prefetch: Any = intrinsic(_prefetching)


@_compiled
def _prefetch_line(data: Any, indices: Any, start: int, stop: int) -> None:
    """Ask for a row that comes next: rows of one class lie far apart, where the hardware does not look ahead."""
    for k in range(start, stop, PREFETCH):
        _prefetch(data, k)
        _prefetch(indices, k)


@_compiled
def _count_line(values: Any, genes: Any, step: int, kind: int, lookup: Any, cuts: Any, offsets: Any, out: Any) -> None:
    """Add the values of one row, known to be plain, to a line of the table."""
    top = lookup.shape[0] - 1
    if kind == TABLE:
        width = np.uint64(out.shape[0] // (offsets.shape[0] - 1))  # all genes have the same bins
        for k in range(values.shape[0]):
            value = values[k]
            whole = top if value >= top else (0 if value < 0 else np.int64(value))
            out[np.uint64(genes[k]) * width + np.uint64(lookup[np.uint64(whole)])] += step
    elif kind == WHOLE:
        for k in range(values.shape[0]):
            gene, value = np.int64(genes[k]), values[k]
            place = offsets[gene]
            last = offsets[gene + 1] - place - 1
            out[place + (last if value >= last else np.int64(value))] += step
    else:
        for k in range(values.shape[0]):
            gene, value = np.int64(genes[k]), values[k]
            found = 0
            for first in range(0, cuts.shape[1], LANE):
                for lane in range(LANE):
                    found += value >= cuts[gene, first + lane]
            out[offsets[gene] + found] += step


@_compiled
def count_rows(
    data: Any,
    indices: Any,
    indptr: Any,
    shared: bool,
    rows: Any,
    step: int,
    kind: int,
    lookup: Any,
    cuts: Any,
    offsets: Any,
    out: Any,
) -> tuple[int, int, int, int, int]:
    """Add the stored values of some rows, all of one class, to that class's line of the table."""
    n_genes = offsets.shape[0] - 1
    n_not_finite, n_not_whole, disorder = 0, 0, 0
    gene_not_finite, gene_not_whole = n_genes, n_genes
    for i in range(rows.shape[0]):
        start, stop = indptr[rows[i]], indptr[rows[i] + 1]
        values, genes = data[start:stop], indices if shared else indices[start:stop]
        if not shared:
            disorder = max(disorder, _order(genes, n_genes))
            if disorder == 2:
                break
        if not shared and i + 1 < rows.shape[0]:
            _prefetch_line(data, indices, indptr[rows[i + 1]], indptr[rows[i + 1] + 1])
        if _is_plain(values, kind == WHOLE):
            _count_line(values, genes, step, kind, lookup, cuts, offsets, out)
            continue
        for k in range(values.shape[0]):
            gene = np.int64(genes[k])
            place = offsets[gene]
            found = _bin_of(values[k], gene, kind, lookup, cuts, offsets[gene + 1] - place)
            if found >= 0:
                out[place + found] += step
            elif found == NOT_FINITE:
                n_not_finite += 1
                gene_not_finite = min(gene_not_finite, gene)
            else:
                n_not_whole += 1
                gene_not_whole = min(gene_not_whole, gene)
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole, disorder


@_compiled
def _count_gene(
    values: Any, rows: Any, codes: Any, step: int, kind: int, lookup: Any, cuts: Any, n_bins: int, out: Any
) -> None:
    """Add the values of one gene, known to be plain, to its part of the table; `cuts` are its own."""
    top = lookup.shape[0] - 1
    for k in range(values.shape[0]):
        code, value = codes[rows[k]], values[k]
        if code < 0:
            continue
        found = np.int64(0)
        if kind == TABLE:
            found = np.int64(lookup[top if value >= top else (0 if value < 0 else np.int64(value))])
        elif kind == WHOLE:
            found = n_bins - 1 if value >= n_bins else np.int64(value)
        else:
            for first in range(0, cuts.shape[0], LANE):
                for lane in range(LANE):
                    found += value >= cuts[first + lane]
        out[code, found] += step


@_compiled
def count_columns(
    data: Any,
    indices: Any,
    indptr: Any,
    shared: bool,
    first_gene: int,
    stop_gene: int,
    codes: Any,
    step: int,
    kind: int,
    lookup: Any,
    cuts: Any,
    offsets: Any,
    out: Any,
) -> tuple[int, int, int, int, int]:
    """Add the stored values of some genes to the table."""
    n_genes = offsets.shape[0] - 1
    n_not_finite, n_not_whole, disorder = 0, 0, 0
    gene_not_finite, gene_not_whole = n_genes, n_genes
    for gene in range(first_gene, stop_gene):
        start, stop = indptr[gene], indptr[gene + 1]
        values, rows = data[start:stop], indices if shared else indices[start:stop]
        if not shared:
            disorder = max(disorder, _order(rows, codes.shape[0]))
            if disorder == 2:
                break
        own, n_bins = out[:, offsets[gene] : offsets[gene + 1]], offsets[gene + 1] - offsets[gene]
        if _is_plain(values, kind == WHOLE):
            _count_gene(values, rows, codes, step, kind, lookup, cuts[gene if kind == CUTS else 0], n_bins, own)
            continue
        for k in range(values.shape[0]):
            code = codes[rows[k]]
            if code < 0:
                continue
            found = _bin_of(values[k], gene, kind, lookup, cuts, n_bins)
            if found >= 0:
                own[code, found] += step
            elif found == NOT_FINITE:
                n_not_finite += 1
                gene_not_finite = min(gene_not_finite, gene)
            else:
                n_not_whole += 1
                gene_not_whole = min(gene_not_whole, gene)
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole, disorder


@_compiled
def fill_zeros(out: Any, class_sizes: Any, offsets: Any, zero_bins: Any, first: int, stop: int) -> int:
    """Give each gene's zero bin the rows that no stored value accounted for; return the largest overdraft."""
    overdraft = 0
    for code in range(out.shape[0]):
        for gene in range(first, stop):
            missing = np.int64(class_sizes[code])
            for k in range(offsets[gene], offsets[gene + 1]):
                missing -= out[code, k]
            out[code, offsets[gene] + zero_bins[gene]] += missing
            overdraft = max(overdraft, -missing)
    return overdraft


@_compiled
def has_duplicates(indices: Any, indptr: Any, n_minor: int, first: int, stop: int) -> bool:
    """Whether some row (CSR) or column (CSC) names the same place twice."""
    seen = np.full(n_minor, -1, np.int64)
    for major in range(first, stop):
        for k in range(indptr[major], indptr[major + 1]):
            if seen[indices[k]] == major:
                return True
            seen[indices[k]] = major
    return False


@_compiled
def extremes_rows(
    data: Any, indices: Any, indptr: Any, shared: bool, rows: Any, lowest: Any, highest: Any, n_stored: Any
) -> tuple[int, int, int, int, int]:
    """Smallest and largest stored value of each gene over some rows, and how many there are."""
    n_genes = lowest.shape[0]
    n_not_finite, n_not_whole, disorder = 0, 0, 0
    gene_not_finite, gene_not_whole = n_genes, n_genes
    for i in range(rows.shape[0]):
        start, stop = indptr[rows[i]], indptr[rows[i] + 1]
        values, genes = data[start:stop], indices if shared else indices[start:stop]
        if not shared:
            disorder = max(disorder, _order(genes, n_genes))
            if disorder == 2:
                break
        for k in range(values.shape[0]):
            gene, value = np.int64(genes[k]), values[k]
            n_stored[gene] += 1
            lowest[gene] = min(lowest[gene], value)
            highest[gene] = max(highest[gene], value)
            if value - value != 0:
                n_not_finite += 1
                gene_not_finite = min(gene_not_finite, gene)
            elif value < 0 or math.floor(value) != value:
                n_not_whole += 1
                gene_not_whole = min(gene_not_whole, gene)
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole, disorder


@_compiled
def extremes_columns(
    data: Any,
    indices: Any,
    indptr: Any,
    shared: bool,
    first_gene: int,
    stop_gene: int,
    rows: Any,
    lowest: Any,
    highest: Any,
    n_stored: Any,
) -> tuple[int, int, int, int, int]:
    """Smallest and largest stored value of some genes over the rows marked, and how many there are."""
    n_genes = lowest.shape[0]
    n_not_finite, n_not_whole, disorder = 0, 0, 0
    gene_not_finite, gene_not_whole = n_genes, n_genes
    for gene in range(first_gene, stop_gene):
        start, stop = indptr[gene], indptr[gene + 1]
        values, places = data[start:stop], indices if shared else indices[start:stop]
        if not shared:
            disorder = max(disorder, _order(places, rows.shape[0]))
            if disorder == 2:
                break
        for k in range(values.shape[0]):
            if not rows[places[k]]:
                continue
            value = values[k]
            n_stored[gene] += 1
            lowest[gene] = min(lowest[gene], value)
            highest[gene] = max(highest[gene], value)
            if value - value != 0:
                n_not_finite += 1
                gene_not_finite = min(gene_not_finite, gene)
            elif value < 0 or math.floor(value) != value:
                n_not_whole += 1
                gene_not_whole = min(gene_not_whole, gene)
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole, disorder


@_compiled
def _n_log_n(n: int, table: Any) -> float:
    """Look up n log n, or compute it beyond the table."""
    if n < table.shape[0]:
        return table[n]
    return n * math.log(n)


@_compiled
def information(
    counts: Any, offsets: Any, table: Any, class_term: float, total: int, first: int, stop: int, out: Any
) -> None:
    """Mutual information of some genes with the class."""
    for gene in range(first, stop):
        cells = 0.0
        for code in range(counts.shape[0]):
            for k in range(offsets[gene], offsets[gene + 1]):
                cells += _n_log_n(counts[code, k], table)
        bins = 0.0
        for k in range(offsets[gene], offsets[gene + 1]):
            size = np.int64(0)
            for code in range(counts.shape[0]):
                size += counts[code, k]
            bins += _n_log_n(size, table)
        out[gene] = max(0.0, ((cells - class_term) + (_n_log_n(total, table) - bins)) / total)


@_compiled
def information_by_class(
    counts: Any, offsets: Any, bin_sizes: Any, class_sizes: Any, table: Any, total: int, first: int, stop: int, out: Any
) -> None:
    """Mutual information of some genes with each class against the rest."""
    total_term = _n_log_n(total, table)
    for gene in range(first, stop):
        bins = 0.0
        for k in range(offsets[gene], offsets[gene + 1]):
            bins += _n_log_n(bin_sizes[k], table)
        for code in range(counts.shape[0]):
            size = np.int64(class_sizes[code])
            inside, outside = 0.0, 0.0
            for k in range(offsets[gene], offsets[gene + 1]):
                n = np.int64(counts[code, k])
                inside += _n_log_n(n, table)
                outside += _n_log_n(bin_sizes[k] - n, table)
            inside -= _n_log_n(size, table)
            outside -= _n_log_n(total - size, table)
            out[gene, code] = max(0.0, ((inside + outside) + (total_term - bins)) / total)


@_compiled
def divergence(counts: Any, offsets: Any, class_sizes: Any, table: Any, first: int, stop: int, out: Any) -> None:
    """Jensen-Shannon divergence of the classes' distributions, equal weights, over the classes that have rows."""
    n_present = 0
    for code in range(class_sizes.shape[0]):
        n_present += class_sizes[code] > 0
    for gene in range(first, stop):
        within = 0.0
        for code in range(counts.shape[0]):
            size = np.int64(class_sizes[code])
            if size > 0:
                cells = 0.0
                for k in range(offsets[gene], offsets[gene + 1]):
                    cells += _n_log_n(counts[code, k], table)
                within += (_n_log_n(size, table) - cells) / size
        mixture = 0.0
        for k in range(offsets[gene], offsets[gene + 1]):
            share = 0.0
            for code in range(counts.shape[0]):
                if class_sizes[code] > 0:
                    share += counts[code, k] / class_sizes[code]
            share /= n_present
            if share > 0:
                mixture -= share * math.log(share)
        out[gene] = max(0.0, mixture - within / n_present)


@_compiled
def _series_mean(size: float, expected: float, share: float, total: float) -> float:
    """Expansion of E[n log n] - μ log μ about μ, by the central moments of the hypergeometric law."""
    m2 = expected * (1.0 - share) * (total - size) / (total - 1.0)
    if m2 <= 0.0:
        return 0.0
    m3 = m2 * (1.0 - 2.0 * share) * (total - 2.0 * size) / (total - 2.0)
    members = share * total
    product = size * members * (total - members) * (total - size)
    kurtosis = (total - 1.0) * total * total * (
        total * (total + 1.0) - 6.0 * members * (total - members) - 6.0 * size * (total - size)
    ) + 6.0 * product * (5.0 * total - 6.0)
    m4 = m2 * m2 * (3.0 + kurtosis / (product * (total - 2.0) * (total - 3.0)))
    series = m2 * m2 * m2 / (2.0 * expected) - m2 * m3 / 2.0  # sixth and fifth moment to leading order
    series = series / expected + m4 / 12.0
    series = series / expected - m3 / 6.0
    series = series / expected + m2 / 2.0
    return series / expected


@_compiled
def _sum_moments(size: int, members: int, total: int, expected: float) -> tuple[float, float]:
    """Mean and variance of n log(n / μ) - (n - μ) by summing over the hypergeometric law, outwards from its mode."""
    lowest, highest = max(0, size + members - total), min(size, members)
    mode = min(highest, max(lowest, (size + 1) * (members + 1) // (total + 2)))
    log_expected = math.log(expected)
    weights, first, second = 0.0, 0.0, 0.0
    weight = 1.0
    for n in range(mode, highest + 1):
        term = expected - n
        if n > 0:
            term += n * (math.log(n) - log_expected)
        weights += weight
        first += weight * term
        second += weight * term * term
        weight *= (size - n) / (n + 1.0) * ((members - n) / (total - size - members + n + 1.0))
        if weight < WEIGHT_FLOOR:
            break
    weight = 1.0
    for n in range(mode - 1, lowest - 1, -1):
        weight *= (n + 1.0) / (size - n) * ((total - size - members + n + 1.0) / (members - n))
        if weight < WEIGHT_FLOOR:
            break
        term = expected - n
        if n > 0:
            term += n * (math.log(n) - log_expected)
        weights += weight
        first += weight * term
        second += weight * term * term
    mean = first / weights
    return mean, max(0.0, second / weights - mean * mean)


@_compiled
def bin_excess(sizes: Any, class_sizes: Any, total: int, first: int, stop: int, mean: Any, variance: Any) -> None:
    """Mean and variance under permuted labels of the sum over classes of n log(n / μ) in bins of the given sizes."""
    for i in range(first, stop):
        size = np.int64(sizes[i])
        if size == 0 or size == total:
            continue
        rest = ((total - size) / (total - 1.0)) ** 2 / 2.0
        covariance = 1.0
        for code in range(class_sizes.shape[0]):
            members = np.int64(class_sizes[code])
            share = members / total
            expected = size * share
            covariance -= share * share
            if expected >= SERIES_FROM:
                mean[i] += _series_mean(np.float64(size), expected, share, np.float64(total))
                variance[i] += (1.0 - share) ** 2 * rest
            else:
                cell_mean, cell_variance = _sum_moments(size, members, total, expected)
                mean[i] += cell_mean
                variance[i] += cell_variance
        variance[i] += covariance * rest


@_compiled
def welford_rows(
    data: Any, indices: Any, indptr: Any, shared: bool, first: int, stop: int, rows: Any, n: Any, mean: Any, spread: Any
) -> None:
    """Running mean and sum of squares of the non-zero values of each gene over some rows."""
    for row in range(first, stop):
        if not rows[row]:
            continue
        start, stop = indptr[row], indptr[row + 1]
        values, genes = data[start:stop], indices if shared else indices[start:stop]
        for k in range(values.shape[0]):
            value = np.float64(values[k])
            if value != 0.0:
                gene = genes[k]
                n[gene] += 1
                delta = value - mean[gene]
                mean[gene] += delta / n[gene]
                spread[gene] += delta * (value - mean[gene])


@_compiled
def sums_rows(data: Any, indptr: Any, first: int, stop: int, out: Any) -> None:
    """Add the stored values of each row, in the order of the columns."""
    for row in range(first, stop):
        for k in range(indptr[row], indptr[row + 1]):
            out[row] += np.float64(data[k])


@_compiled
def sums_columns(data: Any, indices: Any, indptr: Any, shared: bool, out: Any) -> None:
    """Add the stored values of each row of a matrix stored by columns, in the order of the columns."""
    for gene in range(indptr.shape[0] - 1):
        start, stop = indptr[gene], indptr[gene + 1]
        values, rows = data[start:stop], indices if shared else indices[start:stop]
        for k in range(values.shape[0]):
            out[rows[k]] += np.float64(values[k])


@_compiled
def _fold_class(weight: Any, first: Any, second: Any, own: Any, term: Any, size: int) -> None:
    """Fold one more class into the law of a bin's statistic (in place, from the largest size down)."""
    for total in range(size, -1, -1):
        w, s, q = 0.0, 0.0, 0.0
        for n in range(total + 1):
            v, t = own[n], term[n]
            w += weight[total - n] * v
            s += (first[total - n] + weight[total - n] * t) * v
            q += (second[total - n] + 2.0 * first[total - n] * t + weight[total - n] * t * t) * v
        weight[total], first[total], second[total] = w, s, q


@_compiled
def bin_variance(class_sizes: Any, total: int, size: int) -> NDArray[np.float64]:
    """Exact variance under permuted labels of the sum over classes of n log(n / μ), for bins of each size up to `size`."""
    weight, first, second = np.zeros(size + 1), np.zeros(size + 1), np.zeros(size + 1)
    own, term = np.zeros(size + 1), np.zeros(size + 1)
    weight[0] = 1.0
    scale = total / size  # keeps the weights of the likely sizes near one
    for code in range(class_sizes.shape[0]):
        own[0] = 1.0
        for n in range(1, size + 1):
            term[n] = n * math.log(n * (total / class_sizes[code]) / size)  # the size of the bin itself does not vary
        for n in range(size):
            own[n + 1] = own[n] * max(0.0, (class_sizes[code] - n) / ((n + 1.0) * scale))
        _fold_class(weight, first, second, own, term, size)
    variance = np.zeros(size + 1)
    for n in range(size + 1):
        if weight[n] > 0.0:
            mean = first[n] / weight[n]
            variance[n] = max(0.0, second[n] / weight[n] - mean * mean)
    return variance


@_compiled
def order(indices: Any, indptr: Any, n_minor: int, first: int, stop: int) -> int:
    """Say whether the indices of all lines increase (0), do not (1), or reach beyond the matrix (2)."""
    worst = 0
    for line in range(first, stop):
        worst = max(worst, _order(indices[indptr[line] : indptr[line + 1]], n_minor))
    return worst
