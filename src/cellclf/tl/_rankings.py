"""Rankings of genes: those that stand in an AnnData, that by information, and how far they agree."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from cellclf import _slots, stats
from cellclf.tl._model import layer_to_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier


def rankings_of(adata: AnnData, names: Sequence[str] | str | None, place: np.ndarray) -> dict[str, np.ndarray]:
    """Return rankings of the genes at some places, by name; without names, all that `tl.importance` wrote."""
    if names is None:
        written = {key for key, entry in adata.uns.items() if _is_importance(entry)}
        names = [name for name in adata.var if name in written]
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        msg = "adata.var holds no importance to check. Run `cc.tl.importance` first, or name columns with `rankings=`."
        raise KeyError(msg)
    return {str(name): ranking(adata, name, "rankings", place) for name in names}


def ranking(adata: AnnData, name: str, argument: str, place: np.ndarray) -> np.ndarray:
    """Return a column of `var` for the genes at some places, the higher the more important; a missing value ranks last."""
    column = _slots.member(adata.var, name, argument, "adata.var")
    if not pd.api.types.is_numeric_dtype(column.dtype):
        msg = f"adata.var[{name!r}] ({column.dtype}) is no ranking. Name a column of numbers."
        raise ValueError(msg)
    values = column.to_numpy(dtype=np.float64)[place]
    return np.where(np.isnan(values), -np.inf, values)


def _is_importance(entry: Any) -> bool:
    """Tell whether an entry of `uns` is a record of importances."""
    return isinstance(entry, dict) and str(entry.get("function")) == "cellclf.tl.importance"


def information(
    adata: AnnData, model: Classifier, codes: np.ndarray, place: np.ndarray, layer: str | None
) -> np.ndarray:
    """Return what each gene of the classifier tells of the label on the training rows."""
    x = _slots.matrix(adata, layer=layer_to_read(adata, model, layer))
    bins = stats.bin_edges(x, codes >= 0, bins="auto")
    table = stats.contingency(x, codes, bins=bins, n_classes=len(model.classes))
    return stats.mutual_information(table, corrected=True)[place]


def agreement(scores: dict[str, np.ndarray], n_top: int) -> pd.DataFrame:
    """Compare each pair of rankings."""
    ranks = {name: rankdata(score) for name, score in scores.items()}
    first = {name: set(np.argsort(-score, kind="stable")[:n_top].tolist()) for name, score in scores.items()}
    found = []
    for one, other in combinations(scores, 2):
        varies = np.ptp(ranks[one]) > 0 and np.ptp(ranks[other]) > 0
        spearman = float(np.corrcoef(ranks[one], ranks[other])[0, 1]) if varies else np.nan
        found.append((one, other, spearman, len(first[one] & first[other]) / n_top))
    return pd.DataFrame(found, columns=["one", "other", "spearman", "overlap"])
