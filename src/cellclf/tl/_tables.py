"""Tables that several verbs give, and how records hold tables: one array per column, so that h5ad and zarr keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from cellclf import stats

if TYPE_CHECKING:
    import numpy as np

REPORT = ("precision", "recall", "f1", "support")


def columns(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Part a table into its columns, texts as objects."""
    return {
        str(name): column.to_numpy(dtype=None if column.dtype.kind in "iufb" else object)
        for name, column in table.items()
    }


def confusion_table(table: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    """Name the classes of a confusion table: rows are the truth, columns what is predicted."""
    return pd.DataFrame(table, index=pd.Index(classes, name="truth"), columns=pd.Index(classes, name="predicted"))


def report_table(table: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    """Report on each class of a confusion table."""
    report = stats.classification_report(table)
    return pd.DataFrame({name: report[name] for name in REPORT}, index=pd.Index(classes, name="class"))
