"""The confusion matrix of an evaluation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cellclf.get import _tables

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def confusion(
    adata: AnnData, *, key: str = "cellclf_evaluation", normalize: Literal["true"] | None = None
) -> pd.DataFrame:
    """Return how many cells of each class were given each class.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran.
    key
        Where it wrote: its `key_added` and ``"_evaluation"``.
    normalize
        `None` for numbers of cells; ``"true"`` for shares of the cells of each true class, so that rows sum to 1.

    Returns
    -------
    True classes in rows (index `truth`), predicted classes in columns (`predicted`). With `normalize="true"`, the row of
    a class without cells is NaN.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no evaluation.
    ValueError
        `normalize` is neither `None` nor ``"true"``.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> evaluation = cc.tl.evaluate(adata, n_bootstrap=0)
    >>> cc.get.confusion(adata, normalize="true").shape
    (10, 10)
    """
    check_normalize(normalize)
    counts = _tables.confusion(_tables.evaluation(adata, key))
    return counts if normalize is None else shares(counts)


def check_normalize(normalize: str | None) -> None:
    """Refuse a normalisation that does not exist."""
    if normalize not in (None, "true"):
        msg = f"normalize={normalize!r} is unknown. Give None for numbers of cells, or 'true' for shares of each true class."
        raise ValueError(msg)


def shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Divide each row by its sum; a row without cells becomes NaN."""
    sizes = counts.sum(axis=1).astype(np.float64)
    return counts.div(sizes.where(sizes > 0), axis=0)
