"""The only place that builds an AnnData: every reader hands over what it found, and it is checked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from cellclf import _slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

READ_KEY = "cellclf_read"
_BLOCK = 2**20  # values looked at together


def assemble(
    x: NDArray[np.float32] | sparse.csr_matrix,
    *,
    source: object,
    samples: Iterable[Any],
    genes: Iterable[Any],
    label: str,
    classes: pd.Categorical,
    function: str,
    call: Mapping[str, Any],
    obs: pd.DataFrame | None = None,
    var: pd.DataFrame | None = None,
    fill_missing: float | None = None,
) -> AnnData:
    """Build the AnnData: names unique, label categorical and recorded, values finite, the call recorded."""
    rows, columns = unique_names(samples, "samples", source), unique_names(genes, "genes", source)
    check_shape(x.shape, (len(rows), len(columns)), source)
    check_values(x, rows, columns, source, fill_missing)
    if not (classes.codes >= 0).any():
        msg = f"No sample of {source} has a class in {label!r}. Check the labels."
        raise ValueError(msg)
    obs_frame = pd.DataFrame(index=rows) if obs is None else obs.set_axis(rows, axis=0)
    obs_frame = pd.concat(
        [pd.DataFrame({label: classes}, index=rows), obs_frame.drop(columns=label, errors="ignore")], axis=1
    )
    var_frame = pd.DataFrame(index=columns) if var is None else var.set_axis(columns, axis=0)
    record = _slots.record(function, call, classes=classes.categories)
    return AnnData(x, obs=obs_frame, var=var_frame, uns={_slots.LABEL_KEY: label, READ_KEY: record})


def unique_names(names: Iterable[Any], what: str, source: object) -> pd.Index:
    """Return names as strings, refusing empty and repeated ones."""
    index = pd.Index([str(name) for name in names], dtype=object)
    if len(empty := np.flatnonzero(index == "")):
        msg = (
            f"{source}: {len(empty)} {what} have no name, the first one is number {empty[0] + 1}. Name or remove them."
        )
        raise ValueError(msg)
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        msg = (
            f"{source}: {len(repeated)} names of {what} occur more than once ({_slots.listing(repeated, 3)}). "
            "Rename or remove the repeated ones in the file."
        )
        raise ValueError(msg)
    return index


def check_shape(shape: tuple[int, ...], expected: tuple[int, int], source: object) -> None:
    """Refuse an empty matrix, and one that its names do not fit."""
    if tuple(shape) != expected:
        msg = f"{source}: the matrix is {_size(shape)}, but names are there for {_size(expected)}. Check the names."
        raise ValueError(msg)
    if 0 in expected:
        msg = f"{source} holds {expected[0]} samples × {expected[1]} genes: there is nothing to learn from. Check the file."
        raise ValueError(msg)


def check_values(
    x: NDArray[np.float32] | sparse.csr_matrix,
    samples: Sequence[str] | pd.Index,
    genes: Sequence[str] | pd.Index,
    source: object,
    fill_missing: float | None = None,
) -> None:
    """Refuse NaN and infinity, naming the first place; or fill NaN in place."""
    if fill_missing is not None and not np.isfinite(fill_missing):
        msg = f"fill_missing={fill_missing!r} is no number to fill in. Give e.g. 0, or None to refuse missing values."
        raise ValueError(msg)
    is_sparse = sparse.issparse(x)
    values: NDArray[np.float32] = x.data if is_sparse else x  # type: ignore[assignment]
    step = _BLOCK if is_sparse else _step(x)
    for start in range(0, len(values), step):
        block = values[start : start + step]
        if fill_missing is not None:
            block[np.isnan(block)] = fill_missing
        if (wrong := ~np.isfinite(block)).any():
            place = np.argwhere(wrong)[0]
            value, first = block[tuple(place)], start + int(place[0])
            row, column = _row_and_column(x, first) if is_sparse else (first, int(place[1]))
            msg = (
                f"{source}: the value of sample {samples[row]!r} (row {row + 1}), gene {genes[column]!r} "
                f"(column {column + 1}) is {_fault(value)}"
            )
            raise ValueError(msg)
    if fill_missing == 0 and is_sparse:
        x.eliminate_zeros()  # type: ignore[union-attr]


def _row_and_column(x: Any, stored: int) -> tuple[int, int]:
    """Tell where a stored value of a CSR matrix lies."""
    return int(np.searchsorted(x.indptr, stored, side="right")) - 1, int(x.indices[stored])


def _fault(value: np.float32) -> str:
    """Say what is wrong with a value, and what to do."""
    if np.isnan(value):
        return "missing (NaN or empty). Fill or remove it in the file, or give a number to fill in: `fill_missing=`."
    return f"{value}, or too large for float32 (beyond 3.4e38). Correct or remove it in the file."


def _size(shape: Sequence[int]) -> str:
    """Write a shape."""
    return " × ".join(str(length) for length in shape)


def settle(x: NDArray[np.float32]) -> NDArray[np.float32] | sparse.csr_matrix:
    """Give a dense matrix as it is stored: CSR if more than half is zero, else dense, row by row in memory."""
    starts, step = range(0, len(x), _step(x)), _step(x)
    sizes = [np.count_nonzero(x[start : start + step], axis=1) for start in starts]
    indptr = np.concatenate([[0], *sizes]).cumsum()
    if 2 * indptr[-1] >= x.size:
        return np.ascontiguousarray(x)
    kind = np.int32 if indptr[-1] < 2**31 else np.int64
    data, indices = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], kind)
    for start in starts:  # straight into place: the dense matrix and one sparse copy are all there ever is
        block = x[start : start + step]
        rows, columns = np.nonzero(block)
        place = slice(indptr[start], indptr[start] + len(rows))
        data[place], indices[place] = block[rows, columns], columns
    return sparse.csr_matrix((data, indices, indptr.astype(kind)), shape=x.shape)


def _step(x: NDArray[np.float32]) -> int:
    """Tell how many rows to look at together."""
    return max(1, _BLOCK // max(1, x.shape[1]))


def sparse_stack(blocks: list[Any]) -> sparse.csr_matrix:
    """Put blocks of rows together as CSR, whatever they hold."""
    small = [sparse.csr_matrix(block, dtype=np.float32) for block in blocks]
    return sparse.vstack(small, format="csr", dtype=np.float32)


def compact(x: Any) -> NDArray[np.float32] | sparse.csr_matrix:
    """Give a matrix as float32: CSR if more than half is zero, else dense."""
    if sparse.issparse(x):
        x = sparse.csr_matrix(x, dtype=np.float32, copy=True)
        x.sum_duplicates()
        x.eliminate_zeros()
        return x if 2 * x.nnz < x.shape[0] * x.shape[1] else x.toarray()
    return settle(np.array(x, np.float32))


def categories(values: Iterable[Any], names: Sequence[str] | None = None) -> pd.Categorical:
    """Make classes out of values: strings, in the order of `names`, of the numbers they are, or of the alphabet."""
    strings = [None if pd.isna(value) else str(value) for value in values]
    if names is None:
        present = {value for value in strings if value is not None}
        whole = all(value.isdecimal() for value in present)
        names = sorted(present, key=lambda value: (int(value), value) if whole else (0, value))
    return pd.Categorical(strings, categories=pd.Index(list(names), dtype="object"))
