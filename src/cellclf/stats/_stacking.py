"""How loud each of several classifiers should speak where they speak together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from cellclf.stats._calibration import checked, fit_temperature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPREAD = 1.0  # variance of the weights around those of the first classifier alone
FAINTEST = 0.05  # the smallest weight of the first
NEGLIGIBLE = 1e-9  # a weight that is the search's rounding, and differs with the number of threads


def stacking_weights(logits: Sequence[NDArray[Any]], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Find the weights of classifiers with which they together have the smallest log loss :cite:p:`Wolpert1992`.

    Each is first brought to the temperature that suits it. The first is then expected to speak alone: weights are normal around 1
    for it and 0 for the others, with variance 1, so that few rows leave it so.

    Parameters
    ----------
    logits
        Those of each classifier (n_obs × n_classes).
    truth
        Class of each row (n_obs), from which none of them learnt.

    Returns
    -------
    The weight of each classifier's logits as they were given, 0 or more, that of the first being 1; how sharp their sum is is left to the
    temperature.

    Raises
    ------
    ValueError
        If shapes do not fit, or values are not finite.

    Examples
    --------
    >>> right = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
    >>> stacking_weights([right, -right], np.array([0, 1, 0, 1]))
    array([1., 0.])
    """
    given = [checked(values, truth, f"logits[{place}]")[0] for place, values in enumerate(logits)]
    truth = checked(given[0], truth, "logits[0]")[1]
    temperatures = np.array([fit_temperature(values, truth) for values in given])
    scores = np.stack(
        [log_softmax(values / temperature, axis=1) for values, temperature in zip(given, temperatures, strict=True)]
    ).astype(np.float64)
    told = np.take_along_axis(scores, truth[None, :, None], axis=2)[:, :, 0].sum(axis=1)
    alone = np.eye(len(scores))[0]

    def cost(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the loss of all rows with these weights, and its slope."""
        together = log_softmax(np.tensordot(weights, scores, axes=1), axis=1)
        loss = -np.take_along_axis(together, truth[:, None], axis=1).sum() + ((weights - alone) ** 2).sum() / (
            2 * SPREAD
        )
        slope = (np.exp(together) * scores).sum(axis=(1, 2)) - told + (weights - alone) / SPREAD
        return float(loss), slope

    bounds = [(FAINTEST, None)] + [(0.0, None)] * (len(scores) - 1)
    found = minimize(cost, alone, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found / found[0] * temperatures[0] / temperatures
    return np.where(weights > NEGLIGIBLE, weights, 0.0)
