"""Measures of predictions, and how far they would scatter if other cells or other donors had been drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _agreement, _calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEASURES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "median_f1",
    "log_loss",
    "brier",
    "calibration_error",
)
N_BINS = 15


@dataclass(frozen=True, eq=False)
class Judged:
    """What the probabilities of one model say of each row: true class, prediction, losses, confidence."""

    probabilities: NDArray[Any]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    losses: NDArray[np.float64]
    squares: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @classmethod
    def of(cls, probabilities: NDArray[Any], truth: NDArray[Any]) -> Judged:
        """Look at the probabilities (n_obs, n_classes) of rows whose class is known."""
        probabilities, truth = _calibration.checked(probabilities, truth, "probabilities")
        return cls(
            probabilities,
            truth,
            probabilities.argmax(axis=1),
            _calibration.losses(probabilities, truth),
            _calibration.squared_errors(probabilities, truth),
            probabilities.max(axis=1).astype(np.float64),
        )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.probabilities.shape[1]

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Whether the most likely class was the true one."""
        return self.predicted == self.truth

    def part(self, rows: NDArray[Any]) -> Judged:
        """Keep some rows."""
        return Judged(*(getattr(self, field.name)[rows] for field in fields(self)))

    def table(self, weights: NDArray[Any] | None = None) -> NDArray[Any]:
        """Tabulate truth (rows) against prediction, each row counted so many times."""
        pairs = self.truth * self.n_classes + self.predicted
        counts = np.bincount(pairs, weights, minlength=self.n_classes**2)
        return counts.reshape(self.n_classes, self.n_classes)

    def measures(self, weights: NDArray[Any] | None = None, table: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Return the numbers named by `MEASURES`, each row counted so many times."""
        table = self.table(weights) if table is None else table
        weights = np.ones(len(self.truth)) if weights is None else weights
        place = np.clip(np.ceil(self.confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
        gaps = np.bincount(place, weights * (self.hit - self.confidence), minlength=N_BINS)
        total = weights.sum()
        return np.array(
            [
                _agreement.accuracy(table),
                _agreement.balanced_accuracy(table),
                _agreement.macro_f1(table),
                _agreement.median_f1(table),
                weights @ self.losses / total,
                weights @ self.squares / total,
                np.abs(gaps).sum() / total,
            ]
        )

    def by_class(self, table: NDArray[Any]) -> NDArray[np.float64]:
        """Return precision, recall and F1 of each class (n_classes, 3); NaN where there is nothing to measure."""
        report = _agreement.classification_report(table)
        truth, predicted = table.sum(axis=1), table.sum(axis=0)
        seen = np.stack([predicted, truth, truth + predicted], axis=1) > 0
        return np.where(seen, np.stack([report[name] for name in ("precision", "recall", "f1")], axis=1), np.nan)


def bootstrap(
    judged: Judged, groups: NDArray[Any] | None, *, n_repeats: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw rows, or whole groups of rows, with replacement, and measure again :cite:p:`Efron1993`.

    Parameters
    ----------
    judged
        Predictions and truth of each row.
    groups
        Group of each row (n_obs), 0 or above, such as its donor. `None`: every row for itself.
    n_repeats
        How often to draw.
    rng
        Generator.

    Returns
    -------
    The ends of the 95 % intervals, 2.5th and 97.5th percentile, of the `MEASURES` (2 × n_measures), and of precision, recall
    and F1 of each class (2 × n_classes × 3); a draw without any cell of a class says nothing of that class.
    """
    n = len(judged.truth)
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = int(units.max()) + 1
    overall = np.empty((n_repeats, len(MEASURES)))
    classes = np.empty((n_repeats, judged.n_classes, 3))
    for repeat in range(n_repeats):
        drawn = np.bincount(rng.integers(n_units, size=n_units), minlength=n_units)[units].astype(np.float64)
        table = judged.table(drawn)
        overall[repeat], classes[repeat] = judged.measures(drawn, table), judged.by_class(table)
    return np.percentile(overall, [2.5, 97.5], axis=0), _percentiles(classes)


def _percentiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of 95 % of the values that there are (2, …); NaN where there are none."""
    empty = np.isnan(values).all(axis=0)
    ends = np.nanpercentile(np.where(empty, 0.0, values), [2.5, 97.5], axis=0)
    return np.where(empty, np.nan, ends)
