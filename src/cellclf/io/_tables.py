"""Small tables: what is known about each sample."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.io import _assemble, _files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ABSENT = frozenset({"", "NA", "NaN", "nan", "N/A"})


def read(path: Path, sep: str | None, samples: str | None) -> pd.DataFrame:
    """Read a table as strings, indexed by the names of the samples."""
    columns, rows = _rows(path, sep)
    if samples is not None and samples not in columns:
        msg = f"{path} has no column {samples!r}. It holds: {_slots.listing(columns)}."
        raise KeyError(msg)
    place = 0 if samples is None else columns.index(samples)
    if not rows:
        msg = f"{path} holds a first line, but no samples below it. Get or write it again."
        raise ValueError(msg)
    names = _assemble.unique_names([row[place] for row in rows], "samples", path)
    table = pd.DataFrame(
        [[None if value in _ABSENT else value for value in row] for row in rows],
        index=names,
        columns=_assemble.unique_names(_named(columns), "columns", path),
        dtype=object,
    )
    return table.drop(columns=table.columns[place])


def _rows(path: Path, sep: str | None) -> tuple[list[str], list[list[str]]]:
    """Read the names of the columns and all rows, which must be as long."""
    separator, _, _ = _files.first_lines(path, sep)
    with _files.opened(path) as file:
        text = _files.decoded(file.read(), path, 1)
    (_, columns), *records = _files.records(io.StringIO(text, newline=""), separator, path)
    rows = list[list[str]]()
    for number, row in records:
        if not row:
            continue
        if not rows and len(row) == len(columns) + 1:  # as R's write.table leaves it
            columns = ["", *columns]
        if len(row) != len(columns):
            msg = (
                f"{path}, line {number}, has {len(row)} fields, but the first line has {len(columns)}. "
                "Check whether the line is cut off or holds stray separators."
            )
            raise ValueError(msg)
        rows.append(row)
    return columns, rows


def _named(columns: Sequence[str]) -> list[str]:
    """Name the first column, which often has no name."""
    return [columns[0] or "sample", *columns[1:]]


def label_column(table: pd.DataFrame, label: str | None, path: Path) -> str:
    """Return the column with the classes: as named, or the only one."""
    if label is not None:
        if label not in table:
            msg = f"label={label!r} is no column of {path}. It holds: {_slots.listing(table)}."
            raise KeyError(msg)
        return label
    if table.shape[1] != 1:
        msg = f"{path} holds {table.shape[1]} columns besides the samples: {_slots.listing(table)}. Name one with `label=`."
        raise ValueError(msg)
    return str(table.columns[0])


def match(names: Sequence[str], table: pd.DataFrame, data: Path, source: Path) -> pd.DataFrame:
    """Give each sample of the data its row of the table, by name; refuse tables that share no name."""
    if not table.index.isin(names).any():
        msg = (
            f"No sample of {data} is in {source}: the one names {_slots.listing(names, 3)}, the other "
            f"{_slots.listing(table.index, 3)}. Name the column with the samples (`samples=`), or check the files."
        )
        raise ValueError(msg)
    return table.reindex(pd.Index(names, dtype=object))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Turn columns of strings into numbers where all of them are, else into categories."""
    return pd.DataFrame({str(name): _typed(table[name]) for name in table}, index=table.index)


def _typed(column: pd.Series) -> Any:
    """Turn one column into numbers or categories."""
    try:
        return pd.to_numeric(column).astype(np.float64) if column.isna().any() else pd.to_numeric(column)
    except (ValueError, TypeError):
        return _assemble.categories(column)
