"""Find cells whose label the data contradict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.tl._probabilities import check_proba, written_proba

if TYPE_CHECKING:
    from anndata import AnnData


def audit_labels(
    adata: AnnData,
    label: str | None = None,
    *,
    key: str = "cellclf_cv",
    key_added: str = "label",
    copy: bool = False,
) -> AnnData | None:
    """Find cells whose label the data contradict, by confident learning.

    Taken are the probabilities that :func:`cellclf.tl.cross_validate` wrote, from classifiers that have not seen the cell
    and its label. How sure they are of each class among the cells so labelled gives a threshold for each class; cells above
    that of another class, counted by given and probable class, estimate how many labels of each kind are wrong, and
    that many cells are flagged, those first that are contradicted most :cite:p:`Northcutt2021`.

    A flag says that a label deserves a look. Where classes differ by degrees, many flagged cells lie between two of
    them; and a mistake that all cells of a kind share is not found, since it is learnt.

    Parameters
    ----------
    adata
        Annotated data, cross-validated. X is not read.
    label
        Column of `adata.obs` that is audited. `None`: the one that was cross-validated.
    key
        The `key_added` of :func:`cellclf.tl.cross_validate`.
    key_added
        First word of the written fields; it stands for `label` in each of them.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.obs['label_quality']` : :class:`pandas.Series` (n_obs, float64)
        Probability of the given label less the largest of another, brought to [0, 1]: below 0.5 another class is more
        probable. NaN for cells without a label, or that were not judged.
    `adata.obs['label_issue']` : :class:`pandas.Series` (n_obs, bool)
        Whether the label is probably wrong.
    `adata.obs['label_suggestion']` : :class:`pandas.Series` (n_obs, category)
        The most probable class of flagged cells; missing for all others.
    `adata.uns['label_audit']` : dict
        Record of the call; `classes`; `joint` (n_classes × n_classes), the estimated number of cells by given label (rows)
        and true class (columns); `thresholds` (n_classes); `n_judged` and `n_issues`.
    `adata.uns['label_suggestion_colors']` : :class:`numpy.ndarray` (n_classes, str)
        The label's colours, where it has some.

    Raises
    ------
    KeyError
        There is no such cross-validation in `adata`, or `label` is not in `adata.obs`.
    ValueError
        Probabilities are NaN or negative, the label has a class that was not there when it was cross-validated, or no cell
        with a label was judged.

    See Also
    --------
    cellclf.get.label_audit : the flagged cells as a table.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.tl.cross_validate(adata, "bulk_labels", n_folds=3, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    CrossValidation(...
    >>> cc.tl.audit_labels(adata)
    >>> adata.obs["label_issue"].dtype
    dtype('bool')
    """
    record = _slots.fetch_record(adata, key, "tl.cross_validate")
    if str(record["function"]) != "cellclf.tl.cross_validate":
        msg = (
            f"adata.uns[{key!r}] was written by {str(record['function'])!r}. Name the record of `cc.tl.cross_validate`."
        )
        raise KeyError(msg)
    found = _slots.labels(adata, str(record["label"]) if label is None else label)
    proba, classes = written_proba(adata, key)
    given = _given(found, classes)
    rows = (given >= 0) & ~np.isnan(proba).all(axis=1)
    if not rows.any():
        msg = f"No cell with a label was judged by the cross-validation in adata.uns[{key!r}]. Run it to the end."
        raise ValueError(msg)
    check_proba(proba[rows], key, "cells with a label")
    audit = stats.audit(proba[rows], given[rows])
    quality, issue, suggestion = np.full(adata.n_obs, np.nan), np.zeros(adata.n_obs, bool), np.full(adata.n_obs, -1)
    quality[rows], issue[rows] = audit.quality, audit.issue
    suggestion[rows] = np.where(audit.issue, audit.predicted, -1)
    obs = {
        f"{key_added}_quality": quality,
        f"{key_added}_issue": issue,
        f"{key_added}_suggestion": pd.Categorical.from_codes(suggestion, categories=pd.Index(classes)),
    }
    written = _slots.record(
        "tl.audit_labels",
        {"label": label, "key": key, "key_added": key_added},
        classes=classes,
        written_obs=obs,
        label=found.name,
        joint=audit.joint,
        thresholds=np.where(np.isfinite(audit.thresholds), audit.thresholds, np.nan),
        n_judged=int(rows.sum()),
        n_issues=int(issue.sum()),
    )
    uns: dict[str, Any] = {f"{key_added}_audit": written}
    colors = adata.uns.get(f"{key}_colors")
    if colors is not None:
        uns[f"{key_added}_suggestion_colors"] = np.array(_slots.strings(colors), dtype=object)
    adata = adata.copy() if copy else adata
    _slots.write(adata, {"obs": obs, "uns": uns})
    return adata if copy else None


def _given(found: _slots.Labels, classes: np.ndarray) -> np.ndarray:
    """Return the given label of each cell as the cross-validation counts classes."""
    place = pd.Index(classes).get_indexer(pd.Index(found.classes))
    if (place < 0).any():
        absent = _slots.listing(found.classes[place < 0], 3)
        msg = f"label={found.name!r} has classes that were not there when it was cross-validated ({absent}). Run that again."
        raise ValueError(msg)
    return np.append(place, -1)[found.codes]
