from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orth, subspace_angles, svd
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


def lengths_beside(axes, cells, y):
    """Take the classes one by one, and leave out the axes by solving for them."""
    apart = [np.sqrt(np.sum(y == code)) * (cells[y == code].mean(axis=0) - cells.mean(axis=0)) for code in np.unique(y)]
    beside = [one - axes @ np.linalg.lstsq(axes, one)[0] for one in apart]
    directions, lengths, _ = svd(np.stack(beside, axis=1), full_matrices=False)
    return directions, lengths


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 15), st.floats(0, 3))
def test_those_further_apart_than_by_chance_are_added(seed, n_classes, n_axes, distance):
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=60)
    cells = rng.normal(size=(60, 20)) + distance * rng.normal(size=(n_classes, 20))[y]
    axes = np.linalg.qr(rng.normal(size=(20, n_axes)))[0]
    directions, lengths = lengths_beside(axes, cells, y)
    _, by_chance = lengths_beside(axes, cells, np.random.default_rng(0).permutation(y))
    n = 0
    while n < len(lengths) and lengths[n] > by_chance[n] + 1e-4:
        n += 1
    found = with_class_means(axes, cells, y)
    assert found.shape == (20, n_axes + n)
    assert n < n_classes
    np.testing.assert_array_equal(found[:, :n_axes], axes)
    np.testing.assert_allclose(found.T @ found, np.eye(n_axes + n), atol=1e-10)
    if n:
        assert subspace_angles(found[:, n_axes:], directions[:, :n]).max() < 1e-6


def test_classes_that_differ_are_seen_and_those_by_chance_hardly():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 8
    noise, axes = rng.normal(size=(400, 50)), np.eye(50)[:, :5]
    assert with_class_means(axes, noise + 3 * np.eye(8, 50, 20)[y], y).shape[1] == 5 + 7
    by_chance = [with_class_means(axes, noise, rng.permutation(y)).shape[1] - 5 for _ in range(20)]
    assert np.mean(by_chance) < 2


def test_means_along_axes_add_none(cells):
    """What is left of them is rounding, in the cells' own precision."""
    y = np.arange(90) % 3
    means = np.stack([cells[y == code].mean(axis=0) for code in range(3)], axis=1, dtype=np.float64)
    axes = orth(means - means.mean(axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(with_class_means(axes, cells, y), axes)


def test_one_class_and_codes_without_cells():
    cells = np.array([[9.0, 1.0], [-9.0, 1.0], [9.0, 1.0], [-9.0, -1.0], [9.0, -1.0], [-9.0, -1.0]])
    axes = np.array([[1.0], [0.0]])
    np.testing.assert_array_equal(with_class_means(axes, cells, np.zeros(6, int)), axes)
    assert with_class_means(axes, cells, np.array([0, 0, 0, 4, 4, 4])).shape == (2, 2)
