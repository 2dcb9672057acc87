"""Tables that a verb keeps in its record, one array per column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData


def recorded(adata: AnnData, key: str, verb: str, table: str, columns: Mapping[str, type]) -> pd.DataFrame:
    """Read a table back, its columns in their order and of their types, whatever the file format made of them."""
    record = _slots.fetch_record(adata, key, verb)
    if table not in record or str(record["function"]) != f"cellclf.{verb}":
        msg = (
            f"adata.uns[{key!r}] was written by {str(record['function'])!r}. Name the record of `cc.{verb}` by `key=`."
        )
        raise KeyError(msg)
    return pd.DataFrame(
        {
            name: _slots.strings(record[table][name]) if kind is str else np.asarray(record[table][name], dtype=kind)
            for name, kind in columns.items()
        }
    )
