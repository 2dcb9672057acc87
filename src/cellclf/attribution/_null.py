"""What chance alone would score: inputs that cannot know the class, trained and measured beside the others."""

from __future__ import annotations

import numpy as np


def shadow_qvalues(scores: np.ndarray, shadows: np.ndarray) -> np.ndarray:
    r"""Estimate for each input which share of the inputs that score as high owe it to chance.

    With shadows, copies of inputs whose rows were shuffled, measured in the same network,
    :math:`q(t) = (1 + \#\{\text{shadows} \ge t\}) / \max(1, \#\{\text{inputs} \ge t\})`, made monotone.

    Parameters
    ----------
    scores
        Importance of the inputs (n_inputs).
    shadows
        Importance of the shadows.

    Returns
    -------
    One number per input, at most 1; 1 where the score is not above zero.

    Examples
    --------
    >>> shadow_qvalues(np.array([3.0, 2.0, 0.5]), np.array([1.0])).round(2)
    array([0.5, 0.5, 0.67])
    """
    order = np.argsort(-scores, kind="stable")
    thresholds = scores[order]
    genes = np.searchsorted(-thresholds, -thresholds, side="right")
    above = np.searchsorted(np.sort(-shadows), -thresholds, side="right")
    share = np.minimum((1 + above) / genes, 1.0)
    qvalues = np.empty(len(scores))
    qvalues[order] = np.minimum.accumulate(share[::-1])[::-1]
    return np.where(scores > 0, qvalues, 1.0)
