"""Parts of equal size and equal classes, to be left out in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stratified_folds(
    codes: NDArray[np.integer[Any]],
    n_folds: int,
    rng: np.random.Generator,
    groups: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.int64]:
    """Deal rows into folds, each class in the same proportion.

    Without groups the rows of each class are shuffled and dealt in turn, each class from where the last one ended: the
    folds differ by one row at most, in every class and in all. With groups, whole groups are dealt out from the largest to
    the smallest, each to the fold that is left closest to its share of every class.

    Parameters
    ----------
    codes
        Class of each row (n_obs), 0 or above; rows with -1 are in no fold.
    n_folds
        Number of folds, at least two.
    rng
        Generator.
    groups
        Group of each row (n_obs), 0 or above where the row has a class. `None`: every row for itself.

    Returns
    -------
    Fold of each row (n_obs), 0 to n_folds - 1, -1 for rows without a class. No fold is empty.

    Raises
    ------
    ValueError
        `n_folds` is not a whole number of 2 or more, or there are fewer rows or groups than folds.

    Examples
    --------
    >>> folds = stratified_folds(np.array([0, 0, 0, 1, 1, 1, -1]), 3, np.random.default_rng(0))
    >>> np.bincount(folds[:3]).tolist(), np.bincount(folds[3:6]).tolist(), int(folds[6])
    ([1, 1, 1], [1, 1, 1], -1)
    """
    codes = np.asarray(codes)
    known = codes >= 0
    units, what = (codes[known], "rows with a class") if groups is None else (np.asarray(groups)[known], "groups")
    available = units.size if groups is None else np.unique(units).size
    _check(n_folds, available, what)
    folds = np.full(codes.size, -1, np.int64)
    folds[known] = (
        _by_rows(codes[known], n_folds, rng) if groups is None else _by_groups(codes[known], units, n_folds, rng)
    )
    return folds


def _check(n_folds: int, available: int, what: str) -> None:
    """Refuse numbers of folds without meaning."""
    if isinstance(n_folds, bool) or not isinstance(n_folds, int | np.integer) or n_folds < 2:
        msg = f"n_folds={n_folds!r} is no number of folds. Give a whole number of 2 or more."
        raise ValueError(msg)
    if available < n_folds:
        msg = f"n_folds={n_folds}, but there are only {available} {what}. Give n_folds={max(available, 2)} or fewer."
        if available < 2:
            msg = f"There are only {available} {what}, which cannot be parted. Give two at least."
        raise ValueError(msg)


def _by_rows(codes: NDArray[np.integer[Any]], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal the shuffled rows of one class after the other."""
    shuffled = rng.permutation(codes.size)
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    folds = np.empty(codes.size, np.int64)
    folds[order] = rng.permutation(n_folds)[np.arange(codes.size) % n_folds]
    return folds


def _by_groups(
    codes: NDArray[np.integer[Any]], groups: NDArray[np.integer[Any]], n_folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal whole groups, each to the fold whose classes and size it brings closest to their share."""
    _, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((members.max() + 1, codes.max() + 2))  # classes, then all rows: an empty fold is always preferred
    np.add.at(counts, (members, codes), 1)
    counts[:, -1] = counts.sum(axis=1)
    totals = counts.sum(axis=0)
    weight = 1 / np.maximum(totals, 1) ** 2
    missing = np.tile(totals / n_folds, (n_folds, 1))
    order, fold_of = rng.permutation(len(counts)), np.empty(len(counts), np.int64)
    for group in order[np.argsort(-counts[order, -1], kind="stable")]:
        change = (counts[group] * (counts[group] - 2 * missing) * weight).sum(axis=1)  # of the squared distance
        fold_of[group] = np.argmin(change)
        missing[fold_of[group]] -= counts[group]
    return fold_of[members]
