"""The values of a few genes as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.get import _tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

BLOCK = 4096  # rows read at a time


def genes(
    adata: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    label: str | None = None,
    n_genes: int = 6,
    layer: str | None = None,
    key: str = "selected",
) -> pd.DataFrame:
    """Return the values of a few genes in every cell that has a class.

    Parameters
    ----------
    adata
        Annotated data, cells in rows.
    genes
        Names of genes. `None`: the first `n_genes` of a selection.
    label
        Column of `adata.obs` with the class of each cell. `None`: the recorded label, else the only column that can be
        one.
    n_genes
        How many genes to take from the selection.
    layer
        Layer to use instead of X.
    key
        The `key_added` of :func:`cellclf.pp.select_genes`, for ``genes=None``.

    Returns
    -------
    One row per gene and cell, gene by gene in the order given (index `cell`), with the columns `gene` and `class`
    (categories) and `value`, as it stands in the matrix.

    Raises
    ------
    KeyError
        A gene, the label, the layer or the selection is not in `adata`.
    ValueError
        No gene is named; a gene name occurs more than once; `n_genes` is not a whole number of 1 or more.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> table = cc.get.genes(adata, ["CST3", "NKG7"], label="bulk_labels")
    >>> table.groupby("gene", observed=True)["value"].max().round(1).to_dict()
    {'CST3': 5.2, 'NKG7': 4.8}
    """
    wanted = _selected(adata, key, n_genes) if genes is None else _columns(adata, genes)
    found = _slots.labels(adata, label)
    x = _slots.matrix(adata, layer=layer)
    rows = np.flatnonzero(found.codes >= 0)
    values = np.concatenate([_dense(x[i : i + BLOCK], wanted) for i in range(0, adata.n_obs, BLOCK)])[rows]
    names = _tables.names(adata.var_names[wanted], "gene").rename(None)
    classes = pd.Index([str(name) for name in found.classes])
    return pd.DataFrame(
        {
            "gene": pd.Categorical.from_codes(np.repeat(np.arange(len(names)), len(rows)), categories=names),
            "class": pd.Categorical.from_codes(np.tile(found.codes[rows], len(names)), categories=classes),
            "value": values.T.ravel(),
        },
        index=_tables.names(np.tile(adata.obs_names[rows], len(names)), "cell"),
    )


def kept_colours(adata: AnnData, label: str | None, classes: Sequence[str]) -> list[str] | None:
    """Return the colours that scanpy keeps for these classes, if it does."""
    return _slots.label_colors(adata, _slots.label_name(adata, label), np.asarray(classes, dtype=object))


def _selected(adata: AnnData, key: str, n_genes: int) -> np.ndarray:
    """Return the positions of the first genes of a selection."""
    rank = _tables.column(adata.var, f"{key}_rank", where="adata.var", verb="pp.select_genes")
    ranks = pd.DataFrame({"rank": -np.asarray(rank, dtype=np.float64), "position": np.arange(adata.n_vars)}).dropna()
    return _tables.first(ranks, "rank", n_genes)["position"].to_numpy()


def _columns(adata: AnnData, genes: str | Sequence[str]) -> np.ndarray:
    """Return the positions of named genes; each must be there once."""
    names = [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
    if not names or len(set(names)) < len(names):
        msg = f"genes={names!r} names no gene, or one twice. Give a list of different gene names."
        raise ValueError(msg)
    index = adata.var_names.astype(str)
    if absent := [name for name in names if name not in index]:
        msg = f"{_slots.listing(absent)} are not in adata.var_names. Check the spelling, or the column that names the genes."
        raise KeyError(msg)
    if doubled := [name for name in names if int((index == name).sum()) > 1]:
        msg = f"{_slots.listing(doubled)} stand more than once in adata.var_names. Run `adata.var_names_make_unique()`."
        raise ValueError(msg)
    return np.array([index.get_loc(name) for name in names], dtype=np.int64)


def _dense(block: Any, columns: np.ndarray) -> np.ndarray:
    """Bring a few columns of some rows into memory as float64."""
    block = block.compute() if hasattr(block, "compute") else block
    taken = block[:, columns]
    return np.asarray(taken.toarray() if hasattr(taken, "toarray") else taken, dtype=np.float64)
