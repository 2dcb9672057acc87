"""How the columns of `obs` are distributed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

MAX_CATEGORIES = 12  # further ones are counted together
MAX_UNASKED = 60  # a column of more categories is described only if it is named
N_BINS = 30
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def chosen(adata: AnnData, names: Iterable[str] | None, *, label: str, split: str | None) -> list[str]:
    """Return the columns to describe: as named, or all with numbers or few categories but the label and the split."""
    if names is None:
        left_out = {label, split, *_slots.written_columns(adata)}
        return [str(name) for name in adata.obs.columns.unique() if name not in left_out and _tells(adata.obs[name])]
    if isinstance(names, str):
        msg = f"covariates={names!r} is one string. Give a list of columns, such as [{names!r}]."
        raise TypeError(msg)
    names = list(names)
    for name in names:
        _slots.member(adata.obs, name, "covariates", "adata.obs")
        if isinstance(adata.obs[name], pd.DataFrame):
            msg = f"adata.obs has several columns named {name!r}. Rename them."
            raise ValueError(msg)
        if _kind(adata.obs[name]) is None:
            held = adata.obs[name].dtype
            msg = f"adata.obs[{name!r}] holds {held}, neither numbers nor categories. Convert it or leave it out."
            raise ValueError(msg)
    return names


def _tells(column: Any) -> bool:
    """Whether a column has a distribution worth a look: not all the same, and not nearly a name for each cell."""
    if isinstance(column, pd.DataFrame) or (kind := _kind(column)) is None:
        return False
    n_values = column.nunique()
    return n_values > 1 and (kind == "numeric" or n_values <= min(MAX_UNASKED, max(2, len(column) / 2)))


def _kind(column: pd.Series) -> str | None:
    """Tell numbers from categories; anything else is neither."""
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(column.dtype):
        return "categorical"
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return "numeric"
    return "categorical" if pd.api.types.infer_dtype(column, skipna=True) in ("string", "boolean", "empty") else None


def describe(adata: AnnData, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Lay out the distributions as two long tables: how many cells have which value, and the quantiles of numbers."""
    rows: list[tuple[str, str, str, float, float, int]] = []
    quantiles: list[tuple[Any, ...]] = []
    for name in names:
        column = adata.obs[name]
        if _kind(column) == "numeric":
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            values, n_missing = values[np.isfinite(values)], int((~np.isfinite(values)).sum())
            rows += [(name, "numeric", _interval(low, high), low, high, n) for low, high, n in _histogram(values)]
            middle = np.quantile(values, QUANTILES) if values.size else np.full(len(QUANTILES), np.nan)
            quantiles.append((name, n_missing, *middle))
        else:
            n_missing = int(column.isna().sum())
            rows += [(name, kind, value, np.nan, np.nan, n) for kind, value, n in _sizes(column)]
        rows += [(name, "missing", "missing", np.nan, np.nan, n_missing)] * bool(n_missing)
    return {"covariates": _columns(rows), "quantiles": _quantile_columns(quantiles)}


def _histogram(values: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """Count numbers in intervals; whole numbers that lie close together have one each."""
    if values.size == 0:
        return []
    low, high = values.min(), values.max()
    if high - low <= N_BINS and np.array_equal(values, np.round(values)):
        edges = np.arange(low, high + 2) - 0.5
    else:
        edges = np.linspace(low, high, N_BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts = np.histogram(values, edges)[0]
    return [(float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]


def _interval(low: float, high: float) -> str:
    """Write an interval; that of one whole number as the number."""
    return f"{low + 0.5:g}" if high - low == 1 and (low + 0.5).is_integer() else f"{low:.4g} to {high:.4g}"


def _sizes(column: pd.Series) -> list[tuple[str, str, int]]:
    """Count the cells of each category, in its own order; of many, the largest ones, and the others together."""
    counts = column.value_counts(sort=False)
    counts = counts[counts > 0]
    if not isinstance(column.dtype, pd.CategoricalDtype):
        counts = counts.iloc[np.argsort([str(value) for value in counts.index], kind="stable")]
    kept = np.ones(len(counts), bool)
    if len(counts) > MAX_CATEGORIES:
        kept[np.argsort(-counts.to_numpy(), kind="stable")[MAX_CATEGORIES - 1 :]] = False
    sizes = [("category", str(value), int(n)) for value, n in counts[kept].items()]
    return sizes + [("others", f"{(~kept).sum()} others", int(counts[~kept].sum()))] * bool((~kept).any())


def _columns(rows: Sequence[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    """Turn rows into columns that files can hold."""
    types = {"covariate": object, "kind": object, "value": object, "low": float, "high": float, "cells": np.int64}
    return {name: np.array([row[i] for row in rows], dtype=kind) for i, (name, kind) in enumerate(types.items())}


def _quantile_columns(rows: Sequence[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    """Turn rows into a column of names, of missing values, and a matrix of quantiles."""
    return {
        "covariate": np.array([row[0] for row in rows], dtype=object),
        "missing": np.array([row[1] for row in rows], dtype=np.int64),
        "values": np.array([row[2:] for row in rows], dtype=float).reshape(-1, len(QUANTILES)),
    }
