"""Every way to store the same values gives the same table, in as few passes as promised."""

from __future__ import annotations

import multiprocessing.process
import os
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import zarr
from anndata import AnnData
from scipy import sparse

import cellclf as cc
from cellclf import stats
from cellclf.stats import _contingency, _coverage, _distributed, _pairs, _pieces, _table, _whole_numbers
from cellclf.stats._at_first_sight import count_at_first_sight
from cellclf.stats._read_ahead import read_ahead
from cellclf.stats._sample import sample_rows

from .conftest import STORAGES

array = pytest.importorskip("dask.array")

METHODS = ["auto", "counts", "quantile", "uniform"]


def h5ad(form: Any) -> Any:
    def store(x: np.ndarray, folder: Path) -> Any:
        AnnData(form(x)).write_h5ad(folder / "x.h5ad")
        return anndata.read_h5ad(folder / "x.h5ad", backed="r").X

    return store


def in_zarr(form: Any) -> Any:
    def store(x: np.ndarray, folder: Path) -> Any:
        AnnData(form(x)).write_zarr(folder / "x.zarr")
        group = zarr.open(folder / "x.zarr", mode="r")["X"]
        return group if isinstance(group, zarr.Array) else anndata.io.sparse_dataset(group)

    return store


def lazily(form: Any, suffix: str) -> Any:
    def store(x: np.ndarray, folder: Path) -> Any:
        getattr(AnnData(form(x)), f"write_{suffix}")(folder / f"x.{suffix}")
        return anndata.experimental.read_lazy(folder / f"x.{suffix}").X

    return store


def in_chunks(form: Any, chunks: tuple[int, int]) -> Any:
    return lambda x, folder: array.from_array(x, chunks=chunks).map_blocks(form)


OUTSIDE = {
    "h5ad-csr": h5ad(sparse.csr_matrix),
    "h5ad-csc": h5ad(sparse.csc_matrix),
    "h5ad-dense": h5ad(np.asarray),
    "zarr-csr": in_zarr(sparse.csr_matrix),
    "zarr-csc": in_zarr(sparse.csc_matrix),
    "zarr-dense": in_zarr(np.asarray),
    "lazy-h5ad-csr": lazily(sparse.csr_matrix, "h5ad"),
    "lazy-zarr-csr": lazily(sparse.csr_matrix, "zarr"),
    "lazy-zarr-csc": lazily(sparse.csc_matrix, "zarr"),
    "lazy-zarr-dense": lazily(np.asarray, "zarr"),
    "dask-rows": in_chunks(sparse.csr_matrix, (50, 12)),
    "dask-columns": in_chunks(np.asarray, (120, 5)),
    "dask-grid": in_chunks(sparse.csc_array, (7, 5)),
}
EVERY = {name: lambda x, folder, form=form: form(x) for name, form in STORAGES.items()} | OUTSIDE


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A cluster of two workers in this process."""
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "dashboard_address": ":0", "n_workers": 2, "threads_per_worker": 1}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut matrices into several pieces, although they are small."""
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 500)
    monkeypatch.setattr(_distributed, "PIECE_BYTES", 900)


def assert_same(found: stats.ContingencyTable, expected: stats.ContingencyTable) -> None:
    assert found.offsets.tobytes() == expected.offsets.tobytes()
    assert found.counts.dtype == expected.counts.dtype
    assert found.counts.tobytes() == expected.counts.tobytes()


def reference(x: np.ndarray, codes: np.ndarray, bins: str) -> stats.ContingencyTable:
    edges = stats.bin_edges(x, codes >= 0, bins=bins)
    return stats.contingency(x, codes, bins=edges, n_classes=4)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("bins", METHODS)
@pytest.mark.parametrize("name", EVERY)
def test_every_storage_gives_the_same_table(counts, codes, bins, name, tmp_path):
    x = EVERY[name](counts, tmp_path)
    assert_same(stats.cut_and_count(x, codes, n_classes=4, bins=bins), reference(counts, codes, bins))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", EVERY)
def test_every_storage_gives_what_genes_are_chosen_by(counts, codes, name, tmp_path):
    x, genes = EVERY[name](counts, tmp_path), np.array([9, 2, 11, 5, 0])
    for found, expected in zip(
        _coverage._compared(x, codes, genes, codes % 2),
        _coverage._compared(counts, codes, genes, codes % 2),
        strict=True,
    ):
        assert found.tobytes() == expected.tobytes()
    found, expected = (sample_rows(matrix, codes >= 0, 40) for matrix in (x, counts))
    assert (found != expected).nnz == 0
    found, expected = (_pairs.pack(matrix, codes, genes) for matrix in (x, counts))
    assert found.bits.tobytes() == expected.bits.tobytes()
    scores = np.random.default_rng(4).random((12, 4))
    found, expected = (stats.covering(matrix, codes, scores, n_genes=12) for matrix in (x, counts))
    assert found.tolist() == expected.tolist()


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("metric", ["correlation", "jaccard", "jsd", "mi"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_every_storage_gives_the_same_similarity(counts, codes, name, metric, tmp_path):
    x = OUTSIDE[name](counts, tmp_path)
    found, expected = (stats.similarity(m, codes >= 0, np.arange(12), metric=metric) for m in (x, counts))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "codes",
    [np.arange(80_000) >= 70_000, np.arange(80_000) % 2, np.arange(80_000) % 4, np.arange(80_000) // 30_000 - 1],
    ids=["first the one", "in turn", "many", "some not counted"],
)
def test_a_narrow_table_is_emptied_before_a_class_overflows_it(codes):
    """Blocks of 10,000 rows are counted in 16 bits; a class holds up to 70,000 rows."""
    array = pytest.importorskip("dask.array")
    x = np.tile(np.array([[1, 0, 2], [1, 3, 0]], np.float32), (40_000, 1))
    codes = codes.astype(np.int64)
    n_classes = int(codes.max()) + 1
    table = stats.cut_and_count(array.from_array(x, chunks=(10_000, 3)), codes, n_classes=n_classes)
    expected = np.zeros((3, 16, n_classes), np.int64)
    for gene in range(3):
        np.add.at(expected[gene], (x[codes >= 0, gene].astype(int), codes[codes >= 0]), 1)
    for gene in range(3):
        np.testing.assert_array_equal(table.of_gene(gene), expected[gene])


@pytest.mark.parametrize("n_bytes", [200_000, 2_000_000], ids=["small blocks", "one block"])
def test_more_rows_of_a_class_than_a_narrow_table_holds(n_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", n_bytes)
    x = np.tile(np.array([[1, 0, 2], [1, 3, 0]], np.float32), (40_000, 1))
    codes = np.zeros(len(x), int)
    codes[::1000] = 1
    table = stats.cut_and_count(h5ad(sparse.csr_matrix)(x, tmp_path), codes, n_classes=2)
    for gene, values in enumerate(x.T):
        for code in (0, 1):
            expected = np.bincount(values[codes == code].astype(int), minlength=16)
            assert table.of_gene(gene)[:, code].tolist() == expected.tolist()


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("bins", ["auto", "quantile", "uniform"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_measurements_outside_of_memory(measurements, codes, bins, name, tmp_path):
    x = OUTSIDE[name](measurements, tmp_path)
    assert_same(stats.cut_and_count(x, codes, n_classes=4, bins=bins), reference(measurements, codes, bins))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("bins", METHODS)
@pytest.mark.parametrize(
    "name", ["dask-rows", "dask-columns", "h5ad-csr", "h5ad-dense", "zarr-csc", "csr_matrix", "csc_array", "fortran"]
)
def test_two_workers_give_the_same_table(counts, codes, bins, name, tmp_path, client):
    x = stats.on_workers(EVERY[name](counts, tmp_path), client)
    assert_same(stats.cut_and_count(x, codes, n_classes=4, bins=bins), reference(counts, codes, bins))


@pytest.mark.parametrize("name", ["csr_matrix", "fortran", "h5ad-csr", "csc-unsorted"])
@pytest.mark.parametrize("bins", METHODS)
def test_a_device_gives_the_same_table(counts, codes, bins, name, tmp_path):
    x = EVERY[name](counts, tmp_path)
    found = stats.cut_and_count(x, codes, n_classes=4, bins=bins, device="cpu")
    assert_same(found, reference(counts, codes, bins))


class Watched:
    """A dataset of rows, or of columns in CSC, that remembers what was read of it."""

    def __init__(self, x: np.ndarray, lie: str = "rows") -> None:
        self.values, self.shape, self.dtype, self.read = x, x.shape, x.dtype, 0
        if lie == "columns":
            csc = sparse.csc_matrix(x)
            self.format = "csc"
            self.group = {name: WatchedVector(self, getattr(csc, name)) for name in ("data", "indices", "indptr")}
            self.size = csc.nnz
        else:
            self.size = x.size

    def __getitem__(self, place: slice) -> np.ndarray:
        self.read += self.values[place].size
        return self.values[place]


class WatchedVector:
    def __init__(self, owner: Watched, values: np.ndarray) -> None:
        self.owner, self.values, self.shape = owner, values, values.shape

    def __getitem__(self, place: slice) -> np.ndarray:
        if self.values.size == self.owner.group["data"].values.size:
            self.owner.read += self.values[place].size / 2  # values and indices
        return self.values[place]


@pytest.fixture
def many() -> tuple[np.ndarray, np.ndarray]:
    """Counts of 20 000 cells in three classes."""
    rng = np.random.default_rng(0)
    return rng.poisson([0.1, 1, 3], (20_000, 3)).astype(np.float32), rng.integers(0, 3, 20_000)


@pytest.mark.parametrize(
    ("bins", "lie", "passes"),
    [
        ("auto", "rows", 1),
        ("counts", "rows", 1),
        ("uniform", "rows", 2),
        ("quantile", "rows", 2),
        ("auto", "columns", 1),
        ("counts", "columns", 1),
        ("uniform", "columns", 1),
        ("quantile", "columns", 1),
    ],
)
def test_passes_over_what_is_not_in_memory(many, bins, lie, passes, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 2400)
    x = Watched(many[0], lie)
    table = stats.cut_and_count(x, many[1], n_classes=3, bins=bins)
    assert passes - 0.05 < x.read / x.size < passes + 0.05
    assert_same(table, stats.cut_and_count(many[0], many[1], n_classes=3, bins=bins))


@pytest.mark.parametrize("batches", [2, 7])
def test_batches_are_counted_together(many, batches, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 2400)
    x, strata = Watched(many[0]), np.arange(20_000) % batches
    tables = list(stats.cut_and_count_within(x, many[1], strata, n_classes=3))
    assert x.read / x.size < 1.05
    for number, table in enumerate(tables):
        alone = np.where(strata == number, many[1], -1)
        expected = stats.contingency(many[0], alone, bins=stats.bin_edges(many[0], alone >= -1), n_classes=3)
        assert_same(table, expected)


@pytest.mark.parametrize("limit", ["MAX_CLASSES", "MAX_CELLS"])
@pytest.mark.parametrize("bins", METHODS)
def test_batches_that_are_too_many_are_counted_in_turns(counts, codes, bins, limit, monkeypatch):
    strata = np.arange(120) % 5
    edges = stats.bin_edges(counts, codes >= 0, bins=bins)
    for module in (_table, _contingency):
        monkeypatch.setattr(module, limit, 8 if limit == "MAX_CLASSES" else 9 * edges.edges.size, raising=False)
    tables = list(stats.cut_and_count_within(counts, codes, strata, n_classes=4, bins=bins))
    assert len(tables) == 5
    for number, table in enumerate(tables):
        alone = np.where(strata == number, codes, -1)
        assert_same(table, stats.contingency(counts, alone, bins=edges, n_classes=4))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("max_aside", [0, 5, 2**20])
@pytest.mark.parametrize("name", ["h5ad-csr", "h5ad-dense", "dask-grid", "dask-columns"])
def test_the_table_grows_with_the_counts(codes, name, max_aside, tmp_path, monkeypatch):
    monkeypatch.setattr(_whole_numbers, "MAX_ASIDE", max_aside)
    rng = np.random.default_rng(0)
    x = rng.poisson(np.linspace(0, 60, 120)[:, None] * rng.random(12)).astype(np.float32)
    x[100:, 3], x[90:, 4] = 0, 70
    x[codes < 0] = 1e6
    assert_same(
        stats.cut_and_count(OUTSIDE[name](x, tmp_path), codes, n_classes=4, bins="counts"),
        reference(x, codes, "counts"),
    )


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("change", ["halves", "below zero", "large", "in rows without a class"])
@pytest.mark.parametrize("name", ["h5ad-csr", "zarr-csr", "dask-grid", "lazy-zarr-csr"])
def test_counts_at_first_sight_that_are_none(counts, codes, name, change, tmp_path):
    x, codes = np.tile(counts, (8, 1)), np.tile(codes, 8)
    visible = np.flatnonzero(codes >= 0)
    late = visible[visible.size // 2 :]  # of the rows that are looked at, the last half
    if change == "halves":
        x[late] += np.where(x[late] > 0, 0.5, 0).astype(x.dtype)
    elif change == "below zero":
        x[late, 3] = -1
    elif change == "large":
        x[visible[:200]], x[late] = np.minimum(x[visible[:200]], 1), np.where(x[late] > 0, 10 * x[late] + 90, 0)
    else:
        x[codes < 0] = np.nan
    table = stats.cut_and_count(OUTSIDE[name](x, tmp_path), codes, n_classes=4)
    assert_same(table, reference(x, codes, "auto"))
    assert (np.diff(table.offsets) == 16).all() == (change == "in rows without a class")


def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows each stretch of a file holds that is read from now on."""
    seen, read = [], _pieces.Stretch.read

    def watched(stretch: _pieces.Stretch, reader: Any = None) -> Any:
        seen.append(stretch.stop - stretch.first)
        return read(stretch, reader)

    monkeypatch.setattr(_pieces.Stretch, "read", watched)
    return seen


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", ["h5ad-csr", "zarr-csr"])
def test_counts_are_read_once_and_recognised_meanwhile(counts, measurements, codes, name, tmp_path, monkeypatch):
    seen = rows_read(monkeypatch)
    stats.cut_and_count(OUTSIDE[name](counts, tmp_path), codes, n_classes=4)
    assert sum(seen) == len(counts)
    (tmp_path / "other").mkdir()
    other = OUTSIDE[name](measurements, tmp_path / "other")
    seen.clear()
    assert count_at_first_sight(other, codes, 4, None) is None
    assert sum(seen) < len(counts) / 4


@pytest.mark.parametrize("row", [0, -1], ids=["looked at", "late"])
def test_infinite_counts_are_refused_as_in_memory(counts, codes, row, tmp_path):
    x, codes = np.tile(counts, (8, 1)), np.tile(codes, 8)
    x[int(np.flatnonzero(codes >= 0)[row]), 7] = np.inf
    for given in (x, h5ad(sparse.csr_matrix)(x, tmp_path)):
        with pytest.raises(stats.BadValueError, match=r"1 values are NaN or infinite, the first in gene 7"):
            stats.cut_and_count(given, codes, n_classes=4)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("bad", "message"), [(np.nan, "NaN"), (np.inf, "infinite"), (0.5, "not whole"), (-1, "negative")]
)
@pytest.mark.parametrize("name", ["h5ad-csr", "h5ad-csc", "dask-rows", "lazy-zarr-dense"])
def test_no_counts_are_refused_outside_of_memory(counts, codes, name, bad, message, tmp_path):
    row = int(np.flatnonzero(codes >= 0)[-1])
    counts[row, 7] = counts[row, 11] = bad
    with pytest.raises(stats.BadValueError, match=f"2 values are .*{message}.* the first in gene 7"):
        stats.cut_and_count(OUTSIDE[name](counts, tmp_path), codes, n_classes=4, bins="counts")


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("value", [2.0**25, 2.0**50])
@pytest.mark.parametrize("row", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("name", ["h5ad-csr", "h5ad-csc", "dask-rows", "csr_matrix"])
def test_counts_that_reach_too_far_are_refused(counts, codes, name, value, row, tmp_path):
    counts[int(np.flatnonzero(codes >= 0)[row]), 7] = value
    with pytest.raises(ValueError, match=r"would need .*gene 7 alone reaches"):
        stats.cut_and_count(EVERY[name](counts, tmp_path), codes, n_classes=4, bins="counts")


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", ["h5ad-csr", "h5ad-csc", "dask-rows"])
def test_too_large_a_table_is_refused(counts, codes, name, tmp_path):
    x = OUTSIDE[name](counts, tmp_path)
    with pytest.raises(ValueError, match="the limit is"):
        stats.cut_and_count(x, codes, n_classes=2**24, bins="counts")


@pytest.mark.parametrize("bins", METHODS)
def test_a_device_refuses_what_is_refused_here(counts, codes, bins):
    counts[int(np.flatnonzero(codes >= 0)[-1]), 7] = np.nan
    edges = stats.bin_edges(np.nan_to_num(counts), codes >= 0, bins=bins)
    with pytest.raises(stats.BadValueError, match=r"1 values are NaN or infinite, the first in gene 7"):
        stats.contingency(counts, codes, bins=edges, n_classes=4, device="cpu")
    if bins == "counts":
        counts[int(np.flatnonzero(codes >= 0)[-1]), 7] = 0.5
        with pytest.raises(stats.BadValueError, match=r"1 values are negative or not whole, the first in gene 7"):
            stats.contingency(counts, codes, bins=edges, n_classes=4, device="cpu")


@pytest.mark.parametrize("device", ["nowhere", "meta:x", "cuda:99"])
def test_a_device_that_is_not_there(counts, codes, device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here"):
        stats.cut_and_count(counts, codes, n_classes=4, device=device)


@pytest.mark.gpu
@pytest.mark.parametrize("bins", METHODS)
def test_a_graphics_card_gives_the_same_table(counts, codes, bins):
    found = stats.cut_and_count(sparse.csr_matrix(counts), codes, n_classes=4, bins=bins, device="cuda")
    assert_same(found, reference(counts, codes, bins))


def test_a_client_that_is_none(counts):
    with pytest.raises(TypeError, match=r"client is a str. Give a `distributed.Client`"):
        stats.on_workers(counts, "cluster")


def test_workers_cannot_read_what_is_open_for_writing(counts, codes, client, tmp_path):
    AnnData(sparse.csr_matrix(counts)).write_h5ad(tmp_path / "x.h5ad")
    adata = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r+")
    with pytest.raises(ValueError, match="Open it with backed='r'"):
        stats.cut_and_count(stats.on_workers(adata.X, client), codes, n_classes=4)
    adata.file.close()


@pytest.mark.parametrize("bad", [np.nan, -1.0])
def test_workers_say_what_is_wrong(counts, codes, client, bad):
    counts[int(np.flatnonzero(codes >= 0)[-1]), 7] = bad
    x = stats.on_workers(array.from_array(counts, chunks=(40, 12)), client)
    with pytest.raises(stats.BadValueError, match=r"1 values are .* the first in gene 7"):
        stats.cut_and_count(x, codes, n_classes=4, bins="counts")


def test_two_processes_give_the_same_table(counts, codes, tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"processes": True, "dashboard_address": ":0", "n_workers": 2, "threads_per_worker": 1}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        for name in ("h5ad-csr", "zarr-csr", "lazy-zarr-csr"):
            folder = tmp_path / name
            folder.mkdir()
            x = stats.on_workers(OUTSIDE[name](counts, folder), client)
            assert_same(stats.cut_and_count(x, codes, n_classes=4), reference(counts, codes, "auto"))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", ["h5ad-csr", "h5ad-csc", "lazy-zarr-csr", "dask-grid"])
@pytest.mark.parametrize("batch", [None, "batch"])
def test_scores_have_the_same_bits(small_adata, name, batch, tmp_path, client):
    small_adata.obs["batch"] = np.where(np.arange(120) % 3 == 0, "x", "y")
    cc.pp.gene_scores(small_adata, "cell_type", batch=batch)
    x = OUTSIDE[name](small_adata.X.toarray(), tmp_path)
    found = {}
    for who in (None, client):
        other = AnnData(x, obs=small_adata.obs.copy())
        cc.pp.gene_scores(other, "cell_type", batch=batch, client=who)
        found[who] = other
        for field in ("mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd"):
            assert other.var[field].to_numpy().tobytes() == small_adata.var[field].to_numpy().tobytes()
        assert other.varm["mi_by_class"].tobytes() == small_adata.varm["mi_by_class"].tobytes()


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_an_anndata_read_lazily_is_scored_as_it_is(small_adata, suffix, tmp_path):
    cc.pp.split(small_adata, "cell_type")
    getattr(small_adata, f"write_{suffix}")(tmp_path / f"x.{suffix}")
    lazy = anndata.experimental.read_lazy(tmp_path / f"x.{suffix}")
    view = lazy[:50]
    with pytest.raises(ValueError, match="a view whose obs was not read yet"):
        cc.pp.gene_scores(view, "cell_type")
    for adata in (small_adata, lazy):
        cc.pp.gene_scores(adata, "cell_type")
        cc.pp.summary(adata, "cell_type")
    assert isinstance(lazy.X, array.Array)
    assert lazy.var["mi"].to_numpy().tobytes() == small_adata.var["mi"].to_numpy().tobytes()
    assert lazy.uns["summary"]["class_cells"].tolist() == small_adata.uns["summary"]["class_cells"].tolist()


@pytest.mark.parametrize("name", ["h5ad-csr", "dask-rows", "lazy-zarr-csr", "csr_matrix"])
def test_no_process_is_started(small_adata, name, tmp_path, monkeypatch):
    import dask

    class StartedError(Exception):
        """A process was asked for."""

    def refuse(*given: Any, **options: Any) -> None:
        raise StartedError

    adata = AnnData(EVERY[name](small_adata.X.toarray(), tmp_path), obs=small_adata.obs.copy())
    for owner, start in (
        (multiprocessing.process.BaseProcess, "start"),
        (subprocess.Popen, "__init__"),
        (os, "fork"),
        (os, "posix_spawn"),
    ):
        monkeypatch.setattr(owner, start, refuse)
    cc.pp.gene_scores(adata, "cell_type")
    for redundancy in (None, 0.5, "mrmr", "jmi"):
        cc.pp.select_genes(adata, 9, redundancy=redundancy)
    for metric in ("correlation", "jaccard", "jsd", "mi"):
        cc.pp.gene_similarity(adata, metric=metric, n_neighbors=3)
    if name == "dask-rows":  # one that is asked for is seen
        with dask.config.set(scheduler="processes"), pytest.raises(StartedError):
            cc.pp.gene_scores(adata, "cell_type")


def test_tables_are_added_as_a_tree(counts, codes, client, monkeypatch):
    monkeypatch.setattr(_distributed, "PIECE_BYTES", 12 * 4 * 10)
    x = stats.on_workers(counts, client)
    depth, n_rows = _distributed.over(x, _one_piece, codes, combine=_deeper)
    assert n_rows == 120
    assert depth == 4  # twelve pieces, two by two


def _one_piece(x: Any, codes: np.ndarray) -> tuple[int, int]:
    return 0, len(codes)


def _deeper(upper: tuple[int, int], lower: tuple[int, int]) -> tuple[int, int]:
    return max(upper[0], lower[0]) + 1, upper[1] + lower[1]


class Drawn:
    """A dataset of counts that are drawn where they are read, so that none of them lies in memory."""

    dtype = np.dtype(np.float32)

    def __init__(self, n_rows: int, most: int = 9) -> None:
        self.shape, self.most = (n_rows, 300), most

    def __getitem__(self, place: slice) -> np.ndarray:
        row = np.arange(place.start, place.stop, dtype=np.int64)[:, None]
        return (row * 7919 % (np.arange(300) + 10) % self.most).astype(np.float32)


@pytest.mark.parametrize("bins", METHODS)
def test_memory_does_not_grow_with_the_cells(bins, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 1_000_000)
    peaks = []
    for n_rows in (10_000, 10_000, 40_000):  # the first for what is loaded and compiled
        x, codes = Drawn(n_rows), np.arange(n_rows) % 3
        tracemalloc.start()
        table = stats.cut_and_count(x, codes, n_classes=3, bins=bins)
        scores = stats.mutual_information_by_class(table)
        stats.covering(x, codes, scores, n_genes=20)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    per_cell = (peaks[2] - peaks[1]) / 30_000
    assert per_cell < 120  # of 1200 bytes that a cell takes: its class, and marks


# -- Reading ahead -----------------------------------------------------------------


def test_one_result_is_read_while_another_is_used():
    read, started = [], threading.Event()

    def reader(number: int) -> Any:
        def call() -> int:
            read.append(number)
            if number == 1:
                started.set()
            return number

        return call

    results = read_ahead(reader(number) for number in range(5))
    assert next(results) == 0
    assert started.wait(10)
    assert set(read) <= {0, 1}
    assert list(results) == [1, 2, 3, 4]
    assert read == [0, 1, 2, 3, 4]


def test_what_a_reader_raises_is_raised_in_its_turn():
    def fail() -> int:
        msg = "gone"
        raise OSError(msg)

    results = read_ahead([lambda: 1, fail, lambda: 3])
    assert next(results) == 1
    with pytest.raises(OSError, match="gone"):
        next(results)
    assert list(results) == []


def test_nothing_is_read_for_nobody():
    read: list[int] = []
    results = read_ahead((lambda n=n: read.append(n)) for n in range(9))
    next(results)
    results.close()
    assert read == [0, 1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read_ahead")]


@pytest.mark.parametrize("n", [0, 1])
def test_few_readers(n):
    assert list(read_ahead([lambda: 7] * n)) == [7] * n


def test_dask_is_computed_as_configured(counts, codes, monkeypatch):
    import dask

    seen = []

    def watch(block: np.ndarray) -> np.ndarray:
        seen.append(threading.current_thread().name)
        return block

    alone = array.from_array(counts, chunks=-1).map_blocks(watch, meta=np.zeros((0, 0), np.float32))
    stats.cut_and_count(alone, codes, n_classes=4, bins="uniform")
    assert {name.split("_0")[0] for name in seen} == {"read_ahead"}
    seen.clear()
    x = array.from_array(counts, chunks=(60, 12)).map_blocks(watch, meta=np.zeros((0, 0), np.float32))
    monkeypatch.setattr(stats._kernels, "n_threads", lambda: 2)
    stats.cut_and_count(x, codes, n_classes=4, bins="uniform")
    assert seen
    assert not any(name.startswith(("read_ahead", "MainThread")) for name in seen)
    seen.clear()
    with dask.config.set(scheduler="synchronous"):
        stats.cut_and_count(x, codes, n_classes=4, bins="uniform")
    assert {name.split("_0")[0] for name in seen} == {"read_ahead"}
