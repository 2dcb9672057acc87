"""Leave out genes that hardly vary, or are hardly ever seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellclf import _slots, stats
from cellclf.pp import _spread

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def filter_genes(
    adata: AnnData,
    *,
    min_std: float | None = None,
    max_zero_fraction: float | None = None,
    split: str | None = "split",
    layer: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Leave out genes with little spread or with too many zeros.

    Both are measured on the training rows only, in one pass each over the matrix as it is stored: dense, sparse, backed
    or dask. As with scanpy's filters, `adata` itself loses the genes, in X and wherever else there is a value per gene;
    `adata.raw` keeps them.

    Parameters
    ----------
    adata
        Annotated data, cells in rows.
    min_std
        Keep genes whose standard deviation (divided by the number of rows, not one less) is at least this.
    max_zero_fraction
        Keep genes that are zero in at most this share of the rows, between 0 and 1.
    split
        Column of `adata.obs` with train / valid / test: only the training cells count. The default is passed over where
        there is no such column; with `None`, all cells count.
    layer
        Layer to measure instead of X; X and all layers lose the genes.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Genes are removed from `adata`, and this field is set:

    `adata.uns['filter_genes']` : dict
        Record of the call, with the number of genes before (`n_before`) and after (`n_after`) and of rows that counted
        (`n_cells`).

    Raises
    ------
    KeyError
        `layer` or `split` is not in `adata` (the message lists what is).
    ValueError
        No threshold is given, or one is out of range; no gene would be left; values are NaN or infinite; `adata` is
        backed and `copy=False`.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> cc.pp.filter_genes(adata, min_std=0.5, max_zero_fraction=0.9)
    >>> adata.n_vars
    605
    """
    _check(min_std, max_zero_fraction)
    x = _slots.matrix(adata, layer=layer)
    if adata.isbacked and not copy:
        msg = (
            "adata is backed by a file, from which genes cannot be removed in place. "
            "Pass copy=True: the genes that are kept are then read into memory."
        )
        raise ValueError(msg)
    masks = _slots.split_rows(adata, split)
    rows = np.ones(adata.n_obs, bool) if masks is None else masks["train"]
    keep: NDArray[np.bool_] = np.ones(adata.n_vars, bool)
    with _spread.naming_genes(adata):
        if min_std is not None:
            keep &= stats.mean_std(x, rows)[1] >= min_std
        if max_zero_fraction is not None:
            zeros = _spread.zero_counts(x, np.where(rows, 0, -1), 1)[0]
            keep &= zeros / rows.sum() <= max_zero_fraction
    if not keep.any():
        msg = (
            f"No gene is left of {adata.n_vars}: none has both min_std={min_std!r} and "
            f"max_zero_fraction={max_zero_fraction!r}. Loosen the thresholds; `cc.pp.summary` shows the spread of the genes."
        )
        raise ValueError(msg)
    call = {"min_std": min_std, "max_zero_fraction": max_zero_fraction, "split": split, "layer": layer}
    counts = {"n_before": adata.n_vars, "n_after": int(keep.sum()), "n_cells": int(rows.sum())}
    if copy:
        adata = adata[:, keep].to_memory() if adata.isbacked else adata[:, keep].copy()
    else:
        adata._inplace_subset_var(keep)
    _slots.write(adata, {"uns": {"filter_genes": _slots.record("pp.filter_genes", call, **counts)}})
    return adata if copy else None


def _check(min_std: float | None, max_zero_fraction: float | None) -> None:
    """Refuse thresholds without meaning."""
    if min_std is None and max_zero_fraction is None:
        msg = "No threshold is given. Give min_std (such as 0.1), max_zero_fraction (such as 0.99), or both."
        raise ValueError(msg)
    for name, value, top in (("min_std", min_std, np.inf), ("max_zero_fraction", max_zero_fraction, 1.0)):
        if value is None:
            continue
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not 0 <= value <= top or np.isinf(value):
            bounds = "of 0 or more" if np.isinf(top) else "between 0 and 1"
            msg = f"{name}={value!r} is no threshold. Give a number {bounds}."
            raise ValueError(msg)
