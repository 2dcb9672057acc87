"""Draw which genes a classifier needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf import get
from cellclf.get._importance import facts
from cellclf.pl import _display
from cellclf.pl._by_class import draw_by_class

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

LEVEL = 0.05
DEFAULTS = {"permutation": "loss", "weights": "sum"}  # of records that do not say
SHUFFLED = "when shuffled"
LABELS = {
    "loss": f"Rise of the log loss {SHUFFLED} (nats)",
    "accuracy": f"Fall of the accuracy {SHUFFLED}",
    "macro_f1": f"Fall of the macro-F1 {SHUFFLED}",
    "sum": "Sum of absolute weights in the first layer",
    "l2": "Length of the weights in the first layer",
    "path": "Sum of absolute weights along all paths",
    "integrated_gradients": "Mean size of the attribution (integrated gradients)",
    "deep_lift": "Mean size of the attribution (DeepLIFT)",
    "gradient_shap": "Mean size of the attribution (gradient SHAP)",
}
BY_CLASS = {
    "loss": "Rise of the log loss for\nthis class (nats)",
    "accuracy": "Fall of the accuracy\nfor this class",
    "macro_f1": "Fall of F1\nfor this class",
    "path": "Weight along all paths\nto this class",
}


def importance(
    adata: AnnData,
    *,
    n_genes: int = 20,
    by_class: bool = False,
    key: str = "importance",
    ax: Axes | None = None,
) -> Axes:
    """Draw the genes that a classifier needs most.

    Each point is the mean over the repeated permutations, or over the cells for gradients, with its standard error. Where
    a null was measured, points are filled if the q-value is at most 0.05.

    Parameters
    ----------
    adata
        Annotated data with the importances of :func:`cellclf.tl.importance`.
    n_genes
        How many genes to draw.
    by_class
        Draw for these genes the importance for the cells of each class, as a heat map.
    key
        The `key_added` of :func:`cellclf.tl.importance`.
    ax
        Axes to draw on; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There are no such importances in `adata`.
    ValueError
        `n_genes` is not a whole number of 1 or more.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.importance(adata, null=None)
    >>> ax = cc.pl.importance(adata, n_genes=10)
    """
    table = get.importance(adata, key=key, n_genes=n_genes, by_class=by_class)
    known = facts(adata, key)
    table = table[table["importance"].notna() | by_class]  # genes in no group, or not reached, have no importance
    what = known.get("measure", known.get("norm", DEFAULTS.get(known["method"], known["method"])))
    if by_class:
        signed = what in BY_CLASS
        largest = np.nanmax(np.abs(table["importance"].to_numpy()), initial=0) or 1.0
        style: dict[str, Any] = {
            "cmap": "RdBu_r" if signed else "Blues",
            "vmin": -largest if signed else 0,
            "vmax": largest,
        }
        label = BY_CLASS.get(what, "Mean size of the attribution\nin cells of this class")
        return draw_by_class(ax, table, "importance", label=label, **style)
    ax = _display.gene_axes(ax, table.index)
    ax.axvline(0, color=_display.GREY, linewidth=0.8)
    _draw_points(ax, table)
    ax.grid(axis="y", **_display.GRID)
    ax.set_axisbelow(True)
    of = "repeats" if known["method"] in {"permutation", "ablation"} else "cells"
    error = table["importance_se"].notna().any()
    label = LABELS[what].replace(SHUFFLED, "without its group") if known["method"] == "ablation" else LABELS[what]
    ax.set_xlabel(label + (f"\nmean ± standard error of the {of}" if error else ""))
    return ax


def _draw_points(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the genes from top to bottom, hollow where chance may do as well."""
    place = np.arange(len(table))
    if table["importance_se"].notna().any():
        style: dict[str, Any] = {"fmt": "none", "ecolor": _display.GREY, "elinewidth": 1.2, "capsize": 2}
        ax.errorbar(table["importance"], place, xerr=table["importance_se"], **style)
    passing = np.ones(len(table), dtype=bool)
    if "importance_qvalue" in table:
        passing = (table["importance_qvalue"] <= LEVEL).to_numpy()
    for mask, face, label in ((passing, _display.BLUE, f"q ≤ {LEVEL}"), (~passing, "white", f"q > {LEVEL}")):
        if mask.any():
            points: dict[str, Any] = {
                "marker": "o",
                "markersize": 5,
                "linestyle": "none",
                "color": _display.BLUE,
                "zorder": 3,
            }
            ax.plot(table["importance"][mask], place[mask], markerfacecolor=face, label=label, **points)
    if "importance_qvalue" in table:
        above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 2, "borderaxespad": 0.2}
        ax.legend(frameon=False, fontsize="small", handletextpad=0.2, **above)
