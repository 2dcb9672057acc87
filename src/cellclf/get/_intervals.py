"""The numbers of an evaluation with their confidence intervals as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellclf.get import _recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COLUMNS = {
    "group": str,
    "model": str,
    "class": str,
    "measure": str,
    "value": float,
    "low": float,
    "high": float,
    "n_rows": int,
}


def intervals(adata: AnnData, *, key: str = "cellclf_evaluation") -> pd.DataFrame:
    """Return each number of an evaluation with the ends of its 95 % interval.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran.
    key
        Where it wrote: its `key_added` and ``"_evaluation"``.

    Returns
    -------
    One row per number with the columns `group` (empty for all cells, else a value of the column given as `by`), `model`,
    `class` (empty for measures of all classes), `measure`, `value`, `low`, `high` and `n_rows`, the number of cells. The ends are
    NaN where no interval was asked for.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no evaluation.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> evaluation = cc.tl.evaluate(adata, by="phase", n_bootstrap=50)
    >>> table = cc.get.intervals(adata)
    >>> f1 = table.query("measure == 'macro_f1'").pivot(index="group", columns="model", values="value")
    >>> list(f1.index)
    ['', 'G1', 'G2M', 'S']
    """
    return _recorded.recorded(adata, key, "tl.evaluate", "intervals", COLUMNS)
