"""Linear discriminants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cellclf import stats


def clouds(sizes, n_genes, seed=0, apart=1.0):
    """Cells of classes of these sizes, float32, around means of their own, with correlated genes."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    mixing = rng.normal(size=(n_genes, n_genes)) / n_genes**0.5 + np.eye(n_genes)
    cells = apart * rng.normal(size=(len(sizes), n_genes))[y] + rng.normal(size=(len(y), n_genes)) @ mixing
    return cells.astype(np.float32), y


def discriminant(cells, y, sizes, n=stats.N_AXES):
    """Learn a discriminant in the cells' own axes."""
    return stats.discriminant(cells, y, sizes, stats.principal_axes(cells - cells.mean(axis=0), n, n_iterations=2))


class TestDiscriminant:
    def test_all_axes_give_the_textbook_rule_on_the_genes_themselves(self):
        cells, y = clouds([40, 30, 90], 8)
        weight, bias = discriminant(cells, y, np.bincount(y))
        x = cells.astype(np.float64)
        means = np.stack([x[y == k].mean(axis=0) for k in range(3)])
        covariance = (x - means[y]).T @ (x - means[y]) / (160 - 3)
        covariance += 0.01 * np.trace(covariance) / 8 * np.eye(8)
        inverse = np.linalg.inv(covariance)
        prior = np.sqrt([40, 30, 90])
        expected = [
            np.log(prior[k]) - 0.5 * np.einsum("ij,jk,ik->i", x - means[k], inverse, x - means[k]) for k in range(3)
        ]
        found = log_softmax(x @ weight + bias, axis=1)
        np.testing.assert_allclose(found, log_softmax(np.stack(expected, axis=1), axis=1), atol=1e-4)

    def test_scikit_learn_calls_the_same_classes_as_likely(self):
        cells, y = clouds([50, 50, 50], 6, seed=3)
        weight, bias = discriminant(cells, y, np.bincount(y))
        shrunk = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01 / 1.01, priors=[1 / 3] * 3).fit(cells, y)
        ours, theirs = cells @ weight + bias, shrunk.decision_function(cells)
        ours, theirs = (values - values.mean(axis=1, keepdims=True) for values in (ours, theirs))
        np.testing.assert_allclose(ours * 1.01 * 150 / 147, theirs, rtol=1e-3, atol=2e-3)

    def test_axes_are_no_more_than_cells_can_tell_and_the_rest_of_space_is_silent(self):
        cells, y = clouds([11, 10], 50, apart=3.0)
        axes = stats.principal_axes(cells - cells.mean(axis=0), 20)
        weight, _ = stats.discriminant(cells, y, np.bincount(y), axes)
        axes = axes[:, : (21 - 2) // 3]
        np.testing.assert_allclose(axes @ (axes.T @ weight), weight, atol=1e-5)
        assert np.linalg.matrix_rank(weight, tol=1e-6) <= 2

    @pytest.mark.parametrize("sizes", [[1, 1, 1], [2, 1], [4]])
    def test_too_few_cells_say_nothing(self, sizes):
        cells, y = clouds(sizes, 4)
        if sizes == [4]:
            cells[:] = cells[0]  # alike
        weight, bias = discriminant(cells, y, np.bincount(y))
        assert not weight.any()
        assert not bias.any()

    def test_a_class_without_cells_lies_in_the_middle(self):
        cells, y = clouds([30, 30], 5, apart=3.0)
        weight, bias = discriminant(cells, y, np.array([30, 0, 30])[[0, 2, 1]])
        assert not weight[:, 2].any()
        assert bias[2] == pytest.approx(0.5 * np.log(0.5))

    def test_order_and_scale_of_the_genes_matter_little(self):
        cells, y = clouds([60, 50], 7, seed=5)
        order = np.random.default_rng(0).permutation(7)
        weight, bias = discriminant(cells, y, np.bincount(y))
        turned, again = discriminant(np.ascontiguousarray(cells[:, order]), y, np.bincount(y))
        np.testing.assert_allclose(turned, weight[order], atol=1e-3)
        np.testing.assert_allclose(again, bias, atol=1e-3)

    def test_constant_genes_get_no_weight_and_copies_share(self):
        cells, y = clouds([60, 50], 6, seed=6)
        cells[:, 2], cells[:, 3] = 4.0, cells[:, 4]
        weight, bias = discriminant(cells, y, np.bincount(y))
        assert np.isfinite(weight).all()
        assert np.isfinite(bias).all()
        np.testing.assert_allclose(weight[2], 0, atol=1e-4)
        np.testing.assert_allclose(weight[3], weight[4], atol=1e-3)
