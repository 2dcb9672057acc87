"""Every touch of an AnnData slot: fetch with errors that help, write all at once, record the call."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import ImplicitModificationWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._types import Matrix

LABEL_KEY = "cellclf_label"
SPLIT_NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


class Labels(NamedTuple):
    """The class of each cell: `name` of the column, `codes` (n_obs, -1 = no class), `classes` as strings."""

    name: str
    codes: np.ndarray
    classes: np.ndarray


# --- fetch ----------------------------------------------------------------------------------------------------------


def matrix(adata: AnnData, *, layer: str | None = None, use_rep: str | None = None) -> Matrix:
    """Return X, a layer or an embedding of `obsm`, as it is stored."""
    if use_rep is not None:
        if layer is not None:
            msg = f"Both layer={layer!r} and use_rep={use_rep!r} are given. Give one of them."
            raise ValueError(msg)
        x = np.asarray(member(adata.obsm, use_rep, "use_rep", "adata.obsm"))
        return x[:, None] if x.ndim == 1 else x
    x = adata.X if layer is None else member(adata.layers, layer, "layer", "adata.layers")
    if x is None:
        msg = "adata.X is empty (None). Fill it, or name the matrix to use with `layer=`."
        raise ValueError(msg)
    if 0 in x.shape:
        msg = (
            f"The matrix is {x.shape[0]} cells × {x.shape[1]} genes: there is nothing to learn from. Check the filters."
        )
        raise ValueError(msg)
    return x


def warn_if_scaled(adata: AnnData, layer: str | None) -> None:
    """Say where the unscaled values may lie if X holds negative numbers; `.raw` is never read silently."""
    if layer is not None or adata.raw is None or adata.X is None:
        return
    block = adata.X[:1024]
    block = block.compute() if hasattr(block, "compute") else block
    if block.size and block.min() < 0:
        msg = (
            "adata.X holds negative numbers, so it seems scaled, while adata.raw is present. "
            "To use the values in raw: adata = adata.raw.to_adata()."
        )
        warn(msg)


def warn(message: str) -> None:
    """Warn at the user's own line, past the frames of cellclf."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("cellclf."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def member(slot: Mapping[str, Any], key: str, argument: str, name: str) -> Any:
    """Return `slot[key]`, or say what there is instead."""
    if key not in slot:
        msg = f"{argument}={key!r} is not in {name}. It holds: {listing(slot)}."
        raise KeyError(msg)
    return slot[key]


def listing(names: Iterable[Any], limit: int = 10) -> str:
    """Write names for a message, the first few of a long list."""
    names = [repr(str(name)) for name in names]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "nothing"


def label_name(adata: AnnData, label: str | None) -> str:
    """Resolve the label: as given, as recorded on this AnnData, or the only candidate column of `obs`."""
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


def written_columns(adata: AnnData) -> set[str]:
    """Collect the `obs` columns that cellclf itself wrote, from the records in `uns`."""
    columns: set[str] = set()
    for value in adata.uns.values():
        if isinstance(value, Mapping) and str(value.get("function", "")).startswith("cellclf."):
            columns.update(strings(value.get("written_obs", [])))
    return columns


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
    new = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    return Labels(found.name, new[found.codes], found.classes[kept])


def restrict(found: Labels, rows: np.ndarray, *, what: str) -> Labels:
    """Keep the labels of `rows` (mask) only, and the classes that occur there, at least two."""
    kept = keep_classes(found, rows, what=what)
    return kept._replace(codes=np.where(rows, kept.codes, -1))


def split_rows(adata: AnnData, split: str | None) -> dict[str, np.ndarray] | None:
    """Return the masks of train, valid and test rows, or None where no split is asked for or made yet."""
    if split is None or (split == "split" and split not in adata.obs):
        return None
    values = member(adata.obs, split, "split", "adata.obs").astype(object)
    present = values.notna().to_numpy()
    names = [SPLIT_NAMES.get(str(value)) if there else None for value, there in zip(values, present, strict=True)]
    if unknown := sorted({str(v) for v, n, there in zip(values, names, present, strict=True) if there and n is None}):
        msg = f"adata.obs[{split!r}] holds {listing(unknown)}. Only 'train', 'valid' and 'test' (or missing) are read."
        raise ValueError(msg)
    masks = {name: np.array([n == name for n in names], dtype=bool) for name in ("train", "valid", "test")}
    if not masks["train"].any():
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
        masks = split_rows(adata, split)
        if masks is None or SPLIT_NAMES.get(rows) is None:
            msg = (
                f"rows={rows!r} names no part of adata.obs[{split!r}]. Give 'train', 'valid', 'test' or a boolean mask."
            )
            raise ValueError(msg)
        mask = masks[SPLIT_NAMES[rows]]
    else:
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
    masks = split_rows(adata, split) if split in adata.obs else None
    for name in ("test", "valid"):
        if masks is not None and (masks[name] & labelled).any():
            return masks[name]
    return labelled


def unique_genes(adata: AnnData, names: Iterable[Any] | None = None) -> np.ndarray:
    """Return the gene names as strings, refusing duplicates."""
    genes = pd.Index([str(name) for name in (adata.var_names if names is None else names)])
    if not genes.is_unique:
        repeated = genes[genes.duplicated()].unique()
        msg = (
            f"{len(repeated)} gene names occur more than once ({listing(repeated, 3)}). "
            "Call `adata.var_names_make_unique()` first."
        )
        raise ValueError(msg)
    return genes.to_numpy(dtype=object)


_ENSEMBL = re.compile(r"^(ENS[A-Z]*\d+)\.\d+$")


def match_genes(adata: AnnData, genes: np.ndarray, *, gene_symbols: str | None = None) -> tuple[np.ndarray, bool]:
    """Find each of `genes` among those of `adata`, by name in any order.

    Returns the column of each gene (-1 = absent) and whether Ensembl version suffixes had to be ignored.
    """
    names = adata.var_names if gene_symbols is None else member(adata.var, gene_symbols, "gene_symbols", "adata.var")
    have, want = pd.Index([str(name) for name in names]), pd.Index(genes)
    repeated = have[have.duplicated(keep=False)]
    if len(repeated) and (gene_symbols is None or len(repeated.intersection(want))):
        unique_genes(adata, have)  # raises: in a column of symbols only the model's own genes must be unique
    found = _columns_of(want, have)
    if (found < 0).any():
        bare_have, bare_want = pd.Index(_without_version(have)), pd.Index(_without_version(want))
        if bare_want.is_unique and not bare_have[bare_have.duplicated()].isin(bare_want).any():
            bare = _columns_of(bare_want, bare_have)
            return bare, bool((bare != found).any())
    return found, False


def _columns_of(want: pd.Index, have: pd.Index) -> np.ndarray:
    """Return the position in `have` of each name, -1 where it is absent; repeated names of `have` are passed over."""
    columns = np.flatnonzero(~have.duplicated(keep=False))
    position = have[columns].get_indexer(want)
    return np.where(position >= 0, columns[position] if len(columns) else -1, -1)


def _without_version(names: Iterable[str]) -> list[str]:
    """Strip the version of Ensembl identifiers."""
    return [_ENSEMBL.sub(r"\1", str(name)) for name in names]


def strings(values: Any) -> list[str]:
    """Read strings back from `uns`, whatever array type the file format gave them."""
    return [str(value) for value in np.atleast_1d(np.asarray(values, dtype=object))]


def fetch_record(adata: AnnData, key: str, verb: str) -> Mapping[str, Any]:
    """Return the record that `verb` wrote under `uns[key]`."""
    record = adata.uns.get(key)
    if not isinstance(record, Mapping) or "function" not in record:
        msg = f"adata.uns[{key!r}] holds no record of `cc.{verb}`. Run `cc.{verb}` first, or name its `key_added`."
        raise KeyError(msg)
    return record


# --- write ----------------------------------------------------------------------------------------------------------


def write(adata: AnnData, slots: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `{"var": {"mi": …}, "obsm": {…}}`; a view becomes an AnnData of its own first, as in scanpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        for slot, values in slots.items():
            for key, value in values.items():
                getattr(adata, slot)[key] = value


def record(
    function: str,
    call: Mapping[str, Any],
    *,
    classes: Iterable[str] | None = None,
    written_obs: Iterable[str] = (),
    **extra: Any,
) -> dict[str, Any]:
    """Make the record of a call: strings, numbers and arrays of these, so that h5ad and zarr keep it."""
    entry: dict[str, Any] = {
        "function": f"cellclf.{function}",
        "version": version("cellclf"),
        "call": json.dumps({name: _plain(value) for name, value in call.items()}, sort_keys=True),
    }
    if classes is not None:
        entry["classes"] = np.array([str(name) for name in classes], dtype=object)
    if columns := [str(name) for name in written_obs]:
        entry["written_obs"] = np.array(columns, dtype=object)
    return entry | extra


def _plain(value: Any) -> Any:
    """Turn an argument into what JSON can hold; objects are named by their type, never by a path or an address."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__} | fields
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | pd.Index | pd.Series):
        value = list(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    return type(value).__name__
