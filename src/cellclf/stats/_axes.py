"""The directions in which cells differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_SPARE = 10  # axes that are carried along, so that the last ones asked for are right
SMALL = 1e-3  # share of the length of all means below which a direction is rounding


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
    """Add to axes the directions in which the classes' means differ, as far as the axes do not hold them already.

    What tells many classes apart is little of what varies among the cells: no principal axis may show it.

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
    The axes, and after them at most one less than there are classes, in the order of the variance of the means along them.

    Examples
    --------
    >>> cells = np.array([[9.0, 1.0], [-9.0, 1.0], [9.0, -1.0], [-9.0, -1.0]])
    >>> with_class_means(np.array([[1.0], [0.0]]), cells, np.array([0, 0, 1, 1])).round().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    present, code = np.unique(y, return_inverse=True)
    member = np.eye(len(present), dtype=cells.dtype)[code]
    means = (cells.T @ member / member.sum(axis=0)).astype(np.float64)
    apart = means - means.mean(axis=1, keepdims=True)
    length = np.linalg.norm(apart)
    for _ in range(2):  # the second time for what rounding left
        apart -= axes @ (axes.T @ apart)
    directions, along, _ = np.linalg.svd(apart, full_matrices=False)
    return np.hstack([axes, directions[:, along > SMALL * length].astype(axes.dtype)])
