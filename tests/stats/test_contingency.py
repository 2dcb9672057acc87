from __future__ import annotations

import threading

import h5py
import numpy as np
import pytest
from scipy import sparse

from cellclf import stats
from cellclf.stats import _kernels, _pieces

METHODS = ["auto", "counts", "quantile", "uniform"]
FORMS = [np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix]


def by_hand(x, codes, bins, n_classes):
    """Count with a loop over cells and genes."""
    table = np.zeros((n_classes, bins.edges.size), int)
    for row, code in enumerate(codes):
        for gene in range(x.shape[1]):
            if code >= 0:
                inside = np.searchsorted(bins.of_gene(gene), x[row, gene], side="right") - 1
                table[code, bins.offsets[gene] + inside] += 1
    return table


@pytest.mark.parametrize("bins", METHODS)
def test_counts_equal_a_double_loop(counts, codes, count_storage, bins):
    edges = stats.bin_edges(counts, codes >= 0, bins=bins)
    table = stats.contingency(count_storage(counts), codes, bins=edges, n_classes=4)
    np.testing.assert_array_equal(table.counts, by_hand(counts, codes, edges, 4))
    assert table.counts.dtype == np.int32


@pytest.mark.parametrize("form", FORMS)
def test_more_rows_than_a_narrow_line_can_count(form):
    x = np.ones((80_000, 2), dtype=np.float32)
    x[:7, 1] = 0
    codes = (np.arange(80_000) >= 70_000).astype(np.int64)
    edges = stats.bin_edges(x, codes >= 0, bins="counts")
    table = stats.contingency(form(x), codes, bins=edges, n_classes=2)
    assert table.of_gene(0).tolist() == [[0, 0], [70_000, 10_000]]
    assert table.of_gene(1).tolist() == [[7, 0], [69_993, 10_000]]


@pytest.mark.parametrize("bins", ["quantile", "uniform"])
def test_measurements_equal_a_double_loop(measurements, codes, storage, bins):
    edges = stats.bin_edges(measurements, codes >= 0, bins=bins)
    table = stats.contingency(storage(measurements), codes, bins=edges, n_classes=4)
    np.testing.assert_array_equal(table.counts, by_hand(measurements, codes, edges, 4))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bins", METHODS)
def test_values_beyond_what_was_seen_fall_in_the_last_bin(counts, codes, form, bins):
    edges = stats.bin_edges(counts, np.arange(120) < 10, bins=bins)
    table = stats.contingency(form(counts * 3), codes, bins=edges, n_classes=4)
    np.testing.assert_array_equal(table.counts, by_hand(counts * 3, codes, edges, 4))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bins", METHODS)
def test_rows_without_a_class_have_no_influence(counts, codes, form, bins):
    edges = stats.bin_edges(counts, codes >= 0, bins=bins)
    other = counts.copy()
    other[codes < 0] = np.nan
    expected, found = (stats.contingency(form(x), codes, bins=edges, n_classes=4) for x in (counts, other))
    assert found.counts.tobytes() == expected.counts.tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_fractions_in_auto_bins_of_counts_are_floored(counts, codes, form):
    edges = stats.bin_edges(counts, codes >= 0)
    counts[5, 2], counts[6, 3] = 2.5, -1
    table = stats.contingency(form(counts), codes, bins=edges, n_classes=4)
    np.testing.assert_array_equal(table.counts, by_hand(counts, codes, edges, 4))


@pytest.mark.parametrize("n_bins", [2, 16, 1024])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_wide_rows_of_every_type(dtype, n_bins):
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(0.3, 6, 203), (60, 203)).clip(0, 127).astype(dtype)
    x[3, 5] = np.iinfo(dtype).max if dtype[0] in "iu" else 3e9
    codes = rng.integers(-1, 3, 60)
    edges = stats.bin_edges(x, codes >= 0, n_bins=n_bins)
    assert edges.kind == "geometric"
    for form in (np.asarray, sparse.csr_matrix):
        table = stats.contingency(form(x), codes, bins=edges, n_classes=3)
        np.testing.assert_array_equal(table.counts, by_hand(x, codes, edges, 3))


def test_infinite_counts_in_wide_rows_are_named(counts, codes):
    x = np.tile(counts, (1, 40))
    edges = stats.bin_edges(x, codes >= 0)
    row = np.flatnonzero(codes >= 0)[3]
    x[row, [130, 90]] = np.inf
    with pytest.raises(stats.BadValueError, match=r"2 values.*gene 90"):
        stats.contingency(sparse.csr_matrix(x), codes, bins=edges, n_classes=4)


def test_rows_may_name_genes_more_often_than_there_are_genes():
    once = np.array([[3.0, 0.0], [1.0, 2.0]], np.float32)
    x = sparse.csr_matrix(
        (np.array([1, 1, 1, 1, 2], np.float32), np.array([0, 0, 0, 0, 1]), np.array([0, 3, 5])), shape=(2, 2)
    )
    edges = stats.bin_edges(once, np.ones(2, bool))
    table = stats.contingency(x, np.array([0, 1]), bins=edges, n_classes=2)
    np.testing.assert_array_equal(table.counts, by_hand(once, np.array([0, 1]), edges, 2))


def test_the_matrix_is_not_touched(counts, codes):
    edges = stats.bin_edges(counts, codes >= 0)
    x = sparse.csr_matrix(counts)
    x.indices[:3], x.data[:3] = x.indices[:3][::-1].copy(), x.data[:3][::-1].copy()
    before = [values.copy() for values in (x.data, x.indices, x.indptr)]
    stats.contingency(x, codes, bins=edges, n_classes=4)
    for values, kept in zip((x.data, x.indices, x.indptr), before, strict=True):
        np.testing.assert_array_equal(values, kept)
        assert values.flags.writeable


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
def test_the_number_of_threads_does_not_matter(counts, codes, form, n_threads, monkeypatch):
    edges = stats.bin_edges(counts, codes >= 0)
    expected = by_hand(counts, codes, edges, 4)
    monkeypatch.setattr(_kernels, "n_threads", lambda: n_threads)
    np.testing.assert_array_equal(stats.contingency(form(counts), codes, bins=edges, n_classes=4).counts, expected)


def test_callers_may_come_at_the_same_time(counts, codes):
    edges = stats.bin_edges(counts, codes >= 0)
    expected = by_hand(counts, codes, edges, 4)
    tables = []
    x = sparse.csr_matrix(counts)
    threads = [
        threading.Thread(target=lambda: tables.append(stats.contingency(x, codes, bins=edges, n_classes=4)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables) == 8
    for table in tables:
        np.testing.assert_array_equal(table.counts, expected)


def test_tables_add(counts, codes):
    edges = stats.bin_edges(counts, codes >= 0)
    whole = stats.contingency(counts, codes, bins=edges, n_classes=4)
    upper, lower = (stats.contingency(counts[s], codes[s], bins=edges, n_classes=4) for s in np.s_[:50, 50:])
    np.testing.assert_array_equal((upper + lower).counts, whole.counts)
    other = stats.contingency(counts[:, :5], codes, bins=stats.bin_edges(counts[:, :5], codes >= 0), n_classes=4)
    with pytest.raises(ValueError, match="cannot be added"):
        whole + other


def test_the_table_of_one_gene(counts, codes):
    edges = stats.bin_edges(counts, codes >= 0, bins="counts")
    table = stats.contingency(counts, codes, bins=edges, n_classes=4)
    assert table.of_gene(2).shape == (counts[codes >= 0, 2].max() + 1, 4)
    assert table.of_gene(2)[0, 1] == ((counts[:, 2] == 0) & (codes == 1)).sum()
    np.testing.assert_array_equal(table.class_sizes, np.bincount(codes[codes >= 0]))
    assert table.bin_sizes.sum() == 12 * table.total


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bins", METHODS)
def test_values_that_are_not_finite_are_named(counts, codes, form, bins):
    edges = stats.bin_edges(counts, codes >= 0, bins=bins)
    row = int(np.flatnonzero(codes >= 0)[0])
    counts[row, 6], counts[row, 2] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 values are NaN or infinite, the first in gene 2"):
        stats.contingency(form(counts), codes, bins=edges, n_classes=4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bad", [-2, 1.5, 1e6 + 0.5])
def test_counts_must_be_counts(counts, codes, form, bad):
    edges = stats.bin_edges(counts, codes >= 0, bins="counts")
    counts[int(np.flatnonzero(codes >= 0)[0]), 6] = bad
    with pytest.raises(ValueError, match="1 values are negative or not whole, the first in gene 6"):
        stats.contingency(form(counts), codes, bins=edges, n_classes=4)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("index", [-3, 4000])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, edges: stats.contingency(x, np.zeros(120, int), bins=edges, n_classes=1),
        lambda x, edges: stats.bin_edges(x, np.ones(120, bool)),
        lambda x, edges: stats.bin_edges(x, np.ones(120, bool), bins="counts"),
        lambda x, edges: stats.mean_std(x),
        lambda x, edges: stats.row_sums(x),
    ],
    ids=["contingency", "bin_edges", "counts", "mean_std", "row_sums"],
)
def test_broken_indices_are_refused(counts, form, index, function):
    edges = stats.bin_edges(counts, np.ones(120, bool))
    x = form(counts)
    x.indices[4] = index
    with pytest.raises(ValueError, match="indices reach beyond its shape"):
        function(x, edges)


@pytest.mark.parametrize(
    ("codes", "n_classes", "message"),
    [
        (np.zeros(119, int), 2, "codes has 119 entries"),
        (np.full(120, 2), 2, "between -1 and 1"),
        (np.full(120, -2), 2, "between -1 and 1"),
        (np.zeros(120), 2, "classes are whole numbers"),
    ],
)
def test_codes_must_fit(counts, codes, n_classes, message):
    edges = stats.bin_edges(counts, np.ones(120, bool))
    with pytest.raises(ValueError, match=message):
        stats.contingency(counts, codes, bins=edges, n_classes=n_classes)


def test_bins_must_fit(counts, codes):
    edges = stats.bin_edges(counts[:, :4], codes >= 0)
    with pytest.raises(ValueError, match="bins are for 4 genes"):
        stats.contingency(counts, codes, bins=edges, n_classes=4)


def test_a_table_too_large_names_the_way_out(counts, codes):
    edges = stats.bin_edges(counts, codes >= 0)
    with pytest.raises(ValueError, match="Use bins='quantile'"):
        stats.contingency(counts, codes, bins=edges, n_classes=2**24)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (sparse.coo_matrix, "coo format"),
        (lambda x: np.ma.masked_equal(x, 0), "masked array"),
        (lambda x: x.astype(complex), "complex128"),
        (lambda x: x.astype(str), "not real numbers"),
        (lambda x: x.tolist(), "list"),
    ],
    ids=["coo", "masked", "complex", "text", "list"],
)
def test_what_is_no_matrix_of_numbers_is_refused(counts, codes, form, message):
    edges = stats.bin_edges(counts, codes >= 0)
    with pytest.raises(TypeError, match=message):
        stats.contingency(form(counts), codes, bins=edges, n_classes=4)


@pytest.mark.parametrize("bins", METHODS)
@pytest.mark.parametrize("chunks", [(7, 12), (50, 5), (120, 1)])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_dask_gives_the_same_table(counts, codes, bins, chunks, form):
    array = pytest.importorskip("dask.array")
    x = array.from_array(counts, chunks=chunks).map_blocks(form)
    expected = stats.bin_edges(counts, codes >= 0, bins=bins)
    edges = stats.bin_edges(x, codes >= 0, bins=bins)
    assert edges.edges.tobytes() == expected.edges.tobytes()
    table = stats.contingency(x, codes, bins=edges, n_classes=4)
    np.testing.assert_array_equal(table.counts, by_hand(counts, codes, edges, 4))


@pytest.mark.parametrize("bins", METHODS)
@pytest.mark.parametrize("block_bytes", [500, 2**26])
def test_h5_datasets_give_the_same_table(counts, codes, bins, block_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", block_bytes)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        x = file.create_dataset("x", data=counts, chunks=(9, 12))
        edges = stats.bin_edges(x, codes >= 0, bins=bins)
        table = stats.contingency(x, codes, bins=edges, n_classes=4)
    np.testing.assert_array_equal(table.counts, by_hand(counts, codes, edges, 4))


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("block_bytes", [500, 2**26])
def test_backed_sparse_matrices_give_the_same_table(counts, codes, form, block_bytes, tmp_path, monkeypatch):
    anndata = pytest.importorskip("anndata")
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", block_bytes)
    anndata.AnnData(form(counts)).write_h5ad(tmp_path / "x.h5ad")
    adata = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    edges = stats.bin_edges(adata.X, codes >= 0)
    table = stats.contingency(adata.X, codes, bins=edges, n_classes=4)
    np.testing.assert_array_equal(table.counts, by_hand(counts, codes, edges, 4))
    mean, std = stats.mean_std(adata.X)
    expected = stats.mean_std(counts)
    assert mean.tobytes() == expected[0].tobytes()
    assert std.tobytes() == expected[1].tobytes()
    adata.file.close()


def test_counts_on_disk_are_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 8 * 10 * 3)
    read = []

    class Watched:
        """A dataset that remembers which rows were read."""

        def __init__(self, values):
            self.values, self.shape, self.dtype = values, values.shape, values.dtype

        def __getitem__(self, place):
            read.append(place.start)
            return self.values[place]

    x = np.random.default_rng(0).poisson(1, (4000, 3))
    codes = np.arange(4000) % 2
    edges = stats.bin_edges(Watched(x), codes >= 0)
    assert len(read) < 100
    read.clear()
    table = stats.contingency(Watched(x), codes, bins=edges, n_classes=2)
    assert read == list(range(0, 4000, 10))
    np.testing.assert_array_equal(table.counts, stats.contingency(x, codes, bins=edges, n_classes=2).counts)
