"""Logistic regression in principal axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from cellclf.fit import _logistic
from cellclf.fit._logistic import logistic


def clouds(sizes, n_genes, seed=0):
    """Cells of classes of these sizes that overlap, float32."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    return (rng.normal(size=(len(sizes), n_genes))[y] + rng.normal(size=(len(y), n_genes))).astype(np.float32), y


def turned(n_genes, n, seed=1):
    """Return `n` axes at right angles."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n_genes, n)))[0].astype(np.float32)


@pytest.mark.parametrize("sizes", [[60, 40], [70, 20, 40, 10]])
def test_scikit_learn_finds_the_same(sizes, monkeypatch):
    monkeypatch.setattr(_logistic, "N_STEPS", 1000)
    monkeypatch.setattr(_logistic, "TOLERANCE", 1e-12)
    cells, y = clouds(sizes, 9)
    axes = turned(9, 5)
    weight, bias = logistic(cells, y, np.bincount(y), axes)
    by_class = np.asarray(sizes) ** -0.5
    by_class = (by_class * sum(sizes) / (by_class * sizes).sum())[y]
    placed = (cells - cells.mean(axis=0)) @ axes
    rival = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000)
    if (
        len(sizes) == 2
    ):  # scikit-learn has one vector of weights there, half as large in each of ours, so twice the penalty
        rival.set_params(C=0.2)
    rival.fit(placed, y, sample_weight=by_class)
    np.testing.assert_allclose(softmax(cells @ weight + bias, axis=1), rival.predict_proba(placed), atol=2e-4)


def test_few_steps_are_nearly_all(monkeypatch):
    rng = np.random.default_rng(2)
    cells, y = clouds([50, 40, 30], 60, seed=3)
    cells *= np.geomspace(30, 0.1, 60).astype(np.float32)[rng.permutation(60)]  # axes of very different length
    axes, sizes = turned(60, 60), np.bincount(y)
    probabilities = []
    for n_steps, tolerance in ((_logistic.N_STEPS, _logistic.TOLERANCE), (3000, 1e-12)):
        monkeypatch.setattr(_logistic, "N_STEPS", n_steps)
        monkeypatch.setattr(_logistic, "TOLERANCE", tolerance)
        weight, bias = logistic(cells, y, sizes, axes)
        probabilities.append(softmax(cells @ weight + bias, axis=1))
    assert np.abs(probabilities[0] - probabilities[1]).max() < 0.05


def test_only_the_axes_are_read():
    cells, y = clouds([30, 30], 8)
    axes = turned(8, 3)
    weight, _ = logistic(cells, y, np.bincount(y), axes)
    np.testing.assert_allclose(axes @ (axes.T @ weight), weight, atol=1e-6)


def test_a_class_without_cells_is_never_the_likely_one():
    cells, y = clouds([30, 30], 5)
    weight, bias = logistic(cells, 2 * y, np.array([30, 0, 30]), turned(5, 5))
    assert set((cells @ weight + bias).argmax(axis=1)) == {0, 2}
    assert np.isfinite(weight).all()


def test_cells_that_are_all_alike_tell_only_the_shares():
    y = np.repeat([0, 1], [10, 40])
    weight, bias = logistic(np.ones((50, 4), np.float32), y, np.bincount(y), turned(4, 2))
    assert not weight.any()
    shares = np.sqrt([10, 40])
    np.testing.assert_allclose(softmax(bias), shares / shares.sum(), atol=1e-3)


def test_the_number_of_threads_is_left_as_it_was():
    cells, y = clouds([30, 30], 5)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        logistic(cells, y, np.bincount(y), turned(5, 5))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
