"""The scores of the genes as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.get import _tables

if TYPE_CHECKING:
    from anndata import AnnData

SCORES = ("mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd")


def gene_scores(
    adata: AnnData,
    *,
    key: str | None = None,
    by: str = "mi",
    n_genes: int | None = None,
    by_class: bool = False,
) -> pd.DataFrame:
    """Return what :func:`cellclf.pp.gene_scores` wrote, the best gene first.

    Parameters
    ----------
    adata
        Annotated data with gene scores.
    key
        The `key_added` of :func:`cellclf.pp.gene_scores`.
    by
        The score to sort by, from high to low: ``"mi"``, ``"mi_corrected"`` or ``"jsd"``.
    n_genes
        How many genes to return; `None` for all.
    by_class
        Return what each gene tells about each class against the rest instead.

    Returns
    -------
    One row per gene (index `gene`) with the columns `mi`, `mi_corrected`, `mi_pvalue`, `mi_qvalue` and `jsd`; information
    is in nats. With `by_class=True`: one row per gene and class with the columns `gene`, `class` and `mi`.

    Raises
    ------
    KeyError
        There are no such scores in `adata`.
    ValueError
        `by` names no score, or `n_genes` is not a whole number of 1 or more.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.gene_scores(adata, "bulk_labels")
    >>> cc.get.gene_scores(adata, n_genes=3).shape
    (3, 5)
    """
    if by not in (known := ("mi", "mi_corrected", "jsd")):
        msg = f"by={by!r} is no score to sort by. Give {' or '.join(map(repr, known))}."
        raise ValueError(msg)
    prefix = "" if key is None else f"{key}_"
    table = pd.DataFrame(
        {
            name: np.asarray(_tables.column(adata.var, prefix + name, where="adata.var", verb="pp.gene_scores"))
            for name in SCORES
        },
        index=_tables.names(adata.var_names, "gene"),
    )
    table["_row"] = np.arange(len(table))
    table = _tables.first(table, by, n_genes)
    if not by_class:
        return table.drop(columns="_row")
    record = _slots.fetch_record(adata, key or "gene_scores", "pp.gene_scores")
    values = _tables.column(adata.varm, f"{prefix}mi_by_class", where="adata.varm", verb="pp.gene_scores")
    return _tables.by_class(values, table, _slots.strings(record["classes"]), "mi")
