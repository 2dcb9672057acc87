"""Draw whether trainings agree on the genes that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from cellclf import get
from cellclf.pl import _display
from cellclf.pl._given import check_n_genes, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellclf.tl import Stability


def stability(adata: AnnData | Stability, *, n_genes: int = 20, key: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the genes that trainings chose most often.

    Each point is the mean importance over the trainings with its standard deviation; its colour is the share of the
    trainings in which the gene was among the first.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.stability` ran, or the :class:`cellclf.tl.Stability` itself.
    n_genes
        How many genes to draw.
    key
        The `key_added` of :func:`cellclf.tl.stability`; `None`: ``"stability"``. Not with a result.
    ax
        Axes to draw on; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There are no such trainings in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `n_genes` is not a whole number of 1 or more, or `key` is given with a result.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> found = cc.tl.stability(adata, n_trainings=3, method="weights")
    >>> ax = cc.pl.stability(found, n_genes=10)
    """
    check_n_genes(n_genes)
    table = table_of(
        adata,
        key,
        result="result",
        attribute="genes",
        default="stability",
        fetch=lambda name: get.stability(adata, key=name),
    ).iloc[:n_genes]
    ax = _display.gene_axes(ax, table.index)
    place = np.arange(len(table))
    ax.axvline(0, color=_display.GREY, linewidth=0.8)
    ax.errorbar(table["mean"], place, xerr=table["sd"], fmt="none", ecolor=_display.GREY, elinewidth=1.2, capsize=2)
    style: dict[str, Any] = {
        "cmap": "viridis_r",
        "vmin": 0,
        "vmax": 1,
        "s": 34,
        "zorder": 3,
        "edgecolors": "white",
        "linewidths": 0.5,
    }
    points = ax.scatter(table["mean"], place, c=table["frequency"], **style)
    n_top = adata.uns[key or "stability"]["n_top"] if isinstance(adata, AnnData) else adata.n_top
    label = f"Share of trainings with the gene\namong their first {n_top}"
    bar = ax.figure.colorbar(points, ax=ax, label=label, fraction=0.05, pad=0.03)
    bar.outline.set_visible(False)
    ax.grid(axis="y", **_display.GRID)
    ax.set_axisbelow(True)
    ax.set_xlabel("Importance\nmean ± standard deviation of the trainings")
    return ax
