"""In which order genes are taken: arrays in, gene numbers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def by_score(score: NDArray[np.floating[Any]], *, ascending: bool = False) -> NDArray[np.int64]:
    """Order genes by a score.

    Parameters
    ----------
    score
        One number per gene, NaN for genes that are never taken.
    ascending
        Put the smallest first.

    Returns
    -------
    The genes that have a score, the best first; equal scores keep the order of the genes.

    Examples
    --------
    >>> by_score(np.array([1.0, np.nan, 3.0, 3.0]))
    array([2, 3, 0])
    """
    known = np.flatnonzero(~np.isnan(score))
    return known[np.argsort(score[known] if ascending else -score[known], kind="stable")]


def in_turn(scores: NDArray[np.floating[Any]], order: NDArray[np.integer[Any]], quota: int) -> NDArray[np.int64]:
    """Take the best genes of every class: first the best of each, then the second of each, and so on.

    Parameters
    ----------
    scores
        What each gene tells about each class (n_genes × n_classes); a gene serves a class if its score is above zero.
    order
        The genes that may be taken; among equal ones the first is the better.
    quota
        How many genes each class gets.

    Returns
    -------
    The best `quota` genes of every class, in turns; a gene that is among the best of several classes counts for each and
    stands once.

    Examples
    --------
    >>> in_turn(np.array([[0.1, 0.9], [0.5, 0.8], [0.4, 0.0]]), np.arange(3), 2)
    array([1, 0, 2])
    """
    own = scores[order]
    best = np.argsort(-own, axis=0, kind="stable")[:quota]
    serves = np.take_along_axis(own, best, axis=0) > 0
    genes = np.asarray(order, dtype=np.int64)[best.ravel()[serves.ravel()]]
    return np.array(list(dict.fromkeys(genes.tolist())), dtype=np.int64)


def holding(score: NDArray[np.floating[Any]], share: float) -> NDArray[np.bool_]:
    """Mark the smallest number of best genes that together hold a share of all positive scores.

    Parameters
    ----------
    score
        One number per gene; NaN counts as nothing.
    share
        Above 0, up to 1.

    Returns
    -------
    Mask (n_genes); none is marked where no score is positive.

    Examples
    --------
    >>> holding(np.array([1.0, 6.0, -2.0, 3.0]), 0.9)
    array([False,  True, False,  True])
    """
    marked = np.zeros(score.size, bool)
    order = by_score(np.where(score > 0, score, np.nan))
    held = np.cumsum(score[order])
    if order.size:
        marked[order[: int(np.searchsorted(held, share * held[-1] * (1 - 1e-12))) + 1]] = True
    return marked
