"""Draw whether rankings are faithful."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter

from cellclf import get
from cellclf.pl._display import GREY, wrapped
from cellclf.pl._given import check_measure, legend_above, panels, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from cellclf.tl import ImportanceCheck

# of Okabe and Ito
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LABELS = {"log_loss": "Log loss (nats)", "accuracy": "Accuracy", "macro_f1": "Macro-F1"}
NAMES = {"mi_corrected": "mutual information"}


def importance_check(
    adata: AnnData | ImportanceCheck,
    *,
    measure: Literal["log_loss", "accuracy", "macro_f1"] = "log_loss",
    key: str | None = None,
    ax: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw the deletion and the insertion curves of rankings.

    Left: the first genes of each ranking are taken away; the sooner the classifier fails, the more faithful the ranking.
    Right: the classifier is given them alone; the sooner it does well, the better. Grey: random genes, with one standard
    deviation of the log loss over the draws.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.importance_check` ran, or the :class:`cellclf.tl.ImportanceCheck` itself.
    measure
        ``"log_loss"``, ``"accuracy"`` or ``"macro_f1"``.
    key
        The `key_added` of :func:`cellclf.tl.importance_check`; `None`: ``"importance_check"``. Not with a check.
    ax
        Two axes to draw on; `None` for a new figure.

    Returns
    -------
    The two :class:`matplotlib.axes.Axes`, as an array.

    Raises
    ------
    KeyError
        There is no such check in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `measure` is not known, `ax` does not hold two axes, or `key` is given with a check.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.importance(adata, null=None)
    >>> check = cc.tl.importance_check(adata)
    >>> axes = cc.pl.importance_check(check)
    """
    check_measure(measure, LABELS)
    curves = table_of(
        adata,
        key,
        result="check",
        attribute="curves",
        default="importance_check",
        fetch=lambda name: get.importance_check(adata, table="curves", key=name),
    )
    axes = panels(ax, 2, width=9.4, height=3.6)
    rankings = list(dict.fromkeys(curves["ranking"]))
    for panel, kind, words in zip(axes, ("deletion", "insertion"), ("taken away", "kept alone"), strict=True):
        for number, name in enumerate(rankings):
            table = curves[(curves["ranking"] == name) & (curves["kind"] == kind)]
            chance = name == "random"
            colour = GREY if chance else COLOURS[number % len(COLOURS)]
            label = wrapped([NAMES.get(name, name)])[0]
            style: dict[str, Any] = {
                "linestyle": "--" if chance else "-",
                "marker": "o",
                "markersize": 3,
                "linewidth": 1.5,
            }
            panel.plot(table["n_genes"], table[measure], color=colour, label=label, **style)
            if chance and measure == "log_loss" and table["log_loss_sd"].notna().all():
                low, high = (table[measure] + sign * table["log_loss_sd"] for sign in (-1, 1))
                panel.fill_between(table["n_genes"], low, high, color=colour, alpha=0.2, linewidth=0)
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xlim(0, curves["n_genes"].max())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.set(xlabel=f"Genes {words}, the first of the ranking", ylabel=LABELS[measure])
        panel.spines[["top", "right"]].set_visible(False)
    legend_above(axes[0])
    return axes
