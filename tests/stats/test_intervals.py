from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from cellclf import stats


@pytest.fixture
def judged() -> stats.Judged:
    """Give 90 rows of 4 classes, of which the last never occurs and the third is never predicted."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=90)
    proba = softmax(rng.normal(size=(90, 4)) + 2 * np.eye(4)[truth] - [0, 0, 9, 3], axis=1)
    return stats.Judged.of(proba, truth)


def test_measures_are_those_of_scikit_learn(judged):
    truth, predicted, proba = judged.truth, judged.predicted, judged.probabilities
    f1 = metrics.f1_score(truth, predicted, average=None, zero_division=0)
    expected = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.recall_score(truth, predicted, average=None, labels=[0, 1, 2]).mean(),
        "macro_f1": f1.mean(),
        "median_f1": np.median(f1),
        "log_loss": metrics.log_loss(truth, proba, labels=range(4)),
        "brier": ((proba - np.eye(4)[truth]) ** 2).sum(axis=1).mean(),
        "calibration_error": stats.expected_calibration_error(proba, truth),
    }
    assert tuple(expected) == stats.MEASURES
    np.testing.assert_allclose(judged.measures(), list(expected.values()), rtol=1e-9)
    assert stats.brier_score(proba, truth) == pytest.approx(expected["brier"])


def test_weights_are_rows_that_come_several_times(judged):
    times = np.random.default_rng(1).integers(4, size=90)
    again = judged.part(np.repeat(np.arange(90), times))
    np.testing.assert_allclose(judged.measures(times.astype(float)), again.measures(), rtol=1e-9)
    np.testing.assert_array_equal(judged.by_class(judged.table(times)), again.by_class(again.table()))


def test_classes_that_cannot_be_measured_are_missing(judged):
    precision, recall, f1 = judged.by_class(judged.table()).T
    assert list(np.isnan(precision)) == [False, False, True, True]
    assert list(np.isnan(recall)) == [False, False, False, True]
    assert list(np.isnan(f1)) == [False, False, False, True]


def test_intervals_equal_a_loop_over_drawn_rows(judged):
    found, of_classes = stats.bootstrap(judged, None, n_repeats=60, rng=np.random.default_rng(5))
    rng, drawn = np.random.default_rng(5), []
    for _ in range(60):
        part = judged.part(rng.integers(90, size=90))
        drawn.append((part.measures(), part.by_class(part.table())))
    np.testing.assert_allclose(found, np.percentile([d[0] for d in drawn], [2.5, 97.5], axis=0), rtol=1e-9)
    expected = np.percentile([d[1][:2] for d in drawn], [2.5, 97.5], axis=0)
    np.testing.assert_allclose(of_classes[:, :2], expected, rtol=1e-9)
    assert np.isnan(of_classes[:, 3]).all()


def test_groups_are_drawn_as_a_whole(judged):
    groups = np.repeat(np.arange(9), 10) + 3
    found, _ = stats.bootstrap(judged, groups, n_repeats=40, rng=np.random.default_rng(5))
    rng, drawn = np.random.default_rng(5), []
    for _ in range(40):
        rows = np.concatenate([np.flatnonzero(groups == g + 3) for g in rng.integers(9, size=9)])
        drawn.append(judged.part(rows).measures())
    np.testing.assert_allclose(found, np.percentile(drawn, [2.5, 97.5], axis=0), rtol=1e-9)


def test_an_interval_of_95_percent_holds_the_truth_about_as_often():
    """Rows whose class is found with probability 0.8, drawn again and again."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(60):
        truth = rng.integers(2, size=100)
        hit = rng.random(100) < 0.8
        proba = np.where(hit[:, None] == (truth[:, None] == [0, 1]), 0.8, 0.2)
        low, high = stats.bootstrap(stats.Judged.of(proba, truth), None, n_repeats=60, rng=rng)[0][:, 0]
        inside += low <= 0.8 <= high
    assert 51 <= inside <= 59


@pytest.mark.parametrize("ties", [False, True])
def test_areas_are_those_of_scikit_learn(ties):
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.3
    scores = rng.normal(positive, 1)
    scores = np.round(scores) if ties else scores
    assert stats.auroc(scores, positive) == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert stats.average_precision(scores, positive) == pytest.approx(metrics.average_precision_score(positive, scores))


@pytest.mark.parametrize("value", [True, False])
def test_areas_without_both_sides_are_missing(value):
    positive = np.full(5, value)
    assert np.isnan(stats.auroc(np.arange(5.0), positive))
    assert np.isnan(stats.average_precision(np.arange(5.0), positive))
