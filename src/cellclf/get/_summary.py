"""The metrics of an evaluation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.get import _tables

if TYPE_CHECKING:
    from anndata import AnnData


def summary(adata: AnnData, *, key: str = "cellclf_evaluation") -> pd.DataFrame:
    """Return how good the classifier was, beside the models that it must beat.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran.
    key
        Where it wrote: its `key_added` and ``"_evaluation"``.

    Returns
    -------
    One row each for the network, the linear network and the class prior (index `model`) with the columns `accuracy`,
    `balanced_accuracy`, `macro_f1`, `median_f1`, `log_loss` (nats), `brier` and `calibration_error`.

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
    >>> table = cc.get.summary(adata)
    >>> bool(table.loc["network", "macro_f1"] > table.loc["prior", "macro_f1"])
    True
    """
    record = _tables.evaluation(adata, key)
    return pd.DataFrame(
        np.asarray(record["summary"], dtype=np.float64),
        index=_tables.names(_slots.strings(record["models"]), "model"),
        columns=_slots.strings(record["metrics"]),
    )
