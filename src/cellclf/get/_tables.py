"""What the tables of genes and cells share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData


def column(slot: Mapping[str, Any], name: str, *, where: str, verb: str) -> Any:
    """Return a field that `verb` writes, or say that it has not run."""
    if name not in slot:
        msg = f"{where} holds no {name!r}. Run `cc.{verb}` first, or name its `key_added` by `key=`."
        raise KeyError(msg)
    return slot[name]


def names(values: Iterable[Any], name: str) -> pd.Index:
    """Return an index of strings, whatever string type the file format gave them."""
    return pd.Index([str(value) for value in values], name=name)


def first(table: pd.DataFrame, by: str, n_genes: int | None) -> pd.DataFrame:
    """Sort from high to low, ties in the order of the genes and NaN last, and keep the first `n_genes`."""
    if n_genes is not None and (isinstance(n_genes, bool) or not isinstance(n_genes, int | np.integer) or n_genes < 1):
        msg = f"n_genes={n_genes!r} is no number of genes. Give a whole number of 1 or more, or None for all."
        raise ValueError(msg)
    order = np.argsort(-table[by].to_numpy(dtype=np.float64), kind="stable")
    return table.iloc[order[:n_genes]]


def by_class(values: np.ndarray, table: pd.DataFrame, classes: Iterable[Any], value: str) -> pd.DataFrame:
    """Return one row per gene and class, of the genes of `table` in their order; its column `_row` says where they lie."""
    labels = [str(name) for name in classes]
    rows = table["_row"].to_numpy()
    return pd.DataFrame(
        {
            "gene": np.repeat(table.index.to_numpy(dtype=object), len(labels)),
            "class": pd.Categorical.from_codes(np.tile(np.arange(len(labels)), len(rows)), categories=pd.Index(labels)),
            value: np.asarray(values, dtype=np.float64)[rows].ravel(),
        }
    )


def confusion(record: Mapping[str, Any]) -> pd.DataFrame:
    """Return the confusion table of a record, with the names of its classes."""
    classes = _slots.strings(record["classes"])
    counts = np.asarray(record["confusion"], dtype=np.int64)
    return pd.DataFrame(counts, index=names(classes, "truth"), columns=names(classes, "predicted"))


def evaluation(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return the record of `tl.evaluate`."""
    record = _slots.fetch_record(adata, key, "tl.evaluate")
    if "confusion" not in record:
        msg = f"adata.uns[{key!r}] was written by {str(record['function'])!r}. Name the record of `cc.tl.evaluate` by `key=`."
        raise KeyError(msg)
    return record
