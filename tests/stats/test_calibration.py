from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn import metrics

from cellclf import stats
from cellclf.stats import _calibration


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(200, 4)) * 2


@pytest.fixture
def truth(logits) -> np.ndarray:
    """Classes drawn from a softened version of the logits: they are too sure."""
    rng = np.random.default_rng(1)
    return np.array([rng.choice(4, p=row) for row in softmax(logits / 3, axis=1)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_is_that_of_scikit_learn(logits, truth, dtype):
    proba = softmax(logits, axis=1).astype(dtype)
    expected = metrics.log_loss(truth, proba.astype(np.float64) / proba.sum(axis=1, keepdims=True, dtype=np.float64))
    assert stats.log_loss(proba, truth) == pytest.approx(expected, rel=1e-6)


def test_a_sure_mistake_costs_a_finite_loss():
    assert stats.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(np.finfo(float).eps))


def test_calibration_error_equals_a_loop(logits, truth):
    proba = softmax(logits, axis=1)
    confidence, hit = proba.max(axis=1), proba.argmax(axis=1) == truth
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            expected += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    assert stats.expected_calibration_error(proba, truth, n_bins=10) == pytest.approx(expected)


@pytest.mark.parametrize(("proba", "expected"), [([[1.0, 0.0]] * 4, 0.5), ([[0.5, 0.5]] * 4, 0.0)])
def test_calibration_error_of_plain_cases(proba, expected):
    assert stats.expected_calibration_error(np.array(proba), np.array([0, 0, 1, 1])) == pytest.approx(expected)


def test_temperature_is_the_best_of_a_grid(logits, truth):
    found = stats.fit_temperature(logits, truth)

    def loss(temperature: float) -> float:
        scores = log_softmax(logits / temperature, axis=1)
        return -(scores[np.arange(200), truth] * 200 + scores.mean(axis=1)).mean() / 201  # one of 201 tells nothing

    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))
    best = grid[np.argmin([loss(t) for t in grid])]
    assert found == pytest.approx(best, rel=2e-3)
    assert loss(found) <= loss(best) + 1e-12
    assert found == pytest.approx(3, rel=0.3)


def test_few_rows_that_are_all_right_are_no_proof_of_certainty():
    """Two classes, n rows of one margin: the best probability of the true class is (n + 1/2) / (n + 1)."""
    for n in (1, 10, 57):
        logits = np.tile([4.0, 0.0], (n, 1))
        temperature = stats.fit_temperature(logits, np.zeros(n, dtype=int))
        assert softmax(logits / temperature, axis=1)[0, 0] == pytest.approx((n + 0.5) / (n + 1), rel=1e-6)


def test_a_class_that_is_ruled_out_and_has_no_row_does_not_matter(logits, truth):
    strange = np.full((len(logits), 2), -800.0)
    found = stats.fit_temperature(np.hstack([logits, strange]), truth)
    assert found == pytest.approx(stats.fit_temperature(logits, truth), rel=1e-9)


def test_temperature_is_bounded():
    logits = np.array([[2.0, 0.0], [0.0, 3.0]])
    assert stats.fit_temperature(1e-3 * logits, np.array([0, 1])) == _calibration.TEMPERATURES[0]
    assert stats.fit_temperature(logits, np.array([1, 0])) == _calibration.TEMPERATURES[1]
    assert stats.fit_temperature(np.ones((5, 3)), np.array([0, 1, 2, 0, 1])) == 1.0


def test_temperature_ignores_a_shift_of_a_row(logits, truth):
    shifted = logits + np.random.default_rng(3).normal(size=(200, 1)) * 1000
    assert stats.fit_temperature(shifted, truth) == pytest.approx(stats.fit_temperature(logits, truth), rel=1e-6)


@pytest.mark.parametrize(
    "function", [stats.log_loss, stats.expected_calibration_error, stats.fit_temperature], ids=lambda f: f.__name__
)
@pytest.mark.parametrize(
    ("values", "truth", "message"),
    [
        ([[0.5, 0.5]], [0, 1], "has shape"),
        ([[0.5, 0.5]], [2], "truth reaches from 2 to 2"),
        ([[0.5, 0.5]], [-1], "truth reaches from -1"),
        ([[np.nan, 0.5]], [0], "NaN or infinite values in row 0"),
        (np.zeros((0, 2)), [], "no rows"),
    ],
)
def test_what_does_not_fit_is_refused(function, values, truth, message):
    with pytest.raises(ValueError, match=message):
        function(np.array(values), np.array(truth, dtype=int))


def test_reliability_equals_a_loop():
    rng = np.random.default_rng(0)
    confidence = rng.random(103)
    hit = rng.random(103) < confidence
    hit[np.argsort(confidence)[-10:]] = True
    table = stats.reliability(confidence, hit, 10)
    order = np.argsort(confidence)
    bins = [order[i * 103 // 10 : (i + 1) * 103 // 10] for i in range(10)]
    assert list(table["n_rows"]) == [len(rows) for rows in bins]
    np.testing.assert_allclose(table["confidence"], [confidence[rows].mean() for rows in bins])
    np.testing.assert_allclose(table["accuracy"], [hit[rows].mean() for rows in bins])
    for rows, low, high in zip(bins, table["low"], table["high"], strict=True):
        expected = binomtest(int(hit[rows].sum()), len(rows)).proportion_ci(0.95, method="exact")
        assert (low, high) == pytest.approx((expected.low, expected.high))


def test_reliability_keeps_equal_confidences_together():
    table = stats.reliability(np.repeat([0.5, 0.75, 1.0], [10, 80, 10]), np.ones(100, dtype=bool), 10)
    assert list(table["n_rows"]) == [10, 80, 10]
    assert list(table["high"]) == [1, 1, 1]
    assert stats.reliability(np.array([0.5]), np.array([False]))["low"] == [0]
