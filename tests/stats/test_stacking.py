"""How loud each of several classifiers should speak where they speak together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax

from cellclf import stats


def told(logits, weights, truth):
    """Log loss of each row where classifiers speak together."""
    together = log_softmax(sum(weight * values for weight, values in zip(weights, logits, strict=True)), axis=1)
    return -together[np.arange(len(truth)), truth]


def sharpest(logits, truth):
    """Least log loss at any temperature, over all rows."""
    return min(told([logits], [scale], truth).sum() for scale in np.geomspace(1e-4, 100, 2000))


def noisy(truth, noise, seed=0):
    """Logits that know the truth, but not surely."""
    n = len(truth)
    return 2 * np.eye(truth.max() + 1)[truth] + np.random.default_rng(seed).normal(size=(n, truth.max() + 1)) * noise


class TestStackingWeights:
    def test_a_blind_search_finds_the_same(self):
        truth = np.random.default_rng(0).integers(4, size=300)
        logits = [noisy(truth, noise, seed) * scale for seed, (noise, scale) in enumerate([(1.5, 1), (3, 2), (4, 0.3)])]
        temperatures = [stats.fit_temperature(values, truth) for values in logits]
        tempered = [values / temperature for values, temperature in zip(logits, temperatures, strict=True)]

        def cost(weights):
            if min(weights) < 0:
                return np.inf
            return told(tempered, weights, truth).sum() + ((weights - [1, 0, 0]) ** 2).sum() / 2

        blind = minimize(cost, [0.8, 0.2, 0.2], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
        expected = blind / temperatures
        found = stats.stacking_weights(logits, truth)
        assert found[0] == 1
        np.testing.assert_allclose(found, expected / expected[0], rtol=2e-3, atol=2e-3)
        assert (found > 0.01).all()

    def test_what_knows_nothing_or_lies_is_silent(self):
        truth = np.random.default_rng(1).integers(3, size=200)
        first = noisy(truth, 1.0)
        found = stats.stacking_weights([first, -first, np.zeros((200, 3))], truth)
        np.testing.assert_array_equal(found, [1, 0, 0])  # exactly, whatever the search rounds to

    def test_one_that_knows_more_than_the_first_is_loud(self):
        truth = np.random.default_rng(2).integers(3, size=400)
        first = np.random.default_rng(3).normal(size=(400, 3))
        weights = stats.stacking_weights([first, noisy(truth, 1.0)], truth)
        assert (first + weights[1] * noisy(truth, 1.0)).argmax(axis=1).tolist() == noisy(truth, 1.0).argmax(
            axis=1
        ).tolist()

    def test_how_large_the_logits_of_one_are_does_not_matter(self):
        truth = np.random.default_rng(4).integers(3, size=200)
        first, second = noisy(truth, 1.5), noisy(truth, 2.0, seed=5)
        plain, scaled = (stats.stacking_weights([first, factor * second], truth)[1] for factor in (1.0, 3.0))
        assert plain > 0.1
        assert scaled == pytest.approx(plain / 3, rel=1e-2)

    def test_few_rows_leave_the_first_alone(self):
        truth = np.random.default_rng(5).integers(2, size=4000)
        first, second = (noisy(truth, 2.0, seed) for seed in (6, 7))
        many, few = (stats.stacking_weights([first[:n], second[:n]], truth[:n])[1] for n in (4000, 4))
        assert few < 0.7 * many

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 2**31), st.integers(1, 60), st.integers(2, 5), st.integers(2, 4))
    def test_rows_are_never_told_worse_than_by_the_first_alone(self, seed, n, n_classes, n_models):
        rng = np.random.default_rng(seed)
        truth = rng.integers(n_classes, size=n)
        logits = rng.normal(size=(n_models, n, n_classes)) * 3
        weights = stats.stacking_weights(list(logits), truth)
        assert weights[0] == 1
        assert (weights >= 0).all()
        together = np.tensordot(weights, logits, axes=1)
        assert (
            sharpest(together, truth)
            <= told([logits[0]], [1 / stats.fit_temperature(logits[0], truth)], truth).sum() + 1e-3
        )

    def test_logits_that_do_not_fit_are_refused(self):
        with pytest.raises(ValueError, match=r"logits\[0\] has shape"):
            stats.stacking_weights([np.zeros((3, 2)), np.zeros((3, 2))], np.zeros(2, dtype=int))
        with pytest.raises(ValueError, match=r"logits\[1\] holds NaN"):
            stats.stacking_weights([np.zeros((2, 2)), np.full((2, 2), np.nan)], np.array([0, 1]))
