"""Counting of values, gene after gene, into the table of bins and classes; and of what is not stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled
from cellclf.stats._kernels._counting import CUTS, LANE, NOT_FINITE, TABLE, WHOLE, bin_of, is_plain
from cellclf.stats._kernels._lines import line_order


@compiled
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


@compiled
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
            disorder = max(disorder, line_order(rows, codes.shape[0]))
            if disorder == 2:
                break
        own, n_bins = out[:, offsets[gene] : offsets[gene + 1]], offsets[gene + 1] - offsets[gene]
        if is_plain(values, kind == WHOLE):
            _count_gene(values, rows, codes, step, kind, lookup, cuts[gene if kind == CUTS else 0], n_bins, own)
            continue
        for k in range(values.shape[0]):
            code = codes[rows[k]]
            if code < 0:
                continue
            found = bin_of(values[k], gene, kind, lookup, cuts, n_bins)
            if found >= 0:
                own[code, found] += step
            elif found == NOT_FINITE:
                n_not_finite += 1
                gene_not_finite = min(gene_not_finite, gene)
            else:
                n_not_whole += 1
                gene_not_whole = min(gene_not_whole, gene)
    return n_not_finite, gene_not_finite, n_not_whole, gene_not_whole, disorder


@compiled
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
