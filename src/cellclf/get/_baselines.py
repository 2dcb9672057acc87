"""A comparison of models as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellclf.get._by_fold import FOLDS, SUMMARY
from cellclf.get._recorded import recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def baselines(
    adata: AnnData, *, table: Literal["summary", "folds"] = "summary", key: str = "baselines"
) -> pd.DataFrame:
    """Return what :func:`cellclf.tl.baselines` wrote.

    Parameters
    ----------
    adata
        Annotated data on which models were compared.
    table
        ``"summary"``, one row per model, or ``"folds"``, as in :class:`cellclf.tl.Baselines`.
    key
        The `key_added` of :func:`cellclf.tl.baselines`.

    Returns
    -------
    The table.

    Raises
    ------
    KeyError
        There is no such comparison in `adata`.
    ValueError
        There is no such table.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5)}
    >>> found = cc.tl.baselines(adata, models=["nearest_neighbors"], n_folds=3, **quick)
    >>> cc.get.baselines(adata)["model"].tolist()
    ['network', 'linear', 'prior', 'nearest_neighbors']
    """
    if table not in {"summary", "folds"}:
        msg = f"table={table!r} is not known. Choose 'summary' or 'folds'."
        raise ValueError(msg)
    columns = SUMMARY if table == "summary" else FOLDS | {"settings": str}
    return recorded(adata, key, "tl.baselines", table, columns)
