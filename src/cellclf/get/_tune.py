"""A search for settings as a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots

if TYPE_CHECKING:
    from anndata import AnnData

FIRST: dict[str, type] = {"state": str, "value": float, "n_folds": int, "seconds": float}


def tune(adata: AnnData, *, key: str = "tune") -> pd.DataFrame:
    """Return the trials of :func:`cellclf.tl.tune`.

    Parameters
    ----------
    adata
        Annotated data on which settings were searched.
    key
        The `key_added` of :func:`cellclf.tl.tune`.

    Returns
    -------
    One row per trial, as in :class:`cellclf.tl.Tuning`. `attrs` holds the `metric`, the best `value` and the names of the
    settings that were searched on a `logarithmic` scale.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no such search.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5)}
    >>> space = cc.tl.Space(fit={"weight_decay": cc.tl.Uniform(0.0, 0.1)})
    >>> found = cc.tl.tune(adata, space=space, n_trials=2, n_folds=2, **quick)
    >>> len(cc.get.tune(adata).sort_values("value"))
    2
    """
    record = _slots.fetch_record(adata, key, "tl.tune")
    if "trials" not in record or "metric" not in record:
        msg = (
            f"adata.uns[{key!r}] was written by {str(record['function'])!r}. Name the record of `cc.tl.tune` by `key=`."
        )
        raise KeyError(msg)
    trials = record["trials"]
    table: dict[str, Any] = {
        name: _slots.strings(trials[name]) if kind is str else np.asarray(trials[name], dtype=kind)
        for name, kind in FIRST.items()
    }
    names = sorted((name for name in trials if name not in FIRST), key=str)
    for name in names:
        column = np.asarray(trials[name])
        table[str(name)] = column if column.dtype.kind in "iuf" else _slots.strings(column)
    found = pd.DataFrame(table)
    found.attrs.update(metric=str(record["metric"]), value=float(record["value"]))
    found.attrs["logarithmic"] = json.loads(str(record["logarithmic"]))
    return found
