from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2, entropy
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import expected_mutual_information

from cellclf import stats
from cellclf.stats import _information

TABLES = arrays(np.int64, (2, 3, 4), elements=st.integers(0, 30))  # genes × classes × bins


def table_of(genes: np.ndarray) -> stats.ContingencyTable:
    """Join tables (classes × bins) of several genes."""
    return stats.ContingencyTable(np.concatenate(list(genes), axis=1).astype(np.int32), np.arange(len(genes) + 1) * 4)


def with_equal_classes(genes: np.ndarray) -> np.ndarray:
    """Fill up the first bin so that all genes have the same class sizes."""
    sizes = genes.sum(axis=2)
    genes[:, :, 0] += sizes.max(axis=0) - sizes
    genes[:, 0, 0] += genes.sum() == 0
    return genes


@given(TABLES)
def test_mi_is_that_of_scikit_learn(genes):
    genes = with_equal_classes(genes)
    found = stats.mutual_information(table_of(genes))
    expected = [mutual_info_score(None, None, contingency=gene) for gene in genes]
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert (found >= 0).all()
    assert (found <= entropy(genes[0].sum(axis=1)) + 1e-13).all()


@given(TABLES)
def test_jsd_is_that_of_entropies(genes):
    genes = with_equal_classes(genes)
    for gene, found in zip(genes, stats.jensen_shannon(table_of(genes)), strict=True):
        laws = [row / row.sum() for row in gene if row.sum()]
        expected = entropy(np.mean(laws, axis=0)) - np.mean([entropy(law) for law in laws])
        assert found == pytest.approx(expected, abs=1e-13)


@given(TABLES)
def test_by_class_is_one_against_the_rest(genes):
    genes = with_equal_classes(genes)
    found = stats.mutual_information_by_class(table_of(genes))
    assert found.shape == (2, 3)
    for j, gene in enumerate(genes):
        for k in range(3):
            pair = np.stack([gene[k], gene.sum(axis=0) - gene[k]])
            assert found[j, k] == pytest.approx(mutual_info_score(None, None, contingency=pair), abs=1e-13)


@given(TABLES)
def test_correction_is_the_expectation_of_scikit_learn(genes):
    genes = with_equal_classes(genes)
    table = table_of(genes)
    found = stats.mutual_information(table) - stats.mutual_information(table, corrected=True)
    expected = [expected_mutual_information(_without_empty(gene), int(gene.sum())) for gene in genes]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def _without_empty(gene: np.ndarray) -> np.ndarray:
    """Leave out classes and bins without cells."""
    gene = gene[gene.sum(axis=1) > 0]
    return np.ascontiguousarray(gene[:, gene.sum(axis=0) > 0])


@pytest.mark.parametrize(
    "gene",
    [
        [[800, 150, 49, 1], [3000, 40, 7, 0], [9000, 800, 150, 3]],
        [[120, 110, 90, 100], [200, 230, 250, 200], [5, 6, 4, 5]],
        [[30000, 2, 1, 0], [10, 1, 0, 0], [3, 0, 0, 0]],
        [[9000, 9000, 9000, 9000], [9000, 9000, 9000, 9000], [70, 70, 70, 70]],
    ],
    ids=["typical", "balanced", "rare", "large"],
)
def test_correction_of_large_tables(gene):
    gene = np.array(gene)
    table = table_of(gene[None])
    found = (stats.mutual_information(table) - stats.mutual_information(table, corrected=True))[0]
    assert found == pytest.approx(expected_mutual_information(_without_empty(gene), int(gene.sum())), rel=2e-6)


def test_correction_approaches_that_of_miller_and_madow():
    gene = np.full((3, 4), 5000)
    table = table_of(gene[None])
    found = (stats.mutual_information(table) - stats.mutual_information(table, corrected=True))[0]
    assert found == pytest.approx(2 * 3 / (2 * gene.sum()), rel=1e-3)


@pytest.mark.parametrize("score", [stats.mutual_information, stats.jensen_shannon, stats.mutual_information_by_class])
@pytest.mark.parametrize("sizes", [[7, 13, 1], [1, 1, 1], [0, 3, 4], [123456, 7, 99]])
def test_a_constant_gene_tells_exactly_nothing(score, sizes):
    table = stats.ContingencyTable(np.array(sizes, np.int32)[:, None] * [[0, 1, 0, 0]], np.array([0, 4]))
    assert (score(table) == 0).all()
    assert stats.mutual_information(table, corrected=True).tolist() == [0]


def test_a_gene_that_tells_all():
    table = stats.ContingencyTable(np.diag([10, 10, 10]).astype(np.int32), np.array([0, 3]))
    assert stats.mutual_information(table)[0] == pytest.approx(np.log(3))
    assert stats.jensen_shannon(table)[0] == pytest.approx(np.log(3))


def test_equal_classes_make_mi_the_divergence():
    rng = np.random.default_rng(0)
    genes = np.stack([rng.multinomial(500, rng.dirichlet(np.ones(4)), size=3) for _ in range(5)])
    table = table_of(genes)
    np.testing.assert_allclose(stats.mutual_information(table), stats.jensen_shannon(table), atol=1e-13)


def test_divergence_is_blind_to_class_sizes():
    genes = np.random.default_rng(0).integers(0, 20, (4, 3, 4))
    scaled = genes * np.array([1, 7, 20])[:, None]
    for gene, large in zip(genes, scaled, strict=True):
        assert stats.jensen_shannon(table_of(gene[None])) == pytest.approx(stats.jensen_shannon(table_of(large[None])))


def test_counts_beyond_the_table_of_logarithms(monkeypatch):
    genes = with_equal_classes(np.random.default_rng(0).integers(0, 300, (2, 3, 4)))
    table = table_of(genes)
    scores = (stats.mutual_information, stats.jensen_shannon, stats.mutual_information_by_class)
    expected = [score(table) for score in scores]
    monkeypatch.setattr(_information, "TABLE_SIZE", 20)
    for score, value in zip(scores, expected, strict=True):
        np.testing.assert_allclose(score(table), value, atol=1e-12)


def test_a_table_without_rows_is_refused():
    table = stats.ContingencyTable(np.zeros((2, 4), np.int32), np.array([0, 4]))
    for score in (stats.mutual_information, stats.jensen_shannon, stats.mutual_information_by_class):
        with pytest.raises(ValueError, match="no row was counted"):
            score(table)


def test_no_genes():
    table = stats.ContingencyTable(np.zeros((2, 0), np.int32), np.array([0]))
    assert stats.mutual_information(table, corrected=True).shape == (0,)
    assert stats.mutual_information_by_class(table).shape == (0, 2)
    assert stats.mutual_information_pvalue(table).shape == (0,)


@given(TABLES)
def test_normalised_information(genes):
    genes = with_equal_classes(genes)
    table = table_of(genes)
    found = stats.normalised_information(table)
    chance = stats.mutual_information(table) - stats.mutual_information(table, corrected=True)
    for gene, shares, by_chance in zip(genes, found, chance, strict=True):
        n_classes, freedom = np.count_nonzero(gene.sum(axis=1)), max(1, np.count_nonzero(gene.sum(axis=0)) - 1)
        lucky = chi2(freedom).ppf(1 - 0.05 / n_classes) / (2 * gene.sum())
        expected = [share_of_what_is_possible(gene, by_chance)]
        for k in range(len(gene)):
            one_against_rest = np.stack([gene[k], np.delete(gene, k, axis=0).sum(axis=0)])
            expected.append(share_of_what_is_possible(one_against_rest, lucky))
        np.testing.assert_allclose(shares, expected, atol=1e-9)
    assert (found <= 1).all()


def share_of_what_is_possible(counts, by_chance):
    """What rows tell about columns beyond chance, in units of what they could share."""
    of_bins, of_classes = entropy(counts.sum(axis=0)), entropy(counts.sum(axis=1))
    information = of_bins + of_classes - entropy(counts.ravel())
    possible = np.sqrt(of_bins * of_classes)
    return max(0, information - by_chance) / possible if possible > 1e-9 else 0.0


def test_of_genes_that_tell_nothing_one_in_twenty_seems_to_mark_some_class():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(6), 400))
    genes = [np.histogram2d(y, rng.integers(0, 4, y.size), bins=(6, 4))[0].astype(int) for _ in range(3000)]
    of_each = stats.normalised_information(table_of(genes))[:, 1:]
    lucky = (of_each > 0).any(axis=1).mean()
    assert lucky == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 3000) + 0.004)  # classes are not independent


def test_a_marker_of_one_class_among_many_counts_as_much_as_one_of_half_of_them():
    one, half = np.zeros((20, 4), int), np.zeros((20, 4), int)
    one[:, 0], one[3] = 50, [0, 50, 0, 0]
    half[:10, 0], half[10:, 1] = 50, 50
    of_class, *of_each = stats.normalised_information(table_of([one, half])).T
    assert of_class[0] < 0.6 * of_class[1]
    assert np.max(of_each, axis=0)[0] > 0.95
    assert of_class[1] < 0.6
