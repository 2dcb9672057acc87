"""How alike genes are, against SciPy, NumPy and scikit-learn pair by pair."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import jaccard_score, mutual_info_score

from cellclf import stats
from cellclf.stats import _gene_values, _pieces, _room, _similarity, _similarity_measures, _similarity_shared
from cellclf.stats._gene_values import gene_values

METRICS = ["correlation", "jaccard", "jsd", "mi"]
SPARSE = {"visited": 1.0, "laid-out": -1.0}  # share of shared cells up to which only these are visited
TOLERANCE = {"correlation": 1e-6, "jaccard": 1e-7, "jsd": 1e-6, "mi": 1e-6}


def similar(x: Any, metric: str, **options: Any) -> Any:
    return stats.similarity(x, np.ones(x.shape[0], bool), np.arange(x.shape[1]), metric=metric, **options)


def one_by_one(x: np.ndarray, metric: str, n_bins: int = 4) -> np.ndarray:
    """Compare each pair by itself; NaN where it is undefined."""
    genes = list(x.T.astype(np.float64))
    if metric == "mi":
        bins = stats.bin_edges(x, np.ones(len(x), bool), n_bins=n_bins)
        genes = [np.searchsorted(bins.of_gene(j), gene, side="right") for j, gene in enumerate(genes)]

    def compare(a: np.ndarray, b: np.ndarray) -> float:
        if metric == "mi":
            return mutual_info_score(a, b)
        if metric == "jaccard":
            return jaccard_score(a > 0, b > 0) if (a > 0).any() or (b > 0).any() else np.nan
        if metric == "jsd":
            return jensenshannon(a, b) ** 2 if a.any() and b.any() else np.nan
        return np.corrcoef(a, b)[0, 1] if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan

    found = np.full((len(genes), len(genes)), np.nan)
    for i, a in enumerate(genes):
        for j, b in enumerate(genes[: i + 1]):
            found[i, j] = found[j, i] = compare(a, b)
    return found


def _values() -> np.ndarray:
    """Values (150 × 40), none negative: rare and common genes, one nowhere, one constant, two alike, one in one cell."""
    rng = np.random.default_rng(0)
    x = rng.gamma(0.5, size=(150, 40)) * (rng.random((150, 40)) < np.linspace(0.05, 1, 40))
    x = x.astype(np.float32)
    x[:, 3], x[:, 7], x[:, 11] = 0, 2.5, 0
    x[17, 11] = 1e6
    x[:, 5] = x[:, 35]
    return x


@pytest.fixture
def values() -> np.ndarray:
    """Give these values."""
    return _values()


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """Give the comparisons of the values, one by one."""
    return {metric: one_by_one(_values(), metric) for metric in METRICS}


@pytest.fixture(params=list(SPARSE))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Visit only shared cells, or lay genes out; few genes and cells at a time, so that there are several steps."""
    for name in ("SPARSE_PRODUCTS", "SPARSE_DIVERGENCE"):
        monkeypatch.setattr(_similarity_shared, name, SPARSE[request.param])
    monkeypatch.setattr(_similarity_measures.Measure, "band", 16)
    monkeypatch.setattr(_similarity_shared.Shared, "band", 16)
    monkeypatch.setattr(_similarity_measures.Tiled, "tile", 8)
    monkeypatch.setattr(_gene_values, "AT_ONCE", 300)
    for name, value in {"PRODUCT_TILE": 16, "BLOCK_CELLS": 70, "TILE_BYTES": 1, "RUN_CELLS": 64}.items():
        monkeypatch.setattr(_similarity_measures, name, value)
    return request.param


@pytest.mark.parametrize("metric", METRICS)
def test_each_pair_is_that_of_the_libraries(values, expected, metric, way):
    found = similar(values, metric)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[metric], rtol=0, atol=TOLERANCE[metric])


@pytest.mark.parametrize("n_bins", [2, 3, 7, 16])
def test_information_for_any_number_of_bins(values, n_bins):
    found = similar(values[:, :25], "mi", n_bins=n_bins)
    np.testing.assert_allclose(found, one_by_one(values[:, :25], "mi", n_bins), rtol=0, atol=1e-6)


def test_values_of_either_sign(measurements):
    for metric in ("correlation", "jaccard", "mi"):
        found = similar(measurements, metric)
        np.testing.assert_allclose(found, one_by_one(measurements, metric), rtol=0, atol=TOLERANCE[metric])


@pytest.mark.parametrize("spread", [0.01, 0.1, 1.0, 30.0], ids=lambda spread: f"shape-{spread}")
def test_divergence_of_long_tails_and_many_cells(spread, way):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.gamma(spread, size=(3000, 6)), rng.gamma(0.3, size=(3000, 4))], axis=1)
    x[x < 1e-25] = 0
    expected = one_by_one(x, "jsd")
    np.testing.assert_allclose(similar(x, "jsd"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_rare_genes_of_many_cells(metric, way):
    x = sparse.random(1500, 12, 0.02, random_state=2, dtype=np.float32, format="csr")
    found = similar(x, metric)
    np.testing.assert_allclose(found, one_by_one(x.toarray(), metric), rtol=0, atol=TOLERANCE[metric])


@pytest.mark.parametrize("metric", METRICS)
def test_symmetric_to_the_bit(values, metric, way):
    found = similar(values, metric)
    assert found.tobytes() == np.ascontiguousarray(found.T).tobytes()


def test_what_is_undefined_is_nan(values, way):
    nowhere, constant = 3, 7
    correlation, jsd, jaccard, mi = (similar(values, metric) for metric in ("correlation", "jsd", "jaccard", "mi"))
    assert np.isnan(correlation[[nowhere, constant]]).all()
    assert np.isfinite(np.delete(np.delete(correlation, [3, 7], 0), [3, 7], 1)).all()
    assert np.isnan(jsd[nowhere]).all()
    assert np.isfinite(np.delete(np.delete(jsd, 3, 0), 3, 1)).all()
    assert np.isnan(jaccard[nowhere, nowhere])
    assert (np.delete(jaccard[nowhere], nowhere) == 0).all()
    assert (mi[[nowhere, constant]] == 0).all()


def test_genes_alike(values, way):
    assert similar(values, "correlation")[5, 35] == pytest.approx(1, abs=1e-7)
    assert similar(values, "jaccard")[5, 35] == 1
    assert similar(values, "jsd")[5, 35] == pytest.approx(0, abs=1e-6)
    mi = similar(values, "mi")
    assert mi[5, 35] == pytest.approx(mi[5, 5], abs=1e-6)
    apart = np.zeros((4, 2), np.float32)
    apart[0, 0] = apart[1, 1] = 3
    assert similar(apart, "jsd")[0, 1] == np.float32(np.log(2))


@given(
    x=arrays(
        np.float32, st.tuples(st.integers(2, 9), st.integers(2, 6)), elements=st.sampled_from([0, 0, 1, 2, 5, 0.3])
    ),
    metric=st.sampled_from(METRICS),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_bounds_and_order_of_cells(x, metric, seed):
    found = similar(x, metric)
    known = found[~np.isnan(found)]
    top = {"correlation": 1, "jaccard": 1, "jsd": np.float32(np.log(2)), "mi": np.log(4) + 1e-6}[metric]
    assert (known >= (-1 if metric == "correlation" else 0)).all()
    assert (known <= top).all()
    shuffled = similar(np.random.default_rng(seed).permutation(x), metric)
    np.testing.assert_allclose(shuffled, found, rtol=0, atol=1e-6)


# -- The same bytes for every storage ------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_storage_changes_nothing(counts, storage, metric, way):
    assert similar(storage(counts), metric).tobytes() == similar(counts, metric).tobytes()


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray], ids=["csr", "csc", "dense"])
@pytest.mark.parametrize("metric", METRICS)
def test_files_in_pieces_give_the_same(counts, metric, form, tmp_path, monkeypatch):
    expected = similar(counts, metric)
    AnnData(form(counts)).write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 2000)
    adata = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    assert similar(adata.X, metric).tobytes() == expected.tobytes()
    adata.file.close()


@pytest.mark.parametrize("chunks", [(50, 12), (120, 5), (7, 5)], ids=str)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix], ids=["dense", "csr", "csc"])
def test_dask_gives_the_same(counts, chunks, form):
    array = pytest.importorskip("dask.array")
    x = array.from_array(counts, chunks=chunks).map_blocks(form)
    for metric in METRICS:
        assert similar(x, metric).tobytes() == similar(counts, metric).tobytes()


def test_some_genes_of_some_rows(values):
    rows, genes = np.arange(150) % 3 > 0, np.array([25, 2, 39, 11])
    x = values.copy()
    x[~rows] = np.nan
    x[:, 30] = np.inf
    for stored in (x, sparse.csr_matrix(x), sparse.csc_matrix(x), np.asfortranarray(x)):
        for metric in METRICS:
            found = stats.similarity(stored, rows, genes, metric=metric)
            expected = one_by_one(values[rows][:, genes], metric)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_decimals_that_float32_cannot_hold():
    rng = np.random.default_rng(3)
    x = 1e9 + rng.normal(size=(60, 5))
    np.testing.assert_allclose(similar(x, "correlation"), np.corrcoef(x.T), atol=1e-6)
    assert gene_values(x, np.ones(60, bool), np.arange(5)).matrix.dtype == np.float64
    assert gene_values(np.ones((2, 2)), np.ones(2, bool), np.arange(2)).matrix.dtype == np.float32


# -- Nearest genes ---------------------------------------------------------------------


def nearest(square: np.ndarray, k: int, metric: str) -> set[tuple[int, int]]:
    """Find the pairs of which one gene is among the nearest of the other, the slow way."""
    score = -square if metric == "jsd" else square
    pairs = set()
    for gene in range(len(square)):
        others = [j for j in range(len(square)) if j != gene and not np.isnan(score[gene, j])]
        for j in sorted(others, key=lambda j: (-score[gene, j], j))[:k]:
            pairs |= {(gene, j), (j, gene)}
    return pairs


@pytest.mark.parametrize("k", [1, 4, 39])
@pytest.mark.parametrize("metric", METRICS)
def test_nearest_genes(values, metric, k, way):
    square, found = similar(values, metric), similar(values, metric, n_neighbors=k)
    assert isinstance(found, sparse.csr_matrix)
    pairs = found.tocoo()
    assert set(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True)) == nearest(square, k, metric)
    np.testing.assert_array_equal(pairs.data, square[pairs.row, pairs.col])
    assert found.has_sorted_indices


@pytest.mark.parametrize("metric", METRICS)
def test_the_nearest_take_little_memory(metric):
    x = sparse.random(60, 4000, 0.1, random_state=0, dtype=np.float32, format="csc")
    similar(x[:, :50], metric, n_neighbors=5)  # what is loaded and compiled
    tracemalloc.start()
    found = similar(x, metric, n_neighbors=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 4000**2 / 2  # half of the square that is not made
    assert found.data.nbytes + found.indices.nbytes < 4000 * 2 * 5 * 16


# -- Values in temporary files ----------------------------------------------------------------


class Drawn:
    """A dataset that is drawn where it is read, so that none of it lies in memory: of `n_rows` rows and 120 genes."""

    dtype = np.dtype(np.float32)

    def __init__(self, n_rows: int, most: int = 9) -> None:
        self.shape, self.most = (n_rows, 120), most

    def __getitem__(self, place: slice) -> np.ndarray:
        row = np.arange(place.start, place.stop, dtype=np.int64)[:, None]
        return (row * 7919 % (np.arange(120) + 10) % self.most).astype(np.float32)


def compare_drawn(n_rows: int, metric: str, n_neighbors: int | None) -> Any:
    return similar(Drawn(n_rows), metric, n_neighbors=n_neighbors)


@pytest.fixture
def little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, put in order, lay out and keep only little at a time."""
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 200_000)
    monkeypatch.setattr(_gene_values, "MERGED_BYTES", 200_000)
    monkeypatch.setattr(_gene_values, "RUN", 20_000)
    monkeypatch.setattr(_similarity_shared, "RUN", 20_000)
    monkeypatch.setattr(_similarity_measures, "KEPT_BYTES", 200_000)


@pytest.mark.parametrize("n_neighbors", [None, 3], ids=["all", "nearest"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shared", [1.0, -1.0], ids=list(SPARSE))
def test_memory_does_not_grow_with_the_cells(metric, n_neighbors, shared, little_at_once, monkeypatch):
    for name in ("SPARSE_PRODUCTS", "SPARSE_DIVERGENCE"):
        monkeypatch.setattr(_similarity_shared, name, shared)
    peaks = []
    for n_rows in (10_000, 10_000, 40_000):  # the first for what is loaded and compiled
        tracemalloc.start()
        compare_drawn(n_rows, metric, n_neighbors)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    per_cell = (peaks[2] - peaks[1]) / 30_000
    assert per_cell < 100  # of 700 bytes that the values of a cell take: marks, a number, n log n


PROCESS = """
import gc, sys
sys.path[:0] = {path!r}
from pathlib import Path
import test_similarity as t
for module, name in {{t._pieces: "BLOCK_BYTES", t._gene_values: "MERGED_BYTES", t._similarity_measures: "KEPT_BYTES"}}.items():
    setattr(module, name, 200_000)
t._gene_values.RUN, t._similarity_measures.TILE_BYTES = 100_000, 20_000

def held(what):
    return sum(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))

class Look(t._similarity.tqdm):
    def update(self, n=1):
        seen.append((held("RssAnon"), held("RssFile")))

t._similarity.tqdm = Look
for n_rows in (2000, 20_000, 60_000):
    seen = []
    t.compare_drawn(n_rows, {metric!r}, 3)
    print(*max(seen))
    gc.collect()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell")
@pytest.mark.parametrize("metric", ["jsd", "mi"])
def test_the_system_counts_the_values_as_files(metric):
    code = PROCESS.format(path=[str(Path(__file__).parent), *sys.path], metric=metric)
    environment = os.environ | {"NUMBA_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    anonymous, files = np.array([line.split() for line in done.stdout.splitlines()], np.int64).T * 1024
    assert anonymous[2] - anonymous[1] < 40_000 * 100
    assert files[2] - files[1] > 40_000 * 300  # the test sees what it looks for


def mapped(folder: Path) -> list[str]:
    """List what of a folder is mapped into the memory of this process."""
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not tell")
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, MemoryError], ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_files_go_away(metric, error, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    class Bar(_similarity.tqdm):
        def update(self, n: float = 1) -> None:
            seen.append(mapped(tmp_path))
            if error:
                raise error

    monkeypatch.setattr(_similarity, "tqdm", Bar)
    if error is None:
        compare_drawn(500, metric, None)
    else:
        with pytest.raises(error):
            compare_drawn(500, metric, None)
    gc.collect()
    assert seen[0]
    assert mapped(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_values_in_memory_need_no_files(values, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    for form in (np.asarray, sparse.csr_matrix, sparse.csc_matrix):
        similar(form(values), "jsd")
    with pytest.raises(FileNotFoundError):
        compare_drawn(500, "jsd", None)


@pytest.mark.parametrize("reserve", ["asked", "refused"])
def test_a_full_disk(reserve, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if reserve == "asked":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    else:
        if not hasattr(os, "posix_fallocate"):
            pytest.skip("this system reserves no room")

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match=rf"need 4,194,304 bytes in the temporary folder '{tmp_path}'.*TMPDIR") as caught:
        compare_drawn(500, "jsd", None)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_many_pieces_lie_in_few_files(monkeypatch, tmp_path):
    monkeypatch.setattr(_room, "FIRST", 4096)
    keep = _room.TemporaryFiles().keeper()
    arrays = [np.arange(k % 7 * 100, dtype=kind) for k in range(600) for kind in (np.uint8, np.float32, np.int64)]
    kept = [keep(values) for values in arrays]
    for values, copy in zip(arrays, kept, strict=True):
        assert copy.dtype == values.dtype
        np.testing.assert_array_equal(copy, values)
    assert len({id(copy.base) for copy in kept if copy.size}) < 60


# -- On a device -------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_device_agrees(values, expected, metric, device):
    found = similar(values, metric, device=device)
    np.testing.assert_allclose(found, expected[metric], rtol=0, atol=TOLERANCE[metric])
    if metric == "jaccard":
        assert found.tobytes() == similar(values, metric).tobytes()


@pytest.mark.parametrize("metric", METRICS)
def test_the_device_works_in_tiles(values, metric, monkeypatch):
    from cellclf.stats import _device_similarity

    expected = similar(values, metric, device="cpu")
    monkeypatch.setattr(_device_similarity, "AT_ONCE", 20_000)
    monkeypatch.setattr(_device_similarity, "TILE", 16)
    monkeypatch.setattr(
        _device_similarity, "TILE_BYTES", 16 * 4 * 40
    )  # forty cells, thirteen where a gene has four bins
    monkeypatch.setattr(_similarity_measures, "KEPT_BYTES", 0)
    monkeypatch.setattr(_similarity_measures, "PRODUCT_TILE", 16)
    np.testing.assert_allclose(similar(values, metric, device="cpu"), expected, rtol=0, atol=1e-7)


def test_a_device_that_is_not_there(values):
    with pytest.raises(ValueError, match="device='cuda:77' cannot be used here"):
        similar(values, "jsd", device="cuda:77")


# -- What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "cosine"}, "metric='cosine' is unknown"),
        ({"n_neighbors": 0}, "n_neighbors=0 is not a whole number between 1 and 39"),
        ({"n_neighbors": 40}, "n_neighbors=40 is not"),
        ({"n_neighbors": 2.0}, "n_neighbors=2.0 is not"),
        ({"n_bins": 4}, "has no meaning with metric='correlation'"),
        ({"metric": "mi", "n_bins": 1}, "n_bins=1 is not a whole number between 2 and 16"),
        ({"metric": "mi", "n_bins": 17}, "n_bins=17 is not"),
    ],
    ids=str,
)
def test_options_without_meaning(values, options, message):
    with pytest.raises(ValueError, match=message):
        similar(values, **({"metric": "correlation"} | options))


def test_bad_values(values):
    for bad in (np.nan, np.inf, -np.inf):
        x = values.copy()
        x[4, 9] = bad
        with pytest.raises(stats.BadValueError, match="1 values are NaN or infinite, the first in gene 9") as error:
            similar(sparse.csr_matrix(x), "jaccard")
        assert error.value.gene == 9
    x = values.copy()
    x[4, 9] = -1
    with pytest.raises(stats.BadValueError, match=r"Gene 9 .* holds negative values") as error:
        similar(x, "jsd")
    assert error.value.gene == 9


def test_nothing_to_compare(values):
    with pytest.raises(ValueError, match="1 genes make no pair"):
        stats.similarity(values, np.ones(150, bool), np.array([4]), metric="jsd")
    with pytest.raises(ValueError, match="No row counts"):
        stats.similarity(values, np.zeros(150, bool), np.arange(40), metric="jsd")


def test_the_matrix_is_left_alone(values):
    for form in (sparse.csr_matrix, sparse.csc_matrix):
        x = form(values)
        x.data[:3] = 0  # stored zeros, which must stay where they are
        parts = [part.copy() for part in (x.data, x.indices, x.indptr)]
        for metric in METRICS:
            similar(x, metric)
        for before, after in zip(parts, (x.data, x.indices, x.indptr), strict=True):
            assert np.array_equal(before, after)
