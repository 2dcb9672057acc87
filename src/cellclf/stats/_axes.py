"""The directions in which cells differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_SPARE = 10  # axes that are carried along, so that the last ones asked for are right


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
