"""Values of genes laid out gene after gene, and what is summed over them."""

from __future__ import annotations

from typing import Any

from cellclf.stats._kernels._compile import compiled, compiled_sums


@compiled
def append_rows(
    data: Any, indices: Any, indptr: Any, row: int, filled: Any, all_data: Any, all_indices: Any, first: int, stop: int
) -> None:
    """Append a CSC matrix, whose first row is `row` of the whole, to what is `filled` of some columns of the whole."""
    for column in range(first, stop):
        place = filled[column]
        for k in range(indptr[column], indptr[column + 1]):
            all_data[place] = data[k]
            all_indices[place] = indices[k] + row
            place += 1
        filled[column] = place


@compiled
def lay_out_by_cell(data: Any, cells: Any, borders: Any, filled: Any, by_cell: Any, genes: Any, places: Any) -> None:
    """Lay values that lie gene after gene out cell after cell; `places` says where each value went."""
    for gene in range(borders.shape[0] - 1):
        for k in range(borders[gene], borders[gene + 1]):
            place = filled[cells[k]]
            filled[cells[k]] = place + 1
            by_cell[place] = data[k]
            genes[place] = gene
            places[k] = place


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
    data: Any, indices: Any, indptr: Any, mean: Any, length: Any, begin: int, first: int, stop: int, out: Any
) -> None:
    """Lay some genes of a CSC matrix out, less their mean and divided by their length; row 0 of `out` is gene `begin`."""
    for gene in range(first, stop):
        line, middle, size = out[gene - begin], mean[gene], length[gene]
        line[:] = (0.0 - middle) / size
        for k in range(indptr[gene], indptr[gene + 1]):
            line[indices[k]] = (data[k] - middle) / size
