"""Tables in records: one array per column, so that h5ad and zarr keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def columns(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Part a table into its columns, texts as objects."""
    return {
        str(name): column.to_numpy(dtype=None if column.dtype.kind in "iufb" else object)
        for name, column in table.items()
    }
