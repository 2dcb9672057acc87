"""Bitsets of rows, one for each bin of a gene, and the information of pairs of genes from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cellclf.stats._kernels._compile import compiled

PLANES = 3  # bitsets of a gene: one for each of at most four bins but the one that holds zero
WORD = 64  # rows in a word


def _population(typing: Any, word: Any) -> Any:
    """Write the instruction that counts the bits of a word; LLVM turns a loop of them into vector instructions."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(64)
        function = builder.module.declare_intrinsic("llvm.ctpop", [number])
        return builder.call(function, [arguments[0]])

    return types.uint64(types.uint64), generate


_population_count: Any = intrinsic(_population)


@compiled
def _plane_of(value: Any, cuts: Any, zero_bin: int) -> int:
    """Bitset of a value, or -1 for one in the bin of zero."""
    found = 0
    for k in range(cuts.shape[0]):
        found += value >= cuts[k]
    if found == zero_bin:
        return -1
    return found - (found > zero_bin)


@compiled
def pack_rows(
    data: Any,
    indices: Any,
    indptr: Any,
    shared: bool,
    rows: Any,
    places: Any,
    wanted: Any,
    cuts: Any,
    zero_bins: Any,
    bits: Any,
) -> tuple[int, int]:
    """Set the bits of some rows, at their places; of genes whose number in `wanted` is not negative."""
    n_not_finite, gene_not_finite = 0, wanted.shape[0]
    for i in range(rows.shape[0]):
        start, stop = indptr[rows[i]], indptr[rows[i] + 1]
        values, genes = data[start:stop], indices if shared else indices[start:stop]
        word, bit = places[i] // WORD, np.uint64(1) << np.uint64(places[i] % WORD)
        for k in range(values.shape[0]):
            gene = np.int64(genes[k])
            if wanted[gene] < 0:
                continue
            if values[k] - values[k] != 0:
                n_not_finite += 1
                gene_not_finite = min(gene_not_finite, gene)
                continue
            plane = _plane_of(values[k], cuts[gene], zero_bins[gene])
            if plane >= 0:
                bits[wanted[gene], plane, word] |= bit
    return n_not_finite, gene_not_finite


@compiled
def pack_columns(
    data: Any,
    indices: Any,
    indptr: Any,
    shared: bool,
    first_gene: int,
    stop_gene: int,
    places: Any,
    wanted: Any,
    cuts: Any,
    zero_bins: Any,
    bits: Any,
) -> tuple[int, int]:
    """Set the bits of some genes; `places` holds -1 for rows that are not seen."""
    n_not_finite, gene_not_finite = 0, wanted.shape[0]
    for gene in range(first_gene, stop_gene):
        if wanted[gene] < 0:
            continue
        start, stop = indptr[gene], indptr[gene + 1]
        values, rows = data[start:stop], indices if shared else indices[start:stop]
        for k in range(values.shape[0]):
            place = places[rows[k]]
            if place < 0:
                continue
            if values[k] - values[k] != 0:
                n_not_finite += 1
                gene_not_finite = min(gene_not_finite, gene)
                continue
            plane = _plane_of(values[k], cuts[gene], zero_bins[gene])
            if plane >= 0:
                bits[wanted[gene], plane, place // WORD] |= np.uint64(1) << np.uint64(place % WORD)
    return n_not_finite, gene_not_finite


@compiled
def segment_counts(bits: Any, borders: Any, first: int, stop: int, out: Any) -> None:
    """Count the bits of each bitset of some genes within each segment of words."""
    for gene in range(first, stop):
        for plane in range(bits.shape[1]):
            for segment in range(borders.shape[0] - 1):
                words, count = bits[gene, plane, borders[segment] : borders[segment + 1]], np.uint64(0)
                for word in range(words.shape[0]):
                    count += _population_count(words[word])
                out[gene, segment, plane] = count


@compiled
def _fill_table(
    one: Any, other: Any, borders: Any, one_counts: Any, other_counts: Any, sizes: Any, n_planes: Any, table: Any
) -> None:
    """Count rows by segment and the bins of two genes; the bins of zero (the last) by subtraction."""
    n, m = n_planes
    for segment in range(sizes.shape[0]):
        start, stop = borders[segment], borders[segment + 1]
        for i in range(n):
            for j in range(m):
                a, b, count = one[i, start:stop], other[j, start:stop], np.uint64(0)
                for word in range(a.shape[0]):
                    count += _population_count(a[word] & b[word])
                table[segment, i, j] = count
    for segment in range(sizes.shape[0]):
        corner = sizes[segment]
        for i in range(n):
            rest = np.int64(one_counts[segment, i])
            for j in range(m):
                rest -= table[segment, i, j]
            table[segment, i, m] = rest
            corner -= one_counts[segment, i]
        for j in range(m):
            rest = np.int64(other_counts[segment, j])
            for i in range(n):
                rest -= table[segment, i, j]
            table[segment, n, j] = rest
            corner -= rest
        table[segment, n, m] = corner


@compiled
def joint_information(
    bits: Any,
    counts: Any,
    n_planes: Any,
    borders: Any,
    sizes: Any,
    strata: Any,
    constant: float,
    n_log_n: Any,
    chosen: int,
    genes: Any,
    first: int,
    stop: int,
    out: Any,
) -> None:
    """Add to each gene what it and the chosen gene tell together about the class; segments are classes in strata."""
    table = np.zeros((sizes.shape[0], PLANES + 1, PLANES + 1), np.int64)
    m = 0 if chosen < 0 else n_planes[chosen]
    for place in range(first, stop):
        gene = genes[place]
        n = n_planes[gene]
        _fill_table(bits[gene], bits[chosen], borders, counts[gene], counts[chosen], sizes, (n, m), table)
        total = constant
        for stratum in range(strata.shape[0] - 1):
            for i in range(n + 1):
                for j in range(m + 1):
                    cell = np.int64(0)
                    for segment in range(strata[stratum], strata[stratum + 1]):
                        cell += table[segment, i, j]
                        total += n_log_n[table[segment, i, j]]
                    total -= n_log_n[cell]
        out[gene] += max(0.0, total)


@compiled
def shared_information(
    bits: Any,
    counts: Any,
    n_planes: Any,
    borders: Any,
    sizes: Any,
    n_log_n: Any,
    chosen: int,
    genes: Any,
    first: int,
    stop: int,
    out: Any,
) -> None:
    """Add to each gene what it and the chosen gene tell about one another; segments are strata."""
    table = np.zeros((sizes.shape[0], PLANES + 1, PLANES + 1), np.int64)
    m = n_planes[chosen]
    for place in range(first, stop):
        gene = genes[place]
        n = n_planes[gene]
        _fill_table(bits[gene], bits[chosen], borders, counts[gene], counts[chosen], sizes, (n, m), table)
        total = 0.0
        for segment in range(sizes.shape[0]):
            total += n_log_n[sizes[segment]]
            for i in range(n + 1):
                line, column = np.int64(0), np.int64(0)
                for j in range(m + 1):
                    line += table[segment, i, j]
                    total += n_log_n[table[segment, i, j]]
                total -= n_log_n[line]
            for j in range(m + 1):
                column = np.int64(0)
                for i in range(n + 1):
                    column += table[segment, i, j]
                total -= n_log_n[column]
        out[gene] += max(0.0, total)
