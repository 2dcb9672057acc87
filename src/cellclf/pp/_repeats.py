"""Leave out genes that repeat others, judged on the rows and the layer from which their scores come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellclf import _slots, stats
from cellclf.pp._conditions import corrected_by_class, prefix, scores, scores_by_class
from cellclf.pp._gene_scores import SCORES, batch_codes
from cellclf.pp._spread import naming_genes

if TYPE_CHECKING:
    from typing import Literal

    from anndata import AnnData
    from numpy.typing import NDArray

GREEDY = ("mrmr", "jmi")


def for_all_classes(
    adata: AnnData, by: str, order: NDArray[np.int64], *, n_genes: int, n_given: int
) -> NDArray[np.int64]:
    """Take `n_genes` of some genes for all classes together; the first `n_given` in any case."""
    by_class, corrected = scores_by_class(adata, by), scores(adata, f"{prefix(by)}mi_corrected")
    own = corrected_by_class({"mi_by_class": by_class, "mi": scores(adata, by), "mi_corrected": corrected})
    values = np.full(own.shape, np.nan)
    values[order] = own[order]
    call = _call(adata, by)
    x, (codes, strata) = _slots.matrix(adata, layer=call.get("layer")), _classes(adata, call)
    options: dict[str, Any] = {"n_genes": n_genes, "given": order[:n_given], "strata": strata}
    with naming_genes(adata):
        return stats.covering(x, codes, values, **options)


def thinned(
    adata: AnnData, by: str, order: NDArray[np.int64], *, n_genes: int, redundancy: float | str, n_given: int
) -> NDArray[np.int64]:
    """Take `n_genes` of the ordered genes that repeat one another little; the first `n_given` in any case."""
    call = _call(adata, by)
    x, options = _slots.matrix(adata, layer=call.get("layer")), {"n_genes": n_genes, "n_given": n_given}
    with naming_genes(adata):
        if isinstance(redundancy, str):
            return _greedy(adata, x, call, order, criterion=redundancy, **options)
        return stats.decorrelated(x, _rows(adata, call), order, limit=redundancy, **options)


def _greedy(
    adata: AnnData, x: Any, call: Mapping[str, Any], order: NDArray[np.int64], *, criterion: str, **options: int
) -> NDArray[np.int64]:
    """Choose genes one after another, each for what it adds about the label of the scores."""
    codes, strata = _classes(adata, call)
    criterion = cast("Literal['mrmr', 'jmi']", criterion)
    return stats.forward_selection(x, codes, order, criterion=criterion, strata=strata, **options)


def _classes(adata: AnnData, call: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Return class and batch of each cell from which the scores come."""
    _require_label(adata, call)
    found = _slots.labels(adata, call.get("label"))
    found = _slots.restrict(found, _rows(adata, call), what="training cells")
    batch = call.get("batch")
    return found.codes, None if batch is None else batch_codes(adata, batch, found.codes >= 0)


def _require_label(adata: AnnData, call: Mapping[str, Any]) -> None:
    """Refuse to choose for classes where the label of the scores is not to be found."""
    label = call.get("label", adata.uns.get(_slots.LABEL_KEY))
    if (label is not None and str(label) in adata.obs) or (not call and len(_slots.label_candidates(adata)) == 1):
        return
    why = (
        "adata.uns holds no record of `cc.pp.gene_scores`" if label is None else f"label={label!r} is not in adata.obs"
    )
    msg = (
        f"Genes are chosen for the classes of a label that cannot be found: {why}. Score the genes again "
        "(`cc.pp.gene_scores(adata, label)`), or take them by score alone (`balance=False`, without 'mrmr' or 'jmi')."
    )
    raise ValueError(msg) if label is None else KeyError(msg)


def _call(adata: AnnData, by: str) -> dict[str, Any]:
    """Return the arguments with which our scores were made; nothing if `by` is no score of ours."""
    record = adata.uns.get(prefix(by).removesuffix("_") or "gene_scores")
    if isinstance(record, Mapping) and record.get("function") == "cellclf.pp.gene_scores" and by.endswith(SCORES):
        return dict(json.loads(str(record["call"])))
    return {}


def _rows(adata: AnnData, call: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Mark the rows from which the scores come."""
    masks = _slots.split_rows(adata, call.get("split", "split"))
    rows = np.ones(adata.n_obs, bool) if masks is None else masks["train"].copy()
    if call.get("label") in adata.obs:
        rows &= _slots.labels(adata, call["label"]).codes >= 0
    return rows
