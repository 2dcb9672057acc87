"""The faithfulness of rankings as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellclf.get._recorded import recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

TABLES: dict[str, dict[str, type]] = {
    "curves": {
        "ranking": str,
        "kind": str,
        "n_genes": int,
        "log_loss": float,
        "accuracy": float,
        "macro_f1": float,
        "log_loss_sd": float,
    },
    "summary": {"ranking": str, "deletion": float, "insertion": float},
    "agreement": {"one": str, "other": str, "spearman": float, "overlap": float},
}


def importance_check(
    adata: AnnData,
    *,
    table: Literal["curves", "summary", "agreement"] = "summary",
    key: str = "importance_check",
) -> pd.DataFrame:
    """Return what :func:`cellclf.tl.importance_check` found.

    Parameters
    ----------
    adata
        Annotated data on which rankings were checked.
    table
        ``"curves"``, ``"summary"`` or ``"agreement"``, as in :class:`cellclf.tl.ImportanceCheck`.
    key
        The `key_added` of :func:`cellclf.tl.importance_check`.

    Returns
    -------
    The table.

    Raises
    ------
    KeyError
        There is no such check in `adata`.
    ValueError
        There is no such table.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.importance(adata, null=None)
    >>> check = cc.tl.importance_check(adata)
    >>> list(cc.get.importance_check(adata).index)
    ['importance', 'mi_corrected', 'random']
    """
    if table not in TABLES:
        msg = f"table={table!r} is not known. Choose one of {', '.join(map(repr, TABLES))}."
        raise ValueError(msg)
    found = recorded(adata, key, "tl.importance_check", table, TABLES[table])
    return found.set_index("ranking") if table == "summary" else found
