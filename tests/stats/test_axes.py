from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cellclf.stats import principal_axes


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
