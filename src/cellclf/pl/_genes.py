"""Draw how a few genes are expressed in each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.mlab import GaussianKDE
from matplotlib.ticker import FuncFormatter, NullLocator

from cellclf import get
from cellclf.get._genes import kept_colours
from cellclf.pl import _display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

MOST_POINTS = 1000  # of one class that are drawn, evenly spaced among its cells
COUNTS_FROM = 30  # whole numbers that reach this are drawn on a logarithmic axis
WIDTH = 0.7  # of a strip or violin, in classes


def genes(
    adata: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    label: str | None = None,
    kind: Literal["strip", "violin"] = "strip",
    n_genes: int = 6,
    layer: str | None = None,
    key: str = "selected",
    ax: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw how a few genes are expressed in each class.

    One panel for each gene. A strip shows the cells themselves (at most 1000 of a class, evenly spaced), a violin their
    density along the axis; a bar in the colour of the text marks the mean. Classes are drawn in the colours scanpy keeps for the label, else two in blue
    and red, more in blue.

    Parameters
    ----------
    adata
        Annotated data, cells in rows.
    genes
        Names of genes. `None`: the first `n_genes` of a selection.
    label
        Column of `adata.obs` with the class of each cell. `None`: the recorded label, else the only column that can be
        one.
    kind
        ``"strip"`` or ``"violin"``.
    n_genes
        How many genes to take from the selection.
    layer
        Layer to use instead of X.
    key
        The `key_added` of :func:`cellclf.pp.select_genes`, for ``genes=None``.
    ax
        Axes to draw on, one for each gene; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`, as an array with one for each gene.

    Raises
    ------
    KeyError
        A gene, the label, the layer or the selection is not in `adata`.
    ValueError
        `kind` is unknown; `ax` does not hold as many axes as there are genes.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> axes = cc.pl.genes(adata, ["CST3", "NKG7"], label="bulk_labels")
    >>> [ax.get_title() for ax in axes]
    ['CST3', 'NKG7']
    """
    if kind not in ("strip", "violin"):
        msg = f"kind={kind!r} cannot be drawn. Give 'strip' or 'violin'."
        raise ValueError(msg)
    table = get.genes(adata, genes, label=label, n_genes=n_genes, layer=layer, key=key)
    names, classes = table["gene"].cat.categories, list(table["class"].cat.categories)
    axes = _panels(ax, len(names), classes)
    colours = kept_colours(adata, label, classes) or _colours(len(classes))
    for panel, (name, part) in zip(axes, table.groupby("gene", observed=True), strict=True):
        values = [part.loc[part["class"] == each, "value"].to_numpy() for each in classes]
        _scale(panel, part["value"].to_numpy())
        (_strips if kind == "strip" else _violins)(panel, values, colours)
        _means(panel, values)
        panel.set_title(_display.wrapped([name])[0], fontsize=10)
        _display.name_columns(panel, _display.wrapped(classes))
        panel.set_xlim(-0.6, len(classes) - 0.4)
        panel.spines[["top", "right"]].set_visible(False)
    return axes


def _panels(ax: Sequence[Axes] | np.ndarray | None, n_panels: int, classes: list[str]) -> np.ndarray:
    """Return one axes for each gene, with the names of the classes under the lowest of each column only."""
    if ax is not None:
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) != n_panels:
            msg = f"`ax` holds {len(axes)} axes, but {n_panels} genes are drawn. Give one for each gene."
            raise ValueError(msg)
        return axes
    names = _display.wrapped(classes)
    size = _display.text_size(len(names))
    width = max(1.8, _display.extent(names, size, 0.28 if len(names) <= _display.MANY else 0.16) + 0.7)
    n_rows = -(-n_panels // max(1, int(12 // width)))
    n_columns = -(-n_panels // n_rows)
    uneven = n_panels % n_columns > 0  # then names stand under two rows
    height = 1.7 * n_rows + _display.inches(names, size) * (1 if _display.upright(names) else 0.8) * (1 + uneven) + 0.3
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=(width * n_columns, height), squeeze=False, layout="constrained"
    )
    for i, panel in enumerate(grid.ravel()):
        if i >= n_panels:
            panel.set_visible(False)
        panel.tick_params(labelbottom=n_panels - n_columns <= i < n_panels)
    figure.supylabel("Expression", fontsize=10)
    return np.array(grid.ravel()[:n_panels])


def _colours(n_classes: int) -> list[str]:
    """Choose a colour for each class where scanpy keeps none."""
    return [_display.BLUE, _display.RED] if n_classes == 2 else [_display.BLUE] * n_classes


def _scale(ax: Axes, values: np.ndarray) -> None:
    """Give counts that reach far a logarithmic axis."""
    counts = values.size > 0 and bool((values >= 0).all() and (values == np.rint(values)).all())
    if counts and values.max() >= COUNTS_FROM:
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(-0.3, 1.5 * values.max())
        ax.set_yticks([0, *10 ** np.arange(int(np.log10(values.max())) + 1)])
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        ax.yaxis.set_minor_locator(NullLocator())


def _strips(ax: Axes, values: list[np.ndarray], colours: list[str]) -> None:
    """Draw the cells as points, spread sideways at random but always the same."""
    spread = np.random.default_rng(0)
    for i, (own, colour) in enumerate(zip(values, colours, strict=True)):
        shown = own[:: max(1, -(-len(own) // MOST_POINTS))]
        places = i + WIDTH * (spread.random(len(shown)) - 0.5)
        size = 9 if len(shown) <= 100 else 4
        ax.scatter(places, shown, s=size, color=colour, alpha=0.5, linewidth=0, rasterized=True)


def _violins(ax: Axes, values: list[np.ndarray], colours: list[str]) -> None:
    """Draw the density of each class; one without spread becomes a line."""
    for i, (own, colour) in enumerate(zip(values, colours, strict=True)):
        if len(own) > 1 and own.min() < own.max():
            drawn: Any = ax.violin([_density(ax, own)], positions=[i], widths=WIDTH + 0.2, showextrema=False)
            for body in drawn["bodies"]:
                body.set(facecolor=colour, edgecolor=colour, alpha=0.7)
        elif len(own):
            ax.hlines(own[0], i - WIDTH / 2, i + WIDTH / 2, color=colour)


def _density(ax: Axes, values: np.ndarray) -> dict[str, Any]:
    """Estimate the density along the axis as it is drawn, which may be logarithmic."""
    scale = ax.yaxis.get_transform()
    drawn = scale.transform(values)
    places = np.linspace(drawn.min(), drawn.max(), 100)
    middle = {"mean": values.mean(), "median": np.median(values), "min": values.min(), "max": values.max()}
    return middle | {"coords": scale.inverted().transform(places), "vals": GaussianKDE(drawn)(places)}


def _means(ax: Axes, values: list[np.ndarray]) -> None:
    """Mark the mean of each class that has cells, in the colour of text: black, or white on dark ground."""
    colour = plt.rcParams["text.color"]
    for i, own in enumerate(values):
        if len(own):
            ax.hlines(own.mean(), i - WIDTH / 2, i + WIDTH / 2, color=colour, linewidth=1.4)
