"""Values of genes laid out gene after gene, and what is summed over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled, compiled_sums


@compiled
def append_rows(
    data: Any,
    indices: Any,
    indptr: Any,
    row: int,
    held: Any,
    first: int,
    stop: int,
    filled: Any,
    all_data: Any,
    all_indices: Any,
) -> None:
    """Append columns first..stop of a CSC matrix, whose first row is `row` of the whole, to what is `filled` of the whole.

    Its columns are those of the whole that `held` names.
    """
    for column in range(first, stop):
        place = filled[held[column]]
        for k in range(indptr[column], indptr[column + 1]):
            all_data[place] = data[k]
            all_indices[place] = indices[k] + row
            place += 1
        filled[held[column]] = place


@compiled
def count_places(indices: Any, sizes: Any) -> None:
    """Count how often each index occurs."""
    for k in range(indices.shape[0]):
        sizes[indices[k]] += 1


@compiled
def lay_out_by_cell(
    data: Any, cells: Any, borders: Any, end: int, begun: Any, filled: Any, by_cell: Any, genes: Any, places: Any
) -> None:
    """Lay the values of cells before `end`, of those that lie gene after gene and are not `begun`, out cell after cell.

    `places` says where each value went.
    """
    for gene in range(begun.shape[0]):
        k = begun[gene]
        while k < borders[gene + 1] and cells[k] < end:
            place = filled[cells[k]]
            filled[cells[k]] = place + 1
            by_cell[place] = data[k]
            genes[place] = gene
            places[k] = place
            k += 1
        begun[gene] = k


@compiled
def _first_from(indices: Any, start: int, stop: int, wanted: int) -> int:
    """Return the first of the places start..stop whose index, of ascending ones, is not below the wanted one."""
    while start < stop:
        middle = (start + stop) // 2
        if indices[middle] < wanted:
            start = middle + 1
        else:
            stop = middle
    return start


@compiled
def lay_out(data: Any, indices: Any, indptr: Any, start: int, begin: int, first: int, stop: int, out: Any) -> None:
    """Lay some genes of a CSC matrix out over the cells from `start` on; row 0 of `out` is gene `begin`."""
    end = start + out.shape[1]
    for gene in range(first, stop):
        line = out[gene - begin]
        line[:] = 0
        k = _first_from(indices, indptr[gene], indptr[gene + 1], start)
        while k < indptr[gene + 1] and indices[k] < end:
            line[indices[k] - start] = data[k]
            k += 1


@compiled
def pack(
    codes: Any, indices: Any, indptr: Any, start: int, end: int, begin: int, first: int, stop: int, out: Any
) -> None:
    """Set a bit for each cell of start..end in the plane of its code (genes × planes × words), none for code 0."""
    for gene in range(first, stop):
        k = _first_from(indices, indptr[gene], indptr[gene + 1], start)
        while k < indptr[gene + 1] and indices[k] < end:
            if codes[k] > 0:
                place = np.uint64(indices[k] - start)
                out[gene - begin, codes[k] - 1, place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))
            k += 1


@compiled_sums
def centre(data: Any, indptr: Any, n_cells: int, mean: Any, squares: Any, first: int, stop: int) -> None:
    """Mean of some genes over all cells, and the sum of squares of their distances from it."""
    for gene in range(first, stop):
        values, total, apart = data[indptr[gene] : indptr[gene + 1]], 0.0, 0.0
        for k in range(values.shape[0]):
            total += values[k]
        middle = total / n_cells
        for k in range(values.shape[0]):
            apart += (values[k] - middle) ** 2
        mean[gene] = middle
        squares[gene] = apart + (n_cells - values.shape[0]) * middle**2


@compiled
def standardise(
    data: Any,
    indices: Any,
    indptr: Any,
    mean: Any,
    length: Any,
    start: int,
    begin: int,
    first: int,
    stop: int,
    out: Any,
) -> None:
    """Lay some genes out as `lay_out` does, less their mean and divided by their length."""
    end = start + out.shape[1]
    for gene in range(first, stop):
        line, middle, size = out[gene - begin], mean[gene], length[gene]
        line[:] = (0.0 - middle) / size
        k = _first_from(indices, indptr[gene], indptr[gene + 1], start)
        while k < indptr[gene + 1] and indices[k] < end:
            line[indices[k] - start] = (data[k] - middle) / size
            k += 1
