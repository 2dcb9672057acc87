"""Divide the cells into those that teach, those that tell when to stop, and those that judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from cellclf._types import Rng

FRACTIONS = (0.8, 0.1, 0.1)
NAMES = ("train", "valid", "test")
TRAIN, VALID, TEST = 0, 1, 2


def split(
    adata: AnnData,
    label: str | None = None,
    *,
    fractions: Sequence[float] = FRACTIONS,
    groups: str | None = None,
    rng: Rng = 0,
    key_added: str = "split",
    copy: bool = False,
) -> AnnData | None:
    """Divide the cells at random into train, valid and test, each class in the same proportion.

    Of a class with n cells every part gets its share of n, rounded by largest remainders, and at least one cell if there
    are enough. The only cell of a class goes to train; of two cells one goes to train and one to test (or to valid, if
    the test fraction is 0).

    With `groups` (donors, plates, patients), all cells of a group go to the same part. Groups are dealt out from the
    largest to the smallest, each to the part that is left closest to its share of every class. Fractions and classes are
    then met as well as whole groups allow; every class has a group in train, and then test and valid have at least one
    each, if there are enough.

    Parameters
    ----------
    adata
        Annotated data, cells in rows.
    label
        Column of `adata.obs` with the class of each cell. `None`: the recorded label, else the only column that can be
        one. Cells without a class are in no part.
    fractions
        Shares of train, valid and test; they sum to 1, and train is above 0.
    groups
        Column of `adata.obs` with groups of cells that must not be torn apart.
    rng
        Seed or generator; the same seed gives the same split.
    key_added
        Name of the written column and of its record.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.obs['split']` : :class:`pandas.Series` (n_obs, category)
        ``"train"``, ``"valid"`` or ``"test"``; missing for cells without a class.
    `adata.uns['split']` : dict
        Record of the call.

    Raises
    ------
    KeyError
        `label` or `groups` is not in `adata.obs` (the message lists what is).
    ValueError
        `fractions` are not three shares of 1; no cell has a class; a cell with a class has no group; there is no label
        that can be found without being named.

    Examples
    --------
    >>> import cellclf as cc
    >>> import scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.split(adata, "bulk_labels")
    >>> adata.obs["split"].value_counts().to_dict()
    {'train': 560, 'valid': 71, 'test': 69}
    """
    found = _slots.labels(adata, label)
    if (found.codes < 0).all():
        msg = f"label={found.name!r} is missing in every cell, so there is nothing to split. Check the column."
        raise ValueError(msg)
    codes = assign_rows(found.codes, fractions=fractions, groups=_group_codes(adata, groups, found.codes), rng=rng)
    if groups is not None and fractions[TEST] > 0 and not (codes == TEST).any():
        _slots.warn(
            f"No cell is marked test: train needs every group of groups={groups!r} for its classes. Have more groups, or "
            "judge by cells of groups that were taught: leave `groups` out."
        )
    call = {"label": found.name, "fractions": list(fractions), "groups": groups, "rng": rng}
    adata = adata.copy() if copy else adata
    _slots.write(adata, slots(codes, call, key_added))
    return adata if copy else None


def assign_rows(
    codes: NDArray[np.integer[Any]],
    *,
    fractions: Sequence[float] = FRACTIONS,
    groups: NDArray[np.integer[Any]] | None = None,
    rng: Rng = 0,
) -> NDArray[np.int8]:
    """Assign each row to a part: 0 train, 1 valid, 2 test, -1 for rows without a class (code -1)."""
    shares = _shares(fractions)
    generator = np.random.default_rng(rng)
    return _by_rows(codes, shares, generator) if groups is None else _by_groups(codes, groups, shares, generator)


def slots(codes: NDArray[np.int8], call: Mapping[str, Any], key: str = "split") -> dict[str, dict[str, Any]]:
    """Lay out what a split writes."""
    column = pd.Categorical.from_codes(codes, categories=pd.Index(NAMES))
    return {"obs": {key: column}, "uns": {key: _slots.record("pp.split", call, written_obs=[key])}}


def _shares(fractions: Sequence[float]) -> NDArray[np.float64]:
    """Check the fractions."""
    try:
        shares = np.asarray(fractions, dtype=np.float64)
    except (TypeError, ValueError):
        shares = np.zeros(0)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or shares[TRAIN] <= 0:
        msg = f"fractions={fractions!r} are not shares of train, valid and test. Give three, e.g. (0.8, 0.1, 0.1)."
        raise ValueError(msg)
    if abs(shares.sum() - 1) > 1e-6:
        msg = f"fractions={fractions!r} sum to {shares.sum():g}, but must sum to 1. Give e.g. (0.8, 0.1, 0.1)."
        raise ValueError(msg)
    return shares


def _group_codes(adata: AnnData, groups: str | None, codes: NDArray[np.integer[Any]]) -> NDArray[np.int64] | None:
    """Number the groups; every cell with a class must have one."""
    if groups is None:
        return None
    numbers, _ = pd.factorize(_slots.member(adata.obs, groups, "groups", "adata.obs"))
    without = int(((numbers < 0) & (codes >= 0)).sum())
    if without:
        msg = f"groups={groups!r} is missing in {without} cells that have a class. Fill it, or leave those cells out."
        raise ValueError(msg)
    return np.asarray(numbers, dtype=np.int64)


def _by_rows(
    codes: NDArray[np.integer[Any]], shares: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int8]:
    """Assign the shuffled rows of each class to the parts."""
    assigned = np.full(len(codes), -1, np.int8)
    order = np.argsort(codes, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if members.size and codes[members[0]] >= 0:
            assigned[generator.permutation(members)] = np.repeat(np.arange(3), _sizes(members.size, shares))
    return assigned


def _sizes(n: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Divide n rows by largest remainders, and see that no part is empty that could have one."""
    quota = n * shares
    least = np.zeros(3, np.int64)
    least[[part for part in (TRAIN, TEST, VALID) if shares[part] > 0][:n]] = 1
    sizes = np.maximum(least, np.floor(quota + 1e-9).astype(np.int64))
    while sizes.sum() > n:
        sizes[np.argmax(np.where(sizes > least, sizes - quota, -np.inf))] -= 1
    while sizes.sum() < n:
        sizes[np.argmax(quota - sizes)] += 1
    return sizes


def _by_groups(
    codes: NDArray[np.integer[Any]],
    groups: NDArray[np.integer[Any]],
    shares: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.int8]:
    """Assign whole groups, from the largest to the smallest, to the part whose classes they bring closest to their share."""
    labelled = codes >= 0
    _, members = np.unique(groups[labelled], return_inverse=True)
    counts = np.zeros((members.max() + 1, codes.max() + 1))  # groups × classes
    np.add.at(counts, (members, codes[labelled]), 1)
    parts = _deal(counts, shares, generator)
    _teach_every_class(counts, parts)
    _fill_parts(counts, parts, shares)
    assigned = np.full(len(codes), -1, np.int8)
    assigned[labelled] = parts[members]
    return assigned


def _deal(counts: NDArray[np.float64], shares: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int8]:
    """Choose a part for each group."""
    totals = counts.sum(axis=0)
    weight = 1 / np.maximum(totals, 1) ** 2
    missing = shares[:, None] * totals
    order = generator.permutation(len(counts))
    parts = np.zeros(len(counts), np.int8)
    for group in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:
        change = (counts[group] * (counts[group] - 2 * missing) * weight).sum(
            axis=1
        )  # of the squared distance to the shares
        parts[group] = np.argmin(np.where(shares > 0, change, np.inf))
        missing[parts[group]] -= counts[group]
    return parts


def _teach_every_class(counts: NDArray[np.float64], parts: NDArray[np.int8]) -> None:
    """Move the smallest group of a class that train lacks into train."""
    sizes = counts.sum(axis=1)
    for code in np.flatnonzero(counts.any(axis=0)):
        holders = np.flatnonzero(counts[:, code])
        if (parts[holders] != TRAIN).all():
            parts[holders[np.argmin(sizes[holders])]] = TRAIN


def _fill_parts(counts: NDArray[np.float64], parts: NDArray[np.int8], shares: NDArray[np.float64]) -> None:
    """Give a part without a group the one by which the classes stay closest to their shares, if another part can spare one."""
    totals = counts.sum(axis=0)
    for part in (TEST, VALID):
        if shares[part] == 0 or (parts == part).any():
            continue
        distances = {}
        for group in np.flatnonzero(_can_spare(counts, parts, part)):
            moved = np.where(np.arange(len(parts)) == group, part, parts)
            held = np.stack([counts[moved == other].sum(axis=0) for other in (TRAIN, VALID, TEST)])
            distances[group] = (((held - shares[:, None] * totals) / np.maximum(totals, 1)) ** 2).sum()
        if distances:
            parts[min(distances, key=lambda group: distances[group])] = part


def _can_spare(counts: NDArray[np.float64], parts: NDArray[np.int8], part: int) -> NDArray[np.bool_]:
    """Mark the groups that may go to a part: not the only one of theirs (valid gives test its last), nor of a class taught."""
    alone = (np.bincount(parts, minlength=3)[parts] == 1) & ~((parts == VALID) & (part == TEST))
    teaching = parts == TRAIN
    taught_once = (counts[teaching] > 0).sum(axis=0) == 1
    return ~alone & ~(teaching & (counts[:, taught_once] > 0).any(axis=1))
