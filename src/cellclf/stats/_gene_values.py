"""The values of some genes in some cells, gathered from any matrix into one form."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from tqdm.auto import tqdm

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._findings import Findings
from cellclf.stats._pieces import is_at_hand
from cellclf.stats._room import Memory, TemporaryFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RUN = 2**20  # values looked at together: what is computed from them on the way stays small
MERGED_BYTES = 2**26  # of values put in order at a time
AT_ONCE = 2**22  # values of whole cells that are laid out, and visited, together


class ByCell(NamedTuple):
    """A matrix by cells (`data`, `genes`, `indptr`), and for each gene the cells and the places in `data` of its values.

    Between two of the `steps` lie cells whose values are laid out, and are best visited, together.
    """

    data: NDArray[Any]
    genes: NDArray[Any]
    indptr: NDArray[np.int64]
    cells: NDArray[Any]
    places: NDArray[np.integer[Any]]
    borders: NDArray[np.int64]
    steps: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GeneValues:
    """The values of genes that are not zero, gene after gene, each gene's in the order of the cells.

    Parameters
    ----------
    matrix
        Cells × genes, CSC with sorted indices, without stored zeros or duplicates.
    room
        Where arrays go that are as large as the values.
    """

    matrix: sparse.csc_matrix
    room: Memory = field(default_factory=Memory)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.matrix.shape[0])

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.matrix.shape[1])

    @cached_property
    def cell_sizes(self) -> NDArray[np.int64]:
        """Number of values of each cell."""
        sizes = np.zeros(self.n_cells, np.int64)
        _kernels.count_places(self.matrix.indices, sizes)
        return sizes

    @cached_property
    def share_shared(self) -> float:
        """Share of the pairs of genes and cells in which both genes are not zero: the same for every storage."""
        by_cell = self.cell_sizes.astype(np.float64)
        return float((by_cell**2).sum()) / (float(self.n_genes) ** 2 * self.n_cells)

    def of_each_gene(self, ufunc: np.ufunc) -> NDArray[np.float64]:
        """Reduce the values of each gene by a ufunc; 0 for a gene without values."""
        found = np.zeros(self.n_genes)
        some = np.flatnonzero(np.diff(self.matrix.indptr))
        if some.size:
            found[some] = ufunc.reduceat(self.matrix.data, self.matrix.indptr[some])
        return found

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
        indptr, indices = self.matrix.indptr, self.matrix.indices
        if not data.all():
            sizes = self.summed(lambda own, _: data[own] != 0).astype(np.int64)
            indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(indptr.dtype)
            fewer, indices = (self.room.empty(int(indptr[-1]), array.dtype) for array in (data, indices))

            def fill(own: slice, gene: NDArray[np.int64]) -> None:
                kept = np.flatnonzero(data[own])
                first = int(indptr[gene[0]]) if gene.size else 0
                fewer[first : first + kept.size] = data[own][kept]
                indices[first : first + kept.size] = self.matrix.indices[own][kept]

            self.over_runs(fill)
            data = fewer
        return GeneValues(sparse.csc_matrix((data, indices, indptr), shape=self.matrix.shape), self.room)

    def sums(self, data: NDArray[Any]) -> NDArray[np.float64]:
        """Add numbers that belong to the values, gene by gene."""
        return self.summed(lambda own, _: data[own])

    def by_cell(self) -> ByCell:
        """Lay the values out by cells as well, some cells at a time."""
        matrix, empty = self.matrix, self.room.empty
        borders = matrix.indptr.astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(self.cell_sizes)])
        steps = np.unique(np.searchsorted(indptr, np.arange(0, matrix.nnz + AT_ONCE, AT_ONCE)).clip(0, self.n_cells))
        data, genes = empty(matrix.nnz, matrix.dtype), empty(matrix.nnz, np.int32)
        places = empty(matrix.nnz, np.int32 if matrix.nnz <= np.iinfo(np.int32).max else np.int64)
        begun, filled = borders[:-1].copy(), indptr[:-1].copy()
        for end in steps[1:]:
            _kernels.lay_out_by_cell(matrix.data, matrix.indices, borders, end, begun, filled, data, genes, places)
        return ByCell(data, genes, indptr, matrix.indices, places, borders, steps)


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
    The values, float32 if they are all numbers of that type, else float64; the same for every way of storing them. Those
    of a matrix that does not lie in memory are in temporary files.

    Raises
    ------
    ValueError
        Values that are NaN or infinite; `gene` of the error is a column of `x`.
    OSError
        Too little room for the files.
    """
    rows = np.asarray(rows, dtype=bool)
    check_shape(x, rows.size, "rows")
    visible = np.flatnonzero(rows)
    room = Memory() if is_at_hand(x) else TemporaryFiles()
    found, keep, pieces = Findings(), room.keeper(), []
    for block in blocks(x, visible):
        held = np.flatnonzero((genes >= block.columns.start) & (genes < block.columns.stop))
        first, stop = np.searchsorted(visible, [block.rows.start, block.rows.stop])
        picked = _picked(block, visible[first:stop] - block.rows.start, genes[held] - block.columns.start)
        found |= _not_finite(picked, genes[held])
        arrays = _narrow(picked.data), picked.indices, picked.indptr
        pieces.append(_Piece(int(first), held, *map(keep, arrays)))
    found.require_finite()
    shape = visible.size, genes.size
    if len(pieces) == 1 and is_at_hand(x):
        return GeneValues(sparse.csc_matrix(pieces[0][2:], shape=shape))
    return GeneValues(_merged(pieces, shape, room), room)


class _Piece(NamedTuple):
    """Values of some cells, from number `row` on, and some genes (`held`, ascending), in the form of CSC."""

    row: int
    held: NDArray[np.int64]
    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]


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


def _merged(pieces: list[_Piece], shape: tuple[int, int], room: Memory) -> sparse.csc_matrix:
    """Put pieces together, some genes at a time."""
    sizes = np.zeros(shape[1], np.int64)
    for piece in pieces:
        sizes[piece.held] += np.diff(piece.indptr)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    wide = max(int(indptr[-1]), shape[0]) > np.iinfo(np.int32).max
    data = room.empty(int(indptr[-1]), np.result_type(*(piece.data for piece in pieces)))
    indices = room.empty(data.size, np.int64 if wide else np.int32)
    filled = indptr[:-1].copy()

    def fill(first: int, stop: int) -> None:
        for piece in pieces:
            own = np.searchsorted(piece.held, [first, stop])
            _kernels.append_rows(*piece[2:], piece.row, piece.held, *own, filled, data, indices)
        with bar.get_lock():
            bar.update(stop - first)

    n_parts = max(8 * _kernels.n_threads(), data.nbytes // MERGED_BYTES)
    with tqdm(total=shape[1], desc="in order of genes", unit="gene", leave=False, delay=1) as bar:
        _threads.run([partial(fill, *part) for part in _threads.parts(sizes + 1, n_parts)])
    return sparse.csc_matrix((data, indices, indptr.astype(indices.dtype)), shape=shape)


def _not_finite(picked: sparse.csc_matrix, genes: NDArray[np.int64]) -> Findings:
    """Report NaN and infinity, and the first gene that holds one."""
    bad = ~np.isfinite(picked.data)
    if not bad.any():
        return Findings()
    holders = genes[np.repeat(np.arange(picked.shape[1]), np.diff(picked.indptr))[bad]]
    return Findings(not_finite=int(bad.sum()), gene_not_finite=int(holders.min()))


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Return values as float32 if that changes none, else as float64."""
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values) else values.astype(np.float64)
