"""Linear discriminants in principal axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_AXES = 256
CELLS_PER_AXIS = 3
SHRINKAGE = 0.01


def discriminant(
    cells: NDArray[Any], y: NDArray[Any], sizes: NDArray[Any], axes: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Learn a linear discriminant in principal axes of the cells :cite:p:`Fisher1936`.

    Classes share one covariance, shrunk by a hundredth towards a sphere. Their prior shares go by the square root of their sizes,
    as the weights of classes in the training of networks do. Of the axes the first are used, three cells to each at least.

    Parameters
    ----------
    cells
        Training cells (n_cells, n_genes), such as :func:`evenly` chooses.
    y
        Class of each (n_cells).
    sizes
        Number of cells of each class where these come from (n_classes); a class without any counts half a cell that lies
        in the middle.
    axes
        One axis per column (n_genes, n_axes), as :func:`principal_axes` gives them; up to 256 are usual.

    Returns
    -------
    Weights (n_genes, n_classes) and biases (n_classes) of the logits; all zero where cells are too few, or all alike.

    Examples
    --------
    >>> cells, y = np.array([[-1.1], [-1.0], [-0.9], [0.9], [1.0], [1.1]]), np.array([0, 0, 0, 1, 1, 1])
    >>> weight, bias = discriminant(cells, y, np.array([3, 3]), np.array([[1.0]]))
    >>> (cells @ weight + bias).argmax(axis=1)
    array([0, 0, 0, 1, 1, 1])
    """
    n_classes = len(sizes)
    centre = cells.mean(axis=0, dtype=np.float64).astype(cells.dtype)
    centred = cells - centre
    n_free = len(y) - len(np.unique(y))
    n_axes = min(axes.shape[1], n_free // CELLS_PER_AXIS)
    nothing = np.zeros((cells.shape[1], n_classes)), np.zeros(n_classes)
    if n_axes < 1:
        return nothing
    axes = axes[:, :n_axes]
    placed = (centred @ axes).astype(np.float64)
    member = np.eye(n_classes)[y]
    means = member.T @ placed / np.maximum(member.sum(axis=0), 1)[:, None]
    apart = placed - means[y]
    covariance = apart.T @ apart / n_free
    if not covariance.any():
        return nothing
    covariance += SHRINKAGE * np.trace(covariance) / n_axes * np.eye(n_axes)
    directions = np.linalg.solve(covariance, means.T)
    bias = 0.5 * np.log(np.maximum(sizes, 0.5)) - 0.5 * (means * directions.T).sum(axis=1)
    weight = axes.astype(np.float64) @ directions
    return weight, bias - centre @ weight
