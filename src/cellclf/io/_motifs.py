"""Windows of the genome: which motifs they hold, and whether their chromatin is open."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from cellclf import _slots
from cellclf.io import _arrow, _assemble, _files

if TYPE_CHECKING:
    from anndata import AnnData

PathLike: TypeAlias = str | os.PathLike[str]
_EXACT = 2**24  # beyond it, float32 leaves out whole numbers


def read_motifs(
    path: PathLike | Sequence[PathLike] | Mapping[str, PathLike],
    *,
    label: str = "Y",
    complement: str | None = "Y_alt",
    motifs: str = r"M\d+",
) -> AnnData:
    r"""Read tables of windows × motifs from Feather or Parquet files.

    Parameters
    ----------
    path
        A file; or three, with the windows for training, validation and testing; or a mapping of ``"train"``, ``"valid"``
        and ``"test"`` (as many of them as there are) to files.
    label
        Column with the class of each window.
    complement
        Column that, where the file has it, holds 1 for windows of which `label` says 0 and the other way round: one-hot
        labels. It is checked, and left out. `None`: there is none.
    motifs
        Regular expression that the names of motif columns match as a whole.

    Returns
    -------
    AnnData of windows × motifs: X a sparse float32 matrix of exactly the whole numbers of the files; the class as
    category and all other columns in `obs`; with several files also `obs["split"]`; the name of the label in
    `uns["cellclf_label"]`.

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    KeyError
        `label` is no column of a file (the message lists them).
    ValueError
        A file is empty, damaged, or has no motif columns; the files have different ones; a value is missing or no whole
        number; labels are not one-hot. The message names the place.

    Examples
    --------
    >>> import cellclf as cc
    >>> import pandas as pd
    >>> windows = pd.DataFrame({"M00001": [0, 2, 0], "M00002": [1, 0, 0], "Y": [0, 1, 0], "Y_alt": [1, 0, 1]})
    >>> windows.to_feather("train.feather")
    >>> windows.to_feather("test.feather")
    >>> adata = cc.io.read_motifs({"train": "train.feather", "test": "test.feather"})
    >>> adata.shape, adata.obs["split"].to_list()[-2:]
    ((6, 2), ['test', 'test'])
    """
    parts = _parts(path)
    tables = [_arrow.ColumnTable(_files.existing(file)) for file in parts.values()]
    names = _motif_columns(tables, re.compile(motifs))
    for table in tables:
        if label not in table.columns:
            others = [column for column in table.columns if column not in set(names)]
            msg = f"label={label!r} is no column of {table.path}. Besides motifs it holds: {_slots.listing(others)}."
            raise KeyError(msg)
    read = [_read(table, names, label, complement) for table in tables]
    obs = pd.concat([frame for _, frame in read], ignore_index=True)
    sizes = [len(frame) for _, frame in read]
    samples = [str(row) for row in range(len(obs))]
    if isinstance(path, Mapping) or len(parts) > 1:
        samples = [f"{split}_{row}" for split, size in zip(parts, sizes, strict=True) for row in range(size)]
        obs["split"] = pd.Categorical(np.repeat(list(parts), sizes), categories=["train", "valid", "test"])
    classes = _assemble.categories(obs.pop(label))
    return _assemble.assemble(
        _assemble.sparse_stack([x for x, _ in read]),
        source=", ".join(str(table.path) for table in tables),
        samples=samples,
        genes=names,
        label=label,
        classes=classes,
        obs=obs,
        function="io.read_motifs",
        call={"label": label, "complement": complement, "motifs": motifs, "files": list(parts)},
    )


def _parts(path: PathLike | Sequence[PathLike] | Mapping[str, PathLike]) -> dict[str, Path]:
    """Say which file holds which part."""
    if isinstance(path, str | os.PathLike):
        return {"all": Path(path)}
    if not isinstance(path, Mapping):
        if len(path) != 3:
            msg = f"path lists {len(path)} files. Give three (train, valid, test), or a mapping such as {{'train': file}}."
            raise ValueError(msg)
        path = dict(zip(("train", "valid", "test"), path, strict=True))
    if unknown := [split for split in path if split not in _slots.SPLIT_NAMES]:
        msg = f"path has parts named {_slots.listing(unknown)}. Name them 'train', 'valid' and 'test'."
        raise ValueError(msg)
    parts = {_slots.SPLIT_NAMES[split]: Path(file) for split, file in path.items()}
    if not parts or len(parts) < len(path):
        msg = f"path has {'no parts' if not parts else f'a part twice ({_slots.listing(path)})'}. Give each part one file."
        raise ValueError(msg)
    return parts


def _motif_columns(tables: Sequence[_arrow.ColumnTable], pattern: re.Pattern[str]) -> list[str]:
    """Return the names of the motif columns, the same in all files."""
    names: list[str] = []
    for table in tables:
        found = [column for column in table.columns if pattern.fullmatch(column)]
        if not found:
            msg = (
                f"{table.path} has no motif columns (names that match {pattern.pattern!r}). "
                f"It holds: {_slots.listing(table.columns)}. Give `motifs=` a pattern that matches."
            )
            raise ValueError(msg)
        names = names or found
        _assemble.unique_names(table.columns, "columns", table.path)
        if different := sorted(set(names) ^ set(found)):
            msg = (
                f"{table.path} and {tables[0].path} have different motifs: {len(different)} are in one of them only "
                f"({_slots.listing(different, 3)}). Write both with the same columns."
            )
            raise ValueError(msg)
    return names


def _read(
    table: _arrow.ColumnTable, names: list[str], label: str, complement: str | None
) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Read one file, a few thousand windows at a time."""
    blocks: list[Any] = []
    others = [column for column in table.columns if column not in set(names)]
    columns: dict[str, list[Any]] = {column: [] for column in others}
    start = 0
    for batch in table.batches([*names, *others]):
        block = np.empty((batch.num_rows, len(names)), np.float32)
        for position, name in enumerate(names):
            block[:, position] = _whole(batch[name], table.path, name, start)
        for column in others:
            columns[column] += batch[column].to_pylist()
        blocks.append(sparse.csr_matrix(block))
        start += batch.num_rows
    if not blocks:
        msg = f"{table.path} has columns but no rows. Get or write it again."
        raise ValueError(msg)
    columns[label] = _classes(columns[label], columns.pop(complement or "", None), table.path, label)
    return _assemble.sparse_stack(blocks), pd.DataFrame(columns)


def _whole(column: Any, path: Path, name: str, start: int) -> np.ndarray:
    """Return a column of whole numbers that float32 holds exactly."""
    values = _arrow.values_of(column)
    wrong = ~((np.abs(values) <= _EXACT) & (values == np.floor(values)))
    if not wrong.any():
        return values
    row = int(np.argmax(wrong))
    value = column[row].as_py()
    shown = "a missing value" if value is None else repr(value)
    msg = (
        f"{path}, row {start + row + 1}, column {name!r}: {shown} is not a whole number of at most "
        f"{_EXACT:,}. Correct it, or leave the column out with `motifs=`."
    )
    raise ValueError(msg)


def _classes(values: list[Any], opposite: list[Any] | None, path: Path, label: str) -> list[Any]:
    """Return the classes as strings; a one-hot partner must say the opposite."""
    classes = [None if pd.isna(value) else _plain(value) for value in values]
    for row, (value, other) in enumerate(zip(classes, opposite or [], strict=False)):
        if {value, None if pd.isna(other) else _plain(other)} not in ({"0", "1"}, {None}):
            msg = (
                f"{path}, row {row + 1}: {label!r} is {value!r} and its complement is {other!r}, which is not one-hot. "
                "Correct the labels, or give complement=None if that column means something else."
            )
            raise ValueError(msg)
    return classes


def _plain(value: Any) -> str:
    """Write a class: 1, 1.0, True and '1' are one."""
    return (
        str(int(value)) if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()) else str(value)
    )
