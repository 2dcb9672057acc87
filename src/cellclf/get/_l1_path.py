"""What becomes of a network under stronger and stronger penalties, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellclf.get._recorded import recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

TRAINING: dict[str, type] = {"penalty": str, "strength": float}
WEIGHTS: dict[str, type] = {
    "n_weights": int,
    "n_near_zero": int,
    "mean": float,
    "sd": float,
    "min": float,
    "max": float,
}
MEASURES: dict[str, type] = {
    f"{rows}_{measure}": float
    for rows in ("train", "valid", "test")
    for measure in ("accuracy", "macro_f1", "log_loss")
}
TABLES: dict[str, dict[str, type]] = {
    "trainings": TRAINING | WEIGHTS | {"genes_left": int} | MEASURES,
    "histograms": TRAINING | {"left": float, "right": float, "count": int},
    "genes": {"gene": str, "group_l1": float, "l1": float},
}


def l1_path(
    adata: AnnData, *, table: Literal["trainings", "histograms", "genes"] = "trainings", key: str = "l1_path"
) -> pd.DataFrame:
    """Return what :func:`cellclf.tl.l1_path` found.

    Parameters
    ----------
    adata
        Annotated data on which the path was trained.
    table
        ``"trainings"``, ``"histograms"`` of their weights, or ``"genes"`` (index `gene`), as in
        :class:`cellclf.tl.L1Path`.
    key
        The `key_added` of :func:`cellclf.tl.l1_path`.

    Returns
    -------
    The table.

    Raises
    ------
    KeyError
        There is no such path in `adata`.
    ValueError
        There is no such table.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> path = cc.tl.l1_path(adata, l1=[100], group_l1=[0.1], fit=cc.Fit(epochs=5))
    >>> cc.get.l1_path(adata)["penalty"].tolist()
    ['none', 'linear', 'l1', 'group_l1']
    """
    if table not in TABLES:
        msg = f"table={table!r} is not known. Choose one of {', '.join(map(repr, TABLES))}."
        raise ValueError(msg)
    found = recorded(adata, key, "tl.l1_path", table, TABLES[table])
    return found.set_index("gene") if table == "genes" else found
