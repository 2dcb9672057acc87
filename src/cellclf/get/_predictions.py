"""The predictions of the cells as a table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf.get import _tables

if TYPE_CHECKING:
    from anndata import AnnData


OPTIONAL = ("spread", "set_size", "pvalue")


def predictions(adata: AnnData, *, key: str = "cellclf") -> pd.DataFrame:
    """Return what :func:`cellclf.tl.predict` wrote of each cell.

    Parameters
    ----------
    adata
        Annotated data with predictions.
    key
        The `key_added` of :func:`cellclf.tl.predict`.

    Returns
    -------
    One row per cell (index `cell`) with the columns `predicted` (category), `confidence`, the probability of that class,
    and `unknown_score`, higher for cells unlike any training cell. Where they were written also `spread`, the standard deviation
    between members, and `set_size` and `pvalue`, the number of classes in the cell's set and how well it fits any.

    Raises
    ------
    KeyError
        There are no such predictions in `adata`.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.predict(adata)
    >>> table = cc.get.predictions(adata)
    >>> unsure = table.query("confidence < 0.5")
    >>> list(table.columns)
    ['predicted', 'confidence', 'unknown_score']
    """
    column = partial(_tables.column, adata.obs, where="adata.obs", verb="tl.predict")
    predicted = pd.Categorical(column(key))
    categories = _tables.names(predicted.categories, "class").rename(None)
    columns = {
        "predicted": pd.Categorical.from_codes(predicted.codes, categories=categories),
        "confidence": np.asarray(column(f"{key}_confidence")),
        "unknown_score": np.asarray(column(f"{key}_unknown_score")),
    }
    columns |= {name: np.asarray(adata.obs[f"{key}_{name}"]) for name in OPTIONAL if f"{key}_{name}" in adata.obs}
    return pd.DataFrame(columns, index=_tables.names(adata.obs_names, "cell"))
