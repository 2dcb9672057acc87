"""What is lost without genes, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellclf.get._recorded import recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

WHAT: dict[str, type] = {"set": str, "mode": str, "order": str, "n_genes": int}
MEASURES: dict[str, type] = {"log_loss": float, "accuracy": float, "macro_f1": float}
TABLES = {
    "trainings": WHAT | {"repeat": int} | MEASURES,
    "summary": WHAT | MEASURES | {f"{name}_sd": float for name in MEASURES},
}


def ablation(
    adata: AnnData, *, table: Literal["summary", "trainings"] = "summary", key: str = "ablation"
) -> pd.DataFrame:
    """Return what :func:`cellclf.tl.ablation` found.

    Parameters
    ----------
    adata
        Annotated data on which genes were taken away.
    table
        ``"summary"`` (means over the repeats) or ``"trainings"``, as in :class:`cellclf.tl.Ablation`.
    key
        The `key_added` of :func:`cellclf.tl.ablation`.

    Returns
    -------
    The table.

    Raises
    ------
    KeyError
        There is no such ablation in `adata`.
    ValueError
        There is no such table.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.importance(adata, null=None)
    >>> found = cc.tl.ablation(adata, sizes=[20], n_repeats=1)
    >>> cc.get.ablation(adata)["mode"].unique().tolist()
    ['all', 'remove', 'keep']
    """
    if table not in TABLES:
        msg = f"table={table!r} is not known. Choose 'summary' or 'trainings'."
        raise ValueError(msg)
    return recorded(adata, key, "tl.ablation", table, TABLES[table])
