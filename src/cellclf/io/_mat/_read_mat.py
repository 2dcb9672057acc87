"""A matrix, its labels and its names, as MATLAB saves them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.io import _assemble, _files
from cellclf.io._mat import _hdf5, _version5

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData

    from cellclf.io._mat._variable import Variable

logger = logging.getLogger("cellclf")


def read_mat(
    path: str | os.PathLike[str],
    *,
    data: str = "data",
    labels: str = "labels",
    genes: str | None = None,
    samples: str | None = None,
    classes: str | Sequence[str] | None = None,
    transposed: bool | None = None,
    fill_missing: float | None = None,
) -> AnnData:
    """Read a matrix and its labels from a MATLAB file.

    Files of version 7.3 (HDF5) and of versions 5 to 7 are read, and matrices dense or sparse. Which way the matrix lies is
    told by the number of labels, and said: in the log, and in `uns["cellclf_read"]`.

    Parameters
    ----------
    path
        The file.
    data
        Variable with the matrix.
    labels
        Variable with the class of each cell: whole numbers, counted from 1 as in MATLAB, or a cell array of strings. It
        also names the column of `obs`.
    genes
        Variable with the names of the genes, a cell array of strings. `None`: ``"genes"`` if the file has it, else
        ``gene_1``, ``gene_2`` and so on.
    samples
        Variable with the names of the cells, a cell array of strings. `None`: ``"samples"`` if the file has it, else
        ``cell_1``, ``cell_2`` and so on.
    classes
        Names of the classes 1, 2, …, or the variable that holds them. `None`: the numbers are the names.
    transposed
        Whether the matrix has, in MATLAB, genes in rows and cells in columns. `None`: told by the number of labels.
    fill_missing
        Number to put in place of NaN. `None` refuses it.

    Returns
    -------
    AnnData of cells × genes: X in float32, sparse if more than half of it is zero; the class as category in `obs`,
    called as `labels` is; other cell arrays of strings, one for each gene or cell, in `var` and `obs`; the name of the
    label in `uns["cellclf_label"]`.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    KeyError
        The file has no such variable (the message lists what it has).
    ValueError
        The file is empty, damaged or incomplete; a struct or text stands where a matrix is due; the numbers of labels,
        names and cells do not fit; names are repeated; values are missing. The message names the place.

    Examples
    --------
    >>> import cellclf as cc
    >>> import numpy as np
    >>> from scipy.io import savemat
    >>> savemat("data.mat", {"data": np.arange(12.0).reshape(3, 4), "labels": [1, 2, 2, 1]})
    >>> adata = cc.io.read_mat("data.mat", classes=["B cell", "T cell"])
    >>> adata.shape, adata.obs["labels"].to_list()
    ((4, 3), ['B cell', 'T cell', 'T cell', 'B cell'])
    """
    file = _files.existing(path)
    with (_hdf5 if _hdf5.is_hdf5(file) else _version5).opened(file) as variables:
        values, classes_ = _labels(variables, file, labels, classes)
        matrix = _variable(variables, file, data, "matrix")
        transposed = _orientation(matrix, len(values), file, data, labels, transposed)
        size = matrix.shape[::-1] if transposed else matrix.shape
        obs, var = _names(
            variables, file, size, {data, labels, genes, samples, classes if isinstance(classes, str) else None}
        )
        call = {"data": data, "labels": labels, "transposed": transposed, "fill_missing": fill_missing}
        return _assemble.assemble(
            matrix.load(transposed),
            source=file,
            samples=_own_names(variables, file, samples, "samples", size[0])
            or [f"cell_{i + 1}" for i in range(size[0])],
            genes=_own_names(variables, file, genes, "genes", size[1]) or [f"gene_{i + 1}" for i in range(size[1])],
            label=labels,
            classes=_assemble.categories(values, classes_),
            obs=obs,
            var=var,
            function="io.read_mat",
            call=call,
            fill_missing=fill_missing,
        )


def _variable(variables: Mapping[str, Variable], path: Path, name: str, kind: str) -> Variable:
    """Return a variable that must be there and be what is due."""
    if name not in variables:
        msg = f"{path} has no variable {name!r}. It holds: {_slots.listing(variables)}."
        raise KeyError(msg)
    found = variables[name]
    if found.kind != kind:
        due = {"matrix": "a matrix of numbers", "cell": "a cell array of strings"}[kind]
        others = [other for other, variable in variables.items() if variable.kind == kind]
        msg = (
            f"{path}: {name!r} is {found.described} where {due} is due. Save the field or variable that holds it on its "
            f"own (`cellstr` makes cells of text), or name another one; there is: {_slots.listing(others)}."
        )
        raise ValueError(msg)
    return found


def _strings(variables: Mapping[str, Variable], path: Path, name: str) -> list[str]:
    """Return the strings of a cell array."""
    try:
        return _variable(variables, path, name, "cell").cells()
    except TypeError as error:
        msg = f"{path}: in {name!r}, {error}. Make it a cell array of strings with `cellstr`."
        raise ValueError(msg) from error


def _labels(
    variables: Mapping[str, Variable], path: Path, name: str, classes: str | Sequence[str] | None
) -> tuple[list[Any], list[str] | None]:
    """Return the class of each cell, None where there is none, and the names of the classes in order."""
    if name in variables and variables[name].kind == "cell":
        if classes is not None:
            msg = f"{path}: {name!r} holds the names of the classes themselves. Leave `classes` out."
            raise ValueError(msg)
        return [value or None for value in _strings(variables, path, name)], None
    numbers = np.asarray(_variable(variables, path, name, "matrix").vector(), dtype=np.float64)
    wrong = ~np.isnan(numbers) & (numbers != np.round(numbers))
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = f"{path}: label {row + 1} of {name!r} is {numbers[row]:g}, which is no whole number. Give classes, counted from 1."
        raise ValueError(msg)
    values = [None if np.isnan(value) else int(value) for value in numbers]
    if classes is None:
        return values, None
    names = _strings(variables, path, classes) if isinstance(classes, str) else [str(word) for word in classes]
    names = _assemble.unique_names(names, "classes", path).to_list()
    for row, value in enumerate(values):
        if value is not None and not 1 <= value <= len(names):
            msg = (
                f"{path}: label {row + 1} of {name!r} is {value}, but `classes` names {len(names)}, counted from 1. "
                "Give a name for each class."
            )
            raise ValueError(msg)
    return [None if value is None else names[value - 1] for value in values], names


def _orientation(matrix: Variable, n_labels: int, path: Path, data: str, labels: str, transposed: bool | None) -> bool:
    """Tell whether genes are in rows, by the number of labels, and say so."""
    shape = matrix.shape
    fits = len(shape) == 2 and (n_labels in shape if transposed is None else shape[1 if transposed else 0] == n_labels)
    if not fits:
        given = "" if transposed is None else f" and transposed={transposed}"
        msg = (
            f"{path}: {data!r} is {matrix.described}, but {labels!r} has {n_labels} labels{given}. "
            "One side of the matrix must be as long as the labels; check both, and `transposed`."
        )
        raise ValueError(msg)
    if transposed is None:
        if shape[0] == shape[1]:
            msg = (
                f"{path}: {data!r} is {shape[0]} × {shape[1]}, so the number of labels does not tell where cells are. "
                "Give transposed=True if MATLAB has genes in rows, else transposed=False."
            )
            raise ValueError(msg)
        transposed = shape[1] == n_labels
    way = "genes × cells" if transposed else "cells × genes"
    logger.info("%s: %r is %d × %d in MATLAB, and %d labels make that %s.", path, data, *shape, n_labels, way)
    return transposed


def _own_names(
    variables: Mapping[str, Variable], path: Path, name: str | None, usual: str, length: int
) -> list[str] | None:
    """Return the names of genes or cells, if there are any."""
    if name is None:
        if usual not in variables or variables[usual].kind != "cell":
            return None
        name = usual
    names = _strings(variables, path, name)
    if len(names) != length:
        msg = f"{path}: {name!r} holds {len(names)} names for {length} {usual}. Give one name for each."
        raise ValueError(msg)
    return names


def _names(
    variables: Mapping[str, Variable], path: Path, size: tuple[int, ...], used: set[str | None]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Collect the other cell arrays of strings that have one for each cell, or one for each gene."""
    frames = pd.DataFrame(index=range(size[0])), pd.DataFrame(index=range(size[1]))
    if size[0] != size[1]:
        for name, variable in variables.items():
            length = int(np.prod(variable.shape))
            if variable.kind == "cell" and name not in used | {"genes", "samples"} and length in size:
                frames[size.index(length)][name] = _strings(variables, path, name)
    return frames
