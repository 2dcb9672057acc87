"""Genes by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf._slots._messages import listing, member

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

_ENSEMBL = re.compile(r"^(ENS[A-Z]*\d+)\.\d+$")


def unique_genes(adata: AnnData, names: Iterable[Any] | None = None) -> np.ndarray:
    """Return the gene names as strings, refusing duplicates."""
    genes = pd.Index([str(name) for name in (adata.var_names if names is None else names)])
    if not genes.is_unique:
        repeated = genes[genes.duplicated()].unique()
        msg = (
            f"{len(repeated)} gene names occur more than once ({listing(repeated, 3)}). "
            "Call `adata.var_names_make_unique()` first."
        )
        raise ValueError(msg)
    return genes.to_numpy(dtype=object)


def match_genes(adata: AnnData, genes: np.ndarray, *, gene_symbols: str | None = None) -> tuple[np.ndarray, bool]:
    """Find each of `genes` among those of `adata`, by name in any order.

    Returns the column of each gene (-1 = absent) and whether Ensembl version suffixes had to be ignored.
    """
    names = adata.var_names if gene_symbols is None else member(adata.var, gene_symbols, "gene_symbols", "adata.var")
    have, want = pd.Index([str(name) for name in names]), pd.Index(genes)
    repeated = have[have.duplicated(keep=False)]
    if len(repeated) and (gene_symbols is None or len(repeated.intersection(want))):
        unique_genes(adata, have)  # raises: in a column of symbols only the model's own genes must be unique
    found = _columns_of(want, have)
    if (found < 0).any():
        bare_have, bare_want = pd.Index(_without_version(have)), pd.Index(_without_version(want))
        if bare_want.is_unique and not bare_have[bare_have.duplicated()].isin(bare_want).any():
            bare = _columns_of(bare_want, bare_have)
            return bare, bool((bare != found).any())
    return found, False


def _columns_of(want: pd.Index, have: pd.Index) -> np.ndarray:
    """Return the position in `have` of each name, -1 where it is absent; repeated names of `have` are passed over."""
    columns = np.flatnonzero(~have.duplicated(keep=False))
    position = have[columns].get_indexer(want)
    return np.where(position >= 0, columns[position] if len(columns) else -1, -1)


def _without_version(names: Iterable[str]) -> list[str]:
    """Strip the version of Ensembl identifiers."""
    return [_ENSEMBL.sub(r"\1", str(name)) for name in names]
