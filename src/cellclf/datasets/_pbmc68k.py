"""The blood cells of scanpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import scanpy as sc

if TYPE_CHECKING:
    from anndata import AnnData


def pbmc68k() -> AnnData:
    """Blood cells (PBMC), as scanpy ships them, with log values in X; nothing is downloaded.

    scanpy's own :func:`scanpy.datasets.pbmc68k_reduced` holds scaled values in X, with negatives, and keeps the log values
    in `raw`. Here these are X, and there is no `raw`; the embeddings are the same.

    Returns
    -------
    AnnData of 700 cells × 765 genes: a sample of 68 579 cells, log1p of normalised counts. `obs["bulk_labels"]`: ten cell
    types, found by likeness to sorted cells.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> adata.shape, adata.uns["cellclf_label"]
    ((700, 765), 'bulk_labels')
    """
    adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    adata.uns["cellclf_label"] = "bulk_labels"
    return adata
