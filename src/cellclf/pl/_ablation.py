"""Draw what is lost without genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from cellclf import get
from cellclf.pl._display import BLUE, GREY, ORANGE
from cellclf.pl._given import legend_above, panels, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from cellclf.tl import Ablation

LABELS = {"log_loss": "Log loss (nats)", "accuracy": "Accuracy", "macro_f1": "Macro-F1"}
COLOURS = {"ranked": (BLUE, "first of the ranking"), "random": (ORANGE, "random genes")}
WORDS = {"remove": "Genes removed", "keep": "Genes kept"}


def ablation(
    adata: AnnData | Ablation,
    *,
    measure: Literal["log_loss", "accuracy", "macro_f1"] = "macro_f1",
    key: str | None = None,
    ax: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw what networks reach that are trained without some genes, or with some only.

    One panel for the genes removed and one for the genes kept; each point is the mean over the repeats, with their
    standard deviation. The horizontal line is a training on all genes.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.ablation` ran, or the :class:`cellclf.tl.Ablation` itself.
    measure
        ``"log_loss"``, ``"accuracy"`` or ``"macro_f1"``.
    key
        The `key_added` of :func:`cellclf.tl.ablation`; `None`: ``"ablation"``. Not with an ablation.
    ax
        As many axes as there are panels; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`, as an array.

    Raises
    ------
    KeyError
        There is no such ablation in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `measure` is not known, the number of axes is not that of the panels, or `key` is given with an ablation.

    Examples
    --------
    >>> import cellclf as cc
    >>> found = cc.tl.ablation(adata)  # doctest: +SKIP
    >>> cc.pl.ablation(found)  # doctest: +SKIP
    """
    if measure not in LABELS:
        msg = f"measure={measure!r} is not known. Choose one of {', '.join(map(repr, LABELS))}."
        raise ValueError(msg)
    table = table_of(
        adata,
        key,
        result="ablation",
        attribute="summary",
        default="ablation",
        fetch=lambda name: get.ablation(adata, key=name),
    )
    modes = [mode for mode in WORDS if (table["mode"] == mode).any()]
    axes = panels(ax, len(modes), width=4.7 * len(modes), height=3.6)
    for panel, mode in zip(axes, modes, strict=True):
        _draw(panel, table[table["mode"] == mode], measure)
        every = table[table["mode"] == "all"].iloc[0]
        panel.axhline(every[measure], color=GREY, linewidth=1, linestyle="--", label=f"all {every['n_genes']} genes")
        panel.set(xlabel=WORDS[mode], ylabel=LABELS[measure])
        panel.spines[["top", "right"]].set_visible(False)
    legend_above(axes[0])
    return axes


def _draw(ax: Axes, table: pd.DataFrame, measure: str) -> None:
    """Draw one line per order of the genes."""
    for order, (colour, label) in COLOURS.items():
        part = table[table["order"] == order]
        if part.empty:
            continue
        error = part[f"{measure}_sd"] if part[f"{measure}_sd"].notna().all() else None
        style: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.5, "elinewidth": 1, "capsize": 2}
        ax.errorbar(part["n_genes"], part[measure], yerr=error, color=colour, label=label, **style)
    ax.set_xscale("log")
    ax.set_xticks(np.unique(table["n_genes"]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
