"""How alike genes are, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from cellclf import _slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

ROWS = 512  # genes whose pairs are looked at together


def gene_similarity(
    adata: AnnData,
    *,
    key: str = "correlation",
    gene: str | None = None,
    genes: Sequence[str] | None = None,
    n_pairs: int | None = None,
    square: bool = False,
) -> pd.DataFrame:
    """Return what :func:`cellclf.pp.gene_similarity` wrote, the most similar pair first.

    Parameters
    ----------
    adata
        Annotated data with compared genes.
    key
        Name of the field in `adata.varp`: the metric, or the `key_added` of :func:`cellclf.pp.gene_similarity`.
    gene
        Return only the pairs of this gene, which then stands in the column `gene`: its nearest genes.
    genes
        Return only pairs among these genes; `None`: all.
    n_pairs
        How many pairs to return; `None` for all, which for many genes are very many.
    square
        Return a square table instead, genes in the order given.

    Returns
    -------
    One row per pair with the columns `gene`, `other` and the value, named by the metric; each pair stands once, pairs
    without a value not at all, and equals are in the order of the genes. With `square=True`: genes × genes, NaN where there
    is no value.

    Raises
    ------
    KeyError
        There is no such comparison, or no such gene, in `adata`.
    ValueError
        `n_pairs` is not a whole number of 1 or more, a gene occurs more than once, or `square` with `gene` or `n_pairs`.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.gene_similarity(adata)
    >>> cc.get.gene_similarity(adata, n_pairs=1)[["gene", "other"]].to_numpy().tolist()
    [['HLA-DRB5', 'HLA-DRB1']]
    >>> cc.get.gene_similarity(adata, genes=["CD3D", "CD3E", "LYZ"], square=True).shape
    (3, 3)
    """
    if n_pairs is not None and (isinstance(n_pairs, bool) or not isinstance(n_pairs, int | np.integer) or n_pairs < 1):
        msg = f"n_pairs={n_pairs!r} is no number of pairs. Give a whole number of 1 or more, or None for all."
        raise ValueError(msg)
    if square and (gene is not None or n_pairs is not None):
        msg = "square=True makes a table of genes × genes, for which `gene` and `n_pairs` have no meaning. Leave them out."
        raise ValueError(msg)
    values, name = values_of(adata, key), metric(adata, key)
    columns = np.arange(adata.n_vars) if genes is None else _places(adata, genes)
    names = pd.Index([str(word) for word in adata.var_names])
    if square:
        index = pd.Index(names[columns], name="gene")
        return pd.DataFrame(_square(values, columns, name), index=index, columns=index.rename("other"))
    if gene is None:
        pairs = _best(_all_pairs(values, np.sort(columns)), n_pairs, name)
    else:
        pairs = _best(_pairs_of(values, int(_places(adata, [gene])[0]), np.sort(columns)), n_pairs, name)
    return pd.DataFrame({"gene": names[pairs.one], "other": names[pairs.other], name: pairs.value})


def metric(adata: AnnData, key: str) -> str:
    """Tell by which metric a field was made."""
    return str(_record(adata, key)["metric"])


def values_of(adata: AnnData, key: str) -> Any:
    """Return the matrix of a field, an array or CSR."""
    if key not in adata.varp:
        msg = (
            f"adata.varp holds no {key!r}, but {_slots.listing(adata.varp)}. "
            f"Run `cc.pp.gene_similarity` first, or name its metric or `key_added` by `key=`."
        )
        raise KeyError(msg)
    values = adata.varp[key]
    return sparse.csr_matrix(values) if sparse.issparse(values) else np.asarray(values)


def _record(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return the record that belongs to a field: of its own name, or of its metric."""
    own = adata.uns.get(key)
    same = hasattr(own, "get") and own.get("function") == "cellclf.pp.gene_similarity"
    return _slots.fetch_record(adata, key if same else f"gene_similarity_{key}", "pp.gene_similarity")


class _Pairs(NamedTuple):
    """Pairs of genes and their values."""

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    value: NDArray[Any]


def _places(adata: AnnData, genes: Sequence[str]) -> NDArray[np.int64]:
    """Find genes by name, in the order given."""
    if isinstance(genes, str):
        msg = f"genes={genes!r} is one string. Give a list of gene names."
        raise ValueError(msg)
    names, wanted = adata.var_names.astype(str), pd.Index(dict.fromkeys(str(name) for name in genes))
    if len(absent := wanted.difference(names, sort=False)):
        msg = f"{_slots.listing(absent, 5)} are not in adata.var_names. Check the names."
        raise KeyError(msg)
    if (repeated := names[names.duplicated()].intersection(wanted)).size:
        msg = f"{_slots.listing(repeated, 5)} occur more than once. Call `adata.var_names_make_unique()` first."
        raise ValueError(msg)
    return names.get_indexer(wanted).astype(np.int64)


def _square(values: Any, columns: NDArray[np.int64], name: str) -> NDArray[Any]:
    """Lay out genes × genes; of nearest pairs only, a gene itself has the value that stands for the same."""
    if not sparse.issparse(values):
        return values[np.ix_(columns, columns)]
    some = values[columns][:, columns].tocoo()
    out = np.full(some.shape, np.nan, values.dtype)
    out[some.row, some.col] = some.data
    if name != "mi":
        np.fill_diagonal(out, 0 if name == "jsd" else 1)
    return out


def _all_pairs(values: Any, columns: NDArray[np.int64]) -> Iterator[_Pairs]:
    """Go through the pairs that have a value, each once, a few genes at a time."""
    for start in range(0, columns.size, ROWS):
        own = columns[start : start + ROWS]
        band = values[own]
        if sparse.issparse(band):
            band = band[:, columns].tocoo()
            one, place, found = band.row + start, band.col, band.data
            kept = (place > one) & ~np.isnan(found)
        else:
            found = band[:, columns]
            one, place = np.nonzero(~np.isnan(found))
            found, one = found[one, place], one + start
            kept = place > one
        yield _Pairs(columns[one[kept]], columns[place[kept]], found[kept])


def _pairs_of(values: Any, gene: int, columns: NDArray[np.int64]) -> Iterator[_Pairs]:
    """Give the pairs of one gene."""
    columns = columns[columns != gene]
    band = values[[gene]][:, columns]
    if sparse.issparse(band):
        place, found = band.indices, band.data
    else:
        place, found = np.flatnonzero(~np.isnan(band[0])), band[0][~np.isnan(band[0])]
    yield _Pairs(np.full(place.size, gene), columns[place], found)


def _best(groups: Iterator[_Pairs], n_pairs: int | None, name: str) -> _Pairs:
    """Order pairs from the most to the least similar and keep the first; never many more than are kept."""
    best = _Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    for group in groups:
        best = _Pairs(*(np.concatenate(both) for both in zip(best, group, strict=True)))
        if n_pairs is not None:
            best = _ordered(best, name, n_pairs)
    return _ordered(best, name, n_pairs)


def _ordered(pairs: _Pairs, name: str, n_pairs: int | None) -> _Pairs:
    """Put the most similar pairs first."""
    order = np.lexsort((pairs.other, pairs.one, pairs.value if name == "jsd" else -pairs.value))[:n_pairs]
    return _Pairs(*(part[order] for part in pairs))
