"""What may be selected: scores, conditions on them, and genes named by the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.pp._gene_scores import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


def require_count(value: object, argument: str, meaning: str) -> None:
    """Refuse what is not a whole number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        msg = f"{argument}={value!r} is not a whole number above 0. Say {meaning}."
        raise ValueError(msg)


def require_share(value: float | None, argument: str, *, zero: bool, example: float) -> None:
    """Refuse a number that does not lie between 0 and 1; `None` passes."""
    if value is None:
        return
    if isinstance(value, str | bool) or not (0 <= value <= 1 if zero else 0 < value <= 1):
        msg = f"{argument}={value!r} does not lie between 0 and 1. Give e.g. {example}, or None for no limit."
        raise ValueError(msg)


def scores(adata: AnnData, column: str) -> NDArray[np.float64]:
    """Copy a column of `var`, which must hold numbers."""
    if column not in adata.var and column in SCORES:
        msg = f"{column!r} is not in adata.var. Run `cc.pp.gene_scores(adata)` first; there is: {_slots.listing(adata.var)}."
        raise KeyError(msg)
    values = _slots.member(adata.var, column, "by", "adata.var")
    if not pd.api.types.is_numeric_dtype(values):
        msg = f"by={column!r} holds {values.dtype}, which has no order. Name a column of adata.var with numbers."
        raise ValueError(msg)
    return values.to_numpy(dtype=np.float64, na_value=np.nan).copy()


def scores_by_class(adata: AnnData, by: str) -> NDArray[np.float64]:
    """Return what each gene tells about each class, as written together with a score."""
    name = prefix(by) + "mi_by_class"
    values = np.asarray(_slots.member(adata.varm, name, "by", "adata.varm"), dtype=np.float64)
    if values.ndim != 2:
        msg = (
            f"adata.varm[{name!r}] has shape {values.shape}, but must have one column per class. Score the genes again."
        )
        raise ValueError(msg)
    return values


def has_classes(adata: AnnData, by: str) -> bool:
    """Tell whether `by` is a mutual information of ours, and what goes with it for each class is there."""
    key = prefix(by)
    return by == f"{key}mi" and f"{key}mi_by_class" in adata.varm and f"{key}mi_corrected" in adata.var


def corrected_by_class(found: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return what each gene tells about each class, less its share of what chance would tell."""
    chance = found["mi"] - found["mi_corrected"]
    return found["mi_by_class"] - chance[:, None] / max(1, found["mi_by_class"].shape[1] - 1)


def prefix(by: str) -> str:
    """Return the key that :func:`gene_scores` put before the names of its scores."""
    name = max((name for name in SCORES if by.endswith(f"_{name}")), key=len, default=None)
    return "" if name is None or by in SCORES else by.removesuffix(name)


def genes(adata: AnnData, names: Sequence[str], argument: str) -> NDArray[np.int64]:
    """Find genes by name, all of them where a name occurs more than once."""
    if isinstance(names, str):
        msg = f"{argument}={names!r} is one string. Give a list of gene names."
        raise ValueError(msg)
    wanted = pd.Index(dict.fromkeys(str(name) for name in names))
    if len(absent := wanted.difference(adata.var_names.astype(str), sort=False)):
        msg = f"{len(absent)} genes of `{argument}` are not in adata.var_names: {_slots.listing(absent, 5)}."
        raise KeyError(msg)
    columns = [np.flatnonzero(adata.var_names.astype(str) == name) for name in wanted]
    return np.concatenate([np.zeros(0, np.int64), *columns]).astype(np.int64)
