"""Draw how few genes are enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from matplotlib.ticker import FuncFormatter, NullLocator

from cellclf import get
from cellclf.pl._display import BLUE, GREEN, GREY, ORANGE, apart, own_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cellclf.tl import PanelCurve


def panel_curve(adata: AnnData | PanelCurve, *, key: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw macro-F1 against the number of genes.

    The panels as judged on the validation rows and, if there are any, on the test rows, each with one standard error. The
    horizontal lines are the full model on the same rows; the band is what the tolerance allows on the validation rows,
    which alone choose, and the dashed line marks the smallest panel that reaches it.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.panel_curve` ran, or the :class:`cellclf.tl.PanelCurve` itself.
    key
        The `key_added` of :func:`cellclf.tl.panel_curve`; `None`: ``"panel_curve"``. Not with a curve.
    ax
        Axes to draw on; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There is no such curve in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `key` is given with a curve.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> curve = cc.tl.panel_curve(adata, n_genes=[5, 20], fit=cc.Fit(epochs=5))
    >>> ax = cc.pl.panel_curve(curve)
    """
    table, tolerance = _content(adata, key)
    ax = own_axes(ax, width=5.6, height=3.8)
    full, panels = table[table["full"]].iloc[0], table[~table["full"]]
    ax.axhspan(full["macro_f1"] - tolerance, full["macro_f1"], color=GREY, alpha=0.18, linewidth=0)
    ax.plot([], [], color=GREY, linewidth=1, label=f"full model ({full['n_genes']} genes)")
    for part, (name, colour, shift) in {
        "": ("validation rows", BLUE, 0.98),
        "test_": ("test rows", ORANGE, 1.02),
    }.items():
        if panels[f"{part}macro_f1"].notna().any():
            ax.axhline(full[f"{part}macro_f1"], color=colour, linewidth=1, alpha=0.6)
            ax.errorbar(
                panels["n_genes"] * shift,  # side by side, so that both errors are seen
                panels[f"{part}macro_f1"],
                yerr=panels[f"{part}macro_f1_se"],
                color=colour,
                label=name,
                linewidth=1.4,
                marker="o",
                markersize=4,
                elinewidth=1,
                capsize=2,
            )
    enough = panels[panels["within_tolerance"]]
    if not enough.empty:
        smallest = enough["n_genes"].min()
        ax.axvline(smallest, color=GREEN, linestyle="--", linewidth=1, label=f"{smallest} genes are enough", zorder=1)
    _finish(ax, panels["n_genes"].to_numpy())
    return ax


def _content(adata: AnnData | PanelCurve, key: str | None) -> tuple[pd.DataFrame, float]:
    """Return table and tolerance of what was given."""
    if isinstance(adata, AnnData):
        table = get.panel_curve(adata, key=key or "panel_curve")
        return table, table.attrs["tolerance"]
    if not hasattr(adata, "tolerance") or not hasattr(adata, "table"):
        msg = f"adata is a {type(adata).__name__}. Give an AnnData or a PanelCurve."
        raise TypeError(msg)
    if key is not None:
        msg = f"key={key!r} names a place in an AnnData, but a curve is given. Leave key out."
        raise ValueError(msg)
    return adata.table, adata.tolerance


def _finish(ax: Axes, sizes: np.ndarray) -> None:
    """Write the sizes under a logarithmic axis, leaving out those without room, and keep the legend above the curves."""
    ax.set_xscale("log")
    ax.set_xticks(apart(sizes, 4.4))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(sizes.min() / 1.25, sizes.max() * 1.25)
    ax.set_xlabel("Number of genes")
    ax.set_ylabel("Macro-F1")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
        ncols=2,
        frameon=False,
        fontsize="small",
        handlelength=1.6,
        columnspacing=1.2,
    )
