"""How far confidence can be believed, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellclf.get import _recorded, _tables

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COLUMNS = {"n_rows": int, "confidence": float, "accuracy": float, "low": float, "high": float}


def reliability(adata: AnnData, *, key: str = "cellclf_evaluation") -> pd.DataFrame:
    """Return how often the network was right, by how sure it was.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran.
    key
        Where it wrote: its `key_added` and ``"_evaluation"``.

    Returns
    -------
    One row per bin of equally many cells, from the least sure to the surest, with the columns `n_rows`, the mean `confidence`,
    the `accuracy`, and the ends of its 95 % interval :cite:p:`Clopper1934`, `low` and `high`. Cells of the same confidence stay
    together.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no evaluation.

    See Also
    --------
    cellclf.pl.reliability : the picture.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> evaluation = cc.tl.evaluate(adata, n_bootstrap=0)
    >>> bins = cc.get.reliability(adata)
    >>> too_sure = bins.query("confidence > high")
    >>> int(bins["n_rows"].sum())
    69
    """
    return _recorded.recorded(adata, key, "tl.evaluate", "reliability", COLUMNS)


def confidences(adata: AnnData, key: str) -> np.ndarray:
    """Return the number of cells by confidence, in equally wide bins from 0 to 1."""
    return np.asarray(_tables.evaluation(adata, key)["confidences"], dtype=np.int64)


def calibration(adata: AnnData, key: str) -> pd.DataFrame:
    """Return log loss and calibration error before and after calibration."""
    columns = {"temperature": str, "log_loss": float, "calibration_error": float}
    return _recorded.recorded(adata, key, "tl.evaluate", "calibration", columns).set_index("temperature")
