"""Whether probabilities mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta

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
    probabilities, truth = checked(probabilities, truth, "probabilities")
    return float(losses(probabilities, truth).mean())


def losses(probabilities: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Return the log loss of each row (n_obs)."""
    smallest = np.finfo(probabilities.dtype).eps
    values = probabilities.astype(np.float64)
    own = np.take_along_axis(values, truth[:, None], axis=1)[:, 0] / values.sum(axis=1)
    return -np.log(np.clip(own, smallest, 1.0))


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
    probabilities, truth = checked(probabilities, truth, "probabilities")
    if n_bins < 1:
        msg = f"n_bins={n_bins} leaves no bin. Give at least 1; 15 is usual."
        raise ValueError(msg)
    confidence = probabilities.max(axis=1).astype(np.float64)
    hit = probabilities.argmax(axis=1) == truth
    place = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    gap = np.bincount(place, weights=hit - confidence, minlength=n_bins)
    return float(np.abs(gap).sum() / len(truth))


def brier_score(probabilities: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean squared distance between the probabilities of a row and the truth as zeros and a one :cite:p:`Brier1950`.

    Parameters
    ----------
    probabilities
        (n_obs × n_classes).
    truth
        Class of each row (n_obs).

    Returns
    -------
    Between 0 (sure and right) and 2 (sure and wrong).
    """
    probabilities, truth = checked(probabilities, truth, "probabilities")
    return float(squared_errors(probabilities, truth).mean())


def squared_errors(probabilities: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Return the squared distance of each row from its truth (n_obs)."""
    values = probabilities.astype(np.float64)
    own = np.take_along_axis(values, truth[:, None], axis=1)[:, 0]
    return (values**2).sum(axis=1) - 2 * own + 1


def reliability(confidence: NDArray[Any], hit: NDArray[np.bool_], n_bins: int = 10) -> dict[str, NDArray[Any]]:
    """Compare confidence with accuracy, in bins of equally many rows.

    Parameters
    ----------
    confidence
        Probability of the most likely class (n_obs).
    hit
        Whether that class was the true one (n_obs).
    n_bins
        Number of bins; rows of equal confidence are never parted, so that there may be fewer.

    Returns
    -------
    Arrays of one number per bin, from the lowest confidence up: `n_rows`, mean `confidence`, `accuracy`, and the 95 %
    interval of the accuracy by Clopper and Pearson :cite:p:`Clopper1934`, `low` and `high`.
    """
    values = np.asarray(confidence, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    edges = np.searchsorted(values[order], values[order][np.arange(1, n_bins) * len(values) // n_bins])
    starts = np.unique(np.append(0, edges))
    sizes = np.diff(np.append(starts, len(values)))
    hits = np.add.reduceat(hit[order].astype(np.int64), starts)
    with np.errstate(invalid="ignore"):
        low, high = beta.ppf(0.025, hits, sizes - hits + 1), beta.ppf(0.975, hits + 1, sizes - hits)
    return {
        "n_rows": sizes,
        "confidence": np.add.reduceat(values[order], starts) / sizes,
        "accuracy": hits / sizes,
        "low": np.where(hits == 0, 0.0, low),
        "high": np.where(hits == sizes, 1.0, high),
    }


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """Find the temperature by which logits must be divided to give the smallest log loss :cite:p:`Guo2017`.

    The loss is convex in one over the temperature, so its slope has one root at most. One row's worth of the n + 1 is taken to
    tell nothing of its class, as by Platt :cite:p:`Platt1999`: few rows that are all right are no proof of certainty. That class is one
    of those that the rows have: logits that rule out another, however firmly, are no mistake.

    Parameters
    ----------
    logits
        (n_obs × n_classes).
    truth
        Class of each row (n_obs).

    Returns
    -------
    A temperature between 0.05 and 20. The upper end means that the logits are no better than guessing; 1 where no row's logits
    differ, when every temperature is the same.
    """
    logits, truth = checked(logits, truth, "logits")
    values = logits.astype(np.float64)
    values = values - np.take_along_axis(values, truth[:, None], axis=1)
    if not values.any():
        return 1.0

    seen = np.unique(truth)
    untold = values[:, seen if len(seen) > 1 else slice(None)].mean() / (len(truth) + 1)

    def slope(inverse: float) -> float:
        scaled = inverse * values
        shares = np.exp(
            scaled - scaled.max(axis=1, keepdims=True)
        )  # of the softmax; `logsumexp` takes several times as long
        return float(((shares * values).sum(axis=1) / shares.sum(axis=1)).mean() - untold)

    coldest, hottest = TEMPERATURES
    if slope(1 / coldest) <= 0:
        return coldest
    if slope(1 / hottest) >= 0:
        return hottest
    return float(1 / brentq(slope, 1 / hottest, 1 / coldest, xtol=1e-12, rtol=1e-12))


def checked(values: NDArray[Any], truth: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
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
