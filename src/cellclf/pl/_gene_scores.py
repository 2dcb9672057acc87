"""Draw what the best genes tell about the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.patches import Patch

from cellclf import get
from cellclf.pl import _display
from cellclf.pl._by_class import draw_by_class

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

LEVEL = 0.05  # genes with a larger q-value are drawn pale
LABELS = {
    "mi": "Mutual information with the label (nats)",
    "mi_corrected": "Mutual information with the label,\ncorrected for chance (nats)",
    "jsd": "Jensen–Shannon divergence between classes (nats)",
}


def gene_scores(
    adata: AnnData,
    *,
    score: Literal["mi", "mi_corrected", "jsd"] = "mi",
    n_genes: int = 20,
    by_class: bool = False,
    key: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the genes that tell most about the label.

    Each bar bears the q-value of the gene's mutual information, up to 200 of them; bars of genes with q > 0.05 are pale.

    Parameters
    ----------
    adata
        Annotated data with the scores of :func:`cellclf.pp.gene_scores`.
    score
        The score to rank the genes by.
    n_genes
        How many genes to draw.
    by_class
        Draw for these genes what each tells about each class against the rest, as a heat map.
    key
        The `key_added` of :func:`cellclf.pp.gene_scores`.
    ax
        Axes to draw on; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There are no such scores in `adata`.
    ValueError
        `score` names no score, or `n_genes` is not a whole number of 1 or more.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.gene_scores(adata, "bulk_labels")
    >>> cc.pl.gene_scores(adata, n_genes=10).get_xlabel()
    'Mutual information with the label (nats)'
    """
    if score not in LABELS:
        msg = f"score={score!r} cannot be drawn. Give {' or '.join(map(repr, LABELS))}."
        raise ValueError(msg)
    table = get.gene_scores(adata, key=key, by=score, n_genes=n_genes, by_class=by_class)
    if by_class:
        style = {"cmap": "viridis", "vmin": 0}
        return draw_by_class(ax, table, "mi", label="Information on this class\nagainst the rest (nats)", **style)
    ax = _display.gene_axes(ax, table.index)
    by_chance = (table["mi_qvalue"] > LEVEL).to_numpy()
    colours = np.where(by_chance, _display.MISSING, _display.BLUE)
    bars = ax.barh(np.arange(len(table)), table[score], height=0.7, color=colours)
    if len(table) <= _display.WITH_NAMES:
        size = min(7, _display.row_size(len(table)))
        ax.bar_label(bars, [_qvalue(q) for q in table["mi_qvalue"]], padding=3, fontsize=size, color=_display.GREY)
    ax.axvline(0, color=_display.GREY, linewidth=0.8)
    ax.margins(x=0.24)
    ax.set_xlabel(LABELS[score])
    if by_chance.any():
        pale = Patch(color=_display.MISSING, label=f"q > {LEVEL}")  # above the axes: beside the bars stand q-values
        ax.legend(
            handles=[pale],
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderaxespad=0.2,
            fontsize="small",
            frameon=False,
        )
    return ax


def _qvalue(q: float) -> str:
    """Write a q-value in few signs."""
    if np.isnan(q):
        return ""
    return "q < 1e-300" if q < 1e-300 else f"q = {q:.2g}"
