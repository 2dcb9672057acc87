"""What became of cells of classes that a classifier never saw, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellclf.get import _recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COLUMNS = {
    "class": str,
    "n_rows": int,
    "called": str,
    "confidence": float,
    "unknown_score": float,
    "auroc": float,
    "auroc_confidence": float,
}


def unseen(adata: AnnData, *, key: str = "cellclf_evaluation") -> pd.DataFrame:
    """Return what became of cells whose class was not among those trained on.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran.
    key
        Where it wrote: its `key_added` and ``"_evaluation"``.

    Returns
    -------
    One row per such class with the columns `class`, `n_rows`, `called` (the class that most of them were given), mean
    `confidence`, mean `unknown_score`, and the area under the ROC curve by which the unknown score (`auroc`) and one minus the
    confidence (`auroc_confidence`) tell its cells from those judged.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no evaluation.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> known = adata[adata.obs["bulk_labels"] != "Dendritic"].copy()
    >>> clf = cc.tl.train(known, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> evaluation = cc.tl.evaluate(adata, clf, n_bootstrap=0)  # doctest: +SKIP
    >>> cc.get.unseen(adata)["class"].tolist()  # doctest: +SKIP
    ['Dendritic']
    """
    return _recorded.recorded(adata, key, "tl.evaluate", "unseen", COLUMNS)
