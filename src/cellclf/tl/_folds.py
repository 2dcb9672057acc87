"""Which rows are left out in turn, to be judged by a classifier trained on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from cellclf import _slots, stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


class Fold(NamedTuple):
    """Rows to train on and rows to be judged on (masks); `scheme` says how the rows were dealt."""

    scheme: str
    repeat: int
    name: str
    train: np.ndarray
    test: np.ndarray


def deal(
    adata: AnnData,
    found: _slots.Labels,
    *,
    n_folds: int,
    n_repeats: int,
    groups: str | None,
    batch: str | None,
    generator: np.random.Generator,
) -> list[Fold]:
    """Deal the labelled rows into folds: at random by class, whole groups together, or one batch at a time."""
    if groups is not None and batch is not None:
        msg = f"Both groups={groups!r} and batch={batch!r} are given. Give one of them."
        raise ValueError(msg)
    if batch is not None:
        if n_repeats > 1:
            msg = f"n_repeats={n_repeats} would leave out the same batches again. Leave it out."
            raise ValueError(msg)
        codes, names = column_codes(adata, batch, "batch", found.codes)
        return _apart("batch", found, codes, names, 0, f"batch={batch!r}")
    folds = []
    for repeat in range(n_repeats):
        if groups is None:
            folds += at_random(found, n_folds, repeat, generator)
        else:
            codes, _ = column_codes(adata, groups, "groups", found.codes)
            dealt = stats.stratified_folds(found.codes, n_folds, generator, codes)
            folds += _apart("grouped", found, dealt, numbered(n_folds), repeat, f"groups={groups!r}")
    if groups is None:
        _warn_of_single_rows(found)
    return folds


def at_random(
    found: _slots.Labels, n_folds: int, repeat: int, generator: np.random.Generator, scheme: str = "random"
) -> list[Fold]:
    """Deal the rows of each class at random; the only row of a class always trains and is never judged."""
    dealt = stats.stratified_folds(found.codes, n_folds, generator)
    sizes = np.bincount(found.codes[found.codes >= 0], minlength=len(found.classes))
    dealt[np.isin(found.codes, np.flatnonzero(sizes == 1))] = -1
    return _folds(scheme, found, dealt, numbered(n_folds), repeat)


def numbered(n_folds: int) -> list[str]:
    """Name the folds, from 1."""
    return [str(number + 1) for number in range(n_folds)]


def column_codes(adata: AnnData, column: str, argument: str, codes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Number the values of a column, in which no row with a class may lack one; rows without a class get -1."""
    numbers, values = pd.factorize(_slots.member(adata.obs, column, argument, "adata.obs").astype(object))
    without = int(((numbers < 0) & (codes >= 0)).sum())
    if without:
        msg = (
            f"{argument}={column!r} is missing in {without} cells that have a class. Fill it, or leave those cells out."
        )
        raise ValueError(msg)
    there = np.unique(numbers[codes >= 0])
    if len(there) < 2:
        msg = f"{argument}={column!r} has one value only among the cells that have a class. Name a column with two or more."
        raise ValueError(msg)
    place = np.full(len(values) + 1, -1)
    place[there] = np.arange(len(there))
    return np.where(codes >= 0, place[numbers], -1), [str(values[i]) for i in there]


def _apart(
    scheme: str, found: _slots.Labels, dealt: np.ndarray, names: Sequence[str], repeat: int, what: str
) -> list[Fold]:
    """Make folds of groups, refusing those that leave nothing of a class to train on."""
    for k, name in enumerate(found.classes):
        own = np.unique(dealt[found.codes == k])
        if len(own) == 1:
            msg = (
                f"{what}: all cells of class {name!r} are left out together ({scheme} fold {names[own[0]]!r}), so that no "
                "cell is left to learn it from. Leave the class out, take fewer folds, or name another column."
            )
            raise ValueError(msg)
    return _folds(scheme, found, dealt, names, repeat)


def _folds(scheme: str, found: _slots.Labels, dealt: np.ndarray, names: Sequence[str], repeat: int) -> list[Fold]:
    """Turn the number of the fold of each row into masks."""
    known = found.codes >= 0
    return [Fold(scheme, repeat, name, known & (dealt != k), dealt == k) for k, name in enumerate(names)]


def _warn_of_single_rows(found: _slots.Labels) -> None:
    """Name the classes that are never judged."""
    sizes = np.bincount(found.codes[found.codes >= 0], minlength=len(found.classes))
    if (sizes == 1).any():
        names = found.classes[sizes == 1]
        _slots.warn(
            f"{len(names)} classes have a single cell ({_slots.listing(names, 3)}), which always trains and is never "
            "judged. Leave them out, or merge them with others."
        )


def of_split(adata: AnnData, found: _slots.Labels, split: str) -> list[Fold]:
    """Make one training of a split, judged on its validation and on its test rows."""
    _slots.member(adata.obs, split, "split", "adata.obs")
    masks = _slots.split_rows(adata, split) or {}
    train = masks["train"] & (found.codes >= 0)
    known = np.isin(found.codes, np.unique(found.codes[train]))
    folds = [
        Fold(name, 0, name, train, masks[name] & known) for name in ("valid", "test") if (masks[name] & known).any()
    ]
    if not folds:
        msg = f"adata.obs[{split!r}] marks no row of a class of the training rows as 'valid' or 'test'. Mark some."
        raise ValueError(msg)
    return folds
