from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cellclf.stats import Novelty


def cells(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.normal(size=(n, 4)) @ np.diag([1, 2, 0.5, 1])
    x[:, 0] += 6 * y
    return x.astype(np.float32), y


def test_against_scipy():
    x, y = cells()
    query = cells(seed=1)[0]
    novelty = Novelty.learn(x, y, 3)

    def shrunk(centred):
        covariance = np.cov(centred.T, bias=True)
        return 0.9 * covariance + 0.1 * np.trace(covariance) / 4 * np.eye(4)

    x = x.astype(np.float64)
    means = np.stack([x[y == k].mean(axis=0) for k in range(3)])
    within = cdist(query, means, "mahalanobis", VI=np.linalg.inv(shrunk(x - means[y]))) ** 2
    overall = cdist(query, x.mean(axis=0)[None], "mahalanobis", VI=np.linalg.inv(shrunk(x - x.mean(axis=0)))) ** 2
    np.testing.assert_allclose(novelty.score(query), (within.min(axis=1) - overall[:, 0]) / 4, rtol=1e-4, atol=1e-4)


def test_a_class_never_seen_scores_higher():
    x, y = cells()
    known = y != 1
    novelty = Novelty.learn(x[known], y[known] // 2, 2)
    fresh, truth = cells(seed=2)
    scores = novelty.score(fresh)
    assert scores[truth == 1].min() > np.quantile(scores[truth != 1], 0.95)


@pytest.mark.parametrize("n", [1, 2], ids=["one cell", "two cells"])
def test_few_cells_and_no_spread_stay_finite(n):
    x = np.ones((n, 4), dtype=np.float32)
    novelty = Novelty.learn(x, np.arange(n), n)
    assert np.isfinite(novelty.score(x)).all()
