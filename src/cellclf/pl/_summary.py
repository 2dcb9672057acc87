"""Draw a first look: classes, values, spread of the genes, covariates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from cellclf import get
from cellclf.pl import _display
from cellclf.pl._display import BLUE, GREEN, GREY, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.gridspec import SubplotSpec

PARTS = {"train": BLUE, "valid": ORANGE, "test": GREEN}
PALE = "#a8a8a8"
BASES = {float(np.e): "ln", 2.0: "log2", 10.0: "log10"}
ROW, COLUMN = 2.3, 2.9  # inches of a small panel
NAMED = 100  # more classes than this are drawn by size, without names


def summary(
    adata: AnnData,
    *,
    covariates: Sequence[str] | None = None,
    key: str = "summary",
    ax: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw what :func:`cellclf.pp.summary` found.

    The number of cells of each class, stacked by split; the values looked at, zeros left out, with what they seem to be;
    the standard deviations of the genes, with a line at `min_std`; and one panel for each covariate. More than 100 classes
    are drawn from the largest to the smallest, without their names, which :func:`cellclf.get.overview` gives.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.pp.summary` ran.
    covariates
        Which of the covariates to draw. `None`: all.
    key
        The `key_added` of :func:`cellclf.pp.summary`.
    ax
        Axes to draw on, three and one for each covariate; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`, as an array: classes, values, spread, covariates.

    Raises
    ------
    KeyError
        There is no summary in `adata`, or a covariate is not in it.
    ValueError
        `ax` does not hold as many axes as there are panels.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> cc.pp.summary(adata, covariates=["n_counts", "phase"])
    >>> len(cc.pl.summary(adata))
    5
    """
    classes = get.overview(adata, "classes", key=key)
    table = get.overview(adata, "covariates", key=key)
    matrix = get.overview(adata, "matrix", key=key).iloc[0]
    names = _chosen(table, covariates)
    n_panels = 3 + len(names)
    axes = _new_axes(classes, table, names) if ax is None else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n_panels:
        msg = f"ax holds {len(axes)} axes; the summary has {n_panels} panels. Give {n_panels}, or leave ax out."
        raise ValueError(msg)
    _classes(axes[0], classes)
    _values(axes[1], get.overview(adata, "values", key=key), matrix)
    _spread(axes[2], get.overview(adata, "spread", key=key), matrix)
    for panel, name in zip(axes[3:], names, strict=True):
        _covariate(panel, table[table["covariate"] == name], name)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return axes


def _chosen(table: pd.DataFrame, covariates: Sequence[str] | None) -> list[str]:
    """Return the covariates to draw."""
    known = list(dict.fromkeys(table["covariate"]))
    if covariates is None:
        return known
    if isinstance(covariates, str) or (unknown := [name for name in covariates if name not in known]):
        wrong = covariates if isinstance(covariates, str) else unknown
        msg = (
            f"covariates={wrong!r} cannot be drawn. Give a list of some of {known}, or run `cc.pp.summary` for others."
        )
        raise KeyError(msg)
    return list(covariates)


def _new_axes(classes: pd.DataFrame, table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Lay out a figure: classes on the left, as high as they need, small panels on the right."""
    labels = _display.wrapped(classes.index) if len(classes) <= NAMED else []
    size = _display.text_size(len(labels))
    across = 2 if len(names) <= 2 else 3  # small panels side by side
    n_rows = -(-(2 + len(names)) // across)
    class_height = max(_display.extent(labels, size, 0.22 * _display.lines(labels)) + 1.1, ROW if labels else 2 * ROW)
    height = max(class_height, n_rows * ROW)
    left = 2.6 + _display.inches(labels, size)
    categories = table.loc[table["kind"] != "numeric", "value"]
    right = across * (COLUMN + 0.6 * _display.inches(_display.wrapped(categories, 22), 7))
    figure = plt.figure(figsize=(left + right, height), layout="constrained")
    halves = figure.add_gridspec(1, 2, width_ratios=[left, right])
    places = _top(halves[0], 1, 1, class_height, height) + _top(halves[1], n_rows, across, n_rows * ROW, height)
    return np.array([figure.add_subplot(place) for place in places[: 3 + len(names)]], dtype=object)


def _top(place: SubplotSpec, n_rows: int, n_columns: int, needed: float, height: float) -> list[SubplotSpec]:
    """Cut places for panels at the top of another, leaving free what they do not need of its height."""
    spare = height > 1.2 * needed
    ratios = [needed / n_rows] * n_rows + [height - needed] * spare
    grid = place.subgridspec(n_rows + spare, n_columns, height_ratios=ratios)
    return [grid[row, column] for row in range(n_rows) for column in range(n_columns)]


def _classes(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the size of each class, stacked by split, with its number; of very many, the largest first and nameless."""
    named = len(table) <= NAMED
    table = table if named else table.sort_values("cells", ascending=False, kind="stable")
    places, left = np.arange(len(table)), np.zeros(len(table))
    parts = {name: table[name].to_numpy() for name in PARTS if name in table}
    rest = table["cells"].to_numpy() - sum(parts.values(), start=np.zeros(len(table), dtype=np.int64))
    layers = [(name, sizes, PARTS[name]) for name, sizes in parts.items()]
    layers += [("in no part", rest, PALE)] if parts and rest.any() else [] if parts else [("", rest, BLUE)]
    for name, sizes, colour in layers:
        ax.barh(places, sizes, left=left, height=0.75 if named else 1, color=colour, label=name)
        left = left + sizes
    if named:
        size = _display.text_size(len(table))
        style: dict[str, Any] = {
            "textcoords": "offset points",
            "va": "center",
            "fontsize": min(size, 7.5),
            "color": GREY,
        }
        for place, n in zip(places, table["cells"], strict=True):
            ax.annotate(f"{n:,}", (n, place), (3, 0), **style)
        ax.set_yticks(places, labels=_display.wrapped(table.index), fontsize=size)
    else:
        ax.set(yticks=[], ylabel="Classes, the largest first")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(0, 1.18 * max(table["cells"].max(), 1))
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_xlabel("Cells")
    told = f"{len(table)} classes, {table['cells'].sum():,} cells"
    told += "" if named else f"\n{table['cells'].min():,} to {table['cells'].max():,} in a class"
    ax.set_title(told, loc="left", fontsize=9, pad=20 if parts else 6)
    if parts:
        above = {"frameon": False, "fontsize": 7.5, "handlelength": 1, "columnspacing": 1, "borderaxespad": 0}
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(layers), **above)


def _values(ax: Axes, table: pd.DataFrame, matrix: pd.Series) -> None:
    """Draw the values looked at, and say what they seem to be."""
    widths = (table["high"] - table["low"]).to_numpy()
    share = table["values"] / max(table["values"].sum(), 1)
    if len(widths) and widths.max() > 1.5 * widths.min():  # counts that go far: each bin is twice as wide as the last
        places = np.arange(len(table))
        ax.bar(places, share, width=0.9, color=BLUE)
        ends = zip(table["low"] + 0.5, table["high"] - 0.5, strict=True)
        names = [f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}" for low, high in ends]
        ax.set_xticks(places, labels=names, rotation=90, fontsize=7)
    else:
        ax.bar(table["low"], share, width=widths, align="edge", color=BLUE)
    ax.set(xlabel="Value (zeros left out)", ylabel="Share of values")
    ax.set_title(f"{_holds(matrix)}\n{matrix['zero_fraction']:.1%} zeros", loc="left", fontsize=9)


def _holds(matrix: pd.Series) -> str:
    """Say what the matrix seems to hold."""
    holds, total = matrix["holds"], matrix["target_sum"]
    if holds == "log1p":
        log = BASES.get(matrix["log_base"], "log")
        return f"Seem to be {log}(1 + counts normalised" + (
            f"\nto {_number(total)} per row)" if np.isfinite(total) else ")"
        )
    if holds == "fractions" and np.isfinite(total):
        return f"Seem to be shares of {_number(total)} per row"
    words = {
        "other": "Kind of values not recognised",
        "scaled": "Seem to be scaled genes",
        "binary": "Seem to be binary",
    }
    return words.get(holds, f"Seem to be {holds}")


def _number(value: float) -> str:
    """Write a sum, large ones in full."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.6g}"


def _spread(ax: Axes, table: pd.DataFrame, matrix: pd.Series) -> None:
    """Draw the standard deviations of the genes on a logarithmic axis."""
    ax.bar(table["low"], table["genes"], width=table["high"] - table["low"], align="edge", color=BLUE)
    if len(table):
        low, high = table["low"].iloc[0], table["high"].iloc[-1]
        if high > 5 * low:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        if low <= matrix["min_std"] <= high:
            ax.axvline(matrix["min_std"], color=ORANGE, linestyle="--", linewidth=1)
    ax.set(xlabel="Standard deviation", ylabel="Genes")
    told = f"{matrix['low_spread_genes']:,} of {matrix['n_genes']:,} genes below {matrix['min_std']:g},"
    ax.set_title(f"{told}\n{matrix['constant_genes']:,} constant", loc="left", fontsize=9)


def _covariate(ax: Axes, table: pd.DataFrame, name: str) -> None:
    """Draw a histogram of numbers, or bars of categories."""
    title = _display.wrapped([name])[0]
    missing = int(table.loc[table["kind"] == "missing", "cells"].sum())
    numeric = table[table["kind"] == "numeric"]
    if len(numeric):
        ax.bar(numeric["low"], numeric["cells"], width=numeric["high"] - numeric["low"], align="edge", color=GREY)
        ax.set_ylabel("Cells")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        title += f" ({missing:,} missing)" if missing else ""
    else:
        places = np.arange(len(table))
        ax.barh(
            places, table["cells"], height=0.75, color=[GREY if kind == "category" else PALE for kind in table["kind"]]
        )
        ax.set_yticks(places, labels=_display.wrapped(table["value"], 22), fontsize=7.5 if len(table) <= 8 else 6.5)
        ax.set_ylim(len(table) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_xlabel("Cells")
    ax.set_title(title, loc="left", fontsize=9)
