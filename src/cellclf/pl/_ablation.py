"""Draw what is lost without genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from cellclf import get
from cellclf.pl._display import BLUE, GREY, GRID, ORANGE, apart, inches, lines, wrapped
from cellclf.pl._given import check_measure, legend_above, panels, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from cellclf.tl import Ablation

LABELS = {"log_loss": "Log loss (nats)", "accuracy": "Accuracy", "macro_f1": "Macro-F1"}
COLOURS = {
    "ranked": (BLUE, "first of the ranking"),
    "given": (BLUE, "the set"),
    "random": (ORANGE, "random genes"),
}
LIFT = 0.1  # of the random genes below the set, in rows
STYLE: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.5, "elinewidth": 1, "capsize": 2}
BAND: dict[str, Any] = {"color": GREY, "alpha": 0.15, "linewidth": 0, "zorder": 0}
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
    standard deviation. Along a ranking, the number of genes is drawn against the measure; sets of your own stand below one
    another, beside random sets of the same size. The dashed line is the mean of trainings on all genes, the grey band their
    standard deviation: what lies within it may be chance.

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
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.importance(adata, null=None)
    >>> found = cc.tl.ablation(adata, sizes=[5, 20], n_repeats=1)
    >>> ax = cc.pl.ablation(found)
    """
    check_measure(measure, LABELS)
    table = table_of(
        adata,
        key,
        result="ablation",
        attribute="summary",
        default="ablation",
        fetch=lambda name: get.ablation(adata, key=name),
    )
    modes = [mode for mode in WORDS if (table["mode"] == mode).any()]
    in_sets = (table["set"] != "").any()
    names = wrapped(_names(table[table["set"] != ""]))
    height = max(2.4, 1.3 + max(0.45, 0.17 * lines(names)) * len(names)) if in_sets else 3.6
    axes = panels(ax, len(modes), width=max(4.7, 3.6 + inches(names, 10)) * len(modes), height=height)
    every = table[table["mode"] == "all"].iloc[0]
    line: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": "--", "label": f"all {every['n_genes']} genes"}
    for panel, mode in zip(axes, modes, strict=True):
        part = table[table["mode"] == mode]
        span = panel.axvspan if in_sets else panel.axhspan
        if np.isfinite(every[f"{measure}_sd"]):
            span(every[measure] - every[f"{measure}_sd"], every[measure] + every[f"{measure}_sd"], **BAND)
        if in_sets:
            _draw_sets(panel, part, measure)
            panel.axvline(every[measure], **line)
            panel.set_xlabel(f"{LABELS[measure]}\n{WORDS[mode].lower()}")
        else:
            _draw(panel, part, measure)
            panel.axhline(every[measure], **line)
            panel.set(xlabel=WORDS[mode], ylabel=LABELS[measure])
        panel.spines[["top", "right"]].set_visible(False)
    legend_above(axes[0])
    return axes


def _draw_sets(ax: Axes, table: pd.DataFrame, measure: str) -> None:
    """Draw one row per set of genes, the first on top."""
    sets = table.drop_duplicates("set")
    for order, (colour, label) in COLOURS.items():
        part = table[table["order"] == order]
        if not part.empty:
            shift = LIFT if order == "random" else -LIFT
            place = [list(sets["set"]).index(name) + shift for name in part["set"]]
            ax.errorbar(
                part[measure], place, xerr=_error(part, measure), color=colour, label=label, **STYLE | {"linewidth": 0}
            )
    ax.set_yticks(np.arange(len(sets)), labels=wrapped(_names(table)))
    ax.set_ylim(len(sets) - 0.5, -0.5)
    ax.grid(axis="y", **GRID)
    ax.set_axisbelow(True)


def _names(table: pd.DataFrame) -> list[str]:
    """Return the names of the sets with their numbers of genes."""
    sets = table.drop_duplicates("set")
    return [f"{name} ({size})" for name, size in zip(sets["set"], sets["n_genes"], strict=True)]


def _draw(ax: Axes, table: pd.DataFrame, measure: str) -> None:
    """Draw one line per order of the genes."""
    for order, (colour, label) in COLOURS.items():
        part = table[table["order"] == order]
        if part.empty:
            continue
        error = _error(part, measure)
        ax.errorbar(part["n_genes"], part[measure], yerr=error, color=colour, label=label, **STYLE)
    ax.set_xscale("log")
    ax.set_xticks(apart(table["n_genes"].to_numpy(), 3.4))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _error(table: pd.DataFrame, measure: str) -> pd.Series | None:
    """Return the standard deviation over the repeats, where there were several."""
    return table[f"{measure}_sd"] if table[f"{measure}_sd"].notna().all() else None
