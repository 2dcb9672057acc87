"""Any matrix as a stream of blocks in memory, each in one of four plain forms the kernels know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from cellclf.stats import _kernels, _threads
from cellclf.stats._pieces import BLOCK_BYTES, REFUSED, Parts, is_at_hand, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_CONVERTED = {"b": "u1", "f2": "f4", "f16": "f8"}  # kinds numba does not take; everything else stays as it is


@dataclass(frozen=True, eq=False)
class Block:
    """Part of a matrix in memory: its place, and its values line after line, a line being a row or a gene.

    Line `i` has the values `data[indptr[i]:indptr[i + 1]]`. Their places are the same part of `indices`, or, for an array,
    whose lines all have the same places (`shared`), `indices` itself. Read-only views of the user's own arrays wherever
    possible.
    """

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[np.int64]
    shared: bool
    by_rows: bool
    rows: slice
    columns: slice

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.rows.stop - self.rows.start)

    @property
    def n_columns(self) -> int:
        """Number of genes."""
        return int(self.columns.stop - self.columns.start)

    @property
    def arrays(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64], bool]:
        """What every kernel takes."""
        return self.data, self.indices, self.indptr, self.shared

    @property
    def line_sizes(self) -> NDArray[np.int64]:
        """Number of stored values in each line."""
        return np.diff(self.indptr)

    @property
    def line_length(self) -> int:
        """Number of places in a line, stored or not."""
        return self.n_columns if self.by_rows else self.n_rows

    def row_range(self, first: int, stop: int) -> Block:
        """View some rows of a sparse block that lies by rows."""
        own = slice(self.indptr[first], self.indptr[stop])
        indptr, rows = self.indptr[first : stop + 1] - own.start, slice(self.rows.start + first, self.rows.start + stop)
        return replace(self, data=self.data[own], indices=self.indices[own], indptr=indptr, rows=rows)

    def is_disordered(self) -> bool:
        """Whether indices of a line do not increase; refuses indices that no line can have."""
        return not self.shared and require_sound(max(self._by_line(_kernels.order), default=0)) > 0

    def has_duplicates(self) -> bool:
        """Whether a place is stored twice, so that its value is the sum of two."""
        return not self.shared and any(self._by_line(_kernels.has_duplicates))

    def _by_line(self, kernel: Callable[..., Any]) -> list[Any]:
        """Call a kernel on the indices of some lines at a time."""
        arrays = (self.indices, self.indptr, self.line_length)
        return _threads.run([partial(kernel, *arrays, *r) for r in _threads.parts(self.line_sizes)])

    def in_order(self) -> Block:
        """Return the block with sorted indices and each place stored once; a copy only where it must be."""
        return self.canonical() if self.is_disordered() else self

    def canonical(self) -> Block:
        """Return a copy with sorted indices and each place stored once."""
        shape = (self.indptr.size - 1, self.line_length)
        copied = sparse.csr_matrix((self.data, self.indices, self.indptr), shape=shape, copy=True)
        copied.sum_duplicates()
        return self._with(copied)

    def to_rows(self) -> Block:
        """Return the block with rows for lines; one that lies by columns is copied."""
        if self.by_rows:
            return self
        if self.shared:
            values = self.data.reshape(self.n_columns, self.n_rows).T
            return _array_block(np.ascontiguousarray(values), self.rows.start, self.columns.start, by_columns=False)
        return replace(self._with(self.to_scipy().tocsr()), by_rows=True)

    def to_scipy(self) -> Any:
        """View the block as a SciPy matrix."""
        arrays, shape = (self.data, self.indices, self.indptr), (self.n_rows, self.n_columns)
        if self.shared:
            arrays = (self.data, np.tile(self.indices, self.indptr.size - 1), self.indptr)
        return sparse.csr_matrix(arrays, shape=shape) if self.by_rows else sparse.csc_matrix(arrays, shape=shape)

    def _with(self, x: Any) -> Block:
        """Replace the arrays by those of a SciPy matrix."""
        return replace(self, data=_plain(x.data), indices=_plain(x.indices), indptr=_plain(x.indptr.astype(np.int64)))


def blocks(x: Any, rows: NDArray[np.int64] | None = None) -> Iterator[Block]:
    """Go through a matrix: rows downwards, and within the same rows columns to the right.

    Of a dask array or a dataset on disk one piece is read in the background while another is in use. Where only some
    `rows` (numbers, in order) are wanted, little else is read.
    """
    if is_at_hand(x):
        yield from _memory_blocks(x, 0, 0)
    else:
        for part in x.parts if isinstance(x, Parts) else stream(x, rows):
            yield from _memory_blocks(part.values, part.row, part.column)


def require_sound(disorder: int) -> int:
    """Refuse a sparse matrix whose indices were found to lie outside of it; return what was found otherwise."""
    if disorder > 1:
        msg = "The sparse matrix is broken: its indices reach beyond its shape. Rebuild it from its source."
        raise ValueError(msg)
    return disorder


def check_shape(x: Any, n_rows: int, what: str) -> None:
    """Refuse what is not a matrix, or one whose rows do not belong to the vector given with it."""
    shape = getattr(x, "shape", None)
    if shape is None or len(shape) != 2:
        msg = f"The matrix is a {type(x).__name__} of shape {shape}, but it must have two dimensions. {REFUSED}"
        raise TypeError(msg) if shape is None else ValueError(msg)
    if shape[0] != n_rows:
        msg = f"{what} has {n_rows} entries, but the matrix has {shape[0]} rows. Give one entry for each row."
        raise ValueError(msg)


def _memory_blocks(x: Any, row: int, column: int) -> Iterator[Block]:
    """Take a matrix in memory as one block, or, where values must be converted, in pieces of bounded size."""
    if isinstance(x, np.ma.MaskedArray):
        msg = "The matrix is a masked array, whose masked values have no bin. Fill them (`x.filled(0)`) first."
        raise TypeError(msg)
    if sparse.issparse(x):
        if x.format not in ("csr", "csc"):
            msg = f"The matrix is sparse in {x.format} format, which cannot be read here. Call `.tocsr()` first."
            raise TypeError(msg)
        whole = _wanted(x.dtype) == x.dtype
    else:
        x = np.asarray(x)
        whole = _wanted(x.dtype) == x.dtype and (x.flags.c_contiguous or x.flags.f_contiguous)
    by_columns = x.format == "csc" if sparse.issparse(x) else not x.flags.c_contiguous and x.flags.f_contiguous
    n_major = x.shape[1] if by_columns else x.shape[0]
    size = x.nnz if sparse.issparse(x) else x.size
    step = n_major if whole else max(1, int(n_major * BLOCK_BYTES / max(1, 8 * size)))
    for first in range(0, n_major, max(1, step)):
        piece = x if step >= n_major else (x[:, first : first + step] if by_columns else x[first : first + step])
        offset = (row, column + first) if by_columns else (row + first, column)
        yield _block(piece, *offset, by_columns=by_columns)


def _block(x: Any, row: int, column: int, *, by_columns: bool) -> Block:
    """Bring a matrix in memory into the form of a block."""
    if not sparse.issparse(x):
        return _array_block(x, row, column, by_columns=by_columns)
    rows, columns = slice(row, row + x.shape[0]), slice(column, column + x.shape[1])
    arrays = (_plain(x.data), _plain(x.indices), _plain(x.indptr.astype(np.int64)))
    return Block(*arrays, shared=False, by_rows=not by_columns, rows=rows, columns=columns)


def _array_block(x: NDArray[Any], row: int, column: int, *, by_columns: bool) -> Block:
    """View an array as lines that share their indices."""
    rows, columns = slice(row, row + x.shape[0]), slice(column, column + x.shape[1])
    lines = x.T if by_columns else x
    indptr = np.arange(lines.shape[0] + 1, dtype=np.int64) * lines.shape[1]
    arrays = (_plain(lines).reshape(-1), _plain(np.arange(lines.shape[1], dtype=np.int32)), _plain(indptr))
    return Block(*arrays, shared=True, by_rows=not by_columns, rows=rows, columns=columns)


def _wanted(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which values are read; numbers only."""
    if dtype.kind not in "biuf":
        msg = f"The matrix holds values of type {dtype}, which are not real numbers. Convert them, e.g. to float32."
        raise TypeError(msg)
    name = _CONVERTED.get(f"{dtype.kind}{dtype.itemsize}", _CONVERTED.get(dtype.kind))
    return np.dtype(name) if name else dtype.newbyteorder("=")


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """View an array as read-only, contiguous and of a type the kernels know, so that each is compiled once."""
    plain = np.ascontiguousarray(values, dtype=_wanted(values.dtype)).view(np.ndarray)
    plain.flags.writeable = False
    return plain
