"""The stability of importances as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from cellclf.get import _tables
from cellclf.get._recorded import recorded

if TYPE_CHECKING:
    from anndata import AnnData

OVERLAP: dict[str, type] = {"one": int, "other": int, "jaccard": float, "kuncheva": float, "spearman": float}


def stability(
    adata: AnnData,
    *,
    table: Literal["genes", "overlap"] = "genes",
    n_genes: int | None = None,
    key: str = "stability",
) -> pd.DataFrame:
    """Return what :func:`cellclf.tl.stability` wrote.

    Parameters
    ----------
    adata
        Annotated data on which trainings were compared.
    table
        ``"genes"``, or ``"overlap"`` of each pair of trainings, as in :class:`cellclf.tl.Stability`.
    n_genes
        How many genes to return; `None` for all that the classifier reads. Not with the overlap.
    key
        The `key_added` of :func:`cellclf.tl.stability`.

    Returns
    -------
    One row per gene, the most often chosen first (index `gene`), with the columns `frequency`, `mean`, `sd` and `rank`;
    or one row per pair of trainings.

    Raises
    ------
    KeyError
        There are no such trainings in `adata`.
    ValueError
        There is no such table, or `n_genes` is not a whole number of 1 or more, or given with the overlap.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> found = cc.tl.stability(adata, n_trainings=3, method="weights")
    >>> list(cc.get.stability(adata, n_genes=5).columns)
    ['frequency', 'mean', 'sd', 'rank']
    """
    if table not in {"genes", "overlap"}:
        msg = f"table={table!r} is not known. Choose 'genes' or 'overlap'."
        raise ValueError(msg)
    if table == "overlap":
        if n_genes is not None:
            msg = f"n_genes={n_genes!r} has no meaning for the overlap of trainings. Leave it out."
            raise ValueError(msg)
        return recorded(adata, key, "tl.stability", "overlap", OVERLAP)
    fields = {"frequency": key, "mean": f"{key}_mean", "sd": f"{key}_sd", "rank": f"{key}_rank"}
    columns = {
        name: np.asarray(_tables.column(adata.var, written, where="adata.var", verb="tl.stability"), dtype=np.float64)
        for name, written in fields.items()
    }
    genes = pd.DataFrame(columns, index=_tables.names(adata.var_names, "gene")).dropna(subset="rank")
    order = np.lexsort((genes["rank"], -genes["frequency"]))
    genes = genes.iloc[order]
    genes["_order"] = -np.arange(len(genes), dtype=np.float64)
    return _tables.first(genes, "_order", n_genes).drop(columns="_order")
