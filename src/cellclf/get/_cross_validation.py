"""A cross-validation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellclf import _slots
from cellclf.get import _tables
from cellclf.get._by_fold import FOLDS, SUMMARY
from cellclf.get._recorded import recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COLUMNS: dict[str, dict[str, type]] = {
    "summary": SUMMARY,
    "folds": FOLDS,
    "report": {"precision": float, "recall": float, "f1": float, "support": int},
    "leakage": {"measure": str, "random": float, "apart": float, "gap": float, "gap_se": float},
}


def cross_validation(
    adata: AnnData,
    *,
    table: Literal["summary", "folds", "report", "confusion", "leakage"] = "summary",
    key: str = "cellclf_cv",
) -> pd.DataFrame:
    """Return a table of what :func:`cellclf.tl.cross_validate` wrote.

    Parameters
    ----------
    adata
        Annotated data on which classifiers were cross-validated.
    table
        Which one of :class:`cellclf.tl.CrossValidation`.
    key
        The `key_added` of :func:`cellclf.tl.cross_validate`.

    Returns
    -------
    The table.

    Raises
    ------
    KeyError
        There is no such cross-validation in `adata`, or it has no such table: only one with groups or batches has
        ``"leakage"``.
    ValueError
        There is no such table.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5)}
    >>> found = cc.tl.cross_validate(adata, n_folds=3, **quick)
    >>> folds = cc.get.cross_validation(adata, table="folds")
    >>> len(folds)
    9
    """
    if table not in {*COLUMNS, "confusion"}:
        msg = f"table={table!r} is not known. Choose one of {_slots.listing([*COLUMNS, 'confusion'])}."
        raise ValueError(msg)
    record = _slots.fetch_record(adata, key, "tl.cross_validate")
    if table == "leakage" and "summary" in record and table not in record:
        msg = f"adata.uns[{key!r}] has no leakage. Run `cc.tl.cross_validate` with `groups` or `batch`, to the end."
        raise KeyError(msg)
    if table == "confusion":
        recorded(adata, key, "tl.cross_validate", "summary", SUMMARY)  # refuses records of other verbs
        return _tables.confusion(record)
    found = recorded(adata, key, "tl.cross_validate", table, COLUMNS[table])
    if table == "report":
        return found.set_index(_tables.names(_slots.strings(record["classes"]), "class"))
    return found.set_index("measure") if table == "leakage" else found
