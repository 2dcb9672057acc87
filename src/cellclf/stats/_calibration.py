"""Whether probabilities mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPERATURES = (0.05, 20.0)  # smallest and largest temperature that is fitted


def log_loss(probabilities: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean of minus the logarithm of the probability given to the true class.

    Parameters
    ----------
    probabilities
        (n_obs × n_classes); rows need not sum exactly to one and are divided by their sum.
    truth
        Class of each row (n_obs).

    Returns
    -------
    Nats. Probabilities are held above the smallest step of their type, so that one sure mistake costs about 36 nats
    (float64) or 16 (float32) rather than infinity.

    Examples
    --------
    >>> round(log_loss(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1])), 4)
    0.4904
    """
    probabilities, truth = _checked(probabilities, truth, "probabilities")
    smallest = np.finfo(probabilities.dtype).eps
    values = probabilities.astype(np.float64)
    own = np.take_along_axis(values, truth[:, None], axis=1)[:, 0] / values.sum(axis=1)
    return float(-np.log(np.clip(own, smallest, 1.0)).mean())


def expected_calibration_error(probabilities: NDArray[Any], truth: NDArray[Any], n_bins: int = 15) -> float:
    """Mean distance between confidence and accuracy of the most likely class :cite:p:`Guo2017`.

    Parameters
    ----------
    probabilities
        (n_obs × n_classes).
    truth
        Class of each row (n_obs).
    n_bins
        Number of equally wide bins of confidence, each open below and closed above.

    Returns
    -------
    Between 0 (calibrated) and 1.
    """
    probabilities, truth = _checked(probabilities, truth, "probabilities")
    if n_bins < 1:
        msg = f"n_bins={n_bins} leaves no bin. Give at least 1; 15 is usual."
        raise ValueError(msg)
    confidence = probabilities.max(axis=1).astype(np.float64)
    hit = probabilities.argmax(axis=1) == truth
    place = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    gap = np.bincount(place, weights=hit - confidence, minlength=n_bins)
    return float(np.abs(gap).sum() / len(truth))


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """Find the temperature by which logits must be divided to give the smallest log loss :cite:p:`Guo2017`.

    The loss is convex in one over the temperature, so its slope has one root at most.

    Parameters
    ----------
    logits
        (n_obs × n_classes).
    truth
        Class of each row (n_obs).

    Returns
    -------
    A temperature between 0.05 and 20. The lower end means that all rows are right (colder is always better), the upper
    that the logits are no better than guessing; 1 where no row's logits differ, when every temperature is the same.
    """
    logits, truth = _checked(logits, truth, "logits")
    values = logits.astype(np.float64)
    values = values - np.take_along_axis(values, truth[:, None], axis=1)
    if not values.any():
        return 1.0

    def slope(inverse: float) -> float:
        scaled = inverse * values
        return float((np.exp(scaled - logsumexp(scaled, axis=1, keepdims=True)) * values).sum(axis=1).mean())

    coldest, hottest = TEMPERATURES
    if slope(1 / coldest) <= 0:
        return coldest
    if slope(1 / hottest) >= 0:
        return hottest
    return float(1 / brentq(slope, 1 / hottest, 1 / coldest, xtol=1e-12, rtol=1e-12))


def _checked(values: NDArray[Any], truth: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Refuse what is not one row of numbers for each true class."""
    values, truth = np.asarray(values), np.asarray(truth)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if values.ndim != 2 or truth.shape != values.shape[:1]:
        msg = f"{name} has shape {values.shape} and truth {truth.shape}. Give (n_obs × n_classes) and (n_obs)."
        raise ValueError(msg)
    if not len(truth):
        msg = f"{name} has no rows, so there is nothing to judge. Give at least one labelled row."
        raise ValueError(msg)
    if not 0 <= truth.min() <= truth.max() < values.shape[1]:
        msg = f"truth reaches from {truth.min()} to {truth.max()}, but must lie between 0 and {values.shape[1] - 1}."
        raise ValueError(msg)
    if not np.isfinite(values).all():
        msg = f"{name} holds NaN or infinite values in row {int(np.argmin(np.isfinite(values).all(axis=1)))}. Check the model."
        raise ValueError(msg)
    return values, truth.astype(np.int64)
