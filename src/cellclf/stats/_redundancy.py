"""Genes that repeat others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats._sample import sample_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

SAMPLE_ROWS = 8192
CANDIDATES = 256  # genes compared at a time


def decorrelated(
    x: Any,
    rows: NDArray[np.bool_],
    order: NDArray[np.integer[Any]],
    *,
    n_genes: int,
    limit: float,
    n_given: int = 0,
) -> NDArray[np.int64]:
    """Go through genes in order and take each that no gene taken before resembles too much.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask. Counts are compared as log(1 + count).
    rows
        Mask (n_obs) of the rows that may be seen; at most 8192 of them, evenly spaced, are used.
    order
        Genes, the best first.
    n_genes
        How many to take.
    limit
        Largest absolute Pearson correlation between two genes taken.
    n_given
        So many genes at the head of `order` are taken in any case.

    Returns
    -------
    The genes taken, in order; fewer than `n_genes` if the others all resemble one of them.
    """
    sample = sample_rows(x, rows, SAMPLE_ROWS)
    if sample.nnz and sample.data.min() > 0 and np.array_equal(sample.data, np.floor(sample.data)):
        sample.data = np.log1p(sample.data, dtype=np.float64)
    taken = np.zeros((min(n_genes, len(order)), sample.shape[0]), np.float32)
    genes: list[int] = []
    for start in range(0, len(order), CANDIDATES):
        candidates = order[start : start + CANDIDATES]
        values = _standardised(sample, candidates)
        known = np.abs(values @ taken[: len(genes)].T).max(axis=1, initial=0.0)
        among = np.abs(values @ values.T)
        accepted: list[int] = []
        for i, gene in enumerate(candidates.tolist()):
            alike = max(known[i], among[i, accepted].max(initial=0.0))
            if min(alike, 1.0) <= limit or start + i < n_given:
                taken[len(genes)] = values[i]
                accepted.append(i)
                genes.append(gene)
                if len(genes) == len(taken):
                    return np.array(genes, np.int64)
    return np.array(genes, np.int64)


def _standardised(sample: sparse.csc_matrix, genes: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Centre the genes (in rows) and bring them to length one; a constant gene becomes zero."""
    values = sample[:, genes].toarray().T.astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    length = np.sqrt((values**2).sum(axis=1, keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0).astype(np.float32)
