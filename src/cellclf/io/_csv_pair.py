"""A table of numbers and a table of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cellclf import _slots
from cellclf.io import _assemble, _files, _tables, _wide

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray


def read_csv_pair(
    data: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    label: str | None = None,
    samples: str | None = None,
    sep: str | None = None,
    transposed: bool = False,
    unmatched: Literal["error", "drop", "keep"] = "error",
    fill_missing: float | None = None,
) -> AnnData:
    r"""Read a wide table of expression and the table that gives each sample its class.

    The first line of `data` names the genes, and its first column the samples; everything else is numbers. `labels` has a
    line for each sample. The two are joined by the names of the samples, in whatever order they stand. Both may be
    gzipped, whatever their names.

    Values are parsed straight to float32, a few megabytes of text at a time, so reading takes little more memory than
    the matrix itself.

    Parameters
    ----------
    data
        Table of samples × genes: comma-, tab- or semicolon-separated.
    labels
        Table with the class of each sample, and a line of column names.
    label
        Column of `labels` with the class. `None`: the only one besides the samples.
    samples
        Column of `labels` with the names of the samples. `None`: the first one.
    sep
        Separator of both files. `None`: found in the first line of each.
    transposed
        Whether `data` has genes in rows and samples in columns.
    unmatched
        What to do about samples without a class and lines of `labels` without a sample: refuse them, drop them, or keep
        the samples with their class missing.
    fill_missing
        Number to put in place of missing values (empty, `NA`, `NaN`). `None` refuses them.

    Returns
    -------
    AnnData of samples × genes: X in float32, sparse if more than half of it is zero; the class as category and all other
    columns of `labels` in `obs`; the name of the label in `uns["cellclf_label"]`.

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    KeyError
        `label` or `samples` is no column of `labels` (the message lists them).
    ValueError
        A file is empty, damaged, ragged, or holds text where a number is due; names are repeated; values are missing;
        samples and labels do not match; genes and samples are the other way round. The message names the place.

    Examples
    --------
    >>> import cellclf as cc
    >>> from pathlib import Path
    >>> _ = Path("data.csv").write_text(",TP53,KRAS\na,1.5,2\nb,0.5,3\nc,2,1\nd,1,4\n")
    >>> _ = Path("labels.csv").write_text(",Class\nd,LUAD\nc,BRCA\nb,LUAD\na,BRCA\n")
    >>> adata = cc.io.read_csv_pair("data.csv", "labels.csv")
    >>> adata.obs["Class"].to_list()
    ['BRCA', 'LUAD', 'BRCA', 'LUAD']
    """
    if unmatched not in ("error", "drop", "keep"):
        msg = f"unmatched={unmatched!r} is no choice. Give 'error', 'drop' or 'keep'."
        raise ValueError(msg)
    data_path, labels_path = _files.existing(data), _files.existing(labels)
    table = _tables.read(labels_path, sep, samples)
    name = _tables.label_column(table, label, labels_path)
    header = _wide.header(data_path, sep)[1]
    _check_orientation(header, table, data_path, labels_path, transposed=transposed)
    _assemble.unique_names(header, "samples" if transposed else "genes", data_path)  # before anything long is read
    wide = _wide.read(data_path, sep)
    rows, columns = (wide.columns, wide.rows) if transposed else (wide.rows, wide.columns)
    names = _assemble.unique_names(rows, "samples", data_path)
    matched = _tables.match(names.to_list(), table, data_path, labels_path)
    has_class = matched[name].notna().to_numpy()
    if unmatched == "error":
        _check_matched(names[~has_class], table.index.difference(names, sort=False), data_path, labels_path)
    x = _assemble.settle(wide.values.T if transposed else wide.values)
    kept: NDArray[np.bool_] = has_class if unmatched == "drop" else np.ones(len(names), bool)
    x, names, matched = (x, names, matched) if kept.all() else (x[kept], names[kept], matched[kept])
    return _assemble.assemble(
        x,
        source=data_path,
        samples=names,
        genes=columns,
        label=name,
        classes=_assemble.categories(matched[name]),
        obs=_tables.typed(matched.drop(columns=name)),
        function="io.read_csv_pair",
        call={"label": name, "transposed": transposed, "unmatched": unmatched, "fill_missing": fill_missing},
        fill_missing=fill_missing,
    )


def _check_orientation(
    columns: Sequence[str], table: pd.DataFrame, data: Path, labels: Path, *, transposed: bool
) -> None:
    """Refuse a table that lies the other way, before it is read."""
    in_columns = int(table.index.isin(columns).sum())
    if not transposed and 2 * in_columns > len(table):
        msg = (
            f"The columns of {data} are samples ({in_columns} of {len(table)} samples of {labels} are there), so genes "
            "seem to be in rows. Give `transposed=True`."
        )
        raise ValueError(msg)
    if transposed and in_columns == 0:
        msg = (
            f"No column of {data} is a sample of {labels}, though transposed=True: the columns are "
            f"{_slots.listing(columns, 3)}, the samples {_slots.listing(table.index, 3)}. If samples are in rows, leave "
            "`transposed` out; otherwise check the names, or name the column with the samples (`samples=`)."
        )
        raise ValueError(msg)


def _check_matched(without_class: pd.Index, without_sample: pd.Index, data: Path, labels: Path) -> None:
    """Refuse samples without a class and classes without a sample."""
    faults = []
    if len(without_class):
        faults.append(
            f"{len(without_class)} samples of {data} have no class in {labels} ({_slots.listing(without_class, 3)})"
        )
    if len(without_sample):
        faults.append(
            f"{len(without_sample)} samples of {labels} are not in {data} ({_slots.listing(without_sample, 3)})"
        )
    if faults:
        msg = f"{'; '.join(faults)}. Correct the files, or give unmatched='drop' or unmatched='keep'."
        raise ValueError(msg)
