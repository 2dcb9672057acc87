"""Genes for all classes: each tells much, and explains what those taken before leave unexplained."""

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
    3000  # the first genes of turns, whatever the number to be taken, so that smaller choices begin larger ones
)
CHOSEN = 1000  # after so many genes hardly anything is left to explain
RIDGE = 0.3
PER_CELL = 1e4


def covering(
    x: Any,
    codes: NDArray[np.integer[Any]],
    scores: NDArray[np.floating[Any]],
    *,
    n_genes: int,
    given: Sequence[int] | NDArray[np.integer[Any]] = (),
    strata: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.int64]:
    r"""Take one gene after another, each for what it tells about the classes and explains beyond those taken before.

    The next gene is the one with the largest

    .. math::

        \frac{1}{C} \sum_c \frac{s_{gc}}{\max_h s_{hc}} \cdot \sum_c \langle z_g, e_c \rangle^2 ,

    where :math:`s` are the scores, :math:`z_g` the values of the gene and :math:`e_c` what a ridge regression on the genes
    taken before leaves unexplained of class :math:`c` (0 or 1 in each row): :math:`e_c = y_c - \sum_t \beta_{tc} z_t` with
    the least :math:`|e_c|^2 + 0.3\,|\beta_c|^2`, all of :math:`z` and :math:`y` centred and brought to length one. Each
    class counts the same, whatever its size; a gene that repeats others finds nothing left to explain, and so do the
    markers of a class that is told already: orthogonal matching pursuit :cite:p:`Pati1993`, softened, and weighted by what
    the genes tell. It ends after 1000 genes, or when there are as many genes as rows, given ones among them: such a regression
    is saturated, and what is left is no more than the ridge leaves of single rows. Candidates are the first 3000 genes of
    :func:`turns`; what is not taken follows in turns. What is taken first does not depend on `n_genes`.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask. Counts are compared as log(1 + count per 10 000).
    codes
        Class of each row (n_obs), -1 for rows that may not be seen. Of the others at most 2048 are used, evenly spaced in
        each class: first up to 1024 / n_classes of each, so that no class is missing, then the same share of all others.
    scores
        What each gene tells about each class (n_genes × n_classes); NaN for genes that are never taken, and below zero
        like zero.
    n_genes
        How many to take.
    given
        Genes that come first in any case; the others explain what these leave.
    strata
        Stratum of each row (n_obs), such as its batch: all values are centred within strata. `None`: all rows are one.

    Returns
    -------
    The genes in order, at most `n_genes` of them with those given; of equal ones the first of the turns is taken.

    Examples
    --------
    >>> x = np.array([[9.0, 9, 0, 0], [9, 9, 1, 0], [0, 0, 9, 0], [1, 0, 9, 7]])
    >>> scores = np.array([[0.7, 0.2], [0.8, 0.3], [0.2, 0.6], [0.1, 0.2]])
    >>> covering(x, np.array([0, 0, 1, 1]), scores, n_genes=3)
    array([1, 2, 0])
    """
    first = np.asarray(given, dtype=np.int64)
    allowed = ~np.isnan(scores).any(axis=1)
    allowed[first] = False
    own = np.where(allowed[:, None], np.maximum(scores, 0.0), -1.0).astype(np.float64)
    order = turns(own)[: int(allowed.sum())]
    taken = first[:n_genes]
    if n_genes > first.size and order.size:
        pool = np.concatenate([first, order[:CANDIDATES]])
        told = np.maximum(own, 0.0) / np.maximum(own.max(axis=0), np.finfo(float).tiny)
        values, classes = _compared(x, codes, pool, strata)
        saturated = max(first.size, values.shape[1])
        n_chosen = min(n_genes, first.size + CHOSEN, pool.size, saturated)
        taken = pool[_explaining(values, classes, told.mean(axis=1)[pool], n_chosen, first.size)]
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


def _compared(
    x: Any, codes: NDArray[np.integer[Any]], genes: NDArray[np.int64], strata: NDArray[np.integer[Any]] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the values of genes and the classes, standardised, in lines over the rows that are used."""
    rows = _spread(codes)
    groups = np.zeros(int(rows.sum()), np.int64) if strata is None else np.asarray(strata)[rows]
    values = _expression(sample_rows(x, rows, groups.size))[:, genes].toarray().T
    classes = codes[rows] == np.unique(codes[rows])[:, None]
    return _standardised(values, groups), _standardised(classes, groups)


def _explaining(
    values: NDArray[np.float32], classes: NDArray[np.float32], told: NDArray[np.float64], n_genes: int, n_given: int
) -> NDArray[np.int64]:
    """Take candidates (in rows of `values`) for what they tell and explain; the first `n_given` in any case."""
    alike, left = values @ values.T, (values @ classes.T).astype(np.float64)
    seen = np.zeros((n_genes, len(values)), np.float32)
    waiting, chosen = np.ones(len(values), bool), np.zeros(n_genes, np.int64)
    for step in range(n_genes):
        gain = np.where(waiting, told * (left**2).sum(axis=1), -1.0)
        chosen[step] = gene = step if step < n_given else int(np.argmax(gain))
        waiting[gene] = False
        beyond = alike[gene] - seen[:step, gene] @ seen[:step]
        length = np.sqrt(RIDGE + max(float(beyond[gene]), 0.0))
        seen[step] = beyond / length
        left -= np.outer(seen[step], left[gene] / length)
    return chosen


def _spread(codes: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Mark rows evenly spaced in each class: the smaller classes keep more of theirs, or all."""
    numbers, sizes = np.unique(codes[codes >= 0], return_counts=True)
    n_rows = sizes
    if sizes.sum() > SAMPLE_ROWS:
        least = np.minimum(sizes, max(1, SAMPLE_ROWS // (2 * sizes.size)))
        share = max(0, SAMPLE_ROWS - least.sum()) / max(1, sizes.sum() - least.sum())
        n_rows = least + ((sizes - least) * share).astype(np.int64)
    marked = np.zeros(codes.size, bool)
    for code, size, n in zip(numbers, sizes, n_rows, strict=True):
        marked[np.flatnonzero(codes == code)[np.arange(n) * size // n]] = True
    return marked


def _expression(sample: sparse.csc_matrix) -> sparse.csc_matrix:
    """Bring counts to log(1 + count per 10 000 of the cell), so that depth makes no two genes alike; leave other values."""
    if not sample.nnz or sample.data.min() < 0 or not np.array_equal(sample.data, np.floor(sample.data)):
        return sample
    totals = np.asarray(sample.sum(axis=1, dtype=np.float64)).ravel()
    sample = sample.astype(np.float64)
    sample.data = np.log1p(PER_CELL * sample.data / totals[sample.indices])
    return sample


def _standardised(values: NDArray[Any], groups: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Centre lines within groups of their places, and bring them to length one; a constant line becomes zero."""
    values = np.array(values, dtype=np.float64)
    member = (groups[:, None] == np.unique(groups)).astype(np.float64)
    values -= (values @ (member / member.sum(axis=0))) @ member.T
    length = np.sqrt((values**2).sum(axis=1, keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 1e-12).astype(np.float32)
