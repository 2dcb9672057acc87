"""Logistic regression in the principal axes of cells."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize

from cellclf.fit._balance import class_weights

STRENGTH = 0.1  # one over twice the penalty on the squared weights, as scikit-learn's C
N_STEPS = 60
TOLERANCE = 1e-4  # a step that lowers the loss by a smaller share of it is the last


def logistic(cells: np.ndarray, y: np.ndarray, sizes: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Learn a multinomial logistic regression from `cells` (n_cells, n_genes) of classes `y`, in `axes` (n_genes, n_axes).

    The squared weights along the axes are penalised, not the biases. A class of n cells (`sizes`, where the cells come from)
    weighs one over the root of n. The steps are L-BFGS, in units of the curvature along each axis, 60 at most, fewer where they gain little.

    Returns
    -------
    Weights (n_genes, n_classes) and biases (n_classes) of the logits.
    """
    n_classes = len(sizes)
    centre = cells.mean(axis=0, dtype=np.float64).astype(cells.dtype)
    placed = torch.from_numpy(np.hstack([(cells - centre) @ axes, np.ones((len(y), 1), cells.dtype)]))
    weight_of_class = class_weights(y, n_classes, "sqrt")
    truth, weight = torch.from_numpy(y), weight_of_class[torch.from_numpy(y)]
    penalty = torch.full((placed.shape[1], 1), 1 / STRENGTH, dtype=torch.float64)
    penalty[-1] = 0  # the biases
    curvature = (weight @ placed.square()).double()[:, None] * (n_classes - 1) / n_classes**2 + penalty
    unit = curvature.rsqrt()

    def cost(steps: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss of weights in units of their curvature, and its slope."""
        weights = torch.from_numpy(steps).view(-1, n_classes) * unit
        scores = torch.log_softmax(placed @ weights.float(), dim=1)
        loss = (
            -(weight * scores.gather(1, truth[:, None])[:, 0]).sum().double() + (penalty * weights.square()).sum() / 2
        )
        wrong = scores.exp_()
        wrong[torch.arange(len(truth)), truth] -= 1
        slope = (placed.T @ (wrong * weight[:, None])).double() + penalty * weights
        return float(loss), (slope * unit).numpy().ravel()

    start = np.zeros(placed.shape[1] * n_classes)
    found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": N_STEPS, "ftol": TOLERANCE}).x
    along = found.reshape(-1, n_classes) * unit.numpy()
    learnt = axes.astype(np.float64) @ along[:-1]
    return learnt, along[-1] - centre @ learnt
