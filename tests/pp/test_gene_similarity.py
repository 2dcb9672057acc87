from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import cellclf as cc
from cellclf.stats import _pieces, _similarity, _similarity_measures, _similarity_shared

METRICS = ["correlation", "jaccard", "jsd", "mi"]


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give the small AnnData with a split and some genes marked."""
    cc.pp.split(small_adata, "cell_type")
    small_adata.var["selected"] = np.arange(30) % 2 == 0
    return small_adata


def test_correlation_is_that_of_numpy(adata):
    cc.pp.gene_similarity(adata)
    expected = np.corrcoef(adata.X.toarray().T)
    np.testing.assert_allclose(adata.varp["correlation"], expected, atol=1e-6)
    assert adata.varp["correlation"].dtype == np.float32


def test_metrics_stand_side_by_side(adata):
    for metric in METRICS:
        cc.pp.gene_similarity(adata, metric=metric)
    cc.pp.gene_similarity(adata, metric="jsd", n_neighbors=3, key_added="near")
    assert set(adata.varp) == {*METRICS, "near"}
    for metric in METRICS:
        record = adata.uns[f"gene_similarity_{metric}"]
        assert record["metric"] == record["name"] == metric
        assert json.loads(record["call"])["metric"] == metric
    assert adata.uns["near"]["metric"] == "jsd"
    assert adata.uns["near"]["name"] == "near"
    assert (adata.uns["near"]["n_cells"], adata.uns["near"]["n_genes"]) == (120, 30)


def test_training_cells_only(adata):
    train = (adata.obs["split"] == "train").to_numpy()
    x = adata.X.toarray()
    x[~train] = np.nan
    other = AnnData(x, obs=adata.obs.copy())
    alone = AnnData(adata.X[train].toarray())
    for metric in METRICS:
        cc.pp.gene_similarity(adata, metric=metric, split="split")
        cc.pp.gene_similarity(other, metric=metric, split="split")
        cc.pp.gene_similarity(alone, metric=metric)
        assert adata.varp[metric].tobytes() == other.varp[metric].tobytes() == alone.varp[metric].tobytes()
    assert adata.uns["gene_similarity_mi"]["n_cells"] == train.sum()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("genes", ["selected", [f"gene{j}" for j in range(28, -1, -2)]], ids=["column", "names"])
def test_some_genes(adata, metric, genes):
    cc.pp.gene_similarity(adata, metric=metric, genes=genes)
    cc.pp.gene_similarity(adata, metric=metric, genes=genes, n_neighbors=2, key_added="near")
    cc.pp.gene_similarity(part := adata[:, ::2].copy(), metric=metric, key_added="x")
    found = adata.varp[metric]
    assert found.shape == (30, 30)
    assert found[::2, ::2].tobytes() == part.varp["x"].tobytes()
    assert np.isnan(found[1::2]).all()
    assert np.isnan(found[:, 1::2]).all()
    near = adata.varp["near"]
    assert near[1::2].nnz == near[:, 1::2].nnz == 0
    cc.pp.gene_similarity(part, metric=metric, n_neighbors=2, key_added="near")
    assert (near[::2][:, ::2] != part.varp["near"]).nnz == 0
    assert near.nnz == part.varp["near"].nnz


def test_nearest_genes_are_few_and_symmetric(adata):
    cc.pp.gene_similarity(adata, metric="mi", n_neighbors=4)
    near = adata.varp["mi"]
    assert isinstance(near, sparse.csr_matrix)
    assert near.dtype == np.float32
    assert (near != near.T).nnz == 0
    assert 30 * 4 <= near.nnz <= 2 * 30 * 4
    assert (np.diff(near.indptr) >= 4).all()
    assert near.diagonal().sum() == 0


def test_a_layer(adata):
    adata.layers["other"] = adata.X[:, ::-1].copy()
    cc.pp.gene_similarity(adata, metric="jaccard")
    cc.pp.gene_similarity(adata, metric="jaccard", layer="other", key_added="x")
    np.testing.assert_array_equal(adata.varp["x"], adata.varp["jaccard"][::-1, ::-1])


@pytest.mark.parametrize("near", [None, 3], ids=["all", "nearest"])
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(adata, form, near, tmp_path):
    cc.pp.gene_similarity(adata, metric="jsd", n_neighbors=near)
    getattr(adata, f"write_{form}")(tmp_path / f"x.{form}")
    back = getattr(anndata, f"read_{form}")(tmp_path / f"x.{form}")
    if near is None:
        assert back.varp["jsd"].tobytes() == adata.varp["jsd"].tobytes()
    else:
        assert back.varp["jsd"].data.tobytes() == adata.varp["jsd"].data.tobytes()
    pd.testing.assert_frame_equal(
        cc.get.gene_similarity(back, key="jsd", n_pairs=9), cc.get.gene_similarity(adata, key="jsd", n_pairs=9)
    )


def test_backed_and_view(adata, tmp_path):
    adata.write_h5ad(tmp_path / "x.h5ad")
    cc.pp.gene_similarity(adata, metric="jsd")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    cc.pp.gene_similarity(backed, metric="jsd")
    assert backed.varp["jsd"].tobytes() == adata.varp["jsd"].tobytes()
    backed.file.close()
    view = adata[:100, :10]
    cc.pp.gene_similarity(view, metric="mi")
    assert view.varp["mi"].shape == (10, 10)
    assert "mi" not in adata.varp


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AnnData]:
    """Give the same counts in every form, most of them on disk or in chunks."""
    folder = tmp_path_factory.mktemp("stored")
    x = np.random.default_rng(4).poisson(np.linspace(0.02, 3, 35), (230, 35)).astype(np.float32)
    forms = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
    found = {name: AnnData(form(x)) for name, form in forms.items()}
    for name in forms:
        found[name].write_h5ad(folder / f"{name}.h5ad")
        found[name].write_zarr(folder / f"{name}.zarr")
        found[f"h5ad {name}"] = anndata.read_h5ad(folder / f"{name}.h5ad", backed="r")
        found[f"lazy {name}"] = anndata.experimental.read_lazy(folder / f"{name}.zarr")
    dask = pytest.importorskip("dask.array").from_array(x, chunks=(50, 11))
    found["dask"], found["dask csr"] = AnnData(dask), AnnData(dask.rechunk((50, 35)).map_blocks(sparse.csr_matrix))
    return found


@pytest.mark.parametrize("near", [None, 4], ids=["all", "nearest"])
@pytest.mark.parametrize("metric", METRICS)
def test_every_storage_gives_the_same_bytes(stored, metric, near, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 20_000)
    found = {}
    for name, adata in stored.items():
        cc.pp.gene_similarity(adata, metric=metric, n_neighbors=near, key_added="x")
        square = adata.varp["x"]
        arrays = [square] if near is None else [square.data, square.indices, square.indptr]
        found[name] = b"".join(np.asarray(array).tobytes() for array in arrays)
    assert len(found) == 11
    assert {name for name, bytes_ in found.items() if bytes_ != found["dense"]} == set()


def test_an_interrupted_call_leaves_no_trace(adata, monkeypatch):
    def stop(self: object, *band: object) -> None:
        raise KeyboardInterrupt

    for measure in (_similarity_shared.SharedDivergence, _similarity_measures.Tiled):
        monkeypatch.setattr(measure, "fill", stop)
    with pytest.raises(KeyboardInterrupt):
        cc.pp.gene_similarity(adata, metric="jsd")
    assert not list(adata.varp)
    assert "gene_similarity_jsd" not in adata.uns


def test_a_bar_counts_the_pairs(adata, monkeypatch):
    done = []

    class Bar(_similarity.tqdm):
        def update(self, n: float = 1) -> None:
            done.append(n)

    monkeypatch.setattr(_similarity, "tqdm", Bar)
    monkeypatch.setattr(_similarity_measures.Measure, "band", 8)
    monkeypatch.setattr(_similarity_measures.Tiled, "tile", 8)
    cc.pp.gene_similarity(adata, metric="jaccard")
    assert done == [8 * 30, 8 * 22, 8 * 14, 6 * 6]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "nope"}, KeyError, "'nope' is not in adata.layers"),
        ({"split": "nope"}, KeyError, "'nope' is not in adata.obs"),
        ({"genes": "nope"}, KeyError, "genes='nope' is not in adata.var"),
        ({"genes": "text"}, ValueError, "not true or false"),
        ({"genes": ["gene1", "gene99"]}, KeyError, "1 genes of `genes` are not in adata.var_names: 'gene99'"),
        ({"genes": ["gene1"]}, ValueError, "1 genes make no pair"),
        ({"genes": "none"}, ValueError, "0 genes make no pair"),
        ({"metric": "nope"}, ValueError, "metric='nope' is unknown"),
        ({"n_neighbors": 30}, ValueError, "between 1 and 29"),
        ({"n_bins": 5}, ValueError, "no meaning"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(adata, options, error, message):
    adata.var["text"], adata.var["none"] = "a", False
    keys = list(adata.varp), list(adata.uns)
    with pytest.raises(error, match=message):
        cc.pp.gene_similarity(adata, **options)
    assert (list(adata.varp), list(adata.uns)) == keys


def test_bad_values_are_named(adata):
    adata.X[3, 6] = np.nan
    with pytest.raises(ValueError, match=r"1 values are NaN or infinite.*That gene is 'gene6'"):
        cc.pp.gene_similarity(adata)
    adata.X[3, 6] = -2
    with pytest.raises(ValueError, match=r"holds negative values.*That gene is 'gene6'"):
        cc.pp.gene_similarity(adata, metric="jsd", genes=["gene2", "gene6"])
    cc.pp.gene_similarity(adata, metric="jsd", genes=["gene2", "gene7"])
    assert not np.isnan(adata.varp["jsd"][2, 7])


def test_names_that_occur_twice(adata):
    adata.var_names = ["same"] * 2 + [f"gene{j}" for j in range(2, 30)]
    cc.pp.gene_similarity(adata)
    assert np.isfinite(adata.varp["correlation"]).all()
    with pytest.raises(ValueError, match="'same' occur more than once"):
        cc.pp.gene_similarity(adata, genes=["same", "gene3"])


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)], ids=str)
def test_an_empty_matrix_is_refused(shape):
    with pytest.raises(ValueError, match=r"nothing to work on"):
        cc.pp.gene_similarity(AnnData(np.zeros(shape, np.float32)))


@pytest.mark.realdata
def test_partners_are_found(realdata):
    adata = anndata.read_h5ad(realdata / "pbmc3k.h5ad")
    adata.var_names_make_unique()
    cc.pp.gene_similarity(adata, metric="mi", n_neighbors=10)
    partners = cc.get.gene_similarity(adata, key="mi", gene="CD79A", n_pairs=3)["other"]
    assert {"CD79B", "MS4A1"} & set(partners)
