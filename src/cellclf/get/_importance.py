"""The importance of the genes as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.get import _tables

if TYPE_CHECKING:
    from anndata import AnnData


def importance(
    adata: AnnData,
    *,
    key: str = "importance",
    n_genes: int | None = None,
    by_class: bool = False,
) -> pd.DataFrame:
    """Return what :func:`cellclf.tl.importance` wrote, the most important gene first.

    Parameters
    ----------
    adata
        Annotated data with importances.
    key
        The `key_added` of :func:`cellclf.tl.importance`.
    n_genes
        How many genes to return; `None` for all.
    by_class
        Return the importance for the cells of each class instead.

    Returns
    -------
    One row per gene (index `gene`) with the columns `importance` and `importance_se`: the rise of the log loss in nats
    when the gene is shuffled, and its standard error; or what another method gives instead. With a null also
    `importance_qvalue`, and `importance_group` where genes were shuffled in groups.
    With `by_class=True`: one row per gene and class with the columns `gene`, `class` and `importance`.

    Raises
    ------
    KeyError
        There are no such importances in `adata`.
    ValueError
        `n_genes` is not a whole number of 1 or more.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.importance(adata, null=None)
    >>> best = cc.get.importance(adata, n_genes=3)
    >>> list(best.columns)
    ['importance', 'importance_se']
    """
    index = _tables.names(adata.var_names, "gene")
    columns = {"importance": key, "importance_se": f"{key}_se"}
    table = pd.DataFrame(
        {
            name: np.asarray(_tables.column(adata.var, written, where="adata.var", verb="tl.importance"))
            for name, written in columns.items()
        },
        index=index,
    )
    if f"{key}_qvalue" in adata.var:
        table["importance_qvalue"] = np.asarray(adata.var[f"{key}_qvalue"], dtype=np.float64)
    if f"{key}_group" in adata.var:
        table["importance_group"] = adata.var[f"{key}_group"].to_numpy(dtype=object)
    table["_row"] = np.arange(len(table))
    table = _tables.first(table, "importance", n_genes)
    if not by_class:
        return table.drop(columns="_row")
    record = _slots.fetch_record(adata, key, "tl.importance")
    if f"{key}_by_class" not in adata.varm:
        msg = f"adata.varm holds no {key + '_by_class'!r}. Run `cc.tl.importance` with method='permutation', say, to have it."
        raise KeyError(msg)
    return _tables.by_class(adata.varm[f"{key}_by_class"], table, _slots.strings(record["classes"]), "importance")


def facts(adata: AnnData, key: str) -> dict[str, str]:
    """Return how the importance was measured: `method`, and `measure` or `norm` where there is one."""
    record = _slots.fetch_record(adata, key, "tl.importance")
    return {name: str(record[name]) for name in ("method", "measure", "norm") if name in record}
