"""The first look as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.get import _tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

# columns in their order (a file gives them back in that of the alphabet) and their types
COLUMNS: dict[str, dict[str, type]] = {
    "covariates": {"covariate": str, "kind": str, "value": str, "low": float, "high": float, "cells": int},
    "spread": {"low": float, "high": float, "genes": int},
    "low_spread": {"gene": str, "std": float, "zero_fraction": float},
    "values": {"low": float, "high": float, "values": int},
    "matrix": {
        "n_cells": int,
        "n_genes": int,
        "cells_without_class": int,
        "zero_fraction": float,
        "minimum": float,
        "maximum": float,
        "holds": str,
        "target_sum": float,
        "log_base": float,
        "constant_genes": int,
        "low_spread_genes": int,
        "min_std": float,
    },
}
QUANTILES = ("minimum", "quarter", "median", "three_quarters", "maximum")
TABLES = ("classes", "covariates", "quantiles", "matrix", "evidence", "spread", "low_spread", "values")


def overview(
    adata: AnnData,
    table: Literal[
        "classes", "covariates", "quantiles", "matrix", "evidence", "spread", "low_spread", "values"
    ] = "classes",
    *,
    key: str = "summary",
) -> pd.DataFrame:
    """Return a table of the first look that :func:`cellclf.pp.summary` took.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.pp.summary` ran.
    table
        ``"classes"``: one row per class (index `class`) with its `cells` and, where there is a split, those in `train`,
        `valid` and `test`. ``"covariates"``: one row per column of `obs` and value, with the number of `cells`; `kind` is
        numeric (from `low` to `high`), category, others (rare categories together) or missing. ``"quantiles"``: one row
        per numeric column. ``"matrix"``: one row with size, share of zeros, range, what X seems to `hold` (with
        `target_sum` and `log_base` for log1p), and the number of genes that do not vary or hardly do. ``"evidence"``: why
        X seems to hold that. ``"spread"``: how many genes have a standard deviation from `low` to `high`; genes that do
        not vary are left out. ``"low_spread"``: the genes below `min_std`. ``"values"``: how many of the values looked at,
        zeros left out, lie from `low` to `high`.
    key
        The `key_added` of :func:`cellclf.pp.summary`.

    Returns
    -------
    The table.

    Raises
    ------
    KeyError
        `adata.uns[key]` holds no summary.
    ValueError
        There is no such table.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> cc.pp.split(adata)
    >>> cc.pp.summary(adata)
    >>> cc.get.overview(adata).loc["Dendritic"].to_list()
    [240, 192, 24, 24]
    """
    if table not in TABLES:
        msg = f"table={table!r} is not there. Give {', '.join(map(repr, TABLES))}."
        raise ValueError(msg)
    record = _slots.fetch_record(adata, key, "pp.summary")
    if "class_cells" not in record:
        msg = f"adata.uns[{key!r}] was written by {str(record['function'])!r}. Name the record of `cc.pp.summary` by `key=`."
        raise KeyError(msg)
    if table == "classes":
        index = _tables.names(_slots.strings(record["classes"]), "class")
        cells = np.asarray(record["class_cells"], dtype=np.int64).reshape(len(index), -1)
        return pd.DataFrame(cells, index=index, columns=_slots.strings(record["parts"]))
    if table == "evidence":
        return pd.DataFrame({"evidence": _slots.strings(record["evidence"])})
    if table == "quantiles":
        return _quantiles(record["quantiles"])
    columns = {name: _column(record[table][name], kind) for name, kind in COLUMNS[table].items()}
    return pd.DataFrame(columns)


def _column(values: Any, kind: type) -> Any:
    """Read a column back, whatever array type the file format gave it."""
    return _slots.strings(values) if kind is str else np.atleast_1d(np.asarray(values, dtype=kind))


def _quantiles(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per numeric column."""
    values = np.asarray(columns["values"], dtype=np.float64).reshape(-1, len(QUANTILES))
    table = pd.DataFrame(values, columns=list(QUANTILES), index=_tables.names(columns["covariate"], "covariate"))
    return table.assign(missing=np.asarray(columns["missing"], dtype=np.int64))
