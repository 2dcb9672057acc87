"""Genes for all classes: each class in turn gets one that tells about it and repeats none taken before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats._sample import sample_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy import sparse

SAMPLE_ROWS = 2048
CANDIDATES = (
    3000  # the first genes of plain turns, whatever the number to be taken, so that smaller choices begin larger ones
)
DISCOUNTED = 2000  # after so many genes it hardly matters which repeats another
PER_CELL = 1e4


def covering(
    x: Any,
    rows: NDArray[np.bool_],
    scores: NDArray[np.floating[Any]],
    *,
    n_genes: int,
    given: Sequence[int] | NDArray[np.integer[Any]] = (),
) -> NDArray[np.int64]:
    r"""Take genes for the classes in turns, each for what it tells about the class and the genes before it do not repeat.

    In the turn of class :math:`c` the gene with the largest :math:`s_{gc}\,(1 - \max_{t} |r_{gt}|)` is taken, where
    :math:`s` are the scores, :math:`r` is Pearson's correlation and :math:`t` runs over the genes taken before. The turns
    keep the rare and the difficult classes from being forgotten; the discount keeps a large or an easy one from being
    served with copies of one gene. Candidates are the first 3000 genes of turns without the discount; after 2000 genes
    turns go on without it. What is taken first does not depend on `n_genes`.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask. Counts are compared as log(1 + count per 10 000).
    rows
        Mask (n_obs) of the rows that may be seen; at most 2048 of them, evenly spaced, are used.
    scores
        What each gene tells about each class (n_genes × n_classes); NaN for genes that are never taken, and below zero
        like zero.
    n_genes
        How many to take.
    given
        Genes that come first in any case; the others are discounted by them.

    Returns
    -------
    The genes in order, at most `n_genes` of them with those given; equal ones keep the order of the genes.

    Examples
    --------
    >>> x = np.array([[9.0, 9, 0, 0], [9, 9, 1, 0], [0, 0, 9, 0], [1, 0, 9, 7]])
    >>> scores = np.array([[0.7, 0.2], [0.8, 0.3], [0.2, 0.6], [0.1, 0.2]])
    >>> covering(x, np.ones(4, bool), scores, n_genes=3)
    array([1, 2, 3])
    """
    scores = np.asarray(scores, dtype=np.float64)
    first = np.asarray(given, dtype=np.int64)
    allowed = ~np.isnan(scores).any(axis=1)
    allowed[first] = False
    order = turns(np.where(allowed[:, None], np.maximum(scores, 0.0), -1.0))[: int(allowed.sum())]
    n_chosen = min(DISCOUNTED, max(0, n_genes - first.size))
    pool = np.concatenate([first, order[:CANDIDATES]])
    taken = first[:n_genes]
    if n_chosen and order.size:
        alike = _likeness(sample_rows(x, rows, SAMPLE_ROWS), pool, first.size)
        chosen = _discounted_turns(np.maximum(scores[pool[first.size :]], 0.0), alike, n_chosen)
        taken = np.concatenate([first, pool[first.size :][chosen]])
    return np.concatenate([taken, order[~np.isin(order, taken)]])[:n_genes]


def turns(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order genes by turns of the classes (columns): the best of each class, then the second best of each, and so on.

    Parameters
    ----------
    scores
        What each gene tells about each class (n_genes × n_classes).

    Returns
    -------
    All genes, each once, where it first had its turn; equal scores keep the order of the genes.

    Examples
    --------
    >>> turns(np.array([[0.1, 0.9], [0.5, 0.8], [0.4, 0.0]]))
    array([1, 0, 2])
    """
    queue = np.argsort(-scores, axis=0, kind="stable").ravel()
    _, place = np.unique(queue, return_index=True)
    return queue[np.sort(place)]


def _discounted_turns(
    scores: NDArray[np.float64], alike: tuple[NDArray[np.float32], NDArray[np.float32]], n_genes: int
) -> NDArray[np.int64]:
    """Take candidates in turns; `alike` says how much they resemble the genes given and one another."""
    most, among = alike[0].copy(), alike[1]
    n_classes, left = scores.shape[1], np.ones(len(scores), dtype=bool)
    chosen = np.zeros(min(n_genes, len(scores)), np.int64)
    for turn in range(chosen.size):
        gain = np.where(left, scores[:, turn % n_classes] * (1.0 - most), -1.0)
        chosen[turn] = gene = int(np.argmax(gain))
        left[gene] = False
        np.maximum(most, among[gene], out=most)
    return chosen


def _likeness(
    sample: sparse.csc_matrix, genes: NDArray[np.int64], n_given: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the largest |correlation| of each candidate with a gene given, and those among candidates."""
    values = _standardised(_expression(sample), genes)
    candidates = values[n_given:]
    with_given = np.abs(candidates @ values[:n_given].T).max(axis=1, initial=0.0)
    return np.minimum(with_given, 1.0), np.minimum(np.abs(candidates @ candidates.T), 1.0)


def _expression(sample: sparse.csc_matrix) -> sparse.csc_matrix:
    """Bring counts to log(1 + count per 10 000 of the cell), so that depth makes no two genes alike; leave other values."""
    if not sample.nnz or sample.data.min() < 0 or not np.array_equal(sample.data, np.floor(sample.data)):
        return sample
    totals = np.asarray(sample.sum(axis=1, dtype=np.float64)).ravel()
    sample = sample.astype(np.float64)
    sample.data = np.log1p(PER_CELL * sample.data / totals[sample.indices])
    return sample


def _standardised(sample: sparse.csc_matrix, genes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Centre the genes (in rows) and bring them to length one; a constant gene becomes zero."""
    values = sample[:, genes].toarray().T.astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    length = np.sqrt((values**2).sum(axis=1, keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 1e-12).astype(np.float32)
