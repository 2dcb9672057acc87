"""The values of some genes in some cells, gathered from any matrix into one form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._findings import Findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RUN = 2**20  # values looked at together: what is computed from them on the way stays small


class ByCell(NamedTuple):
    """A matrix by cells (`data`, `genes`, `indptr`), and for each gene the cells and the places in `data` of its values."""

    data: NDArray[Any]
    genes: NDArray[Any]
    indptr: NDArray[np.int64]
    cells: NDArray[Any]
    places: NDArray[np.integer[Any]]
    borders: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GeneValues:
    """The values of genes that are not zero, gene after gene, each gene's in the order of the cells.

    Parameters
    ----------
    matrix
        Cells × genes, CSC with sorted indices, without stored zeros or duplicates.
    """

    matrix: sparse.csc_matrix

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.matrix.shape[0])

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.matrix.shape[1])

    @property
    def gene_of_value(self) -> NDArray[np.int64]:
        """The gene of each value."""
        return np.repeat(np.arange(self.n_genes), np.diff(self.matrix.indptr))

    @cached_property
    def share_shared(self) -> float:
        """Share of the pairs of genes and cells in which both genes are not zero: the same for every storage."""
        by_cell = np.bincount(self.matrix.indices, minlength=self.n_cells).astype(np.float64)
        return float((by_cell**2).sum()) / (float(self.n_genes) ** 2 * self.n_cells)

    def dense(self, first: int, stop: int) -> NDArray[Any]:
        """Lay some genes out as an array, genes in rows."""
        return self.matrix[:, first:stop].T.toarray()

    def over_runs(self, function: Callable[[slice, NDArray[np.int64]], Any]) -> list[Any]:
        """Call a function on runs of values, whole genes each: where they lie, and the gene of each value."""
        indptr, borders = self.matrix.indptr, [0]
        while borders[-1] < self.n_genes:
            fitting = int(np.searchsorted(indptr, int(indptr[borders[-1]]) + RUN, side="right")) - 1
            borders.append(max(borders[-1] + 1, fitting))

        def call(first: int, stop: int) -> Any:
            gene = np.repeat(np.arange(first, stop), np.diff(indptr[first : stop + 1]))
            return function(slice(int(indptr[first]), int(indptr[stop])), gene)

        return _threads.run([partial(call, first, stop) for first, stop in pairwise(borders)])

    def summed(self, of: Callable[[slice, NDArray[np.int64]], NDArray[Any]]) -> NDArray[np.float64]:
        """Add, gene by gene, numbers that are computed from runs of values."""
        added = np.zeros(self.n_genes)

        def add(own: slice, gene: NDArray[np.int64]) -> None:
            starts = np.flatnonzero(np.diff(gene, prepend=-1))
            if gene.size:
                added[gene[starts]] = np.add.reduceat(of(own, gene), starts, dtype=np.float64)

        self.over_runs(add)
        return added

    def with_data(self, data: NDArray[Any]) -> GeneValues:
        """Return the same places with other values, those that are zero left out."""
        some_are_zero = not data.all()
        arrays = data, self.matrix.indices, self.matrix.indptr
        matrix = sparse.csc_matrix(arrays, shape=self.matrix.shape, copy=some_are_zero)
        if some_are_zero:
            matrix.eliminate_zeros()
        return GeneValues(matrix)

    def sums(self, data: NDArray[Any]) -> NDArray[np.float64]:
        """Add numbers that belong to the values, gene by gene."""
        return self.summed(lambda own, _: data[own])

    def by_cell(self) -> ByCell:
        """Lay the values out by cells as well."""
        matrix = self.matrix
        borders = matrix.indptr.astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(matrix.indices, minlength=self.n_cells))]).astype(np.int64)
        data, genes = np.empty_like(matrix.data), np.empty(matrix.nnz, np.int32)
        places = np.empty(matrix.nnz, np.int32 if matrix.nnz <= np.iinfo(np.int32).max else np.int64)
        _kernels.lay_out_by_cell(matrix.data, matrix.indices, borders, indptr[:-1].copy(), data, genes, places)
        return ByCell(data, genes, indptr, matrix.indices, places, borders)


def gene_values(x: Any, rows: NDArray[np.bool_], genes: NDArray[np.int64]) -> GeneValues:
    """Gather the values of some genes in some rows.

    Parameters
    ----------
    x
        Matrix (n_obs × n_vars): NumPy, CSR, CSC, backed or dask; never changed. What lies on disk is read once.
    rows
        Mask (n_obs) of the rows that may be seen.
    genes
        Columns to gather, in this order.

    Returns
    -------
    The values, float32 if they are all numbers of that type, else float64; the same for every way of storing them.

    Raises
    ------
    ValueError
        Values that are NaN or infinite; `gene` of the error is a column of `x`.
    """
    rows = np.asarray(rows, dtype=bool)
    check_shape(x, rows.size, "rows")
    visible = np.flatnonzero(rows)
    bands: dict[int, list[sparse.csc_matrix]] = {}
    columns: list[NDArray[np.int64]] = []
    for block in blocks(x, visible):
        held = np.flatnonzero((genes >= block.columns.start) & (genes < block.columns.stop))
        wanted = visible[(visible >= block.rows.start) & (visible < block.rows.stop)] - block.rows.start
        if block.columns.start not in bands:
            columns.append(held)
        piece = _picked(block, wanted, genes[held] - block.columns.start)
        bands.setdefault(block.columns.start, []).append(piece)
    parts = [_stacked(band) for band in bands.values()]
    matrix = parts[0] if len(parts) == 1 else sparse.hstack(parts, format="csc")
    place = np.argsort(np.concatenate(columns))
    if not np.array_equal(place, np.arange(place.size)):
        matrix = matrix[:, place]
    matrix.sort_indices()
    _require_finite(matrix, genes)
    return GeneValues(_narrow(matrix))


def _picked(block: Block, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> sparse.csc_matrix:
    """Copy the non-zero values of some rows and columns of a block."""
    if block.shared:
        lines = block.data.reshape(block.indptr.size - 1, -1)
        values = lines if block.by_rows else lines.T
        values = values if columns.size == values.shape[1] and (np.diff(columns) == 1).all() else values[:, columns]
        return _from_array(values if rows.size == values.shape[0] else values[rows])
    picked = block.in_order().to_scipy()
    if rows.size < picked.shape[0]:
        picked = picked[rows]
    if columns.size < picked.shape[1] or (np.diff(columns) != 1).any():
        picked = picked[:, columns]
    picked = picked.tocsc(copy=True)
    picked.eliminate_zeros()
    return picked


def _from_array(values: NDArray[Any]) -> sparse.csc_matrix:
    """Gather the values of an array that are not zero, some genes at a time."""
    n_rows, n_genes = values.shape
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(values, axis=0))])
    wide = max(int(indptr[-1]), n_rows) > np.iinfo(np.int32).max
    data, indices = np.empty(indptr[-1], values.dtype), np.empty(indptr[-1], np.int64 if wide else np.int32)

    def fill(first: int, stop: int) -> None:
        step = max(1, RUN // max(1, n_rows))
        for start in range(first, stop, step):
            end = min(start + step, stop)
            genes = np.ascontiguousarray(values[:, start:end].T).reshape(-1)
            found = np.flatnonzero(genes)
            own = slice(indptr[start], indptr[start] + found.size)
            data[own] = genes[found]
            indices[own] = found - np.repeat(np.arange(end - start) * n_rows, np.diff(indptr[start : end + 1]))

    _threads.over_ranges(fill, n_genes)
    return sparse.csc_matrix((data, indices, indptr.astype(indices.dtype)), shape=values.shape)


def _stacked(pieces: list[sparse.csc_matrix]) -> sparse.csc_matrix:
    """Put pieces of the same columns below one another; each is let go as soon as it has been copied."""
    if len(pieces) == 1:
        return pieces[0]
    sizes = np.sum([np.diff(piece.indptr) for piece in pieces], axis=0, dtype=np.int64)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    shape = sum(piece.shape[0] for piece in pieces), pieces[0].shape[1]
    wide = max(int(indptr[-1]), shape[0]) > np.iinfo(np.int32).max
    data, indices = np.empty(indptr[-1], pieces[0].dtype), np.empty(indptr[-1], np.int64 if wide else np.int32)
    filled, row = indptr[:-1].copy(), 0
    while pieces:
        piece = pieces.pop(0)
        arrays = piece.data, piece.indices, piece.indptr.astype(np.int64), row, filled, data, indices
        _threads.over_ranges(partial(_kernels.append_rows, *arrays), shape[1])
        row += piece.shape[0]
    return sparse.csc_matrix((data, indices, indptr.astype(indices.dtype)), shape=shape)


def _require_finite(matrix: sparse.csc_matrix, genes: NDArray[np.int64]) -> None:
    """Refuse NaN and infinity, by the first gene that holds one."""
    bad = ~np.isfinite(matrix.data)
    if bad.any():
        holders = genes[np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))[bad]]
        Findings(not_finite=int(bad.sum()), gene_not_finite=int(holders.min())).require_finite()


def _narrow(matrix: sparse.csc_matrix) -> sparse.csc_matrix:
    """Store the values as float32 if that changes none, else as float64."""
    if matrix.dtype == np.float32:
        return matrix
    with np.errstate(over="ignore"):
        narrow = matrix.data.astype(np.float32)
    exact = np.array_equal(narrow, matrix.data)
    data = narrow if exact else matrix.data.astype(np.float64)
    return sparse.csc_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
