"""Smallest and largest values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled
from cellclf.stats._kernels._lines import line_order


@compiled
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
            disorder = max(disorder, line_order(genes, n_genes))
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


@compiled
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
            disorder = max(disorder, line_order(places, rows.shape[0]))
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
