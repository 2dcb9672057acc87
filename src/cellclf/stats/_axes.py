"""The directions in which cells differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_SPARE = 10  # axes that are carried along, so that the last ones asked for are right
ROUNDING = 1e-6  # share of the length of all cells that means may lie apart by rounding


def principal_axes(centred: NDArray[Any], n_axes: int, *, n_iterations: int = 4) -> NDArray[np.float32]:
    """Return the first principal axes by subspace iteration from a fixed start :cite:p:`Halko2011`.

    Parameters
    ----------
    centred
        Cells less their mean (n_cells, n_genes).
    n_axes
        Number of axes; there are no more of them than cells or genes.
    n_iterations
        Passes over the cells before the last, one or more.

    Returns
    -------
    One axis per column (n_genes, n_axes), each of length one, in the order of the variance along them.

    Examples
    --------
    >>> cells = np.array([[2.0, 0.1], [-2.0, 0.0], [0.0, -0.1]])
    >>> np.abs(principal_axes(cells, 1)).round().ravel()
    array([1., 0.], dtype=float32)
    """
    n_axes = min(n_axes, *centred.shape)
    start = np.random.default_rng(0).normal(size=(centred.shape[1], min(n_axes + N_SPARE, centred.shape[1])))
    basis = start.astype(centred.dtype)
    for _ in range(n_iterations):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    seen = centred @ basis
    turns = np.linalg.eigh(seen.T @ seen)[1][:, ::-1]  # of a small matrix, not of all that is seen
    return np.ascontiguousarray(basis @ turns[:, :n_axes], dtype=np.float32)


def with_class_means(axes: NDArray[Any], cells: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Add to axes the directions in which the classes' means differ besides, and by more than chance.

    What tells many classes apart is little of what varies among the cells: no principal axis may show it. The k-th direction counts
    if the means lie further along it than those of permuted labels along their k-th (parallel analysis, :cite:p:`Horn1965`).

    Parameters
    ----------
    axes
        One axis per column (n_genes, n_axes), orthonormal.
    cells
        Training cells (n_cells, n_genes).
    y
        Class of each (n_cells).

    Returns
    -------
    The axes, and after them less than there are classes, in the order of the variance of the cells' means along them.

    Examples
    --------
    >>> cells = np.array([[9.0, 1.0], [-9.0, 1.0], [9.0, 1.0], [-9.0, -1.0], [9.0, -1.0], [-9.0, -1.0]])
    >>> with_class_means(np.array([[1.0], [0.0]]), cells, np.array([0, 0, 0, 1, 1, 1])).round().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    directions, lengths = _beside(axes, cells, y)
    by_chance = _beside(axes, cells, np.random.default_rng(0).permutation(y))[1]
    more = lengths > by_chance + ROUNDING * np.linalg.norm(cells)
    n = len(more) if more.all() else int(more.argmin())
    return np.hstack([axes, directions[:, :n].astype(axes.dtype)])


def _beside(
    axes: NDArray[Any], cells: NDArray[Any], y: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions across the axes in which class means differ, and the length of the cells' means along each."""
    _, code, sizes = np.unique(y, return_inverse=True, return_counts=True)
    member = np.eye(len(sizes), dtype=cells.dtype)[code]
    sums = (cells.T @ member).astype(np.float64)
    apart = (sums - np.outer(sums.sum(axis=1) / len(y), sizes)) / np.sqrt(sizes)
    for _ in range(2):  # the second time for what rounding left
        apart -= axes @ (axes.T @ apart)
    directions, lengths, _ = np.linalg.svd(apart, full_matrices=False)
    return directions, lengths
