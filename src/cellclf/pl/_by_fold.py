"""Models judged on the same folds, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.pl._display import BLUE, GREY, GRID, ORANGE, gene_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "log_loss": "Log loss (nats)",
}
OWN = ("network", "linear", "prior")


def draw(ax: Axes | None, folds: pd.DataFrame, measure: str, *, names: pd.Series, rows: list[str]) -> Axes:
    """Draw each fold as a point and the mean of the folds as a line, one row for each of the names."""
    ax = gene_axes(ax, rows)
    for place, row in enumerate(rows):
        part = folds[names == row]
        values = part[measure].to_numpy(dtype=np.float64)
        model = part["model"].iloc[0]
        colour = BLUE if model == "network" else GREY if model in OWN else ORANGE
        height = place + np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.array([place])
        style: dict[str, Any] = {"s": 22, "color": colour, "alpha": 0.75, "linewidths": 0, "zorder": 3}
        ax.scatter(values, height, **style)
        if np.isfinite(values).any():
            ax.plot([np.nanmean(values)] * 2, [place - 0.32, place + 0.32], color=colour, linewidth=2, zorder=4)
    ax.grid(axis="y", **GRID)
    ax.set_axisbelow(True)
    ax.set_xlabel(LABELS[measure])
    return ax
