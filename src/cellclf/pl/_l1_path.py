"""Draw what becomes of a network under stronger and stronger penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cellclf import get
from cellclf.pl._display import BLUE, GREEN, GREY, ORANGE
from cellclf.pl._given import given_axes, legend_above, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from cellclf.tl import L1Path

PENALTIES = {"l1": (BLUE, "absolute (l1)"), "group_l1": (ORANGE, "group lasso (group_l1)")}
N_ACROSS = 3  # histograms side by side


def l1_path(
    adata: AnnData | L1Path, *, key: str | None = None, ax: Sequence[Axes] | np.ndarray | None = None
) -> np.ndarray:
    """Draw the weights under each penalty, and genes left and accuracy against its strength.

    Above, one histogram per training, on a logarithmic scale, with the weights without a penalty as an outline; weights
    beyond the axis are counted at its ends. Below, the genes left in the network, and the accuracy on the validation rows
    (on the test rows, dashed); the horizontal lines are the network and a linear network without a penalty.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.l1_path` ran, or the :class:`cellclf.tl.L1Path` itself.
    key
        The `key_added` of :func:`cellclf.tl.l1_path`; `None`: ``"l1_path"``. Not with a path.
    ax
        One axes for each penalised training and two more; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`, as an array: histograms first, then genes left and accuracy.

    Raises
    ------
    KeyError
        There is no such path in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        The number of axes is not that of the panels, or `key` is given with a path.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> path = cc.tl.l1_path(adata, l1=[100], group_l1=[0.1], fit=cc.Fit(epochs=5))
    >>> axes = cc.pl.l1_path(path)
    """
    trainings, histograms = (_table(adata, key, name) for name in ("trainings", "histograms"))
    penalised = trainings[trainings["penalty"].isin(PENALTIES)]
    axes = _axes(ax, penalised["penalty"].value_counts(sort=False).tolist())
    plain = histograms[histograms["penalty"] == "none"]
    for panel, (penalty, strength) in zip(axes, penalised[["penalty", "strength"]].to_numpy(object), strict=False):
        chosen = (histograms["penalty"] == penalty) & (histograms["strength"] == strength)
        _draw_weights(panel, histograms[chosen], plain, penalty, strength)
    _draw_path(axes[-2], trainings, {"genes_left": "-"})
    _draw_path(axes[-1], trainings, {"valid_accuracy": "-", "test_accuracy": "--"})
    axes[-2].set_ylabel("Genes left")
    axes[-2].set_ylim(bottom=0)
    axes[-1].set_ylabel("Accuracy")
    legend_above(axes[-2], 2)
    lines = [Line2D([], [], color=GREY, linestyle=style) for style in ("-", "--")]
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0, "ncols": 2}
    axes[-1].legend(lines, ["validation rows", "test rows"], frameon=False, fontsize="small", **place)
    return axes


def _table(adata: Any, key: str | None, name: str) -> pd.DataFrame:
    """Return a table of what was given."""

    def fetch(place: str) -> pd.DataFrame:
        return get.l1_path(adata, table=name, key=place)  # type: ignore[arg-type]

    return table_of(adata, key, result="path", attribute=name, default="l1_path", fetch=fetch)


def _axes(ax: Sequence[Axes] | np.ndarray | None, sizes: list[int]) -> np.ndarray:
    """Return the axes given, or those of a new figure: rows of histograms for each penalty, and two wide panels below."""
    n = sum(sizes) + 2
    if ax is not None:
        return given_axes(ax, n)
    rows = [-(-size // N_ACROSS) for size in sizes]
    n_rows = sum(rows)
    figure = plt.figure(figsize=(8.4, 1.6 * n_rows + 3.2), layout="constrained")
    grid = figure.add_gridspec(n_rows + 1, 2 * N_ACROSS, height_ratios=[1.0] * n_rows + [1.7])
    found: list[Axes] = []
    for start, size in zip(np.cumsum([0, *rows]), sizes, strict=False):
        for i in range(size):
            row, column = int(start) + i // N_ACROSS, 2 * (i % N_ACROSS)
            first = found[0] if found else None
            found.append(figure.add_subplot(grid[row, column : column + 2], sharex=first, sharey=first))
            found[-1].tick_params(labelleft=column == 0, labelbottom=i + N_ACROSS >= size)
    found += [figure.add_subplot(grid[n_rows, :N_ACROSS]), figure.add_subplot(grid[n_rows, N_ACROSS:])]
    return np.array(found, dtype=object)


def _draw_weights(ax: Axes, table: pd.DataFrame, plain: pd.DataFrame, penalty: str, strength: float) -> None:
    """Draw one histogram over the outline of that without a penalty."""
    edges = np.append(table["left"], table["right"].iloc[-1])
    ax.stairs(table["count"], edges, fill=True, color=PENALTIES[penalty][0], alpha=0.75)
    ax.stairs(plain["count"], edges, color=GREY, linewidth=1)
    ax.set_yscale("log")
    ax.set_title(f"{penalty} = {strength:g}", fontsize=9, loc="left", pad=3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    place = ax.get_subplotspec()
    if place is None or place.is_first_col():
        ax.set_ylabel("Weights", fontsize=9)


def _draw_path(ax: Axes, trainings: pd.DataFrame, columns: dict[str, str]) -> None:
    """Draw columns against the strength of each penalty, and those without a penalty as lines."""
    first, *_ = columns
    for name, colour, label in (("none", GREY, "no penalty"), ("linear", GREEN, "linear network")):
        for value in trainings.loc[trainings["penalty"] == name, first].dropna():
            ax.axhline(value, color=colour, linewidth=1, linestyle=":", label=label)
    for penalty, (colour, label) in PENALTIES.items():
        part = trainings[trainings["penalty"] == penalty]
        for column, style in columns.items():
            if part[column].notna().any():
                options: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.5, "linestyle": style}
                ax.plot(part["strength"], part[column], color=colour, label=label, **options)
    ax.set_xscale("log")
    ax.set_xlabel("Strength of the penalty")
    ax.spines[["top", "right"]].set_visible(False)
