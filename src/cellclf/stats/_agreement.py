"""How well predictions agree with the truth, all from the confusion table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray


def confusion(truth: NDArray[Any], predicted: NDArray[Any], n_classes: int) -> NDArray[np.int64]:
    """Count how often each class was taken for each.

    Parameters
    ----------
    truth
        Class of each row (n_obs), 0 to n_classes - 1; rows with -1 are passed over.
    predicted
        Predicted class of each row (n_obs), 0 to n_classes - 1.
    n_classes
        Number of classes.

    Returns
    -------
    Counts (n_classes × n_classes), truth in rows, prediction in columns.

    Examples
    --------
    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 1:
        msg = f"truth has shape {truth.shape} and predicted {predicted.shape}. Give two vectors of the same length."
        raise ValueError(msg)
    known = truth >= 0
    for name, values in (("truth", truth[known]), ("predicted", predicted[known])):
        if values.size and not 0 <= values.min() <= values.max() < n_classes:
            msg = f"{name} reaches from {values.min()} to {values.max()}, but must lie between 0 and {n_classes - 1}."
            raise ValueError(msg)
    pairs = truth[known].astype(np.int64) * n_classes + predicted[known]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def classification_report(table: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
    """Judge each class.

    Parameters
    ----------
    table
        Confusion table, truth in rows.

    Returns
    -------
    The arrays `precision`, `recall`, `f1` and `support` (n_classes); 0 where a class was never predicted or never occurs.
    """
    hits = np.diag(table).astype(np.float64)
    support, predicted = table.sum(axis=1), table.sum(axis=0)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
        "support": support,
    }


def accuracy(table: NDArray[np.integer[Any]]) -> float:
    """Share of rows on the diagonal of a confusion table; NaN for an empty one."""
    total = table.sum()
    return float(np.trace(table) / total) if total else float("nan")


def balanced_accuracy(table: NDArray[np.integer[Any]]) -> float:
    """Mean recall over the classes that occur in truth; NaN for an empty table."""
    present = table.sum(axis=1) > 0
    return float(classification_report(table)["recall"][present].mean()) if present.any() else float("nan")


def macro_f1(table: NDArray[np.integer[Any]]) -> float:
    """Mean F1 over the classes that occur in truth or prediction; NaN for an empty table."""
    present = table.sum(axis=1) + table.sum(axis=0) > 0
    return float(classification_report(table)["f1"][present].mean()) if present.any() else float("nan")


def median_f1(table: NDArray[Any]) -> float:
    """Median F1 over the classes that occur in truth or prediction; NaN for an empty table."""
    present = table.sum(axis=1) + table.sum(axis=0) > 0
    return float(np.median(classification_report(table)["f1"][present])) if present.any() else float("nan")


def average_precision(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Mean precision over the positive rows, each at the threshold of its own score; NaN where none or all are positive."""
    if not positive.any() or positive.all():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(positive[order])[last_of_ties]
    return float((np.diff(found, prepend=0) * found / (last_of_ties + 1)).sum() / found[-1])


def auroc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive row has the higher score, ties counted half; NaN where none or all are positive."""
    n = int(positive.sum())
    if n in (0, len(positive)):
        return float("nan")
    above = rankdata(scores)[positive].sum() - n * (n + 1) / 2
    return float(above / (n * (len(positive) - n)))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Divide, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
