"""What attributions compare a cell with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from cellclf.tl._lesson import likely_rows
from cellclf.tl._model import read

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._classifier import Classifier

Baseline = Literal["mean", "zeros", "class"]


def check_baseline(baseline: str) -> None:
    """Refuse an unknown baseline."""
    if baseline not in get_args(Baseline):
        msg = f"baseline={baseline!r} is not known. Choose 'mean', 'zeros' or 'class'."
        raise ValueError(msg)


def references(
    adata: AnnData, model: Classifier, baseline: str, codes: np.ndarray | None, split: str, **where: Any
) -> list[np.ndarray]:
    """Return for each class what its cells are compared with, as the network reads it (n_baselines, n_genes).

    `codes`, the class of each cell, are asked for where `baseline` is ``"class"``.
    """
    n_classes = len(model.classes)
    if codes is not None and baseline == "class":
        means = class_means(adata, model, codes, likely_rows(adata, model, codes, split), **where)
        others = [np.delete(means, k, axis=0) for k in range(n_classes)]
        return [rows[np.isfinite(rows).all(axis=1)] for rows in others]
    fill = model.preprocessing.fill
    return [model.inputs((fill if baseline == "mean" else np.zeros_like(fill))[None])] * n_classes


def class_means(
    adata: AnnData,
    model: Classifier,
    codes: np.ndarray,
    rows: np.ndarray,
    *,
    layer: str | None,
    gene_symbols: str | None,
) -> np.ndarray:
    """Average what the network reads over the cells of each class among some rows (n_classes, n_genes)."""
    sums = np.zeros((len(model.classes), len(model.genes)))
    for block in read(adata, model, rows, layer=layer, gene_symbols=gene_symbols):
        values = model.inputs(block.values)
        for k in np.unique(codes[block.rows]):
            sums[k] += values[codes[block.rows] == k].sum(axis=0, dtype=np.float64)
    sizes = np.bincount(codes[rows], minlength=len(sums))[:, None]
    if (sizes > 0).sum() < 2:
        msg = "baseline='class' needs cells of two classes or more. Choose baseline='mean'."
        raise ValueError(msg)
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
