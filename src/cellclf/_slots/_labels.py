"""The class of each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from cellclf._slots._lazy import load_tables
from cellclf._slots._messages import listing, member
from cellclf._slots._records import strings, written_columns
from cellclf._slots._rows import SPLIT_NAMES

if TYPE_CHECKING:
    from anndata import AnnData

LABEL_KEY = "cellclf_label"
MANY = 10  # cells, each of another class, are no small example any more


class Labels(NamedTuple):
    """The class of each cell: `name` of the column, `codes` (n_obs, -1 = no class), `classes` as strings."""

    name: str
    codes: np.ndarray
    classes: np.ndarray


def label_name(adata: AnnData, label: str | None) -> str:
    """Resolve the label: as given, as recorded on this AnnData, or the only candidate column of `obs`."""
    load_tables(adata)
    if label is not None:
        member(adata.obs, label, "label", "adata.obs")
        return label
    recorded = adata.uns.get(LABEL_KEY)
    if recorded is not None and str(recorded) in adata.obs:
        return str(recorded)
    candidates = label_candidates(adata)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        msg = (
            "No column of adata.obs looks like a label (categorical, string or boolean, with between 2 and n_obs / 2 "
            f"classes). Name it with `label=`; adata.obs holds: {listing(adata.obs)}."
        )
    else:
        msg = f"Several columns of adata.obs may be the label: {listing(candidates)}. Name one with `label=`."
    raise ValueError(msg)


def spare_label(adata: AnnData, key: str, label: str | None = None) -> None:
    """Refuse a key by which predictions would take the place of the label, or of the one recorded on this AnnData.

    Predictions that were written there by an earlier call may be replaced.
    """
    if key in adata.obs and key in {label, str(adata.uns.get(LABEL_KEY))} - written_columns(adata):
        msg = (
            f"key_added={key!r} is the column of adata.obs with the label, which predictions would replace. "
            "Rename the column, or give another key_added."
        )
        raise ValueError(msg)


def label_candidates(adata: AnnData) -> list[str]:
    """List the columns that may be a label: few classes, not numbers, not a split, not written by cellclf."""
    written = written_columns(adata)
    candidates = []
    for name in adata.obs:
        column = adata.obs[name]
        if name in written or not _may_hold_classes(column):
            continue
        present = column.dropna().unique()
        if 2 <= len(present) <= adata.n_obs / 2 and not set(map(str, present)) <= set(SPLIT_NAMES):
            candidates.append(str(name))
    return candidates


def _may_hold_classes(column: pd.Series) -> bool:
    """Tell whether a column holds categories, strings or booleans."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return not pd.api.types.is_float_dtype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(column.dtype):
        return True
    return pd.api.types.infer_dtype(column, skipna=True) in {"string", "boolean"}


def labels(adata: AnnData, label: str | None = None) -> Labels:
    """Return the class of each cell; whole numbers serve when named, other numbers are refused."""
    name = label_name(adata, label)
    column = adata.obs[name]
    if isinstance(column, pd.DataFrame):
        msg = f"adata.obs has several columns named {name!r}. Rename them."
        raise ValueError(msg)
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, levels = column.cat.codes.to_numpy(dtype=np.int64, copy=True), column.cat.categories
    elif pd.api.types.is_float_dtype(column.dtype):
        msg = (
            f"label={name!r} holds decimal numbers ({column.dtype}), which are measurements rather than classes. "
            "Cut them into classes, e.g. with `pandas.cut`."
        )
        raise ValueError(msg)
    else:
        codes, levels = pd.factorize(column, sort=not _mixed(column))
    classes = np.array([str(level) for level in levels], dtype=object)
    if len(set(classes)) < len(classes):
        msg = f"label={name!r} has classes that differ in type only (such as 1 and '1'). Make them strings."
        raise ValueError(msg)
    return _used(name, np.asarray(codes, dtype=np.int64), classes)


def _mixed(column: pd.Series) -> bool:
    """Tell whether values of several types stand in one column, which cannot be sorted."""
    return pd.api.types.infer_dtype(column, skipna=True).startswith("mixed")


def _used(name: str, codes: np.ndarray, classes: np.ndarray) -> Labels:
    """Drop classes without a cell, keeping their order."""
    sizes = np.bincount(codes[codes >= 0], minlength=len(classes))
    new = np.append(np.where(sizes > 0, np.cumsum(sizes > 0) - 1, -1), -1)
    return Labels(name, new[codes], classes[sizes > 0])


def keep_classes(found: Labels, rows: np.ndarray, *, what: str) -> Labels:
    """Keep the classes that occur among `rows` (mask), at least two; cells of other classes become -1, wherever they are."""
    sizes = np.bincount(found.codes[rows & (found.codes >= 0)], minlength=len(found.classes))
    kept = sizes > 0
    if kept.sum() < 2:
        there = f"only {str(found.classes[kept][0])!r}" if kept.any() else "none"
        msg = (
            f"label={found.name!r} has {there} among the {what}; two classes are needed. Check the label and the split."
        )
        raise ValueError(msg)
    sizes = np.bincount(found.codes[found.codes >= 0])
    if sizes.max() == 1 and sizes.size >= MANY:
        msg = (
            f"label={found.name!r} has another class in each of its {sizes.size} cells: it names cells rather than classes, "
            "or splits them too finely. Choose another label, or merge classes."
        )
        raise ValueError(msg)
    new = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    return Labels(found.name, new[found.codes], found.classes[kept])


def restrict(found: Labels, rows: np.ndarray, *, what: str) -> Labels:
    """Keep the labels of `rows` (mask) only, and the classes that occur there, at least two."""
    kept = keep_classes(found, rows, what=what)
    return kept._replace(codes=np.where(rows, kept.codes, -1))


def label_colors(adata: AnnData, label: str, classes: np.ndarray) -> list[str] | None:
    """Return the colours that scanpy keeps for the label, in the order of the classes."""
    colors, column = adata.uns.get(f"{label}_colors"), adata.obs[label]
    if colors is None or not isinstance(column.dtype, pd.CategoricalDtype) or len(colors) < len(column.cat.categories):
        return None
    by_name = dict(zip(map(str, column.cat.categories), strings(colors), strict=False))
    return [by_name[name] for name in classes]
