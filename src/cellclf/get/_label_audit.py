"""Cells whose label is doubtful, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.get import _tables

if TYPE_CHECKING:
    from anndata import AnnData


def label_audit(adata: AnnData, *, key: str = "label") -> pd.DataFrame:
    """Return the cells that :func:`cellclf.tl.audit_labels` flagged, the most doubtful first.

    Parameters
    ----------
    adata
        Annotated data whose labels were audited.
    key
        The `key_added` of :func:`cellclf.tl.audit_labels`.

    Returns
    -------
    One row per flagged cell (index `cell`): `given`, its label; `suggestion`, the most probable class; and `quality`.

    Raises
    ------
    KeyError
        There is no such audit in `adata`.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5)}
    >>> found = cc.tl.cross_validate(adata, n_folds=3, **quick)
    >>> cc.tl.audit_labels(adata)
    >>> list(cc.get.label_audit(adata).columns)
    ['given', 'suggestion', 'quality']
    """
    record = _slots.fetch_record(adata, f"{key}_audit", "tl.audit_labels")
    verb = "tl.audit_labels"
    flagged = np.asarray(_tables.column(adata.obs, f"{key}_issue", where="adata.obs", verb=verb), dtype=bool)
    columns = {
        "given": _slots.member(adata.obs, str(record["label"]), "label", "adata.obs"),
        "suggestion": _tables.column(adata.obs, f"{key}_suggestion", where="adata.obs", verb=verb),
        "quality": _tables.column(adata.obs, f"{key}_quality", where="adata.obs", verb=verb),
    }
    table = pd.DataFrame(
        {name: np.asarray(column)[flagged] for name, column in columns.items()},
        index=_tables.names(adata.obs_names[flagged], "cell"),
    )
    return table.astype({"given": str, "suggestion": str}).sort_values("quality", kind="stable")
