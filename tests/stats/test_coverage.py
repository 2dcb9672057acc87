from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.linear_model import Ridge

from cellclf import stats
from cellclf.stats import _coverage

FORMS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


@pytest.fixture
def x() -> np.ndarray:
    """Give 150 rows of 40 genes that share six factors."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(150, 6)) @ rng.normal(size=(6, 40)) + rng.normal(size=(150, 40))).astype(np.float32)


@pytest.fixture
def codes(x: np.ndarray) -> np.ndarray:
    """Give classes that some of the genes tell."""
    return np.where(x[:, 4] > 2, 2, x[:, :2].argmax(axis=1))


@pytest.fixture
def scores() -> np.ndarray:
    """Give scores of 40 genes for three classes."""
    return np.random.default_rng(1).random((40, 3))


def by_turns(scores: np.ndarray) -> list[int]:
    """Go round the classes; each passes on to its next best gene."""
    orders = [sorted(range(len(scores)), key=lambda gene, c=c: -scores[gene, c]) for c in range(scores.shape[1])]
    return list(dict.fromkeys(gene for best in zip(*orders, strict=True) for gene in best))


def standardised(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Centre columns within strata and bring them to length one."""
    values = values.astype(np.float64)
    for stratum in np.unique(strata):
        values[strata == stratum] -= values[strata == stratum].mean(axis=0)
    return values / np.linalg.norm(values, axis=0)


def slowly(
    x: np.ndarray,
    codes: np.ndarray,
    scores: np.ndarray,
    n_genes: int,
    given: list[int] | None = None,
    strata: np.ndarray | None = None,
) -> list[int]:
    """Take genes with loops and fresh ridge regressions, as many as rows, from the first candidates of turns; then in turns."""
    strata = np.zeros(len(x)) if strata is None else strata
    z = standardised(x, strata)
    y = standardised(np.stack([codes == code for code in np.unique(codes)], axis=1), strata)
    taken = list(given or [])
    free = np.setdiff1d(np.arange(len(scores)), taken)
    order = free[by_turns(scores[free])].tolist()
    pool = order[: _coverage.CANDIDATES]
    best = scores[free].max(axis=0)
    while len(taken) < min(n_genes, len(x)) and set(pool) - set(taken):
        model = Ridge(alpha=0.3, fit_intercept=False, solver="cholesky")
        left = y - model.fit(z[:, taken], y).predict(z[:, taken]) if taken else y
        gains = {}
        for gene in pool:
            if gene not in taken:
                told = np.mean([scores[gene, code] / best[code] for code in range(len(best))])
                gains[gene] = told * sum(float(z[:, gene] @ left[:, code]) ** 2 for code in range(y.shape[1]))
        taken.append(max(gains, key=gains.__getitem__))
    return [*taken, *(gene for gene in order if gene not in taken)][:n_genes]


@given(arrays(np.float64, (7, 3), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5])))
def test_turns_pass_round_the_classes(scores):
    found = _coverage.turns(scores)
    assert found.tolist() == by_turns(scores)
    assert sorted(found.tolist()) == list(range(7))


@pytest.mark.parametrize("already", [[], [7], [7, 0, 31]], ids=["nothing", "one", "three"])
@pytest.mark.parametrize("n_genes", [1, 4, 15, 40])
def test_equals_loops(x, codes, scores, n_genes, already):
    already = already[:n_genes]
    found = stats.covering(x, codes, scores, n_genes=n_genes, given=already)
    assert found.tolist() == slowly(x, codes, scores, n_genes, already)


@pytest.mark.parametrize(
    "already", [[], [7, 0, 31], list(range(30, 5, -1))], ids=["nothing", "three", "more than rows"]
)
def test_as_many_genes_as_rows_end_the_regression(x, codes, scores, already):
    rows = np.arange(20) * 7
    found = stats.covering(x[rows], codes[rows], scores, n_genes=40, given=already).tolist()
    assert found == slowly(x[rows], codes[rows], scores, 40, already)
    assert found != slowly(np.repeat(x[rows], 2, axis=0), np.repeat(codes[rows], 2), scores, 40, already)
    for n in range(len(already), 40):
        assert stats.covering(x[rows], codes[rows], scores, n_genes=n, given=already).tolist() == found[:n]


def test_equals_loops_within_strata(x, codes, scores):
    strata = np.arange(150) % 4
    x[:, 10:20] += 3 * strata[:, None]
    found = stats.covering(x, codes, scores, n_genes=20, strata=strata).tolist()
    assert found == slowly(x, codes, scores, 20, strata=strata)
    assert found != slowly(x, codes, scores, 20)


def test_candidates_are_the_first_of_turns(x, codes, scores, monkeypatch):
    monkeypatch.setattr(_coverage, "CANDIDATES", 12)
    found = stats.covering(x, codes, scores, n_genes=40).tolist()
    assert found[:12] == slowly(x, codes, scores, 12)
    assert found == stats.covering(x, codes, scores, n_genes=20).tolist() + found[20:]


def test_a_rare_class_counts_as_much(x):
    codes = np.where(np.arange(150) < 8, 2, np.arange(150) % 2)
    x[:, :4] += 90.0 * (codes == 0)[:, None]
    x[:, 4:8] += 90.0 * (codes == 2)[:, None]
    scores = np.full((40, 3), 1e-4)
    scores[:4, :2], scores[4:8, 2] = 0.6, 0.01
    assert set(stats.covering(x, codes, scores, n_genes=2).tolist()) & set(range(4, 8))


def test_what_is_told_already_is_not_told_again():
    codes = np.repeat([0, 1, 2], 20)
    x = np.zeros((60, 4))
    x[:20, :3], x[40:, 3] = 1.0, 1.0
    x[:5, 1], x[3, 2] = 0.0, 0.9
    found = stats.covering(x, codes, np.array([[1.0, 1, 1], [0.99, 1, 1], [1, 1, 1], [0.5, 0.5, 0.5]]), n_genes=4)
    assert found[:2].tolist() == [0, 3]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_storage_and_hidden_rows_do_not_matter(x, codes, scores, form):
    rows = np.arange(150) % 3 > 0
    expected = slowly(x[rows], codes[rows], scores, 15)
    x[~rows] = 1e30
    assert stats.covering(form(x), np.where(rows, codes, -1), scores, n_genes=15).tolist() == expected


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_depth_makes_no_genes_alike(scores, form):
    depth = np.random.default_rng(0).lognormal(2, 1, size=(300, 1))
    counts = np.random.default_rng(1).poisson(depth * np.random.default_rng(2).gamma(2, 1, 40)).astype(np.float32)
    codes = np.arange(300) % 3
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    expected = slowly(np.log1p(1e4 * counts / totals), codes, scores, 10)
    assert stats.covering(form(counts), codes, scores, n_genes=10).tolist() == expected


def test_genes_without_scores_are_never_taken_unless_given(x, codes, scores):
    scores[5] = np.nan
    scores[9, 1] = np.nan
    scores[11] = -1.0
    found = stats.covering(x, codes, scores, n_genes=40)
    assert set(range(40)) - set(found.tolist()) == {5, 9}
    assert found[-1] == 11
    assert stats.covering(x, codes, scores, n_genes=3, given=[9])[0] == 9


def test_constant_genes_explain_nothing():
    found = stats.covering(np.ones((20, 3)), np.arange(20) % 2, np.array([[1.0, 0], [3.0, 0], [2.0, 0]]), n_genes=3)
    assert found.tolist() == [1, 0, 2]


def test_after_many_genes_turns_go_on(x, codes, scores, monkeypatch):
    monkeypatch.setattr(_coverage, "CHOSEN", 10)
    found = stats.covering(x, codes, scores, n_genes=40, given=[3]).tolist()
    assert found[:11] == slowly(x, codes, scores, 11, [3])
    free = np.delete(np.arange(40), 3)
    assert found[11:] == [gene for gene in free[by_turns(scores[free])] if gene not in found[:11]]


@pytest.mark.parametrize("most", [50, 20])
def test_a_sample_keeps_every_class(x, codes, scores, monkeypatch, most):
    monkeypatch.setattr(_coverage, "SAMPLE_ROWS", most)
    codes = np.where(np.arange(150) < 3, 2, codes % 2)
    rows: list[int] = []
    sizes = np.bincount(codes)
    least = [min(size, most // 6) for size in sizes]
    for code in range(3):
        own = np.flatnonzero(codes == code)
        n_rows = least[code] + int((sizes[code] - least[code]) * (most - sum(least)) / (150 - sum(least)))
        rows += [own[place * len(own) // n_rows] for place in range(n_rows)]
    rows.sort()
    assert set(range(3)) < set(rows)
    assert most - 2 <= len(rows) <= most
    found = stats.covering(x, codes, scores, n_genes=30)
    assert found.tolist() == slowly(x[rows], codes[rows], scores, 30)


def test_values_that_are_not_finite_are_refused(x, codes, scores):
    x[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"[Nn]a[Nn]|finite"):
        stats.covering(x, codes, scores, n_genes=5)


def test_nothing_that_may_be_taken(x, codes):
    assert stats.covering(x, codes, np.full((40, 2), np.nan), n_genes=5).size == 0


def test_a_class_that_no_gene_tells(x, codes, scores):
    scores[:, 1] = 0.0
    expected = [g for g in slowly(x, codes, scores[:, [0, 2]], 10, [4]) if g != 4]
    assert stats.covering(x, codes, scores, n_genes=10, given=[4]).tolist() == [4, *expected]
