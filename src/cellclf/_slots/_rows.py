"""Which rows train, validate and test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf._slots._lazy import load_tables
from cellclf._slots._messages import listing, member

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

SPLIT_NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


def split_rows(adata: AnnData, split: str | None, *, to_learn: bool = True) -> dict[str, np.ndarray] | None:
    """Return the masks of train, valid and test rows, or None where no split is asked for or made yet.

    A split `to_learn` from must mark training rows.
    """
    load_tables(adata)
    if split is None or (split == "split" and split not in adata.obs):
        return None
    values = member(adata.obs, split, "split", "adata.obs").astype(object)
    present = values.notna().to_numpy()
    names = [SPLIT_NAMES.get(str(value)) if there else None for value, there in zip(values, present, strict=True)]
    if unknown := sorted({str(v) for v, n, there in zip(values, names, present, strict=True) if there and n is None}):
        msg = (
            f"adata.obs[{split!r}] holds {listing(unknown)}. Only 'train', 'valid' and 'test' (or missing) are read: rename "
            "its values, name another column with `split=`, or rename the column for `cc.pp.split` to make one."
        )
        raise ValueError(msg)
    masks = {name: np.array([n == name for n in names], dtype=bool) for name in ("train", "valid", "test")}
    if to_learn and not masks["train"].any():
        msg = f"adata.obs[{split!r}] marks no row as 'train'. Mark some, or pass split=None to use all labelled rows."
        raise ValueError(msg)
    return masks


def chosen_rows(
    adata: AnnData, rows: str | np.ndarray | Iterable[Any] | None, split: str, labelled: np.ndarray
) -> np.ndarray:
    """Resolve the rows to judge on: a split's name, a mask, or (None) test, else valid, else all labelled rows."""
    if rows is None:
        mask = _default_rows(adata, split, labelled)
    elif isinstance(rows, str):
        masks = split_rows(adata, split, to_learn=False)
        if masks is None or SPLIT_NAMES.get(rows) is None:
            msg = (
                f"rows={rows!r} names no part of adata.obs[{split!r}]. Give 'train', 'valid', 'test' or a boolean mask."
            )
            raise ValueError(msg)
        mask = masks[SPLIT_NAMES[rows]]
    else:
        if isinstance(rows, pd.Series) and not rows.index.equals(adata.obs_names):
            msg = (
                "rows is a Series whose index is not adata.obs_names in their order. Give rows.reindex(adata.obs_names), or "
                "rows.to_numpy() if its order is that of the cells."
            )
            raise ValueError(msg)
        mask = np.asarray(rows)
        if mask.dtype != bool or mask.shape != (adata.n_obs,):
            msg = (
                f"rows is an array of {mask.dtype} of shape {mask.shape}. Give a boolean mask of length {adata.n_obs}."
            )
            raise ValueError(msg)
    if not (mask & labelled).any():
        msg = "None of the chosen rows has a label of the classifier. Choose other `rows` or another `label`."
        raise ValueError(msg)
    return mask & labelled


def _default_rows(adata: AnnData, split: str, labelled: np.ndarray) -> np.ndarray:
    """Return the test rows, else the validation rows, else all."""
    masks = split_rows(adata, split, to_learn=False)
    for name in ("test", "valid"):
        if masks is not None and (masks[name] & labelled).any():
            return masks[name]
    return labelled
