"""What chance alone would score: inputs that cannot know the class, trained and measured beside the others."""

from __future__ import annotations

import numpy as np


def shadow_qvalues(scores: np.ndarray, shadows: np.ndarray) -> np.ndarray:
    r"""Estimate for each input which share of the inputs that score as high owe it to chance.

    With shadows, copies of inputs whose rows were shuffled, measured in the same network,
    :math:`q(t) = (1 + \#\{\text{shadows} \ge t\}) / \max(1, \#\{\text{inputs} \ge t\})`, made monotone. Inputs
    and shadows of several networks are pooled; an input's own q-value is that of its mean.

    Parameters
    ----------
    scores
        Importance of the inputs, (n_inputs) or (n_networks, n_inputs).
    shadows
        Importance of the shadows, of all networks.

    Returns
    -------
    One number per input, at most 1; 1 where the (mean) score is not above zero.

    Examples
    --------
    >>> shadow_qvalues(np.array([3.0, 2.0, 0.5]), np.array([1.0])).round(2)
    array([0.5, 0.5, 0.67])
    """
    mean = np.atleast_2d(scores).mean(axis=0)
    thresholds = np.unique(scores)  # ascending
    genes = scores.size - np.searchsorted(np.sort(scores, axis=None), thresholds)
    above = len(shadows) - np.searchsorted(np.sort(shadows), thresholds)
    share = np.minimum.accumulate(np.minimum((1 + above) / genes, 1.0))
    reached = np.searchsorted(thresholds, mean, side="right") - 1
    return np.where(mean > 0, share[np.maximum(reached, 0)], 1.0)
