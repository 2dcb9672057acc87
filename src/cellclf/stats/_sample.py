"""A few rows of a matrix, for what need not be learnt from all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from cellclf.stats._blocks import Block, blocks, require_sound
from cellclf.stats._distributed import over
from cellclf.stats._findings import Findings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sample_rows(x: Any, rows: NDArray[np.bool_], n_rows: int, *, run: int = 1) -> sparse.csc_matrix:
    """Copy the non-zero values of evenly spaced rows, or of evenly spaced runs of rows, gene by gene."""
    visible = spaced_rows(rows, n_rows, run=run)
    mask = np.zeros(rows.size, bool)
    mask[visible] = True
    bands = over(x, _collected, mask, combine=_joined, wanted=visible)
    columns = [sparse.vstack(bands[key], format="csc") for key in sorted(bands)]
    sample = columns[0] if len(columns) == 1 else sparse.hstack(columns, format="csc")
    if not np.isfinite(sample.data).all():
        genes = np.repeat(np.arange(sample.shape[1]), np.diff(sample.indptr))
        bad = genes[~np.isfinite(sample.data)]
        Findings(not_finite=bad.size, gene_not_finite=int(bad.min())).require_finite()
    return sample


def spaced_rows(rows: NDArray[np.bool_], n_rows: int, *, run: int = 1) -> NDArray[np.int64]:
    """Number evenly spaced rows of those marked, or evenly spaced runs of rows; all where there are no more."""
    visible = np.flatnonzero(rows)
    if visible.size <= n_rows:
        return visible
    starts = np.arange(n_rows // run) * visible.size // (n_rows // run)
    return visible[(starts[:, None] + np.arange(run)).ravel()]


_Bands = dict[tuple[int, int], list[sparse.csc_matrix]]


def _collected(x: Any, mask: NDArray[np.bool_]) -> _Bands:
    """Copy the marked rows of each block, by the columns it holds."""
    visible = np.flatnonzero(mask)
    bands: _Bands = {}
    for block in blocks(x, visible):
        bands.setdefault((block.columns.start, block.columns.stop), []).append(picked_rows(block, visible))
    return bands


def _joined(upper: _Bands, lower: _Bands) -> _Bands:
    """Put rows below others."""
    return {key: upper.get(key, []) + lower.get(key, []) for key in upper | lower}


def picked_rows(block: Block, visible: NDArray[np.int64]) -> sparse.csc_matrix:
    """Copy the non-zero values of those rows, of some of the whole matrix, that lie in a block."""
    rows = visible[(visible >= block.rows.start) & (visible < block.rows.stop)] - block.rows.start
    if block.shared:
        lines = block.data.reshape(block.indptr.size - 1, -1)
        return _gene_by_gene(lines[rows].T if block.by_rows else lines[:, rows])
    if block.by_rows:
        first, stop = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
        block, rows = block.row_range(first, stop), rows - first  # SciPy copies all that it is given
    else:
        block.is_disordered()  # refuses broken indices, with which SciPy would write where it must not
    picked = block.to_scipy()[rows]
    if block.by_rows and picked.nnz and not 0 <= picked.indices.min() <= picked.indices.max() < block.n_columns:
        require_sound(2)
    picked = sparse.csc_matrix(picked)
    picked.sum_duplicates()
    picked.eliminate_zeros()
    return picked


def _gene_by_gene(values: NDArray[Any]) -> sparse.csc_matrix:
    """Lay out the non-zero ones of dense values (n_genes, n_rows), without the detour of SciPy over coordinates."""
    values = np.ascontiguousarray(values)
    there = values != 0
    indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    indices = np.broadcast_to(np.arange(values.shape[1], dtype=np.int32), values.shape)[there]
    return sparse.csc_matrix((values[there], indices, indptr), shape=values.T.shape)
