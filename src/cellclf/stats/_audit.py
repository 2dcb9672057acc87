"""Labels that out-of-fold probabilities contradict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LabelAudit(NamedTuple):
    """What probabilities say of given labels.

    `quality` (n_rows) in [0, 1], low for a label that is contradicted; `issue` (n_rows, bool); `predicted` (n_rows), the
    most probable class; `thresholds` (n_classes), the mean probability of a class among the rows that have it; `joint`
    (n_classes × n_classes), the estimated number of rows by given label (rows) and true class (columns).
    """

    quality: NDArray[np.float64]
    issue: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    joint: NDArray[np.float64]


def audit(proba: NDArray[Any], given: NDArray[np.integer[Any]]) -> LabelAudit:
    """Find labels that are probably wrong, by confident learning :cite:p:`Northcutt2021`.

    A row counts as of class k where its probability of k is at least the mean of that probability among the rows labelled
    k (of several such classes, the most probable). Counting given labels against these classes and scaling each row of the
    table to the number of rows with that label gives the joint distribution of given and true classes. For each pair of
    different classes as many rows as it says are flagged, those first whose probabilities differ most; never a row whose
    given label is the most probable class.

    Parameters
    ----------
    proba
        Probabilities (n_rows × n_classes) from models that have not seen the row.
    given
        Given label of each row (n_rows), 0 to n_classes - 1.

    Returns
    -------
    The audit. The quality is (1 + p(given) - largest p(other)) / 2.

    Examples
    --------
    >>> proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> audit(proba, np.array([0, 0, 1, 1, 1])).issue.tolist()
    [False, False, False, False, True]
    """
    proba, given = np.asarray(proba, dtype=np.float64), np.asarray(given)
    rows, n_classes = np.arange(len(given)), proba.shape[1]
    own = proba[rows, given]
    sizes = np.bincount(given, minlength=n_classes)
    sums = np.bincount(given, weights=own, minlength=n_classes)
    thresholds = np.divide(sums, sizes, out=np.full(n_classes, np.inf), where=sizes > 0)
    others = proba.copy()
    others[rows, given] = -np.inf
    predicted = proba.argmax(axis=1)
    joint = _joint(proba, given, thresholds, sizes)
    issue = np.zeros(len(given), dtype=bool)
    for label, true in zip(*np.nonzero(np.rint(joint) > 0), strict=True):
        if label != true:
            candidates = np.flatnonzero((given == label) & (predicted != given))
            margin = proba[candidates, true] - own[candidates]
            issue[candidates[np.argsort(-margin, kind="stable")[: int(np.rint(joint[label, true]))]]] = True
    return LabelAudit((1 + own - others.max(axis=1)) / 2, issue, predicted, thresholds, joint)


def _joint(
    proba: NDArray[np.float64],
    given: NDArray[np.integer[Any]],
    thresholds: NDArray[np.float64],
    sizes: NDArray[np.integer[Any]],
) -> NDArray[np.float64]:
    """Count confident rows by given label and true class, and scale them to all rows of each label."""
    eligible = np.where(proba >= thresholds, proba, -np.inf)
    sure = np.isfinite(eligible).any(axis=1)
    n_classes = proba.shape[1]
    pairs = given[sure] * n_classes + eligible[sure].argmax(axis=1)
    counts = np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.float64)
    np.fill_diagonal(counts, np.maximum(np.diag(counts), sizes > 0))  # a class always has a row of its own
    totals = counts.sum(axis=1)
    return np.divide(counts, totals[:, None], out=np.zeros_like(counts), where=totals[:, None] > 0) * sizes[:, None]
