"""What a method of importance finds: one number per gene of an AnnData, and the rows on which it is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf import _slots
from cellclf.tl._inputs import spread
from cellclf.tl._model import truth
from cellclf.tl._shadows import LEVEL

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf.tl._gene_groups import Groups
    from cellclf.tl._shadows import Null


@dataclass
class Found:
    """Importance of all genes of an AnnData (n_vars), and what else was found; `facts` are recorded."""

    mean: np.ndarray
    error: np.ndarray
    by_class: np.ndarray | None = None
    qvalue: np.ndarray | None = None
    group: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def judged_rows(
    adata: AnnData, model: Classifier, call: dict[str, Any], *, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each cell and the mask of the chosen rows."""
    _, codes = truth(adata, model, call["label"])
    mask = _slots.chosen_rows(adata, call["rows"], call["split"], codes >= 0)
    if mask.sum() < least:
        msg = f"Only {int(mask.sum())} of the chosen rows has a class of the classifier; at least {least} are needed. Choose other `rows`."
        raise ValueError(msg)
    return codes, mask


def mean_and_error(by_repeat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average over the repeats (n, n_repeats), with the standard error; that of one repeat is NaN."""
    n = by_repeat.shape[1]
    error = by_repeat.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(by_repeat), np.nan)
    return by_repeat.mean(axis=1), error


def group_table(groups: Groups, mean: np.ndarray, error: np.ndarray) -> dict[str, Any]:
    """Record each group: its name, number of genes, importance and error."""
    n = len(groups.names)
    return {
        "group_names": np.array(groups.names, dtype=object),
        "group_sizes": np.array([len(members) for members in groups.members], dtype=np.int64),
        "group_importance": mean[:n],
        "group_importance_se": error[:n],
    }


def placed(
    adata: AnnData,
    columns: np.ndarray,
    mean: np.ndarray,
    error: np.ndarray,
    by_class: np.ndarray | None,
    null: Null | None,
    absent: np.ndarray | None,
    facts: dict[str, Any],
    label: np.ndarray | None,
) -> Found:
    """Put what was found of the model's genes at their places among the genes of `adata`."""
    unknown = bool(np.isnan(error).all())
    found = Found(spread(adata, columns, mean), spread(adata, columns, error, np.nan if unknown else 0.0), facts=facts)
    if by_class is not None:
        found.by_class = spread(adata, columns, by_class)
        if absent is not None:
            found.by_class[:, absent] = np.nan
    if null is not None:
        found.qvalue = spread(adata, columns, null.qvalues, 1.0)
        facts |= {
            "n_shadows": null.n_shadows,
            "n_networks": null.n_networks,
            "n_passing": null.n_passing,
            "level": LEVEL,
        }
    if label is not None:
        found.group = np.full(adata.n_vars, None, dtype=object)
        found.group[columns[columns >= 0]] = label[columns >= 0]
    return found
