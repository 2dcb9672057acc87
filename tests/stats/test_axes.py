from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orth, subspace_angles
from sklearn.decomposition import PCA

from cellclf.stats import principal_axes, with_class_means


@pytest.fixture
def cells() -> np.ndarray:
    """Draw cells of a quickly falling spectrum."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 40)) * 0.8 ** np.arange(40) @ np.linalg.qr(rng.normal(size=(40, 40)))[0]
    return (values - values.mean(axis=0)).astype(np.float32)


def test_equal_to_scikit_learn(cells):
    expected = PCA(5, svd_solver="full").fit(cells).components_
    found = principal_axes(cells, 5)
    assert found.shape == (40, 5)
    np.testing.assert_allclose(np.abs(expected @ found), np.eye(5), atol=2e-3)


@pytest.mark.parametrize(("shape", "n"), [((90, 40), 60), ((4, 40), 4), ((1, 3), 1)])
def test_no_more_axes_than_cells_or_genes(shape, n, cells):
    found = principal_axes(cells[: shape[0], : shape[1]], 60)
    assert found.shape == (shape[1], min(n, *shape))
    np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-4)


def test_same_cells_same_bits(cells):
    np.testing.assert_array_equal(principal_axes(cells, 3), principal_axes(cells.copy(), 3))


def means_of(cells, y):
    return np.stack([cells[y == code].mean(axis=0) for code in np.unique(y)], axis=1)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 20))
def test_axes_and_means_are_held_and_nothing_else(seed, n_classes, n_axes):
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=40)
    cells = rng.normal(size=(40, 20)) + rng.normal(size=(n_classes, 20))[y]
    axes = np.linalg.qr(rng.normal(size=(20, 20)))[0][:, :n_axes]
    found = with_class_means(axes, cells, y)
    means = means_of(cells, y)
    expected = orth(np.hstack([axes, means - means.mean(axis=1, keepdims=True)]), rcond=1e-9)
    assert found.shape == expected.shape == (20, min(20, n_axes + len(np.unique(y)) - 1))
    np.testing.assert_array_equal(found[:, :n_axes], axes)
    np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-10)
    if found.shape[1]:
        assert subspace_angles(found, expected).max() < 1e-6


def test_means_along_axes_add_none(cells):
    """What is left of them is rounding, in the cells' own precision."""
    y = np.arange(90) % 3
    means = means_of(cells.astype(np.float64), y)
    axes = orth(means - means.mean(axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(with_class_means(axes, cells, y), axes)


def test_classes_of_one_mean_and_a_code_without_cells_add_none():
    cells = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [3.0, 4.0]])
    axes = np.array([[1.0], [0.0]])
    np.testing.assert_array_equal(with_class_means(axes, cells, np.array([0, 0, 4, 4])), axes)
    assert with_class_means(axes, cells, np.array([0, 4, 0, 4])).shape == (2, 2)


def test_the_means_that_differ_most_come_first():
    cells = np.array([[0.0, 0.0, 9.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    found = with_class_means(np.array([[1.0], [0.0], [0.0]]), cells, np.arange(3))
    assert abs(found[2, 1]) > abs(found[1, 1])
