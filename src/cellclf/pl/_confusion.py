"""Draw which classes are taken for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from anndata import AnnData
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from cellclf import get
from cellclf.get._confusion import check_normalize, shares
from cellclf.pl import _display

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

    from cellclf.tl import Evaluation

WITH_COUNTS = 15  # up to so many classes, cells are wide enough for a number


def confusion(
    adata: AnnData | Evaluation,
    *,
    key: str | None = None,
    normalize: Literal["true"] | None = "true",
    rows: Literal["truth", "predicted"] = "truth",
    order: Literal["given", "clustered"] = "given",
    ax: Axes | None = None,
) -> Axes:
    """Draw which classes are taken for which.

    True classes are in rows, with their number of cells, predicted classes in columns, unless asked for the other way
    round. Up to 15 classes, each field shows its number of cells; up to 200 classes are named.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran, or the :class:`cellclf.tl.Evaluation` itself.
    key
        Where the evaluation lies in `adata.uns`; `None`: ``"cellclf_evaluation"``. Not with an evaluation.
    normalize
        Colour by the share of the cells of the true class (``"true"``), or by the number of cells (`None`).
    rows
        What stands in rows: the true classes, or those that were predicted.
    order
        ``"given"``, the classes as the classifier has them, or ``"clustered"``: classes that are taken for each other stand side
        by side, by average linkage of the shares that they have in each other.
    ax
        Axes to draw on; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There is no such evaluation in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `normalize`, `rows` or `order` is none of the values above, or `key` is given with an evaluation.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> evaluation = cc.tl.evaluate(adata, n_bootstrap=0)
    >>> ax = cc.pl.confusion(evaluation)
    """
    check_normalize(normalize)
    _display.check_choice("rows", rows, ("truth", "predicted"))
    _display.check_choice("order", order, ("given", "clustered"))
    counts = _counts(adata, key)
    counts = counts if order == "given" else _clustered(counts)
    n = len(counts)
    size = _display.text_size(n)
    names = _display.wrapped(counts.columns)
    sized = [f"{name} ({cells:,})" for name, cells in zip(names, counts.sum(axis=1), strict=True)]
    down, across = (sized, names) if rows == "truth" else (names, sized)
    field = 0.42 if n <= WITH_COUNTS else 0.2
    side = max(_display.extent(down, size, field), _display.extent(across, size, field), 2.2)
    width, height = side + _display.inches(down, size) + 1.7, side + _display.inches(across, size) + 0.9
    ax = _display.own_axes(ax, width=width, height=height)
    values, label = (counts, "Number of cells") if normalize is None else (shares(counts), "Share of the true class")
    top = 1.0 if normalize == "true" else max(counts.to_numpy().max(), 1)
    values, shown = (values, counts) if rows == "truth" else (values.T, counts.T)
    mesh = _display.heat_map(ax, values.to_numpy(dtype=np.float64), label=label, cmap="Blues", vmin=0, vmax=top)
    ax.set_aspect("equal")
    _display.name_columns(ax, across)
    _display.name_rows(ax, down, size)
    titles = "Predicted class", "True class (number of cells)"
    if n > _display.WITH_NAMES:
        titles = f"Predicted class ({n:,} classes)", f"True class ({n:,} classes)"
    ax.set(xlabel=titles[rows == "predicted"], ylabel=titles[rows == "truth"])
    if n <= WITH_COUNTS:
        _write_counts(ax, mesh, shown.to_numpy())
    return ax


def _clustered(counts: pd.DataFrame) -> pd.DataFrame:
    """Put classes that are taken for each other side by side."""
    if len(counts) < 3:
        return counts
    mixed = shares(counts).fillna(0).to_numpy()
    distance = 1 - (mixed + mixed.T) / 2
    np.fill_diagonal(distance, 0)
    pairs = squareform(distance, checks=False)
    order = leaves_list(linkage(pairs, method="average", optimal_ordering=True))
    return counts.iloc[order, order]


def _counts(adata: AnnData | Evaluation, key: str | None) -> pd.DataFrame:
    """Return the confusion table of what was given."""
    if isinstance(adata, AnnData):
        return get.confusion(adata, key=key or "cellclf_evaluation")
    if not hasattr(adata, "confusion"):
        msg = f"adata is a {type(adata).__name__}. Give an AnnData or an Evaluation."
        raise TypeError(msg)
    if key is not None:
        msg = f"key={key!r} names a place in an AnnData, but an evaluation is given. Leave key out."
        raise ValueError(msg)
    return adata.confusion


def _write_counts(ax: Axes, mesh: QuadMesh, counts: np.ndarray) -> None:
    """Write the number of cells into each field that has any, white on dark and black on light."""
    mesh.update_scalarmappable()
    colours = np.asarray(mesh.get_facecolor()).reshape(*counts.shape, 4)
    light = colours[..., :3] @ [0.299, 0.587, 0.114] > 0.55
    for row, column in np.argwhere(counts > 0):
        colour = "black" if light[row, column] else "white"
        size = 8 if counts.max() < 10_000 else 6
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=size)
