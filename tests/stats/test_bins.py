from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from cellclf import stats

METHODS = ["auto", "counts", "quantile", "uniform"]


@pytest.mark.parametrize("bins", METHODS)
def test_same_edges_for_every_storage_of_counts(counts, codes, count_storage, bins):
    expected = stats.bin_edges(counts, codes >= 0, bins=bins)
    found = stats.bin_edges(count_storage(counts), codes >= 0, bins=bins)
    assert found.edges.tobytes() == expected.edges.tobytes()
    assert found.offsets.tobytes() == expected.offsets.tobytes()
    assert found.kind == expected.kind


@pytest.mark.parametrize("bins", ["auto", "quantile", "uniform"])
def test_same_edges_for_every_storage_of_measurements(measurements, codes, storage, bins):
    expected = stats.bin_edges(measurements, codes >= 0, bins=bins)
    found = stats.bin_edges(storage(measurements), codes >= 0, bins=bins)
    assert found.edges.tobytes() == expected.edges.tobytes()
    assert found.offsets.tobytes() == expected.offsets.tobytes()


def test_counts_get_one_bin_per_number():
    bins = stats.bin_edges(np.array([[0, 2, 9], [3, 2, 0]]), np.array([True, True]), bins="counts")
    assert bins.n_bins.tolist() == [4, 3, 10]
    assert bins.of_gene(0).tolist() == [-np.inf, 1, 2, 3]
    assert bins.zero_bins.tolist() == [0, 0, 0]


def test_auto_grows_geometrically_on_counts(counts):
    bins = stats.bin_edges(counts, np.ones(120, bool))
    assert bins.kind == "geometric"
    assert bins.of_gene(4).tolist() == [-np.inf, 1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 37, 49, 65, 87]
    assert stats.bin_edges(counts, np.ones(120, bool), n_bins=3).of_gene(0).tolist() == [-np.inf, 1, 2]


def test_bins_that_all_genes_share_stay_few(counts):
    edges = stats.bin_edges(counts, np.ones(120, bool), n_bins=1024).of_gene(0)
    assert edges[-2] < 2**16 <= edges[-1]


@pytest.mark.parametrize(
    "change",
    [lambda x: np.log1p(x), lambda x: x - 1, lambda x: x * 100, lambda x: x + 0.5],
    ids=["log", "negative", "large", "halves"],
)
def test_auto_cuts_anything_else_at_quantiles(counts, change):
    assert stats.bin_edges(change(counts), np.ones(120, bool)).kind == "quantile"


def test_zero_is_a_bin_of_its_own(measurements):
    bins = stats.bin_edges(measurements, np.ones(120, bool), bins="quantile")
    for gene in range(measurements.shape[1]):
        column, edges = measurements[:, gene], bins.of_gene(gene)
        place = np.searchsorted(edges, column, side="right") - 1
        if (column == 0).any():
            assert set(column[place == bins.zero_bins[gene]]) == {0.0}


def test_no_quantile_bin_is_empty(measurements):
    bins = stats.bin_edges(measurements, np.ones(120, bool), bins="quantile")
    for gene in range(measurements.shape[1]):
        place = np.searchsorted(bins.of_gene(gene), measurements[:, gene], side="right") - 1
        assert set(place) == set(range(bins.n_bins[gene]))


def test_quantile_bins_are_about_equally_full():
    x = np.random.default_rng(0).normal(size=(16000, 1))
    bins = stats.bin_edges(x, np.ones(16000, bool), bins="quantile")
    sizes = np.histogram(x, bins=[*np.maximum(bins.edges, -10), 10])[0]
    assert len(sizes) == 16
    assert sizes.min() > 850
    assert sizes.max() < 1150


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (23, 2), elements=st.sampled_from([-3.5, -1, 0, 0, 0, 0.25, 1, 2, 7])),
    st.integers(2, 20),
)
def test_quantile_bins_are_never_empty_nor_too_many(x, n_bins):
    bins = stats.bin_edges(sparse.csr_matrix(x), np.ones(23, bool), bins="quantile", n_bins=n_bins)
    for gene in range(2):
        place = np.searchsorted(bins.of_gene(gene), x[:, gene], side="right") - 1
        assert set(place) == set(range(bins.n_bins[gene]))
        assert bins.n_bins[gene] <= max(3, n_bins)
        assert (np.diff(bins.of_gene(gene)) > 0).all()


def test_uniform_bins_are_equally_wide():
    x = np.array([[0.0, 4.0], [10.0, 4.0], [3.0, 4.0]])
    bins = stats.bin_edges(x, np.ones(3, bool), bins="uniform", n_bins=4)
    assert bins.of_gene(0).tolist() == [-np.inf, 2.5, 5.0, 7.5]
    assert bins.n_bins.tolist() == [4, 1]


@pytest.mark.parametrize("bins", METHODS)
def test_hidden_rows_have_no_influence(counts, codes, bins):
    rows = codes >= 0
    other = counts.copy()
    other[~rows] = np.nan
    for form in (np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix):
        expected, found = (stats.bin_edges(form(x), rows, bins=bins) for x in (counts, other))
        assert found.edges.tobytes() == expected.edges.tobytes()


@pytest.mark.parametrize("bins", METHODS)
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(counts, bins, form, bad):
    counts[5, 2] = bad
    with pytest.raises(ValueError, match="1 values are NaN or infinite, the first in gene 2"):
        stats.bin_edges(form(counts), np.ones(120, bool), bins=bins)


@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("bad", [-1, 0.5])
def test_counts_must_be_counts(counts, form, bad):
    counts[7, 4] = bad
    with pytest.raises(ValueError, match="negative or not whole, the first in gene 4"):
        stats.bin_edges(form(counts), np.ones(120, bool), bins="counts")


def test_a_table_too_large_names_the_way_out():
    x = np.array([[0.0, 3e7]])
    with pytest.raises(ValueError, match="bins='quantile'"):
        stats.bin_edges(x, np.ones(1, bool), bins="counts")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": "counts", "n_bins": 4}, "no meaning with bins='counts'"),
        ({"bins": "deciles"}, "'deciles' is unknown"),
        ({"n_bins": 1}, "between 2 and 1024"),
        ({"n_bins": 2.5}, "between 2 and 1024"),
        ({"n_bins": True}, "between 2 and 1024"),
    ],
)
def test_options_without_meaning_are_refused(counts, options, message):
    with pytest.raises(ValueError, match=message):
        stats.bin_edges(counts, np.ones(120, bool), **options)


def test_some_row_must_be_seen(counts):
    with pytest.raises(ValueError, match="No row may be seen"):
        stats.bin_edges(counts, np.zeros(120, bool))


def test_rows_must_fit_the_matrix(counts):
    with pytest.raises(ValueError, match="rows has 119 entries, but the matrix has 120"):
        stats.bin_edges(counts, np.ones(119, bool))
