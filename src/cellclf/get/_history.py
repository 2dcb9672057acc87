"""The history of a training as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots

if TYPE_CHECKING:
    from anndata import AnnData

# the order of the columns; a file gives them back in the order of the alphabet
COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "train_macro_f1",
    "valid_loss",
    "valid_accuracy",
    "valid_macro_f1",
    "learning_rate",
    "seconds",
    "cells_per_second",
)


def history(adata: AnnData, *, key: str = "cellclf") -> pd.DataFrame:
    """Return the history that :func:`cellclf.tl.train` recorded.

    Parameters
    ----------
    adata
        Annotated data on which a classifier was trained.
    key
        The `key_added` of :func:`cellclf.tl.train`.

    Returns
    -------
    One row per epoch with the columns `epoch` (from 1), `train_loss` (what was minimised), `train_accuracy` and
    `train_macro_f1` (of the batches as they came, with dropout), `valid_loss` (log loss in nats), `valid_accuracy`,
    `valid_macro_f1`, `learning_rate`, `seconds` and `cells_per_second`. What is measured on validation rows is NaN where
    there were none, and so are accuracy and macro-F1 without classes. `attrs["best_epoch"]` is the epoch whose weights
    were kept.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no training.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> bool(cc.get.history(adata).equals(clf.history))
    True
    """
    record = _slots.fetch_record(adata, key, "tl.train")
    if "history" not in record:
        msg = f"adata.uns[{key!r}] was written by {str(record['function'])!r}. Name the record of `cc.tl.train` by `key=`."
        raise KeyError(msg)
    columns = {str(name): np.asarray(values, dtype=np.float64) for name, values in record["history"].items()}
    known = [name for name in COLUMNS if name in columns]
    table = pd.DataFrame({name: columns[name] for name in [*known, *sorted(columns.keys() - set(known))]})
    table.attrs["best_epoch"] = int(record["best_epoch"])
    return table.astype({"epoch": int})
