"""Choose genes by their scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.pp._gene_scores import SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


def select_genes(
    adata: AnnData,
    n_genes: int = 2000,
    *,
    by: str = "mi",
    ascending: bool = False,
    redundancy: float | None = None,
    max_qvalue: float | None = None,
    force: Sequence[str] = (),
    exclude: Sequence[str] = (),
    key_added: str = "selected",
    copy: bool = False,
) -> AnnData | None:
    """Select the genes that score best.

    Genes are taken in the order of a column of `adata.var`; equal scores keep the order of the genes, missing scores are
    never taken. Where fewer genes are left than `n_genes`, all of them are taken.

    Parameters
    ----------
    adata
        Annotated data, cells in rows.
    n_genes
        How many genes to select.
    by
        Column of `adata.var` with numbers: a score of :func:`cellclf.pp.gene_scores` or any other, such as a ranking saved
        earlier.
    ascending
        Take the smallest values first, as is right for ranks and p-values.
    redundancy
        Largest absolute Pearson correlation that a selected gene may have with a better one; between 0 and 1. The
        correlation is taken over at most 8192 evenly spaced cells of those, and of the layer, from which the scores come
        (training cells and X, if `by` is no score of ours), after log(1 + x) if these are counts. `None`: no limit.
    max_qvalue
        Take only genes with `mi_qvalue` up to this, as written together with the score `by`. `None`: no limit.
    force
        Genes that are selected in any case; they come first, in the order given.
    exclude
        Genes that are never selected.
    key_added
        Name of the written fields; it stands for `selected` in each of them.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.var['selected']` : :class:`pandas.Series` (n_vars, bool)
        Whether the gene is selected.
    `adata.var['selected_rank']` : :class:`pandas.Series` (n_vars, float64)
        1 for the first gene, 2 for the second, …; NaN for genes that are not selected.
    `adata.uns['selected']` : dict
        Record of the call.

    Raises
    ------
    KeyError
        `by`, or the q-value that belongs to it, is not in `adata.var`; a gene of `force` or `exclude` is not in
        `adata.var_names`.
    ValueError
        `n_genes`, `redundancy` or `max_qvalue` out of range; a column that holds no numbers; a gene that is both forced
        and excluded; more forced genes than `n_genes`; nothing left to select.

    Examples
    --------
    >>> import cellclf as cc
    >>> import scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.gene_scores(adata, "bulk_labels")
    >>> cc.pp.select_genes(adata, 100, by="jsd", redundancy=0.9)
    >>> adata[:, adata.var["selected"]].shape
    (700, 100)
    """
    _check_options(n_genes, redundancy, max_qvalue)
    score = _scores(adata, by)
    forced, excluded = _genes(adata, force, "force", n_genes), _genes(adata, exclude, "exclude")
    if both := sorted(set(forced.tolist()) & set(excluded.tolist())):
        msg = f"{_slots.listing(adata.var_names[both])} are in both `force` and `exclude`. Leave them in one."
        raise ValueError(msg)
    if max_qvalue is not None:
        score[~(_scores(adata, _qvalue_column(by)) <= max_qvalue)] = np.nan
    score[excluded] = score[forced] = np.nan
    order = np.concatenate([forced, _order(score, ascending=ascending)])
    if order.size == 0:
        msg = f"No gene is left to select: none has a value in by={by!r} that meets the conditions. Relax them."
        raise ValueError(msg)
    if redundancy is not None:
        order = _apart(adata, by, order, n_genes, redundancy, forced.size)
    call = {"n_genes": n_genes, "by": by, "ascending": ascending, "redundancy": redundancy, "max_qvalue": max_qvalue}
    adata = adata.copy() if copy else adata
    call |= {"force": list(force), "exclude": list(exclude)}
    _slots.write(adata, slots(_ranks(order[:n_genes], adata.n_vars), call, key_added))
    return adata if copy else None


def rank(score: NDArray[Any], n_genes: int, ascending: bool = False) -> NDArray[np.float64]:
    """Number the best genes from 1; NaN for the others. Equal scores keep their order, NaN is never taken."""
    return _ranks(_order(np.asarray(score, dtype=np.float64), ascending=ascending)[:n_genes], len(score))


def slots(ranks: NDArray[np.float64], call: Mapping[str, Any], key: str = "selected") -> dict[str, dict[str, Any]]:
    """Lay out what a selection writes."""
    return {
        "var": {key: ~np.isnan(ranks), f"{key}_rank": ranks},
        "uns": {key: _slots.record("pp.select_genes", call)},
    }


def _order(score: NDArray[np.float64], *, ascending: bool) -> NDArray[np.int64]:
    """Return the genes that have a score, the best first."""
    known = np.flatnonzero(~np.isnan(score))
    return known[np.argsort(score[known] if ascending else -score[known], kind="stable")]


def _ranks(order: NDArray[np.int64], n_vars: int) -> NDArray[np.float64]:
    """Number the genes of `order` from 1."""
    ranks = np.full(n_vars, np.nan)
    ranks[order] = np.arange(1, order.size + 1)
    return ranks


def _check_options(n_genes: int, redundancy: float | None, max_qvalue: float | None) -> None:
    """Refuse numbers out of range."""
    if isinstance(n_genes, bool) or not isinstance(n_genes, int | np.integer) or n_genes < 1:
        msg = f"n_genes={n_genes!r} is not a whole number above 0. Say how many genes to select."
        raise ValueError(msg)
    if redundancy is not None and not 0 < redundancy <= 1:
        msg = f"redundancy={redundancy!r} is no correlation between 0 and 1. Give e.g. 0.9, or None for no limit."
        raise ValueError(msg)
    if max_qvalue is not None and not 0 <= max_qvalue <= 1:
        msg = f"max_qvalue={max_qvalue!r} does not lie between 0 and 1. Give e.g. 0.05, or None for no limit."
        raise ValueError(msg)


def _scores(adata: AnnData, column: str) -> NDArray[np.float64]:
    """Copy a column of `var`, which must hold numbers."""
    if column not in adata.var and column in SCORES:
        msg = f"{column!r} is not in adata.var. Run `cc.pp.gene_scores(adata)` first; there is: {_slots.listing(adata.var)}."
        raise KeyError(msg)
    values = _slots.member(adata.var, column, "by", "adata.var")
    if not pd.api.types.is_numeric_dtype(values):
        msg = f"by={column!r} holds {values.dtype}, which has no order. Name a column of adata.var with numbers."
        raise ValueError(msg)
    return values.to_numpy(dtype=np.float64, na_value=np.nan).copy()


def _prefix(by: str) -> str:
    """Return the key that :func:`gene_scores` put before the names of its scores."""
    name = max((name for name in SCORES if by.endswith(f"_{name}")), key=len, default=None)
    return "" if name is None or by in SCORES else by.removesuffix(name)


def _qvalue_column(by: str) -> str:
    """Return the column of the q-values that were written together with a score."""
    return _prefix(by) + "mi_qvalue"


def _genes(adata: AnnData, names: Sequence[str], argument: str, n_genes: int | None = None) -> NDArray[np.int64]:
    """Find genes by name, all of them where a name occurs more than once."""
    if isinstance(names, str):
        msg = f"{argument}={names!r} is one string. Give a list of gene names."
        raise ValueError(msg)
    wanted = pd.Index(dict.fromkeys(str(name) for name in names))
    if len(absent := wanted.difference(adata.var_names.astype(str), sort=False)):
        msg = f"{len(absent)} genes of `{argument}` are not in adata.var_names: {_slots.listing(absent, 5)}."
        raise KeyError(msg)
    columns = [np.flatnonzero(adata.var_names.astype(str) == name) for name in wanted]
    found = np.concatenate([np.zeros(0, np.int64), *columns]).astype(np.int64)
    if n_genes is not None and found.size > n_genes:
        msg = f"`{argument}` names {found.size} genes, but n_genes={n_genes}. Raise n_genes, or force fewer."
        raise ValueError(msg)
    return found


def _apart(
    adata: AnnData, by: str, order: NDArray[np.int64], n_genes: int, limit: float, n_forced: int
) -> NDArray[np.int64]:
    """Leave out genes that repeat better ones, on the rows and the layer from which the scores come."""
    record = adata.uns.get(_prefix(by).removesuffix("_") or "gene_scores")
    ours = isinstance(record, Mapping) and record.get("function") == "cellclf.pp.gene_scores" and by.endswith(SCORES)
    call = json.loads(str(record["call"])) if ours and record is not None else {}
    masks = _slots.split_rows(adata, call.get("split", "split"))
    rows = np.ones(adata.n_obs, bool) if masks is None else masks["train"].copy()
    if call.get("label") in adata.obs:
        rows &= _slots.labels(adata, call["label"]).codes >= 0
    x = _slots.matrix(adata, layer=call.get("layer"))
    return stats.decorrelated(x, rows, order, n_genes=n_genes, limit=limit, n_given=n_forced)
