"""Draw the weights of a small network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from cellclf.pl import _display
from cellclf.pl._given import check_n_genes, given_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from cellclf._classifier import Classifier

MOST_UNITS = 200


def weights(
    adata: Classifier, *, n_genes: int = 30, ax: Sequence[Axes] | np.ndarray | None = None
) -> Axes | np.ndarray:
    """Draw the weights into and out of the hidden layer of a small network, as coloured cells.

    Above: from the genes (rows, those with the longest weight vectors first) to the hidden units (columns), for genes as
    they were scaled. Below: from the hidden units to the classes. Hidden units are in the order of the class that they
    speak for most. A linear network has one panel, from genes to classes. To compare with the weights before training,
    draw a classifier trained with `Fit(epochs=1, learning_rate=1e-12)`.

    Parameters
    ----------
    adata
        A :class:`cellclf.Classifier` whose network is linear, or an MLP with one hidden layer of up to 200 units, and has
        no `members`.
    n_genes
        How many genes to draw.
    ax
        Two axes to draw on, one for a linear network; `None` for a new figure.

    Returns
    -------
    The two :class:`matplotlib.axes.Axes` as an array, or the one of a linear network.

    Raises
    ------
    TypeError
        `adata` is no classifier, or its network is none of these.
    ValueError
        `n_genes` is not a whole number of 1 or more, or `ax` does not hold as many axes as there are panels.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.MLP(hidden=(30,), skip=False), fit=cc.Fit(epochs=5))
    >>> axes = cc.pl.weights(clf)
    """
    check_n_genes(n_genes)
    into, out = _weights(adata)
    first = np.argsort(-np.linalg.norm(into, axis=1), kind="stable")[:n_genes]
    genes = _display.wrapped(adata.genes[first])
    classes = _display.wrapped(adata.classes)
    if out is None:
        axes = _axes(ax, 1, genes, classes, into.shape[1])
        _draw(axes[0], into[first], genes, "Weight")
        _display.name_columns(axes[0], classes)
        return axes[0]
    order = np.lexsort((-out.max(axis=0), out.argmax(axis=0)))
    axes = _axes(ax, 2, genes, classes, into.shape[1])
    _draw(axes[0], into[first][:, order], genes, "Weight from gene to hidden unit")
    _draw(axes[1], out[:, order], classes, "Weight to class")
    axes[0].set_xticks([])
    axes[1].set_xticks([])
    axes[1].set_xlabel(f"{len(order)} hidden units")
    return axes


def _weights(classifier: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the weights from genes to hidden units (n_genes, n_units) and from there to the classes (n_classes, n_units).

    For a linear network the first are those from genes to classes, and there are no others.
    """
    if not hasattr(classifier, "network") or not hasattr(classifier, "preprocessing"):
        msg = f"adata is a {type(classifier).__name__}. Give a Classifier, as cc.tl.train returns it."
        raise TypeError(msg)
    network, members = classifier.network, classifier.options.members
    first: Any = getattr(network, "first_linear", None)
    linears: Any = getattr(network, "linears", None)
    linear = first is not None and first.out_features == len(classifier.classes) and linears is None
    shallow = linears is not None and len(linears) == 1 and network.width <= MOST_UNITS
    if members != 1 or not (linear or shallow):
        msg = (
            f"The weights of {classifier.description} × {members} are no small picture. Draw a linear network, or an MLP "
            f"with one hidden layer of up to {MOST_UNITS} units, without members; for others see cc.tl.importance."
        )
        raise TypeError(msg)
    weight = first.weight.detach().cpu().numpy() * classifier.preprocessing.weight
    if linear:
        return weight.T, None
    return weight[: network.width].T, linears[0].weight.detach().cpu().numpy()[0]


def _axes(
    ax: Sequence[Axes] | np.ndarray | None, n: int, genes: list[str], classes: list[str], n_columns: int
) -> np.ndarray:
    """Return the axes given, or those of a new figure whose panels have rows of one height."""
    if ax is not None:
        return given_axes(ax, n)
    rows = [(names, _display.row_size(len(names))) for names in (genes, classes)[:n]]
    heights = [max(_display.extent(names, size, 0.2), 1.4) for names, size in rows]
    below = _display.text_size(len(classes))  # of the names of the columns of a linear network
    across = _display.extent(classes, below, 0.16) if n == 1 else 0.13 * n_columns
    width = max(_display.inches(names, size) for names, size in rows) + max(across, 2.0) + 1.6
    size = (
        width if n == 1 else min(width, 14),
        sum(heights) + 1.0 + (_display.inches(classes, below) if n == 1 else 0),
    )
    axes = plt.subplots(n, 1, figsize=size, height_ratios=heights, layout="constrained", squeeze=False)[1]
    return axes.ravel()


def _draw(ax: Axes, values: np.ndarray, names: list[str], label: str) -> None:
    """Draw weights as coloured cells, white at zero."""
    largest = np.abs(values).max() or 1.0
    _display.heat_map(ax, values, label=label, cmap="RdBu_r", vmin=-largest, vmax=largest)
    _display.name_rows(ax, names, _display.row_size(len(names)))
