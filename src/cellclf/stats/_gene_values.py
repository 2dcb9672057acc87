"""The values of some genes in some cells, gathered from any matrix into one form, and what is derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._findings import BadValueError, Findings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins

FAINTEST = 1e-30  # smaller shares of a gene's sum count as none: float32 would be slow and coarse


class ByCell(NamedTuple):
    """A matrix by cells (`data`, `genes`, `indptr`), and for each gene the cells and the places in `data` of its values."""

    data: NDArray[Any]
    genes: NDArray[Any]
    indptr: NDArray[np.int64]
    cells: NDArray[Any]
    places: NDArray[np.int64]
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

    def with_data(self, data: NDArray[Any]) -> GeneValues:
        """Return the same places with other values, those that are zero left out."""
        matrix = sparse.csc_matrix((data, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape, copy=True)
        matrix.eliminate_zeros()
        return GeneValues(matrix)

    def sums(self, data: NDArray[Any]) -> NDArray[np.float64]:
        """Add numbers that belong to the values, gene by gene."""
        added = np.zeros(self.n_genes)
        some = np.flatnonzero(np.diff(self.matrix.indptr))
        if some.size:
            added[some] = np.add.reduceat(data, self.matrix.indptr[some], dtype=np.float64)
        return added

    def by_cell(self) -> ByCell:
        """Lay the values out by cells as well."""
        n_values = self.matrix.nnz
        order = sparse.csc_matrix(
            (np.arange(n_values), self.matrix.indices, self.matrix.indptr), self.matrix.shape
        ).tocsr()
        places = np.empty(n_values, np.int64)
        places[order.data] = np.arange(n_values)
        wide = order.indptr.astype(np.int64), self.matrix.indptr.astype(np.int64)
        return ByCell(self.matrix.data[order.data], order.indices, wide[0], self.matrix.indices, places, wide[1])


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
    bands: dict[int, list[sparse.csr_matrix]] = {}
    columns: list[NDArray[np.int64]] = []
    for block in blocks(x, visible):
        held = np.flatnonzero((genes >= block.columns.start) & (genes < block.columns.stop))
        wanted = visible[(visible >= block.rows.start) & (visible < block.rows.stop)] - block.rows.start
        if block.columns.start not in bands:
            columns.append(held)
        piece = _picked(block, wanted, genes[held] - block.columns.start)
        bands.setdefault(block.columns.start, []).append(piece)
    parts = [band[0] if len(band) == 1 else sparse.vstack(band, format="csr") for band in bands.values()]
    matrix = (parts[0] if len(parts) == 1 else sparse.hstack([part.tocsc() for part in parts], format="csc")).tocsc()
    place = np.argsort(np.concatenate(columns))
    if not np.array_equal(place, np.arange(place.size)):
        matrix = matrix[:, place]
    matrix.sort_indices()
    _require_finite(matrix, genes)
    return GeneValues(_narrow(matrix))


def _picked(block: Block, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Any:
    """Copy the non-zero values of some rows and columns of a block."""
    if block.shared:
        lines = block.data.reshape(block.indptr.size - 1, -1)
        values = lines if block.by_rows else lines.T
        values = values if columns.size == values.shape[1] and (np.diff(columns) == 1).all() else values[:, columns]
        return sparse.csr_matrix(values if rows.size == values.shape[0] else values[rows])
    picked = block.in_order().to_scipy()
    if rows.size < picked.shape[0]:
        picked = picked[rows]
    if columns.size < picked.shape[1] or (np.diff(columns) != 1).any():
        picked = picked[:, columns]
    picked = picked.copy()
    picked.eliminate_zeros()
    return picked


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


class Distributions(NamedTuple):
    """Each gene as a distribution over the cells, in units of 1 / `whole`.

    `shares` (float32, `whole` for each gene but for rounding), their sums, and the sums of share × log2(share); both are zero
    for a gene without values.
    """

    shares: GeneValues
    whole: float
    sums: NDArray[np.float64]
    entropies: NDArray[np.float64]


def distributions(values: GeneValues, genes: NDArray[np.int64]) -> Distributions:
    """Turn the values of each gene into shares of its sum, in units that keep the logarithms of most of them small."""
    if values.matrix.nnz and values.matrix.data.min() < 0:
        gene = int(genes[values.gene_of_value[np.argmax(values.matrix.data < 0)]])
        msg = (
            f"Gene {gene} (counted from 0) holds negative values, so it is no distribution over cells. "
            "Give counts or their logarithm, e.g. by `layer=`, or use metric='correlation'."
        )
        raise BadValueError(msg, gene)
    totals = values.sums(values.matrix.data)
    data = values.matrix.data / totals[values.gene_of_value]
    data[data < FAINTEST] = 0
    bits = -values.sums(data * np.log2(np.where(data > 0, data, 1)))
    whole = 2.0 ** np.round(bits[totals > 0].mean()) if (totals > 0).any() else 1.0
    shares = values.with_data((data * whole).astype(np.float32))
    exact = shares.matrix.data.astype(np.float64)
    return Distributions(shares, float(whole), shares.sums(exact), shares.sums(exact * np.log2(exact)))


class Centred(NamedTuple):
    """Mean of each gene, and the length of the gene less its mean (NaN for a constant gene)."""

    mean: NDArray[np.float64]
    length: NDArray[np.float64]


def centred(values: GeneValues) -> Centred:
    """Find means and lengths."""
    n_stored = np.diff(values.matrix.indptr)
    data = values.matrix.data.astype(np.float64)
    mean = values.sums(data) / values.n_cells
    squares = values.sums((data - mean[values.gene_of_value]) ** 2) + (values.n_cells - n_stored) * mean**2
    return Centred(mean, np.where(_constant(values, n_stored), np.nan, np.sqrt(squares)))


def _constant(values: GeneValues, n_stored: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Tell which genes have one value in all cells."""
    lowest, highest = np.zeros(values.n_genes), np.zeros(values.n_genes)
    some = np.flatnonzero(n_stored)
    if some.size:
        lowest[some] = np.minimum.reduceat(values.matrix.data, values.matrix.indptr[some])
        highest[some] = np.maximum.reduceat(values.matrix.data, values.matrix.indptr[some])
    return (lowest == highest) & ((n_stored == values.n_cells) | (n_stored == 0))


class Codes(NamedTuple):
    """Each value as the number of its bin: 0 for the bin that holds zero, else 1..n_planes; `sizes` (genes × bins), 0 last."""

    values: GeneValues
    n_planes: int
    sizes: NDArray[np.int64]


def bin_codes(values: GeneValues, bins: Bins) -> Codes:
    """Replace each value by its bin."""
    codes = np.zeros(values.matrix.nnz, np.uint8)
    indptr, zero_bins = values.matrix.indptr, bins.zero_bins
    for gene in range(values.n_genes):
        own = slice(indptr[gene], indptr[gene + 1])
        found = np.searchsorted(bins.of_gene(gene), values.matrix.data[own], side="right") - 1
        zero = zero_bins[gene]
        codes[own] = np.where(found == zero, 0, found + (found < zero))
    return _counted(values, codes, int(bins.n_bins.max(initial=1)) - 1)


def expressed(values: GeneValues) -> Codes:
    """Replace each value by 1 if it is above zero."""
    return _counted(values, (values.matrix.data > 0).astype(np.uint8), 1)


def _counted(values: GeneValues, codes: NDArray[np.uint8], n_planes: int) -> Codes:
    """Count the cells in each bin."""
    sizes = np.bincount(values.gene_of_value * (n_planes + 1) + codes, minlength=values.n_genes * (n_planes + 1))
    sizes = np.roll(sizes.reshape(values.n_genes, n_planes + 1), -1, axis=1)
    sizes[:, -1] = values.n_cells - sizes[:, :-1].sum(axis=1)
    return Codes(values.with_data(codes), n_planes, sizes)
