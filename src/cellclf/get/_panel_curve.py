"""How well panels of genes do, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots

if TYPE_CHECKING:
    from anndata import AnnData

# the order of the columns; a file gives them back in the order of the alphabet
COLUMNS = (
    "n_genes",
    "full",
    "macro_f1",
    "macro_f1_se",
    "accuracy",
    "accuracy_se",
    "linear_macro_f1",
    "difference",
    "difference_se",
    "within_tolerance",
    "test_macro_f1",
    "test_macro_f1_se",
    "test_accuracy",
)


def panel_curve(adata: AnnData, *, key: str = "panel_curve") -> pd.DataFrame:
    """Return the curve that :func:`cellclf.tl.panel_curve` recorded.

    Parameters
    ----------
    adata
        Annotated data on which panels were trained.
    key
        The `key_added` of :func:`cellclf.tl.panel_curve`.

    Returns
    -------
    One row per panel, the full model last, with the columns of :class:`cellclf.tl.PanelCurve`. `attrs` holds the
    `tolerance`.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no such curve.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> curve = cc.tl.panel_curve(adata, "bulk_labels", n_genes=[20], fit=cc.Fit(epochs=2))
    >>> bool(cc.get.panel_curve(adata).equals(curve.table))
    True
    """
    record = _slots.fetch_record(adata, key, "tl.panel_curve")
    if "table" not in record or "tolerance" not in record:
        msg = (
            f"adata.uns[{key!r}] was written by {str(record['function'])!r}. "
            "Name the record of `cc.tl.panel_curve` by `key=`."
        )
        raise KeyError(msg)
    table = pd.DataFrame({name: np.asarray(record["table"][name]) for name in COLUMNS})
    table.attrs["tolerance"] = float(record["tolerance"])
    return table
