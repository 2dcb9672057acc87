"""Draw how well classifiers do on cells that they have not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellclf import get
from cellclf.pl import _by_fold
from cellclf.pl._given import table_of

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
    >>> found = cc.tl.cross_validate(adata)  # doctest: +SKIP
    >>> cc.pl.cross_validation(found)  # doctest: +SKIP
    """
    _by_fold.check_measure(measure)
    folds = table_of(
        adata,
        key,
        result="result",
        attribute="folds",
        default="cross_validate",
        fetch=lambda _: get.cross_validation(adata, table="folds", key=key or "cellclf_cv"),
    )
    names = folds["model"] + ", " + folds["scheme"].map(WORDS)
    return _by_fold.draw(ax, folds, measure, names=names, rows=list(dict.fromkeys(names)))
