from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from cellclf import stats
from cellclf.stats import _coverage

FORMS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


@pytest.fixture
def x() -> np.ndarray:
    """Give 150 rows of 40 genes that share six factors."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(150, 6)) @ rng.normal(size=(6, 40)) + rng.normal(size=(150, 40))).astype(np.float32)


@pytest.fixture
def scores() -> np.ndarray:
    """Give scores of 40 genes for three classes."""
    return np.random.default_rng(1).random((40, 3))


def everywhere(x: np.ndarray) -> np.ndarray:
    """Mark all rows."""
    return np.ones(len(x), dtype=bool)


def by_turns(scores: np.ndarray) -> list[int]:
    """Go round the classes; each passes on to its next best gene."""
    orders = [sorted(range(len(scores)), key=lambda gene, c=c: -scores[gene, c]) for c in range(scores.shape[1])]
    return list(dict.fromkeys(gene for best in zip(*orders, strict=True) for gene in best))


def slowly(x: np.ndarray, scores: np.ndarray, n_genes: int, given: list[int]) -> list[int]:
    """Take genes with loops, from the first candidates of plain turns."""
    alike = np.abs(np.corrcoef(x.T.astype(np.float64)))
    free = np.setdiff1d(np.arange(len(scores)), given)
    pool = free[by_turns(scores[free])][: _coverage.CANDIDATES]
    taken = list(given)
    for turn in range(min(n_genes - len(given), len(pool))):
        left = [gene for gene in pool if gene not in taken]
        gain = [scores[gene, turn % 3] * (1 - max((alike[gene, t] for t in taken), default=0)) for gene in left]
        taken.append(int(left[int(np.argmax(gain))]))
    return taken


@given(arrays(np.float64, (7, 3), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5])))
def test_turns_pass_round_the_classes(scores):
    found = _coverage.turns(scores)
    assert found.tolist() == by_turns(scores)
    assert sorted(found.tolist()) == list(range(7))


@pytest.mark.parametrize("already", [[], [7], [7, 0, 31]], ids=["nothing", "one", "three"])
@pytest.mark.parametrize("n_genes", [1, 4, 15, 40])
def test_equals_loops(x, scores, n_genes, already):
    already = already[:n_genes]
    found = stats.covering(x, everywhere(x), scores, n_genes=n_genes, given=already)
    assert found.tolist() == slowly(x, scores, n_genes, already)


def test_candidates_are_the_first_of_plain_turns(x, scores, monkeypatch):
    monkeypatch.setattr(_coverage, "CANDIDATES", 12)
    found = stats.covering(x, everywhere(x), scores, n_genes=40).tolist()
    assert found[:12] == slowly(x, scores, 12, [])
    assert found == stats.covering(x, everywhere(x), scores, n_genes=20).tolist() + found[20:]


def test_a_rare_class_gets_as_many_turns(x):
    scores = np.zeros((40, 2))
    scores[:30, 0] = np.linspace(9, 8, 30)
    scores[30:, 1] = np.linspace(0.02, 0.01, 10)
    found = stats.covering(x, everywhere(x), scores, n_genes=12)
    assert (found >= 30).sum() == 6


def test_a_copy_waits_until_nothing_else_is_left(x):
    x[:, 1] = 2 * x[:, 0] + 3
    scores = np.full((40, 1), 0.1)
    scores[0], scores[1] = 1.0, 0.99
    found = stats.covering(x, everywhere(x), scores, n_genes=20).tolist()
    assert found[0] == 0
    assert 1 not in found


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_storage_and_hidden_rows_do_not_matter(x, scores, form):
    rows = np.arange(150) % 3 > 0
    expected = slowly(x[rows], scores, 15, [])
    x[~rows] = 1e30
    assert stats.covering(form(x), rows, scores, n_genes=15).tolist() == expected


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_depth_makes_no_genes_alike(scores, form):
    depth = np.random.default_rng(0).lognormal(2, 1, size=(300, 1))
    counts = np.random.default_rng(1).poisson(depth * np.random.default_rng(2).gamma(2, 1, 40)).astype(np.float32)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    expected = slowly(np.log1p(1e4 * counts / totals), scores, 10, [])
    assert stats.covering(form(counts), everywhere(counts), scores, n_genes=10).tolist() == expected


def test_genes_without_scores_are_never_taken_unless_given(x, scores):
    scores[5] = np.nan
    scores[9, 1] = np.nan
    scores[11] = -1.0
    found = stats.covering(x, everywhere(x), scores, n_genes=40)
    assert set(range(40)) - set(found.tolist()) == {5, 9}
    assert stats.covering(x, everywhere(x), scores, n_genes=3, given=[9])[0] == 9


def test_constant_genes_resemble_nothing():
    found = stats.covering(np.ones((20, 3)), np.ones(20, bool), np.array([[1.0], [3.0], [2.0]]), n_genes=3)
    assert found.tolist() == [1, 2, 0]


def test_after_many_genes_turns_go_on_without_the_discount(x, scores, monkeypatch):
    monkeypatch.setattr(_coverage, "DISCOUNTED", 10)
    found = stats.covering(x, everywhere(x), scores, n_genes=40).tolist()
    assert found[:10] == slowly(x, scores, 10, [])
    assert found[10:] == [gene for gene in by_turns(scores) if gene not in found[:10]]


def test_few_rows_are_enough(x, scores, monkeypatch):
    monkeypatch.setattr(_coverage, "SAMPLE_ROWS", 50)
    expected = slowly(x[np.arange(50) * 3], scores, 15, [])
    assert stats.covering(x, everywhere(x), scores, n_genes=15).tolist() == expected


def test_values_that_are_not_finite_are_refused(x, scores):
    x[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"[Nn]a[Nn]|finite"):
        stats.covering(x, everywhere(x), scores, n_genes=5)


def test_nothing_that_may_be_taken(x):
    assert stats.covering(x, everywhere(x), np.full((40, 2), np.nan), n_genes=5).size == 0
