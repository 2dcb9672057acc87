"""The judgement of each class as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.get import _tables

if TYPE_CHECKING:
    from anndata import AnnData


def report(adata: AnnData, *, key: str = "cellclf_evaluation") -> pd.DataFrame:
    """Return how well each class was found.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran.
    key
        Where it wrote: its `key_added` and ``"_evaluation"``.

    Returns
    -------
    One row per class (index `class`) with the columns `precision`, `recall`, `f1` and `support`, the number of cells.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no evaluation.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> evaluation = cc.tl.evaluate(adata, n_bootstrap=0)
    >>> report = cc.get.report(adata)
    >>> worst = report.sort_values("f1").head(3)
    >>> int(report["support"].sum())
    69
    """
    record = _tables.evaluation(adata, key)
    table = pd.DataFrame(
        np.asarray(record["report"], dtype=np.float64),
        index=_tables.names(_slots.strings(record["classes"]), "class"),
        columns=["precision", "recall", "f1", "support"],
    )
    return table.astype({"support": np.int64})
