"""Draw which genes a classifier needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellclf import get
from cellclf.get._importance import method
from cellclf.pl import _display
from cellclf.pl._genes import draw_by_class

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

LABELS = {
    "permutation": "Rise of the log loss when shuffled (nats)",
    "weights": "Sum of absolute weights in the first layer",
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

    Each point is the mean over the repeated permutations, with its standard error.

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
    >>> cc.tl.importance(adata)  # doctest: +SKIP
    >>> cc.pl.importance(adata, n_genes=10)  # doctest: +SKIP
    """
    table = get.importance(adata, key=key, n_genes=n_genes, by_class=by_class)
    if by_class:
        largest = np.nanmax(np.abs(table["importance"].to_numpy()), initial=0) or 1.0
        style = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
        return draw_by_class(ax, table, "importance", label="Rise of the log loss for\nthis class (nats)", **style)
    error = table["importance_se"] if table["importance_se"].notna().any() else None
    ax = _display.gene_axes(ax, table.index)
    ax.axvline(0, color=_display.GREY, linewidth=0.8)
    ax.errorbar(
        table["importance"],
        np.arange(len(table)),
        xerr=error,
        fmt="o",
        markersize=5,
        color=_display.BLUE,
        ecolor=_display.GREY,
        elinewidth=1.2,
        capsize=2,
    )
    ax.grid(axis="y", color="#ebebeb", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(LABELS[method(adata, key)] + ("" if error is None else "\nmean ± standard error of the repeats"))
    return ax
