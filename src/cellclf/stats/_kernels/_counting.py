"""Counting of values, row after row, into the table of bins and classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled
from cellclf.stats._kernels._lines import line_order
from cellclf.stats._kernels._prefetch import PREFETCH, prefetch, prefetch_line

WHOLE, TABLE, CUTS = 0, 1, 2  # how a value finds its bin: it is the bin, it is looked up, it is compared with cuts
NOT_FINITE, NOT_WHOLE = -1, -2
TURNED = 64  # genes turned at a time from bin after bin to gene after gene
LANE = 8  # cuts are padded to a multiple of this, so that the comparisons of one value become vector instructions


@compiled
def bin_of(value: Any, gene: int, kind: int, lookup: Any, cuts: Any, n_bins: int) -> int:
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


@compiled
def is_plain(values: Any, whole: bool) -> bool:
    """Whether every value of a line is finite and, if asked for, a count; loops that become vector instructions."""
    odd = np.int32(0)
    if whole:
        for k in range(values.shape[0]):
            odd += np.int32((values[k] < 0) | (math.floor(values[k]) - values[k] != 0))
    else:
        for k in range(values.shape[0]):
            odd += np.int32(values[k] - values[k] != 0)
    return odd == 0


@compiled
def _clip(values: Any, top: Any, out: Any) -> bool:
    """Cut values to whole numbers from 0 to `top`, of its own type; say whether all are finite. One vector loop."""
    odd = np.int32(0)
    for k in range(values.shape[0]):
        value = values[k]
        odd += np.int32(value - value != 0)
        value = value if value > 0 else top - top
        value = value if value < top else top
        out[k] = np.int32(value)
    return odd == 0


@compiled
def _count_small(whole: Any, genes: Any, step: int, planes: Any, out: Any, data: Any, indices: Any, coming: int) -> int:
    """Add clipped counts to a line of the table that lies bin after bin; ask for the coming row meanwhile.

    Most counts are 1 or 2, so most of the additions fall into two planes, which the first-level cache holds. One line of
    the coming row at a time, since a burst would fill the buffers of the processor and make it wait.
    """
    n = whole.shape[0] - whole.shape[0] % PREFETCH
    for first in range(0, n, PREFETCH):
        prefetch(data, coming + first)
        prefetch(indices, coming + first)
        for lane in range(PREFETCH):
            k = first + lane
            out[np.uint64(genes[k]) + np.uint64(planes[np.uint64(whole[k])])] += step
    for k in range(n, whole.shape[0]):
        out[np.uint64(genes[k]) + np.uint64(planes[np.uint64(whole[k])])] += step
    return n


@compiled
def _count_line(values: Any, genes: Any, step: int, whole: bool, cuts: Any, offsets: Any, out: Any) -> None:
    """Add the values of one row, known to be plain, to a line of the table."""
    if whole:
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


@compiled
def _count_odd(
    values: Any, genes: Any, step: int, kind: int, lookup: Any, cuts: Any, offsets: Any, out: Any
) -> tuple[int, int, int, int]:
    """Add the values of one row of which some have no bin; say how many are not finite or not whole, and where."""
    n_genes = offsets.shape[0] - 1
    n_not_finite, gene_not_finite, n_not_whole, gene_not_whole = 0, n_genes, 0, n_genes
    for k in range(values.shape[0]):
        gene = np.int64(genes[k])
        place = offsets[gene]
        found = bin_of(values[k], gene, kind, lookup, cuts, offsets[gene + 1] - place)
        if found >= 0:
            out[found * n_genes + gene if kind == TABLE else place + found] += step
        elif found == NOT_FINITE:
            n_not_finite += 1
            gene_not_finite = min(gene_not_finite, gene)
        else:
            n_not_whole += 1
            gene_not_whole = min(gene_not_whole, gene)
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole


@compiled
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
    top: Any,
    out: Any,
) -> tuple[int, int, int, int, int]:
    """Add the stored values of some rows, all of one class, to that class's line of the table.

    With `TABLE`, where all genes have the same bins, the line lies bin after bin (:func:`add_planes` turns it); else gene
    after gene. `top` is the largest value to look up, in the type of the values.
    """
    n_genes = offsets.shape[0] - 1
    n_not_finite, n_not_whole, disorder = 0, 0, 0
    gene_not_finite, gene_not_whole = n_genes, n_genes
    planes = lookup.astype(np.uint32) * np.uint32(n_genes)
    buffer = np.empty(n_genes, np.int32)
    for i in range(rows.shape[0]):
        start, stop = indptr[rows[i]], indptr[rows[i] + 1]
        coming = rows[min(i + 1, rows.shape[0] - 1)]
        asked, coming_stop = indptr[coming], indptr[coming + 1]
        values, genes = data[start:stop], indices if shared else indices[start:stop]
        if not shared:
            disorder = max(disorder, line_order(genes, n_genes))
            if disorder == 2:
                break
        plain = False
        if kind == TABLE and stop - start <= n_genes:  # a longer row names genes twice
            whole = buffer[: stop - start]
            plain = _clip(values, top, whole)
            if plain:
                asked += _count_small(whole, genes, step, planes, out, data, indices, asked)
        elif kind != TABLE:
            plain = is_plain(values, kind == WHOLE)
            if plain:
                _count_line(values, genes, step, kind == WHOLE, cuts, offsets, out)
        if not shared:
            prefetch_line(data, indices, asked, coming_stop)
        if not plain:
            odd = _count_odd(values, genes, step, kind, lookup, cuts, offsets, out)
            n_not_finite, n_not_whole = n_not_finite + odd[0], n_not_whole + odd[2]
            gene_not_finite, gene_not_whole = min(gene_not_finite, odd[1]), min(gene_not_whole, odd[3])
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole, disorder


@compiled
def count_classes(
    data: Any,
    indices: Any,
    indptr: Any,
    shared: bool,
    rows: Any,
    codes: Any,
    step: int,
    kind: int,
    lookup: Any,
    cuts: Any,
    offsets: Any,
    top: Any,
    out: Any,
) -> tuple[int, int, int, int, int]:
    """Add the stored values of some rows, ordered by their class, to the lines of these classes."""
    n_genes = offsets.shape[0] - 1
    n_not_finite, n_not_whole, disorder = 0, 0, 0
    gene_not_finite, gene_not_whole = n_genes, n_genes
    first = 0
    for k in range(1, rows.shape[0] + 1):
        if k < rows.shape[0] and codes[rows[k]] == codes[rows[first]]:
            continue
        own, line = rows[first:k], out[codes[rows[first]]]
        found = count_rows(data, indices, indptr, shared, own, step, kind, lookup, cuts, offsets, top, line)
        n_not_finite, n_not_whole = n_not_finite + found[0], n_not_whole + found[2]
        gene_not_finite, gene_not_whole = min(gene_not_finite, found[1]), min(gene_not_whole, found[3])
        disorder, first = max(disorder, found[4]), k
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole, disorder


@compiled
def add_planes(line: Any, n_genes: int, out: Any) -> None:
    """Add a line that lies bin after bin to one that lies gene after gene; a few genes at a time stay in the cache."""
    n_bins = line.shape[0] // max(1, n_genes)
    for start in range(0, n_genes, TURNED):
        stop = min(n_genes, start + TURNED)
        for k in range(n_bins):
            for gene in range(start, stop):
                out[gene * n_bins + k] += line[k * n_genes + gene]
