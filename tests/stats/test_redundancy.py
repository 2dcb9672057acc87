from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from cellclf import stats
from cellclf.stats import _redundancy


@pytest.fixture
def x() -> np.ndarray:
    """Give 200 rows of 40 genes that share six factors."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(200, 6)) @ rng.normal(size=(6, 40)) + rng.normal(size=(200, 40))).astype(np.float32)


def greedy(x: np.ndarray, order: np.ndarray, n_genes: int, limit: float, n_given: int = 0) -> list[int]:
    """Take genes with a double loop."""
    r = np.abs(np.corrcoef(x.T.astype(np.float64)))
    taken: list[int] = []
    for place, gene in enumerate(order):
        if len(taken) < n_genes and (place < n_given or all(r[gene, other] <= limit for other in taken)):
            taken.append(int(gene))
    return taken


@pytest.mark.parametrize("candidates", [1, 7, 256])
@pytest.mark.parametrize("limit", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("n_given", [0, 3])
def test_equals_a_double_loop(x, candidates, limit, n_given, monkeypatch):
    monkeypatch.setattr(_redundancy, "CANDIDATES", candidates)
    order = np.random.default_rng(1).permutation(40)
    for n_genes in (5, 40):
        found = stats.decorrelated(x, np.ones(200, bool), order, n_genes=n_genes, limit=limit, n_given=n_given)
        assert found.tolist() == greedy(x, order, n_genes, limit, n_given)


def test_storage_and_hidden_rows_do_not_matter(x):
    rows = np.arange(200) % 3 > 0
    expected = greedy(x[rows], np.arange(40), 40, 0.3)
    x[~rows] = np.nan
    for form in (np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix):
        assert stats.decorrelated(form(x), rows, np.arange(40), n_genes=40, limit=0.3).tolist() == expected


def test_counts_are_compared_as_logarithms():
    x = np.random.default_rng(0).poisson(3, size=(200, 12)).astype(np.float32)
    x[:, 1] = x[:, 0] ** 3
    found = stats.decorrelated(x, np.ones(200, bool), np.arange(12), n_genes=12, limit=0.15)
    assert found.tolist() == greedy(np.log1p(x), np.arange(12), 12, 0.15)


def test_constant_genes_resemble_nothing():
    found = stats.decorrelated(np.ones((20, 3)), np.ones(20, bool), np.arange(3), n_genes=3, limit=0.5)
    assert found.tolist() == [0, 1, 2]


def test_few_rows_are_enough(x, monkeypatch):
    monkeypatch.setattr(_redundancy, "SAMPLE_ROWS", 50)
    found = stats.decorrelated(x, np.ones(200, bool), np.arange(40), n_genes=40, limit=0.5)
    assert found.tolist() == greedy(x[::4], np.arange(40), 40, 0.5)
