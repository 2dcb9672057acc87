"""The matrix to work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from cellclf._slots._lazy import load_tables
from cellclf._slots._messages import member, warn

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._types import Matrix


def matrix(adata: AnnData, *, layer: str | None = None, use_rep: str | None = None) -> Matrix:
    """Return X, a layer or an embedding of `obsm`, as it is stored."""
    load_tables(adata)
    if use_rep is not None:
        if layer is not None:
            msg = f"Both layer={layer!r} and use_rep={use_rep!r} are given. Give one of them."
            raise ValueError(msg)
        found = member(adata.obsm, use_rep, "use_rep", "adata.obsm")
        if sparse.issparse(found):
            msg = f"adata.obsm[{use_rep!r}] is sparse. Make it dense: adata.obsm[{use_rep!r}] = adata.obsm[{use_rep!r}].toarray()."
            raise TypeError(msg)
        x = np.asarray(found)
        return x[:, None] if x.ndim == 1 else x
    x = adata.X if layer is None else member(adata.layers, layer, "layer", "adata.layers")
    if x is None:
        msg = "adata.X is empty (None). Fill it, or name the matrix to use with `layer=`."
        raise ValueError(msg)
    if 0 in x.shape:
        msg = f"The matrix is {x.shape[0]} cells × {x.shape[1]} genes: there is nothing to work on. Check the filters."
        raise ValueError(msg)
    return x


def warn_if_scaled(adata: AnnData, layer: str | None) -> None:
    """Say where the unscaled values may lie if X holds negative numbers; `.raw` is never read silently."""
    if layer is not None or adata.raw is None or adata.X is None:
        return
    block = adata.X[:1024]
    block = block.compute() if hasattr(block, "compute") else block
    if block.size and block.min() < 0:
        msg = (
            "adata.X holds negative numbers, so it seems scaled, while adata.raw is present. "
            "To use the values in raw: adata = adata.raw.to_adata()."
        )
        warn(msg)
