"""Which genes a classifier reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.pp import _gene_scores, _select_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Matrix
    from cellclf.nn._registry import Description
    from cellclf.tl._rows import LearningRows

N_GENES = 2000  # with inputs weighted by information the number hardly matters, and twice as many take twice as long


def values_and_names(adata: AnnData, layer: str | None, use_rep: str | None = None) -> tuple[Matrix, np.ndarray]:
    """Return the matrix to learn from, and the names of its columns; those of an embedding are numbered."""
    x = _slots.matrix(adata, layer=layer, use_rep=use_rep)
    if use_rep is not None:
        return x, np.array([f"{use_rep}_{i}" for i in range(x.shape[1])], dtype=object)
    _slots.warn_if_scaled(adata, layer)
    return x, _slots.unique_genes(adata)


def given_columns(
    adata: AnnData, names: np.ndarray, genes: str | Sequence[str], use_rep: str | None, start: Classifier | None
) -> np.ndarray | None:
    """Return the columns that the user or an earlier selection names, or None where they are to be selected."""
    if use_rep is not None and not (isinstance(genes, str) and genes in {"auto", "all"}):
        msg = f"genes={genes!r} cannot be chosen from the embedding use_rep={use_rep!r}. Leave one of the two out."
        raise ValueError(msg)
    if start is not None and isinstance(genes, str) and genes == "auto":
        return _positions(names, start.genes, whose="start's ")
    if use_rep is not None or (isinstance(genes, str) and genes == "all"):
        return np.arange(len(names))
    if not isinstance(genes, str):
        return _positions(names, _listed(genes))
    if genes == "auto" and "selected" not in adata.var:
        return None
    column = "selected" if genes == "auto" else genes
    chosen = _slots.member(adata.var, column, "genes", "adata.var")
    if not pd.api.types.is_bool_dtype(chosen.dtype) or chosen.isna().any():
        msg = f"adata.var[{column!r}] is not boolean ({chosen.dtype}). Name a column of True and False, or give a list of genes."
        raise ValueError(msg)
    if not chosen.any():
        msg = f"adata.var[{column!r}] selects no gene. Select some with `cc.pp.select_genes`, or pass genes='all'."
        raise ValueError(msg)
    return np.flatnonzero(chosen.to_numpy(dtype=bool))


def _listed(genes: Sequence[str]) -> np.ndarray:
    """Return a list of names, refusing what is none."""
    if not np.iterable(genes):
        msg = f"genes={genes!r} is no list of names. Give one, or choose so many genes by `cc.pp.select_genes` first."
        raise TypeError(msg)
    listed = list(genes)
    if listed and all(isinstance(entry, bool | np.bool_) for entry in listed):
        msg = (
            "genes is a mask. Give names, such as adata.var_names[mask], or the name of a boolean column of adata.var."
        )
        raise TypeError(msg)
    return np.array([str(name) for name in listed], dtype=object)


def _positions(names: np.ndarray, wanted: np.ndarray, *, whose: str = "") -> np.ndarray:
    """Find the columns of the wanted genes, all of which must be there, once."""
    if len(wanted) == 0:
        msg = "genes is empty. Name some, or pass genes='all'."
        raise ValueError(msg)
    if len(set(wanted)) < len(wanted):
        msg = f"genes names {len(wanted) - len(set(wanted))} genes more than once. Name each once."
        raise ValueError(msg)
    columns = pd.Index(names).get_indexer(pd.Index(wanted))
    if (columns < 0).any():
        absent = wanted[columns < 0]
        msg = f"{len(absent)} of {whose or 'the '}{len(wanted)} genes are not in adata.var_names: {_slots.listing(absent, 5)}."
        if whose:
            msg += " Name those to go on with, e.g. genes='all'; weights of shared genes are taken over."
        raise KeyError(msg)
    return columns


def check_order(network: Description, genes: str | Sequence[str]) -> None:
    """Refuse to choose genes for a network that reads them in an order: the choice would tear neighbours apart."""
    if getattr(network, "ordered", False) and isinstance(genes, str) and genes == "auto":
        msg = (
            f"{type(network).__name__} reads genes in their order, which genes={genes!r} does not keep. Give genes='all', "
            "a list in the order that is meant, or a boolean column of adata.var."
        )
        raise ValueError(msg)


def select(x: Matrix, rows: LearningRows) -> tuple[np.ndarray, dict[str, dict[str, Any]]]:
    """Score all genes on the final rows, select those that tell most about each class, and prepare what is written of both."""
    codes, n_classes = np.where(rows.final, rows.found.codes, -1), len(rows.found.classes)
    scores = _gene_scores.compute(x, codes, n_classes)
    rank = _select_genes.rank_in_turns(scores, N_GENES)
    slots = _gene_scores.slots(scores, {"label": rows.found.name}, rows.found.classes)
    selected = _select_genes.slots(rank, {"n_genes": N_GENES, "by": "mi_by_class"})
    return np.flatnonzero(~np.isnan(rank)), _slots.merge(slots, selected)


def columns_for(x: Matrix, rows: LearningRows, columns: np.ndarray, ours: bool, mask: np.ndarray) -> np.ndarray:
    """Return the genes for a training on the rows of `mask`: a selection of ours is made anew on fewer rows."""
    if not ours or (mask == rows.final).all():
        return columns
    return most_informative(x, np.where(mask, rows.found.codes, -1), len(rows.found.classes))


def most_informative(x: Matrix, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the columns that tell most about each class of the rows (codes, -1 for rows that have no say)."""
    table = stats.contingency(x, codes, bins=stats.bin_edges(x, codes >= 0, bins="auto"), n_classes=n_classes)
    scores = {
        "mi": stats.mutual_information(table),
        "mi_corrected": stats.mutual_information(table, corrected=True),
        "mi_by_class": stats.mutual_information_by_class(table)[:, table.class_sizes > 0],
    }
    return np.flatnonzero(~np.isnan(_select_genes.rank_in_turns(scores, N_GENES)))
