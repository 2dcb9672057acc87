"""The files that the demo leaves: data, model, tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import cellclf as cc
from cellclf._cli._write import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.figure import Figure

    from cellclf._classifier import Classifier

FIGURES = ("history.png", "confusion.png", "gene_scores.png", "importance.png", "umap.png")
FILES = ("adata.h5ad", "model.safetensors", "report.csv", "summary.csv", *FIGURES)


def write(adata: AnnData, classifier: Classifier, label: str, output: Path) -> None:
    """Write every file beside its old version and put it in place when it is complete."""
    import matplotlib as mpl

    mpl.use("agg")
    with replacing(output / "adata.h5ad") as path:
        adata.write_h5ad(path)
    with replacing(output / "model.safetensors") as path:
        classifier.save(path)
    for name, table in {"report.csv": cc.get.report(adata), "summary.csv": cc.get.summary(adata)}.items():
        with replacing(output / name) as path:
            table.to_csv(path)
    for name, draw in {
        "history.png": lambda: cc.pl.history(adata)[0].figure,
        "confusion.png": lambda: cc.pl.confusion(adata).figure,
        "gene_scores.png": lambda: cc.pl.gene_scores(adata).figure,
        "importance.png": lambda: cc.pl.importance(adata).figure,
        "umap.png": lambda: _umap_figure(adata, label),
    }.items():
        with replacing(output / name) as path:
            _save_figure(draw(), path)


def _save_figure(figure: Figure, path: Path) -> None:
    """Save a figure and forget it."""
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=150)
    plt.close(figure)


def _umap_figure(adata: AnnData, label: str) -> Figure:
    """Draw scanpy's UMAP by label, and by prediction and confidence for cells that the classifier never learnt from."""
    import matplotlib.pyplot as plt
    import scanpy as sc

    cells = picture(adata, label)
    shown = cells.obs["shown"].to_numpy()
    whose = "" if shown.all() else f" ({int(shown.sum()):,} unseen cells)"
    classes = cells.obs["label"].cat.categories
    columns = 1 if len(classes) <= 14 else 2 if len(classes) <= 30 else 3  # as scanpy sets its legends
    legend = columns * (0.35 + 0.08 * max(len(name) for name in classes))
    height = max(3.4, 0.5 + 0.19 * len(classes) / columns)
    figure, axes = plt.subplots(1, 3, figsize=(10.6 + legend, height), layout="compressed")
    size = min(120_000 / cells.n_obs, 120)
    shared = {"show": False, "na_in_legend": False, "legend_fontsize": 8}
    sc.pl.umap(cells, color="label", title=label, ax=axes[0], legend_loc="none", size=size / 2, **shared)
    shared |= {"mask_obs": shown, "size": size * np.where(shown, 1, 0.25)}
    sc.pl.umap(cells, color="prediction", title=f"prediction{whose}", ax=axes[1], **shared)
    sc.pl.umap(cells, color="confidence", title=f"confidence{whose}", ax=axes[2], vmin=0, vmax=1, **shared)
    for ax in axes:
        ax.set_box_aspect(1)
    return figure


def picture(adata: AnnData, label: str) -> AnnData:
    """Gather what the UMAP shows; label and prediction share categories, and so their colours; unseen cells come last."""
    import anndata
    import pandas as pd

    from cellclf import _slots

    predictions, classes = cc.get.predictions(adata), [str(name) for name in cc.get.report(adata).index]
    truth = adata.obs[label].astype(object).map(str, na_action="ignore").to_numpy()
    never_seen = sorted({name for name in truth if isinstance(name, str)} - set(classes))
    categories = pd.Index([*classes, *never_seen])
    masks = _slots.split_rows(adata, "split") or {}
    seen = (masks["train"] | masks["valid"]) & pd.notna(truth)
    table = pd.DataFrame(
        {
            "label": pd.Categorical(truth, categories=categories),
            "prediction": pd.Categorical(predictions["predicted"].astype(str), categories=categories),
            "confidence": predictions["confidence"].to_numpy(),
            "shown": seen.all() | ~seen,
        },
        index=adata.obs_names.astype(str),
    )
    order = np.argsort(~seen, kind="stable")
    cells = anndata.AnnData(obs=table.iloc[order], obsm={"X_umap": np.asarray(adata.obsm["X_umap"])[order, :2]})
    if "cellclf_colors" in adata.uns and not never_seen:
        cells.uns["label_colors"] = cells.uns["prediction_colors"] = list(adata.uns["cellclf_colors"])
    return cells
