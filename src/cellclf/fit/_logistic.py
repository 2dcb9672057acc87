"""Logistic regression in the principal axes of cells."""

from __future__ import annotations

import numpy as np
import torch

from cellclf.fit._balance import class_weights
from cellclf.fit._threads import one_torch_thread

STRENGTH = 0.1  # one over twice the penalty on the squared weights, as scikit-learn's C
N_STEPS = 40
TOLERANCE = 5e-6  # a step that lowers the mean loss by less is the last


def logistic(cells: np.ndarray, y: np.ndarray, sizes: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Learn a multinomial logistic regression from `cells` (n_cells, n_genes) of classes `y`, in `axes` (n_genes, n_axes).

    The squared weights along the axes are penalised, not the biases. A class of n cells (`sizes`, where the cells come from)
    weighs one over the root of n. The steps are L-BFGS, in units of the curvature along each axis, 40 at most, fewer where they gain little.

    Returns
    -------
    Weights (n_genes, n_classes) and biases (n_classes) of the logits.
    """
    n_classes = len(sizes)
    centre = cells.mean(axis=0, dtype=np.float64).astype(cells.dtype)
    placed = torch.from_numpy(np.hstack([(cells - centre) @ axes, np.ones((len(y), 1), cells.dtype)]))
    truth = torch.from_numpy(y)
    weight = class_weights(y, n_classes, "sqrt")[truth] / len(y)
    penalty = torch.full((placed.shape[1], 1), 1 / (STRENGTH * len(y)), dtype=torch.float64)
    penalty[-1] = 0  # the biases
    curvature = (weight @ placed.square()).double()[:, None] * (n_classes - 1) / n_classes**2 + penalty
    unit = curvature.rsqrt()
    steps = torch.zeros(placed.shape[1], n_classes, dtype=torch.float64, requires_grad=True)

    @torch.no_grad()
    def cost() -> float:
        """Return the mean loss of weights in units of their curvature, and leave its slope with them."""
        weights = steps * unit
        scores = torch.log_softmax(placed @ weights.float(), dim=1)
        loss = -(weight * scores.gather(1, truth[:, None])[:, 0]).sum().double() + (penalty * weights**2).sum() / 2
        wrong = scores.exp_()
        wrong[torch.arange(len(truth)), truth] -= 1
        steps.grad = ((placed.T @ (wrong * weight[:, None])).double() + penalty * weights) * unit
        return float(loss)

    search = torch.optim.LBFGS(  # torch's own: the threads of another library would wait in its way
        [steps],
        max_iter=N_STEPS,
        history_size=10,
        tolerance_change=TOLERANCE,
        tolerance_grad=TOLERANCE / 100,
        line_search_fn="strong_wolfe",
    )
    with one_torch_thread():  # products of so few columns cost less than waiting for one another
        search.step(cost)
    along = (steps.detach() * unit).numpy()
    learnt = axes.astype(np.float64) @ along[:-1]
    return learnt, along[-1] - centre @ learnt
