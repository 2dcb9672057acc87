"""Pairs of genes: divergence over the cells, values both share, bits both have set, and the nearest of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled, compiled_sums
from cellclf.stats._kernels._pairs import _population_count

RUN = 256  # so many terms are added in float32 before they join a float64 sum


@compiled_sums
def _binary_logarithm(value: Any) -> Any:
    """Logarithm to base 2 of a float32, within 5e-8 + 1e-7 of its size; finite (about -127) for zero."""
    shift = np.int32(np.float32(value).view(np.int32) - np.int32(0x3F3504F3))  # above the bits of sqrt(1/2)
    power = np.int32(shift >> np.int32(23))
    bits = np.int32(np.float32(value).view(np.int32) - np.int32(power << np.int32(23)))
    t = np.int32(bits).view(np.float32) - np.float32(1)
    series = np.float32(-0.14574291480058452)  # the polynomial that errs least between sqrt(1/2) and sqrt(2)
    series = series * t + np.float32(0.23688976848885837)
    series = series * t + np.float32(-0.2500693125826107)
    series = series * t + np.float32(0.28670754854882075)
    series = series * t + np.float32(-0.3600871996509396)
    series = series * t + np.float32(0.4809394410721619)
    series = series * t + np.float32(-0.7213571492610493)
    series = series * t + np.float32(1.4426947724532626)
    return np.float32(power) + series * t


@compiled_sums
def sums_log_sums(one: Any, other: Any, out: Any) -> None:
    """Add the sums of (p + q) log2(p + q) over the cells, for each gene of one tile and each of another."""
    n_cells = one.shape[1]
    for i in range(one.shape[0]):
        for j in range(other.shape[0]):
            total = out[i, j]
            for start in range(0, n_cells, RUN):
                stop = min(start + RUN, n_cells)
                p, q, partial = one[i, start:stop], other[j, start:stop], np.float32(0)
                for cell in range(p.shape[0]):
                    mixed = p[cell] + q[cell]
                    partial += mixed * _binary_logarithm(mixed)
                total += partial
            out[i, j] = total


@compiled_sums
def shared_divergence(
    data: Any,
    logs: Any,
    genes: Any,
    indptr: Any,
    cells: Any,
    places: Any,
    borders: Any,
    before: int,
    begun: Any,
    first: int,
    stop: int,
    out: Any,
) -> None:
    """Sum (p + q) log2(p + q) - p log2 p - q log2 q over the cells in which both genes are found.

    Rows of `out` are genes first..stop, its columns all genes; only genes to the right of the row's are written. The matrix
    is given by cells (data, logs = p log2 p, genes, indptr) and by genes (cells and places of the values, borders). Cells
    below `before` are visited, of those that are not `begun`.
    """
    terms = np.empty(out.shape[1], np.float32)
    for gene in range(first, stop):
        sums, k = out[gene - first], begun[gene - first]
        while k < borders[gene + 1] and cells[k] < before:
            place = places[k]
            p, own, start, end = data[place], logs[place], place + 1, indptr[cells[k] + 1]
            q, theirs, whom = data[start:end], logs[start:end], genes[start:end]
            for m in range(q.shape[0]):
                mixed = p + q[m]
                terms[m] = mixed * _binary_logarithm(mixed) - (own + theirs[m])
            for m in range(q.shape[0]):
                sums[whom[m]] += terms[m]
            k += 1
        begun[gene - first] = k


@compiled
def shared_products(
    data: Any,
    genes: Any,
    indptr: Any,
    cells: Any,
    places: Any,
    borders: Any,
    before: int,
    begun: Any,
    first: int,
    stop: int,
    out: Any,
) -> None:
    """Sum the products of the values of two genes, cell after cell; laid out as in `shared_divergence`."""
    for gene in range(first, stop):
        sums, k = out[gene - first], begun[gene - first]
        while k < borders[gene + 1] and cells[k] < before:
            place = places[k]
            value, start, end = np.float64(data[place]), place + 1, indptr[cells[k] + 1]
            others, whom = data[start:end], genes[start:end]
            for m in range(others.shape[0]):
                sums[whom[m]] += value * others[m]
            k += 1
        begun[gene - first] = k


@compiled
def _common(one: Any, other: Any) -> int:
    """Count the bits set in both."""
    count = np.uint64(0)
    for word in range(one.shape[0]):
        count += _population_count(one[word] & other[word])
    return np.int64(count)


@compiled
def count_common(one: Any, other: Any, one_sizes: Any, other_sizes: Any, counts: Any) -> None:
    """Add the numbers of cells that genes of two tiles share, for each pair of bins (genes × genes × planes × planes).

    A gene has a bitset for each bin but one, and the sizes of all, that one last.
    """
    for i in range(one.shape[0]):
        for a in range(one.shape[1]):
            if one_sizes[i, a] == 0:
                continue
            mine, found = one[i, a], counts[i, :, a]
            for j in range(other.shape[0]):
                for b in range(other.shape[1]):
                    if other_sizes[j, b] > 0:
                        found[j, b] += _common(mine, other[j, b])


@compiled
def pair_information(counts: Any, one_sizes: Any, other_sizes: Any, n_log_n: Any, n_cells: int, out: Any) -> None:
    """Mutual information of two binned genes from the cells that their bins share."""
    n_planes = counts.shape[2]
    rest = np.empty(n_planes, np.int64)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total, corner = n_log_n[n_cells], np.int64(one_sizes[i, n_planes])
            for b in range(n_planes):
                rest[b] = other_sizes[j, b]
            for a in range(n_planes):
                size = np.int64(one_sizes[i, a])
                total -= n_log_n[size]
                if size == 0:
                    continue
                for b in range(n_planes):
                    both = np.int64(counts[i, j, a, b])
                    total += n_log_n[both]
                    rest[b] -= both
                    size -= both
                total += n_log_n[size]
            for b in range(n_planes):
                total += n_log_n[rest[b]] - n_log_n[other_sizes[j, b]]
                corner -= rest[b]
            total += n_log_n[corner] - n_log_n[one_sizes[i, n_planes]] - n_log_n[other_sizes[j, n_planes]]
            out[i, j] = max(0.0, total) / n_cells


@compiled
def _offer(value: float, gene: int, values: Any, genes: Any) -> None:
    """Put a gene among the best, which are in order, if it is better than the last; equals stay before it."""
    place = values.shape[0] - 1
    while place > 0 and value > values[place - 1]:
        values[place], genes[place] = values[place - 1], genes[place - 1]
        place -= 1
    values[place], genes[place] = value, gene


@compiled
def keep_nearest(block: Any, sign: float, first: int, values: Any, genes: Any) -> None:
    """Offer each pair of a block (genes first.. × genes first..) to both of its genes; NaN is never taken."""
    worst = values.shape[1] - 1
    for i in range(block.shape[0]):
        for j in range(i + 1, block.shape[1]):
            value = sign * block[i, j]
            if value > values[first + i, worst]:
                _offer(value, first + j, values[first + i], genes[first + i])
            if value > values[first + j, worst]:
                _offer(value, first + i, values[first + j], genes[first + j])
