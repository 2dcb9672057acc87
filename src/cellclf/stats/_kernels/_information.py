"""Information from the table of bins and classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled


@compiled
def _n_log_n(n: int, table: Any) -> float:
    """Look up n log n, or compute it beyond the table."""
    if n < table.shape[0]:
        return table[n]
    return n * math.log(n)


@compiled
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


@compiled
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


@compiled
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
