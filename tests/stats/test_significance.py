from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, false_discovery_control, gamma, kstest

from cellclf import stats

REGIMES = {  # cells, shares of the classes, mean count of the genes
    "dense": (2000, [0.3, 0.3, 0.2, 0.2], (2.0, 6.0)),
    "sparse": (600, [0.5, 0.3, 0.15, 0.05], (0.02, 0.6)),
    "many classes": (900, [0.1] * 10, (0.05, 3.0)),
    "rare class": (3000, [0.94, 0.05, 0.01], (0.05, 3.0)),
    "large and rare": (20000, [0.7, 0.2995, 0.0005], (0.05, 0.5)),
}


def scores_of(x: np.ndarray, codes: np.ndarray) -> stats.ContingencyTable:
    bins = stats.bin_edges(x, codes >= 0)
    return stats.contingency(x, codes, bins=bins, n_classes=codes.max() + 1)


@pytest.fixture(scope="module", params=list(REGIMES))
def null(request):
    """Give many genes that know nothing of the classes."""
    n, shares, (low, high) = REGIMES[request.param]
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(len(shares)), np.round(np.array(shares) * n).astype(int))
    n_genes = 400 if n > 5000 else 1500
    rates = np.exp(rng.uniform(np.log(low), np.log(high), n_genes))
    x = rng.poisson(rates, size=(codes.size, n_genes)).astype(np.float32)
    return scores_of(x[:, x.any(axis=0)], rng.permutation(codes))


def test_p_values_are_uniform_under_permuted_labels(null):
    p = stats.mutual_information_pvalue(null)
    assert kstest(p, "uniform").pvalue > 0.01
    for level in (0.5, 0.1, 0.01):
        assert (p <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / p.size))


def test_corrected_information_is_zero_on_average(null):
    corrected = stats.mutual_information(null, corrected=True)
    assert abs(corrected.mean()) < 4 * corrected.std() / np.sqrt(corrected.size)


@pytest.mark.parametrize(
    ("gene", "class_sizes"),
    [
        ([150, 30, 12, 5, 2, 1], [100, 60, 40]),
        ([190, 6, 4], [150, 45, 5]),
        ([100, 50, 50], [20] * 10),
        ([1500, 400, 90, 10], [1980, 15, 5]),
    ],
)
def test_mean_and_variance_are_those_of_permutations(gene, class_sizes):
    rng = np.random.default_rng(0)
    values, codes = np.repeat(np.arange(len(gene)), gene), np.repeat(np.arange(len(class_sizes)), class_sizes)
    n_repeats = 4000
    tables = np.zeros((n_repeats, len(class_sizes), len(gene)), np.int32)
    for table in tables:
        np.add.at(table, (rng.permutation(codes), values), 1)
    all_genes = stats.ContingencyTable(
        np.concatenate(list(tables), axis=1), np.arange(n_repeats + 1, dtype=np.int64) * len(gene)
    )
    law = stats.independence(all_genes)
    assert np.ptp(law.mean) == np.ptp(law.variance) == 0
    standard_error = law.statistic.std() / np.sqrt(n_repeats)
    assert law.mean[0] == pytest.approx(law.statistic.mean(), abs=4 * standard_error)
    squares = (law.statistic - law.statistic.mean()) ** 2
    assert law.variance[0] == pytest.approx(squares.mean(), abs=4 * squares.std() / np.sqrt(n_repeats))


def test_well_filled_tables_follow_the_g_test():
    rng = np.random.default_rng(0)
    counts = rng.integers(20, 60, (3, 5))
    table = stats.ContingencyTable(counts.astype(np.int32), np.array([0, 5]))
    expected = chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    assert stats.independence(table).statistic[0] == pytest.approx(expected.statistic)
    assert stats.mutual_information_pvalue(table)[0] == pytest.approx(expected.pvalue)
    assert expected.pvalue == pytest.approx(chi2.sf(expected.statistic, 8))


def table_of(counts: np.ndarray) -> stats.ContingencyTable:
    """Make the table of one gene (classes × bins)."""
    return stats.ContingencyTable(counts.astype(np.int32), np.array([0, counts.shape[1]]))


def test_the_chi_squared_law_needs_eighty_per_cent_of_expected_counts_of_five():
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [70, 60, 50, 20]))

    def of(sizes: list[int]) -> np.ndarray:
        counts = np.zeros((4, 5), int)
        np.add.at(counts, (codes, np.repeat(np.arange(5), sizes)), 1)
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / 200
        assert (expected >= 5).sum() == {17: 16, 16: 15}[sizes[-1]]
        return counts

    enough, fewer = of([80, 50, 31, 22, 17]), of([80, 50, 31, 23, 16])  # 16 and 15 of 20
    for counts in (enough, np.insert(enough, [2, 5], 0, axis=1), np.vstack([enough, np.zeros((1, 5), int)])):
        law = stats.independence(table_of(counts))
        assert law.pvalue()[0] == pytest.approx(chi2.sf(law.statistic[0], 12), rel=1e-9)
    law = stats.independence(table_of(fewer))
    scale = law.variance[0] / law.mean[0]
    assert law.pvalue()[0] == pytest.approx(gamma.sf(law.statistic[0], law.mean[0] / scale, scale=scale), rel=1e-9)
    assert law.pvalue()[0] != pytest.approx(chi2.sf(law.statistic[0], 12), rel=1e-3)
    five = stats.independence(table_of(np.array([[4, 6, 5], [6, 4, 5]])))  # expects exactly five everywhere
    assert five.pvalue()[0] == pytest.approx(chi2.sf(five.statistic[0], 2), rel=1e-9)


def test_a_constant_gene_has_p_one():
    x = np.zeros((50, 2), np.float32)
    x[:, 1] = 3
    assert stats.mutual_information_pvalue(scores_of(x, np.arange(50) % 3)).tolist() == [1, 1]


def test_a_gene_that_tells_all_has_p_near_zero():
    codes = np.arange(300) % 3
    p = stats.mutual_information_pvalue(scores_of(codes[:, None].astype(np.float32), codes))
    assert p[0] < 1e-100


def test_strata_add(null):
    law = stats.independence(null)
    both = law + law
    np.testing.assert_array_equal(both.statistic, 2 * law.statistic)
    np.testing.assert_array_equal(both.variance, 2 * law.variance)
    assert (both.pvalue()[law.pvalue() < 0.001] < law.pvalue()[law.pvalue() < 0.001]).all()


def test_benjamini_hochberg_is_that_of_scipy():
    p = np.random.default_rng(0).random(200) ** 3
    np.testing.assert_allclose(stats.benjamini_hochberg(p), false_discovery_control(p), rtol=1e-14)


def test_benjamini_hochberg_passes_over_what_is_missing():
    p = np.array([0.04, np.nan, 0.01, 0.03])
    found = stats.benjamini_hochberg(p)
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2, 3]], false_discovery_control(p[[0, 2, 3]]))
    assert stats.benjamini_hochberg(np.array([])).shape == (0,)
    assert np.isnan(stats.benjamini_hochberg(np.array([np.nan]))).all()
