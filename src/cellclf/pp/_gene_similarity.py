"""Compare genes with one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from cellclf import _slots, stats
from cellclf.pp._spread import naming_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


def gene_similarity(
    adata: AnnData,
    *,
    metric: Literal["correlation", "jaccard", "jsd", "mi"] = "correlation",
    genes: Sequence[str] | str | None = None,
    n_neighbors: int | None = None,
    n_bins: int | None = None,
    layer: str | None = None,
    split: str | None = None,
    device: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Compare all pairs of genes by how they are expressed over the cells.

    With :math:`x_g` the values of gene :math:`g`, :math:`p_g = x_g / \sum x_g` and :math:`H` the entropy in nats,

    .. math::

        \mathrm{jaccard}(g, h) = \frac{|\{x_g > 0\} \cap \{x_h > 0\}|}{|\{x_g > 0\} \cup \{x_h > 0\}|}, \qquad
        \mathrm{jsd}(g, h) = H\big(\tfrac12 (p_g + p_h)\big) - \tfrac12 H(p_g) - \tfrac12 H(p_h)

    ``"correlation"`` is Pearson's, ``"mi"`` the mutual information of the genes cut into few bins. JSD
    :cite:p:`Lin1991` is a divergence: 0 for genes with the same profile, log 2 for genes that are never found together. No
    label is used.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. The matrix (n_obs × n_vars) may be a NumPy array, a SciPy CSR or CSC matrix, backed,
        or a dask array of these; it is read once. Of a matrix that is not in memory, the values that are not zero go to
        temporary files (18 to 28 bytes for each, by metric), and the memory used does not depend on the number of cells.
    metric
        ``"correlation"``, ``"jaccard"``, ``"jsd"`` or ``"mi"``.
    genes
        Genes to compare: a list of names, or the name of a boolean column of `adata.var`, such as ``"selected"``. `None`:
        all.
    n_neighbors
        Keep, instead of all pairs, this many most similar genes of each gene (smallest divergence, else largest value;
        equals in the order of the genes): 20 000 genes then take some megabytes instead of 1.6 gigabytes. A pair is kept if
        one of the two is among the nearest of the other, so the matrix stays symmetric.
    n_bins
        Largest number of bins of a gene, 2 to 16; only with ``metric="mi"``. Counts are cut at 1, 2, 3, …, other values at
        quantiles, with zero in a bin of its own. `None`: 4.
    layer
        Layer to use instead of X. Values are compared as they stand.
    split
        Column of `adata.obs` with train / valid / test: only the training cells count, as they must where genes are then
        chosen for a classifier. `None`: all cells count.
    device
        Torch device to compute on, such as ``"cuda"``. `None`: compiled code on the processor.
    key_added
        Name of the written field and record. `None`: the metric.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields, here for the default metric:

    `adata.varp['correlation']` : :class:`numpy.ndarray` (n_vars × n_vars, float32)
        The comparison, symmetric to the bit; NaN where it is undefined (a constant gene has no correlation, a gene without
        values no distribution) and outside of `genes`. With `n_neighbors`, a :class:`scipy.sparse.csr_matrix` without
        diagonal; a stored 0 is a value, a place that is not stored was not among the nearest.
    `adata.uns['gene_similarity_correlation']` : dict
        Record of the call, with `metric`, `name` (of the field in `varp`) and the numbers of cells and genes that counted,
        `n_cells` and `n_genes`. With `key_added="x"` it is `uns["x"]`.

    Raises
    ------
    KeyError
        `layer`, `split` or one of `genes` is not in `adata`.
    ValueError
        Unknown metric; fewer than two genes; a gene named that occurs more than once; numbers out of range or options
        without meaning; values that are NaN or infinite or, with ``metric="jsd"``, negative.
    OSError
        Too little room in the temporary folder of the system for a matrix that is not in memory.

    Examples
    --------
    >>> import cellclf as cc
    >>> import scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.gene_similarity(adata, metric="jsd", n_neighbors=5)
    >>> cc.get.gene_similarity(adata, key="jsd", gene="CD79A", n_pairs=2)["other"].tolist()
    ['MS4A1', 'IGJ']
    """
    columns = _columns(adata, genes)
    x = _slots.matrix(adata, layer=layer)
    masks = _slots.split_rows(adata, split)
    rows = np.ones(adata.n_obs, bool) if masks is None else masks["train"]
    options: dict[str, Any] = {"metric": metric, "n_neighbors": n_neighbors, "n_bins": n_bins}
    with naming_genes(adata):
        found = stats.similarity(x, rows, columns, device=device, **options)
    found = _among_all(found, columns, adata.n_vars)
    named = genes if genes is None or isinstance(genes, str) else list(genes)
    call = options | {"genes": named, "layer": layer, "split": split, "device": device}
    sizes: dict[str, Any] = {"n_cells": int(rows.sum()), "n_genes": int(columns.size)}
    record = _slots.record("pp.gene_similarity", call, metric=metric, name=key_added or metric, **sizes)
    adata = adata.copy() if copy else adata
    slots = {"varp": {key_added or metric: found}, "uns": {key_added or f"gene_similarity_{metric}": record}}
    _slots.write(adata, slots)
    return adata if copy else None


def _columns(adata: AnnData, genes: Sequence[str] | str | None) -> NDArray[np.int64]:
    """Find the columns to compare, in the order of the matrix."""
    if genes is None:
        return np.arange(adata.n_vars)
    if isinstance(genes, str):
        chosen = _slots.member(adata.var, genes, "genes", "adata.var")
        if not pd.api.types.is_bool_dtype(chosen) or chosen.isna().any():
            msg = f"genes={genes!r} holds {chosen.dtype}, not true or false. Name a boolean column or give gene names."
            raise ValueError(msg)
        return np.flatnonzero(chosen.to_numpy(dtype=bool))
    names = adata.var_names.astype(str)
    wanted = pd.Index(dict.fromkeys(str(name) for name in genes))
    if len(absent := wanted.difference(names, sort=False)):
        msg = f"{len(absent)} genes of `genes` are not in adata.var_names: {_slots.listing(absent, 5)}."
        raise KeyError(msg)
    columns = np.flatnonzero(names.isin(wanted))
    if columns.size > len(wanted):
        repeated = names[columns][names[columns].duplicated()].unique()
        msg = f"{_slots.listing(repeated, 5)} occur more than once. Call `adata.var_names_make_unique()` first."
        raise ValueError(msg)
    return columns


def _among_all(found: Any, columns: NDArray[np.int64], n_vars: int) -> Any:
    """Put the compared genes at their places among all genes."""
    if columns.size == n_vars:
        return found
    if sparse.issparse(found):
        pairs = found.tocoo()
        return sparse.csr_matrix((pairs.data, (columns[pairs.row], columns[pairs.col])), shape=(n_vars, n_vars))
    out = np.full((n_vars, n_vars), np.nan, np.float32)
    out[np.ix_(columns, columns)] = found
    return out
