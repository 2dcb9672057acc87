"""Draw how alike genes are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap, is_color_like
from matplotlib.patches import Patch

from cellclf import get
from cellclf.get import _gene_similarity as table
from cellclf.pl import _display

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

LABELS = {
    "correlation": "Pearson correlation",
    "jaccard": "Jaccard index",
    "jsd": "Jensen–Shannon divergence (nats)",
    "mi": "Mutual information (nats)",
}
MOST = 2000  # genes that can be ordered and seen
WITH_NAMES = 150  # up to so many genes, rows are tall enough for a name
WITH_LINES = 60  # and up to so many, fields have borders


def gene_similarity(
    adata: AnnData,
    *,
    key: str = "correlation",
    genes: Sequence[str] | None = None,
    groups: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how alike genes are as a heat map, similar genes side by side.

    Genes are ordered by average linkage. The colours reach as far as the values of pairs, not those of a gene with itself;
    what has no value is grey. Up to 150 genes are named.

    Parameters
    ----------
    adata
        Annotated data with genes compared by :func:`cellclf.pp.gene_similarity`.
    key
        Name of the field in `adata.varp`: the metric, or the `key_added` of :func:`cellclf.pp.gene_similarity`.
    genes
        Genes to draw, at most 2000; `None`: all that have a value with another one.
    groups
        Column of `adata.var` with groups of genes, shown as a strip of colours above the map, those of
        `adata.uns[f"{groups}_colors"]` if it is there.
    ax
        Axes to draw on; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There is no such comparison, gene or column in `adata`.
    ValueError
        Fewer than two genes, or more than 2000.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> cc.pp.split(adata)
    >>> cc.pp.gene_scores(adata)
    >>> cc.pp.select_genes(adata, 20)
    >>> cc.pp.gene_similarity(adata, genes="selected")
    >>> ax = cc.pl.gene_similarity(adata)
    """
    if groups is not None and groups not in adata.var:
        msg = f"groups={groups!r} is not in adata.var. Name one of its columns: {', '.join(map(str, adata.var))}."
        raise KeyError(msg)
    square = _drawn(adata, key, genes)
    metric = table.metric(adata, key)
    square = square.iloc[(order := _order(square.to_numpy(dtype=np.float64), metric)), order]
    names, n = _display.wrapped(square.index), len(square)
    size = 9 if n <= _display.MANY else 7 if n <= WITH_LINES else 5
    width, height = _size(names, size, groups is not None)
    ax = _display.own_axes(ax, width=width, height=height)
    _draw(ax, square.to_numpy(dtype=np.float64), metric)
    ax.set_aspect("equal")
    if n <= WITH_NAMES:
        ax.set_xticks(np.arange(n), labels=names, rotation=90, fontsize=size)
        _display.name_rows(ax, names, size)
        ax.tick_params(length=2)
    else:
        ax.set(xticks=[], yticks=[], xlabel=f"{n:,} genes", ylim=(n - 0.5, -0.5))
    if groups is not None:
        _strip(ax, adata, groups, square.index)
    return ax


def _drawn(adata: AnnData, key: str, genes: Sequence[str] | None) -> pd.DataFrame:
    """Return the square of the genes to draw."""
    if genes is None:
        values = table.values_of(adata, key)
        n_values = np.diff(values.indptr) if hasattr(values, "indptr") else (~np.isnan(values)).sum(axis=1) - 1
        genes = [str(name) for name in adata.var_names[n_values > 0]]
    if not 2 <= len(genes) <= MOST:
        msg = f"{len(genes):,} genes cannot be drawn. Give between 2 and {MOST:,} by `genes=`."
        raise ValueError(msg)
    return get.gene_similarity(adata, key=key, genes=genes, square=True)


def _order(values: NDArray[np.float64], metric: str) -> NDArray[np.int64]:
    """Order genes so that similar ones are neighbours; pairs without a value count as the least similar."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = values if metric == "jsd" else -values
    known = distance[~np.isnan(distance) & ~np.eye(len(values), dtype=bool)]
    lowest, highest = known.min(initial=0), known.max(initial=0)
    distance = np.where(np.isnan(distance), highest, np.maximum(distance, lowest)) - lowest
    np.fill_diagonal(distance, 0)
    return leaves_list(
        linkage(squareform(distance, checks=False), "average", optimal_ordering=len(values) <= MOST // 2)
    )


def _size(names: list[str], size: float, with_groups: bool) -> tuple[float, float]:
    """Choose the size of a figure: fields large enough for names, if names are written."""
    n = len(names)
    if n > WITH_NAMES:
        return 7.4, 6.4 + 0.6 * with_groups
    side = max(2.2, _display.extent(names, size, 1.45 * size / _display.POINTS))
    beside = _display.inches(names, size)
    return side + beside + 1.5, side + beside + 0.4 + 0.6 * with_groups


def _draw(ax: Axes, values: NDArray[np.float64], metric: str) -> None:
    """Colour the fields, and say by what."""
    n = len(values)
    pairs = values[~np.isnan(values) & ~np.eye(n, dtype=bool)]
    low, high = pairs.min(initial=np.inf), pairs.max(initial=-np.inf)
    limits: dict[str, Any] = {"vmin": 0.0, "vmax": max(high, 1e-6), "cmap": "viridis"}
    if metric == "correlation":
        largest = max(abs(low), abs(high), 1e-6)
        limits = {"vmin": -largest, "vmax": largest, "cmap": "RdBu_r"}
    elif metric == "jsd":
        limits = {"vmin": low, "vmax": max(high, low + 1e-6), "cmap": "viridis_r"}
    cmap = plt.get_cmap(limits.pop("cmap")).with_extremes(bad=_display.MISSING)
    lines = {"edgecolors": "#e6e6e6", "linewidth": 0.4} if n <= WITH_LINES else {"rasterized": True}
    edges = np.arange(n + 1) - 0.5
    ax.set_facecolor(_display.MISSING)
    mesh = ax.pcolormesh(edges, edges, np.ma.masked_invalid(values), cmap=cmap, **limits, **lines)
    style: dict[str, Any] = {
        "extend": "min" if metric == "jsd" else "max",
        "extendfrac": 0.02,
        "fraction": 0.05,
        "pad": 0.02,
    }
    bar = ax.figure.colorbar(mesh, ax=ax, label=LABELS[metric], aspect=max(20, 0.6 * min(n, WITH_NAMES)), **style)
    bar.outline.set_visible(False)


def _strip(ax: Axes, adata: AnnData, groups: str, genes: pd.Index) -> None:
    """Show the group of each gene above its column."""
    column = adata.var[groups].astype("category")
    column.index = column.index.astype(str)
    codes = column.loc[genes].cat.codes.to_numpy()
    levels = [str(level) for level in column.cat.categories]
    colours: list[Any] = [str(colour) for colour in adata.uns.get(f"{groups}_colors", [])]
    if len(colours) != len(levels) or not all(map(is_color_like, colours)):
        palette = plt.get_cmap("tab10" if len(levels) <= 10 else "tab20" if len(levels) <= 20 else "turbo")
        places = range(len(levels)) if len(levels) <= 20 else np.linspace(0, 1, len(levels))
        colours = [palette(place) for place in places]
    strip = ax.inset_axes((0, 1.015, 1, 0.03))
    shown = np.ma.masked_less(codes[None, :], 0)
    strip.pcolormesh(
        shown, cmap=ListedColormap(colours).with_extremes(bad=_display.MISSING), vmin=-0.5, vmax=len(levels) - 0.5
    )
    strip.set_axis_off()
    present = [number for number in range(len(levels)) if number in codes]
    names = _display.wrapped(levels[number] for number in present)
    handles = [Patch(color=colours[number], label=name) for number, name in zip(present, names, strict=True)]
    fitting = int(0.7 * ax.figure.get_window_extent().width / ax.figure.dpi / (_display.inches(names, 8) + 0.5))
    ax.legend(
        handles=handles,
        title=groups,
        loc="lower left",
        bbox_to_anchor=(0, 1.06),
        alignment="left",
        ncols=max(1, min(fitting, len(handles))),
        frameon=False,
        fontsize=8,
        title_fontsize=8,
        handlelength=1,
        borderaxespad=0,
    )
