"""Draw how well classifiers do on cells that they have not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cellclf import get
from cellclf.pl import _by_fold
from cellclf.pl._display import GREY
from cellclf.pl._given import check_measure, table_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from cellclf.tl import CrossValidation

WORDS = {"random": "random folds", "grouped": "groups apart", "batch": "batches apart", "shuffled": "labels shuffled"}


def cross_validation(
    adata: AnnData | CrossValidation,
    *,
    measure: Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss"] = "macro_f1",
    key: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw network, linear network and class frequencies on each fold.

    Each point is a fold, each line the mean of the folds; the ways in which the cells were dealt stand below each other, so
    that leakage is the distance between random folds and groups apart.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.cross_validate` ran, or the :class:`cellclf.tl.CrossValidation` itself.
    measure
        ``"accuracy"``, ``"balanced_accuracy"``, ``"macro_f1"`` or ``"log_loss"``.
    key
        The `key_added` of :func:`cellclf.tl.cross_validate`; `None`: ``"cellclf_cv"``. Not with a result.
    ax
        Axes to draw on; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There is no such cross-validation in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `measure` is not known, or `key` is given with a result.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5)}
    >>> found = cc.tl.cross_validate(adata, n_folds=3, **quick)
    >>> ax = cc.pl.cross_validation(found)
    """
    check_measure(measure, _by_fold.LABELS)
    folds = table_of(
        adata,
        key,
        result="result",
        attribute="folds",
        default="cross_validate",
        fetch=lambda _: get.cross_validation(adata, table="folds", key=key or "cellclf_cv"),
    )
    names = folds["model"] + ", " + folds["scheme"].map(WORDS)
    rows = list(dict.fromkeys(names))
    ax = _by_fold.draw(ax, folds, measure, names=names, rows=rows)
    schemes = folds.groupby(names, sort=False)["scheme"].first()
    for place in np.flatnonzero(schemes.to_numpy()[1:] != schemes.to_numpy()[:-1]):
        ax.axhline(place + 0.5, color=GREY, linewidth=0.8)  # between the ways in which cells were dealt
    return ax
